//! What people ask of a run that goes on, and what its processes say of themselves. Read and
//! written outside of batches.

use super::{Ledger, number, tables, text, unsigned};
use crate::db::Session;
use crate::error::Result;
use crate::sql::{Bind, Statement};
use crate::value::Value;

/// A process that said nothing for so long is not counted: its part of the budget is free.
const SILENT_MILLIS: i64 = 3000;

/// What people ask of a plan's run; it stays until they ask for something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// No new batch.
    pub paused: bool,
    /// Rows each second, instead of the plan's.
    pub rows_per_second: Option<u32>,
    /// Rows of a batch, instead of each step's.
    pub batch_rows: Option<u32>,
    /// Who asked last, as the person's process said.
    pub changed_by: String,
    /// When; RFC 3339, by the server's clock.
    pub changed_at: String,
}

/// A change of wishes; `None` leaves one as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Pause or go on.
    pub paused: Option<bool>,
    /// A new limit; `Some(None)`: the plan's again.
    pub rows_per_second: Option<Option<u32>>,
    /// A new size; `Some(None)`: the steps' again.
    pub batch_rows: Option<Option<u32>>,
}

/// What a process said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The process.
    pub runner: String,
    /// It wants to write.
    pub at_work: bool,
    /// Why a worker of it waits.
    pub reason: Option<String>,
    /// JSON: its signals.
    pub signals: String,
}

impl Ledger {
    /// What people ask for; nothing where nobody ever asked.
    pub async fn wishes(&self, session: &mut dyn Session) -> Result<Wishes> {
        let ask = Statement::new(format!(
            "SELECT paused, rows_per_second, batch_rows, changed_by, changed_at FROM {} \
             WHERE plan = $1",
            self.table("control")
        ))
        .bind(self.plan.as_str());
        let rows = session.rows(&ask).await?;
        let limit = |value: &Value| match value.is_null() {
            true => None,
            false => u32::try_from(number(value)).ok().filter(|limit| *limit > 0),
        };
        Ok(rows.first().map_or_else(Wishes::default, |row| Wishes {
            paused: number(&row[0]) == 1,
            rows_per_second: limit(&row[1]),
            batch_rows: limit(&row[2]),
            changed_by: text(&row[3]),
            changed_at: text(&row[4]),
        }))
    }

    /// Whether the ledger has what this needs: ledgers of earlier versions get it when somebody
    /// steers first.
    pub async fn can_be_steered(&self, session: &mut dyn Session) -> Result<bool> {
        Ok(Ledger::has(session, "control").await? && Ledger::has(session, "throttles").await?)
    }

    /// Writes a change of wishes down; each one by itself, so that two people don't undo each
    /// other's.
    pub async fn ask_for(
        &self,
        session: &mut dyn Session,
        change: &Change,
        by: &str,
    ) -> Result<()> {
        tables::add(session, "control").await?;
        tables::add(session, "throttles").await?;
        let control = self.table("control");
        let now = self.dialect.now();
        let ensure = Statement::new(format!(
            "INSERT INTO {control} (plan, paused, changed_by, changed_at) VALUES ($1, 0, $2, {now}){}",
            self.dialect.or_keep("plan")
        ))
        .bind(self.plan.as_str())
        .bind(by);
        session.execute(&ensure).await?;
        let limit = |limit: Option<Option<u32>>| limit.map(|limit| Bind::Int(limit.map(i64::from)));
        let columns = [
            ("paused", change.paused.map(|paused| Bind::Int(Some(i64::from(paused))))),
            ("rows_per_second", limit(change.rows_per_second)),
            ("batch_rows", limit(change.batch_rows)),
        ];
        for (column, value) in columns {
            let Some(value) = value else { continue };
            let update = Statement::new(format!(
                "UPDATE {control} SET {column} = $1, changed_by = $2, changed_at = {now} \
                 WHERE plan = $3"
            ))
            .bind(value)
            .bind(by)
            .bind(self.plan.as_str());
            session.execute(&update).await?;
        }
        Ok(())
    }

    /// Says of this process whether it is at work, and why it waits.
    pub async fn say(
        &self,
        session: &mut dyn Session,
        at_work: bool,
        reason: Option<&str>,
        signals: &str,
    ) -> Result<()> {
        let now = self.dialect.now_millis();
        let sent = ["at_work", "reason", "signals"]
            .map(|column| format!("{column} = {}", self.dialect.sent(column)))
            .join(", ");
        let say = Statement::new(format!(
            "INSERT INTO {0} (plan, id, said_at, at_work, reason, signals) \
             VALUES ($1, $2, {now}, $3, $4, $5){1}",
            self.table("throttles"),
            self.dialect.or_set("plan, id", &format!("said_at = {now}, {sent}"))
        ))
        .bind(self.plan.as_str())
        .bind(self.runner)
        .bind(i64::from(at_work))
        .bind(reason.map(str::to_owned))
        .bind(signals);
        session.execute(&say).await.map(|_| ())
    }

    /// What all processes said that are not silent.
    pub async fn said(&self, session: &mut dyn Session) -> Result<Vec<Said>> {
        let ask = Statement::new(format!(
            "SELECT id, at_work, reason, signals FROM {} \
             WHERE plan = $1 AND said_at > {} - {SILENT_MILLIS} ORDER BY id",
            self.table("throttles"),
            self.dialect.now_millis(),
        ))
        .bind(self.plan.as_str());
        let said = |row: &Vec<Value>| Said {
            runner: text(&row[0]),
            at_work: number(&row[1]) == 1,
            reason: row[2].to_text(),
            signals: text(&row[3]),
        };
        Ok(session.rows(&ask).await?.iter().map(said).collect())
    }

    /// Takes back what this process said: it leaves.
    pub async fn say_no_more(&self, session: &mut dyn Session) -> Result<()> {
        let table = self.table("throttles");
        let delete = Statement::new(format!("DELETE FROM {table} WHERE plan = $1 AND id = $2"))
            .bind(self.plan.as_str())
            .bind(self.runner);
        session.execute(&delete).await.map(|_| ())
    }

    /// Rows a second that the run's batches committed in the last `seconds`, or since its first
    /// batch in them.
    pub async fn rate_lately(&self, session: &mut dyn Session, seconds: u32) -> Result<f64> {
        let sum = self.dialect.to_integer("coalesce(sum(read_rows), 0)");
        let now = self.dialect.now_millis();
        let at = self.dialect.epoch("committed_at");
        let span =
            self.dialect.to_integer(&format!("coalesce({now} - min({at} - seconds) * 1000, 0)"));
        let ask = Statement::new(format!(
            "SELECT {sum}, {span} FROM {} WHERE run = $1 AND {at} > {now} / 1000.0 - {seconds}",
            self.table("batches"),
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let Some([rows, span]) = rows.first().map(Vec::as_slice) else { return Ok(0.0) };
        let most = f64::from(seconds);
        Ok(unsigned(rows) as f64 / (number(span) as f64 / 1000.0).clamp(1.0, most.max(1.0)))
    }
}
