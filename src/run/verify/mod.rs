//! `tablelift verify`: the closing proof once more, and every copied row's content.

mod step;
mod sums;

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::step::OneStep;
use super::start::Started;
use super::{Outcome, Runner, finish, start};
use crate::db::Access;
use crate::engine::retry::interrupted;
use crate::error::{Error, Result};
use crate::event::{StepProof, What};
use crate::key::Key;
use crate::plan::{Plan, StepKind};
use crate::steps::StepContext;
use crate::verify::content::found::Difference;

/// What `verify` is asked for, beside the runner's settings.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Compare every copied row by content.
    pub content: bool,
    /// Compare this part of the rows only, above 0 and below 1.
    pub sample: Option<f64>,
    /// How often a row that differs is read again before it is said.
    pub recheck: u32,
    /// Make the source's rows again from the target's, and compare those too.
    pub rebuild: bool,
    /// Copy rows again that are missing or differ.
    pub repair: bool,
}

impl Default for Verify {
    fn default() -> Verify {
        Verify { content: true, sample: None, recheck: 2, rebuild: false, repair: false }
    }
}

/// A step's figures with its first differences, as the ledger keeps them.
#[derive(Serialize, Deserialize)]
struct Kept {
    proof: StepProof,
    listed: Vec<Difference>,
    key: Vec<String>,
}

/// Runs the command.
pub async fn verify(runner: &Runner, wanted: &Verify) -> Result<Outcome> {
    let begun = Instant::now();
    if let Some(only) = &runner.settings.step {
        start::prerequisite(&runner.plan, only)?;
    }
    let mut started = match wanted.content {
        true => start::take(runner, "verify").await?,
        false => start::look_on(runner).await?,
    };
    let result = proven(runner, &mut started, wanted).await;
    runner.outcome(&mut started, result, begun).await
}

async fn proven(runner: &Runner, started: &mut Started, wanted: &Verify) -> Result<u8> {
    let only = runner.settings.step.as_deref();
    let mut ok = true;
    // Rows that are copied again are there when tables are counted.
    if wanted.content && wanted.repair {
        ok &= content(runner, started, wanted).await?;
    }
    if only.is_none() {
        ok &= finish::prove(runner, started).await? == 0;
    }
    if wanted.content && !wanted.repair {
        ok &= content(runner, started, wanted).await?;
    }
    let left = finish::unfinished(started).await?;
    ok &= !left.iter().any(|name| Plan::selects(only, name));
    Ok(if ok { 0 } else { 3 })
}

/// Compares every step's rows; whether all of them are as they should be.
async fn content(runner: &Runner, started: &Started, wanted: &Verify) -> Result<bool> {
    let Started { context, records, .. } = started;
    start::unchanged(&runner.plan, records)?;
    let only = runner.settings.step.as_deref();
    let (ledger, label) = (&context.ledger, format!("{}/verify", runner.plan.name));
    let mut session = context.target.session(Access::Write, &label).await?;
    let options = format!(
        "step {:?}, sample {:?}, rebuild {}, repair {}",
        only, wanted.sample, wanted.rebuild, wanted.repair
    );
    ledger.begin_verify(session.as_mut(), &options).await?;
    let mut ok = true;
    let mut owned: BTreeMap<String, u64> = BTreeMap::new();
    for step in runner.plan.steps.iter().filter(|step| Plan::selects(only, &step.name)) {
        if context.stop.is_cancelled() {
            return Err(interrupted());
        }
        let kept = match ledger.verified_step(session.as_mut(), &step.name).await? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|_| Error::stop("the ledger holds marks of verify that can't be read"))?,
            None => {
                let one = OneStep { context, records, step, wanted, owned: &owned };
                let kept = one.compare().await.map_err(|error| error.in_step(&step.name))?;
                let text = serde_json::to_string(&kept).map_err(|error| {
                    Error::stop(format!("what was found can't be kept: {error}"))
                })?;
                ledger.finish_verified(session.as_mut(), &step.name, &text).await?;
                crate::fail::point("step_verified");
                kept
            }
        };
        if !matches!(step.kind, StepKind::Update(_)) {
            *owned.entry(kept.proof.table.clone()).or_default() += kept.proof.compared;
        }
        ok &= kept.proof.ok;
        say(context, kept)?;
    }
    ledger.end_verify(session.as_mut(), if ok { "done" } else { "differs" }).await?;
    Ok(ok)
}

/// Emits what a step's comparison has shown.
fn say(context: &StepContext, kept: Kept) -> Result<()> {
    for difference in &kept.listed {
        let key = match &difference.key {
            Some(key) => Key::from_ledger(key)?.to_event(&kept.key),
            None => serde_json::Value::Null,
        };
        context.emitter.emit(What::RowDiffers {
            step: kept.proof.step.clone(),
            table: kept.proof.table.clone(),
            class: difference.class.name(),
            key,
            columns: difference.columns.clone(),
        });
    }
    context.emitter.emit(What::StepVerified(kept.proof));
    Ok(())
}
