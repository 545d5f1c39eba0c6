//! `check --scan`: every row of every step through its rules, before anything is written.

use std::collections::HashSet;
use std::sync::Arc;

use super::preflight::{self, Databases};
use super::{Finding, Level, Runner, look, status};
use crate::db::{Access, Database};
use crate::engine::choose::Choice;
use crate::engine::chunker::cut;
use crate::engine::scan::{Scanned, scan};
use crate::error::Result;
use crate::ledger::chunks::ChunkKind;
use crate::plan::{Plan, Step, StepKind};
use crate::steps::bind::Bound;

/// What `check` finds, and for each step that can be bound, what its rows say.
pub async fn look(runner: &Runner) -> Result<Vec<Finding>> {
    let plan = &runner.plan;
    let databases = Databases::open(plan, runner.settings.patience)?;
    let done = status::done_steps(plan, &databases).await?;
    let report = preflight::look(plan, &databases, &done).await?;
    let mut findings = report.findings;
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Ok(findings);
    }
    let ends = (databases.source, databases.target);
    for (position, mut bound, ..) in report.bound {
        let step = &plan.steps[position];
        let unknown = leave_out_unknown(plan, position, &done, &mut bound);
        if !unknown.is_empty() {
            let columns = unknown.join(", ");
            let message = format!("not scanned, because an earlier step fills them: {columns}");
            findings.push(finding(step, Level::Warning, message, None));
        }
        let scanned = scan_step(runner, step, bound, &ends).await?;
        findings.extend(findings_of(step, &scanned));
    }
    Ok(findings)
}

fn finding(step: &Step, level: Level, message: String, help: Option<&str>) -> Finding {
    Finding {
        level,
        subject: format!("step {}", step.name),
        message,
        help: help.map(str::to_owned),
        line: Some(step.line),
        differs: true,
    }
}

/// One line for each kind of refusal; errors where there are more than the plan allows.
fn findings_of(step: &Step, scanned: &Scanned) -> Vec<Finding> {
    let (rows, rejected) = (scanned.rows, scanned.rejected);
    if rejected == 0 {
        let message = format!("{rows} rows scanned, all of them fit");
        return vec![finding(step, Level::Ok, message, None)];
    }
    let allowed = step.options.max_rejects;
    let level = if rejected > allowed { Level::Error } else { Level::Warning };
    let message = format!("{rejected} of {rows} rows would be rejected, max_rejects is {allowed}");
    let help = "correct the data or the rule: `replace`, `null_if`, `map` or `first` can say what \
                such a value becomes";
    let mut out = vec![finding(step, level, message, Some(help))];
    for ((column, reason), (count, first)) in &scanned.kinds {
        let key = &first.key;
        let place = first.reason.strip_prefix(reason.as_str()).unwrap_or_default();
        let message =
            format!("column {column}: {reason} ({count} rows, the first has key {key}{place})");
        out.push(finding(step, Level::Warning, message, None));
    }
    out
}

/// Takes the columns out of the mapping whose values come from rows that no step has written
/// yet; their names.
fn leave_out_unknown(
    plan: &Plan,
    position: usize,
    done: &HashSet<String>,
    bound: &mut Bound,
) -> Vec<String> {
    let written: HashSet<&str> = plan.steps[..=position]
        .iter()
        .filter(|step| !done.contains(&step.name))
        .filter_map(|step| step.kind.target_table())
        .collect();
    bound.job.mapping.leave_out_waiting(&written)
}

async fn scan_step(
    runner: &Runner,
    step: &Step,
    bound: Bound,
    (source, target): &(Arc<Database>, Arc<Database>),
) -> Result<Scanned> {
    let is_update = matches!(step.kind, StepKind::Update(_));
    let reads = if is_update { target } else { source };
    let label = format!("{}/scan", runner.plan.name);
    let mut writer = target.session(Access::Look, &label).await?;
    let chunks = match &bound.files {
        Some(files) => vec![(ChunkKind::Range, files.range())],
        None => {
            let access = if is_update { Access::Look } else { Access::Read };
            let mut reader = reads.session(access, &label).await?;
            let rows = step.options.batch_rows;
            cut(reader.as_mut(), &bound.job.source, 1, rows, false).await?.chunks
        }
    };
    let decode = Choice::Decode("nothing is written".to_owned());
    let bound = Bound { choice: decode, ..bound };
    let shared = Arc::new(look::shared(runner, step, bound, source, target));
    let ends = super::throttle::ends(&runner.plan, source, target);
    let _watching = shared.throttle.watch(&ends).await;
    scan(&shared, &chunks, writer.as_mut()).await
}
