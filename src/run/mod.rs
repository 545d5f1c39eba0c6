//! The conductor: preflight, baseline, steps in order, resume, rollback. One method for each
//! command that touches a database.

mod chronicle;
mod dry_run;
mod ending;
mod expand;
mod finish;
pub mod init;
mod join;
mod look;
mod order;
pub mod preflight;
mod report;
mod rollback;
mod scan;
mod seat;
mod start;
mod status;
mod steer;
mod throttle;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::engine::retry::{Retries, interrupted};
use crate::error::{Error, Kind, Result};
use crate::event::{Emitter, Listener, StepFigures, What};
use crate::live::server::Look;
use crate::plan::expand::Expansion;
use crate::plan::window::Window;
use crate::plan::{OnFailure, Plan, Step, StepKind};
use crate::report::Report;
use crate::steps;

use self::chronicle::Chronicle;
use self::ending::Ending;
use self::start::Started;

pub use self::throttle::{ProcessStatus, SignalStatus, ThrottleStatus};
pub use self::verify::Verify;
pub use crate::ledger::control::Change;

/// Everything that a command may set, beyond the plan.
pub struct Settings {
    /// Only this step.
    pub step: Option<String>,
    /// Overrides every step's `workers`.
    pub workers: Option<u32>,
    /// Overrides the plan's window.
    pub window: Option<Window>,
    /// Overrides the plan's `stop_after`.
    pub stop_after: Option<Duration>,
    /// How long this process may be silent before others take it for dead.
    pub patience: Duration,
    /// Cancelled when a person or the system asks the run to end: the batch in hand is
    /// finished or rolled back, then the command returns an interrupted error.
    pub stop: CancellationToken,
    /// Where events go.
    pub listener: Arc<dyn Listener>,
}

impl Settings {
    /// What holds where a command sets nothing else.
    pub fn new(listener: Arc<dyn Listener>) -> Settings {
        Settings {
            step: None,
            workers: None,
            window: None,
            stop_after: None,
            patience: Duration::from_secs(60),
            stop: CancellationToken::new(),
            listener,
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// 0, or 3 when something differs.
    pub exit_code: u8,
    /// Figures of each step that is done, in plan order.
    pub steps: Vec<StepFigures>,
    /// Counts of every table that the plan writes or protects, before the run and now.
    pub tables: Vec<TableCounts>,
    /// Names of the steps that are not done, in plan order.
    pub unfinished: Vec<String>,
}

/// One line of the before/after/change table.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct TableCounts {
    /// The table.
    pub table: String,
    /// Rows at the baseline; `None`: the table did not exist.
    pub before: Option<u64>,
    /// Rows now; `None`: the table does not exist.
    pub after: Option<u64>,
    /// Listed under `[[protect]]`.
    pub protected: bool,
}

/// One line of `check`'s list.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// error, warning or ok.
    pub level: Level,
    /// The step or table it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Line in the plan file, where there is one.
    pub line: Option<usize>,
    /// A count or content finding: exit code 3 instead of 2.
    pub differs: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Looked at, and fine.
    Ok,
    /// Works, but a person should know.
    Warning,
    /// The run would be refused.
    Error,
}

/// What a dry run shows for one step.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The step.
    pub step: String,
    /// Its kind.
    pub kind: String,
    /// The route and its reason.
    pub route: String,
    /// The SQL of one batch, or of the step.
    pub sql: Vec<String>,
    /// Rows in the cut.
    pub source_rows: Option<u64>,
    /// Rows of the target table now.
    pub before: Option<u64>,
    /// Up to three mapped rows: target column and text, NULL as `None`.
    pub samples: Vec<Vec<(String, Option<String>)>>,
    /// Findings of this step.
    pub notes: Vec<String>,
    /// What its `tune` would do.
    pub tune: Vec<String>,
}

/// What `status` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The plan's name.
    pub plan: String,
    /// The run's id; `None`: never started.
    pub run: Option<String>,
    /// never started, running, stopped, failed, done, differs, rolled back.
    pub state: String,
    /// A process holds the plan right now.
    pub held: bool,
    /// When the run started, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// Why its batches wait just now.
    pub waits_for: Option<String>,
    /// Indexes that a step has dropped and nobody has built again yet.
    pub deferred: Vec<String>,
    /// Every step of the plan, in order.
    pub steps: Vec<StepStatus>,
}

/// One step in `status`.
#[derive(Debug, Clone, Serialize)]
pub struct StepStatus {
    /// The figures so far.
    #[serde(flatten)]
    pub figures: StepFigures,
    /// pending, running, done, rolled back.
    pub state: String,
    /// Rows in the cut as counted at the start.
    pub expected_rows: Option<u64>,
    /// Chunks, done and in all.
    pub chunks_done: u64,
    /// Chunks in all.
    pub chunks: u64,
}

/// Runs commands of one plan.
pub struct Runner {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Settings of the command.
    pub settings: Settings,
    /// What its patterns stand for; the run's first command writes it down.
    expansion: Option<Expansion>,
    /// Why it was asked to end, if it was.
    ending: Ending,
    /// What of the events the ledger keeps.
    chronicle: Arc<Chronicle>,
}

