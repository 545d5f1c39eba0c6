//! Writing rows to PostgreSQL: straight COPY where nothing can be there already, a staging
//! table where conflicts or keys made by the server have to be seen.

use sqlx::postgres::{PgConnection, PgCopyIn};

use super::copy_text;
use super::error;
use super::session::{PgSession, decode_row};
use super::watch::Watch;
use crate::db::{Blocks, Image, Insert, Inserted, RowUpdate, Session as _};
use crate::error::{Error, Result};
use crate::key::{Key, KeyPart};
use crate::mapping::BoundLookup;
use crate::mapping::wire::encode;
use crate::plan::OnConflict;
use crate::sql::postgres::POSTGRES;
use crate::sql::{Bind, Column, Statement, Table, quote, quote_list};
use crate::value::{Row, Value};

/// COPY data goes to the server in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes the rows inside the open transaction.
pub async fn insert(session: &mut PgSession, insert: &Insert<'_>) -> Result<Inserted> {
    let key_is_sent =
        insert.key.iter().all(|key| insert.columns.iter().any(|column| column.name == *key));
    if insert.conflict == OnConflict::Fail && (!insert.want_keys || key_is_sent) {
        let list = quote_list(insert.columns.iter().map(|column| column.name.as_str()));
        let sent = copy_in(
            session,
            &format!("COPY {} ({list}) FROM STDIN", insert.table.name.sql(&POSTGRES)),
            insert.rows.iter().map(Vec::as_slice),
        )
        .await?;
        compare(insert.table, insert.rows.len() as u64, sent)?;
        let keys = if insert.want_keys { sent_keys(insert) } else { Vec::new() };
        return Ok(Inserted { inserted: sent, keys, ..Inserted::default() });
    }
    let stage = stage(session, insert.columns, insert.rows).await?;
    from_stage(session, insert, &stage).await
}

/// `affected = sent`, or something in the database swallowed or added rows.
fn compare(table: &Table, sent: u64, affected: u64) -> Result<()> {
    if sent == affected {
        return Ok(());
    }
    Err(Error::swallowed(&table.name.to_string(), sent, affected))
}

fn sent_keys(insert: &Insert<'_>) -> Vec<Key> {
    let at: Vec<usize> = insert
        .key
        .iter()
        .filter_map(|key| insert.columns.iter().position(|column| column.name == *key))
        .collect();
    let key_of =
        |row: &Row| Key(at.iter().filter_map(|at| KeyPart::from_postgres(&row[*at])).collect());
    insert.rows.iter().map(key_of).collect()
}

/// Streams rows into a COPY. The session is broken until the server has said that all is well.
async fn copy_in<'r>(
    session: &mut PgSession,
    statement: &str,
    rows: impl Iterator<Item = &'r [Value]>,
) -> Result<u64> {
    session.broken = true;
    let watch = &session.watch;
    let copy = watch.answer(session.connection.copy_in_raw(statement)).await;
    let mut copy = match copy {
        Ok(copy) => copy,
        Err(failure) => return Err(error::convert(&failure)),
    };
    crate::fail::point("half_written");
    let mut buffer = Vec::with_capacity(PIECE_BYTES * 2);
    for row in rows {
        copy_text::encode(row, &mut buffer);
        if buffer.len() >= PIECE_BYTES {
            let sent = watch.answer(copy.send(buffer.as_slice())).await.map(|_| ());
            sent.map_err(|failure| error::convert(&failure))?;
            buffer.clear();
        }
    }
    if !buffer.is_empty() {
        let sent = watch.answer(copy.send(buffer.as_slice())).await.map(|_| ());
        sent.map_err(|failure| error::convert(&failure))?;
    }
    finish(watch, &mut session.broken, copy).await
}

/// Ends a COPY and takes the server's verdict.
async fn finish(
    watch: &Watch,
    broken: &mut bool,
    copy: PgCopyIn<&mut PgConnection>,
) -> Result<u64> {
    let answer = watch.answer(copy.finish()).await;
    // After its error the server says that it is ready, and `finish` has read that too: a
    // refused COPY leaves the session in step, inside a transaction that has failed.
    if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
        *broken = false;
    }
    answer.map_err(|failure| error::convert(&failure))
}

/// Sends rows that are encoded already. Blocks are let go as they are sent: after an error the
/// rows are read again.
pub async fn copy_blocks(
    session: &mut PgSession,
    table: &Table,
    columns: &[Column],
    blocks: &mut Blocks,
) -> Result<u64> {
    session.broken = true;
    let watch = &session.watch;
    let list = quote_list(columns.iter().map(|column| column.name.as_str()));
    let statement =
        format!("COPY {} ({list}) FROM STDIN (FORMAT binary)", table.name.sql(&POSTGRES));
    let copy = watch.answer(session.connection.copy_in_raw(&statement)).await;
    let mut copy = copy.map_err(|failure| error::convert(&failure))?;
    crate::fail::point("half_written");
    let mut send = async |bytes: &[u8]| {
        let sent = watch.answer(copy.send(bytes)).await.map(|_| ());
        sent.map_err(|failure| error::convert(&failure))
    };
    send(encode::HEADER).await?;
    while let Some(block) = blocks.pop() {
        for piece in block.data.chunks(PIECE_BYTES) {
            send(piece).await?;
        }
    }
    send(encode::TRAILER).await?;
    finish(watch, &mut session.broken, copy).await
}

