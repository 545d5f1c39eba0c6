//! Both sides read and compared here: the source's rows in the order of their key, mapped by the
//! rules, the target's by the same range, or by their keys.

use std::collections::HashMap;
use std::time::Instant;

use super::canonical::same;
use super::found::Tally;
use super::side::Name;
use super::terms::How;
use super::{Comparison, Hands, MOST_SUSPECTS};
use crate::engine::route::Route as _;
use crate::engine::route::decode::Mapped;
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::{Chunk, ChunkKind};
use crate::ledger::verified::Verified;
use crate::mapping::Outcome;
use crate::value::{Row, Value};

/// Rows that one read of the target gives at least; more come with the next one.
const LEAST: usize = 1_000;

/// Rows without a key of the source that wait for their second look.
const MOST_HELD: usize = 1_000;

impl Comparison {
    pub(super) async fn stream_chunk(
        &self,
        hands: &mut Hands,
        chunk: &mut Verified,
        tally: &mut Tally,
    ) -> Result<()> {
        hands.marked = Instant::now();
        hands.reader.seek(&as_chunk(chunk)).await?;
        let mut after = chunk.pos.clone().or_else(|| chunk.range.after.clone());
        let is_ranged = self.terms.how != How::Keys && chunk.kind == ChunkKind::Range;
        let has_keys = self.shared.job.source.key.is_some() && chunk.kind == ChunkKind::Range;
        let mut held = Vec::new();
        loop {
            let waiting = hands.reader.fetch(hands.session.as_mut(), u64::MAX).await?;
            if waiting.rows == 0 {
                break;
            }
            self.admit(&mut hands.worked, waiting.rows, waiting.bytes).await?;
            let rows = hands.reader.take(hands.session.as_mut()).await?;
            let count = rows.len() as u64;
            tally.rows += count;
            let upto = rows.last().and_then(|row| row.key.clone()).filter(|_| has_keys);
            let differing = match &upto {
                Some(upto) if is_ranged => {
                    let range = KeyRange { after: after.take(), upto: Some(upto.clone()) };
                    self.by_range(hands, range, rows, tally).await?
                }
                _ => self.by_keys(hands, rows, tally).await?,
            };
            if has_keys {
                differing
                    .iter()
                    .filter_map(|row| row.key.as_ref())
                    .for_each(|key| tally.suspect(key));
            } else {
                held.extend(differing);
                if held.len() > MOST_HELD {
                    self.settle_held(hands, std::mem::take(&mut held), tally).await?;
                }
            }
            after.clone_from(&upto);
            self.after_batch(hands, chunk, upto, count, tally).await?;
        }
        self.settle_held(hands, held, tally).await?;
        if is_ranged {
            let rest =
                KeyRange { after: chunk.pos.clone().or(after), upto: chunk.range.upto.clone() };
            self.by_range(hands, rest, Vec::new(), tally).await?;
        }
        Ok(())
    }

    /// Compares rows with those of the target in the same range of keys; gives back those that
    /// are not equal.
    async fn by_range(
        &self,
        hands: &mut Hands,
        range: KeyRange,
        rows: Vec<Mapped>,
        tally: &mut Tally,
    ) -> Result<Vec<Mapped>> {
        if rows.is_empty() && !self.terms.names_extra {
            return Ok(rows);
        }
        let most = rows.len() + LEAST;
        let mut rest = range;
        let mut source = rows.into_iter().map(|row| (self.name(&row), row)).peekable();
        // Rows of either side that did not stand where the other's stood.
        let mut waiting: HashMap<Name, Mapped> = HashMap::new();
        let mut alone: HashMap<Name, Row> = HashMap::new();
        let mut differing = Vec::new();
        loop {
            let found = self.side.range(hands.session.as_mut(), &rest, most).await?;
            let is_last = found.len() < most;
            if let (false, Some(last)) = (is_last, found.last()) {
                rest.after = Some(self.side.key_of(last)?);
            }
            for row in found {
                let name = self.side.name(&row);
                if source.peek().is_some_and(|(expected, _)| expected.as_ref() == Some(&name))
                    && let Some((_, mapped)) = source.next()
                {
                    self.compare(mapped, &row, tally, &mut differing);
                    continue;
                }
                // Not the next one: the source's rows up to it wait.
                while let Some((expected, mapped)) = source.next_if(|(expected, _)| {
                    expected.as_ref() != Some(&name) && !waiting.contains_key(&name)
                }) {
                    match expected {
                        Some(expected) => drop(waiting.insert(expected, mapped)),
                        None => differing.push(mapped),
                    }
                }
                match waiting.remove(&name) {
                    Some(mapped) => self.compare(mapped, &row, tally, &mut differing),
                    None if source
                        .peek()
                        .is_some_and(|(expected, _)| expected.as_ref() == Some(&name)) =>
                    {
                        if let Some((_, mapped)) = source.next() {
                            self.compare(mapped, &row, tally, &mut differing);
                        }
                    }
                    None => drop(alone.insert(name, row)),
                }
            }
            if is_last {
                break;
            }
            // One of them whose source row comes later is found equal at the second look.
            self.suspect_alone(&mut alone, tally)?;
            if tally.suspects.len() > MOST_SUSPECTS {
                self.look_again(hands, tally).await?;
            }
        }
        for (expected, mapped) in source {
            match expected.and_then(|name| alone.remove(&name)) {
                Some(row) => self.compare(mapped, &row, tally, &mut differing),
                None => differing.push(mapped),
            }
        }
        differing.extend(waiting.into_values());
        self.suspect_alone(&mut alone, tally)?;
        Ok(differing)
    }

