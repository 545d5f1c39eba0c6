//! `status`: what the ledger says, without touching anything.

use std::collections::HashSet;
use std::time::Duration;

use super::preflight::Databases;
use super::{Status, StepStatus, start};
use crate::db::Access;
use crate::error::Result;
use crate::event::StepFigures;
use crate::ledger::Ledger;
use crate::plan::Plan;

/// Steps that are done or begun: `check` looks at the others.
pub async fn done_steps(plan: &Plan, databases: &Databases) -> Result<HashSet<String>> {
    let found = start::existing(plan, databases).await?;
    let records = found.map(|(_, records)| records).unwrap_or_default();
    Ok(records
        .into_iter()
        .filter(|record| record.state != "rolled back")
        .map(|record| record.step)
        .collect())
}

/// The state of the plan's newest run.
pub async fn status(plan: &Plan, patience: Duration) -> Result<Status> {
    let databases = Databases::open(plan, patience)?;
    let mut out = Status {
        plan: plan.name.clone(),
        run: None,
        state: "never started".to_owned(),
        held: false,
        started_at: None,
        finished_at: None,
        error: None,
        waits_for: None,
        deferred: Vec::new(),
        steps: plan.steps.iter().map(|step| pending(&step.name, step.kind.name())).collect(),
    };
    let label = format!("{}/status", plan.name);
    let mut session = databases.target.session(Access::Look, &label).await?;
    let session = session.as_mut();
    if !Ledger::exists(session).await? {
        return Ok(out);
    }
    let mut ledger = start::ledger_of(plan, &databases.target, Duration::ZERO);
    out.held = ledger.is_held(session, databases.target.lock(&plan.name).await?.is_some()).await?;
    let Some(run) = ledger.newest_run(session).await? else {
        return Ok(out);
    };
    ledger.run.clone_from(&run.id);
    out.state = match run.state.as_str() {
        // A process that was killed could not write down that it stopped.
        "running" if !out.held => "stopped".to_owned(),
        other => other.to_owned(),
    };
    out.run = Some(run.id);
    out.started_at = Some(run.started_at);
    out.finished_at = run.finished_at;
    out.error = run.error;
    if out.held && ledger.can_be_steered(session).await? {
        out.waits_for = ledger.said(session).await?.into_iter().find_map(|said| said.reason);
    }
    let deferred = ledger.deferred(session, None).await?;
    out.deferred = deferred.into_iter().map(|one| one.definition.index().to_string()).collect();
    for record in ledger.steps(session).await? {
        let (chunks_done, chunks) = ledger.chunk_counts(session, &record.step).await?;
        let status = StepStatus {
            figures: ledger.figures(session, &record).await?,
            state: record.state.clone(),
            expected_rows: record.source_rows,
            chunks_done,
            chunks,
        };
        match out.steps.iter_mut().find(|step| step.figures.step == record.step) {
            Some(slot) => *slot = status,
            None => out.steps.push(status),
        }
    }
    Ok(out)
}

fn pending(step: &str, kind: &str) -> StepStatus {
    StepStatus {
        figures: StepFigures {
            step: step.to_owned(),
            kind: kind.to_owned(),
            ..StepFigures::default()
        },
        state: "pending".to_owned(),
        expected_rows: None,
        chunks_done: 0,
        chunks: 0,
    }
}
