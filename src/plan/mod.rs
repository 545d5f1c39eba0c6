//! What is wanted: the plan, as meant. A reader walks what is written, [`resolve`] makes this
//! out of it: variables filled in, defaults spread, references between steps checked.

pub mod diagnostic;
pub mod expand;
pub mod files;
mod links;
mod reader;
pub mod resolve;
mod rules;
pub mod schema;
mod steps;
mod tables;
pub mod throttle;
mod tune;
mod values;
pub mod window;

use std::path::PathBuf;
use std::time::Duration;

pub use diagnostic::{Diagnostic, Severity, Span};
pub use files::{CsvFormat, FileSource};
pub use reader::parse_duration;
pub use steps::built_in;
pub use throttle::ThrottleSpec;
pub use tune::Tune;

use crate::mapping::{Constant, Mapping, ValueOptions};

/// A whole plan, resolved.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Identifies the migration in the ledger.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// Path of the plan file as given; for messages.
    pub file: PathBuf,
    /// The plan's folder: relative paths start here.
    pub dir: PathBuf,
    /// The file's text as written (no variable is filled in, so it holds no secret that the
    /// file itself does not hold).
    pub text: String,
    /// Where rows come from.
    pub source: Endpoint,
    /// Where rows go.
    pub target: Endpoint,
    /// Limits.
    pub throttle: ThrottleSpec,
    /// Tables compared before the first step and after the last one.
    pub protect: Vec<Protect>,
    /// Steps, in file order.
    pub steps: Vec<Step>,
    /// Checks, in file order.
    pub checks: Vec<Check>,
}

impl Plan {
    /// The step called `name`.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

/// One end of the copy. `Debug` never shows the URL.
#[derive(Clone)]
pub struct Endpoint {
    /// The URL with variables filled in; may hold a password. Empty: the plan has no source, all
    /// its rows come from files.
    pub url: String,
    /// Schema to look in, instead of the connection's search path.
    pub schema: Option<String>,
    /// Source only.
    pub consistency: Consistency,
    /// Line of the `url` key in the plan.
    pub line: usize,
}

impl Endpoint {
    /// The source of a plan that reads no database.
    pub fn nothing() -> Endpoint {
        Endpoint { url: String::new(), schema: None, consistency: Consistency::Batch, line: 1 }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What the source's readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Each batch sees the newest commits.
    Batch,
    /// All workers see one moment (PostgreSQL).
    Snapshot,
}

/// A table that must not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Protect {
    /// The table, in the target.
    pub table: String,
    /// Rows that must be there at the start.
    pub rows: Option<u64>,
    /// Columns that may change.
    pub except: Vec<String>,
    /// New rows may come.
    pub allow_inserts: bool,
    /// Line in the plan.
    pub line: usize,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique within the plan.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
    /// Expected numbers.
    pub expect: Expect,
    /// Options: the step's own, else the defaults'.
    pub options: Options,
    /// Line of the step's `[[step]]` in the plan.
    pub line: usize,
    /// SHA-256 (hex) of the parsed step, less what is free to change between runs:
    /// batch_rows, workers, retries, max_rejects, on_failure, tune, expect.
    pub checksum: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Rows of a source table or query into a target table.
    Copy(Copy),
    /// Rows of files or of the plan itself into a target table.
    Seed(Seed),
    /// Batched UPDATE of rows of the target.
    Update(Update),
    /// SQL on the target.
    Sql(SqlStep),
}

impl StepKind {
    /// The plan's word for the kind: `copy`, `seed`, `update`, `sql`.
    pub fn name(&self) -> &'static str {
        match self {
            StepKind::Copy(_) => "copy",
            StepKind::Seed(seed) if seed.is_copy => "copy",
            StepKind::Seed(_) => "seed",
            StepKind::Update(_) => "update",
            StepKind::Sql(_) => "sql",
        }
    }

    /// The target table that the step writes, if it is one table.
    pub fn target_table(&self) -> Option<&str> {
        match self {
            StepKind::Copy(copy) => Some(&copy.into),
            StepKind::Seed(seed) => Some(&seed.into),
            StepKind::Update(update) => Some(&update.table),
            StepKind::Sql(_) => None,
        }
    }

    /// The step's mapping, if it has one.
    pub fn mapping(&self) -> Option<&Mapping> {
        match self {
            StepKind::Copy(copy) => copy.columns.as_ref(),
            StepKind::Seed(seed) => seed.columns.as_ref(),
            StepKind::Update(update) => Some(&update.set),
            StepKind::Sql(_) => None,
        }
    }
}

/// A `copy` step.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// Table or query.
    pub from: CopySource,
    /// The target table.
    pub into: String,
    /// Key columns; `None`: the primary key.
    pub key: Option<Vec<String>>,
    /// A condition in the source's SQL.
    pub filter: Option<String>,
    /// Rules; `None`: every source column into the target column of the same name.
    pub columns: Option<Mapping>,
    /// Target columns that are NULL at first: a second pass fills them.
    pub later: Vec<String>,
    /// A second pass: rows where these columns' source is NULL need none.
    pub only_with: Vec<String>,
}

