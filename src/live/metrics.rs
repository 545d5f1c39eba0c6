//! Numbers of this process's part in a run, in the text formats of OpenMetrics and Prometheus.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::event::{Event, Listener, Reading, What};

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;
type Sums = Family<Labels, Counter<f64, AtomicU64>>;
type Levels = Family<Labels, Gauge<f64, AtomicU64>>;
type Spread = Family<Labels, Histogram, fn() -> Histogram>;

/// Upper ends of the histograms' buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The numbers; a listener of the run's events.
pub struct Metrics {
    registry: Registry,
    rows: Counts,
    bytes: Counts,
    batches: Counts,
    rejects: Counts,
    took: Spread,
    waited: Spread,
    throttled: Sums,
    errors: Counts,
    rows_left: Levels,
    signals: Levels,
    limits: Levels,
    readable: Levels,
    checks: Levels,
    check_time: Levels,
    protected: Levels,
    run: Levels,
    ended: Levels,
}

fn spread() -> Spread {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

fn of(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

impl Metrics {
    /// All numbers, at nothing.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("tablelift"),
            rows: Family::default(),
            bytes: Family::default(),
            batches: Family::default(),
            rejects: Family::default(),
            took: spread(),
            waited: spread(),
            throttled: Family::default(),
            errors: Family::default(),
            rows_left: Family::default(),
            signals: Family::default(),
            limits: Family::default(),
            readable: Family::default(),
            checks: Family::default(),
            check_time: Family::default(),
            protected: Family::default(),
            run: Family::default(),
            ended: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("rows_read", "Rows of committed batches", self.rows.clone());
        registry.register_with_unit(
            "read",
            "Bytes of the values of committed batches",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register("batches", "Committed batches", self.batches.clone());
        registry.register("rows_rejected", "Rows that went to the rejects", self.rejects.clone());
        registry.register_with_unit(
            "batch_duration",
            "Time of a batch from begin to commit",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register_with_unit(
            "batch_wait",
            "Time that the throttle held a batch back",
            Unit::Seconds,
            self.waited.clone(),
        );
        registry.register_with_unit(
            "throttle_wait",
            "Time that batches waited, by the signal that they waited for",
            Unit::Seconds,
            self.throttled.clone(),
        );
        registry.register(
            "errors",
            "Trouble by class: lock, conflict, connection and other were tried again; \
             expectation, check, protected and run were not as they should be",
            self.errors.clone(),
        );
        registry.register(
            "rows_left",
            "Rows that a step still has to read, as counted at its start",
            self.rows_left.clone(),
        );
        registry.register(
            "signal_value",
            "What a signal of the throttle says, in its own unit: seconds, a share, a number",
            self.signals.clone(),
        );
        registry.register(
            "signal_limit",
            "The limit of a signal, in the same unit",
            self.limits.clone(),
        );
        registry.register(
            "signal_readable",
            "1 where a signal can be read; what can't be read holds the run",
            self.readable.clone(),
        );
        registry.register("check_ok", "1 where a check held", self.checks.clone());
        registry.register_with_unit(
            "check_duration",
            "How long a check took",
            Unit::Seconds,
            self.check_time.clone(),
        );
        registry.register(
            "protected_differences",
            "Rows of a protected table that differ from its baseline",
            self.protected.clone(),
        );
        registry.register("run", "1 for the run that this process works on", self.run.clone());
        registry.register(
            "run_exit_code",
            "The exit code, once the run has ended",
            self.ended.clone(),
        );
    }

    /// The numbers as text, and its media type: OpenMetrics, or Prometheus' own older format.
    pub fn text(&self, openmetrics: bool) -> (String, &'static str) {
        let mut out = String::new();
        // Writing to a string doesn't fail.
        let _ = encode(&mut out, &self.registry);
        match openmetrics {
            true => (out, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            false => (classic(&out), "text/plain; version=0.0.4; charset=utf-8"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// OpenMetrics as Prometheus' older format: a counter's family has the name of its sample, and
/// there are no units and no end.
fn classic(text: &str) -> String {
    let counter = |line: &str| {
        let name = line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?;
        Some(name.to_owned())
    };
    let counters: BTreeSet<String> = text.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        let (hash, word, name, rest) = (words.next(), words.next(), words.next(), words.next());
        match (hash, word, name) {
            (Some("#"), Some(word), Some(name)) if counters.contains(name) => {
                out.push_str(&format!("# {word} {name}_total {}\n", rest.unwrap_or_default()));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

impl Listener for Metrics {
    fn event(&self, event: &Event) {
        match &event.what {
            What::RunStarted { .. } => {
                let labels = vec![("plan", event.plan.clone()), ("run", event.run.clone())];
                self.run.get_or_create(&labels).set(1.0);
            }
            What::StepStarted { step, source_rows: Some(rows), done_rows, .. } => {
                let left = rows.saturating_sub(*done_rows);
                self.rows_left.get_or_create(&of("step", step)).set(left as f64);
            }
            What::BatchCommitted { step, rows, bytes, seconds, waited_seconds, .. } => {
                let labels = of("step", step);
                self.rows.get_or_create(&labels).inc_by(*rows);
                self.bytes.get_or_create(&labels).inc_by(*bytes);
                self.batches.get_or_create(&labels).inc();
                self.took.get_or_create(&labels).observe(*seconds);
                self.waited.get_or_create(&labels).observe(*waited_seconds);
                if let Some(left) = self.rows_left.get(&labels) {
                    left.set((left.get() - *rows as f64).max(0.0));
                }
            }
            What::RowRejected { step, .. } => {
                self.rejects.get_or_create(&of("step", step)).inc();
            }
            What::Throttled { signal, seconds, .. } => {
                self.throttled.get_or_create(&of("signal", signal)).inc_by(*seconds);
            }
            What::BatchRetried { class, .. } => self.trouble(class),
            What::ExpectationFailed { .. } => self.trouble("expectation"),
            What::StepFinished(figures) => {
                self.rows_left.get_or_create(&of("step", &figures.step)).set(0.0);
            }
            What::CheckFinished { check, ok, when, seconds, .. } => {
                let labels = vec![("check", check.clone()), ("when", when.clone())];
                self.checks.get_or_create(&labels).set(f64::from(u8::from(*ok)));
                self.check_time.get_or_create(&labels).set(*seconds);
                if !ok {
                    self.trouble("check");
                }
            }
            What::ProtectFinished { table, ok, difference_count, .. } => {
                let level = self.protected.get_or_create(&of("table", table));
                level.set(*difference_count as f64);
                if !ok {
                    self.trouble("protected");
                }
            }
            What::RunFinished { error, exit_code, .. } => {
                self.ended.get_or_create(&Vec::new()).set(f64::from(*exit_code));
                if error.is_some() {
                    self.trouble("run");
                }
            }
            _ => {}
        }
    }

    fn readings(&self, readings: &[Reading]) {
        for reading in readings {
            let labels = of("signal", &reading.signal);
            self.limits.get_or_create(&labels).set(reading.limit);
            self.readable.get_or_create(&labels).set(f64::from(u8::from(reading.value.is_some())));
            match reading.value {
                Some(value) => drop(self.signals.get_or_create(&labels).set(value)),
                // No number is better than an old one.
                None => drop(self.signals.remove(&labels)),
            }
        }
    }
}

impl Metrics {
    fn trouble(&self, class: &str) {
        self.errors.get_or_create(&of("class", class)).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_by_their_samples() {
        let text = "# HELP a_b Words here.\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x=\"# y\"} 1\n\
                    # HELP c D.\n# TYPE c gauge\nc 2\n# EOF\n";
        let classic = classic(text);
        let expected = "# HELP a_b_total Words here.\n# TYPE a_b_total counter\na_b_total{x=\"# y\"} 1\n\
                        # HELP c D.\n# TYPE c gauge\nc 2\n";
        assert_eq!(classic, expected);
    }
}