    /// Rows of the target that no source row has.
    fn suspect_alone(&self, alone: &mut HashMap<Name, Row>, tally: &mut Tally) -> Result<()> {
        for (_, row) in alone.drain().filter(|_| self.terms.names_extra) {
            tally.suspect(&self.side.key_of(&row)?);
        }
        Ok(())
    }

    /// Compares rows with those of the target that have their keys; gives back those that are
    /// not equal.
    pub(super) async fn by_keys(
        &self,
        hands: &mut Hands,
        rows: Vec<Mapped>,
        tally: &mut Tally,
    ) -> Result<Vec<Mapped>> {
        let asked: Vec<&Mapped> = rows.iter().collect();
        let keys = self.target_keys(hands.session.as_mut(), &asked).await?;
        let found = self.find(hands, keys.iter().flatten()).await?;
        let mut differing = Vec::new();
        for (mapped, key) in rows.into_iter().zip(keys) {
            match key.and_then(|key| found.get(&self.side.name_of_key(&key))) {
                Some(row) => self.compare(mapped, row, tally, &mut differing),
                None => differing.push(mapped),
            }
        }
        Ok(differing)
    }

    /// Rows of the target by what they are called.
    pub(super) async fn find<'k>(
        &self,
        hands: &mut Hands,
        keys: impl Iterator<Item = &'k Key>,
    ) -> Result<HashMap<Name, Row>> {
        let keys: Vec<Key> = keys.cloned().collect();
        let rows = self.side.rows_of(hands.session.as_mut(), &keys).await?;
        Ok(rows.into_iter().map(|row| (self.side.name(&row), row)).collect())
    }

    /// The target's key of each row: what is written into it, or what the ledger says.
    pub(super) async fn target_keys(
        &self,
        session: &mut dyn crate::db::Session,
        rows: &[&Mapped],
    ) -> Result<Vec<Option<Key>>> {
        let dialect = session.dialect();
        if let Some(cells) = &self.terms.key_cells {
            let part =
                |row: &Row, at: &usize| row.get(*at).and_then(|value| dialect.key_part(value));
            let key = |row: &&Mapped| match &row.outcome {
                Outcome::Cells(values) => {
                    cells.iter().map(|at| part(values, at)).collect::<Option<Vec<_>>>().map(Key)
                }
                _ => row.key.clone().filter(|_| self.terms.aligned),
            };
            return Ok(rows.iter().map(key).collect());
        }
        if self.terms.aligned {
            return Ok(rows.iter().map(|row| row.key.clone()).collect());
        }
        let asked: Vec<Key> = rows.iter().filter_map(|row| row.key.clone()).collect();
        let shared = &self.shared;
        let moved = shared.ledger.moved(session, &shared.job.step, &asked).await?;
        let moved: HashMap<Key, Key> = moved.into_iter().collect();
        Ok(rows.iter().map(|row| moved.get(row.key.as_ref()?).cloned()).collect())
    }

    /// What the target's row is called.
    fn name(&self, row: &Mapped) -> Option<Name> {
        match (&row.outcome, &self.terms.key_cells) {
            (Outcome::Cells(values), Some(cells)) => {
                let null = &Value::Null;
                let parts = cells.iter().map(|at| values.get(*at).unwrap_or(null));
                Some(self.side.name_of(parts))
            }
            _ => row.key.as_ref().map(|key| self.side.name_of_key(key)),
        }
    }

    /// Counts an equal row; gives any other back.
    fn compare(&self, mapped: Mapped, found: &Row, tally: &mut Tally, differing: &mut Vec<Mapped>) {
        if self.equal(&mapped, found) {
            tally.matched += 1;
            tally.equal += 1;
        } else {
            differing.push(mapped);
        }
    }

    fn equal(&self, mapped: &Mapped, found: &Row) -> bool {
        let Outcome::Cells(cells) = &mapped.outcome else { return false };
        let flavor = self.shared.job.mapping.flavor;
        let columns = self.terms.compared.iter().zip(&self.side.columns).zip(found);
        let alike = columns.into_iter().all(|((at, column), value)| {
            cells.get(*at).is_some_and(|cell| same(cell, value, &column.ty, flavor))
        });
        alike
            && self.rebuild.as_ref().is_none_or(|rebuild| {
                rebuild.differences(&mapped.row, &self.side.columns, found).is_empty()
            })
    }
}

/// What the engine reads of a chunk.
pub(super) fn as_chunk(chunk: &Verified) -> Chunk {
    Chunk {
        number: chunk.number,
        kind: chunk.kind,
        range: chunk.range.clone(),
        pos: chunk.pos.clone(),
        seq: 0,
        fence: 0,
    }
}

/// A rule that ends the step ends its comparison too.
pub(super) fn stopped(mapped: &Mapped, reason: &str) -> Error {
    let key = mapped.key.as_ref().map(Key::to_string).unwrap_or_default();
    Error::stop(reason).at_key(&key)
}
