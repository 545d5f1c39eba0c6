//! `run --dry-run`: the SQL, the counts and three mapped rows of each step; nothing changes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::preflight::{self, Databases};
use super::{Level, Preview, Runner};
use crate::db::Access;
use crate::engine::Shared;
use crate::engine::choose::Choice;
use crate::engine::read_ahead::sample_select;
use crate::engine::route::pushdown::Pushdown;
use crate::engine::route::sample::sample;
use crate::error::Result;
use crate::event::Emitter;
use crate::key::KeyRange;
use crate::plan::{Plan, Step, StepKind};
use crate::steps::bind::Bound;
use crate::throttle::Throttle;

/// Rows shown for each step.
const SAMPLE_ROWS: usize = 3;

/// One preview for each step that is left.
pub async fn preview(runner: &Runner) -> Result<Vec<Preview>> {
    let plan = &runner.plan;
    let databases = Databases::open(plan, runner.settings.patience)?;
    let skip: HashSet<String> = super::status::done_steps(plan, &databases).await?;
    let mut report = preflight::look(plan, &databases, &skip).await?;
    if let Some(error) = report.error(plan) {
        return Err(error);
    }
    let source = Arc::new(databases.source);
    let target = Arc::new(databases.target);
    let mut out = Vec::new();
    for (position, step) in plan.steps.iter().enumerate() {
        if skip.contains(&step.name) || !Plan::selects(runner.settings.step.as_deref(), &step.name)
        {
            continue;
        }
        let notes = report
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Warning)
            .filter(|finding| finding.subject == format!("step {}", step.name))
            .map(|finding| finding.message.clone())
            .collect();
        let at = report.bound.iter().position(|(number, ..)| *number == position);
        let mut preview = Preview {
            step: step.name.clone(),
            kind: step.kind.name().to_owned(),
            route: String::new(),
            sql: Vec::new(),
            source_rows: None,
            before: None,
            samples: Vec::new(),
            notes,
            tune: report.tuned.remove(&position).unwrap_or_default(),
        };
        if let StepKind::Sql(sql) = &step.kind {
            preview.sql.push(sql.sql.trim().to_owned());
        } else if let Some(at) = at {
            let (_, bound, rows, before) = report.bound.swap_remove(at);
            preview.route = bound.choice.to_string();
            preview.source_rows = rows;
            preview.before = before;
            fill(runner, step, bound, &source, &target, &mut preview).await?;
        }
        out.push(preview);
    }
    Ok(out)
}

async fn fill(
    runner: &Runner,
    step: &Step,
    bound: Bound,
    source: &Arc<crate::db::Database>,
    target: &Arc<crate::db::Database>,
    preview: &mut Preview,
) -> Result<()> {
    let is_update = matches!(step.kind, StepKind::Update(_));
    let reads = if is_update { target } else { source };
    let label = format!("{}/dry-run", runner.plan.name);
    let access = if is_update { Access::Look } else { Access::Read };
    let mut reader = reads.session(access, &label).await?;
    let mut writer = target.session(Access::Look, &label).await?;
    let shared = Shared {
        size: crate::engine::limit::Size::new(&bound.job.options),
        job: bound.job,
        choice: bound.choice,
        source: Arc::clone(reads),
        moved_flavor: source.flavor(),
        target: Arc::clone(target),
        files: bound.files,
        ledger: super::start::ledger(runner, target),
        throttle: Arc::new(Throttle::new(&runner.plan.throttle)),
        emitter: Emitter::new(&runner.plan.name, "", Arc::clone(&runner.settings.listener)),
        snapshot: None,
        stop: runner.settings.stop.clone(),
        rejects: AtomicU64::new(0),
        room: crate::engine::read_ahead::Room::of(1),
        readers: std::sync::Mutex::default(),
    };
    match &shared.choice {
        Choice::Pushdown(list) => {
            let range = KeyRange::default();
            preview.sql.push(Pushdown::statement(&shared, writer.as_ref(), list, &range)?);
        }
        Choice::Stream(_) | Choice::Decode(_) | Choice::Update if shared.files.is_none() => {
            preview.sql.push(sample_select(&shared, reader.as_ref(), None).0);
        }
        Choice::Stream(_) | Choice::Decode(_) | Choice::Update => {}
    }
    preview.samples = sample(&shared, reader.as_mut(), writer.as_mut(), SAMPLE_ROWS).await?;
    Ok(())
}
