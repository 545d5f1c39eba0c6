//! How fast the run may go, and why a batch waits. One budget for all workers of all processes
//! of a run: a process takes its part of it.

pub mod aimd;
mod http;
mod lag;
mod rate;
pub mod reason;
mod signals;
mod state;
mod wait;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::event::{Emitter, Reading};
use crate::plan::ThrottleSpec;
use crate::plan::throttle::Reads;

use self::rate::Rate;
use self::reason::Reason;
use self::signals::Slot;
use self::state::State;
use self::wait::Wait;

pub use self::signals::{Ends, try_all};
pub use self::state::Orders;

/// How soon a wait notices that what it waits for has changed.
const NOTICE: Duration = Duration::from_millis(200);

/// A rate that answers later than this made us wait.
const WAITED: Duration = Duration::from_millis(1);

/// Between two looks at what the signals said last.
const LOOK: Duration = Duration::from_millis(100);

/// The pace changes with every so many looks: what a change does takes a while to be seen.
const LOOKS_A_PACE: u64 = 5;

/// The throttle of one process.
pub struct Throttle {
    spec: ThrottleSpec,
    state: Mutex<State>,
    slots: OnceLock<Vec<Arc<Slot>>>,
}

/// When a worker was let go last.
#[derive(Debug, Default)]
pub struct Worked {
    since: Option<Instant>,
    /// Waits too short for an event, until together they are worth one.
    untold: Duration,
}

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Its workers want to write.
    pub at_work: bool,
    /// Why one of them waits just now.
    pub reason: Option<String>,
    /// What holds every batch back, if something does.
    pub hold: Option<String>,
    /// Every signal, in the one form, with what it says; `true`: over its limit.
    pub signals: Vec<(String, bool)>,
    /// The same as numbers.
    pub readings: Vec<Reading>,
}

impl Throttle {
    /// A throttle with the plan's static limits; signals count once they are watched.
    pub fn new(spec: &ThrottleSpec) -> Throttle {
        let state = Mutex::new(State::new(spec));
        Throttle { spec: spec.clone(), state, slots: OnceLock::new() }
    }

