//! Writing rows to SQLite: one prepared statement, one row at a time, inside one transaction.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection};

use super::error;
use super::functions::{from_sql, to_sql};
use crate::db::{Blocks, Image, Insert, Inserted, RowUpdate};
use crate::error::{Error, Result};
use crate::key::{Key, KeyPart};
use crate::mapping::BoundLookup;
use crate::mapping::wire::stored;
use crate::plan::OnConflict;
use crate::sql::sqlite::SQLITE;
use crate::sql::{Column, Dialect as _, Table, quote, quote_list};
use crate::value::{Row, Value};

/// Writes the rows inside the open transaction.
pub fn insert(connection: &Connection, insert: &Insert<'_>) -> Result<Inserted> {
    let mut out = Inserted::default();
    for (at, row) in insert.rows.iter().enumerate() {
        if at == insert.rows.len() / 2 {
            crate::fail::point("half_written");
        }
        write_row(connection, insert, row, &mut out).map_err(|mut error| {
            error.row = Some(at as u64 + 1);
            error
        })?;
    }
    Ok(out)
}

/// Writes the blocks' rows inside the open transaction.
pub fn insert_blocks(
    connection: &Connection,
    insert: &Insert<'_>,
    blocks: &mut Blocks,
) -> Result<Inserted> {
    let convert = |failure: rusqlite::Error| error::convert(&failure);
    let mut out = Inserted::default();
    let (plain, asking) = (insert_sql(insert), returning_sql(insert));
    let encoding = connection.pragma_query_value(None, "encoding", |row| row.get::<_, String>(0));
    // Another encoding may change text that is not valid.
    let as_bound = encoding.map_err(convert)? == "UTF-8";
    while let Some(block) = blocks.pop() {
        crate::fail::point("half_written");
        let mut rest = block.data.as_slice();
        let digests = block.digests.as_ref().filter(|_| as_bound);
        let sql = if digests.is_some() { &plain } else { &asking };
        let mut statement = connection.prepare_cached(sql).map_err(convert)?;
        while !rest.is_empty() {
            for at in 1..=insert.columns.len() {
                let part = stored::next(&mut rest).and_then(|part| stored_value(&part));
                let value =
                    part.ok_or_else(|| Error::stop("a row was not encoded as it is read"))?;
                let value = ToSqlOutput::Borrowed(value);
                statement.raw_bind_parameter(at, value).map_err(convert)?;
            }
            let mut rows = statement.raw_query();
            while let Some(written) = rows.next().map_err(convert)? {
                out.inserted += 1;
                if let ValueRef::Blob(digest) = written.get_ref(0).map_err(convert)? {
                    out.digests.extend_from_slice(digest);
                }
            }
            drop(rows);
            if digests.is_some() {
                out.inserted += connection.changes();
            }
        }
        out.digests.extend_from_slice(digests.map_or(&[], Vec::as_slice));
    }
    Ok(out)
}

fn stored_value<'a>(part: &stored::Part<'a>) -> Option<ValueRef<'a>> {
    Some(match part.tag {
        stored::NULL => ValueRef::Null,
        stored::INT => ValueRef::Integer(part.number()?.cast_signed()),
        stored::REAL => ValueRef::Real(f64::from_bits(part.number()?)),
        stored::TEXT => ValueRef::Text(part.bytes),
        stored::BLOB => ValueRef::Blob(part.bytes),
        _ => return None,
    })
}

fn swallowed(insert: &Insert<'_>) -> Error {
    Error::stop("a row was sent and not written")
        .in_table(&insert.table.name.to_string())
        .hint("A trigger on the table swallows rows; drop it for the run.")
}

