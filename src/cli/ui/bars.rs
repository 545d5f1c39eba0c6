//! One bar for each running step, and a total line.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tablelift::event::{Event, Listener, What};

use super::lines::line_of;
use super::text::{clean, grouped};

/// The bars of a run.
pub struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    total: Option<ProgressBar>,
    begun: Option<Instant>,
    /// Rows of this step that this process has done.
    here: u64,
    rows: u64,
    steps: u64,
    steps_done: u64,
    waiting: String,
}

impl Bars {
    /// Bars on stderr.
    pub fn new() -> Bars {
        Bars { all: MultiProgress::new(), state: Mutex::new(State::default()) }
    }

    fn step_bar(&self, step: &str, rows: Option<u64>, done: u64) -> ProgressBar {
        let bar = self.all.insert(0, ProgressBar::new(rows.unwrap_or(0)));
        let template = "{prefix:16} {bar:30} {percent:>3}% {human_pos}/{human_len} rows  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(clean(step));
        bar.set_message("estimating");
        bar.set_position(done);
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// `12,345 rows/s, 3 s left`; before anything is known, `estimating`.
fn pace(here: u64, elapsed: Duration, left: u64) -> String {
    let seconds = elapsed.as_secs_f64();
    if here == 0 || seconds < 0.5 {
        return "estimating".to_owned();
    }
    let rate = here as f64 / seconds;
    format!("{} rows/s, {} left", grouped(rate as u64), super::text::seconds(left as f64 / rate))
}

impl Listener for Bars {
    fn event(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match &event.what {
            What::RunStarted { steps, .. } => {
                let total = self.all.add(ProgressBar::no_length());
                if let Ok(style) = ProgressStyle::with_template("{prefix:16} {msg}") {
                    total.set_style(style);
                }
                total.set_prefix("total");
                state.steps = steps.len() as u64;
                state.total = Some(total);
            }
            What::StepStarted { step, source_rows, done_rows, .. } => {
                state.bar = Some(self.step_bar(step, *source_rows, *done_rows));
                state.begun = Some(Instant::now());
                state.here = 0;
                state.waiting.clear();
            }
            What::Throttled { reason, .. } => {
                state.waiting = format!("  throttled: {}", clean(reason));
                if let Some(bar) = &state.bar {
                    bar.set_message(state.waiting.trim_start().to_owned());
                }
            }
            What::BatchCommitted { rows, waited_seconds, .. } => {
                if *waited_seconds < 0.05 {
                    state.waiting.clear();
                }
                state.here += rows;
                state.rows += rows;
                let elapsed = state.begun.map(|begun| begun.elapsed()).unwrap_or_default();
                if let Some(bar) = &state.bar {
                    // Rows that came after the count must not push it over the end.
                    let position = bar.position() + rows;
                    if bar.length().is_some_and(|length| position > length) {
                        bar.set_length(position);
                    }
                    bar.set_position(position);
                    let left = bar.length().unwrap_or(position) - position;
                    bar.set_message(format!(
                        "{}{}",
                        pace(state.here, elapsed, left),
                        state.waiting
                    ));
                }
            }
            What::StepFinished(_) => {
                if let Some(bar) = state.bar.take() {
                    bar.finish_and_clear();
                }
                state.steps_done += 1;
            }
            What::RunFinished { .. } => {
                for bar in [state.bar.take(), state.total.take()].into_iter().flatten() {
                    bar.finish_and_clear();
                }
                return;
            }
            _ => {}
        }
        if let Some(total) = &state.total {
            total.set_message(format!(
                "{} of {} steps, {} rows",
                state.steps_done,
                state.steps,
                grouped(state.rows)
            ));
        }
        let starts = matches!(event.what, What::StepStarted { .. });
        if let Some(line) = line_of(&event.what).filter(|_| !starts) {
            let _ = self.all.println(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_only_said_when_it_is_known() {
        assert_eq!(pace(0, Duration::from_secs(9), 10), "estimating");
        assert_eq!(pace(1000, Duration::from_secs(2), 1000), "500 rows/s, 2.0 s left");
    }

    /// A run of 100 s that begins slowly, or was begun by another process.
    #[test]
    fn p24_the_time_left_is_about_right_after_a_fifth() {
        for (here, left, expected) in
            [(20_000, 80_000, 80.0), (17_000, 83_000, 80.0), (20_000, 60_000, 60.0)]
        {
            let said = pace(here, Duration::from_secs(20), left);
            let (_, seconds) = said.split_once("rows/s, ").unwrap();
            let seconds: f64 = seconds.trim_end_matches(" s left").parse().unwrap();
            assert!((seconds - expected).abs() <= expected / 4.0, "{said}, not {expected} s");
        }
    }
}
