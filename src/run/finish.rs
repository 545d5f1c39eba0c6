//! The end of a command: proof, the run's state, rollback, the before/after table.

use tokio_util::sync::CancellationToken;

use super::chronicle::Chronicle;
use super::start::{self, Started};
use super::{Outcome, Runner, TableCounts, rollback};
use crate::db::{Access, Session, count_table};
use crate::engine::retry::Retries;
use crate::error::{Error, Kind, Result};
use crate::event::{StepFigures, What};
use crate::ledger::history::StepRecord;
use crate::plan::{Plan, When};
use crate::sql::TableName;
use crate::steps::tune;
use crate::verify::{checks, protect};

/// Tries to write down how the run ended, after the first.
const CLOSE_RETRIES: u32 = 3;

async fn session(started: &Started, label: &str) -> Result<Box<dyn Session>> {
    let label = format!("{}/{label}", started.context.plan.name);
    started.context.target.session(Access::Write, &label).await
}

/// Steps of the plan that are not done, in its order.
pub async fn unfinished(started: &Started) -> Result<Vec<String>> {
    let mut session = session(started, "status").await?;
    let records = started.context.ledger.steps(session.as_mut()).await?;
    let done =
        |name: &str| records.iter().any(|record| record.step == name && record.state == "done");
    let names = started.context.plan.steps.iter().map(|step| &step.name);
    Ok(names.filter(|name| !done(name)).cloned().collect())
}

/// A step as the ledger knows it now.
pub async fn record(started: &Started, step: &str) -> Result<Option<StepRecord>> {
    let mut session = session(started, "status").await?;
    let records = started.context.ledger.steps(session.as_mut()).await?;
    Ok(records.into_iter().find(|record| record.step == step))
}

/// Protected tables and checks; 0, or 3 when something differs.
pub async fn prove(runner: &Runner, started: &mut Started) -> Result<u8> {
    let plan = &runner.plan;
    let mut session = session(started, "verify").await?;
    let session = session.as_mut();
    crate::fail::point("verify");
    let mut ok = counts_hold(runner, started, session).await?;
    let context = &started.context;
    for protected in &plan.protect {
        let found =
            protect::compare(session, &context.ledger, protected, protected.allow_inserts).await?;
        ok &= found.count == 0;
        context.emitter.emit(What::ProtectFinished {
            table: protected.table.clone(),
            ok: found.count == 0,
            rows: found.rows,
            differences: found.differences,
            difference_count: found.count,
        });
    }
    for check in plan.checks.iter().filter(|check| check.when.after()) {
        ok &= checks::run(session, check, When::After, &context.emitter).await?;
    }
    Ok(if ok { 0 } else { 3 })
}

/// The target's counts against the ledger: each table's last step says how many rows it left.
async fn counts_hold(
    runner: &Runner,
    started: &mut Started,
    session: &mut dyn Session,
) -> Result<bool> {
    let Started { context, counted, .. } = started;
    let records = context.ledger.steps(session).await?;
    let mut ok = true;
    for (at, record) in records.iter().enumerate() {
        let (Some(table), Some(after)) = (&record.target_table, record.after_rows) else {
            continue;
        };
        let later =
            records[at + 1..].iter().any(|other| other.target_table.as_ref() == Some(table));
        let step = runner.plan.step(&record.step);
        let may_grow = step.is_some_and(|step| step.options.allow_inserts);
        if later || record.state != "done" || may_grow {
            continue;
        }
        let just_now = context.counted.lock().ok().and_then(|counted| counted.clone());
        let now = match just_now.filter(|(name, _)| name == table) {
            Some((_, rows)) => rows,
            None => match session.table(&TableName::bare(table)).await? {
                Some(found) => count_table(session, &found.name).await?,
                None => continue,
            },
        };
        counted.insert(table.clone(), now);
        if now != after {
            ok = false;
            context.emitter.emit(What::ExpectationFailed {
                step: record.step.clone(),
                table: table.clone(),
                what: "after".to_owned(),
                expected: after,
                actual: now,
            });
        }
    }
    Ok(ok)
}