fn write_row(
    connection: &Connection,
    insert: &Insert<'_>,
    row: &Row,
    out: &mut Inserted,
) -> Result<()> {
    let before = match insert.conflict {
        OnConflict::Update => {
            image(connection, insert.table, insert.key, insert.columns, &sent_key(insert, row))?
        }
        _ => None,
    };
    let convert = |failure: rusqlite::Error| error::convert(&failure);
    let mut statement = connection.prepare_cached(&returning_sql(insert)).map_err(convert)?;
    bind(&mut statement, 0, row).map_err(convert)?;
    let mut rows = statement.raw_query();
    let Some(written) = rows.next().map_err(convert)? else {
        if insert.conflict == OnConflict::Skip {
            out.skipped += 1;
            if insert.want_keys {
                out.keys.push(sent_key(insert, row));
            }
            return Ok(());
        }
        return Err(swallowed(insert));
    };
    let digest = written.get_ref(0).map_err(convert)?;
    let digest = if let ValueRef::Blob(bytes) = digest { bytes.to_vec() } else { Vec::new() };
    let mut parts = Vec::with_capacity(insert.key.len());
    for at in 0..insert.key.len() {
        let part = from_sql(written.get_ref(at + 1).map_err(convert)?);
        parts.extend(KeyPart::from_stored(&part));
    }
    let key = Key(parts);
    // The statement runs to its end, so that a late error is seen.
    while rows.next().map_err(convert)?.is_some() {}
    match before {
        Some(before) => {
            out.images.push(Image { key: key.clone(), before, mark: digest });
        }
        None => {
            out.inserted += 1;
            out.digests.extend_from_slice(&digest);
        }
    }
    if insert.want_keys {
        out.keys.push(key);
    }
    Ok(())
}

/// Inserts a row and gives its digest and key back.
fn returning_sql(insert: &Insert<'_>) -> String {
    let mut sql = insert_sql(insert);
    sql.push_str(" RETURNING ");
    sql.push_str(&SQLITE.digest(&quote(&insert.table.name.name), insert.table, insert.digest));
    for name in insert.key {
        sql.push_str(", ");
        sql.push_str(&quote(name));
    }
    sql
}

fn insert_sql(insert: &Insert<'_>) -> String {
    let table = insert.table.name.sql(&SQLITE);
    let columns = quote_list(insert.columns.iter().map(|column| column.name.as_str()));
    let places: Vec<String> = (1..=insert.columns.len()).map(|at| format!("?{at}")).collect();
    let key = quote_list(insert.key.iter().map(String::as_str));
    let set: Vec<String> = insert
        .columns
        .iter()
        .filter(|column| !insert.key.contains(&column.name))
        .map(|column| format!("{0} = excluded.{0}", quote(&column.name)))
        .collect();
    let conflict = match insert.conflict {
        OnConflict::Fail => String::new(),
        OnConflict::Update if !set.is_empty() => {
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
        }
        OnConflict::Skip | OnConflict::Update => format!(" ON CONFLICT ({key}) DO NOTHING"),
    };
    format!("INSERT INTO {table} ({columns}) VALUES ({}){conflict}", places.join(", "))
}

fn sent_key(insert: &Insert<'_>, row: &Row) -> Key {
    let parts = insert.key.iter().filter_map(|name| {
        let at = insert.columns.iter().position(|column| column.name == *name)?;
        KeyPart::from_stored(&row[at])
    });
    Key(parts.collect())
}

fn bind(statement: &mut CachedStatement<'_>, shift: usize, row: &[Value]) -> rusqlite::Result<()> {
    for (at, value) in row.iter().enumerate() {
        statement.raw_bind_parameter(at + 1 + shift, to_sql(value))?;
    }
    Ok(())
}

fn key_condition(key: &[String], shift: usize) -> String {
    let parts: Vec<String> = key
        .iter()
        .enumerate()
        .map(|(at, name)| format!("t.{} IS ?{}", quote(name), at + 1 + shift))
        .collect();
    parts.join(" AND ")
}

