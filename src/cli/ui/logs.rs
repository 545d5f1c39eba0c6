//! `--log-format`, `--log-file`: events as log lines, for machines that gather logs. Nothing but
//! our own events is logged: what drivers say of themselves may hold what nobody should read.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use tablelift::error::{Error, Result};
use tablelift::event::{Event, Listener, What};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, debug, error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::cli::args::{Global, LogFormat};

/// The only source of lines.
const TARGET: &str = "tablelift";

/// Writes log lines.
pub struct Logs {
    to: Dispatch,
}

impl Logs {
    /// What the flags ask for; `None`: no log.
    ///
    /// # Errors
    /// Invalid: the file can't be written.
    pub fn new(global: &Global) -> Result<Option<Logs>> {
        if global.log_format.is_none() && global.log_file.is_none() {
            return Ok(None);
        }
        let writer = match &global.log_file {
            Some(path) => BoxMakeWriter::new(Mutex::new(open(path)?)),
            None => BoxMakeWriter::new(std::io::stderr),
        };
        let level = match (global.quiet, global.verbose) {
            (true, _) => LevelFilter::WARN,
            (false, 0) => LevelFilter::INFO,
            (false, _) => LevelFilter::DEBUG,
        };
        let ours = Targets::new().with_target(TARGET, level);
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(false)
            .with_target(false)
            .log_internal_errors(false);
        let registry = tracing_subscriber::registry().with(ours);
        let to = match global.log_format.unwrap_or(LogFormat::Text) {
            LogFormat::Text => Dispatch::new(registry.with(lines)),
            LogFormat::Json => Dispatch::new(
                registry.with(lines.json().flatten_event(true).with_current_span(false)),
            ),
        };
        Ok(Some(Logs { to }))
    }
}

/// Appends; the log names keys and tables, so it is its owner's alone.
fn open(path: &Path) -> Result<impl Write + use<>> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        Error::invalid(format!("can't write the log {}: {error}", path.display()))
            .hint("Give --log-file a file in a folder that is there.")
    })
}

impl Listener for Logs {
    fn event(&self, event: &Event) {
        tracing::dispatcher::with_default(&self.to, || log(event));
    }
}

/// One line, with the event's own fields and its run.
macro_rules! line {
    ($level:ident, $event:expr, $name:literal, $text:literal, $($fields:tt)*) => {
        $level!(target: TARGET, event = $name, plan = $event.plan, run = $event.run, $($fields)* $text)
    };
}

fn log(event: &Event) {
    match &event.what {
        What::RunStarted { resumed, joined, steps } => {
            line!(
                info,
                event,
                "run_started",
                "the run begins or goes on",
                resumed,
                joined,
                steps = steps.len(),
            );
        }
        What::StepStarted { step, kind, source_rows, done_rows, .. } => {
            line!(
                info,
                event,
                "step_started",
                "a step begins or goes on",
                step,
                kind,
                source_rows,
                done_rows,
            );
        }
        What::BatchCommitted { step, chunk, batch, rows, bytes, seconds, waited_seconds } => {
            line!(
                debug,
                event,
                "batch_committed",
                "a batch is committed",
                step,
                chunk,
                batch,
                rows,
                bytes,
                seconds,
                waited_seconds,
            );
        }
        What::RowRejected { step, key, column, reason } => {
            let key = key.to_string();
            line!(warn, event, "row_rejected", "a row is rejected", step, key, column, reason,);
        }
        What::Throttled { step, signal, reason, seconds, .. } => {
            line!(info, event, "throttled", "a batch waited", step, signal, reason, seconds,);
        }
        What::BatchRetried { step, attempt, class, reason, seconds, .. } => {
            line!(
                warn,
                event,
                "batch_retried",
                "a batch is done again",
                step,
                attempt,
                class,
                reason,
                seconds,
            );
        }
        What::StepFinished(one) => {
            let (step, kind, copied, skipped) = (&one.step, &one.kind, one.copied, one.skipped);
            let (rejected, after, seconds) = (one.rejected, one.after, one.seconds);
            line!(
                info,
                event,
                "step_finished",
                "a step is done",
                step,
                kind,
                copied,
                skipped,
                rejected,
                after,
                seconds,
            );
        }
        other => proof(event, other),
    }
}

/// What was proved, and how it ended.
fn proof(event: &Event, what: &What) {
    match what {
        What::CheckFinished { check, ok: true, when, slow, seconds, .. } => {
            line!(info, event, "check_finished", "a check holds", check, when, slow, seconds,);
        }
        What::CheckFinished { check, when, expected, actual, seconds, .. } => {
            line!(
                error,
                event,
                "check_finished",
                "a check does not hold",
                check,
                when,
                expected,
                actual,
                seconds,
            );
        }
        What::ProtectFinished { table, ok: true, rows, .. } => {
            line!(info, event, "protect_finished", "a protected table is as it was", table, rows,);
        }
        What::ProtectFinished { table, rows, difference_count, .. } => {
            line!(
                error,
                event,
                "protect_finished",
                "a protected table differs",
                table,
                rows,
                difference_count,
            );
        }
        What::ExpectationFailed { step, table, what, expected, actual } => {
            line!(
                error,
                event,
                "expectation_failed",
                "a number is not the expected one",
                step,
                table,
                what,
                expected,
                actual,
            );
        }
        What::Warning { step, message } => {
            line!(warn, event, "warning", "a person should know", step, warning = message,);
        }
        What::RunFinished { ok: true, seconds, .. } => {
            line!(info, event, "run_finished", "the run ended well", exit_code = 0, seconds,);
        }
        What::RunFinished { exit_code, error, hint, seconds, .. } => {
            line!(error, event, "run_finished", "the run ended", exit_code, error, hint, seconds,);
        }
        other => rest(event, other),
    }
}

/// What happens to indexes and statistics, and on the way back.
fn rest(event: &Event, what: &What) {
    match what {
        What::IndexesDeferred { step, table, indexes } => {
            let indexes = indexes.join(", ");
            line!(
                info,
                event,
                "indexes_deferred",
                "indexes are dropped for the step",
                step,
                table,
                indexes,
            );
        }
        What::IndexRebuilt { step, table, index, seconds } => {
            line!(
                info,
                event,
                "index_rebuilt",
                "an index is there again",
                step,
                table,
                index,
                seconds,
            );
        }
        What::TableAnalyzed { step, table, seconds } => {
            line!(info, event, "table_analyzed", "a table is analyzed", step, table, seconds,);
        }
        What::BatchUndone { step, rows, kept } => {
            line!(debug, event, "batch_undone", "a batch is taken back", step, rows, kept,);
        }
        What::StepUndone { step, rows, kept, note } => {
            line!(info, event, "step_undone", "a step is taken back", step, rows, kept, note,);
        }
        _ => {}
    }
}
