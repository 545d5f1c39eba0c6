//! How fast to go, given how close to its limit the worst signal is. Pure.

/// Above the limit the pace falls by this factor with each look …
const FALL: f64 = 0.5;
/// … to no less than this, so that it is noticed when there is room again.
pub const LEAST: f64 = 0.05;
/// Below the limit it comes back by this much with each look.
const RISE: f64 = 0.05;
/// From here to the limit the pace stays as it is: a pace that always changes swings.
const NEAR: f64 = 0.9;
/// Below a pace of one in so many, batches are small already and workers rest.
const SMALL: f64 = 4.0;

/// The pace after a look that found `utilization` (1.0 is the limit); full speed is 1.0.
pub fn next(pace: f64, utilization: f64) -> f64 {
    if utilization >= 1.0 || utilization.is_nan() {
        (pace * FALL).max(LEAST)
    } else if utilization < NEAR {
        (pace + RISE).min(1.0)
    } else {
        pace
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

    #[test]
    fn it_falls_fast_and_comes_back_slowly() {
        let mut pace = 1.0;
        for expected in [0.5, 0.25, 0.125, 0.0625, LEAST, LEAST] {
            pace = next(pace, 1.0);
            assert!((pace - expected).abs() < 1e-9);
        }
        let mut looks = 0;
        while pace < 1.0 {
            pace = next(pace, 0.2);
            looks += 1;
        }
        assert_eq!(looks, 19);
        assert!((next(0.4, 0.95) - 0.4).abs() < 1e-9, "near the limit it stays");
        assert!((next(1.0, f64::NAN) - 0.5).abs() < 1e-9, "what is no number is over");
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
