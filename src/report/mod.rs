//! One run as people read it: the facts, the verdict, the page. Pure: [`Report`] is filled by
//! `run`, out of the ledger, and [`page`] makes HTML of it.

mod csp;
pub mod page;
mod plot;
mod sections;
pub mod text;
mod verdict;

use serde::Serialize;

use crate::event::StepProof;

pub use self::csp::policy;
pub use self::verdict::Level;

/// Version of the JSON document; new fields may come, those that are there stay.
pub const FORMAT: u32 = 1;

/// Everything that a report says, as `tablelift report --json` prints it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The verdict.
    pub verdict: Verdict,
    /// The plan.
    pub plan: PlanFacts,
    /// The run.
    pub run: RunFacts,
    /// Counts of every table that the plan writes or protects.
    pub tables: Vec<TableLine>,
    /// Every step, in plan order.
    pub steps: Vec<StepLine>,
    /// Every check, in plan order; one that runs twice has two lines.
    pub checks: Vec<CheckLine>,
    /// Every protected table, in plan order.
    pub protected: Vec<ProtectedLine>,
    /// What the last `verify` of each step has shown, in plan order.
    pub content: Vec<ContentLine>,
    /// Numbers that were not what the plan expects.
    pub expectations: Vec<Expectation>,
    /// Rejected rows.
    pub rejects: Rejects,
    /// How it went over time.
    pub pace: Pace,
    /// Waits for the throttle.
    pub waits: Vec<Span>,
    /// Batches that were done again after transient trouble.
    pub retries: Vec<Span>,
    /// What a person should know.
    pub warnings: Vec<Note>,
    /// Starts, ends, and what people changed.
    pub history: Vec<Note>,
}

/// What the report comes to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// good, attention, bad or open.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Why, one line each.
    pub reasons: Vec<String>,
}

/// The plan of a report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PlanFacts {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// SHA-256 of the text that ran last.
    pub checksum: String,
    /// The plan file is another one by now.
    pub changed_since: bool,
    /// The text that ran last, passwords masked; `None`: the ledger does not have it.
    pub text: Option<String>,
}

/// The run of a report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunFacts {
    /// Its id.
    pub id: String,
    /// running, interrupted, stopped, failed, differs, done, rolling back, rolled back.
    pub state: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// The moment for which the report holds, where the run has not ended.
    pub as_of: Option<String>,
    /// From its beginning to its end or to now, pauses between processes included.
    pub seconds: f64,
    /// Identity of the source.
    pub source: String,
    /// Identity of the target.
    pub target: String,
    /// Version of the program that began it.
    pub tool_version: String,
    /// The last error.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Why batches wait just now.
    pub waits_for: Option<String>,
}

/// Counts of one table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableLine {
    /// The table.
    pub table: String,
    /// Rows before the first step; `None`: there was no such table, or nobody counted.
    pub before: Option<u64>,
    /// What the plan expects there.
    pub expected_before: Option<u64>,
    /// Rows at the run's end; before it, those that were there and those that it wrote.
    pub after: Option<u64>,
    /// What the plan expects there.
    pub expected_after: Option<u64>,
    /// Listed under `[[protect]]`.
    pub protected: bool,
    /// Written by these steps.
    pub steps: Vec<String>,
    /// A step that writes it is not done.
    pub open: bool,
}

impl TableLine {
    /// Whether the counts are those that the plan expects; `None`: it expects none, or it is too
    /// early to say.
    pub fn holds(&self) -> Option<bool> {
        let before = self.expected_before.map(|rows| self.before == Some(rows));
        let known = !self.open && self.after.is_some();
        let after = self.expected_after.filter(|_| known).map(|rows| self.after == Some(rows));
        match (before, after) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (_, Some(true)) => Some(true),
            (Some(true), None) if self.expected_after.is_none() => Some(true),
            _ => None,
        }
    }
}