/// Fills the session's staging table: a number and one text column for each cell. Its name.
async fn stage(session: &mut PgSession, columns: &[Column], rows: &[Row]) -> Result<String> {
    let name = format!("tablelift_stage_{}", columns.len());
    let definitions: Vec<String> = (0..columns.len()).map(|at| format!("c{at} text")).collect();
    let sql = format!(
        "SET client_min_messages = warning; \
         CREATE TEMP TABLE IF NOT EXISTS {name} (n bigint, {}) ON COMMIT DELETE ROWS; \
         DELETE FROM pg_temp.{name}",
        definitions.join(", ")
    );
    session.script(&sql).await?;
    let list: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let numbered: Vec<Row> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let mut cells = Vec::with_capacity(row.len() + 1);
            cells.push(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
            cells.extend(row.iter().cloned());
            cells
        })
        .collect();
    let stage = format!("pg_temp.{name}");
    let statement = format!("COPY {stage} (n, {}) FROM STDIN", list.join(", "));
    copy_in(session, &statement, numbered.iter().map(Vec::as_slice)).await?;
    Ok(stage)
}

/// `s.c0::bigint`
fn staged(at: usize, column: &Column) -> String {
    format!("s.c{at}::{}", column.ty.name)
}

/// `t."id" = s.c0::bigint AND …` for the key's columns.
fn on_key(key: &[String], columns: &[Column]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| key.contains(&column.name))
        .map(|(at, column)| format!("t.{} = {}", quote(&column.name), staged(at, column)))
        .collect();
    parts.join(" AND ")
}

fn key_parts(key: &[String]) -> String {
    let parts: Vec<String> = key.iter().map(|name| format!("t.{}::text", quote(name))).collect();
    parts.join(", ")
}

async fn from_stage(session: &mut PgSession, insert: &Insert<'_>, stage: &str) -> Result<Inserted> {
    let table = insert.table.name.sql(&POSTGRES);
    let mut out = Inserted::default();
    if insert.conflict == OnConflict::Update {
        out.images = images(session, insert, stage).await?;
    }
    let names = quote_list(insert.columns.iter().map(|column| column.name.as_str()));
    let cells: Vec<String> =
        insert.columns.iter().enumerate().map(|(at, column)| staged(at, column)).collect();
    let overriding = if insert.columns.iter().any(|column| column.identity_always) {
        " OVERRIDING SYSTEM VALUE"
    } else {
        ""
    };
    let returning =
        if insert.key.is_empty() { "1::text".to_owned() } else { key_parts(insert.key) };
    let sql = format!(
        "INSERT INTO {table} AS t ({names}){overriding} SELECT {} FROM {stage} s ORDER BY s.n{} \
         RETURNING {returning}",
        cells.join(", "),
        conflict_clause(insert),
    );
    let written = session.rows(&Statement::new(sql)).await?;
    let written_count = written.len() as u64;
    let sent = insert.rows.len() as u64;
    if insert.conflict != OnConflict::Skip {
        compare(insert.table, sent, written_count)?;
    }
    out.skipped = sent.saturating_sub(written_count);
    out.inserted = written_count.saturating_sub(out.images.len() as u64);
    if insert.want_keys {
        out.keys = if insert.conflict == OnConflict::Skip {
            sent_keys(insert)
        } else {
            written.iter().map(|row| key_of(row)).collect()
        };
    }
    Ok(out)
}

fn conflict_clause(insert: &Insert<'_>) -> String {
    let key = quote_list(insert.key.iter().map(String::as_str));
    match insert.conflict {
        OnConflict::Fail => String::new(),
        OnConflict::Skip => format!(" ON CONFLICT ({key}) DO NOTHING"),
        OnConflict::Update => {
            let set: Vec<String> = insert
                .columns
                .iter()
                .filter(|column| !insert.key.contains(&column.name))
                .map(|column| format!("{0} = excluded.{0}", quote(&column.name)))
                .collect();
            if set.is_empty() {
                return format!(" ON CONFLICT ({key}) DO NOTHING");
            }
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
        }
    }
}

fn key_of(row: &[Value]) -> Key {
    Key(row.iter().filter_map(KeyPart::from_postgres).collect())
}

