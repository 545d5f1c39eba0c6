//! Deterministic legacy data of the fifth document: five tables that must not change, and
//! `dh_tool`, `dh_workflow` and `dh_task` to be moved. The same values for SQLite and PostgreSQL.

mod tables;
mod words;

use std::path::Path;
use std::time::Duration;

use crate::db::Database;
use crate::error::{Error, Result};
use crate::plan::{Consistency, Endpoint};
use crate::sql::Flavor;

/// One value of the legacy data.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// Integer.
    Int(i64),
    /// A decimal, as its digits.
    Number(String),
    /// Boolean: 0 and 1 in SQLite.
    Bool(bool),
    /// A JSON document.
    Json(String),
    /// A list of texts: a JSON array in SQLite, text[] in PostgreSQL.
    List(Vec<String>),
}

/// Rows in one INSERT.
const ROWS_PER_INSERT: usize = 100;

/// Files of the plan: path beside the database, content.
pub fn files() -> &'static [(&'static str, &'static str)] {
    macro_rules! file {
        ($path:literal) => {
            ($path, include_str!(concat!("../../mappings/digital-health/", $path)))
        };
    }
    &[
        file!("plan.toml"),
        file!("data/priorities.json"),
        file!("data/library-sp01.json"),
        file!("data/library-sp02.json"),
        file!("data/library-sp03.json"),
        file!("data/library-sp04.json"),
        file!("data/library-sp05.json"),
        file!("data/library-sp06.json"),
        file!("data/library-sp07.json"),
    ]
}

/// The whole legacy database as SQL, statement by statement, for SQLite and PostgreSQL.
pub fn statements(flavor: Flavor) -> impl Iterator<Item = String> {
    tables::all().into_iter().flat_map(move |table| {
        let ddl = match flavor {
            Flavor::Sqlite | Flavor::Mysql => table.sqlite,
            Flavor::Postgres => table.postgres,
        };
        let inserts: Vec<String> = table
            .rows
            .chunks(ROWS_PER_INSERT)
            .map(|rows| {
                let rows: Vec<String> = rows.iter().map(|row| tuple(row, flavor)).collect();
                format!("INSERT INTO {} VALUES\n{};", table.name, rows.join(",\n"))
            })
            .collect();
        std::iter::once(ddl.to_owned()).chain(inserts)
    })
}

/// Writes the legacy database into a new SQLite file, all or nothing.
pub fn write_sqlite(path: &Path) -> Result<()> {
    let url = format!("sqlite:{}", path.display());
    let endpoint = Endpoint { url, schema: None, consistency: Consistency::Batch, line: 0 };
    let Database::Sqlite(file) = Database::open(&endpoint, Path::new(""), Duration::ZERO)? else {
        return Err(Error::stop("the demo's database is a SQLite file"));
    };
    let script: String = statements(Flavor::Sqlite).collect::<Vec<_>>().join("\n");
    file.execute_script(&format!("BEGIN;\n{script}\nCOMMIT;"))
}

fn tuple(row: &[Cell], flavor: Flavor) -> String {
    let cells: Vec<String> = row.iter().map(|cell| literal(cell, flavor)).collect();
    format!("({})", cells.join(", "))
}

fn literal(cell: &Cell, flavor: Flavor) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match (cell, flavor) {
        (Cell::Null, _) => "NULL".to_owned(),
        (Cell::Int(i), _) => i.to_string(),
        (Cell::Number(digits), _) => digits.clone(),
        (Cell::Bool(b), Flavor::Sqlite | Flavor::Mysql) => i32::from(*b).to_string(),
        (Cell::Bool(b), Flavor::Postgres) => b.to_string(),
        (Cell::Text(text) | Cell::Json(text), _) => quoted(text),
        (Cell::List(items), Flavor::Sqlite | Flavor::Mysql) => {
            quoted(&serde_json::Value::from(items.clone()).to_string())
        }
        (Cell::List(items), Flavor::Postgres) => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            format!("ARRAY[{}]::text[]", items.join(", "))
        }
    }
}
