//! What happens during a run, as one closed set of events with public names. Bars, NDJSON,
//! the ledger and the summary read the same event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One event with its envelope: `event`, `at`, `plan`, `run` and the fields of [`What`].
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened; its tag is the field `event`.
    #[serde(flatten)]
    pub what: What,
    /// RFC 3339, UTC.
    pub at: String,
    /// The plan's name.
    pub plan: String,
    /// The run's id.
    pub run: String,
}

/// The figures of one finished step.
#[derive(Debug, Clone, Default, Serialize, PartialEq)]
pub struct StepFigures {
    /// The step.
    pub step: String,
    /// Its kind: copy, seed, update, sql.
    pub kind: String,
    /// How rows moved, with the reason, as `decode: …`; empty for `sql`.
    pub route: String,
    /// Rows read through the step's cut.
    pub source_rows: u64,
    /// A closing `count(*)` of the source, where there is one.
    pub source_rows_after: Option<u64>,
    /// Rows of the target table before the step first started.
    pub before: Option<u64>,
    /// Rows written (`update`: rows changed).
    pub copied: u64,
    /// Of these, rows that were there and were updated (`on_conflict = "update"`).
    pub updated: u64,
    /// Rows left alone: there already, or unchanged by an `update`.
    pub skipped: u64,
    /// Rows in the rejects.
    pub rejected: u64,
    /// Rows of the target table after.
    pub after: Option<u64>,
    /// Seconds in which at least one batch was on its way, in whichever process.
    pub seconds: f64,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A run began or went on.
    RunStarted {
        /// It goes on where an earlier process stopped.
        resumed: bool,
        /// This process helps another one that conducts the run.
        joined: bool,
        /// Names of the steps, in order.
        steps: Vec<String>,
    },
    /// A step began or went on.
    StepStarted {
        /// The step.
        step: String,
        /// Its kind.
        kind: String,
        /// The route and its reason.
        route: String,
        /// Rows in the step's cut, counted at its start.
        source_rows: Option<u64>,
        /// Rows done by earlier processes of this run.
        done_rows: u64,
        /// Rows of the target table before.
        before: Option<u64>,
    },
    /// A batch and its checkpoint are committed.
    BatchCommitted {
        /// The step.
        step: String,
        /// The chunk's number within the step.
        chunk: i64,
        /// The batch's number within the chunk.
        batch: i64,
        /// Rows read in this batch.
        rows: u64,
        /// Bytes of their values.
        bytes: u64,
        /// From begin to commit.
        seconds: f64,
        /// Time the throttle held it back before.
        waited_seconds: f64,
    },
    /// A row went to the rejects.
    RowRejected {
        /// The step.
        step: String,
        /// The row's key: a scalar, or an object for a composite key.
        key: serde_json::Value,
        /// The column, if one is to blame.
        column: Option<String>,
        /// Why.
        reason: String,
    },
    /// A batch waited.
    Throttled {
        /// The step.
        step: String,
        /// The signal: rows_per_second, bytes_per_second, batches_per_second,
        /// pause_between_batches, duty, pause, or the name of one that is backed off for.
        signal: String,
        /// Its value; `None`: it could not be read.
        value: Option<f64>,
        /// Its limit.
        limit: f64,
        /// All of it in one line: `replica-lag 12.4s >= 10s`.
        reason: String,
        /// How long, since the last event of the same wait.
        seconds: f64,
    },
    /// A transient error; the batch is done again.
    BatchRetried {
        /// The step.
        step: String,
        /// The chunk.
        chunk: i64,
        /// Which try comes next.
        attempt: u32,
        /// What kind of trouble: lock, conflict, connection or other.
        class: String,
        /// The error.
        reason: String,
        /// Wait before it.
        seconds: f64,
    },
    /// Indexes of the target are dropped until the step's last batch is committed.
    IndexesDeferred {
        /// The step.
        step: String,
        /// The table.
        table: String,
        /// The indexes.
        indexes: Vec<String>,
    },
    /// An index that was dropped is there again.
    IndexRebuilt {
        /// The step that had dropped it.
        step: String,
        /// The table.
        table: String,
        /// The index.
        index: String,
        /// How long it took.
        seconds: f64,
    },
    /// The server looked at the target's rows for its statistics.
    TableAnalyzed {
        /// The step.
        step: String,
        /// The table.
        table: String,
        /// How long it took.
        seconds: f64,
    },
    /// A step is done.
    StepFinished(StepFigures),
    /// A check ran.
    CheckFinished {
        /// Its name.
        check: String,
        /// It holds.
        ok: bool,
        /// before or after.
        when: String,
        /// What the plan says.
        expected: String,
        /// What the database says.
        actual: String,
        /// Slower than `warn_over`.
        slow: bool,
        /// How long it took.
        seconds: f64,
    },
    /// A protected table was compared with its baseline.
    ProtectFinished {
        /// The table.
        table: String,
        /// Nothing differs.
        ok: bool,
        /// Rows now.
        rows: u64,
        /// What differs: kind (missing, extra, different, rows) and key. At most 100 are listed.
        differences: Vec<Difference>,
        /// All differences, listed or not.
        difference_count: u64,
    },
    /// A number is not what the plan expects.
    ExpectationFailed {
        /// The step.
        step: String,
        /// The table.
        table: String,
        /// source, before, after, changed, files or conservation.
        what: String,
        /// The plan's number.
        expected: u64,
        /// The database's number.
        actual: u64,
    },
    /// Rows of a step were compared with their source.
    RowsCompared {
        /// The step.
        step: String,
        /// Rows of the source that were looked at since the command began.
        rows: u64,
        /// Rows that do not look equal so far; each is looked at again.
        suspects: u64,
    },
    /// A row is not what its source says.
    RowDiffers {
        /// The step.
        step: String,
        /// The target table.
        table: String,
        /// missing, extra or different.
        class: &'static str,
        /// The row's key: a scalar, or an object for a composite key; null where it has none.
        key: serde_json::Value,
        /// The columns that differ.
        columns: Vec<CellDifference>,
    },
    /// A step's rows were compared with their source.
    StepVerified(StepProof),
    /// A batch was taken back.
    BatchUndone {
        /// The step.
        step: String,
        /// Rows deleted or restored.
        rows: u64,
        /// Rows left alone because they changed since, or are gone.
        kept: u64,
    },
    /// A step was taken back.
    StepUndone {
        /// The step.
        step: String,
        /// Rows deleted or restored.
        rows: u64,
        /// Rows left alone because they changed since, or are gone.
        kept: u64,
        /// What could not be undone.
        note: Option<String>,
    },
    /// Something that a person should know; nothing is wrong yet.
    Warning {
        /// The step, if one is meant.
        step: Option<String>,
        /// The text.
        message: String,
    },
    /// The command ends.
    RunFinished {
        /// Everything that was expected holds.
        ok: bool,
        /// The exit code.
        exit_code: u8,
        /// The error, if there was one.
        error: Option<String>,
        /// What to do next, if there was an error.
        hint: Option<String>,
        /// Figures of each step that is done.
        steps: Vec<StepFigures>,
        /// Names of the steps that are not done.
        unfinished: Vec<String>,
        /// Seconds since this process started the command.
        seconds: f64,
    },
}

