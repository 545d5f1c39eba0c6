//! Patience with transient trouble: how often, how long, and an event for each time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::class::trouble;
use crate::error::{Class, Error, Kind, Result};
use crate::event::{Emitter, What};

/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What is left of the patience with one thing that is tried.
pub struct Retries {
    emitter: Emitter,
    stop: CancellationToken,
    step: String,
    most: u32,
    tries: u32,
}

impl Retries {
    /// `most` tries after the first.
    pub fn new(emitter: &Emitter, stop: &CancellationToken, step: &str, most: u32) -> Retries {
        let (emitter, stop) = (emitter.clone(), stop.clone());
        Retries { emitter, stop, step: step.to_owned(), most, tries: 0 }
    }

    /// It went well: the next trouble is a new one.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Says why, waits, and lets the caller try again.
    ///
    /// # Errors
    /// The error itself, when it is not transient or the tries are used up; interrupted, when
    /// the run is asked to end meanwhile.
    pub async fn after(&mut self, mut error: Error, chunk: Option<i64>) -> Result<()> {
        if error.class != Class::Retry {
            return Err(error);
        }
        self.tries += 1;
        if self.tries > self.most {
            error.kind = Kind::Failed;
            error.class = Class::Stop;
            return Err(error.hint(
                "The retries are used up. What is committed stays; the same command goes on \
                 from there.",
            ));
        }
        let wait = wait(self.tries);
        self.emitter.emit(What::BatchRetried {
            step: self.step.clone(),
            chunk: chunk.unwrap_or(-1),
            attempt: self.tries,
            class: trouble(error.code.as_deref()).to_owned(),
            reason: error.to_string(),
            seconds: wait.as_secs_f64(),
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(interrupted()),
        }
    }
}

/// A run that was asked to end.
pub fn interrupted() -> Error {
    let mut error = Error::stop("interrupted; the batch in hand was finished or rolled back")
        .hint("`tablelift run` goes on from here.");
    error.kind = Kind::Interrupted(2);
    error
}

/// A tenth of a second, four times as long with each try (a server that restarts needs some),
/// plus up to as much again, so that workers don't collide in step.
fn wait(tries: u32) -> Duration {
    let base = Duration::from_millis(100) * 4u32.saturating_pow(tries.saturating_sub(1).min(6));
    let noise = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    (base + base * noise / 1000).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for tries in 1..100 {
            assert!(wait(tries) >= Duration::from_millis(100));
            assert!(wait(tries) <= WAIT_MAX);
        }
        assert!(wait(4) >= Duration::from_millis(6400));
    }
}
