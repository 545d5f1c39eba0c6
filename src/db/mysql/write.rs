//! Writing rows to MariaDB: many rows in one prepared INSERT, which gives back their digests.
//! What a conflict means is decided before the INSERT, by the named key alone: ON DUPLICATE KEY
//! would look at every unique key, and IGNORE would swallow refused values.

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlArguments, MySqlRow};

use super::argument::{self, Argument};
use super::rows;
use super::session::MySession;
use crate::db::{Image, Insert, Inserted, RowUpdate};
use crate::error::{Class, Error, Result};
use crate::key::{Key, KeyPart};
use crate::mapping::BoundLookup;
use crate::plan::OnConflict;
use crate::sql::keyset::KeyColumns;
use crate::sql::mysql::{MYSQL, readable};
use crate::sql::{Column, ColumnType, Dialect as _, Kind, Table};
use crate::value::{Row, Value};

/// Rows of one INSERT, placeholders of one statement, and rows that one query asks for by key.
const ROWS: usize = 1_000;
const PLACEHOLDERS: usize = 65_535;
const ASKED: usize = 200;

/// Bytes of one INSERT, far below what any server takes.
const BYTES: usize = 1 << 20;

/// Writes the rows inside the open transaction.
pub async fn insert(session: &mut MySession, insert: &Insert<'_>) -> Result<Inserted> {
    let mut out = Inserted::default();
    let key = key_columns(insert.table, insert.key);
    let keys: Vec<Key> = match insert.conflict {
        OnConflict::Fail => Vec::new(),
        _ => insert.rows.iter().map(|row| sent_key(insert, row)).collect(),
    };
    let mut known: Vec<Option<Key>> = vec![None; insert.rows.len()];
    let mut new: Vec<usize> = (0..insert.rows.len()).collect();
    match insert.conflict {
        OnConflict::Fail => {}
        OnConflict::Skip => {
            let there = present(session, insert.table, &key, &keys).await?;
            new.retain(|at| !there.contains(at));
            out.skipped = there.len() as u64;
            for at in there {
                known[at] = Some(keys[at].clone());
            }
        }
        OnConflict::Update => {
            let there = images(session, insert.table, &key, insert.columns, &keys).await?;
            new.retain(|at| !there.iter().any(|(there, _)| there == at));
            out.images = change(session, insert, &key, there).await?;
            for image in &out.images {
                if let Some(at) = keys.iter().position(|key| *key == image.key) {
                    known[at] = Some(image.key.clone());
                }
            }
        }
    }
    for (at, row) in write_new(session, insert, &key, &new).await? {
        out.inserted += 1;
        out.digests.extend_from_slice(&row.digest);
        known[at] = Some(row.key);
    }
    if insert.want_keys {
        out.keys = known.into_iter().flatten().collect();
    }
    Ok(out)
}

/// What the server gives back of a new row.
struct Written {
    digest: Vec<u8>,
    key: Key,
}

/// Inserts the rows at these positions; what came of each.
async fn write_new(
    session: &mut MySession,
    insert: &Insert<'_>,
    key: &KeyColumns,
    positions: &[usize],
) -> Result<Vec<(usize, Written)>> {
    let width = insert.columns.len().max(1);
    let most = ROWS.min(PLACEHOLDERS / width).max(1);
    let table = MYSQL.quote(&insert.table.name.name);
    let mut returning = MYSQL.digest(&table, insert.table, insert.digest);
    if !key.0.is_empty() {
        returning = format!("{returning}, {}", MYSQL.key_list(&table, &key.0));
    }
    let names = MYSQL.quote_list(&mut insert.columns.iter().map(|column| column.name.as_str()));
    let head = format!("INSERT INTO {} ({names}) VALUES ", insert.table.name.sql(&MYSQL));
    let mut out = Vec::with_capacity(positions.len());
    let mut rest = positions;
    while !rest.is_empty() {
        let mut arguments = MySqlArguments::default();
        let (mut count, mut bytes) = (0, 0);
        for at in rest.iter().take(most) {
            let row = argument::row(&insert.rows[*at], insert.columns, at + 1)?;
            let size: usize = row.iter().map(Argument::size).sum();
            if size + head.len() * 2 > session.packet {
                return Err(too_large(size, session.packet, at + 1));
            }
            if count > 0 && bytes + size > BYTES.min(session.packet / 2) {
                break;
            }
            for argument in &row {
                argument.add(&mut arguments)?;
            }
            (count, bytes) = (count + 1, bytes + size);
        }
        let (now, later) = rest.split_at(count);
        let row = format!("({})", vec!["?"; insert.columns.len()].join(","));
        let rows = vec![row.as_str(); count].join(",");
        let text = format!("{head}{rows} RETURNING {returning}");
        let query = sqlx::query_with(AssertSqlSafe(text), arguments).persistent(count == most);
        let written = session.query(query).await.map_err(|mut error| {
            // The server counts the rows of its statement.
            let at = error.row.and_then(|row| now.get(usize::try_from(row).ok()?.checked_sub(1)?));
            error.row = at.map(|at| *at as u64 + 1);
            error
        })?;
        crate::fail::point("half_written");
        if written.len() != count {
            let table = insert.table.name.to_string();
            return Err(Error::swallowed(&table, count as u64, written.len() as u64));
        }
        for (at, row) in now.iter().zip(&written) {
            out.push((*at, written_of(row)?));
        }
        rest = later;
    }
    Ok(out)
}

