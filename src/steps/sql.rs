//! `sql` steps: SQL of the plan on the target, in one transaction with its ledger entry.

use super::StepContext;
use crate::db::{Access, Session};
use crate::error::{Class, Error, Result};
use crate::event::{StepFigures, What};
use crate::ledger::Ledger;
use crate::ledger::history::StepRecord;
use crate::plan::{SqlStep, Step};
use crate::sql::Dialect;

/// Whether the SQL can be one transaction with its ledger entry: not where the plan says so, and
/// not where it changes the schema of a database that commits such changes by itself.
pub fn in_transaction(sql: &str, allowed: bool, dialect: &dyn Dialect) -> bool {
    const CHANGES: &[&str] = &[
        "ALTER", "ANALYZE", "CREATE", "DROP", "FLUSH", "GRANT", "LOCK", "OPTIMIZE", "RENAME",
        "REPAIR", "REVOKE", "TRUNCATE",
    ];
    let changes = || {
        statements(sql).iter().any(|statement| {
            let word = statement.split_whitespace().next().unwrap_or_default();
            CHANGES.iter().any(|change| word.eq_ignore_ascii_case(change))
        })
    };
    allowed && !(dialect.ddl_commits() && changes())
}

/// The statements of a text, roughly: good enough to look at their first words.
pub fn statements(sql: &str) -> Vec<String> {
    let without_comments: String = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let statements = without_comments.split(';').map(|statement| statement.trim().to_owned());
    statements.filter(|statement| !statement.is_empty()).collect()
}

/// Runs the step; its figures (all zero).
pub async fn run(
    context: &StepContext,
    position: usize,
    step: &Step,
    sql: &SqlStep,
    record: Option<&StepRecord>,
) -> Result<StepFigures> {
    let perhaps_done = record.is_some_and(|record| record.state == "running");
    let dialect = context.target.flavor().dialect();
    let transaction = in_transaction(&sql.sql, sql.transaction, dialect);
    // In a transaction, "running" is never seen, unless a statement has committed it.
    if perhaps_done {
        return Err(Error::stop(
            "the statement may or may not have run: the process ended inside it",
        )
        .in_step(&step.name)
        .hint(format!(
            "Look at the target. Take the step back with `tablelift rollback --step {} --yes`, which \
             runs its undo, and see that what it did is gone; then run again.",
            step.name
        )));
    }
    let label = format!("{}/{}", context.plan.name, step.name);
    let mut session = context.target.session(Access::Write, &label).await?;
    let session = session.as_mut();
    let record = StepRecord {
        step: step.name.clone(),
        kind: "sql".to_owned(),
        checksum: step.checksum.clone(),
        spec: format!("{:?}", step.kind),
        state: "running".to_owned(),
        route: String::new(),
        target_table: None,
        columns: None,
        source_rows: None,
        source_rows_after: None,
        before_rows: None,
        after_rows: None,
    };
    context.emitter.emit(What::StepStarted {
        step: step.name.clone(),
        kind: "sql".to_owned(),
        route: String::new(),
        source_rows: None,
        done_rows: 0,
        before: None,
    });
    let begun = std::time::Instant::now();
    let ledger = &context.ledger;
    session.begin().await?;
    ledger.guard(session).await?;
    ledger.start_step(session, position, &record).await?;
    if !transaction {
        // The intent is committed first, so that a kill is told apart from "never ran".
        session.commit().await?;
    }
    let begun_as = ledger.current_transaction(session).await?;
    if let Err(error) = session.script(&sql.sql).await {
        session.rollback().await;
        if !transaction && error.class != Class::Retry {
            // The server said no: the intent that was written down is void.
            ledger.set_step(session, &step.name, "failed", None, None).await?;
        }
        return Err(failed(context, step, error, transaction));
    }
    if !transaction {
        session.begin().await?;
        ledger.guard(session).await?;
    } else if !is_still_open(ledger, session, &begun_as).await? {
        return Err(failed(context, step, ended_early(), transaction));
    }
    crate::fail::point("sql_ran");
    ledger.set_step(session, &step.name, "done", None, None).await?;
    session.commit().await?;
    let figures = StepFigures {
        step: step.name.clone(),
        kind: "sql".to_owned(),
        seconds: begun.elapsed().as_secs_f64(),
        ..StepFigures::default()
    };
    context.emitter.emit(What::StepFinished(figures.clone()));
    Ok(figures)
}

/// Whether the transaction that the plan's SQL ran in is still the one that was begun for it.
async fn is_still_open(ledger: &Ledger, session: &mut dyn Session, begun_as: &str) -> Result<bool> {
    let Some(probe) = session.dialect().still_open() else {
        return Ok(ledger.current_transaction(session).await? == begun_as);
    };
    match session.script(probe).await {
        Err(error) if error.class == Class::Retry => Err(error),
        answer => Ok(answer.is_ok()),
    }
}

/// The plan's SQL says COMMIT or ROLLBACK. PostgreSQL would then say yes to another COMMIT.
fn ended_early() -> Error {
    Error::stop("it ended the transaction that it runs in together with its ledger entry").hint(
        "Take COMMIT and ROLLBACK out of it, or say transaction = false. Look at the target \
         first: what stands before a COMMIT there has been done.",
    )
}

fn failed(context: &StepContext, step: &Step, error: Error, transaction: bool) -> Error {
    let mut error = error.in_step(&step.name);
    // In a transaction, a deadlock or a lost connection took everything back.
    if !transaction || error.class != Class::Retry {
        error.class = Class::Stop;
    }
    error.message = format!("the plan's SQL failed: {}", error.message);
    error.at_line(&context.plan.file.display().to_string(), step.line)
}
