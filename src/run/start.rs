//! The start of a command: databases, the lock, the ledger, baseline or resume.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::chronicle;
use super::preflight::{self, Databases};
use super::seat::{self, Seat};
use super::{Runner, Settings};
use crate::db::{Access, Database, Session, count_table};
use crate::error::{Error, Result};
use crate::event::{Emitter, What};
use crate::ledger::history::StepRecord;
use crate::ledger::{Ledger, Run};
use crate::plan::{Consistency, Plan, When};
use crate::sql::{Flavor, Statement, TableName};
use crate::steps::{StepContext, seed};
use crate::throttle::Throttle;
use crate::verify::{checks, protect};

/// A command that has the plan in hand.
pub struct Started {
    /// What steps need.
    pub context: StepContext,
    /// Steps of the run that ever started.
    pub records: Vec<StepRecord>,
    /// The run ended well before this command.
    pub was_done: bool,
    /// This process's part in the run; `None` for commands that only look.
    pub seat: Option<Seat>,
    /// Rows of tables that the closing proof has just counted.
    pub counted: BTreeMap<String, u64>,
    /// Holds the source's snapshot open.
    pub _snapshot: Option<Box<dyn Session>>,
}

/// Starts or resumes a run; `patient`: waits a moment for the lock, which a process that was
/// killed leaves a little later.
pub async fn start(runner: &Runner, patient: bool) -> Result<Started> {
    let plan = &runner.plan;
    if let Some(only) = &runner.settings.step {
        prerequisite(plan, only)?;
    }
    let databases = Databases::open(plan, runner.settings.patience)?;
    // Before anything is looked at: what another conductor does meanwhile would look wrong.
    let lock = match patient {
        true => databases.target.lock(&plan.name).await?,
        false => databases.target.try_lock(&plan.name).await?,
    };
    let found = existing(plan, &databases).await?;
    if lock.is_none() {
        seat::silent(&databases.target, &ledger(runner, &databases.target)).await?;
    }
    let done: HashSet<String> = match &found {
        Some((_, records)) => records
            .iter()
            .filter(|record| record.state == "done" || record.state == "running")
            .map(|record| record.step.clone())
            .collect(),
        None => HashSet::new(),
    };
    // Nothing is touched, the ledger included, before everything that can be known is known.
    if let Some((_, records)) = &found {
        unchanged(plan, records)?;
        seed::same_files(plan, records)?;
    }
    let report = preflight::look(plan, &databases, &done).await?;
    if let Some(error) = report.error(plan) {
        return Err(error);
    }
    let label = format!("{}/run", plan.name);
    let mut session = databases.target.session(Access::Write, &label).await?;
    let mut ledger = ledger(runner, &databases.target);
    let mut seat =
        seat::conduct(&databases.target, &mut ledger, lock, session.as_mut(), "run").await?;
    let identities = identities(&databases).await?;
    let newest = ledger.newest_run(session.as_mut()).await?;
    let resumed = newest.filter(|run| run.state != "rolled back");
    if let Some(run) = &resumed {
        ledger.run.clone_from(&run.id);
        same_databases(run, &identities)?;
        if run.state == "rolling back" {
            return Err(Error::invalid("a rollback of this run was begun and is not finished")
                .hint("Finish it with `tablelift rollback`, then run again."));
        }
    }
    let records = match &resumed {
        Some(_) => ledger.steps(session.as_mut()).await?,
        None => Vec::new(),
    };
    unchanged(plan, &records)?;
    if let Some(only) = &runner.settings.step {
        in_order(plan, only, &records)?;
    }
    match &resumed {
        Some(_) => {
            ledger.set_run(session.as_mut(), "running", None, false).await?;
            ledger.log(session.as_mut(), "run_resumed", "{}").await?;
            chronicle::keep_plan(plan, &ledger, session.as_mut()).await?;
        }
        None => baseline(runner, &mut ledger, session.as_mut(), &identities).await?,
    }
    let emitter = Emitter::new(&plan.name, &ledger.run, Arc::clone(&runner.settings.listener));
    if resumed.is_some() {
        emitter.emit(run_started(plan, true));
    }
    let (snapshot_session, snapshot) = snapshot(plan, &databases.source).await?;
    let context = context(runner, databases, ledger, emitter, snapshot);
    seat.steer(&context, &runner.chronicle).await;
    let was_done = resumed.is_some_and(|run| run.state == "done");
    Ok(Started {
        context,
        records,
        was_done,
        seat: Some(seat),
        counted: BTreeMap::new(),
        _snapshot: snapshot_session,
    })
}

