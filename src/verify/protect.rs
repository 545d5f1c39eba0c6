//! Protected tables: their rows' digests are taken once, before the first step, and compared
//! after the last one, so that a changed row can be named by its key.

use std::collections::HashMap;

use crate::db::Session;
use crate::engine::chunker::key_of;
use crate::error::{Error, Result};
use crate::event::Difference;
use crate::key::{Key, KeyRange};
use crate::ledger::{Ledger, number, text};
use crate::plan::Protect;
use crate::sql::keyset::KeyColumns;
use crate::sql::{Bind, Kind, Statement, Table, TableName};
use crate::value::{Row, Value};

/// Rows in one block of the baseline.
const BLOCK_ROWS: usize = 1000;

/// Bytes of one row's digest.
const DIGEST_BYTES: usize = 16;

/// Differences that are listed; all are counted.
const LISTED: usize = 100;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Compared {
    /// Rows now.
    pub rows: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// All differences.
    pub count: u64,
}

impl Compared {
    fn add(&mut self, kind: &'static str, key: Option<serde_json::Value>) {
        self.count += 1;
        if self.differences.len() < LISTED {
            self.differences.push(Difference { kind, key });
        }
    }
}

/// One page of a table in key order: keys and digests.
struct Page {
    keys: Vec<Key>,
    digests: Vec<Vec<u8>>,
}

/// How a protected table is read: the columns compared and the key.
struct Reading {
    table: Table,
    columns: Vec<String>,
    key: Option<KeyColumns>,
}

impl Reading {
    async fn open(
        session: &mut dyn Session,
        name: &str,
        columns: Option<Vec<String>>,
        except: &[String],
    ) -> Result<Reading> {
        let table = session.table(&TableName::bare(name)).await?.ok_or_else(|| {
            Error::invalid(format!("there is no table `{name}` in the target"))
                .in_table(name)
                .hint("Check the name under [[protect]].")
        })?;
        if let Some(unknown) = except.iter().find(|column| table.column(column).is_none()) {
            return Err(Error::invalid(format!(
                "`except` names no column of the table: `{unknown}`"
            ))
            .in_table(name));
        }
        let columns = columns.unwrap_or_else(|| {
            table.column_names().map(str::to_owned).filter(|name| !except.contains(name)).collect()
        });
        let usable = |names: &[String]| {
            names.iter().all(|name| {
                table.column(name).is_some_and(|column| {
                    column.not_null && !matches!(column.ty.kind, Kind::Float4 | Kind::Float8)
                })
            })
        };
        // A key with NULLs can't be walked in order; such a table is compared as a whole.
        let unique = table.unique.iter().find(|key| usable(&key.columns));
        let key = unique.map(|key| {
            KeyColumns(key.columns.iter().filter_map(|name| table.column(name).cloned()).collect())
        });
        Ok(Reading { columns, key, table })
    }

    async fn page(
        &self,
        session: &mut dyn Session,
        key: &KeyColumns,
        range: &KeyRange,
        limit: Option<usize>,
    ) -> Result<Page> {
        let dialect = session.dialect();
        let limit = limit.map_or(String::new(), |limit| format!(" LIMIT {limit}"));
        let select = format!(
            "SELECT {}, {} FROM {} s WHERE {} ORDER BY {}{limit}",
            dialect.digest("s", &self.table, &self.columns),
            dialect.key_list("s", &key.0),
            self.table.name.sql(dialect),
            key.within(dialect, "s", range),
            key.ascending(dialect, "s"),
        );
        let mut page = Page { keys: Vec::new(), digests: Vec::new() };
        for row in session.rows(&Statement::new(select)).await? {
            page.digests.push(digest_of(&row)?);
            page.keys.push(key_of(dialect.flavor(), &row[1..], &self.table.name.name)?);
        }
        Ok(page)
    }

    /// Digests of all rows of a table without a key, as a multiset.
    async fn bag(&self, session: &mut dyn Session) -> Result<HashMap<Vec<u8>, i64>> {
        let select = format!(
            "SELECT {} FROM {} s",
            session.dialect().digest("s", &self.table, &self.columns),
            self.table.name.sql(session.dialect())
        );
        let mut bag = HashMap::new();
        for row in session.rows(&Statement::new(select)).await? {
            *bag.entry(digest_of(&row)?).or_insert(0) += 1;
        }
        Ok(bag)
    }
}

fn digest_of(row: &Row) -> Result<Vec<u8>> {
    match row.first() {
        Some(Value::Bytes(bytes)) if bytes.len() == DIGEST_BYTES => Ok(bytes.clone()),
        _ => Err(Error::stop("a row's digest came in another form")),
    }
}

