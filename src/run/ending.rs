//! Ends of a run that its plan asks for: the window closes, or its time is up.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::plan::throttle::Unit;
use crate::plan::window::Window;
use crate::throttle::reason::Reason;

/// How often the clock is looked at: it may be set, and machines sleep.
const LOOK: Duration = Duration::from_millis(500);

/// Why the run was asked to end; empty while it was not.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<OnceLock<String>>);

/// Watches the clock until it is dropped.
pub struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ending {
    /// Cancels `stop` when the time has come.
    ///
    /// # Errors
    /// Asked: the window is closed already.
    pub fn watch(
        &self,
        window: Option<&Window>,
        stop_after: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Watching> {
        if let Some(window) = window
            && !window.is_open(Timestamp::now())
        {
            return Err(asked(&closed(window)).hint(format!(
                "It opens at {}; `tablelift run` goes on then.",
                window.changes(Timestamp::now())
            )));
        }
        let (window, stop, why) = (window.cloned(), stop.clone(), self.clone());
        let begun = Instant::now();
        Ok(Watching(tokio::spawn(async move {
            let reason = loop {
                if let Some(window) = window.as_ref().filter(|one| !one.is_open(Timestamp::now())) {
                    break closed(window);
                }
                if let Some(after) = stop_after.filter(|after| begun.elapsed() >= *after) {
                    let seconds = begun.elapsed().as_secs_f64();
                    let limit = after.as_secs_f64();
                    break Reason::number("stop_after", seconds, limit, Unit::Seconds).to_string();
                }
                let left = stop_after.map_or(LOOK, |after| after.saturating_sub(begun.elapsed()));
                tokio::time::sleep(left.min(LOOK)).await;
            };
            let _ = why.0.set(reason);
            stop.cancel();
        })))
    }

    /// A result that was interrupted because the time had come says so.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match (result, self.0.get()) {
            (Err(error), Some(why)) if matches!(error.kind, Kind::Interrupted(_)) => {
                Err(asked(why).hint("`tablelift run` goes on from here."))
            }
            (result, _) => result,
        }
    }
}

fn closed(window: &Window) -> String {
    format!("window closed ({window})")
}

fn asked(why: &str) -> Error {
    let mut error = Error::stop(format!("ended as asked: {why}"));
    error.kind = Kind::Asked;
    error
}
