//! How many rows the next batch takes: halves on bad data, jumps to a row that the server
//! named, and grows back.

/// The limit of one worker.
#[derive(Debug)]
pub struct BatchLimit {
    most: u64,
    now: u64,
}

impl BatchLimit {
    /// Starts at `most` rows.
    pub fn new(most: u32) -> Self {
        let most = u64::from(most.max(1));
        BatchLimit { most, now: most }
    }

    /// Rows for the next batch.
    pub fn rows(&self) -> u64 {
        self.now
    }

    /// A batch of `written` rows was refused. `row` is the 1-based row that the server named.
    /// The next batch holds the good rows before it, or that row alone.
    pub fn refused(&mut self, written: u64, row: Option<u64>) {
        self.now = match row {
            Some(row) if row > 1 && row <= written => row - 1,
            Some(1) => 1,
            _ => (written / 2).max(1),
        };
    }

    /// A batch was committed.
    pub fn committed(&mut self) {
        self.now = self.now.saturating_mul(8).min(self.most);
    }

    /// A bad row is in the rejects: nothing is known to be wrong with what follows.
    pub fn rejected(&mut self) {
        self.now = self.most;
    }

    /// After good rows before a named bad one: that row comes alone.
    pub fn alone(&mut self) {
        self.now = 1;
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
        limit.alone();
        assert_eq!(limit.rows(), 1);
        limit.rejected();
        assert_eq!(limit.rows(), 1000);
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
