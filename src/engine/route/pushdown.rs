//! Inside one database: one INSERT … SELECT for a batch, bounded by keys on both sides. The
//! upper bound is found first, so the statement takes exactly the rows of its range, whenever
//! they came; no second look has to agree with it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Batch, Route, Waiting};
use crate::db::Session;
use crate::engine::Shared;
use crate::engine::chunker::key_of;
use crate::error::{Class, Error, Result};
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::Chunk;
use crate::plan::OnConflict;
use crate::sql::{Flavor, Statement};
use crate::value::Value;

/// The route.
pub struct Pushdown {
    shared: Arc<Shared>,
    /// The mapped SELECT list.
    list: Vec<String>,
    rest: KeyRange,
    /// Upper bound and rows of the batch that waits.
    next: Option<(Key, u64)>,
}

impl Pushdown {
    /// A route with its rendered mapping.
    pub fn new(shared: Arc<Shared>, list: Vec<String>) -> Self {
        Pushdown { shared, list, rest: KeyRange::default(), next: None }
    }

    /// The statement that writes the rows of `range`.
    pub fn statement(
        shared: &Shared,
        session: &dyn Session,
        list: &[String],
        range: &KeyRange,
    ) -> Result<String> {
        let job = &shared.job;
        let key = job.source.key.as_ref().ok_or_else(|| Error::stop("pushdown needs a key"))?;
        let dialect = session.dialect();
        let conditions: Vec<String> = key
            .no_null(dialect, "s")
            .into_iter()
            .chain([key.within(dialect, "s", range)])
            .collect();
        let table = job.target.name.sql(dialect);
        let names = dialect.quote_list(&mut job.written.iter().map(|column| column.name.as_str()));
        let overriding = if job.written.iter().any(|column| column.identity_always) {
            " OVERRIDING SYSTEM VALUE"
        } else {
            ""
        };
        let conflict = if job.options.on_conflict == OnConflict::Skip {
            let key = dialect.quote_list(&mut job.marks.key.iter().map(String::as_str));
            format!(" ON CONFLICT ({key}) DO NOTHING")
        } else {
            String::new()
        };
        let rows =
            format!("SELECT {} FROM {}", list.join(", "), job.source.joint_from_where(&conditions));
        Ok(match dialect.flavor() {
            // The server says how many rows it wrote; giving them back to count them costs.
            Flavor::Postgres if !job.counts_both => {
                format!("INSERT INTO {table} ({names}){overriding} {rows}")
            }
            // `r` is evaluated once: rows read and rows written come from one snapshot.
            Flavor::Postgres => format!(
                "WITH r({names}) AS MATERIALIZED ({rows}), w AS (INSERT INTO {table} ({names})\
                 {overriding} SELECT * FROM r{conflict} RETURNING 1) \
                 SELECT (SELECT count(*) FROM r), (SELECT count(*) FROM w)"
            ),
            Flavor::Sqlite | Flavor::Mysql => {
                let digest = dialect.digest(
                    &dialect.quote(&job.target.name.name),
                    &job.target,
                    &job.marks.digest,
                );
                format!("INSERT INTO {table} ({names}) {rows}{conflict} RETURNING {digest}")
            }
        })
    }
}

#[async_trait]
impl Route for Pushdown {
    async fn seek(&mut self, chunk: &Chunk) -> Result<()> {
        self.rest = chunk.rest();
        self.next = None;
        Ok(())
    }

    async fn fetch(&mut self, session: &mut dyn Session, limit: u64) -> Result<Waiting> {
        let source = &self.shared.job.source;
        let key = source.key.as_ref().ok_or_else(|| Error::stop("pushdown needs a key"))?;
        let dialect = session.dialect();
        let conditions: Vec<String> = key
            .no_null(dialect, "s")
            .into_iter()
            .chain([key.within(dialect, "s", &self.rest)])
            .collect();
        let full = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT 1 OFFSET {}",
            dialect.key_list("s", &key.0),
            source.joint_from_where(&conditions),
            key.ascending(dialect, "s"),
            limit.saturating_sub(1),
        );
        if let Some(row) = session.rows(&Statement::new(full)).await?.first() {
            self.next = Some((key_of(dialect.flavor(), row, &source.name)?, limit));
            return Ok(Waiting { rows: limit, bytes: 0 });
        }
        // The last rows of the chunk.
        let find = format!(
            "SELECT {}, count(*) OVER () FROM (SELECT {} FROM {} ORDER BY {} LIMIT {limit}) q \
             ORDER BY {} LIMIT 1",
            dialect.key_list("q", &key.0),
            key.columns(dialect, "s"),
            source.joint_from_where(&conditions),
            key.ascending(dialect, "s"),
            key.descending(dialect, "q"),
        );
        let found = session.rows(&Statement::new(find)).await?;
        let Some(row) = found.first() else {
            self.next = None;
            return Ok(Waiting::default());
        };
        let upto = key_of(dialect.flavor(), &row[..key.0.len()], &source.name)?;
        let rows = crate::ledger::unsigned(&row[key.0.len()]);
        self.next = Some((upto, rows));
        Ok(Waiting { rows, bytes: 0 })
    }

    async fn write(&mut self, session: &mut dyn Session, _limit: u64) -> Result<Batch> {
        let Some((upto, expected)) = self.next.clone() else {
            return Ok(Batch::default());
        };
        let range = KeyRange { after: self.rest.after.clone(), upto: Some(upto.clone()) };
        let sql = Statement::new(Self::statement(&self.shared, session, &self.list, &range)?);
        let mut batch = Batch { upto: Some(upto), ..Batch::default() };
        match session.dialect().flavor() {
            Flavor::Postgres if !self.shared.job.counts_both => {
                batch.inserted = session.execute(&sql).await?;
                batch.read = batch.inserted;
            }
            Flavor::Postgres => {
                let rows = session.rows(&sql).await?;
                let counts = rows.first().ok_or_else(|| Error::stop("a batch gave no counts"))?;
                batch.read = crate::ledger::unsigned(&counts[0]);
                batch.inserted = crate::ledger::unsigned(&counts[1]);
            }
            Flavor::Sqlite | Flavor::Mysql => {
                let rows = session.rows(&sql).await?;
                batch.inserted = rows.len() as u64;
                // The transaction holds SQLite's only write lock and one view of the source.
                batch.read = if self.shared.job.options.on_conflict == OnConflict::Skip {
                    expected.max(batch.inserted)
                } else {
                    batch.inserted
                };
                for row in rows {
                    if let Some(Value::Bytes(digest)) = row.first() {
                        batch.digests.extend_from_slice(digest);
                    }
                }
            }
        }
        batch.skipped = batch.read - batch.inserted;
        if batch.skipped > 0 && self.shared.job.options.on_conflict == OnConflict::Fail {
            let table = self.shared.job.target.name.to_string();
            return Err(Error::swallowed(&table, batch.read, batch.inserted));
        }
        Ok(batch)
    }

    fn reject(&mut self, error: &Error) -> Result<Batch> {
        // The worker changes to the decode route before it comes to a single row.
        Err(Error::new(Class::Stop, error.message.clone()))
    }

    fn single_rows(&self) -> bool {
        false
    }

    fn committed(&mut self) {
        if let Some((upto, _)) = self.next.take() {
            self.rest.after = Some(upto);
        }
    }
}
