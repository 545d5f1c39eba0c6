//! How many rows the next batch takes: halves on bad data, jumps to a row that the server
//! named, and grows back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::route::Waiting;
use crate::plan::Options;

/// A batch whose time is limited begins with so many rows: what they cost is not known yet.
const FIRST_TIMED: u64 = 500;

/// Batches that shrink for others have so many rows still: their own cost is the larger part then.
const FEWEST_SHARED: u64 = 100;

/// A size that batches are read ahead in.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchSize {
    asked: Option<u32>,
    /// Rows at most.
    pub rows: u64,
}

impl BatchSize {
    /// So different that what is read ahead is worth reading again: somebody asked for it, or it
    /// is half or twice as much.
    pub fn differs(self, before: BatchSize) -> bool {
        self.asked != before.asked
            || self.rows >= before.rows.saturating_mul(2)
            || self.rows <= before.rows / 2
    }
}

/// How large batches may be now, for all workers of a step in this process.
pub struct Size {
    rows: u64,
    bytes: Option<u64>,
    time: Option<Duration>,
    /// Rows that fit the time.
    timed: AtomicU64,
    /// Rows that hold now.
    now: AtomicU64,
}

impl Size {
    /// As the step says.
    pub fn new(options: &Options) -> Size {
        let rows = u64::from(options.batch_rows.max(1));
        let timed = options.batch_time.map_or(u64::MAX, |_| FIRST_TIMED);
        Size {
            rows,
            bytes: options.batch_bytes,
            time: options.batch_time,
            timed: AtomicU64::new(timed),
            now: AtomicU64::new(rows.min(timed)),
        }
    }

    /// Rows at most.
    pub fn rows(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Bytes at most, about.
    pub fn bytes(&self) -> u64 {
        self.bytes.unwrap_or(u64::MAX)
    }

    /// Takes the rows that somebody asked for, instead of the step's, and `share` of them.
    pub fn ask(&self, rows: Option<u32>, share: f64) -> BatchSize {
        let most = rows.map_or(self.rows, |rows| u64::from(rows.max(1)));
        let shared = ((most as f64 * share) as u64).max(most.min(FEWEST_SHARED));
        let now = shared.min(self.timed.load(Ordering::Relaxed));
        self.now.store(now, Ordering::Relaxed);
        BatchSize { asked: rows, rows: now }
    }

    /// A batch of `rows` took so long: the next ones follow.
    pub fn took(&self, rows: u64, time: Duration) {
        if let Some(goal) = self.time {
            let next = timed(self.rows(), rows, time, goal);
            self.timed.store(next, Ordering::Relaxed);
        }
    }

    /// The rows to take instead, where those that wait have too many bytes.
    pub fn fewer(&self, waiting: Waiting) -> Option<u64> {
        let most = self.bytes.filter(|most| waiting.bytes > *most && waiting.rows > 1)?;
        let share = u128::from(waiting.rows) * u128::from(most) / u128::from(waiting.bytes);
        Some(u64::try_from(share).unwrap_or(u64::MAX).clamp(1, waiting.rows - 1))
    }
}

/// Rows of the next batch, after one of `rows` took `time` instead of `goal`. A batch that was
/// small because the chunk ended makes none smaller.
fn timed(now: u64, rows: u64, time: Duration, goal: Duration) -> u64 {
    let ratio = goal.as_secs_f64() / time.as_secs_f64().max(1e-6);
    let next = (rows as f64 * ratio.clamp(0.25, 2.0)) as u64;
    match ratio < 1.0 {
        true => next.min(now).max(1),
        false => next.max(now),
    }
}

/// The limit of one worker.
#[derive(Debug)]
pub struct BatchLimit {
    most: u64,
    now: u64,
    /// The row that the server named comes alone after the good rows before it.
    alone_next: bool,
}

impl BatchLimit {
    /// Starts at `most` rows.
    pub fn new(most: u64) -> Self {
        let most = most.max(1);
        BatchLimit { most, now: most, alone_next: false }
    }

