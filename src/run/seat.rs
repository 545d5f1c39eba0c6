//! The conductor's seat: the session lock for a quick answer, the lease for safety, and the
//! beats that let others tell a silent process from a busy one.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::db::{Access, Database, RunLock, Session};
use crate::error::Result;
use crate::ledger::lease::{Lease, held};
use crate::ledger::{Ledger, protocol, tables};
use crate::steps::StepContext;

use super::chronicle::Chronicle;
use super::steer::Steering;

/// Beats within the time after which a process is taken for dead.
const BEATS: u32 = 4;

/// This process takes part in a run; it says so until this is dropped.
pub struct Seat {
    beating: JoinHandle<()>,
    steering: Option<Steering>,
}

impl Seat {
    /// Steers the throttle of this process for as long as it has the seat.
    pub async fn steer(&mut self, context: &StepContext, chronicle: &Arc<Chronicle>) {
        self.steering = Some(Steering::begin(context, chronicle).await);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The lock goes with the task.
        self.beating.abort();
    }
}

/// Takes the conductor's seat for `mode`; the ledger then works under a new epoch.
///
/// # Errors
/// Held: a live process conducts, or is just beginning.
pub async fn conduct(
    target: &Arc<Database>,
    ledger: &mut Ledger,
    mut lock: Option<RunLock>,
    session: &mut dyn Session,
    mode: &str,
) -> Result<Seat> {
    if lock.is_none() {
        let silent = silent(target, ledger).await?;
        // Fenced by the ledger in any case; this lets go of what it holds, the lock included.
        session.end_sessions_of(&silent.runner).await?;
        lock = target.lock(&ledger.plan).await?;
    }
    tables::install(session).await?;
    ledger.take_lease(session, mode, lock.is_some()).await?;
    crate::fail::point("lease_taken");
    let beating = tokio::spawn(beat(Arc::clone(target), ledger.clone(), lock));
    Ok(Seat { beating, steering: None })
}

/// The lease of a conductor that holds the lock and has been silent for too long.
///
/// # Errors
/// Held: it is alive.
pub async fn silent(target: &Database, ledger: &Ledger) -> Result<Lease> {
    let mut session = target.session(Access::Look, &format!("{}/look", ledger.plan)).await?;
    let session = session.as_mut();
    let lease = match Ledger::exists(session).await? {
        true => ledger.lease(session).await?,
        false => None,
    };
    lease
        .filter(|lease| protocol::may_take(false, lease.beat, lease.locked))
        .ok_or_else(|| held(&ledger.plan))
}

/// Takes a helper's seat: beats, and no lock.
pub async fn help(
    target: &Arc<Database>,
    ledger: &Ledger,
    session: &mut dyn Session,
) -> Result<Seat> {
    ledger.beat(session).await?;
    let beating = tokio::spawn(beat(Arc::clone(target), ledger.clone(), None));
    Ok(Seat { beating, steering: None })
}

/// Beats for as long as it is let. A beat that can't be written is left out: what it says is
/// then true, and nothing depends on it but the patience of others.
async fn beat(target: Arc<Database>, ledger: Ledger, mut lock: Option<RunLock>) {
    let conducts = lock.is_some();
    loop {
        tokio::time::sleep(ledger.patience / BEATS).await;
        let said = match &mut lock {
            Some(RunLock::Session(session)) => ledger.beat(session.as_mut()).await,
            _ => say(&target, &ledger).await,
        };
        if said.is_err() && conducts {
            // The connection that held the lock is gone, and the lock with it.
            lock = None;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Ok(again) = target.lock(&ledger.plan).await {
                lock = again;
            }
        }
    }
}

async fn say(target: &Database, ledger: &Ledger) -> Result<()> {
    let mut session = target.session(Access::Write, &format!("{}/beat", ledger.plan)).await?;
    ledger.beat(session.as_mut()).await
}
