//! Rows of the target that no step wrote: where reading by ranges can't see them, they are
//! counted, and named as far as the ledger remembers each key.

use super::Comparison;
use super::found::{Class, Difference, Tally};
use super::terms::How;
use crate::db::Access;
use crate::error::Result;
use crate::key::KeyRange;

/// Rows of one read.
const ROWS: usize = 5_000;

impl Comparison {
    /// Rows of the target now.
    ///
    /// # Errors
    /// The target's.
    pub async fn count_target(&self) -> Result<u64> {
        let label = format!("{}/{}/verify", self.shared.ledger.plan, self.shared.job.step);
        let mut session = self.shared.target.session(Access::Read, &label).await?;
        crate::db::count(session.as_mut(), &self.side.from()).await
    }

    /// Counts `extra` rows that nobody wrote, and finds their keys if it can.
    ///
    /// # Errors
    /// Any database's; interrupted.
    pub async fn name_extra(&self, extra: u64, tally: &mut Tally) -> Result<()> {
        let mut left = extra;
        if self.terms.how == How::Keys && self.shared.job.record_moved {
            let mut hands = self.hands().await?;
            let (ledger, step) = (&self.shared.ledger, &self.shared.job.step);
            let mut rest = KeyRange::default();
            while left > 0 {
                self.admit(&mut hands.worked, ROWS as u64, 0).await?;
                let rows = self.side.range(hands.session.as_mut(), &rest, ROWS).await?;
                let keys =
                    rows.iter().map(|row| self.side.key_of(row)).collect::<Result<Vec<_>>>()?;
                let Some(last) = keys.last() else { break };
                rest.after = Some(last.clone());
                let ours = ledger.moved_among(hands.session.as_mut(), step, &keys).await?;
                let ours: std::collections::HashSet<_> = ours.into_iter().collect();
                for key in keys.into_iter().filter(|key| !ours.contains(key)) {
                    if left > 0 {
                        left -= 1;
                        let key = Some(key.to_ledger());
                        tally.add(Difference { class: Class::Extra, key, columns: Vec::new() });
                    }
                }
            }
        }
        for _ in 0..left {
            tally.add(Difference { class: Class::Extra, key: None, columns: Vec::new() });
        }
        Ok(())
    }
}
