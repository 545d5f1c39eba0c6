//! A static limit: so many units a second.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::plan::throttle::Unit;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, NoOpMiddleware>;

/// The limiter counts in whole nanoseconds for each of its units: more of them in a second would
/// make the rate inexact.
const MOST_UNITS: f64 = 50_000.0;

/// A limit, asked for in slices no larger than its burst.
pub struct Rate {
    /// What is limited, as the plan spells it.
    pub signal: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// What the plan (or a person) says, for all processes together.
    pub whole: f64,
    /// What this process may use now.
    pub here: f64,
    limiter: Limiter,
    burst: u32,
    /// Real units in one unit of the limiter.
    scale: f64,
}

impl Rate {
    /// At most `whole × part` each second. It starts empty: a limit that changes often must not
    /// give a burst away each time.
    pub fn new(signal: &'static str, unit: Unit, whole: f64, part: f64) -> Option<Rate> {
        let here = whole * part;
        let scale = (here / MOST_UNITS).ceil().max(1.0);
        let units = here / scale;
        let period = Duration::try_from_secs_f64(1.0 / units).ok()?;
        // A tenth of a second may go at once: enough for smooth batches, too little to feel.
        let burst = NonZeroU32::new(((units / 10.0) as u32).max(2))?;
        let limiter = RateLimiter::direct(Quota::with_period(period)?.allow_burst(burst));
        let _ = limiter.check_n(burst);
        Some(Rate { signal, unit, whole, here, limiter, burst: burst.get(), scale })
    }

    /// How many units of the limiter `amount` takes.
    pub fn units(&self, amount: f64) -> f64 {
        amount / self.scale
    }

    /// Waits for at most one slice of `left` units; what is left then. Nothing is taken when the
    /// future is dropped.
    pub async fn slice(&self, left: f64) -> f64 {
        // Half of what may gather: a worker that wakes late loses nothing of its rate.
        let slice = (left.ceil() as u32).clamp(1, (self.burst / 2).max(1));
        let Some(some) = NonZeroU32::new(slice) else { return 0.0 };
        match self.limiter.until_n_ready(some).await {
            Ok(()) => left - f64::from(slice),
            Err(_) => 0.0,
        }
    }
}
