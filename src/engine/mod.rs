//! One batch from claim to commit. Start reading in [`worker`].

pub mod choose;
pub mod chunker;
pub mod file_ahead;
pub mod limit;
mod pieces;
pub mod read_ahead;
pub mod retry;
pub mod route;
pub mod scan;
pub mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::db::files::Listing;
use crate::db::{Access, Database, Session};
use crate::error::{Error, Kind, Result};
use crate::event::Emitter;
use crate::job::Job;
use crate::ledger::Ledger;
use crate::throttle::Throttle;

use self::choose::Choice;
use self::worker::Worker;

/// What all workers of a step share.
pub struct Shared {
    /// The step, bound.
    pub job: Job,
    /// Route and reason.
    pub choice: Choice,
    /// Where rows come from.
    pub source: Arc<Database>,
    /// Which database the keys of earlier steps came from.
    pub moved_flavor: crate::sql::Flavor,
    /// Where rows go.
    pub target: Arc<Database>,
    /// Rows that come from files or the plan.
    pub files: Option<Arc<Listing>>,
    /// The ledger under this process's epoch.
    pub ledger: Ledger,
    /// How large batches may be now.
    pub size: limit::Size,
    /// How fast.
    pub throttle: Arc<Throttle>,
    /// Where events go.
    pub emitter: Emitter,
    /// The source's shared snapshot, if the plan asks for one.
    pub snapshot: Option<String>,
    /// Cancelled to end after the batch in hand.
    pub stop: CancellationToken,
    /// Rejects of the step so far, in all processes.
    pub rejects: AtomicU64,
    /// What a worker may hold in memory.
    pub room: read_ahead::Room,
    /// Sessions on the source whose reader came to the end of its chunk, for the next one.
    pub readers: Mutex<Vec<Box<dyn Session>>>,
}

/// Runs the step's open chunks on `workers` workers until none is left.
///
/// # Errors
/// The first error of a worker; the others end after the batch in hand. Interrupted, when
/// `stop` was cancelled and chunks are left.
pub async fn run(shared: Arc<Shared>, workers: u32) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..workers.max(1) {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move { Worker::new(shared, number).await?.work().await });
    }
    let mut first: Option<Error> = None;
    while let Some(ended) = tasks.join_next().await {
        let result = ended.unwrap_or_else(|panic| {
            Err(Error::stop(format!("a worker ended without an answer: {panic}")))
        });
        if let Err(error) = result {
            shared.stop.cancel();
            let interrupted = |error: &Error| matches!(error.kind, Kind::Interrupted(_));
            if first.as_ref().is_none_or(interrupted) {
                first = Some(error);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

impl Shared {
    /// How large batches may be now: as the step says, or as people and signals ask.
    pub fn batch_size(&self) -> limit::BatchSize {
        self.size.ask(self.throttle.batch_rows(), self.throttle.batch_share())
    }

    /// A session that reads the source at the run's moment.
    pub async fn reader(&self) -> Result<Box<dyn Session>> {
        if let Some(session) = self.readers.lock().ok().and_then(|mut readers| readers.pop()) {
            return Ok(session);
        }
        let label = format!("{}/{}", self.ledger.plan, self.job.step);
        let mut session = self.source.session(Access::Read, &label).await?;
        if let Some(snapshot) = &self.snapshot {
            read_ahead::join_snapshot(session.as_mut(), snapshot).await?;
        }
        Ok(session)
    }

    /// Counts new rejects and says whether the step may go on.
    pub fn add_rejects(&self, new: u64) -> Result<()> {
        let all = self.rejects.fetch_add(new, Ordering::Relaxed) + new;
        rejects_allowed(&self.job.step, all, self.job.options.max_rejects)
    }
}

/// Compares the rejects of a step with what the plan allows.
pub fn rejects_allowed(step: &str, all: u64, most: u64) -> Result<()> {
    if all <= most {
        return Ok(());
    }
    Err(Error::stop(format!("{all} rows are rejected, max_rejects is {most}")).in_step(step).hint(
        "The rejects stand in the ledger with key, column and reason. Correct the data \
             or the rule, take the step back with `rollback --step`, and run again; or raise \
             max_rejects to go on without these rows.",
    ))
}
