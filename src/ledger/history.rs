//! Steps and their figures: what `status`, the summary and rollback read.

use super::verified::REPAIRS;
use super::{Ledger, number, text, unsigned};
use crate::db::Session;
use crate::error::Result;
use crate::event::StepFigures;
use crate::key::{Key, KeyRange};
use crate::sql::{Bind, Statement};
use crate::value::{Row, Value};

/// Between two commits of a step, so many seconds more than the batch took are a wait. Longer
/// pauses, and the time between two processes, are no time of the step.
const WAIT_SECONDS: u32 = 60;

/// What a step that starts once more says anew, and what it has not.
const STARTED_ANEW: &[&str] = &[
    "checksum",
    "spec",
    "state",
    "route",
    "target_table",
    "columns",
    "source_rows",
    "before_rows",
    "started_at",
];
const NEVER_ENDED: &str = "finished_at = NULL, after_rows = NULL, source_rows_after = NULL";

/// A step as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Its name.
    pub step: String,
    /// copy, seed, update, sql.
    pub kind: String,
    /// Checksum of the parsed step when it started.
    pub checksum: String,
    /// The parsed step in a readable form, to show what changed.
    pub spec: String,
    /// running, done, failed, rolled back.
    pub state: String,
    /// Route and reason.
    pub route: String,
    /// The table that it writes.
    pub target_table: Option<String>,
    /// JSON: written columns, digest columns, key columns of the target, key is the source's.
    pub columns: Option<String>,
    /// Rows in the cut at the start.
    pub source_rows: Option<u64>,
    /// Rows of the source at the end.
    pub source_rows_after: Option<u64>,
    /// Rows of the target before.
    pub before_rows: Option<u64>,
    /// Rows of the target after.
    pub after_rows: Option<u64>,
}

/// Sums over a step's batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Rows read.
    pub read: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows left alone.
    pub skipped: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Seconds in which at least one batch was on its way.
    pub seconds: f64,
}

/// One committed batch, for rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRecord {
    /// Its chunk.
    pub chunk: i64,
    /// Its number in the chunk.
    pub seq: i64,
    /// Source keys that it covers.
    pub range: KeyRange,
    /// New rows.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// What the rows show that nobody changed since: ids of transactions (PostgreSQL).
    pub marks: Vec<u64>,
    /// Digests of the new rows (SQLite).
    pub digests: Vec<u8>,
}

impl Ledger {
    /// Writes a step's start; inside a transaction.
    pub async fn start_step(
        &self,
        session: &mut dyn Session,
        position: usize,
        record: &StepRecord,
    ) -> Result<()> {
        let count = |n: Option<u64>| Bind::Int(n.and_then(|n| i64::try_from(n).ok()));
        let sent: Vec<String> = STARTED_ANEW
            .iter()
            .map(|column| format!("{column} = {}", self.dialect.sent(column)))
            .collect();
        let sent = sent.join(", ");
        let insert = Statement::new(format!(
            "INSERT INTO {} (run, step, position, kind, checksum, spec, state, route, \
             target_table, columns, source_rows, before_rows, started_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $10, $11, {}){}",
            self.table("steps"),
            self.dialect.now(),
            self.dialect.or_set("run, step", &format!("{sent}, {NEVER_ENDED}"))
        ))
        .bind(self.run.as_str())
        .bind(record.step.as_str())
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(record.kind.as_str())
        .bind(record.checksum.as_str())
        .bind(record.spec.as_str())
        .bind(record.route.as_str())
        .bind(record.target_table.clone())
        .bind(record.columns.clone())
        .bind(count(record.source_rows))
        .bind(count(record.before_rows));
        session.execute(&insert).await?;
        Ok(())
    }

    /// Sets how many rows a step had to move, where it began with an estimate.
    pub async fn set_source_rows(
        &self,
        session: &mut dyn Session,
        step: &str,
        rows: u64,
    ) -> Result<()> {
        let table = self.table("steps");
        let update = Statement::new(format!(
            "UPDATE {table} SET source_rows = $1 WHERE run = $2 AND step = $3"
        ))
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .bind(self.run.as_str())
        .bind(step);
        session.execute(&update).await.map(|_| ())
    }

    /// Sets a step's state; `after` and `source_after` are kept where given.
    pub async fn set_step(
        &self,
        session: &mut dyn Session,
        step: &str,
        state: &str,
        after: Option<u64>,
        source_after: Option<u64>,
    ) -> Result<()> {
        let count = |n: Option<u64>| Bind::Int(n.and_then(|n| i64::try_from(n).ok()));
        let update = Statement::new(format!(
            "UPDATE {} SET state = $1, after_rows = coalesce($2, after_rows), \
             source_rows_after = coalesce($3, source_rows_after), finished_at = {} \
             WHERE run = $4 AND step = $5",
            self.table("steps"),
            self.dialect.now()
        ))
        .bind(state)
        .bind(count(after))
        .bind(count(source_after))
        .bind(self.run.as_str())
        .bind(step);
        session.execute(&update).await?;
        Ok(())
    }

    /// All steps of the run that ever started, in plan order.
    pub async fn steps(&self, session: &mut dyn Session) -> Result<Vec<StepRecord>> {
        let ask = Statement::new(format!(
            "SELECT step, kind, checksum, spec, state, route, target_table, columns, source_rows, \
             source_rows_after, before_rows, after_rows FROM {} WHERE run = $1 ORDER BY position",
            self.table("steps")
        ))
        .bind(self.run.as_str());
        Ok(session.rows(&ask).await?.iter().map(record_of).collect())
    }