impl Runner {
    /// A runner of `plan`.
    pub fn new(plan: Plan, settings: Settings) -> Runner {
        Runner::with(plan, settings, None)
    }

    /// A runner of the plan as it is meant: patterns stand for the tables that the databases
    /// have, or had when the run began.
    ///
    /// # Errors
    /// A database that can't be reached, a pattern without tables, foreign keys in a circle
    /// that can't be cut.
    pub async fn open(plan: Plan, settings: Settings) -> Result<Runner> {
        let (plan, expansion) = expand::expanded(plan, settings.patience).await?;
        Ok(Runner::with(plan, settings, expansion))
    }

    fn with(plan: Plan, mut settings: Settings, expansion: Option<Expansion>) -> Runner {
        let chronicle = Arc::new(Chronicle::before(Arc::clone(&settings.listener)));
        settings.listener = Arc::<Chronicle>::clone(&chronicle);
        let ending = Ending::default();
        Runner { plan: Arc::new(plan), settings, expansion, ending, chronicle }
    }

    /// Other limits than the plan's, for this process.
    pub fn limit(&mut self, rows_per_second: Option<u32>, batch_rows: Option<u32>) {
        let plan = Arc::make_mut(&mut self.plan);
        plan.throttle.rows_per_second = rows_per_second.or(plan.throttle.rows_per_second);
        for step in &mut plan.steps {
            step.options.batch_rows = batch_rows.unwrap_or(step.options.batch_rows);
        }
    }

    /// Ends the run when its window closes or its time is up, until the answer is dropped.
    fn watch_the_clock(&self) -> Result<ending::Watching> {
        let Settings { window, stop_after, stop, .. } = &self.settings;
        let spec = &self.plan.throttle;
        self.ending.watch(
            window.as_ref().or(spec.window.as_ref()),
            stop_after.or(spec.stop_after),
            stop,
        )
    }

    /// `tablelift check`: looks at both databases and changes nothing.
    pub async fn check(&self) -> Result<Vec<Finding>> {
        let databases = preflight::Databases::open(&self.plan, self.settings.patience)?;
        let skip = status::done_steps(&self.plan, &databases).await?;
        let mut findings = preflight::look(&self.plan, &databases, &skip).await?.findings;
        findings.extend(throttle::findings(&self.plan, &databases).await);
        Ok(findings)
    }

    /// `tablelift check --scan`: the same, and every row goes through its rules.
    pub async fn scan(&self) -> Result<Vec<Finding>> {
        scan::look(self).await
    }

    /// `tablelift run`: runs the plan, or resumes it where it stopped.
    pub async fn run(&self) -> Result<Outcome> {
        let begun = Instant::now();
        let (started, _watching) = match self.watch_the_clock() {
            Ok(watching) => (start::start(self, true).await, Some(watching)),
            Err(closed) => (Err(closed), None),
        };
        match started {
            Ok(started) => self.conduct(started, begun).await,
            Err(error) => {
                let emitter =
                    Emitter::new(&self.plan.name, "", Arc::clone(&self.settings.listener));
                emitter.emit(ended(&Err(error.clone()), &[], &[], begun));
                Err(error)
            }
        }
    }

    /// `tablelift run --join`: helps with the chunks of a run that another process conducts,
    /// and conducts it where nobody does (any more).
    pub async fn join(&self) -> Result<Outcome> {
        let _watching = self.watch_the_clock()?;
        self.ending.explain(join::join(self).await)
    }

    /// Runs what is left of a run that this process has taken.
    async fn conduct(&self, mut started: Started, begun: Instant) -> Result<Outcome> {
        let result = self.steps_and_proof(&mut started).await;
        let result = finish::close(self, &mut started, result).await;
        self.outcome(&mut started, result, begun).await
    }

    /// The end of a command: its last event, its figures, and this process's leave.
    async fn outcome(
        &self,
        started: &mut Started,
        result: Result<u8>,
        begun: Instant,
    ) -> Result<Outcome> {
        let result = self.ending.explain(result);
        let steps = finish::all_figures(started).await.unwrap_or_default();
        let unfinished = finish::unfinished(started).await.unwrap_or_default();
        started.context.emitter.emit(ended(&result, &steps, &unfinished, begun));
        let tables = match &result {
            Ok(_) => finish::table_counts(started).await,
            Err(_) => Ok(Vec::new()),
        };
        if let (Ok(_), Ok(tables), false) = (&result, &tables, started.was_done) {
            self.chronicle.note("tables_counted", serde_json::json!({ "tables": tables }));
        }
        finish::leave(started, &self.chronicle).await;
        Ok(Outcome { exit_code: result?, steps, tables: tables?, unfinished })
    }