/// The columns' values of the row with `key`; `None` if there is no such row.
fn image(
    connection: &Connection,
    table: &Table,
    key: &[String],
    columns: &[Column],
    wanted: &Key,
) -> Result<Option<Row>> {
    let list: Vec<String> =
        columns.iter().map(|column| format!("t.{}", quote(&column.name))).collect();
    let sql = format!(
        "SELECT {} FROM {} t WHERE {}",
        list.join(", "),
        table.name.sql(&SQLITE),
        key_condition(key, 0)
    );
    let read = || -> rusqlite::Result<Option<Row>> {
        let mut statement = connection.prepare_cached(&sql)?;
        let parts: Vec<Value> = wanted.0.iter().map(KeyPart::to_value).collect();
        bind(&mut statement, 0, &parts)?;
        let mut rows = statement.raw_query();
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        (0..columns.len())
            .map(|at| row.get_ref(at).map(from_sql))
            .collect::<rusqlite::Result<_>>()
            .map(Some)
    };
    read().map_err(|failure| error::convert(&failure))
}

/// Updates rows by key; rows whose values are already so are left alone.
pub fn update(
    connection: &Connection,
    table: &Table,
    key: &[String],
    columns: &[Column],
    digest: &[String],
    updates: &[RowUpdate],
) -> Result<Vec<Image>> {
    let set: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("{} = ?{}", quote(&column.name), at + 1))
        .collect();
    let sql = format!(
        "UPDATE {} AS t SET {} WHERE {} RETURNING {}",
        table.name.sql(&SQLITE),
        set.join(", "),
        key_condition(key, columns.len()),
        SQLITE.digest(&quote(&table.name.name), table, digest),
    );
    let mut images = Vec::new();
    for (at, update) in updates.iter().enumerate() {
        let Some(before) = image(connection, table, key, columns, &update.key)? else {
            continue;
        };
        if same(&before, &update.cells) {
            continue;
        }
        let mark = update_row(connection, &sql, update).map_err(|failure| {
            let mut error = error::convert(&failure);
            error.row = Some(at as u64 + 1);
            error
        })?;
        images.push(Image { key: update.key.clone(), before, mark });
    }
    Ok(images)
}

fn update_row(connection: &Connection, sql: &str, update: &RowUpdate) -> rusqlite::Result<Vec<u8>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, 0, &update.cells)?;
    let parts: Vec<Value> = update.key.0.iter().map(KeyPart::to_value).collect();
    bind(&mut statement, update.cells.len(), &parts)?;
    let mut rows = statement.raw_query();
    let mut mark = Vec::new();
    while let Some(row) = rows.next()? {
        if let ValueRef::Blob(bytes) = row.get_ref(0)? {
            mark = bytes.to_vec();
        }
    }
    Ok(mark)
}

/// The stored values are what would be written.
fn same(before: &Row, cells: &Row) -> bool {
    before.iter().zip(cells).all(|(old, new)| to_sql(old) == to_sql(new))
}

/// Values of `take` for each key, at most two for one key.
pub fn look_up(
    connection: &Connection,
    lookup: &BoundLookup,
    keys: &[Vec<Value>],
) -> Result<Vec<Vec<Value>>> {
    let conditions: Vec<String> = lookup
        .matches
        .iter()
        .enumerate()
        .map(|(at, (name, _))| format!("t.{} = ?{}", quote(name), at + 1))
        .collect();
    let sql = format!(
        "SELECT t.{} FROM {} t WHERE {} LIMIT 2",
        quote(&lookup.take),
        lookup.table.sql(&SQLITE),
        conditions.join(" AND "),
    );
    let find = |key: &[Value]| -> rusqlite::Result<Vec<Value>> {
        let mut statement = connection.prepare_cached(&sql)?;
        bind(&mut statement, 0, key)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(from_sql(row.get_ref(0)?));
        }
        Ok(found)
    };
    keys.iter().map(|key| find(key).map_err(|failure| error::convert(&failure))).collect()
}