/// One step.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StepLine {
    /// The figures, as in `step_finished`.
    #[serde(flatten)]
    pub figures: crate::event::StepFigures,
    /// pending, running, done, failed, rolled back.
    pub state: String,
    /// The table that it writes.
    pub table: Option<String>,
    /// Rows that it began with, counted or estimated.
    pub expected_rows: Option<u64>,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
}

/// One check.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckLine {
    /// Its name.
    pub check: String,
    /// before or after.
    pub when: String,
    /// It held; `None`: it has not run.
    pub ok: Option<bool>,
    /// What the plan says.
    pub expected: String,
    /// What the database said.
    pub actual: String,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Slower than `warn_over`.
    pub slow: bool,
    /// The thresholds, in seconds.
    pub warn_over: Option<f64>,
    /// The check fails when it takes longer.
    pub fail_over: Option<f64>,
}

/// A step's rows, compared with their source.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ContentLine {
    /// When, RFC 3339.
    pub at: String,
    /// What was found.
    #[serde(flatten)]
    pub proof: StepProof,
}

/// One protected table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProtectedLine {
    /// The table.
    pub table: String,
    /// Nothing differs; `None`: not compared yet.
    pub ok: Option<bool>,
    /// Rows at the baseline.
    pub before: Option<u64>,
    /// Rows when it was compared.
    pub rows: Option<u64>,
    /// Columns that may change.
    pub except: Vec<String>,
    /// New rows may come.
    pub allow_inserts: bool,
    /// All differences.
    pub difference_count: u64,
    /// The first ones: kind and key.
    pub differences: Vec<(String, String)>,
}

/// A number that was not what the plan expects.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Expectation {
    /// The step.
    pub step: String,
    /// The table.
    pub table: String,
    /// source, before, after, changed, files or conservation.
    pub what: String,
    /// The plan's number.
    pub expected: u64,
    /// The database's.
    pub actual: u64,
}

/// Rejected rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rejects {
    /// All of them.
    pub count: u64,
    /// The most frequent reasons.
    pub reasons: Vec<RejectReason>,
    /// The first ones.
    pub first: Vec<RejectedRow>,
}

/// Rejects of one reason.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RejectReason {
    /// The step.
    pub step: String,
    /// The column, if one is to blame.
    pub column: Option<String>,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// One rejected row; its values stay in the ledger.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RejectedRow {
    /// The step.
    pub step: String,
    /// The row's key, as JSON.
    pub key: String,
    /// The column, if one is to blame.
    pub column: Option<String>,
    /// Why.
    pub reason: String,
}

/// How a run went over time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pace {
    /// When the first batch began, RFC 3339; `None`: there is none.
    pub from: Option<String>,
    /// Seconds from there to the last commit.
    pub seconds: f64,
    /// Seconds of one point.
    pub step: f64,
    /// Committed batches.
    pub batches: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// One for each stretch of time in which something was committed.
    pub points: Vec<Point>,
    /// Seconds from `from` at which a process went on with the run.
    pub resumed: Vec<f64>,
}

/// One stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Point {
    /// Its number, counted from the first batch.
    pub number: u64,
    /// Rows committed.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Half of the batches took at most so many seconds.
    pub p50: f64,
    /// Of twenty batches nineteen took at most so many seconds.
    pub p95: f64,
    /// The slowest one.
    pub most: f64,
}

/// Waits or retries of one kind that belong together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Span {
    /// The step.
    pub step: String,
    /// The throttle's signal, or the class of the trouble.
    pub name: String,
    /// The last reason.
    pub reason: String,
    /// When it began, in seconds from the first batch.
    pub from: f64,
    /// When it ended.
    pub to: f64,
    /// Sum over all workers.
    pub seconds: f64,
    /// How many.
    pub times: u64,
}

/// A line of text with its time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Note {
    /// RFC 3339.
    pub at: String,
    /// The text.
    pub text: String,
}
