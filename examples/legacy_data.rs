//! Prints the legacy data of mappings/digital-health as SQL: `legacy_data sqlite | sqlite3 FILE`,
//! `legacy_data postgres | psql URL`.

use std::io::Write as _;

use tablelift::sql::Flavor;

fn main() -> std::io::Result<()> {
    let flavor = match std::env::args().nth(1).as_deref() {
        Some("postgres") => Flavor::Postgres,
        _ => Flavor::Sqlite,
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "BEGIN;")?;
    for statement in tablelift::demo::statements(flavor) {
        writeln!(out, "{statement}")?;
    }
    writeln!(out, "COMMIT;")
}
