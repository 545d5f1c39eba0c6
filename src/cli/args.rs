//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit;

/// Moves legacy tables into new ones: batched, resumable, verified, reversible.
#[derive(Debug, Parser)]
#[command(name = "tablelift", version, after_help = exit::TABLE, disable_help_subcommand = true,
    after_long_help = concat!(
"Begin here:
  tablelift demo                 a real migration on SQLite, with nothing else installed
  tablelift init --source URL --target URL -o plan.toml
                                 a first plan, drafted from both databases
  tablelift check plan.toml      what a run would find, without touching anything
  tablelift run plan.toml        run it, or go on where it stopped
  tablelift rollback plan.toml   take back exactly what it wrote

",
"Exit codes:
  0    done, and everything that was expected holds
  1    failed; what was committed stays and the next `run` resumes
  2    wrong usage, or the plan is invalid: nothing was touched
  3    ran, but a count, a check, a protected table or a compared row differs
  4    another runner holds this plan
  5    ended before the end, as asked (window, stop_after): `run` resumes
  130  interrupted (Ctrl+C; 143 for SIGTERM, 129 for a hangup): `run` resumes"))]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Flags of every command.
#[derive(Debug, Args, Clone)]
pub struct Global {
    /// NDJSON events or one JSON document on stdout, everything else on stderr
    #[arg(long, global = true, env = "TABLELIFT_JSON")]
    pub json: bool,
    /// Only errors and the result
    #[arg(long, short, global = true, env = "TABLELIFT_QUIET")]
    pub quiet: bool,
    /// More detail: every batch is a line
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour (NO_COLOR is honoured)
    #[arg(long, global = true, value_enum, default_value = "auto", env = "TABLELIFT_COLOR")]
    pub color: Color,
    /// Log events as lines of this form, on stderr, in place of bars and lines for people
    #[arg(long, global = true, value_enum, value_name = "FORM", env = "TABLELIFT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Append the log lines to this file; bars and lines for people stay
    #[arg(long, global = true, value_name = "FILE", env = "TABLELIFT_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// URL of the source instead of the plan's; a relative path starts here
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TABLELIFT_SOURCE",
        hide_env_values = true
    )]
    pub source: Option<String>,
    /// URL of the target instead of the plan's; a relative path starts here
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TABLELIFT_TARGET",
        hide_env_values = true
    )]
    pub target: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Time, level, text, fields.
    Text,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a legacy SQLite database, migrate it, and show what to try next
    #[command(after_help = "Examples:\n  tablelift demo\n  tablelift demo --fresh my-demo")]
    Demo(Demo),
    /// Look at both databases and draft a commented plan; changes neither
    #[command(after_help = INIT_HELP)]
    Init(Init),
    /// Validate a plan, offline and then against both databases; changes nothing
    #[command(
        after_help = "Examples:\n  tablelift check plan.toml\n  tablelift check plan.toml --scan     # finds the values that the target will refuse\n  tablelift check plan.toml --offline  # the file alone, without databases"
    )]
    Check(Check),
    /// Run a plan, or resume it where it stopped
    #[command(
        after_help = "Examples:\n  tablelift run plan.toml\n  tablelift run plan.toml --dry-run\n  tablelift run plan.toml --step tools\n  tablelift run plan.toml --json > events.ndjson\n  tablelift run plan.toml --join    # in a second shell, or on a second machine"
    )]
    Run(Run),
    /// The same as run
    #[command(hide = true)]
    Resume(Run),
    /// The same as run --dry-run
    #[command(hide = true, visible_alias = "preview")]
    Plan(Run),
    /// What is done, running and left
    #[command(
        after_help = "Examples:\n  tablelift status plan.toml\n  tablelift status plan.toml --watch"
    )]
    Status {
        /// The plan file
        #[arg(default_value = "tablelift.toml")]
        plan: PathBuf,
        /// Show it again every second until the run ends
        #[arg(long)]
        watch: bool,
    },
    /// Prove counts, protected tables, checks and every copied row's content, at any time
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
    /// Show what holds a run back; slow, pause or resume it from any machine
    #[command(
        after_help = "Examples:\n  tablelift throttle plan.toml\n  tablelift throttle plan.toml --rows-per-second 2000\n  tablelift throttle plan.toml --pause\n  tablelift throttle plan.toml --resume\n\nWhat is asked for stands in the ledger: it acts within a batch on every process of the run, and\nholds for later runs of the plan until something else is asked for."
    )]
    Throttle(Throttle),
    /// One page for the person who signs a run off: counts, checks, timings, rejects, plots
    #[command(
        after_help = "Examples:\n  tablelift report plan.toml -o report.html\n  tablelift report plan.toml --json > report.json\n\nIt is made from the ledger in the target, during a run or at any time after it, from any machine,\nand needs nothing else when it is opened."
    )]
    Report(Report),
    /// Take back exactly what the plan's run wrote, in throttled batches
    #[command(
        after_help = "Examples:\n  tablelift rollback plan.toml --dry-run\n  tablelift rollback plan.toml --yes\n  tablelift rollback plan.toml --step tasks --yes\n\nRows that somebody changed since are left alone and counted (exit code 3)."
    )]
    Rollback(Rollback),
    /// Print the JSON Schema of the plan format, for editors
    Schema,
    /// Print shell completions
    #[command(
        after_help = "Example:\n  tablelift completions bash > /etc/bash_completion.d/tablelift"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  tablelift man | man -l -")]
    Man,
    /// Commands of later versions
    #[command(external_subcommand)]
    Later(Vec<String>),
}