/// Writes down how the run ended; takes it back if the plan says so.
pub async fn close(runner: &Runner, started: &mut Started, result: Result<u8>) -> Result<u8> {
    let ledger = started.context.ledger.clone();
    if result.as_ref().is_err_and(|error| error.kind == Kind::Held) {
        return result;
    }
    let mut retries =
        Retries::new(&started.context.emitter, &CancellationToken::new(), "close", CLOSE_RETRIES);
    while let Err(error) = write_down(runner, started, &result).await {
        if let Err(error) = retries.after(error, None).await {
            // The ledger keeps saying `running`, and the next run resumes.
            return result.and(Err(error));
        }
    }
    let failure = match &result {
        Ok(3) => Some(Error::differs("a check, a count or a protected table differs")),
        Err(error) => Some(error.clone()),
        Ok(_) => None,
    };
    if let Some(error) = failure.filter(|error| runner.rolls_back_on(error)) {
        started.context.emitter.emit(What::Warning {
            step: error.place.step.clone(),
            message: "on_failure = \"rollback\": the run is taken back".to_owned(),
        });
        let mut session = self::session(started, "rollback").await?;
        started.records = ledger.steps(session.as_mut()).await?;
        started.counted.clear();
        roll_back(runner, started).await?;
        return result;
    }
    if result.is_err() {
        // The table may be in service while nobody runs the plan. What can't be had now is said,
        // and stays in the ledger; the run's own error is the one to look at.
        let _ = put_back(started).await;
    }
    result
}

/// Builds the indexes again that a step which did not come to its end has dropped.
async fn put_back(started: &Started) -> Result<()> {
    let Started { context, .. } = started;
    let mut retries =
        Retries::new(&context.emitter, &CancellationToken::new(), "indexes", CLOSE_RETRIES);
    loop {
        let tried = match session(started, "indexes").await {
            Ok(mut session) => tune::put_back(context, session.as_mut(), None).await,
            Err(error) => Err(error),
        };
        let Err(error) = tried else { return Ok(()) };
        if let Err(error) = retries.after(error, None).await {
            context.emitter.emit(What::Warning {
                step: error.place.step.clone(),
                message: format!("{error}; the next `run` or `rollback` tries again"),
            });
            return Err(error);
        }
    }
}

/// How the run ended, in the ledger.
async fn write_down(runner: &Runner, started: &Started, result: &Result<u8>) -> Result<()> {
    let (state, error, finished) = match result {
        Ok(0) if !unfinished(started).await?.is_empty() => ("stopped", None, false),
        Ok(0) => ("done", None, true),
        Ok(_) => ("differs", None, true),
        Err(error) => match error.kind {
            Kind::Interrupted(_) | Kind::Asked => ("stopped", None, false),
            Kind::Differs => ("differs", Some(error.to_string()), false),
            _ => ("failed", Some(error.to_string()), false),
        },
    };
    let mut session = session(started, "close").await?;
    let ledger = &started.context.ledger;
    // What was proved stands there before the word that it was.
    runner.chronicle.write(ledger, session.as_mut(), true).await?;
    crate::fail::point("closing");
    ledger.set_run(session.as_mut(), state, error, finished).await?;
    crate::fail::point("closed");
    ledger.log(session.as_mut(), "run_ended", &format!("{{\"state\":\"{state}\"}}")).await
}

/// Says in the ledger that this process is gone, so that nobody waits for it.
pub async fn leave(started: &Started, chronicle: &Chronicle) {
    if started.seat.is_none() {
        return;
    }
    // Where this fails, others find out by themselves, after a while.
    if let Ok(mut session) = session(started, "leave").await {
        let ledger = &started.context.ledger;
        let _ = chronicle.write(ledger, session.as_mut(), true).await;
        let _ = ledger.leave(session.as_mut()).await;
        if ledger.can_be_steered(session.as_mut()).await.unwrap_or(false) {
            let _ = ledger.say_no_more(session.as_mut()).await;
        }
    }
}