    /// Begins to watch the signals, and comes back when each was looked at once; the watch ends
    /// when the answer is dropped.
    pub async fn watch(self: &Arc<Self>, ends: &Ends) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let specs = self.spec.signals.iter().cloned();
        let slots =
            self.slots.get_or_init(|| specs.map(|spec| Arc::new(Slot::new(spec))).collect());
        if slots.is_empty() {
            return tasks;
        }
        let watched = |slot: &&Arc<Slot>| slot.spec.reads != Reads::BatchP95;
        for slot in slots.iter().filter(watched) {
            tasks.spawn(signals::watch(Arc::clone(slot), ends.clone()));
        }
        // A look that fails is a look, and comes to its end.
        while !slots.iter().filter(watched).all(|slot| slot.is_read()) {
            tokio::time::sleep(NOTICE / 10).await;
        }
        self.keep_pace();
        let throttle = Arc::clone(self);
        tasks.spawn(async move {
            for look in 1_u64.. {
                tokio::time::sleep(LOOK).await;
                match look.is_multiple_of(LOOKS_A_PACE) {
                    true => throttle.keep_pace(),
                    false => throttle.look(),
                }
            }
        });
        tasks
    }

    fn look(&self) {
        self.state().look(self.slots());
    }

    fn keep_pace(&self) {
        self.state().keep_pace(&self.spec, self.slots());
    }

    fn slots(&self) -> &[Arc<Slot>] {
        self.slots.get().map(Vec::as_slice).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what people ask for, and this process's part of the budget.
    pub fn steer(&self, orders: Orders) {
        let mut state = self.state();
        if state.orders != orders {
            state.orders = orders;
            state.set_rates(&self.spec);
        }
    }

    /// Rows of a batch, where somebody asked for another number than the plan's.
    pub fn batch_rows(&self) -> Option<u32> {
        self.state().orders.batch_rows
    }

    /// The part of its rows that a batch may have, so that others feel less of it.
    pub fn batch_share(&self) -> f64 {
        aimd::share(self.state().pace.now)
    }

    /// There is a budget, of which other processes have to know.
    pub fn is_limited(&self) -> bool {
        self.state().rates.iter().any(Option::is_some)
    }

    /// A batch took so long from begin to commit.
    pub fn observe(&self, batch: Duration) {
        if !self.spec.signals.is_empty() {
            self.state().took(batch);
        }
    }

    /// What this process says of itself.
    pub fn report(&self) -> Report {
        let slots = self.slots();
        let reasons: Vec<Reason> = slots.iter().map(|slot| slot.reason()).collect();
        let state = self.state();
        Report {
            at_work: state.at_work(),
            reason: state.waiting.as_ref().filter(|_| state.at_work()).map(Reason::to_string),
            hold: state.held().map(|reason| reason.to_string()),
            signals: reasons
                .iter()
                .map(|reason| (reason.reading(), reason.utilization() >= 1.0))
                .collect(),
            readings: reasons.into_iter().map(Reason::into_reading).collect(),
        }
    }

    /// Waits until a batch of `rows` and `bytes` may go; how long it waited. Can be dropped at
    /// any moment.
    pub async fn admit(
        &self,
        last: &mut Worked,
        emitter: &Emitter,
        step: &str,
        rows: u64,
        bytes: u64,
    ) -> Duration {
        let begun = Instant::now();
        let worked = last.since.map_or(Duration::ZERO, |since| since.elapsed());
        let mut wait = Wait::new(emitter, step, &mut last.untold);
        for (which, amount) in [(2, 1.0), (0, rows as f64), (1, bytes as f64)] {
            self.take(&mut wait, which, amount).await;
        }
        // What was waited for a rate is rest already.
        self.rest(&mut wait, begun, last.since.is_some(), worked).await;
        self.hold(&mut wait).await;
        last.since = Some(Instant::now());
        begun.elapsed()
    }

    /// The pause between batches, and the rest that is due after so much work.
    async fn rest(&self, wait: &mut Wait<'_>, begun: Instant, is_between: bool, worked: Duration) {
        let pause = self.spec.pause_between_batches.filter(|_| is_between).unwrap_or_default();
        loop {
            let (due, reason) = {
                let mut state = self.state();
                state.asked = Some(Instant::now());
                let duty = self.spec.duty.unwrap_or(1.0) * aimd::duty(state.pace.now);
                let rest = aimd::rest(worked.as_secs_f64(), duty);
                let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
                let pause_reason = || {
                    let seconds = pause.as_secs_f64();
                    let unit = crate::plan::throttle::Unit::Seconds;
                    Reason::number("pause_between_batches", seconds, seconds, unit)
                };
                match rest > pause {
                    true => (rest, state.pace_reason(self.spec.duty)),
                    false => (pause, pause_reason()),
                }
            };
            let left = due.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return self.go_on(wait);
            }
            self.wait_for(wait, reason);
            tokio::time::sleep(left.min(NOTICE)).await;
        }
    }

    /// Takes `amount` from one of the rates. A part that is taken stays taken when the rate
    /// changes meanwhile.
    async fn take(&self, wait: &mut Wait<'_>, which: usize, amount: f64) {
        let mut done = 0.0;
        loop {
            let rate: Option<Arc<Rate>> = {
                let mut state = self.state();
                state.asked = Some(Instant::now());
                state.rates.get(which).cloned().flatten()
            };
            let Some(rate) = rate else { return self.go_on(wait) };
            let left = rate.units(amount * (1.0 - done));
            if left <= 0.0 || amount <= 0.0 {
                return self.go_on(wait);
            }
            let asked = Instant::now();
            let slice = tokio::time::timeout(NOTICE, rate.slice(left)).await;
            if asked.elapsed() >= WAITED {
                let reason = self.state().rate_reason(&rate);
                self.wait_for(wait, reason);
            }
            match slice {
                Ok(rest) if rest <= 0.0 => return self.go_on(wait),
                Ok(rest) => done = 1.0 - rest / rate.units(amount),
                Err(_) => {}
            }
        }
    }

    /// Waits while somebody or something asks for a pause.
    async fn hold(&self, wait: &mut Wait<'_>) {
        loop {
            let reason = {
                let mut state = self.state();
                state.asked = Some(Instant::now());
                state.held()
            };
            let Some(reason) = reason else { return self.go_on(wait) };
            self.wait_for(wait, reason);
            tokio::time::sleep(NOTICE).await;
        }
    }

    fn wait_for(&self, wait: &mut Wait<'_>, reason: Reason) {
        self.state().waiting = Some(reason.clone());
        wait.because(reason);
    }

    fn go_on(&self, wait: &mut Wait<'_>) {
        self.state().waiting = None;
        wait.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Listener};

    struct Deaf;

    impl Listener for Deaf {
        fn event(&self, _: &Event) {}
    }

    /// Rows that four workers got in `time`, in batches of `batch`.
    async fn rows(throttle: &Arc<Throttle>, batch: u64, time: Duration) -> u64 {
        let mut workers = JoinSet::new();
        let until = Instant::now() + time;
        for _ in 0..4 {
            let throttle = Arc::clone(throttle);
            workers.spawn(async move {
                let emitter = Emitter::new("p", "r", Arc::new(Deaf));
                let (mut worked, mut rows) = (Worked::default(), 0);
                while Instant::now() < until {
                    let admit = throttle.admit(&mut worked, &emitter, "s", batch, 0);
                    let left = until.saturating_duration_since(Instant::now());
                    match tokio::time::timeout(left, admit).await {
                        Ok(_) => rows += batch,
                        Err(_) => break,
                    }
                }
                rows
            });
        }
        workers.join_all().await.into_iter().sum()
    }

    #[tokio::test]
    async fn workers_share_a_rate_that_changes_at_once() {
        let spec = ThrottleSpec { rows_per_second: Some(200_000), ..ThrottleSpec::default() };
        let throttle = Arc::new(Throttle::new(&spec));
        let got = rows(&throttle, 500, Duration::from_secs(1)).await;
        assert!((170_000..=203_000).contains(&got), "{got}");
        throttle.steer(Orders { processes: 2, rows_per_second: Some(4000), ..Orders::default() });
        let got = rows(&throttle, 10, Duration::from_secs(1)).await;
        assert!((1700..=2100).contains(&got), "{got}");
        throttle.steer(Orders { paused: true, ..Orders::default() });
        assert_eq!(rows(&throttle, 10, Duration::from_millis(300)).await, 0);
    }
}