fn too_large(size: usize, packet: usize, at: usize) -> Error {
    let message = format!("the row has {size} bytes, the server takes {packet}");
    let mut error =
        Error::new(Class::Split, message).hint("Raise the target's max_allowed_packet.");
    error.row = Some(at as u64);
    error
}

fn written_of(row: &MySqlRow) -> Result<Written> {
    let mut values = rows::decode(row)?.into_iter();
    let Some(Value::Bytes(digest)) = values.next() else {
        return Err(Error::stop("a row's digest came in another form"));
    };
    let parts = values.filter_map(|value| KeyPart::from_stored(&value)).collect();
    Ok(Written { digest, key: Key(parts) })
}

fn key_columns(table: &Table, names: &[String]) -> KeyColumns {
    KeyColumns(names.iter().filter_map(|name| table.column(name).cloned()).collect())
}

fn sent_key(insert: &Insert<'_>, row: &Row) -> Key {
    let parts = insert.key.iter().filter_map(|name| {
        let at = insert.columns.iter().position(|column| column.name == *name)?;
        KeyPart::from_stored(&row[at])
    });
    Key(parts.collect())
}

/// Asks the same of each key in few statements; each answer has the key's position in front. A
/// key with a NULL equals none.
async fn ask_each(
    session: &mut MySession,
    key: &KeyColumns,
    keys: &[Key],
    ask: impl Fn(usize, &str) -> String,
) -> Result<Vec<MySqlRow>> {
    let mut out = Vec::new();
    let whole = |(_, one): &(usize, &Key)| one.0.len() == key.0.len() && !key.0.is_empty();
    let each: Vec<String> = keys
        .iter()
        .enumerate()
        .filter(whole)
        .map(|(at, one)| format!("({})", ask(at, &key.equals(&MYSQL, "t", one))))
        .collect();
    for part in each.chunks(ASKED) {
        let text = AssertSqlSafe(part.join(" UNION ALL "));
        out.extend(session.query(sqlx::query(text).persistent(false)).await?);
    }
    Ok(out)
}

/// Positions of the keys that are in the table.
async fn present(
    session: &mut MySession,
    table: &Table,
    key: &KeyColumns,
    keys: &[Key],
) -> Result<Vec<usize>> {
    let from = table.name.sql(&MYSQL);
    let found = ask_each(session, key, keys, |at, condition| {
        format!("SELECT {at} FROM {from} t WHERE {condition}")
    });
    found.await?.iter().map(position).collect()
}

fn position(row: &MySqlRow) -> Result<usize> {
    let lost = || Error::stop("an answer came in another form");
    match rows::values(row, &[Kind::Int(8)])?.first() {
        Some(Value::Int(at)) => usize::try_from(*at).map_err(|_| lost()),
        _ => Err(lost()),
    }
}

/// Rows that are there, by the position of their key, locked until commit: the columns' values.
async fn images(
    session: &mut MySession,
    table: &Table,
    key: &KeyColumns,
    columns: &[Column],
    keys: &[Key],
) -> Result<Vec<(usize, Row)>> {
    let from = table.name.sql(&MYSQL);
    let list: Vec<String> = columns
        .iter()
        .map(|column| readable(&format!("t.{}", MYSQL.quote(&column.name)), &column.ty))
        .collect();
    let list = list.join(", ");
    let found = ask_each(session, key, keys, |at, condition| {
        format!("SELECT {at}, {list} FROM {from} t WHERE {condition} FOR UPDATE")
    });
    let kinds: Vec<Kind> = std::iter::once(Kind::Int(8))
        .chain(columns.iter().map(|column| column.ty.kind.clone()))
        .collect();
    let mut out = Vec::new();
    for row in found.await? {
        let mut values = rows::values(&row, &kinds)?;
        values.remove(0);
        out.push((position(&row)?, values));
    }
    Ok(out)
}

/// The digests of rows as they are now, in the order of the keys.
async fn digests(
    session: &mut MySession,
    table: &Table,
    key: &KeyColumns,
    digest: &[String],
    keys: &[Key],
) -> Result<Vec<Vec<u8>>> {
    let (from, mark) = (table.name.sql(&MYSQL), MYSQL.digest("t", table, digest));
    let found = ask_each(session, key, keys, |at, condition| {
        format!("SELECT {at}, {mark} FROM {from} t WHERE {condition}")
    });
    let mut out = vec![Vec::new(); keys.len()];
    for row in found.await? {
        if let Some(Value::Bytes(bytes)) = rows::values(&row, &[Kind::Int(8), Kind::Bytes])?.pop() {
            out[position(&row)?] = bytes;
        }
    }
    Ok(out)
}

