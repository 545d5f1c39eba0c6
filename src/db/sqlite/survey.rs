//! What a plan's author wants to know, from SQLite's pragmas.

use rusqlite::Connection;

use crate::sql::survey::{Concerns, Details, Note, TableKind};
use crate::sql::{Table, TableName};

/// Tables and views of the file; no virtual tables, nothing of SQLite or of the ledger.
pub fn tables(connection: &Connection) -> rusqlite::Result<Vec<(TableName, TableKind)>> {
    let mut statement = connection.prepare(
        "SELECT name, type FROM pragma_table_list WHERE schema = 'main' \
         AND type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND name NOT LIKE 'tablelift\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        let kind = match row.get::<_, String>(1)?.as_str() {
            "view" => TableKind::View,
            _ => TableKind::Table,
        };
        Ok((TableName::within("main", row.get::<_, String>(0)?), kind))
    })?;
    rows.collect()
}

/// Foreign keys, defaults, and what can surprise.
pub fn details(connection: &Connection, table: &Table) -> rusqlite::Result<Details> {
    let mut details = Details::default();
    let name = table.name.name.as_str();
    let mut statement = connection.prepare(
        "SELECT id, coalesce((SELECT m.name FROM main.sqlite_master m WHERE m.type = 'table' \
           AND lower(m.name) = lower(k.\"table\")), k.\"table\"), \"from\", \"to\" \
         FROM pragma_foreign_key_list(?1) k ORDER BY id, seq",
    )?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let other = TableName::within("main", row.get::<_, String>(1)?);
        details.add_pair(&number.to_string(), other, row.get(2)?, row.get(3)?);
    }
    let mut statement = connection.prepare(
        "SELECT name, dflt_value FROM pragma_table_xinfo(?1) WHERE dflt_value IS NOT NULL ORDER BY cid",
    )?;
    let defaults = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    details.defaults = defaults.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare(
        "SELECT DISTINCT x.name, x.coll FROM pragma_index_list(?1) i, pragma_index_xinfo(i.name) x \
         WHERE i.\"unique\" = 1 AND x.key = 1 AND x.coll <> 'BINARY' ORDER BY 1",
    )?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let column: Option<String> = row.get(0)?;
        let collation: String = row.get(1)?;
        let text = format!(
            "the unique column {} has the collation {collation}: texts that are equal there \
             collide, and the second of such rows is rejected",
            column.unwrap_or_default()
        );
        details.notes.push(Note::new(Concerns::Writer, text));
    }
    for key in table.primary_key() {
        if table.column(key).is_some_and(|column| !column.not_null) {
            let text = format!(
                "the primary key's column {key} is declared without NOT NULL, so SQLite lets NULL in"
            );
            details.notes.push(Note::new(Concerns::Reader, text));
        }
    }
    Ok(details)
}
