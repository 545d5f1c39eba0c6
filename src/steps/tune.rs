//! What a step's `tune` does to the target around its batches. Only the process that conducts
//! the run comes here.

use std::time::Instant;

use super::StepContext;
use crate::db::indexes::{self, Secondary};
use crate::db::{Access, Session};
use crate::error::{Class, Error, Result};
use crate::event::What;
use crate::ledger::deferred::Deferred;
use crate::ledger::tables;
use crate::plan::{Step, StepKind};
use crate::sql::{Flavor, Table};

/// Drops the indexes that the step does without, in one transaction with the ledger's note of
/// them. Does nothing where no batch is left to be the faster for it.
pub async fn defer(
    context: &StepContext,
    step: &Step,
    table: &Table,
    session: &mut dyn Session,
) -> Result<()> {
    let ledger = &context.ledger;
    if !step.options.tune.defer_indexes {
        return Ok(());
    }
    let (done, chunks) = ledger.chunk_counts(session, &step.name).await?;
    if done == chunks {
        return Ok(());
    }
    session.begin().await?;
    ledger.guard(session).await?;
    let Secondary { mut go, stay } = indexes::secondary(session, table).await?;
    // Of an index that is dropped already, the ledger knows what was there before.
    let known = ledger.deferred(session, Some(&step.name)).await?;
    go.retain(|one| known.iter().all(|other| other.definition.name != one.name));
    if !go.is_empty() {
        tables::add(session, "deferred").await?;
    }
    for one in &go {
        ledger.remember_deferred(session, &step.name, one).await?;
        indexes::drop_index(session, one).await?;
    }
    crate::fail::point("indexes_dropping");
    session.commit().await?;
    crate::fail::point("indexes_dropped");
    for (index, reason) in stay {
        context
            .emitter
            .emit(What::Warning { step: Some(step.name.clone()), message: stays(&index, &reason) });
    }
    if !go.is_empty() {
        context.emitter.emit(What::IndexesDeferred {
            step: step.name.clone(),
            table: table.name.to_string(),
            indexes: go.into_iter().map(|one| one.name).collect(),
        });
    }
    Ok(())
}

/// Why an index is not among those that are dropped.
pub fn stays(index: &str, reason: &str) -> String {
    format!("the index `{index}` stays: {reason}")
}

/// Builds every index again that the run, or one of its steps, has dropped.
///
/// # Errors
/// The first index that could not be built; the others are.
pub async fn put_back(
    context: &StepContext,
    session: &mut dyn Session,
    step: Option<&str>,
) -> Result<()> {
    let mut first: Option<Error> = None;
    for one in context.ledger.deferred(session, step).await? {
        let begun = Instant::now();
        let definition = &one.definition;
        let Err(mut error) = rebuild(context, session, &one).await else {
            context.emitter.emit(What::IndexRebuilt {
                step: one.step.clone(),
                table: definition.table.to_string(),
                index: definition.name.clone(),
                seconds: begun.elapsed().as_secs_f64(),
            });
            continue;
        };
        session.rollback().await;
        error.message =
            format!("the index `{}` can't be built: {}", definition.name, error.message);
        error = error.in_step(&one.step).in_table(&definition.table.to_string());
        if matches!(error.class, Class::Retry | Class::Lost) || session.broken() {
            return Err(error);
        }
        // No single row can be set aside here: an index refuses as a whole.
        error.class = Class::Stop;
        first.get_or_insert(error.hint(
            "If a row of this step is to blame, correct it in the target and run again, or take \
             the step back with `tablelift rollback`: the index is then built without its rows.",
        ));
    }
    first.map_or(Ok(()), Err)
}

/// One index: there, and out of the ledger, in one transaction.
async fn rebuild(context: &StepContext, session: &mut dyn Session, one: &Deferred) -> Result<()> {
    session.begin().await?;
    context.ledger.guard(session).await?;
    indexes::build(session, &one.definition).await?;
    context.ledger.forget_deferred(session, one).await?;
    crate::fail::point("index_building");
    session.commit().await?;
    crate::fail::point("index_back");
    Ok(())
}

/// Lets the server look at the target's rows, where the step wants it. Statistics are no part of
/// the promise: where they can't be had, the step goes on.
pub async fn analyze(
    context: &StepContext,
    step: &Step,
    table: &Table,
    session: &mut Box<dyn Session>,
) -> Result<()> {
    let moves_rows_in = matches!(step.kind, StepKind::Copy(_) | StepKind::Seed(_));
    // SQLite would make tables of its own in the user's file.
    let by_default = context.target.flavor() == Flavor::Postgres;
    if !moves_rows_in || !step.options.tune.analyze.unwrap_or(by_default) {
        return Ok(());
    }
    let begun = Instant::now();
    let keyword =
        if context.target.flavor() == Flavor::Mysql { "ANALYZE TABLE" } else { "ANALYZE" };
    let analyze = format!("{keyword} {}", table.name.sql(session.dialect()));
    let analyzed = session.script(&analyze).await;
    let (step, table) = (step.name.clone(), table.name.to_string());
    let Err(error) = analyzed else {
        let seconds = begun.elapsed().as_secs_f64();
        context.emitter.emit(What::TableAnalyzed { step, table, seconds });
        return Ok(());
    };
    if session.broken() {
        let label = format!("{}/{step}/count", context.plan.name);
        *session = context.target.session(Access::Write, &label).await?;
    }
    let message = format!("{table} is not analyzed: {error}");
    context.emitter.emit(What::Warning { step: Some(step), message });
    Ok(())
}