/// The upsert's rows that are there are updated whole, whether they differ or not.
async fn change(
    session: &mut MySession,
    insert: &Insert<'_>,
    key: &KeyColumns,
    there: Vec<(usize, Row)>,
) -> Result<Vec<Image>> {
    let mut images = Vec::with_capacity(there.len());
    for (at, before) in there {
        let one = sent_key(insert, &insert.rows[at]);
        update_row(session, insert.table, key, &one, insert.columns, &insert.rows[at], at).await?;
        images.push(Image { key: one, before, mark: Vec::new() });
    }
    mark(session, insert.table, key, insert.digest, images).await
}

/// The images with the digests of their rows after the update.
async fn mark(
    session: &mut MySession,
    table: &Table,
    key: &KeyColumns,
    digest: &[String],
    mut images: Vec<Image>,
) -> Result<Vec<Image>> {
    let keys: Vec<Key> = images.iter().map(|image| image.key.clone()).collect();
    let marks = digests(session, table, key, digest, &keys).await?;
    for (image, mark) in images.iter_mut().zip(marks) {
        image.mark = mark;
    }
    Ok(images)
}

async fn update_row(
    session: &mut MySession,
    table: &Table,
    key: &KeyColumns,
    one: &Key,
    columns: &[Column],
    cells: &Row,
    at: usize,
) -> Result<()> {
    let set: Vec<String> =
        columns.iter().map(|column| format!("{} = ?", MYSQL.quote(&column.name))).collect();
    let mut arguments = MySqlArguments::default();
    for argument in argument::row(cells, columns, at + 1)? {
        argument.add(&mut arguments)?;
    }
    let text = format!(
        "UPDATE {} t SET {} WHERE {}",
        table.name.sql(&MYSQL),
        set.join(", "),
        key.equals(&MYSQL, "t", one)
    );
    let query = sqlx::query_with(AssertSqlSafe(text), arguments).persistent(false);
    let answer = session.watch.answer(query.execute(&mut session.connection)).await;
    let done = answer.map_err(|failure| {
        let mut error = session.fail(&failure);
        error.row = Some(at as u64 + 1);
        error
    })?;
    match done.rows_affected() {
        1 => Ok(()),
        written => Err(Error::swallowed(&table.name.to_string(), 1, written)),
    }
}

/// Updates rows by key; rows whose values are already so are left alone.
pub async fn update(
    session: &mut MySession,
    table: &Table,
    key: &[String],
    columns: &[Column],
    digest: &[String],
    updates: &[RowUpdate],
) -> Result<Vec<Image>> {
    let key = key_columns(table, key);
    let keys: Vec<Key> = updates.iter().map(|update| update.key.clone()).collect();
    let mut done = Vec::new();
    for (at, before) in images(session, table, &key, columns, &keys).await? {
        let update = &updates[at];
        let same = before
            .iter()
            .zip(&update.cells)
            .zip(columns)
            .all(|((old, new), column)| is_stored_as(old, new, &column.ty));
        if same {
            continue;
        }
        update_row(session, table, &key, &update.key, columns, &update.cells, at).await?;
        done.push(Image { key: update.key.clone(), before, mark: Vec::new() });
    }
    mark(session, table, &key, digest, done).await
}

/// The stored value is what would be written.
fn is_stored_as(old: &Value, new: &Value, ty: &ColumnType) -> bool {
    let text = |value: &Value| {
        let text = value.to_text()?;
        // Zeros at the end of decimals are the column's.
        let decimal = matches!(ty.kind, Kind::Numeric(_)) && text.contains('.');
        Some(if decimal {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.trim_end_matches("+00").to_owned()
        })
    };
    match (old, new) {
        (Value::Bytes(old), Value::Bytes(new)) => old == new,
        (Value::Bool(_), _) | (_, Value::Bool(_)) => argument_text(old) == argument_text(new),
        _ => text(old) == text(new),
    }
}

fn argument_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(b) => Some(i32::from(*b).to_string()),
        other => other.to_text(),
    }
}

/// Values of `take` for each key, at most two for one key.
pub async fn look_up(
    session: &mut MySession,
    lookup: &BoundLookup,
    keys: &[Vec<Value>],
) -> Result<Vec<Vec<Value>>> {
    let columns = lookup.matches.iter().map(|(name, ty)| Column {
        name: name.clone(),
        ty: ty.clone(),
        not_null: false,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    });
    let key = KeyColumns(columns.collect());
    let keys: Vec<Key> = keys
        .iter()
        .map(|values| Key(values.iter().filter_map(KeyPart::from_stored).collect()))
        .collect();
    let from = lookup.table.sql(&MYSQL);
    let take = readable(&format!("t.{}", MYSQL.quote(&lookup.take)), &lookup.take_type);
    let found = ask_each(session, &key, &keys, |at, condition| {
        format!("SELECT {at}, {take} FROM {from} t WHERE {condition} LIMIT 2")
    });
    let kinds = [Kind::Int(8), lookup.take_type.kind.clone()];
    let mut out = vec![Vec::new(); keys.len()];
    for row in found.await? {
        if let (at, Some(value)) = (position(&row)?, rows::values(&row, &kinds)?.pop()) {
            out[at].push(value);
        }
    }
    Ok(out)
}