    /// Others than before are the most; good batches have as many.
    pub fn set_most(&mut self, most: u64) {
        if self.most != most {
            self.now = if self.now == self.most { most } else { self.now.min(most) };
            self.most = most;
        }
    }

    /// Rows for the next batch.
    pub fn rows(&self) -> u64 {
        self.now
    }

    /// A batch of `written` rows was refused. `row` is the 1-based row that the server named.
    /// The next batch holds the good rows before it, or that row alone.
    pub fn refused(&mut self, written: u64, row: Option<u64>) {
        self.alone_next = row.is_some_and(|row| row > 1 && row <= written);
        self.now = match row {
            Some(row) if row > 1 && row <= written => row - 1,
            Some(1) => 1,
            _ => (written / 2).max(1),
        };
    }

    /// A batch was committed.
    pub fn committed(&mut self) {
        self.now = match std::mem::take(&mut self.alone_next) {
            true => 1,
            false => self.now.saturating_mul(8).min(self.most),
        };
    }

    /// A bad row is in the rejects. The next one may stand beside it, so growth begins anew.
    pub fn rejected(&mut self) {
        self.now = 8.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_row_is_reached_in_two_batches() {
        let mut limit = BatchLimit::new(1000);
        limit.refused(1000, Some(500));
        assert_eq!(limit.rows(), 499);
        limit.committed();
        assert_eq!(limit.rows(), 1);
        limit.rejected();
        assert_eq!(limit.rows(), 8);
        limit.committed();
        assert_eq!(limit.rows(), 64);
    }

    #[test]
    fn batches_follow_a_time() {
        let goal = Duration::from_millis(500);
        assert_eq!(timed(1000, 1000, Duration::from_secs(1), goal), 500);
        assert_eq!(timed(1000, 1000, Duration::from_secs(60), goal), 250, "not all at once");
        assert_eq!(timed(1000, 1000, Duration::from_millis(400), goal), 1250);
        assert_eq!(timed(1000, 3, Duration::from_millis(1), goal), 1000, "the end of a chunk");
        assert_eq!(timed(1, 1, Duration::from_secs(9), goal), 1);
    }

    #[test]
    fn batches_end_at_their_bytes_and_follow_wishes() {
        let options =
            Options { batch_rows: 100, batch_bytes: Some(1000), ..crate::plan::built_in() };
        let size = Size::new(&options);
        assert_eq!(size.fewer(Waiting { rows: 100, bytes: 4000 }), Some(25));
        assert_eq!(size.fewer(Waiting { rows: 100, bytes: 1000 }), None);
        assert_eq!(size.fewer(Waiting { rows: 2, bytes: 90_000 }), Some(1));
        assert_eq!(size.fewer(Waiting { rows: 1, bytes: 90_000 }), None, "a row is never cut");
        let (first, then) = (size.ask(None, 1.0), size.ask(Some(700), 1.0));
        assert_eq!((first.rows, then.rows, size.rows()), (100, 700, 700));
        assert!(then.differs(first) && !size.ask(Some(700), 1.0).differs(then));
        assert_eq!(size.ask(Some(700), 0.25).rows, 175);
        assert_eq!(size.ask(Some(700), 0.01).rows, 100, "no smaller than pays");
        assert_eq!(size.ask(Some(60), 0.01).rows, 60);
        size.ask(Some(700), 1.0);
        let mut limit = BatchLimit::new(100);
        limit.set_most(700);
        assert_eq!(limit.rows(), 700);
        limit.refused(700, None);
        limit.set_most(50);
        assert_eq!(limit.rows(), 50);
    }

    #[test]
    fn without_a_name_it_halves_down_to_one_and_grows_back() {
        let mut limit = BatchLimit::new(1000);
        let mut steps = 0;
        while limit.rows() > 1 {
            limit.refused(limit.rows(), None);
            steps += 1;
        }
        assert!(steps <= 10);
        limit.committed();
        assert_eq!(limit.rows(), 8);
        for _ in 0..4 {
            limit.committed();
        }
        assert_eq!(limit.rows(), 1000);
    }
}