/// Takes the baseline of a protected table; inside the transaction that starts the run.
pub async fn take(session: &mut dyn Session, ledger: &Ledger, protect: &Protect) -> Result<()> {
    let reading = Reading::open(session, &protect.table, None, &protect.except).await?;
    let mut rows: u64 = 0;
    let mut block = 0;
    if let Some(key) = &reading.key {
        let mut range = KeyRange::default();
        loop {
            let page = reading.page(session, key, &range, Some(BLOCK_ROWS)).await?;
            let Some(last) = page.keys.last().cloned() else {
                break;
            };
            rows += page.keys.len() as u64;
            let keys: Vec<String> = page.keys.iter().map(Key::to_ledger).collect();
            let keys = format!("[{}]", keys.join(","));
            let digests: Vec<u8> = page.digests.concat();
            store_block(session, ledger, &protect.table, block, Some(&last), keys, digests).await?;
            block += 1;
            range.after = Some(last);
        }
    } else {
        let mut digests: Vec<Vec<u8>> = Vec::new();
        for (digest, times) in reading.bag(session).await? {
            rows += u64::try_from(times).unwrap_or(0);
            digests.extend((0..times).map(|_| digest.clone()));
        }
        for part in digests.chunks(BLOCK_ROWS) {
            let bytes = part.concat();
            store_block(session, ledger, &protect.table, block, None, "[]".to_owned(), bytes)
                .await?;
            block += 1;
        }
    }
    store_table(session, ledger, &protect.table, Some(rows), true, &reading.columns).await
}

async fn store_block(
    session: &mut dyn Session,
    ledger: &Ledger,
    table: &str,
    block: i64,
    last: Option<&Key>,
    keys: String,
    digests: Vec<u8>,
) -> Result<()> {
    let insert = Statement::new(format!(
        "INSERT INTO {} (run, table_name, block, last_key, {}, digests) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        ledger.table("baseline_blocks"),
        ledger.dialect.quote("keys")
    ))
    .bind(ledger.run.as_str())
    .bind(table)
    .bind(block)
    .bind(last.map(Key::to_ledger))
    .bind(keys)
    .bind(digests);
    session.execute(&insert).await.map(|_| ())
}

/// Writes a table's count at the baseline; `columns` are those compared.
pub async fn store_table(
    session: &mut dyn Session,
    ledger: &Ledger,
    table: &str,
    rows: Option<u64>,
    protected: bool,
    columns: &[String],
) -> Result<()> {
    let insert = Statement::new(format!(
        "INSERT INTO {} (run, table_name, row_count, protected, columns) VALUES ($1, $2, $3, $4, $5)",
        ledger.table("baseline")
    ))
    .bind(ledger.run.as_str())
    .bind(table)
    .bind(Bind::Int(rows.and_then(|rows| i64::try_from(rows).ok())))
    .bind(i64::from(protected))
    .bind(serde_json::to_string(columns).unwrap_or_default());
    session.execute(&insert).await.map(|_| ())
}

/// Compares a protected table with its baseline.
pub async fn compare(
    session: &mut dyn Session,
    ledger: &Ledger,
    protect: &Protect,
    allow_inserts: bool,
) -> Result<Compared> {
    let columns = baseline_columns(session, ledger, &protect.table).await?;
    let reading = match Reading::open(session, &protect.table, Some(columns), &[]).await {
        Ok(reading) => reading,
        Err(_) => {
            let mut gone = Compared::default();
            gone.add("rows", None);
            return Ok(gone);
        }
    };
    let missing_column = reading.columns.iter().find(|name| reading.table.column(name).is_none());
    if let Some(name) = missing_column {
        return Err(Error::differs(format!("the column `{name}` of the baseline is gone"))
            .in_table(&protect.table));
    }
    let mut found = match reading.key.clone() {
        Some(key) => compare_keyed(session, ledger, protect, &reading, &key, allow_inserts).await?,
        None => compare_bags(session, ledger, protect, &reading, allow_inserts).await?,
    };
    found.rows = crate::db::count_table(session, &reading.table.name).await?;
    Ok(found)
}

async fn baseline_columns(
    session: &mut dyn Session,
    ledger: &Ledger,
    table: &str,
) -> Result<Vec<String>> {
    let ask = Statement::new(format!(
        "SELECT columns FROM {} WHERE run = $1 AND table_name = $2 AND protected = 1",
        ledger.table("baseline")
    ))
    .bind(ledger.run.as_str())
    .bind(table);
    let rows = session.rows(&ask).await?;
    let columns = rows.first().map(|row| text(&row[0])).unwrap_or_default();
    serde_json::from_str(&columns).map_err(|_| {
        Error::stop("the ledger has no baseline of this table")
            .in_table(table)
            .hint("The table came under [[protect]] after the run began; roll back and run again.")
    })
}

