//! How far a standby is behind, from positions in the write-ahead log. PostgreSQL's own
//! `replay_lag` keeps its last value while replay stands still, so it is never asked: what counts
//! is for how long the primary has been ahead of what the standby has replayed. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks that are remembered; beyond, every second one is forgotten.
const MOST: usize = 4096;

/// Where the primary stood, and when.
#[derive(Debug, Default)]
pub struct Lag {
    heads: VecDeque<(Instant, u64)>,
    /// The most standbys that were ever seen at once.
    seen: usize,
}

impl Lag {
    /// The lag of the slowest standby. `None`: a standby is gone, or there never was one, and
    /// nobody knows how far it is behind.
    pub fn look(&mut self, now: Instant, head: u64, replayed: &[u64]) -> Option<Duration> {
        if self.heads.back().is_none_or(|(_, last)| *last < head) {
            self.heads.push_back((now, head));
        }
        self.seen = self.seen.max(replayed.len());
        let slowest = *replayed.iter().min().filter(|_| replayed.len() == self.seen)?;
        while self.heads.front().is_some_and(|(_, head)| *head <= slowest) {
            self.heads.pop_front();
        }
        if self.heads.len() > MOST {
            let mut at = 0;
            self.heads.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        let ahead_since = self.heads.front().map_or(now, |(since, _)| *since);
        Some(now.saturating_duration_since(ahead_since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_stands_still_falls_behind_and_catches_up() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(lag.look(at(0), 100, &[100, 100]), Some(Duration::ZERO));
        assert_eq!(lag.look(at(1), 200, &[100, 200]), Some(Duration::ZERO), "seen just now");
        assert_eq!(lag.look(at(5), 300, &[100, 300]), Some(Duration::from_secs(4)));
        assert_eq!(lag.look(at(9), 300, &[200, 300]), Some(Duration::from_secs(4)));
        assert_eq!(lag.look(at(10), 300, &[300, 300]), Some(Duration::ZERO));
        assert_eq!(lag.look(at(900), 300, &[300, 300]), Some(Duration::ZERO), "idle is no lag");
    }

    #[test]
    fn a_standby_that_is_gone_is_no_good_news() {
        let mut lag = Lag::default();
        assert_eq!(lag.look(Instant::now(), 5, &[]), None);
        assert!(lag.look(Instant::now(), 5, &[5, 5]).is_some());
        assert_eq!(lag.look(Instant::now(), 6, &[6]), None);
    }

    #[test]
    fn what_it_remembers_stays_bounded() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        for n in 0..20_000 {
            lag.look(start + Duration::from_secs(n), n + 1, &[0]);
        }
        assert!(lag.heads.len() <= MOST + 1);
        let found = lag.look(start + Duration::from_secs(20_000), 20_001, &[0]);
        assert_eq!(found, Some(Duration::from_secs(20_000)));
    }
}