/// Where a `copy` step reads.
#[derive(Debug, Clone, PartialEq)]
pub enum CopySource {
    /// `copy = "table"`
    Table(String),
    /// `copy = "dh_*"` or a list: one step for each, see [`expand`].
    Tables {
        /// Names and patterns.
        patterns: Vec<String>,
        /// Names and patterns of tables that stay out.
        except: Vec<String>,
    },
    /// `copy_query = "SELECT …"`
    Query(String),
}

/// A `seed` step.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// The plan says `copy` for it: the same rows in the same way, under another name.
    pub is_copy: bool,
    /// Files or rows.
    pub from: SeedSource,
    /// The target table.
    pub into: String,
    /// Rules; `None`: every key into the target column of the same name.
    pub columns: Option<Mapping>,
}

/// Where a `seed` step reads.
#[derive(Debug, Clone, PartialEq)]
pub enum SeedSource {
    /// Files.
    Files(FileSource),
    /// Rows in the plan itself.
    Rows(Vec<Vec<(String, Constant)>>),
}

/// An `update` step.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The target table.
    pub table: String,
    /// A condition in the target's SQL.
    pub filter: Option<String>,
    /// Key columns; `None`: the primary key.
    pub key: Option<Vec<String>>,
    /// Target column = rule over the row's own columns.
    pub set: Mapping,
}

/// A `sql` step.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlStep {
    /// One or more statements.
    pub sql: String,
    /// What rollback runs.
    pub undo: Option<String>,
    /// One transaction (default), or none where the statement forbids one.
    pub transaction: bool,
}

/// Expected numbers of a step; each optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// Rows read.
    pub source: Option<u64>,
    /// Rows of the target table before.
    pub before: Option<u64>,
    /// Rows of the target table after.
    pub after: Option<u64>,
    /// Rows changed (`update`).
    pub changed: Option<u64>,
    /// Files matched (`seed`, or `copy` of files).
    pub files: Option<u64>,
    /// Tables that the patterns of a `copy` match.
    pub tables: Option<u64>,
}

/// Options that `[defaults]` gives and any step may override.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Rows per committed batch.
    pub batch_rows: u32,
    /// Bytes of a batch's values, about; `None`: its share of the memory.
    pub batch_bytes: Option<u64>,
    /// How long a batch should take: the next one has more or fewer rows.
    pub batch_time: Option<Duration>,
    /// Concurrent chunks within the step.
    pub workers: u32,
    /// What happens when the key is there already.
    pub on_conflict: OnConflict,
    /// Rejects before the step fails.
    pub max_rejects: u64,
    /// What happens to a value that the target would change: `true` is `lossy = "allow"`.
    pub lossy: bool,
    /// `values = { … }`: what becomes of values that only one side has.
    pub values: ValueOptions,
    /// What happens when the step fails.
    pub on_failure: OnFailure,
    /// Retries per batch, for transient errors only.
    pub retries: u32,
    /// Others may insert into the target table meanwhile.
    pub allow_inserts: bool,
    /// What becomes of the target's own triggers.
    pub triggers: Triggers,
    /// What a source column means that comes after the step began.
    pub new_columns: NewColumns,
    /// Sequences of identity columns move above the highest value at the end of the step.
    pub advance_sequences: bool,
    /// What is done to the target around the batches; the step's own only.
    pub tune: Tune,
}

/// `new_columns`: for steps that take all columns, by `json = "*"` or without rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewColumns {
    /// The step stops and says so.
    Stop,
    /// Rows from here on have it.
    Absorb,
    /// It is left out.
    Ignore,
}

/// `triggers`: those that people made; foreign keys are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triggers {
    /// They fire for every row written; the run says so.
    Fire,
    /// A step whose target has any is refused.
    Refuse,
    /// They are switched off within each batch's own transaction (PostgreSQL).
    Skip,
}

/// `on_conflict`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The row is refused.
    Fail,
    /// The row that is there stays; counted as skipped.
    Skip,
    /// The row that is there is updated; its before-image is kept.
    Update,
}

/// `on_failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// What is committed stays; `run` resumes.
    Stop,
    /// The run is rolled back.
    Rollback,
}

/// A `[[check]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Name, unique.
    pub name: String,
    /// A query on the target.
    pub sql: String,
    /// What it must give.
    pub expected: CheckValue,
    /// When it runs.
    pub when: When,
    /// Slower warns.
    pub warn_over: Option<Duration>,
    /// Slower fails.
    pub fail_over: Option<Duration>,
    /// Line in the plan.
    pub line: usize,
}

/// What a check's query must give.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckValue {
    /// `value = X`: one row with one column.
    Scalar(Constant),
    /// `rows = [[…], …]`: exactly these rows, in this order.
    Rows(Vec<Vec<Constant>>),
    /// `empty = true`: no row; `false`: at least one.
    Empty(bool),
}

/// When a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the first step.
    Before,
    /// After the last step.
    After,
    /// Both.
    Both,
}

impl When {
    /// Runs before the first step.
    pub fn before(self) -> bool {
        matches!(self, When::Before | When::Both)
    }

    /// Runs after the last step.
    pub fn after(self) -> bool {
        matches!(self, When::After | When::Both)
    }
}
