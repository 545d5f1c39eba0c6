//! The task of a process that keeps its throttle in step with the others: reads what people ask
//! for, says how it goes, and takes its part of the budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::chronicle::Chronicle;
use crate::db::{Access, Session};
use crate::error::Result;
use crate::event::Emitter;
use crate::ledger::Ledger;
use crate::steps::StepContext;
use crate::throttle::{Ends, Orders, Report, Throttle};

/// Between two looks at what people ask for.
const LOOK: Duration = Duration::from_millis(500);

/// A pause that lasted for so long stands in the ledger's history.
const WORTH_REMEMBERING: Duration = Duration::from_secs(5);

/// Looks after which a process that asked for nothing has nothing to write.
const BEGINS: u32 = 6;

/// Looks between two reports of this process, where nothing has changed.
const REPORT_EACH: u32 = 2;

/// Keeps the throttle steered until it is dropped.
pub struct Steering {
    _tasks: JoinSet<()>,
}

impl Steering {
    /// Begins; comes back when the first wishes are read and the others know of this process.
    pub async fn begin(context: &StepContext, chronicle: &Arc<Chronicle>) -> Steering {
        let ends = super::throttle::ends(&context.plan, &context.source, &context.target);
        let mut tasks = context.throttle.watch(&ends).await;
        let mut steerer = Steerer {
            throttle: Arc::clone(&context.throttle),
            chronicle: Arc::clone(chronicle),
            emitter: context.emitter.clone(),
            ledger: context.ledger.clone(),
            ends,
            session: None,
            orders: Orders::default(),
            steered: false,
            looks: 0,
            last: None,
            held: None,
        };
        let others = steerer.look().await.unwrap_or(0);
        if others > 0 && steerer.throttle.is_limited() {
            // Until they have seen that there is one more, they use all of the budget.
            tokio::time::sleep(LOOK * 2).await;
        }
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if steerer.look().await.is_err() {
                    // The orders of before hold until the ledger answers again.
                    steerer.session = None;
                }
            }
        });
        Steering { _tasks: tasks }
    }
}

struct Steerer {
    throttle: Arc<Throttle>,
    chronicle: Arc<Chronicle>,
    emitter: Emitter,
    ledger: Ledger,
    ends: Ends,
    session: Option<Box<dyn Session>>,
    orders: Orders,
    /// The ledger has the tables.
    steered: bool,
    looks: u32,
    last: Option<Report>,
    /// Since when batches are held back, why, and whether the ledger has it.
    held: Option<(Instant, String, bool)>,
}

impl Steerer {
    /// One look; how many others are at work.
    async fn look(&mut self) -> Result<u32> {
        let readings = self.throttle.report().readings;
        if !readings.is_empty() {
            self.emitter.readings(&readings);
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.ends.target.session(Access::Write, &self.ends.label).await?,
        };
        self.chronicle.write(&self.ledger, session.as_mut(), false).await?;
        // A ledger of an earlier version has it once somebody has steered.
        self.steered = self.steered || self.ledger.can_be_steered(session.as_mut()).await?;
        let others = match self.steered {
            true => self.exchange(session.as_mut()).await?,
            false => 0,
        };
        self.session = Some(session);
        Ok(others)
    }

    async fn exchange(&mut self, session: &mut dyn Session) -> Result<u32> {
        let wishes = self.ledger.wishes(session).await?;
        // At once: what comes next writes, and may have to wait for a batch.
        self.orders.paused = wishes.paused;
        self.orders.rows_per_second = wishes.rows_per_second;
        self.orders.batch_rows = wishes.batch_rows;
        self.throttle.steer(self.orders.clone());
        self.say(session).await?;
        self.looks = self.looks.wrapping_add(1);
        let said = self.ledger.said(session).await?;
        let is_other = |runner: &str| runner != self.ledger.runner;
        let others = said.iter().filter(|said| said.at_work && is_other(&said.runner)).count();
        let others = u32::try_from(others).unwrap_or(u32::MAX - 1);
        self.orders.processes = others + 1;
        self.throttle.steer(self.orders.clone());
        Ok(others)
    }

    /// Tells the others how it goes, where that is news or they count on it.
    async fn say(&mut self, session: &mut dyn Session) -> Result<()> {
        let mut report = self.throttle.report();
        // It is about to begin.
        report.at_work |= self.looks < BEGINS;
        let hold = report.hold.clone();
        let is_news = self.last.as_ref().is_none_or(|last| {
            last.at_work != report.at_work || last.reason.is_some() != report.reason.is_some()
        });
        let is_due = self.looks.is_multiple_of(REPORT_EACH);
        let counts = self.throttle.is_limited() || !report.signals.is_empty() || self.orders.paused;
        if is_news || (is_due && counts) {
            let signals = serde_json::to_string(&report.signals).unwrap_or_default();
            self.ledger.say(session, report.at_work, report.reason.as_deref(), &signals).await?;
            self.last = Some(report);
        }
        self.remember(session, hold).await
    }

    /// Writes pauses into the ledger's history, when they have lasted for a while and when they
    /// end, so that a person finds in the morning what held the run back at night.
    async fn remember(&mut self, session: &mut dyn Session, hold: Option<String>) -> Result<()> {
        match (&mut self.held, hold) {
            (None, Some(reason)) => self.held = Some((Instant::now(), reason, false)),
            (Some((since, _, written)), Some(reason)) => {
                if !*written && since.elapsed() >= WORTH_REMEMBERING {
                    *written = true;
                    let body =
                        serde_json::json!({ "process": self.ledger.runner, "reason": reason });
                    self.ledger.log(session, "throttled", &body.to_string()).await?;
                }
            }
            (Some((since, reason, written)), None) => {
                if *written {
                    let seconds = since.elapsed().as_secs_f64().round();
                    let (process, first) = (self.ledger.runner, reason.as_str());
                    let body = serde_json::json!({ "process": process, "reason": first, "seconds": seconds });
                    self.ledger.log(session, "throttle_ended", &body.to_string()).await?;
                }
                self.held = None;
            }
            (None, None) => {}
        }
        Ok(())
    }
}
