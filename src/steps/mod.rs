//! Kinds of steps. `copy`, `seed` and `update` are bound to a [`crate::job::Job`] by [`bind`] and
//! run by [`rows`]; `sql` runs by [`sql`].

pub mod bind;
mod keys;
pub mod rows;
mod rules;
pub mod seed;
mod shape;
pub mod sql;
pub mod tune;

use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::db::Database;
use crate::event::Emitter;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::throttle::Throttle;

/// What every step of a run needs.
pub struct StepContext {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where rows come from.
    pub source: Arc<Database>,
    /// Where rows go.
    pub target: Arc<Database>,
    /// The ledger under this process's epoch.
    pub ledger: Ledger,
    /// How fast.
    pub throttle: Arc<Throttle>,
    /// Where events go.
    pub emitter: Emitter,
    /// Cancelled to end after the batch in hand.
    pub stop: CancellationToken,
    /// The source's shared snapshot, if the plan asks for one.
    pub snapshot: Option<String>,
    /// Overrides `workers` of every step.
    pub workers: Option<u32>,
    /// The table that the last step wrote, with the rows that were counted at its end; nothing
    /// was written since.
    pub counted: Mutex<Option<(String, u64)>>,
}