/// Takes back the run, or one step of it.
pub async fn roll_back(runner: &Runner, started: &mut Started) -> Result<u8> {
    let only = runner.settings.step.as_deref();
    if let Some(only) = only {
        nothing_after(&started.records, only)?;
    }
    let mut session = session(started, "rollback").await?;
    let context = &started.context;
    if only.is_none() {
        context.ledger.set_run(session.as_mut(), "rolling back", None, false).await?;
        crate::fail::point("undo_announced");
    }
    // At once, for the table may be in service. What can't be built with our rows in it is built
    // without them, when its step is taken back.
    if let Err(error) = put_back(started).await
        && error.kind == Kind::Held
    {
        return Err(error);
    }
    let mut kept = 0;
    let mut notes = false;
    let records: Vec<StepRecord> = started.records.iter().rev().cloned().collect();
    for record in &records {
        let wanted = Plan::selects(only, &record.step);
        if !wanted || matches!(record.state.as_str(), "rolled back" | "failed") {
            continue;
        }
        let most = context.plan.step(&record.step).map_or(0, |step| step.options.retries);
        let mut retries = Retries::new(&context.emitter, &context.stop, &record.step, most);
        // Each batch that is taken back is marked so: another try begins where this one ended.
        let undone = loop {
            match rollback::step(context, record).await {
                Ok(undone) => break undone,
                Err(error) => retries.after(error, None).await?,
            }
        };
        kept += undone.kept;
        notes |= undone.note.is_some();
    }
    if only.is_some() {
        for record in records.iter().filter(|record| Plan::selects(only, &record.step)) {
            context.ledger.forget_step_rows(session.as_mut(), &record.step).await?;
        }
        context.ledger.set_run(session.as_mut(), "stopped", None, false).await?;
    } else {
        context.ledger.set_run(session.as_mut(), "rolled back", None, true).await?;
    }
    context.ledger.log(session.as_mut(), "rolled_back", &format!("{{\"kept\":{kept}}}")).await?;
    Ok(if kept > 0 || notes { 3 } else { 0 })
}

/// A step can be taken back alone only when no later step has run.
fn nothing_after(records: &[StepRecord], only: &str) -> Result<()> {
    let is = |record: &StepRecord| Plan::selects(Some(only), &record.step);
    let at = records.iter().rposition(is).ok_or_else(|| {
        Error::invalid(format!("the step `{only}` has not run"))
            .hint("See what has run with `tablelift status`.")
    })?;
    match records[at + 1..].iter().rfind(|record| record.state != "rolled back") {
        None => Ok(()),
        Some(later) => Err(Error::invalid(format!("the step `{}` ran after it", later.step))
            .in_step(only)
            .hint(format!("Take that one back first: tablelift rollback --step {}", later.step))),
    }
}

/// What a rollback would do.
pub async fn rollback_preview(runner: &Runner) -> Result<Outcome> {
    let mut started = start::look_on(runner).await?;
    let context = &started.context;
    let mut session = session(&started, "rollback").await?;
    for record in started.records.iter().rev() {
        let wanted = Plan::selects(runner.settings.step.as_deref(), &record.step);
        if !wanted || matches!(record.state.as_str(), "rolled back" | "failed") {
            continue;
        }
        let totals = context.ledger.totals(session.as_mut(), &record.step).await?;
        let note = (record.kind == "sql").then(|| {
            let step = context.plan.step(&record.step);
            match step.map(|step| &step.kind) {
                Some(crate::plan::StepKind::Sql(sql)) if sql.undo.is_some() => {
                    format!("would run: {}", sql.undo.clone().unwrap_or_default())
                }
                _ => "it has no `undo`; what it did would stay".to_owned(),
            }
        });
        context.emitter.emit(What::StepUndone {
            step: record.step.clone(),
            rows: totals.inserted + totals.updated,
            kept: 0,
            note,
        });
    }
    let steps = all_figures(&started).await?;
    let tables = table_counts(&mut started).await?;
    Ok(Outcome { exit_code: 0, steps, tables, unfinished: Vec::new() })
}

/// Figures of every step that ran.
pub async fn all_figures(started: &Started) -> Result<Vec<StepFigures>> {
    let mut session = session(started, "figures").await?;
    let ledger = &started.context.ledger;
    let mut out = Vec::new();
    for record in ledger.steps(session.as_mut()).await? {
        if record.state != "rolled back" {
            out.push(ledger.figures(session.as_mut(), &record).await?);
        }
    }
    Ok(out)
}

/// Counts of every table that the plan writes or protects, at the baseline and now. What was
/// counted a moment ago, for the proof, is not counted again.
pub async fn table_counts(started: &mut Started) -> Result<Vec<TableCounts>> {
    let mut session = session(started, "count").await?;
    let session = session.as_mut();
    let counted = std::mem::take(&mut started.counted);
    let mut out = Vec::new();
    for (table, before, protected) in
        protect::baseline_tables(session, &started.context.ledger).await?
    {
        let after = match counted.get(&table) {
            Some(rows) => Some(*rows),
            None => match session.table(&TableName::bare(table.as_str())).await? {
                Some(found) => Some(count_table(session, &found.name).await?),
                None => None,
            },
        };
        out.push(TableCounts { table, before, after, protected });
    }
    Ok(out)
}