/// `demo`
#[derive(Debug, Args, Clone)]
pub struct Demo {
    /// Folder for the demo's files
    #[arg(default_value = "tablelift-demo")]
    pub dir: PathBuf,
    /// Begin anew: removes the demo's own database first
    #[arg(long)]
    pub fresh: bool,
    /// Only make the files; run nothing
    #[arg(long)]
    pub prepare: bool,
}

/// What `init --help` teaches.
const INIT_HELP: &str = "Examples:
  tablelift init --source sqlite:legacy.db --target sqlite:new.db -o plan.toml
  tablelift init --source \"$OLD\" --target \"$NEW\" --tables 'dh_*' -o plan.toml
  tablelift init --source \"$OLD\" --target \"$NEW\" -o plan.toml --snapshot schemas.json

Both databases must exist, the target with its tables. Tables and columns are matched by name,
then by type. Each decision stands in the plan with its reason, and whatever can't be decided is
commented out, so that the plan passes `check` as it is. Lines with DANGER say what can go wrong,
lines with TODO what is yours to say. Passwords are not written: ${SOURCE_URL} and ${TARGET_URL}
stand for URLs that hold one.

Then: tablelift check plan.toml; tablelift run --dry-run plan.toml; tablelift run plan.toml";

/// `init`
#[derive(Debug, Args, Clone)]
pub struct Init {
    /// Write the plan to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write both schemas to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Only source tables that fit this pattern, as in 'dh_*'; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub tables: Vec<String>,
    /// Count no rows: for tables where that takes too long
    #[arg(long)]
    pub no_counts: bool,
    /// Write over files that are there
    #[arg(long)]
    pub force: bool,
}

/// `run`
#[derive(Debug, Args, Clone)]
pub struct Run {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// Show SQL, counts and three mapped rows of each step; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run this step alone; the steps before it must be done
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// Concurrent chunks within one step, instead of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), env = "TABLELIFT_WORKERS")]
    pub workers: Option<u32>,
    /// At most so many rows a second, over all processes, instead of the plan's; what `tablelift
    /// throttle` asks for comes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), env = "TABLELIFT_ROWS_PER_SECOND")]
    pub rows_per_second: Option<u32>,
    /// Batches of so many rows at most, instead of each step's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "TABLELIFT_BATCH_ROWS")]
    pub batch_rows: Option<u32>,
    /// Work on the chunks of a run that another process conducts, here or on another machine;
    /// take its place if it dies, and begin the run if nobody has
    #[arg(long, conflicts_with_all = ["dry_run", "step"])]
    pub join: bool,
    /// Work only at this time of day, as in '22:00-06:00 Europe/Berlin'; outside it the run ends
    /// with exit code 5
    #[arg(long, value_name = "WINDOW", value_parser = tablelift::plan::window::Window::parse, env = "TABLELIFT_WINDOW")]
    pub window: Option<tablelift::plan::window::Window>,
    /// End after this time, as in 6h, with exit code 5
    #[arg(long, value_name = "TIME", value_parser = duration, env = "TABLELIFT_STOP_AFTER")]
    pub stop_after: Option<std::time::Duration>,
    /// Serve metrics and a live page at this address while the run goes on, as in 127.0.0.1:9464;
    /// a port alone is for this machine alone
    #[arg(
        long,
        value_name = "ADDR",
        alias = "metrics-addr",
        conflicts_with = "dry_run",
        env = "TABLELIFT_METRICS"
    )]
    pub metrics: Option<String>,
    /// Flags of commands that hold the plan
    #[command(flatten)]
    pub hold: Hold,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let found = tablelift::plan::parse_duration(text);
    found.ok_or_else(|| "write a number and a unit, like 90s, 30m, 6h or 7d".to_owned())
}

