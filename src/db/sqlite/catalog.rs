//! Tables and columns from SQLite's pragmas.

use rusqlite::Connection;

use super::error;
use crate::error::Result;
use crate::sql::table::UniqueKey;
use crate::sql::{Affinity, Column, ColumnType, Kind, Table, TableName, quote};

/// The table called `name`; an attached database's name stands in `schema`.
pub fn table(connection: &Connection, name: &TableName) -> Result<Option<Table>> {
    table_or_fail(connection, name).map_err(|failure| error::convert(&failure))
}

fn table_or_fail(connection: &Connection, name: &TableName) -> rusqlite::Result<Option<Table>> {
    let schema = name.schema.clone().unwrap_or_else(|| "main".to_owned());
    let attached: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_database_list WHERE name = ?1)",
        [&schema],
        |row| row.get(0),
    )?;
    if !attached {
        return Ok(None);
    }
    // The catalog's own spelling, whatever case the plan uses.
    let find = format!(
        "SELECT name, sql FROM {}.sqlite_master WHERE type IN ('table', 'view') \
         AND lower(name) = lower(?1) ORDER BY name = ?1 DESC",
        quote(&schema)
    );
    let mut statement = connection.prepare(&find)?;
    let found = statement
        .query_map([&name.name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        })?
        .next()
        .transpose()?;
    let Some((found, sql)) = found else {
        return Ok(None);
    };
    let autoincrement = sql.is_some_and(|sql| sql.to_ascii_uppercase().contains("AUTOINCREMENT"));
    let (columns, primary) = columns(connection, &schema, &found, autoincrement)?;
    let mut unique = Vec::new();
    if !primary.is_empty() {
        unique.push(UniqueKey { columns: primary, primary: true });
    }
    unique.extend(indexes(connection, &schema, &found)?);
    Ok(Some(Table { name: TableName::within(schema, found), columns, unique }))
}

fn columns(
    connection: &Connection,
    schema: &str,
    table: &str,
    autoincrement: bool,
) -> rusqlite::Result<(Vec<Column>, Vec<String>)> {
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden \
         FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1 ORDER BY cid",
    )?;
    let mut primary: Vec<(i64, String)> = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    let mut rows = statement.query([table, schema])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let declared: String = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        let default: Option<String> = row.get(3)?;
        let position: i64 = row.get(4)?;
        let hidden: i64 = row.get(5)?;
        if position > 0 {
            primary.push((position, name.clone()));
        }
        columns.push(Column {
            name,
            ty: ColumnType { kind: Kind::Dynamic(affinity(&declared)), name: declared },
            not_null: row.get::<_, i64>(2)? != 0,
            has_default: default.is_some(),
            generated: hidden == 2 || hidden == 3,
            identity: false,
            identity_always: false,
        });
    }
    primary.sort();
    let primary: Vec<String> = primary.into_iter().map(|(_, name)| name).collect();
    if let [only] = primary.as_slice() {
        // An INTEGER PRIMARY KEY is the rowid: never NULL, made by SQLite when missing.
        for column in columns.iter_mut().filter(|column| column.name == *only) {
            if column.ty.name.eq_ignore_ascii_case("INTEGER") {
                column.not_null = true;
                column.has_default = true;
                column.identity = autoincrement;
            }
        }
    }
    Ok((columns, primary))
}

/// Full unique indexes on plain columns, the primary key's own left out.
fn indexes(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<UniqueKey>> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_index_list(?1, ?2) \
         WHERE \"unique\" = 1 AND partial = 0 AND origin <> 'pk' ORDER BY seq",
    )?;
    let names = statement
        .query_map([table, schema], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut out = Vec::new();
    for name in names {
        let mut statement =
            connection.prepare("SELECT name FROM pragma_index_info(?1, ?2) ORDER BY seqno")?;
        let columns = statement
            .query_map([name.as_str(), schema], |row| row.get::<_, Option<String>>(0))?
            .collect::<rusqlite::Result<Option<Vec<String>>>>()?;
        if let Some(columns) = columns {
            out.push(UniqueKey { columns, primary: false });
        }
    }
    Ok(out)
}

/// SQLite's rules for affinity, plus two declared names that promise more by convention.
pub fn affinity(declared: &str) -> Affinity {
    let upper = declared.to_ascii_uppercase();
    let base = upper.split('(').next().unwrap_or_default().trim();
    if matches!(base, "BOOL" | "BOOLEAN") {
        Affinity::Bool
    } else if matches!(base, "JSON" | "JSONB") {
        Affinity::Json
    } else if upper.contains("INT") {
        Affinity::Integer
    } else if upper.contains("CHAR") || upper.contains("CLOB") || upper.contains("TEXT") {
        Affinity::Text
    } else if upper.contains("BLOB") || upper.is_empty() {
        Affinity::Blob
    } else if upper.contains("REAL") || upper.contains("FLOA") || upper.contains("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_follow_sqlite() {
        assert_eq!(affinity("VARCHAR(10)"), Affinity::Text);
        assert_eq!(affinity("BIGINT"), Affinity::Integer);
        assert_eq!(affinity("DECIMAL(10,2)"), Affinity::Numeric);
        assert_eq!(affinity("double precision"), Affinity::Real);
        assert_eq!(affinity(""), Affinity::Blob);
        assert_eq!(affinity("boolean"), Affinity::Bool);
        assert_eq!(affinity("JSONB"), Affinity::Json);
    }
}
