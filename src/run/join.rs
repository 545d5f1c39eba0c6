//! `run --join`: further processes, on other machines too, work on the chunks of a running copy.
//! They share the conductor's epoch; each chunk has its own fence. When the conductor dies, one
//! of them takes its seat.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::preflight::Databases;
use super::seat;
use super::start::{self, Started};
use super::{Outcome, Runner};
use crate::db::Access;
use crate::error::{Error, Kind, Result};
use crate::event::{Emitter, What};
use crate::ledger::lease::{Lease, held};
use crate::ledger::{Ledger, Run};
use crate::plan::Consistency;
use crate::steps;

/// The wait between two looks at a run in which there is nothing to do just now.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What a process that wants to help finds.
enum Found {
    /// Nobody conducts.
    Nobody,
    /// Somebody is just beginning.
    Beginning,
    /// A run goes on.
    Running(Run, Lease),
    /// The run came to its end.
    Ended(Run),
    /// The run is being taken back.
    RollingBack,
}

/// Helps until the run ends; conducts it where nobody does.
pub async fn join(runner: &Runner) -> Result<Outcome> {
    let begun = Instant::now();
    if runner.plan.source.consistency == Consistency::Snapshot {
        return Err(Error::invalid("a run with consistency = \"snapshot\" can't be joined")
            .hint("Only the process that took the snapshot can hold it; raise `workers` there."));
    }
    let databases = Databases::open(&runner.plan, runner.settings.patience)?;
    let mut helper: Option<Started> = None;
    loop {
        match look(runner, &databases).await? {
            Found::Beginning => pause(runner).await?,
            Found::RollingBack => {
                return end(runner, helper, Err(rolling_back(runner)), begun).await;
            }
            Found::Ended(run) if helper.is_some() || run.state == "done" => {
                let helper = match helper {
                    Some(helper) => helper,
                    None => start::look_on(runner).await?,
                };
                return end(runner, Some(helper), ended(&run), begun).await;
            }
            Found::Nobody | Found::Ended(_) => match start::start(runner, false).await {
                Ok(started) => {
                    if helper.is_some() {
                        started.context.emitter.emit(What::Warning {
                            step: None,
                            message: "the process that conducted the run is gone; this one takes \
                                      its place"
                                .to_owned(),
                        });
                    }
                    return runner.conduct(started, begun).await;
                }
                // Another process was faster.
                Err(error) if error.kind == Kind::Held => pause(runner).await?,
                Err(error) => return Err(error),
            },
            Found::Running(run, lease) => {
                let helper = match &mut helper {
                    Some(helper) => helper,
                    None => helper.insert(begin(runner, &run).await?),
                };
                helper.context.ledger.epoch = lease.epoch;
                if let Err(error) = help(runner, helper).await {
                    return runner.outcome(helper, Err(error), begun).await;
                }
            }
        }
    }
}

async fn end(
    runner: &Runner,
    helper: Option<Started>,
    result: Result<u8>,
    begun: Instant,
) -> Result<Outcome> {
    match helper {
        Some(mut helper) => runner.outcome(&mut helper, result, begun).await,
        None => Err(result.err().unwrap_or_else(|| held(&runner.plan.name))),
    }
}

async fn look(runner: &Runner, databases: &Databases) -> Result<Found> {
    let ledger = start::ledger(runner, &databases.target);
    let label = format!("{}/look", runner.plan.name);
    let mut session = databases.target.session(Access::Look, &label).await?;
    let session = session.as_mut();
    let (run, lease) = match Ledger::exists(session).await? {
        true => (ledger.newest_run(session).await?, ledger.lease(session).await?),
        false => (None, None),
    };
    let lock = databases.target.try_lock(&ledger.plan).await?.is_some();
    let is_held = match lease {
        Some(_) => ledger.is_held(session, lock).await?,
        None => !lock,
    };
    Ok(match (run, lease) {
        (Some(run), _) if run.state == "done" => Found::Ended(run),
        (_, Some(lease)) if is_held && lease.mode == "rollback" => Found::RollingBack,
        (Some(run), Some(lease)) if is_held && run.state == "running" => Found::Running(run, lease),
        _ if is_held => Found::Beginning,
        (Some(run), _) if !matches!(run.state.as_str(), "running" | "rolled back") => {
            Found::Ended(run)
        }
        _ => Found::Nobody,
    })
}

