//! Random plans, random faults, random kills, for as long as is asked: `scripts/torture` runs it
//! for minutes, the ordinary tests for some seconds. Whatever happened, a copy must end with
//! every row of the source in the target once, or in the rejects.
//!
//! `TABLELIFT_TORTURE_SECONDS`: how long. `TABLELIFT_TEST_SEED`: the first round's seed; a round
//! that fails prints its own, and `TABLELIFT_TORTURE_SECONDS=0` with it does that round alone.
//! `TABLELIFT_TORTURE_THREADS`: rounds at the same time. `TABLELIFT_TORTURE_SERVER`: the folder
//! of a server (see `scripts/postgres`) that may be stopped and started.

mod disturb;
mod round;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::disturb::{Tally, restart};
use self::round::Round;
use crate::random::Random;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_breaks_every_row_is_there_once() {
    let end = Instant::now() + Duration::from_secs(setting("TABLELIFT_TORTURE_SECONDS", 15));
    let first = Random::seed();
    let (tally, rounds) = (Tally::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..setting("TABLELIFT_TORTURE_THREADS", 2) {
            scope.spawn(|| {
                loop {
                    let round = rounds.fetch_add(1, Ordering::SeqCst);
                    if round > 0 && Instant::now() >= end {
                        break;
                    }
                    let seed = first + round;
                    // Printed before: a round that hangs can be found as well.
                    eprintln!("round {round}: TABLELIFT_TEST_SEED={seed}");
                    Round::new(seed).run(&tally);
                }
            });
        }
        if let Ok(server) = std::env::var("TABLELIFT_TORTURE_SERVER") {
            let mut random = Random::new(first);
            let tally = &tally;
            scope.spawn(move || {
                while Instant::now() + Duration::from_secs(20) < end {
                    std::thread::sleep(Duration::from_millis(5000 + random.below(15_000)));
                    restart(&server, tally);
                }
            });
        }
    });
    println!("{tally}");
    assert!(tally.landed() > 0, "no fault landed: {tally}");
}
