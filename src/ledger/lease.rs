//! Who has the plan: the lease and its epoch, and the beats of the processes that take part.

use super::protocol::{self, Beat};
use super::{Ledger, number, text};
use crate::db::Session;
use crate::error::{Error, Result};
use crate::sql::Statement;
use crate::value::Value;

/// The lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Grows at each takeover.
    pub epoch: i64,
    /// run or rollback.
    pub mode: String,
    /// The process that has it.
    pub runner: String,
    /// That process got the session lock too.
    pub locked: bool,
    /// Its last beat; `None`: it left.
    pub beat: Option<Beat>,
}

/// Age and patience as the ledger's query gives them; NULL: there is no such process.
pub(super) fn beat_of(age: &Value, patience: &Value) -> Option<Beat> {
    (!age.is_null()).then(|| Beat { age: number(age), patience: number(patience) })
}

/// This process must not write any more.
pub fn plan_lost() -> Error {
    Error::held("another runner has taken this plan over")
        .hint("See what it does with `tablelift status`.")
}

impl Ledger {
    /// The lease; `None`: nobody ever had the plan.
    pub async fn lease(&self, session: &mut dyn Session) -> Result<Option<Lease>> {
        let ask = Statement::new(format!(
            "SELECT l.epoch, l.mode, l.runner, l.locked, {} - r.beat_at, r.patience \
             FROM {} l LEFT JOIN {} r ON r.plan = l.plan AND r.id = l.runner WHERE l.plan = $1",
            self.dialect.now_millis(),
            self.table("lease"),
            self.table("runners"),
        ))
        .bind(self.plan.as_str());
        Ok(session.rows(&ask).await?.first().map(|row| Lease {
            epoch: number(&row[0]),
            mode: text(&row[1]),
            runner: text(&row[2]),
            locked: number(&row[3]) == 1,
            beat: beat_of(&row[4], &row[5]),
        }))
    }

    /// Takes the plan: every batch of an earlier owner that is still on its way either commits
    /// before this returns, or fails its guard afterwards. `lock`: this process got the session
    /// lock.
    ///
    /// # Errors
    /// Held: its owner is alive, or another process was faster.
    pub async fn take_lease(
        &mut self,
        session: &mut dyn Session,
        mode: &str,
        lock: bool,
    ) -> Result<()> {
        let seen = self.lease(session).await?;
        let beat = seen.as_ref().and_then(|lease| lease.beat);
        if !protocol::may_take(lock, beat, seen.as_ref().is_some_and(|lease| lease.locked)) {
            return Err(held(&self.plan));
        }
        if let Some(lease) = seen.as_ref().filter(|lease| lease.beat.is_some()) {
            // What the old owner still has open would make the next statements wait.
            session.end_sessions_of(&lease.runner).await?;
        }
        let lease = self.table("lease");
        session.begin().await?;
        let ensure = Statement::new(format!(
            "INSERT INTO {lease} (plan, epoch, mode, runner, locked, taken_at) \
             VALUES ($1, 0, $2, '', 0, {}){}",
            self.dialect.now(),
            self.dialect.or_keep("plan")
        ))
        .bind(self.plan.as_str())
        .bind(mode);
        session.execute(&ensure).await?;
        let epoch = seen.map_or(0, |lease| lease.epoch);
        let take = Statement::new(format!(
            "UPDATE {lease} SET epoch = epoch + 1, runner = $1, locked = $2, mode = $3, \
             taken_at = {} WHERE plan = $4 AND epoch = $5",
            self.dialect.now()
        ))
        .bind(self.runner)
        .bind(i64::from(lock))
        .bind(mode)
        .bind(self.plan.as_str())
        .bind(epoch);
        if session.execute(&take).await? != 1 {
            session.rollback().await;
            return Err(held(&self.plan));
        }
        self.beat(session).await?;
        session.commit().await?;
        self.epoch = epoch + 1;
        Ok(())
    }

    /// Says that this process is alive. Its own row, so that it never waits for a batch.
    pub async fn beat(&self, session: &mut dyn Session) -> Result<()> {
        let now = self.dialect.now_millis();
        let beat = Statement::new(format!(
            "INSERT INTO {0} (plan, id, process, beat_at, patience) \
             VALUES ($1, $2, $3, {now}, $4){1}",
            self.table("runners"),
            self.dialect.or_set("plan, id", &format!("beat_at = {now}"))
        ))
        .bind(self.plan.as_str())
        .bind(self.runner)
        .bind(format!("pid {}", std::process::id()))
        .bind(i64::try_from(self.patience.as_millis()).unwrap_or(i64::MAX));
        session.execute(&beat).await?;
        Ok(())
    }

    /// Says that this process is gone: what it claimed is free at once.
    pub async fn leave(&self, session: &mut dyn Session) -> Result<()> {
        let leave = Statement::new(format!(
            "DELETE FROM {} WHERE plan = $1 AND id = $2",
            self.table("runners")
        ))
        .bind(self.plan.as_str())
        .bind(self.runner);
        session.execute(&leave).await?;
        Ok(())
    }

    /// Inside a transaction: fails unless this process still owns the plan, and keeps it so
    /// until commit.
    pub async fn guard(&self, session: &mut dyn Session) -> Result<()> {
        let ask = Statement::new(format!(
            "SELECT epoch FROM {} WHERE plan = $1{}",
            self.table("lease"),
            self.dialect.for_share()
        ))
        .bind(self.plan.as_str());
        let rows = session.rows(&ask).await?;
        match rows.first().and_then(|row| row.first()).map(number) {
            Some(epoch) if epoch == self.epoch => Ok(()),
            _ => Err(plan_lost()),
        }
    }

    /// Whether a live process has the plan. `lock`: the session lock could be had just now.
    pub async fn is_held(&self, session: &mut dyn Session, lock: bool) -> Result<bool> {
        let lease = self.lease(session).await?;
        let beat = lease.as_ref().and_then(|lease| lease.beat);
        Ok(!protocol::may_take(lock, beat, lease.is_some_and(|lease| lease.locked)))
    }
}

/// Exit code 4.
pub fn held(plan: &str) -> Error {
    Error::held(format!("another runner holds the plan `{plan}`")).hint(
        "Wait for it, see what it does with `tablelift status`, or help it with \
         `tablelift run --join`.",
    )
}
