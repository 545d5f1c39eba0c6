//! What the throttle knows at a moment: orders of people, what the signals say, the rates that
//! follow from both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aimd::Pace;
use super::rate::Rate;
use super::reason::{Reason, Value};
use super::signals::Slot;
use crate::plan::throttle::{Reads, ThrottleSpec, Unit};

/// Batches whose latency counts.
const RECENT: Duration = Duration::from_secs(10);
const RECENT_MOST: usize = 1000;

/// A process is at work for so long after it last asked for leave to write.
const AT_WORK: Duration = Duration::from_secs(2);

/// A rate is made anew when it changes by more than this part.
const SAME: f64 = 0.001;

/// What people ask of a run that goes on, and this process's part of the budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Orders {
    /// No new batch.
    pub paused: bool,
    /// Stands for the plan's.
    pub rows_per_second: Option<u32>,
    /// Stands for every step's.
    pub batch_rows: Option<u32>,
    /// Processes at work, this one included.
    pub processes: u32,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { paused: false, rows_per_second: None, batch_rows: None, processes: 1 }
    }
}

/// The throttle's memory.
#[derive(Default)]
pub struct State {
    /// What people asked for.
    pub orders: Orders,
    /// rows, bytes, batches.
    pub rates: [Option<Arc<Rate>>; 3],
    /// How fast the signals let it go.
    pub pace: Pace,
    /// No batch begins while this lasts.
    pub hold: Option<Reason>,
    /// What made the pace fall last.
    pub ruling: Option<Reason>,
    /// What a worker waits for just now.
    pub waiting: Option<Reason>,
    /// When a worker last asked for leave.
    pub asked: Option<Instant>,
    batches: VecDeque<(Instant, f64)>,
}

impl State {
    /// At full speed.
    pub fn new(spec: &ThrottleSpec) -> State {
        let mut state = State::default();
        state.set_rates(spec);
        state
    }

    /// Makes the rates that hold now.
    pub fn set_rates(&mut self, spec: &ThrottleSpec) {
        let rows = self.orders.rows_per_second.or(spec.rows_per_second).map(f64::from);
        let wanted = [
            ("rows_per_second", Unit::Count, rows),
            ("bytes_per_second", Unit::Bytes, spec.bytes_per_second.map(|bytes| bytes as f64)),
            ("batches_per_second", Unit::Count, spec.batches_per_second),
        ];
        let part = self.pace.now / f64::from(self.orders.processes.max(1));
        for (slot, (signal, unit, whole)) in self.rates.iter_mut().zip(wanted) {
            let Some(whole) = whole else {
                *slot = None;
                continue;
            };
            let same = |rate: &Arc<Rate>| {
                rate.whole == whole && (rate.here / (whole * part) - 1.0).abs() < SAME
            };
            if !slot.as_ref().is_some_and(same) {
                *slot = Rate::new(signal, unit, whole, part).map(Arc::new);
            }
        }
    }

    /// Takes a look at all signals, and holds batches back where one of them is over its limit.
    /// The highest one, which rules.
    pub fn look(&mut self, slots: &[Arc<Slot>]) -> Option<(f64, Reason)> {
        let mut worst: Option<(f64, Reason)> = None;
        let mut hold: Option<(f64, Reason)> = None;
        for slot in slots {
            let slows_only = matches!(slot.spec.reads, Reads::BatchP95);
            if slows_only {
                slot.set(Ok(self.p95()));
            }
            let reason = slot.reason();
            let utilization = reason.utilization();
            let higher = |other: &Option<(f64, Reason)>| {
                other.as_ref().is_none_or(|(most, _)| utilization > *most)
            };
            // A file only says stop and go: no pace follows from it.
            if !matches!(slot.spec.reads, Reads::File(_)) && higher(&worst) {
                worst = Some((utilization, reason.clone()));
            }
            // Without batches nobody would see that they are fast again.
            if !slows_only && utilization >= 1.0 && higher(&hold) {
                hold = Some((utilization, reason));
            }
        }
        self.hold = hold.map(|(_, reason)| reason);
        worst
    }

    /// Takes a look, and makes the pace that follows from it.
    pub fn keep_pace(&mut self, spec: &ThrottleSpec, slots: &[Arc<Slot>]) {
        let Some((utilization, reason)) = self.look(slots) else { return };
        self.pace = self.pace.next(utilization);
        if utilization >= 1.0 {
            self.ruling = Some(reason);
        } else if self.pace.now >= 1.0 {
            self.ruling = None;
        }
        self.set_rates(spec);
    }

