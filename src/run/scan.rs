//! `check --scan`: every row of every step through its rules, before anything is written.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::preflight::{self, Databases};
use super::{Finding, Level, Runner, start, status};
use crate::db::{Access, Database};
use crate::engine::chunker::cut;
use crate::engine::read_ahead::Room;
use crate::engine::scan::{Scanned, scan};
use crate::engine::{self, Shared};
use crate::error::Result;
use crate::event::Emitter;
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::ChunkKind;
use crate::plan::{Plan, Step, StepKind};
use crate::steps::bind::Bound;
use crate::throttle::Throttle;

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
        let message = format!("column {column}: {reason} ({count} rows, the first has key {key})");
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
        Some(files) => {
            let upto = Key::int(i64::try_from(files.count()).unwrap_or(i64::MAX));
            vec![(ChunkKind::Range, KeyRange { after: None, upto: Some(upto) })]
        }
        None => {
            let access = if is_update { Access::Look } else { Access::Read };
            let mut reader = reads.session(access, &label).await?;
            let rows = step.options.batch_rows;
            cut(reader.as_mut(), &bound.job.source, 1, rows, false).await?.chunks
        }
    };
    let shared = Arc::new(Shared {
        size: crate::engine::limit::Size::new(&bound.job.options),
        job: bound.job,
        choice: engine::choose::Choice::Decode("nothing is written".to_owned()),
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
    });
    scan(&shared, &chunks, writer.as_mut()).await
}
