//! What a report reads: how a run went over time, its log, its rejects. Aggregated by the
//! database, so that a run of a million batches is a few hundred rows here.

use super::{Ledger, number, text, unsigned};
use crate::db::Session;
use crate::error::Result;
use crate::sql::{Flavor, Statement};
use crate::value::Value;

/// Entries of the log that are read at a time.
const PAGE: usize = 1000;

/// What a run's batches come to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Extent {
    /// When the first one began, in seconds since 1970.
    pub from: f64,
    /// When the last one was committed.
    pub to: f64,
    /// How many.
    pub batches: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// Batches that were committed in one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stretch {
    /// Its number.
    pub number: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Seconds that half of them took at most.
    pub p50: f64,
    /// Seconds that nineteen of twenty took at most.
    pub p95: f64,
    /// Seconds of the slowest.
    pub most: f64,
}

/// An entry of the ledger's own log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// RFC 3339, by the server's clock.
    pub at: String,
    /// Its name.
    pub event: String,
    /// JSON.
    pub body: String,
}

/// Rejects of one reason: step, column, reason, how many.
pub type RejectGroup = (String, Option<String>, String, u64);

/// A rejected row: step, key as JSON, column, reason.
pub type RejectedRow = (String, String, Option<String>, String);

impl Ledger {
    /// Checksum of the plan and version of the program that began the run, and the server's time.
    pub async fn origin(&self, session: &mut dyn Session) -> Result<(String, String, String)> {
        let ask = Statement::new(format!(
            "SELECT plan_checksum, tool_version, {} FROM {} WHERE id = $1",
            self.dialect.now(),
            self.table("runs")
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let part = |at: usize| rows.first().and_then(|row| row.get(at)).map(text);
        let part = |at| part(at).unwrap_or_default();
        Ok((part(0), part(1), part(2)))
    }

    /// When each step began and ended: step, RFC 3339, RFC 3339.
    pub async fn step_times(
        &self,
        session: &mut dyn Session,
    ) -> Result<Vec<(String, Option<String>, Option<String>)>> {
        let ask = Statement::new(format!(
            "SELECT step, started_at, finished_at FROM {} WHERE run = $1",
            self.table("steps")
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        Ok(rows.iter().map(|row| (text(&row[0]), row[1].to_text(), row[2].to_text())).collect())
    }

    /// What the run's batches come to; `None`: there is none.
    pub async fn extent(&self, session: &mut dyn Session) -> Result<Option<Extent>> {
        let int = |sum: &str| self.dialect.to_integer(sum);
        let at = self.dialect.epoch("committed_at");
        let ask = Statement::new(format!(
            "SELECT {}, {}, count(*), {} FROM {} WHERE run = $1",
            int(&format!("min({at} - seconds) * 1000000")),
            int(&format!("max({at}) * 1000000")),
            int("coalesce(sum(bytes), 0)"),
            self.table("batches"),
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let found = rows.first().filter(|row| unsigned(&row[2]) > 0);
        Ok(found.map(|row| Extent {
            from: micros(&row[0]),
            to: micros(&row[1]),
            batches: unsigned(&row[2]),
            bytes: unsigned(&row[3]),
        }))
    }

    /// The run's batches in stretches of `step` seconds from `from` on; those without batches are
    /// left out.
    pub async fn stretches(
        &self,
        session: &mut dyn Session,
        from: f64,
        step: f64,
    ) -> Result<Vec<Stretch>> {
        let int = |sum: &str| self.dialect.to_integer(sum);
        let since = format!("({} - {from:.6}) / {step:.6}", self.dialect.epoch("committed_at"));
        // Casts to integers round on servers; SQLite's cut, and it may be built without floor().
        let place = match self.dialect.flavor() {
            Flavor::Sqlite => int(&since),
            Flavor::Postgres | Flavor::Mysql => int(&format!("floor({since})")),
        };
        let share = |share: &str| {
            int(&format!("min(CASE WHEN nth >= {share} * many THEN seconds END) * 1000000"))
        };
        let ask = Statement::new(format!(
            "SELECT place, {}, {}, count(*), {}, {}, {} FROM \
             (SELECT place, read_rows, bytes, seconds, \
              row_number() OVER (PARTITION BY place ORDER BY seconds) AS nth, \
              count(*) OVER (PARTITION BY place) AS many FROM \
              (SELECT {place} AS place, read_rows, bytes, seconds FROM {} WHERE run = $1) b) c \
             GROUP BY place ORDER BY place",
            int("sum(read_rows)"),
            int("sum(bytes)"),
            share("0.5"),
            share("0.95"),
            int("max(seconds) * 1000000"),
            self.table("batches"),
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        Ok(rows
            .iter()
            .map(|row| Stretch {
                number: unsigned(&row[0]),
                rows: unsigned(&row[1]),
                bytes: unsigned(&row[2]),
                batches: unsigned(&row[3]),
                p50: micros(&row[4]),
                p95: micros(&row[5]),
                most: micros(&row[6]),
            })
            .collect())
    }

    /// The run's log, oldest first, without what patterns stand for.
    pub async fn entries(&self, session: &mut dyn Session) -> Result<Vec<Entry>> {
        let mut out = Vec::new();
        let mut last = 0;
        loop {
            let ask = Statement::new(format!(
                "SELECT number, at, event, body FROM {} WHERE run = $1 AND number > $2 \
                 AND event <> 'plan_expanded' ORDER BY number LIMIT {PAGE}",
                self.table("events")
            ))
            .bind(self.run.as_str())
            .bind(last);
            let rows = session.rows(&ask).await?;
            out.extend(rows.iter().map(|row| Entry {
                at: text(&row[1]),
                event: text(&row[2]),
                body: text(&row[3]),
            }));
            match rows.last() {
                Some(row) if rows.len() == PAGE => last = number(&row[0]),
                _ => return Ok(out),
            }
        }
    }

    /// The most frequent reasons of rejects.
    pub async fn reject_groups(
        &self,
        session: &mut dyn Session,
        most: usize,
    ) -> Result<Vec<RejectGroup>> {
        let ask = Statement::new(format!(
            "SELECT step, column_name, reason, count(*) FROM {} WHERE run = $1 \
             GROUP BY step, column_name, reason \
             ORDER BY count(*) DESC, step, column_name, reason LIMIT {most}",
            self.table("rejects")
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let group =
            |row: &Vec<Value>| (text(&row[0]), row[1].to_text(), text(&row[2]), unsigned(&row[3]));
        Ok(rows.iter().map(group).collect())
    }

    /// How many rows were rejected, and the first ones.
    pub async fn rejected(
        &self,
        session: &mut dyn Session,
        most: usize,
    ) -> Result<(u64, Vec<RejectedRow>)> {
        let table = self.table("rejects");
        let all = Statement::new(format!("SELECT count(*) FROM {table} WHERE run = $1"))
            .bind(self.run.as_str());
        let all = unsigned(&crate::db::scalar(session, &all).await?);
        let ask = Statement::new(format!(
            "SELECT step, row_key, column_name, reason FROM {table} WHERE run = $1 \
             ORDER BY step, chunk, seq, number LIMIT {most}"
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let row =
            |row: &Vec<Value>| (text(&row[0]), text(&row[1]), row[2].to_text(), text(&row[3]));
        Ok((all, rows.iter().map(row).collect()))
    }
}

fn micros(value: &Value) -> f64 {
    number(value) as f64 / 1e6
}