/// One difference between a table and its baseline.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Difference {
    /// missing, extra, different or rows.
    pub kind: &'static str,
    /// The row's key; absent where the table has none.
    pub key: Option<serde_json::Value>,
}

/// A column of a row that differs: both values as text, shortened; those of columns that look
/// like secrets are hidden. `None` is NULL.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct CellDifference {
    /// The target's column; with `--rebuild`, the source's.
    pub column: String,
    /// What the source row makes of it.
    pub source: Option<String>,
    /// What the target holds.
    pub target: Option<String>,
}

/// What could not be compared, and why.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct NotCompared {
    /// The step, its columns or its rows: `column created_at`, `rows that were there before`.
    pub what: String,
    /// The reason.
    pub because: String,
}

/// What comparing a step's rows by content has shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct StepProof {
    /// The step.
    pub step: String,
    /// The table that it writes; empty for a step without one.
    pub table: String,
    /// How rows were compared: joined, ranges, keys, sums; empty: they were not.
    pub how: String,
    /// Rows of the source that were looked at.
    pub rows: u64,
    /// Rows of both sides that were compared.
    pub compared: u64,
    /// Source rows that the target lacks.
    pub missing: u64,
    /// Target rows that no source row has (any more), and that were not there before.
    pub extra: u64,
    /// Rows whose content differs.
    pub different: u64,
    /// Source rows that stand in the rejects.
    pub rejected: u64,
    /// Rows that `on_conflict = "skip"` left as they were.
    pub skipped: u64,
    /// Source rows above the highest key at the step's start: they came later.
    pub later: u64,
    /// The part of the rows that was asked for, where that is not all of them.
    pub sample: Option<f64>,
    /// Source columns that were made again from the target's and compared (`--rebuild`).
    pub rebuilt: Vec<String>,
    /// Rows copied again (`--repair`).
    pub repaired: u64,
    /// What could not be compared.
    pub not_compared: Vec<NotCompared>,
    /// Nothing differs.
    pub ok: bool,
    /// Seconds that it took, in the process that came to its end.
    pub seconds: f64,
}

/// What a signal of the throttle says, over its limit or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its name, as the plan spells it.
    pub signal: String,
    /// Its value; `None`: nobody can read it.
    pub value: Option<f64>,
    /// Its limit, in the same unit.
    pub limit: f64,
}

/// Where events go. Called from several tasks at once; must not block for long.
pub trait Listener: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);

    /// Takes what the throttle's signals say, twice a second while a run has any.
    fn readings(&self, _readings: &[Reading]) {}
}

/// The handle that emits events: cheap to clone.
#[derive(Clone)]
pub struct Emitter {
    plan: Arc<str>,
    run: Arc<str>,
    listener: Arc<dyn Listener>,
}

impl Emitter {
    /// Events of `run` of `plan`, for `listener`.
    pub fn new(plan: &str, run: &str, listener: Arc<dyn Listener>) -> Self {
        Emitter { plan: plan.into(), run: run.into(), listener }
    }

    /// Passes on what the signals say.
    pub fn readings(&self, readings: &[Reading]) {
        self.listener.readings(readings);
    }

    /// Emits one event, stamped with the current time.
    pub fn emit(&self, what: What) {
        let event = Event {
            what,
            at: jiff::Timestamp::now().to_string(),
            plan: self.plan.to_string(),
            run: self.run.to_string(),
        };
        self.listener.event(&event);
    }
}
