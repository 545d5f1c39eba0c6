//! How many rows the next batch takes: halves on bad data, jumps to a row that the server
//! named, and grows back.

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
    pub fn new(most: u32) -> Self {
        let most = u64::from(most.max(1));
        BatchLimit { most, now: most, alone_next: false }
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
