//! Rows without a key: both sides' rows as sums of 128-bit hashes, with their numbers. That they
//! differ is certain, which row does is not known.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::found::{Class, Difference, Tally};
use super::stream::{as_chunk, stopped};
use super::{Comparison, Hands, canonical};
use crate::db::RowSink;
use crate::db::rows::to_values;
use crate::engine::route::Route as _;
use crate::error::Result;
use crate::ledger::verified::Verified;
use crate::mapping::Outcome;
use crate::mapping::wire::Cell;
use crate::sql::{Column, Flavor, Kind};
use crate::value::Value;

/// The sum over rows; their order means nothing, their number does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    hashes: u128,
    rows: u64,
}

impl Sum {
    /// Adds a row, each column with its length in front.
    fn add<'v>(
        &mut self,
        values: impl Iterator<Item = &'v Value>,
        columns: &[Column],
        flavor: Flavor,
        scratch: &mut Vec<u8>,
    ) {
        let mut hash = Sha256::new();
        for (value, column) in values.zip(columns) {
            scratch.clear();
            canonical::write(value, &column.ty, flavor, scratch);
            hash.update((scratch.len() as u64).to_be_bytes());
            hash.update(&scratch);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        self.hashes = self.hashes.wrapping_add(u128::from_be_bytes(first));
        self.rows += 1;
    }
}

/// Adds the rows of the target up as they come.
struct Adding<'a> {
    sum: Sum,
    columns: &'a [Column],
    kinds: &'a [Kind],
    flavor: Flavor,
    scratch: Vec<u8>,
}

#[async_trait]
impl RowSink for Adding<'_> {
    fn add(&mut self, row: &[Cell<'_>], _bytes: u64) -> Result<bool> {
        let values = to_values(row, self.kinds)?;
        self.sum.add(values.iter(), self.columns, self.flavor, &mut self.scratch);
        Ok(false)
    }

    async fn hand_on(&mut self) -> bool {
        true
    }
}

impl Comparison {
    /// Compares all rows at once; a second look is one at all of them.
    pub(super) async fn sum_chunk(
        &self,
        hands: &mut Hands,
        chunk: &mut Verified,
        tally: &mut Tally,
    ) -> Result<()> {
        for look in 0..=self.recheck {
            let mut sums = Tally::default();
            let source = self.sum_source(hands, chunk, &mut sums).await?;
            let target = self.sum_target(hands).await?;
            let same = source == target;
            if same || look == self.recheck {
                sums.target_rows = target.rows;
                sums.matched = source.rows.min(target.rows);
                sums.equal = if same { source.rows } else { 0 };
                let text = |sum: Sum| format!("{:032x}", sum.hashes);
                sums.sums = Some((text(source), text(target)));
                let (missing, extra) = (
                    source.rows.saturating_sub(target.rows),
                    target.rows.saturating_sub(source.rows),
                );
                for class in std::iter::repeat_n(Class::Missing, missing as usize)
                    .chain(std::iter::repeat_n(Class::Extra, extra as usize))
                    .chain(std::iter::repeat_n(
                        Class::Different,
                        usize::from(!same && missing + extra == 0),
                    ))
                {
                    sums.add(Difference { class, key: None, columns: Vec::new() });
                }
                tally.absorb(sums);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn sum_source(
        &self,
        hands: &mut Hands,
        chunk: &Verified,
        tally: &mut Tally,
    ) -> Result<Sum> {
        let (mut sum, mut scratch) = (Sum::default(), Vec::new());
        let flavor = self.shared.job.mapping.flavor;
        hands.reader.seek(&as_chunk(chunk)).await?;
        loop {
            let waiting = hands.reader.fetch(hands.session.as_mut(), u64::MAX).await?;
            if waiting.rows == 0 {
                return Ok(sum);
            }
            self.admit(&mut hands.worked, waiting.rows, waiting.bytes).await?;
            for mapped in hands.reader.take(hands.session.as_mut()).await? {
                tally.rows += 1;
                match &mapped.outcome {
                    Outcome::Cells(cells) => {
                        let values = self.terms.compared.iter().filter_map(|at| cells.get(*at));
                        sum.add(values, self.columns(), flavor, &mut scratch);
                    }
                    Outcome::Stop(reason) => return Err(stopped(&mapped, reason)),
                    Outcome::Reject(_) | Outcome::Pending => tally.rejected += 1,
                }
            }
        }
    }

    async fn sum_target(&self, hands: &mut Hands) -> Result<Sum> {
        let (select, kinds) = self.side.everything();
        let flavor = self.shared.job.mapping.flavor;
        let mut adding = Adding {
            sum: Sum::default(),
            columns: self.columns(),
            kinds,
            flavor,
            scratch: Vec::new(),
        };
        hands.session.read(&select, kinds, &mut adding).await?;
        Ok(adding.sum)
    }
}
