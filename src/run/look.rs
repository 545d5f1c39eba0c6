//! What the engine needs to read a step's rows for a command that writes none.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::{Runner, start};
use crate::db::Database;
use crate::engine::Shared;
use crate::engine::limit::Size;
use crate::engine::read_ahead::Room;
use crate::event::Emitter;
use crate::plan::{Step, StepKind};
use crate::steps::bind::Bound;
use crate::throttle::Throttle;

/// The step's rows, their route and both ends; an update reads the target.
pub fn shared(
    runner: &Runner,
    step: &Step,
    bound: Bound,
    source: &Arc<Database>,
    target: &Arc<Database>,
) -> Shared {
    let reads = if matches!(step.kind, StepKind::Update(_)) { target } else { source };
    Shared {
        size: Size::new(&bound.job.options),
        job: bound.job,
        choice: bound.choice,
        source: Arc::clone(reads),
        moved_flavor: source.flavor(),
        target: Arc::clone(target),
        files: bound.files,
        ledger: start::ledger(runner, target),
        throttle: Arc::new(Throttle::new(&runner.plan.throttle)),
        emitter: Emitter::new(&runner.plan.name, "", Arc::clone(&runner.settings.listener)),
        snapshot: None,
        stop: runner.settings.stop.clone(),
        rejects: AtomicU64::new(0),
        room: Room::of(1),
        readers: Mutex::default(),
    }
}
