//! What users of other tools suffer from, numbered as in docs/pains.md: each test fails when that
//! pain comes back. Every one runs on all databases where it makes sense.

mod codes;
mod ends;
mod resume;
mod rows;
mod service;
mod values;
mod watch;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Db, Mariadb, Postgres, Store, World};

/// Two databases and a folder.
struct Two {
    world: World,
    source: Store,
    target: Store,
    what: String,
}

impl Two {
    fn new(source: Db, target: Db) -> Two {
        let world = World::new();
        let from = match source {
            Db::Postgres => Store::Postgres(Postgres::new()),
            Db::Mariadb => Store::Mariadb(Mariadb::new()),
            Db::Sqlite => Store::Sqlite(world.path("s.db")),
        };
        let target_store = Store::new(target, &world);
        Two { world, source: from, target: target_store, what: format!("{source:?} to {target:?}") }
    }

    /// Each database to itself and to the others.
    fn all() -> impl Iterator<Item = Two> {
        Db::ALL
            .into_iter()
            .flat_map(|from| Db::ALL.map(|to| (from, to)))
            .map(|(a, b)| Two::new(a, b))
    }

    /// Each database once as source and once as target, with three ways for rows to go.
    fn some() -> impl Iterator<Item = Two> {
        use Db::{Mariadb, Postgres, Sqlite};
        [(Postgres, Mariadb), (Mariadb, Sqlite), (Sqlite, Postgres)]
            .into_iter()
            .map(|(from, to)| Two::new(from, to))
    }

    /// Writes `p.toml`: `head` stands before the one step, `step` within it.
    fn plan(&self, head: &str, step: &str) {
        let (source, target) = (self.source.url(), self.target.url());
        let text = format!(
            "name = \"pain\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n{head}\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n{step}\n"
        );
        self.world.write("p.toml", &text);
    }

    /// One value of the target's ledger, or of any table of it.
    fn one(&self, sql: &str) -> String {
        self.target.rows(&self.ledger(sql)).concat()
    }

    /// `{l}` stands for what comes before the name of a table of the ledger.
    fn ledger(&self, sql: &str) -> String {
        let prefix =
            if matches!(self.target, Store::Postgres(_)) { "tablelift." } else { "tablelift_" };
        sql.replace("{l}", prefix)
    }

    /// Runs `p.toml`; it is killed at a named point.
    #[track_caller]
    fn killed(&self, point: &str) {
        let mut command = self.world.command(&["run", "p.toml"]);
        let output = command.env("TABLELIFT_FAIL_POINT", point).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{}: no kill at {point}: {said}", self.what);
    }

    /// Starts `p.toml` without waiting for its end; what it says goes into files.
    fn start(&self) -> Child {
        let file = |name: &str| std::fs::File::create(self.world.path(name)).unwrap();
        let mut command = self.world.command(&["run", "p.toml", "--json"]);
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).spawn().unwrap()
    }

    /// Waits until that many rows are in `t`.
    fn wait_for_rows(&self, count: u64) {
        let begun = Instant::now();
        while self.one("SELECT count(*) FROM t").parse::<u64>().unwrap() < count {
            let said = || std::fs::read_to_string(self.world.path("err")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(20), "{}: {}", self.what, said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A type for documents.
fn json(store: &Store) -> &'static str {
    if matches!(store, Store::Postgres(_)) { "jsonb" } else { "JSON" }
}

/// A type for long texts.
fn text(store: &Store) -> &'static str {
    if matches!(store, Store::Mariadb(_)) { "longtext" } else { "text" }
}

/// `INSERT INTO s VALUES` with rows of `id, 'n<id>'` for a number of ids.
fn filled(ids: impl Iterator<Item = i64>) -> String {
    let rows: Vec<String> = ids.map(|id| format!("({id}, 'n{id}')")).collect();
    format!("INSERT INTO s VALUES {};", rows.join(", "))
}

/// Two columns, as most tests have them.
const TABLE: &str = "(id bigint PRIMARY KEY, name varchar(40))";

/// Whether the documents are equal; PostgreSQL's exact numbers and order of keys say so.
#[track_caller]
fn same_document(oracle: &Postgres, found: &str, expected: &str, what: &str) {
    let ask = format!("SELECT $a${found}$a$::jsonb = $b${expected}$b$::jsonb");
    assert_eq!(oracle.rows(&ask), ["t"], "{what}: found {found}, expected {expected}");
}
