//! Named fail points: a test names one in the environment variable that the binary hands over,
//! and the process ends there as if it were killed. They cost one branch and do nothing
//! otherwise.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static ARMED: OnceLock<(String, u64)> = OnceLock::new();
static HITS: AtomicU64 = AtomicU64::new(0);

/// Arms one point: `name` or `name:hit`, the hit counted from 1. For tests of the binary.
pub fn arm(spec: &str) {
    let (name, hit) = spec.split_once(':').unwrap_or((spec, "1"));
    let _ = ARMED.set((name.to_owned(), hit.parse().unwrap_or(1)));
}

/// A place where a test may end the process without any clean-up.
pub fn point(name: &str) {
    if let Some((armed, hit)) = ARMED.get()
        && armed == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *hit
    {
        std::process::abort();
    }
}
