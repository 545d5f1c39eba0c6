//! `tablelift throttle`: what holds a run back, and what people ask of it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::preflight::Databases;
use super::{Finding, Level, start};
use crate::db::{Access, Database};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::control::Change;
use crate::plan::Plan;
use crate::throttle::reason::Reason;
use crate::throttle::{Ends, try_all};

/// The rate is that of so many last seconds.
const LATELY: u32 = 60;

/// What `throttle` shows.
#[derive(Debug, Clone, Serialize)]
pub struct ThrottleStatus {
    /// The plan's name.
    pub plan: String,
    /// Somebody asked for a pause.
    pub paused: bool,
    /// The limit that holds.
    pub rows_per_second: Option<u32>,
    /// It is somebody's wish, not the plan's.
    pub rows_per_second_asked: bool,
    /// Rows of a batch that somebody asked for; `None`: each step's own.
    pub batch_rows: Option<u32>,
    /// Who asked last.
    pub changed_by: Option<String>,
    /// When they did, RFC 3339.
    pub changed_at: Option<String>,
    /// Rows a second over the last minute.
    pub rate: f64,
    /// The processes that work on the run.
    pub processes: Vec<ProcessStatus>,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessStatus {
    /// Its name in the ledger.
    pub process: String,
    /// It wants to write.
    pub at_work: bool,
    /// Why it waits just now.
    pub waits_for: Option<String>,
    /// What its signals say.
    pub signals: Vec<SignalStatus>,
}

/// One signal.
#[derive(Debug, Clone, Serialize)]
pub struct SignalStatus {
    /// Name, value and limit.
    pub reading: String,
    /// It is over its limit.
    pub over: bool,
}

/// Asks for a change, if there is one, and says how it stands then.
pub async fn throttle(
    plan: &Plan,
    patience: Duration,
    change: &Change,
    by: &str,
) -> Result<ThrottleStatus> {
    let databases = Databases::open(plan, patience)?;
    let label = format!("{}/throttle", plan.name);
    let is_change = *change != Change::default();
    let access = if is_change { Access::Write } else { Access::Look };
    let mut session = databases.target.session(access, &label).await?;
    let session = session.as_mut();
    let mut ledger = start::ledger_of(plan, &databases.target, patience);
    let run = match Ledger::exists(session).await? {
        true => ledger.newest_run(session).await?,
        false => None,
    };
    let run = run.ok_or_else(|| {
        Error::invalid(format!("the plan `{}` has never run on this target", plan.name))
            .hint("There is nothing to steer yet; begin with `tablelift run`.")
    })?;
    ledger.run = run.id;
    if is_change {
        ledger.ask_for(session, change, by).await?;
        let body = serde_json::json!({
            "by": by,
            "paused": change.paused,
            "rows_per_second": change.rows_per_second,
            "batch_rows": change.batch_rows,
        });
        ledger.log(session, "throttle_changed", &body.to_string()).await?;
    }
    let can = ledger.can_be_steered(session).await?;
    let wishes = if can { ledger.wishes(session).await? } else { Default::default() };
    let said = if can { ledger.said(session).await? } else { Vec::new() };
    let rate = ledger.rate_lately(session, LATELY).await?;
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(ThrottleStatus {
        plan: plan.name.clone(),
        paused: wishes.paused,
        rows_per_second: wishes.rows_per_second.or(plan.throttle.rows_per_second),
        rows_per_second_asked: wishes.rows_per_second.is_some(),
        batch_rows: wishes.batch_rows,
        changed_by: given(wishes.changed_by),
        changed_at: given(wishes.changed_at),
        rate,
        processes: said
            .into_iter()
            .map(|said| ProcessStatus {
                process: said.runner,
                at_work: said.at_work,
                waits_for: said.reason,
                signals: signals_of(&said.signals),
            })
            .collect(),
    })
}

fn signals_of(json: &str) -> Vec<SignalStatus> {
    let all: Vec<(String, bool)> = serde_json::from_str(json).unwrap_or_default();
    all.into_iter().map(|(reading, over)| SignalStatus { reading, over }).collect()
}

/// What `check` says of the signals: one that can't be read would keep the run waiting.
pub async fn findings(plan: &Plan, databases: &Databases) -> Vec<Finding> {
    let ends = ends(plan, &databases.source, &databases.target);
    let tried = try_all(&plan.throttle.signals, &ends).await;
    let finding = |(reason, is_read): (Reason, bool)| Finding {
        level: if is_read { Level::Ok } else { Level::Warning },
        subject: "throttle".to_owned(),
        message: reason.reading(),
        help: (!is_read).then(|| "The run would wait until it can be read.".to_owned()),
        line: None,
        differs: false,
    };
    tried.into_iter().map(finding).collect()
}

/// What the signals are read from.
pub fn ends(plan: &Plan, source: &Arc<Database>, target: &Arc<Database>) -> Ends {
    Ends {
        source: Arc::clone(source),
        target: Arc::clone(target),
        dir: plan.dir.clone(),
        label: format!("{}/throttle", plan.name),
    }
}