    /// Steps in order, then the closing proof; 0, or 3 when something differs.
    async fn steps_and_proof(&self, started: &mut Started) -> Result<u8> {
        for (position, step) in self.plan.steps.iter().enumerate() {
            let record = started.records.iter().find(|record| record.step == step.name);
            if record.is_some_and(|record| record.state == "done") {
                continue;
            }
            if !Plan::selects(self.settings.step.as_deref(), &step.name) {
                continue;
            }
            if self.settings.stop.is_cancelled() {
                return Err(interrupted());
            }
            self.step(started, position, step).await.map_err(|error| error.in_step(&step.name))?;
        }
        if !finish::unfinished(started).await?.is_empty() {
            // Only one step was asked for: the proof waits for the others.
            return Ok(0);
        }
        if started.was_done && started.records.len() == self.plan.steps.len() {
            // The application may have changed protected tables since; that is no failure now.
            started.context.emitter.emit(What::Warning {
                step: None,
                message: "the run was already done; `tablelift verify` proves it again".to_owned(),
            });
            return Ok(0);
        }
        finish::prove(self, started).await
    }

    /// One step. Transient trouble around its batches (a restart of the target while rows are
    /// counted) is survived as a crash would be: the ledger says where to go on.
    async fn step(&self, started: &Started, position: usize, step: &Step) -> Result<()> {
        let context = &started.context;
        let mut record = started.records.iter().find(|record| record.step == step.name).cloned();
        let mut retries =
            Retries::new(&context.emitter, &context.stop, &step.name, step.options.retries);
        if let Ok(mut counted) = context.counted.lock() {
            *counted = None;
        }
        loop {
            let ran = match &step.kind {
                StepKind::Sql(sql) => {
                    steps::sql::run(context, position, step, sql, record.as_ref()).await
                }
                _ => steps::rows::run(context, position, step, record.as_ref()).await,
            };
            let Err(mut error) = ran else { return Ok(()) };
            record = loop {
                retries.after(error, None).await?;
                match finish::record(started, &step.name).await {
                    Ok(found) => break found,
                    Err(again) => error = again,
                }
            };
            if record.as_ref().is_some_and(|record| record.state == "done") {
                return Ok(());
            }
        }
    }

    /// `tablelift run --dry-run`: changes nothing.
    pub async fn dry_run(&self) -> Result<Vec<Preview>> {
        dry_run::preview(self).await
    }

    /// `tablelift status`.
    pub async fn status(&self) -> Result<Status> {
        status::status(&self.plan, self.settings.patience).await
    }

    /// `tablelift report`: the facts of the plan's newest run; looks only, and at the target only.
    ///
    /// # Errors
    /// The plan never ran on this target.
    pub async fn report(&self) -> Result<Report> {
        report::report(&self.plan, self.settings.patience).await
    }

    /// Makes the same report whenever it is asked, for the live page.
    pub fn look(&self) -> Look {
        let (plan, patience) = (Arc::clone(&self.plan), self.settings.patience);
        Box::new(move || {
            let plan = Arc::clone(&plan);
            Box::pin(async move { report::report(&plan, patience).await })
        })
    }

    /// `tablelift throttle`: asks for a change of a run that goes on, in the name of `by`, and
    /// says what holds it back.
    ///
    /// # Errors
    /// The plan never ran on this target.
    pub async fn throttle(&self, change: &Change, by: &str) -> Result<ThrottleStatus> {
        throttle::throttle(&self.plan, self.settings.patience, change, by).await
    }

    /// `tablelift verify`: counts, protected tables, checks, and every copied row's content; 3
    /// too while steps are not done.
    ///
    /// # Errors
    /// Held: another process works on the plan, and content was asked for.
    pub async fn verify(&self, wanted: &Verify) -> Result<Outcome> {
        verify::verify(self, wanted).await
    }

    /// `tablelift rollback`: takes back exactly what the run wrote. With `dry`, says what it
    /// would do and changes nothing.
    pub async fn rollback(&self, dry: bool) -> Result<Outcome> {
        let begun = Instant::now();
        if dry {
            return finish::rollback_preview(self).await;
        }
        let mut started = start::take(self, "rollback").await?;
        let result = finish::roll_back(self, &mut started).await;
        self.outcome(&mut started, result, begun).await
    }

    /// Whether a failure with this error takes the run back at once.
    fn rolls_back_on(&self, error: &Error) -> bool {
        if matches!(error.kind, Kind::Interrupted(_) | Kind::Asked | Kind::Held | Kind::Invalid) {
            return false;
        }
        let failed = error.place.step.as_deref().and_then(|name| self.plan.step(name));
        match failed {
            Some(step) => step.options.on_failure == OnFailure::Rollback,
            None => {
                self.plan.steps.iter().any(|step| step.options.on_failure == OnFailure::Rollback)
            }
        }
    }
}

fn ended(
    result: &Result<u8>,
    steps: &[StepFigures],
    unfinished: &[String],
    begun: Instant,
) -> What {
    let (exit_code, error, hint) = match result {
        Ok(code) => (*code, None, None),
        Err(error) => (error.exit_code(), Some(error.to_string()), error.hint.clone()),
    };
    What::RunFinished {
        ok: exit_code == 0,
        exit_code,
        error,
        hint,
        steps: steps.to_vec(),
        unfinished: unfinished.to_vec(),
        seconds: begun.elapsed().as_secs_f64(),
    }
}