    /// A batch took so long from begin to commit.
    pub fn took(&mut self, batch: Duration) {
        self.batches.push_back((Instant::now(), batch.as_secs_f64()));
        if self.batches.len() > RECENT_MOST {
            self.batches.pop_front();
        }
    }

    fn p95(&mut self) -> f64 {
        while self.batches.front().is_some_and(|(at, _)| at.elapsed() > RECENT) {
            self.batches.pop_front();
        }
        p95(self.batches.iter().map(|(_, seconds)| *seconds).collect())
    }

    /// What holds every batch back: people first, then the worst signal.
    pub fn held(&self) -> Option<Reason> {
        match self.orders.paused {
            true => Some(Reason::on("pause")),
            false => self.hold.clone(),
        }
    }

    /// Workers of this process want to write.
    pub fn at_work(&self) -> bool {
        self.asked.is_some_and(|at| at.elapsed() < AT_WORK)
    }

    /// Why a worker that worked for a while has to rest, if it must work `duty` of its time.
    pub fn pace_reason(&self, duty: Option<f64>) -> Reason {
        match &self.ruling {
            Some(reason) if self.pace.now < 1.0 => reason.clone(),
            _ => Reason::number("duty", 1.0, duty.unwrap_or(1.0), Unit::Share),
        }
    }

    /// A limit that a batch comes up against: what the signals made of it, or itself.
    pub fn rate_reason(&self, rate: &Rate) -> Reason {
        match &self.ruling {
            Some(reason) if self.pace.now < 1.0 => reason.clone(),
            _ => Reason {
                value: Value::Number(rate.whole),
                ..Reason::number(rate.signal, rate.whole, rate.whole, rate.unit)
            },
        }
    }
}

/// The value that 95 of a hundred do not exceed; 0 for none.
pub fn p95(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * 95).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::throttle::SignalSpec;

    fn slot(reads: Reads) -> Arc<Slot> {
        let spec = SignalSpec {
            name: "s".to_owned(),
            reads,
            limit: 10.0,
            unit: Unit::Count,
            above: false,
            source: false,
        };
        Arc::new(Slot::new(spec))
    }

    #[test]
    fn percentiles() {
        assert!(p95(vec![]) == 0.0 && p95(vec![3.0]) == 3.0);
        assert!(p95((1..=100).map(f64::from).collect()) == 95.0);
        assert!(p95((1..=20).map(f64::from).collect()) == 19.0);
    }

    #[test]
    fn a_process_gets_its_part_of_the_budget() {
        let spec = ThrottleSpec { rows_per_second: Some(3000), ..ThrottleSpec::default() };
        let mut state = State::new(&spec);
        let here = |state: &State| state.rates[0].as_ref().map_or(0.0, |rate| rate.here);
        assert!(here(&state) == 3000.0);
        state.orders.processes = 3;
        state.set_rates(&spec);
        assert!((here(&state) - 1000.0).abs() < 1e-6);
        state.orders.rows_per_second = Some(600);
        state.set_rates(&spec);
        assert!((here(&state) - 200.0).abs() < 1e-6);
    }

    #[test]
    fn a_file_stops_and_lets_go_at_once() {
        let spec = ThrottleSpec::default();
        let mut state = State::new(&spec);
        let file = slot(Reads::File("stop".into()));
        file.set(Ok(1.0));
        let slots = [Arc::clone(&file)];
        state.keep_pace(&spec, &slots);
        assert!(state.hold.is_some() && state.pace.now == 1.0);
        file.set(Ok(0.0));
        state.keep_pace(&spec, &slots);
        assert!(state.hold.is_none() && state.pace.now == 1.0);
    }

    #[test]
    fn signals_hold_and_slow_batches_only_slow() {
        let spec = ThrottleSpec::default();
        let mut state = State::new(&spec);
        let query = slot(Reads::Query(String::new()));
        query.set(Ok(12.0));
        let slots = [Arc::clone(&query)];
        state.keep_pace(&spec, &slots);
        assert_eq!(state.hold.as_ref().map(Reason::to_string).as_deref(), Some("s 12 >= 10"));
        assert!(state.pace.now == 0.5);
        query.set(Ok(3.0));
        state.keep_pace(&spec, &slots);
        assert!(state.hold.is_none() && state.pace.now > 0.5 && state.pace.now < 1.0);
        assert_eq!(state.pace_reason(None).to_string(), "s 12 >= 10", "it is still slow for that");

        let mut state = State::new(&spec);
        state.took(Duration::from_secs(11));
        state.keep_pace(&spec, &[slot(Reads::BatchP95)]);
        assert!(state.hold.is_none() && state.pace.now == 0.5);
    }
}