async fn compare_keyed(
    session: &mut dyn Session,
    ledger: &Ledger,
    protect: &Protect,
    reading: &Reading,
    key: &KeyColumns,
    allow_inserts: bool,
) -> Result<Compared> {
    let mut found = Compared::default();
    let names = key.names();
    let mut range = KeyRange::default();
    let mut block = 0;
    while let Some((keys, digests, last)) = block_of(session, ledger, protect, block).await? {
        range.upto = last.clone();
        let page = reading.page(session, key, &range, None).await?;
        let mut now: HashMap<Key, Vec<u8>> = page.keys.into_iter().zip(page.digests).collect();
        for (key, digest) in keys.iter().zip(digests.chunks_exact(DIGEST_BYTES)) {
            match now.remove(key) {
                None => found.add("missing", Some(key.to_event(&names))),
                Some(other) if other != digest => {
                    found.add("different", Some(key.to_event(&names)));
                }
                Some(_) => {}
            }
        }
        if !allow_inserts {
            now.keys().for_each(|key| found.add("extra", Some(key.to_event(&names))));
        }
        range.after = last;
        block += 1;
    }
    range.upto = None;
    if allow_inserts {
        return Ok(found);
    }
    loop {
        let page = reading.page(session, key, &range, Some(BLOCK_ROWS)).await?;
        let Some(last) = page.keys.last().cloned() else {
            break;
        };
        page.keys.iter().for_each(|key| found.add("extra", Some(key.to_event(&names))));
        range.after = Some(last);
    }
    Ok(found)
}

/// One block of the baseline: keys, digests, last key.
async fn block_of(
    session: &mut dyn Session,
    ledger: &Ledger,
    protect: &Protect,
    block: i64,
) -> Result<Option<(Vec<Key>, Vec<u8>, Option<Key>)>> {
    let ask = Statement::new(format!(
        "SELECT {}, digests, last_key FROM {} WHERE run = $1 AND table_name = $2 AND block = $3",
        ledger.dialect.quote("keys"),
        ledger.table("baseline_blocks")
    ))
    .bind(ledger.run.as_str())
    .bind(protect.table.as_str())
    .bind(block);
    let rows = session.rows(&ask).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let list: Vec<serde_json::Value> = serde_json::from_str(&text(&row[0]))
        .map_err(|_| Error::stop("the ledger holds a baseline that is not one"))?;
    let keys: Result<Vec<Key>> =
        list.iter().map(|key| Key::from_ledger(&key.to_string())).collect();
    let digests = if let Value::Bytes(bytes) = &row[1] { bytes.clone() } else { Vec::new() };
    let last = row[2].to_text().map(|text| Key::from_ledger(&text)).transpose()?;
    Ok(Some((keys?, digests, last)))
}

async fn compare_bags(
    session: &mut dyn Session,
    ledger: &Ledger,
    protect: &Protect,
    reading: &Reading,
    allow_inserts: bool,
) -> Result<Compared> {
    let mut bag = reading.bag(session).await?;
    let mut found = Compared::default();
    let mut block = 0;
    while let Some((_, digests, _)) = block_of(session, ledger, protect, block).await? {
        for digest in digests.chunks_exact(DIGEST_BYTES) {
            match bag.get_mut(digest).filter(|times| **times > 0) {
                Some(times) => *times -= 1,
                // Without a key, a changed row is a missing and an extra one.
                None => found.add("missing", None),
            }
        }
        block += 1;
    }
    if !allow_inserts {
        let extra: i64 = bag.values().sum();
        (0..extra).for_each(|_| found.add("extra", None));
    }
    Ok(found)
}

/// Counts at the baseline: table, rows, protected.
pub async fn baseline_tables(
    session: &mut dyn Session,
    ledger: &Ledger,
) -> Result<Vec<(String, Option<u64>, bool)>> {
    let ask = Statement::new(format!(
        "SELECT table_name, row_count, protected FROM {} WHERE run = $1 ORDER BY table_name",
        ledger.table("baseline")
    ))
    .bind(ledger.run.as_str());
    let rows = session.rows(&ask).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let count = (!row[1].is_null()).then(|| u64::try_from(number(&row[1])).unwrap_or(0));
            (text(&row[0]), count, number(&row[2]) != 0)
        })
        .collect())
}