/// Before-images of the target rows whose key is staged, locked until commit.
async fn images(session: &mut PgSession, insert: &Insert<'_>, stage: &str) -> Result<Vec<Image>> {
    let (table, key, columns) = (insert.table, insert.key, insert.columns);
    let values: Vec<String> =
        columns.iter().map(|column| format!("t.{}::text", quote(&column.name))).collect();
    let sql = format!(
        "SELECT {}, t.xmin::text, {} FROM {} t JOIN {stage} s ON {} FOR UPDATE OF t",
        key_parts(key),
        values.join(", "),
        table.name.sql(&POSTGRES),
        on_key(key, columns),
    );
    let rows = session.rows(&Statement::new(sql)).await?;
    Ok(rows.into_iter().map(|row| image(row, key.len())).collect())
}

/// Key parts, then `xmin`, then the columns' values.
fn image(mut row: Row, key_parts: usize) -> Image {
    let before = row.split_off(key_parts + 1);
    let mark = row.pop().and_then(|xmin| xmin.to_text()).unwrap_or_default().into_bytes();
    Image { key: key_of(&row), before, mark }
}

/// Updates rows by key; rows whose values are already so are left alone.
pub async fn update(
    session: &mut PgSession,
    table: &Table,
    key: &[String],
    columns: &[Column],
    updates: &[RowUpdate],
) -> Result<Vec<Image>> {
    let key_columns: Vec<Column> =
        key.iter().filter_map(|name| table.column(name).cloned()).collect();
    let all: Vec<Column> = key_columns.iter().chain(columns).cloned().collect();
    let rows: Vec<Row> = updates
        .iter()
        .map(|update| {
            update.key.0.iter().map(KeyPart::to_value).chain(update.cells.iter().cloned()).collect()
        })
        .collect();
    let stage = stage(session, &all, &rows).await?;
    let shift = key_columns.len();
    let join: Vec<String> = key_columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("t.{} = {}", quote(&column.name), staged(at, column)))
        .collect();
    let differs: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            // Compared as text: json has no equality, and 1.0 is not 1.00 to a reader.
            format!(
                "t.{}::text IS DISTINCT FROM ({})::text",
                quote(&column.name),
                staged(at + shift, column)
            )
        })
        .collect();
    let values: Vec<String> =
        columns.iter().map(|column| format!("t.{}::text", quote(&column.name))).collect();
    let before = format!(
        "SELECT {}, t.xmin::text, {} FROM {} t JOIN {stage} s ON {} WHERE {} FOR UPDATE OF t",
        key_parts(key),
        values.join(", "),
        table.name.sql(&POSTGRES),
        join.join(" AND "),
        differs.join(" OR "),
    );
    let found = session.rows(&Statement::new(before)).await?;
    let images: Vec<Image> = found.into_iter().map(|row| image(row, key.len())).collect();
    let set: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("{} = {}", quote(&column.name), staged(at + shift, column)))
        .collect();
    let write = format!(
        "UPDATE {} t SET {} FROM {stage} s WHERE {} AND ({})",
        table.name.sql(&POSTGRES),
        set.join(", "),
        join.join(" AND "),
        differs.join(" OR "),
    );
    let affected = session.execute(&Statement::new(write)).await?;
    compare(table, images.len() as u64, affected)?;
    Ok(images)
}

/// Values of `take` for each key, at most two for one key.
pub async fn look_up(
    session: &mut PgSession,
    lookup: &BoundLookup,
    keys: &[Vec<Value>],
) -> Result<Vec<Vec<Value>>> {
    let width = lookup.matches.len();
    let names: Vec<String> = (0..width).map(|at| format!("k{at}")).collect();
    let arrays: Vec<String> = (1..=width).map(|at| format!("${at}::text[]")).collect();
    let join: Vec<String> = lookup
        .matches
        .iter()
        .enumerate()
        .map(|(at, (name, ty))| format!("t.{} = u.k{at}::{}", quote(name), ty.name))
        .collect();
    let sql = format!(
        "SELECT u.n::bigint, (t.{})::text FROM unnest({}) WITH ORDINALITY AS u({}, n) \
         JOIN {} t ON {}",
        quote(&lookup.take),
        arrays.join(", "),
        names.join(", "),
        lookup.table.sql(&POSTGRES),
        join.join(" AND "),
    );
    let mut statement = Statement::new(sql);
    for at in 0..width {
        let list = keys.iter().map(|key| key[at].to_text().unwrap_or_default()).collect();
        statement = statement.bind(Bind::TextList(list));
    }
    let mut out = vec![Vec::new(); keys.len()];
    for row in session.query(&statement).await? {
        let row = decode_row(&row)?;
        let (Value::Int(n), value) = (&row[0], &row[1]) else {
            continue;
        };
        let slot = usize::try_from(*n).ok().and_then(|n| out.get_mut(n.wrapping_sub(1)));
        if let Some(found) = slot.filter(|found| found.len() < 2) {
            found.push(match value.to_text() {
                Some(text) => copy_text::typed(&lookup.take_type.kind, text)?,
                None => Value::Null,
            });
        }
    }
    Ok(out)
}
