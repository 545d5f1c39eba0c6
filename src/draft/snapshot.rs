//! Both catalogs as one JSON document, in a stable order; see `docs/init.md`.

use serde::Serialize;

use super::{Side, Surveyed};
use crate::sql::Flavor;

/// Grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// Both databases.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    format: u32,
    source: Database,
    target: Database,
}

#[derive(Debug, Serialize)]
struct Database {
    database: &'static str,
    name: String,
    tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
struct Table {
    schema: Option<String>,
    name: String,
    kind: &'static str,
    rows: Option<u64>,
    columns: Vec<Column>,
    primary_key: Vec<String>,
    unique: Vec<Vec<String>>,
    foreign_keys: Vec<ForeignKey>,
    triggers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    not_null: bool,
    default: Option<String>,
    generated: bool,
    identity: bool,
}

#[derive(Debug, Serialize)]
struct ForeignKey {
    name: String,
    columns: Vec<String>,
    table: String,
    references: Vec<String>,
}

/// Takes both catalogs.
pub fn snapshot(source: &Side, target: &Side) -> Snapshot {
    Snapshot { format: FORMAT, source: database(source), target: database(target) }
}

fn database(side: &Side) -> Database {
    let database = match side.flavor {
        Flavor::Postgres => "postgresql",
        Flavor::Sqlite => "sqlite",
        Flavor::Mysql => "mysql",
    };
    Database {
        database,
        name: side.display.clone(),
        tables: side.tables.iter().map(table).collect(),
    }
}

fn table(surveyed: &Surveyed) -> Table {
    let default = |name: &str| {
        let defaults = &surveyed.details.defaults;
        defaults.iter().find(|(column, _)| column == name).map(|(_, text)| text.clone())
    };
    let table = &surveyed.table;
    let columns = table.columns.iter().map(|column| Column {
        name: column.name.clone(),
        ty: column.ty.name.clone(),
        not_null: column.not_null,
        default: default(&column.name),
        generated: column.generated,
        identity: column.identity,
    });
    let unique = table.unique.iter().filter(|key| !key.primary);
    let foreign_keys = surveyed.details.foreign_keys.iter().map(|key| ForeignKey {
        name: key.name.clone(),
        columns: key.columns.clone(),
        table: key.table.to_string(),
        references: key.references.clone(),
    });
    Table {
        schema: table.name.schema.clone(),
        name: table.name.name.clone(),
        kind: surveyed.kind.word(),
        rows: surveyed.rows,
        columns: columns.collect(),
        primary_key: table.primary_key().to_vec(),
        unique: unique.map(|key| key.columns.clone()).collect(),
        foreign_keys: foreign_keys.collect(),
        triggers: surveyed.triggers.clone(),
    }
}
