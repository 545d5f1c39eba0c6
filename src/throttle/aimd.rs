//! How fast to go, given how close to its limit the worst signal is. Pure.

/// Above the limit the pace falls by this factor with each look …
const FALL: f64 = 0.5;
/// … to no less than this, so that it is noticed when there is room again.
pub const LEAST: f64 = 0.05;
/// Below the limit it comes back by this much with each look …
const RISE: f64 = 0.05;
/// … and by this much close to a pace that was too fast before: each time that it is too fast,
/// others feel it.
const RISE_CAREFULLY: f64 = 0.005;
/// Close to a pace is from this part of it …
const CLOSE: f64 = 0.7;
/// … until it is passed by so much.
const PASSED: f64 = 1.1;
/// From here to the limit the pace stays as it is: a pace that always changes swings.
const NEAR: f64 = 0.9;
/// Below a pace of one in so many, batches are small already and workers rest.
const SMALL: f64 = 4.0;

/// The pace, and what it learned of how fast is too fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Full speed is 1.0.
    pub now: f64,
    /// The last look was above the limit.
    over: bool,
    /// The pace that was too fast; nothing was, or it was passed without harm since.
    too_fast: f64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { now: 1.0, over: false, too_fast: f64::INFINITY }
    }
}

impl Pace {
    /// The pace after a look that found `utilization` (1.0 is the limit).
    pub fn next(self, utilization: f64) -> Pace {
        if utilization >= 1.0 || utilization.is_nan() {
            // Looks that still see the harm of before say nothing of the pace since.
            let too_fast = if self.over { self.too_fast } else { self.now };
            return Pace { now: (self.now * FALL).max(LEAST), over: true, too_fast };
        }
        let careful = self.now + RISE > self.too_fast * CLOSE;
        let rise = match utilization < NEAR {
            true if careful => RISE_CAREFULLY,
            true => RISE,
            false => 0.0,
        };
        let now = (self.now + rise).min(1.0);
        let is_passed = now > self.too_fast * PASSED || now >= 1.0;
        let too_fast = if is_passed { f64::INFINITY } else { self.too_fast };
        Pace { now, over: false, too_fast }
    }
}

/// The part of its rows that a batch may have at this pace. Batches shrink before rests come:
/// what others feel is the length of a batch and of its commit more than how often it comes, and
/// a run of small batches is still fast. Measured by `scripts/bench-service`.
pub fn share(pace: f64) -> f64 {
    pace * pace
}

/// The part of its time that a worker may work at this pace.
pub fn duty(pace: f64) -> f64 {
    (pace * SMALL).min(1.0)
}

/// How long to rest after working for `worked` seconds, to work `duty` (0 to 1) of the time.
pub fn rest(worked: f64, duty: f64) -> f64 {
    match duty > 0.0 && duty < 1.0 {
        true => worked * (1.0 / duty - 1.0),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut pace: Pace, utilization: f64, looks: usize) -> Pace {
        for _ in 0..looks {
            pace = pace.next(utilization);
        }
        pace
    }

    #[test]
    fn it_falls_fast_and_comes_back_slowly() {
        let mut pace = Pace::default();
        for expected in [0.5, 0.25, 0.125, 0.0625, LEAST, LEAST] {
            pace = pace.next(1.0);
            assert!((pace.now - expected).abs() < 1e-9);
        }
        let pace = after(pace, 0.2, 12);
        assert!((pace.now - 0.65).abs() < 1e-9, "quickly to where it was well: {pace:?}");
        assert!((pace.next(0.95).now - 0.65).abs() < 1e-9, "near the limit it stays");
        assert!(after(pace, 0.2, 60).now < 1.0 && after(pace, 0.2, 80).now >= 1.0, "then slowly");
        assert!((Pace::default().next(f64::NAN).now - 0.5).abs() < 1e-9, "no number is over");
    }

    #[test]
    fn it_remembers_what_was_too_fast_until_it_no_longer_is() {
        let slow = Pace { now: 0.2, ..Pace::default() };
        let pace = after(slow.next(1.5), 0.1, 3);
        assert!(pace.now < 0.16, "{pace:?}");
        let pace = after(pace, 0.1, 100);
        assert!(pace.now >= 1.0, "the load has gone: {pace:?}");
    }

    #[test]
    fn batches_shrink_before_workers_rest() {
        assert!(share(1.0) == 1.0 && duty(1.0) == 1.0);
        assert!(share(0.5) == 0.25 && duty(0.5) == 1.0);
        assert!((duty(LEAST) - 0.2).abs() < 1e-9 && share(LEAST) < 0.01);
    }

    #[test]
    fn half_the_time_is_as_long_a_rest_as_the_work() {
        assert!((rest(0.2, 0.5) - 0.2).abs() < 1e-9);
        assert!((rest(0.1, 0.25) - 0.3).abs() < 1e-9);
        assert!(rest(5.0, 1.0) == 0.0 && rest(5.0, 0.0) == 0.0);
    }
}
