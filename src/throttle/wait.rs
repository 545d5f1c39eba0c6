//! One wait of a batch: says why, soon after it begins and now and then while it lasts.

use std::time::{Duration, Instant};

use super::reason::Reason;
use crate::event::{Emitter, What};

/// Waits shorter than this are not worth an event of their own.
const WORTH_TELLING: Duration = Duration::from_millis(50);

/// A wait that lasts is told after this time …
const FIRST: Duration = Duration::from_millis(500);
/// … and then as often as this.
const AGAIN: Duration = Duration::from_secs(10);

/// A wait that goes on.
pub struct Wait<'a> {
    emitter: &'a Emitter,
    step: &'a str,
    /// Since the last event, or since it began.
    since: Instant,
    reason: Option<Reason>,
    told: bool,
    untold: &'a mut Duration,
}

impl<'a> Wait<'a> {
    /// Nothing is waited for yet.
    pub fn new(emitter: &'a Emitter, step: &'a str, untold: &'a mut Duration) -> Wait<'a> {
        Wait { emitter, step, since: Instant::now(), reason: None, told: false, untold }
    }

    /// It waits, or still waits, for this reason.
    pub fn because(&mut self, reason: Reason) {
        let other = self.reason.as_ref().is_some_and(|old| old.signal != reason.signal);
        if other {
            self.tell();
            self.told = false;
        }
        self.reason = Some(reason);
        if self.since.elapsed() >= if self.told { AGAIN } else { FIRST } {
            self.tell();
            self.told = true;
        }
    }

    /// What it waited for is there.
    pub fn done(&mut self) {
        self.tell();
        self.reason = None;
        self.told = false;
        self.since = Instant::now();
    }

    /// An event holds the seconds since the last one, with those of short waits before: their
    /// sum is the whole wait.
    fn tell(&mut self) {
        let Some(reason) = &self.reason else { return };
        let waited = self.since.elapsed() + *self.untold;
        *self.untold = waited;
        if waited >= WORTH_TELLING {
            *self.untold = Duration::ZERO;
            self.emitter.emit(What::Throttled {
                step: self.step.to_owned(),
                signal: reason.signal.clone(),
                value: reason.value(),
                limit: reason.limit,
                reason: reason.to_string(),
                seconds: waited.as_secs_f64(),
            });
        }
        self.since = Instant::now();
    }
}
