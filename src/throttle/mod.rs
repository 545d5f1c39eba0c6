//! How fast the run may go. One budget for all workers of the process.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::event::{Emitter, What};
use crate::plan::ThrottleSpec;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, NoOpMiddleware>;

/// Waits shorter than this are not worth an event.
const WORTH_TELLING: Duration = Duration::from_millis(50);

/// A static limit: so many units a second, asked for in slices no larger than its burst.
struct Rate {
    signal: &'static str,
    limiter: Limiter,
    burst: u32,
    /// Real units in one unit of the limiter, so that byte rates fit its 32 bits.
    scale: u64,
    limit: f64,
}

impl Rate {
    fn new(signal: &'static str, per_second: u64) -> Option<Rate> {
        let scale = per_second.div_ceil(u64::from(u32::MAX)).max(1);
        let units = NonZeroU32::new(u32::try_from(per_second / scale).ok()?)?;
        // A tenth of a second may go at once: enough for smooth batches, too little to feel.
        let burst = NonZeroU32::new((units.get() / 10).max(1))?;
        let limiter = RateLimiter::direct(Quota::per_second(units).allow_burst(burst));
        Some(Rate { signal, limiter, burst: burst.get(), scale, limit: per_second as f64 })
    }

    async fn take(&self, amount: u64) {
        let mut left = amount.div_ceil(self.scale);
        while left > 0 {
            let slice = u32::try_from(left).unwrap_or(u32::MAX).min(self.burst);
            let Some(slice) = NonZeroU32::new(slice) else {
                return;
            };
            if self.limiter.until_n_ready(slice).await.is_err() {
                return;
            }
            left -= u64::from(slice.get());
        }
    }
}

/// The throttle of one process.
pub struct Throttle {
    rows: Option<Rate>,
    bytes: Option<Rate>,
    batches: Option<(Limiter, f64)>,
    pause: Option<Duration>,
}

impl Throttle {
    /// A throttle with the plan's static limits.
    pub fn new(spec: &ThrottleSpec) -> Throttle {
        let batches = spec.batches_per_second.and_then(|rate| {
            let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))?;
            Some((RateLimiter::direct(quota), rate))
        });
        Throttle {
            rows: spec
                .rows_per_second
                .and_then(|rate| Rate::new("rows_per_second", u64::from(rate))),
            bytes: spec.bytes_per_second.and_then(|rate| Rate::new("bytes_per_second", rate)),
            batches,
            pause: spec.pause_between_batches,
        }
    }

    /// Waits until a batch of `rows` and `bytes` may go; how long it waited.
    pub async fn admit(&self, emitter: &Emitter, step: &str, rows: u64, bytes: u64) -> Duration {
        let begun = Instant::now();
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
            let seconds = pause.as_secs_f64();
            tell(emitter, step, "pause_between_batches", seconds, seconds, pause);
        }
        if let Some((limiter, rate)) = &self.batches {
            let before = Instant::now();
            limiter.until_ready().await;
            tell(emitter, step, "batches_per_second", *rate, *rate, before.elapsed());
        }
        for (rate, amount) in [(&self.rows, rows), (&self.bytes, bytes)] {
            if let Some(rate) = rate {
                let before = Instant::now();
                rate.take(amount).await;
                tell(emitter, step, rate.signal, rate.limit, rate.limit, before.elapsed());
            }
        }
        begun.elapsed()
    }
}

fn tell(emitter: &Emitter, step: &str, signal: &str, value: f64, limit: f64, waited: Duration) {
    if waited < WORTH_TELLING {
        return;
    }
    emitter.emit(What::Throttled {
        step: step.to_owned(),
        signal: signal.to_owned(),
        value,
        limit,
        seconds: waited.as_secs_f64(),
    });
}