/// Everything that a helper needs, checked as a resume would check it.
async fn begin(runner: &Runner, run: &Run) -> Result<Started> {
    let plan = &runner.plan;
    let databases = Databases::open(plan, runner.settings.patience)?;
    start::same_databases(run, &start::identities(&databases).await?)?;
    let mut ledger = start::ledger(runner, &databases.target);
    ledger.run.clone_from(&run.id);
    let label = format!("{}/join", plan.name);
    let mut session = databases.target.session(Access::Write, &label).await?;
    let records = ledger.steps(session.as_mut()).await?;
    start::unchanged(plan, &records)?;
    let mut seat = seat::help(&databases.target, &ledger, session.as_mut()).await?;
    let emitter = Emitter::new(&plan.name, &ledger.run, Arc::clone(&runner.settings.listener));
    let steps = plan.steps.iter().map(|step| step.name.clone()).collect();
    emitter.emit(What::RunStarted { resumed: true, joined: true, steps });
    let context = start::context(runner, databases, ledger, emitter, None);
    seat.steer(&context, &runner.chronicle).await;
    Ok(Started {
        context,
        records,
        was_done: false,
        seat: Some(seat),
        counted: BTreeMap::new(),
        _snapshot: None,
    })
}

/// Works on the chunks of the step that runs, until none is left or the seat is free.
async fn help(runner: &Runner, helper: &mut Started) -> Result<()> {
    let context = &mut helper.context;
    let label = format!("{}/join", context.plan.name);
    let mut session = context.target.session(Access::Write, &label).await?;
    let records = context.ledger.steps(session.as_mut()).await?;
    start::unchanged(&context.plan, &records)?;
    drop(session);
    let running = records.iter().find(|record| record.state == "running" && record.kind != "sql");
    let Some((record, step)) =
        running.and_then(|record| Some((record, context.plan.step(&record.step)?)))
    else {
        return pause(runner).await;
    };
    context.stop = runner.settings.stop.child_token();
    let stop = context.stop.clone();
    let watch = async {
        vacant(runner).await;
        stop.cancel();
        // The workers end after the batch in hand, and with them the help.
        std::future::pending::<()>().await;
    };
    let helped = tokio::select! {
        helped = steps::rows::help(context, step, record) => helped,
        () = watch => Ok(()),
    };
    match helped {
        // The epoch moved on, or the seat is free: look again.
        Err(error) if error.kind == Kind::Held => pause(runner).await,
        Err(error) if matches!(error.kind, Kind::Interrupted(_)) => pause(runner).await,
        Err(error) => Err(error.in_step(&record.step)),
        Ok(()) => pause(runner).await,
    }
}

/// Ends when nobody conducts any more.
async fn vacant(runner: &Runner) {
    let Ok(databases) = Databases::open(&runner.plan, runner.settings.patience) else {
        return;
    };
    loop {
        tokio::time::sleep(LOOK_AGAIN * 3).await;
        if matches!(look(runner, &databases).await, Ok(Found::Nobody)) {
            return;
        }
    }
}

async fn pause(runner: &Runner) -> Result<()> {
    tokio::select! {
        () = tokio::time::sleep(LOOK_AGAIN) => Ok(()),
        () = runner.settings.stop.cancelled() => Err(crate::engine::retry::interrupted()),
    }
}

/// What a helper says of a run that others brought to its end.
fn ended(run: &Run) -> Result<u8> {
    match run.state.as_str() {
        "done" => Ok(0),
        "differs" => Ok(3),
        _ => {
            let why = run.error.clone().map_or_else(String::new, |error| format!(": {error}"));
            Err(Error::stop(format!("the process that conducts the run ended it{why}"))
                .hint("The next `tablelift run` goes on from there."))
        }
    }
}

fn rolling_back(runner: &Runner) -> Error {
    Error::held(format!("the run of `{}` is being taken back", runner.plan.name))
        .hint("Wait for the rollback's end; then `tablelift run` begins anew.")
}
