//! Calm lines, where there is no terminal.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tablelift::event::{Event, Listener, What};

use super::text::{clean, grouped, seconds};

/// Between two lines of progress.
const INTERVAL: Duration = Duration::from_secs(5);

/// Limits that are always there: the line of progress says how long they held the run back.
const STATIC: &[&str] =
    &["rows_per_second", "bytes_per_second", "batches_per_second", "pause_between_batches", "duty"];

/// Prints a line now and then, on stderr.
pub struct Lines {
    verbose: bool,
    state: Mutex<State>,
}

struct State {
    last: Instant,
    begun: Instant,
    rows: u64,
    all: Option<u64>,
    waited: f64,
    /// The last signal that a line named, and when.
    throttled: Option<(String, Instant)>,
    /// The step that is compared, and its rows so far.
    compared: (String, u64),
}

impl Lines {
    /// `verbose`: every batch is a line.
    pub fn new(verbose: bool) -> Lines {
        let now = Instant::now();
        let state = State {
            last: now,
            begun: now,
            rows: 0,
            all: None,
            waited: 0.0,
            throttled: None,
            compared: Default::default(),
        };
        Lines { verbose, state: Mutex::new(state) }
    }
}

/// What a line says of an event that is worth one by itself.
pub fn line_of(event: &What) -> Option<String> {
    Some(match event {
        What::RunStarted { joined: true, .. } => {
            "helping a run that another process conducts".to_owned()
        }
        What::RunStarted { resumed: true, .. } => "going on where it stopped".to_owned(),
        What::StepStarted { step, source_rows, done_rows, route, .. } => {
            let rows = source_rows.map(|rows| format!(", {} rows", grouped(rows)));
            let done = (*done_rows > 0).then(|| format!(", {} done before", grouped(*done_rows)));
            let route = (!route.is_empty()).then(|| format!(" ({})", clean(route)));
            format!(
                "{}{}{}{}",
                clean(step),
                rows.unwrap_or_default(),
                done.unwrap_or_default(),
                route.unwrap_or_default()
            )
        }
        What::StepFinished(figures) => format!(
            "✓ {}: {} written, {} skipped, {} rejected in {}",
            clean(&figures.step),
            grouped(figures.copied),
            grouped(figures.skipped),
            grouped(figures.rejected),
            seconds(figures.seconds)
        ),
        What::StepVerified(proof) if !proof.how.is_empty() => format!(
            "{} {}: {} rows compared, {} missing, {} extra, {} different in {}",
            if proof.ok { "✓" } else { "✗" },
            clean(&proof.step),
            grouped(proof.compared),
            grouped(proof.missing),
            grouped(proof.extra),
            grouped(proof.different),
            seconds(proof.seconds)
        ),
        What::BatchRetried { step, attempt, reason, seconds, .. } => {
            format!("{}: try {attempt} in {seconds:.1} s: {}", clean(step), clean(reason))
        }
        What::IndexesDeferred { step, table, indexes } => format!(
            "{}: dropped from {} until the last batch: {}",
            clean(step),
            clean(table),
            clean(&indexes.join(", "))
        ),
        What::IndexRebuilt { step, index, seconds: took, .. } => {
            format!("{}: index {} is back in {}", clean(step), clean(index), seconds(*took))
        }
        // By default every step does it; only one that takes its time is worth a line.
        What::TableAnalyzed { step, table, seconds: took } if *took >= 1.0 => {
            format!("{}: {} analyzed in {}", clean(step), clean(table), seconds(*took))
        }
        What::Warning { message, .. } => format!("warning: {}", clean(message)),
        What::StepUndone { step, rows, kept, note } => {
            let kept = (*kept > 0).then(|| format!(", {} left alone", grouped(*kept)));
            let note = note.as_ref().map(|note| format!(" ({})", clean(note)));
            format!(
                "↶ {}: {} rows{}{}",
                clean(step),
                grouped(*rows),
                kept.unwrap_or_default(),
                note.unwrap_or_default()
            )
        }
        _ => return None,
    })
}

impl Listener for Lines {
    fn event(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        let mut line = line_of(&event.what);
        match &event.what {
            What::StepStarted { source_rows, done_rows, .. } => {
                state.rows = *done_rows;
                state.all = *source_rows;
                state.begun = Instant::now();
                state.last = state.begun;
                state.waited = 0.0;
            }
            What::RowsCompared { step, rows, .. } => {
                if state.compared.0 != *step {
                    state.compared = (step.clone(), 0);
                }
                state.compared.1 += rows;
                if state.last.elapsed() >= INTERVAL {
                    state.last = Instant::now();
                    let all = grouped(state.compared.1);
                    line = Some(format!("{}: {all} rows compared", clean(step)));
                }
            }
            What::BatchCommitted { step, rows, waited_seconds, .. } => {
                state.rows += rows;
                // Rows that came after the count must not push it over the end.
                state.all = state.all.map(|all| all.max(state.rows));
                state.waited += waited_seconds;
                if self.verbose || state.last.elapsed() >= INTERVAL {
                    state.last = Instant::now();
                    let rate = state.rows as f64 / state.begun.elapsed().as_secs_f64().max(0.001);
                    let of = state.all.map(|all| format!(" of {}", grouped(all)));
                    let waited = (state.waited > 0.1)
                        .then(|| format!(", throttled for {}", seconds(state.waited)));
                    line = Some(format!(
                        "{}: {}{} rows, {} rows/s{}",
                        clean(step),
                        grouped(state.rows),
                        of.unwrap_or_default(),
                        grouped(rate as u64),
                        waited.unwrap_or_default()
                    ));
                }
            }
            What::Throttled { step, signal, reason, .. } if !STATIC.contains(&signal.as_str()) => {
                let said =
                    |(last, at): &(String, Instant)| last == signal && at.elapsed() < INTERVAL;
                if !state.throttled.as_ref().is_some_and(said) {
                    state.throttled = Some((signal.clone(), Instant::now()));
                    line = Some(format!("{}: throttled: {}", clean(step), clean(reason)));
                }
            }
            _ => {}
        }
        if let Some(line) = line {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