    /// Sums over the step's batches. Its time is that from commit to commit, with waits; nobody
    /// worked where that is much longer than a batch.
    pub async fn totals(&self, session: &mut dyn Session, step: &str) -> Result<Totals> {
        let sums: Vec<String> = ["read_rows", "inserted", "updated", "skipped", "rejected"]
            .iter()
            .map(|column| self.dialect.to_integer(&format!("coalesce(sum({column}), 0)")))
            .collect();
        let ask = Statement::new(format!(
            "SELECT {}, {} FROM (SELECT *, {at} - lag({at}) OVER (ORDER BY committed_at) AS gap \
             FROM {} WHERE run = $1 AND step = $2 AND chunk < {REPAIRS}) b",
            sums.join(", "),
            self.dialect.to_integer(&format!(
                "coalesce(sum(CASE WHEN gap < seconds + {WAIT_SECONDS} THEN gap ELSE seconds END), 0) * 1000000"
            )),
            self.table("batches"),
            at = self.dialect.epoch("committed_at"),
        ))
        .bind(self.run.as_str())
        .bind(step);
        let rows = session.rows(&ask).await?;
        Ok(rows.first().map_or_else(Totals::default, |row| Totals {
            read: unsigned(&row[0]),
            inserted: unsigned(&row[1]),
            updated: unsigned(&row[2]),
            skipped: unsigned(&row[3]),
            rejected: unsigned(&row[4]),
            seconds: number(&row[5]) as f64 / 1e6,
        }))
    }

    /// The figures of a step so far.
    pub async fn figures(
        &self,
        session: &mut dyn Session,
        record: &StepRecord,
    ) -> Result<StepFigures> {
        let totals = self.totals(session, &record.step).await?;
        Ok(StepFigures {
            step: record.step.clone(),
            kind: record.kind.clone(),
            route: record.route.clone(),
            source_rows: totals.read,
            source_rows_after: record.source_rows_after,
            before: record.before_rows,
            copied: totals.inserted + totals.updated,
            updated: totals.updated,
            skipped: totals.skipped,
            rejected: totals.rejected,
            after: record.after_rows,
            seconds: totals.seconds,
        })
    }

    /// The step's batches that are not undone, newest first.
    pub async fn batches_to_undo(
        &self,
        session: &mut dyn Session,
        step: &str,
        most: usize,
    ) -> Result<Vec<BatchRecord>> {
        let ask = Statement::new(format!(
            "SELECT chunk, seq, after_key, last_key, inserted, updated, transaction_id, digests \
             FROM {} WHERE run = $1 AND step = $2 AND undone = 0 \
             ORDER BY chunk DESC, seq DESC LIMIT {most}",
            self.table("batches")
        ))
        .bind(self.run.as_str())
        .bind(step);
        let mut out = Vec::new();
        for row in session.rows(&ask).await? {
            let key =
                |value: &Value| value.to_text().map(|text| Key::from_ledger(&text)).transpose();
            out.push(BatchRecord {
                chunk: number(&row[0]),
                seq: number(&row[1]),
                range: KeyRange { after: key(&row[2])?, upto: key(&row[3])? },
                inserted: unsigned(&row[4]),
                updated: unsigned(&row[5]),
                marks: text(&row[6]).split(',').filter_map(|id| id.parse().ok()).collect(),
                digests: if let Value::Bytes(bytes) = &row[7] { bytes.clone() } else { Vec::new() },
            });
        }
        Ok(out)
    }

    /// Marks a batch as taken back; the compare-and-set of rollback.
    pub async fn mark_undone(
        &self,
        session: &mut dyn Session,
        step: &str,
        batch: &BatchRecord,
    ) -> Result<bool> {
        let update = Statement::new(format!(
            "UPDATE {} SET undone = 1 \
             WHERE run = $1 AND step = $2 AND chunk = $3 AND seq = $4 AND undone = 0",
            self.table("batches")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(batch.chunk)
        .bind(batch.seq);
        Ok(session.execute(&update).await? == 1)
    }

    /// Appends an event to the ledger's own log.
    pub async fn log(&self, session: &mut dyn Session, event: &str, body: &str) -> Result<()> {
        let insert = Statement::new(format!(
            "INSERT INTO {0} (run, number, at, event, body) \
             SELECT $1, coalesce(max(number), 0) + 1, {1}, $2, $3 FROM {0} WHERE run = $1",
            self.table("events"),
            self.dialect.now()
        ))
        .bind(self.run.as_str())
        .bind(event)
        .bind(body.replace('\0', "\u{2400}"));
        session.execute(&insert).await?;
        Ok(())
    }

    /// The body of the run's newest entry of this name.
    pub async fn logged(&self, session: &mut dyn Session, event: &str) -> Result<Option<String>> {
        let ask = Statement::new(format!(
            "SELECT body FROM {} WHERE run = $1 AND event = $2 ORDER BY number DESC LIMIT 1",
            self.table("events")
        ))
        .bind(self.run.as_str())
        .bind(event);
        Ok(session.rows(&ask).await?.first().map(|row| text(&row[0])))
    }
}

fn record_of(row: &Row) -> StepRecord {
    let count = |value: &Value| (!value.is_null()).then(|| unsigned(value));
    StepRecord {
        step: text(&row[0]),
        kind: text(&row[1]),
        checksum: text(&row[2]),
        spec: text(&row[3]),
        state: text(&row[4]),
        route: text(&row[5]),
        target_table: row[6].to_text(),
        columns: row[7].to_text(),
        source_rows: count(&row[8]),
        source_rows_after: count(&row[9]),
        before_rows: count(&row[10]),
        after_rows: count(&row[11]),
    }
}
