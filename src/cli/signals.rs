//! The first signal ends the run after the batch in hand, the second one at once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Which signal came.
#[derive(Clone, Default)]
pub struct Received(Arc<AtomicU8>);

impl Received {
    /// 128 + the signal's number, if one came.
    pub fn code(&self) -> Option<u8> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(128 + signal),
        }
    }
}

/// Listens from now on; cancels `stop` at the first signal.
pub fn listen(stop: CancellationToken) -> Received {
    let received = Received::default();
    let kinds =
        [(SignalKind::hangup(), 1), (SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)];
    for (kind, number) in kinds {
        if is_ignored(number) {
            // `nohup` and shells without job control say so before they start us.
            continue;
        }
        let Ok(mut stream) = signal(kind) else {
            continue;
        };
        let (stop, received) = (stop.clone(), received.clone());
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if received.0.swap(number, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + i32::from(number));
                }
                // Nobody may be left to read it.
                let _ = writeln!(
                    std::io::stderr(),
                    "finishing the batch in hand; once more ends at once"
                );
                stop.cancel();
            }
        });
    }
    received
}

/// The signal was set to be ignored by who started this process.
fn is_ignored(number: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (number - 1)) != 0
}
