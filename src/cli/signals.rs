//! The first signal ends the run after the batch in hand, the second one at once.

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
    for (kind, number) in [(SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)] {
        let Ok(mut stream) = signal(kind) else {
            continue;
        };
        let (stop, received) = (stop.clone(), received.clone());
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if received.0.swap(number, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + i32::from(number));
                }
                eprintln!("finishing the batch in hand; once more ends at once");
                stop.cancel();
            }
        });
    }
    received
}