/// Flags of commands that hold the plan.
#[derive(Debug, Args, Clone)]
pub struct Hold {
    /// Seconds of silence after which other processes take this one for dead
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400), env = "TABLELIFT_LEASE")]
    pub lease: u64,
}

/// `throttle`
#[derive(Debug, Args, Clone)]
pub struct Throttle {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// At most so many rows a second, over all processes, instead of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rows_per_second: Option<u32>,
    /// Batches of so many rows, instead of each step's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_rows: Option<u32>,
    /// Begin no new batch
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Go on after a pause
    #[arg(long)]
    pub resume: bool,
    /// Forget all that was asked for: the plan's own limits hold again
    #[arg(long, conflicts_with_all = ["pause", "rows_per_second", "batch_rows"])]
    pub reset: bool,
}

/// What `verify --help` teaches.
const VERIFY_HELP: &str = "Examples:
  tablelift verify plan.toml                  every row, source against target
  tablelift verify plan.toml --step tools
  tablelift verify plan.toml --sample 1%
  tablelift verify plan.toml --rebuild        is every legacy column still there?
  tablelift verify plan.toml --counts-only    the closing proof of a run once more

Exit code 3 where a row is missing, extra or different. An interrupted verify goes on where it
stood when it is typed again.";

/// `verify`
#[derive(Debug, Args, Clone)]
pub struct Verify {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// Compare the rows of this step alone, and nothing else
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// Compare a part of the rows, taken by chance, as in 1% or 0.01
    #[arg(long, value_name = "PART", value_parser = part)]
    pub sample: Option<f64>,
    /// Read a row that differs again so often before it is said: the application may write
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub recheck: u32,
    /// Also make the legacy rows again from the target's columns and documents, and compare them
    #[arg(long)]
    pub rebuild: bool,
    /// Copy rows again that are missing or differ; extra rows stay
    #[arg(long, conflicts_with = "sample")]
    pub repair: bool,
    /// Counts, protected tables and checks; no row by content
    #[arg(long, conflicts_with_all = ["step", "sample", "rebuild", "repair"])]
    pub counts_only: bool,
    /// Concurrent chunks within one step, instead of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), env = "TABLELIFT_WORKERS")]
    pub workers: Option<u32>,
    /// Flags of commands that hold the plan
    #[command(flatten)]
    pub hold: Hold,
}

/// A part of a whole: `1%` or `0.01`.
fn part(text: &str) -> Result<f64, String> {
    let number = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse::<f64>(),
    };
    match number {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("write a part of the rows, like 1% or 0.01".to_owned()),
    }
}

/// `report`
#[derive(Debug, Args, Clone)]
pub struct Report {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// Write the page to this file instead of stdout; a report that is there is written over
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over the file even if it is no report
    #[arg(long)]
    pub force: bool,
}

/// `rollback`
#[derive(Debug, Args, Clone)]
pub struct Rollback {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// Take back this step alone; no later step may have run
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// Say what would be taken back; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
    /// Flags of commands that hold the plan
    #[command(flatten)]
    pub hold: Hold,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// The plan file
    #[arg(default_value = "tablelift.toml")]
    pub plan: PathBuf,
    /// Also read every row through its rules, at the plan's throttle: what would be rejected,
    /// with key, column and reason. What only the target's constraints refuse is not seen
    #[arg(long, conflicts_with = "offline")]
    pub scan: bool,
    /// Look at the plan file only; connect to nothing
    #[arg(long)]
    pub offline: bool,
}