/// For commands that look at a run without taking it over.
pub async fn look_on(runner: &Runner) -> Result<Started> {
    let plan = &runner.plan;
    let databases = Databases::open(plan, runner.settings.patience)?;
    let (run, records) = existing(plan, &databases).await?.ok_or_else(|| never_ran(plan))?;
    let mut ledger = ledger(runner, &databases.target);
    ledger.run = run.id;
    let emitter = Emitter::new(&plan.name, &ledger.run, Arc::clone(&runner.settings.listener));
    let context = context(runner, databases, ledger, emitter, None);
    Ok(Started {
        context,
        records,
        was_done: false,
        seat: None,
        counted: BTreeMap::new(),
        _snapshot: None,
    })
}

/// Takes the plan over to do something else with the run: from here on nothing of it can commit
/// any more.
pub async fn take(runner: &Runner, mode: &str) -> Result<Started> {
    let plan = &runner.plan;
    let databases = Databases::open(plan, runner.settings.patience)?;
    let lock = databases.target.lock(&plan.name).await?;
    let (run, _) = existing(plan, &databases).await?.ok_or_else(|| never_ran(plan))?;
    let label = format!("{}/{mode}", plan.name);
    let mut session = databases.target.session(Access::Write, &label).await?;
    let mut ledger = ledger(runner, &databases.target);
    ledger.run.clone_from(&run.id);
    let mut seat =
        seat::conduct(&databases.target, &mut ledger, lock, session.as_mut(), mode).await?;
    let identities = identities(&databases).await?;
    same_databases(&run, &identities)?;
    let records = ledger.steps(session.as_mut()).await?;
    let emitter = Emitter::new(&plan.name, &ledger.run, Arc::clone(&runner.settings.listener));
    let context = context(runner, databases, ledger, emitter, None);
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

/// What steps need of this process.
pub fn context(
    runner: &Runner,
    databases: Databases,
    ledger: Ledger,
    emitter: Emitter,
    snapshot: Option<String>,
) -> StepContext {
    let Settings { workers, stop, .. } = &runner.settings;
    StepContext {
        plan: Arc::clone(&runner.plan),
        source: databases.source,
        target: databases.target,
        ledger,
        throttle: Arc::new(Throttle::new(&runner.plan.throttle)),
        emitter,
        stop: stop.clone(),
        snapshot,
        workers: *workers,
        counted: std::sync::Mutex::default(),
    }
}

/// The ledger of the runner's plan, before anything of it is read.
pub fn ledger(runner: &Runner, target: &Database) -> Ledger {
    ledger_of(&runner.plan, target, runner.settings.patience)
}

/// The same, for commands that only look.
pub fn ledger_of(plan: &Plan, target: &Database, patience: Duration) -> Ledger {
    Ledger {
        dialect: target.flavor().dialect(),
        plan: plan.name.clone(),
        run: String::new(),
        epoch: 0,
        runner: crate::db::runner(),
        patience,
    }
}

fn never_ran(plan: &Plan) -> Error {
    Error::invalid(format!("the plan `{}` has never run on this target", plan.name))
        .hint("Start it with `tablelift run`.")
}

/// The newest run that is not rolled back, with its steps; looks only.
pub async fn existing(
    plan: &Plan,
    databases: &Databases,
) -> Result<Option<(Run, Vec<StepRecord>)>> {
    let label = format!("{}/look", plan.name);
    let mut session = databases.target.session(Access::Look, &label).await?;
    if !Ledger::exists(session.as_mut()).await? {
        return Ok(None);
    }
    let mut ledger = ledger_of(plan, &databases.target, Duration::ZERO);
    let Some(run) = ledger.newest_run(session.as_mut()).await? else {
        return Ok(None);
    };
    if run.state == "rolled back" {
        return Ok(None);
    }
    ledger.run.clone_from(&run.id);
    let records = ledger.steps(session.as_mut()).await?;
    Ok(Some((run, records)))
}

pub async fn identities(databases: &Databases) -> Result<(String, String)> {
    let mut source = databases.source.session(Access::Read, "identity").await?;
    let mut target = databases.target.session(Access::Write, "identity").await?;
    Ok((source.identity().await?, target.identity().await?))
}

pub fn same_databases(run: &Run, now: &(String, String)) -> Result<()> {
    for (end, before, now) in [("source", &run.source, &now.0), ("target", &run.target, &now.1)] {
        if before != now {
            return Err(Error::invalid(format!(
                "the {end} is another database than the one the run began with: {now}, not {before}"
            ))
            .hint(
                "Use the URL of the database that the run began with, or roll back there first.",
            ));
        }
    }
    Ok(())
}

pub fn run_started(plan: &Plan, resumed: bool) -> What {
    let steps = plan.steps.iter().map(|step| step.name.clone()).collect();
    What::RunStarted { resumed, joined: false, steps }
}

/// A step that is partly or wholly done may not change.
pub fn unchanged(plan: &Plan, records: &[StepRecord]) -> Result<()> {
    let file = plan.file.display().to_string();
    let began = |record: &&StepRecord| !matches!(record.state.as_str(), "rolled back" | "failed");
    for record in records.iter().filter(began) {
        let Some(step) = plan.step(&record.step) else {
            return Err(Error::invalid(format!(
                "the step `{}` has run and is gone from the plan",
                record.step
            ))
            .hint(format!(
                "Put it back, or take it back first: tablelift rollback --step {}",
                record.step
            )));
        };
        if step.checksum != record.checksum {
            let (old, new) = changed_parts(&record.spec, &format!("{:?}", step.kind));
            return Err(Error::invalid(format!(
                "the step changed after it began to run: it was {old}, it is {new}"
            ))
            .in_step(&step.name)
            .at_line(&file, step.line)
            .hint(format!(
                "Undo the change, or take the step back first: tablelift rollback --step {}",
                step.name
            )));
        }
    }
    Ok(())
}

/// The parts that differ between two readable forms of a step.
fn changed_parts(old: &str, new: &str) -> (String, String) {
    let front: usize =
        old.chars().zip(new.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    // Back to the field's name, so that a person sees which one it is.
    let start = old[..front].rfind(", ").map_or(0, |at| at + 2);
    let back: usize = old[front..]
        .chars()
        .rev()
        .zip(new[front..].chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let part = |text: &str| {
        let part: String = text[start..text.len() - back].chars().take(200).collect();
        format!("`{part}`")
    };
    if old == new {
        return ("other options".to_owned(), "these".to_owned());
    }
    (part(old), part(new))
}

/// The step that was asked for is one of the plan's.
pub fn prerequisite(plan: &Plan, only: &str) -> Result<()> {
    if plan.steps.iter().any(|step| Plan::selects(Some(only), &step.name)) {
        return Ok(());
    }
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    Err(Error::invalid(format!("the plan has no step `{only}`"))
        .hint(format!("Its steps are: {}.", names.join(", "))))
}

/// Steps run in file order; one step alone needs those before it.
fn in_order(plan: &Plan, only: &str, records: &[StepRecord]) -> Result<()> {
    let earlier = plan.steps.iter().take_while(|step| !Plan::selects(Some(only), &step.name));
    for step in earlier {
        let done = records.iter().any(|record| record.step == step.name && record.state == "done");
        if !done {
            return Err(Error::invalid(format!("the step `{}` comes first", step.name))
                .in_step(only)
                .hint(format!("Run it with `tablelift run --step {}`.", step.name)));
        }
    }
    Ok(())
}

/// The target as it is before the first write: counts, protected content, checks. Frozen in
/// the ledger together with the run itself.
async fn baseline(
    runner: &Runner,
    ledger: &mut Ledger,
    session: &mut dyn Session,
    identities: &(String, String),
) -> Result<()> {
    let plan = &runner.plan;
    let checksum = chronicle::checksum(plan);
    match session.dialect().flavor() {
        // One moment for all counts and digests.
        Flavor::Postgres => session.script("BEGIN ISOLATION LEVEL REPEATABLE READ").await?,
        Flavor::Sqlite => session.begin().await?,
        Flavor::Mysql => {
            session.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
            session.begin().await?;
        }
    }
    ledger.guard(session).await?;
    ledger.start_run(session, &identities.0, &identities.1, &checksum).await?;
    if let Some(expansion) = &runner.expansion {
        super::expand::freeze(ledger, session, expansion).await?;
    }
    let taken = take_baseline(plan, ledger, session).await;
    if let Err(error) = taken {
        session.rollback().await;
        return Err(error);
    }
    let emitter = Emitter::new(&plan.name, &ledger.run, Arc::clone(&runner.settings.listener));
    // Before the first check speaks.
    emitter.emit(run_started(plan, false));
    let mut failed = Vec::new();
    for check in plan.checks.iter().filter(|check| check.when.before()) {
        if !checks::run(session, check, When::Before, &emitter).await? {
            failed.push(check.name.as_str());
        }
        if session.dialect().flavor() == Flavor::Postgres && !failed.is_empty() {
            // A query that failed has ended PostgreSQL's transaction.
            break;
        }
    }
    if !failed.is_empty() {
        session.rollback().await;
        return Err(Error::differs(format!(
            "before the first step, check failed: {}",
            failed.join(", ")
        ))
        .hint("Nothing was written. Correct the database or the check."));
    }
    session.commit().await?;
    crate::fail::point("baseline_taken");
    Ok(())
}

async fn take_baseline(plan: &Plan, ledger: &Ledger, session: &mut dyn Session) -> Result<()> {
    for protected in &plan.protect {
        protect::take(session, ledger, protected).await?;
    }
    let written: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter_map(|step| step.kind.target_table())
        .filter(|table| !plan.protect.iter().any(|protected| protected.table == *table))
        .collect();
    for table in written {
        let rows = match session.table(&TableName::bare(table)).await? {
            Some(found) => Some(count_table(session, &found.name).await?),
            None => None,
        };
        protect::store_table(session, ledger, table, rows, false, &[]).await?;
    }
    chronicle::keep_plan(plan, ledger, session).await?;
    ledger.log(session, "run_started", "{}").await
}

/// A session that holds the source's one moment, and the name that others join it by.
async fn snapshot(
    plan: &Plan,
    source: &Database,
) -> Result<(Option<Box<dyn Session>>, Option<String>)> {
    if plan.source.consistency != Consistency::Snapshot {
        return Ok((None, None));
    }
    if source.flavor() != Flavor::Postgres {
        return Err(Error::invalid("consistency = \"snapshot\" needs a PostgreSQL source")
            .hint("Leave it out, and stop the application's writes instead."));
    }
    let mut session = source.session(Access::Read, &format!("{}/snapshot", plan.name)).await?;
    session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let export = Statement::new("SELECT pg_export_snapshot()");
    let name = crate::db::scalar(session.as_mut(), &export).await?.to_text();
    Ok((Some(session), name))
}
