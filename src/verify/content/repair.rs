//! Rows that are missing or differ are copied again, a few at a time, each time in one guarded
//! transaction with its entry in the ledger, so that rollback takes them back too.

use super::found::{Class, Tally};
use super::{Comparison, Hands};
use crate::db::{Insert, RowUpdate};
use crate::engine::route::decode::Mapped;
use crate::error::{Error, Result};
use crate::event::What;
use crate::ledger::chunks::Checkpoint;
use crate::mapping::Outcome;
use crate::plan::OnConflict;
use crate::value::Row;

impl Comparison {
    /// Copies rows again, and counts them.
    ///
    /// # Errors
    /// Held: another process has the plan. The target's, where it refuses a row.
    pub(super) async fn repair(
        &self,
        hands: &mut Hands,
        rows: Vec<(Class, Mapped)>,
        tally: &mut Tally,
    ) -> Result<()> {
        let job = &self.shared.job;
        let keys = {
            let mapped: Vec<&Mapped> = rows.iter().map(|(_, mapped)| mapped).collect();
            self.target_keys(hands.session.as_mut(), &mapped).await?
        };
        // What a later step has written into the row stays.
        let found = self.find(hands, keys.iter().flatten()).await?;
        let mut missing: Vec<Row> = Vec::new();
        let mut updates = Vec::new();
        let mut left = 0;
        for ((class, mapped), key) in rows.into_iter().zip(keys) {
            let Outcome::Cells(cells) = mapped.outcome else {
                left += 1;
                continue;
            };
            match (class, key) {
                (Class::Missing, _) if self.terms.key_cells.is_some() => missing.push(cells),
                (Class::Different, Some(key)) => {
                    match found.get(&self.side.name_of_key(&key)) {
                        Some(row) => updates.push(RowUpdate { key, cells: self.kept(cells, row) }),
                        // Gone in this moment: the next verify says so.
                        None => left += 1,
                    }
                }
                _ => left += 1,
            }
        }
        if left > 0 {
            self.shared.emitter.emit(What::Warning {
                step: Some(job.step.clone()),
                message: format!(
                    "{left} rows can't be copied again: the target makes their keys, or a rule \
                     refuses them"
                ),
            });
        }
        if missing.is_empty() && updates.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write(hands, &missing, &updates).await {
            hands.session.rollback().await;
            return Err(error);
        }
        tally.restored += missing.len() as u64;
        tally.repaired += (missing.len() + updates.len()) as u64;
        Ok(())
    }

    /// The row's values, with the target's own in columns that are not compared.
    fn kept(&self, mut cells: Row, found: &Row) -> Row {
        let columns = &self.shared.job.mapping.columns;
        for (at, cell) in cells.iter_mut().enumerate() {
            let name = columns.get(at).map(|column| &column.name);
            let held = self.side.columns.iter().position(|column| Some(&column.name) == name);
            if let (false, Some(value)) =
                (self.terms.compared.contains(&at), held.and_then(|at| found.get(at)))
            {
                *cell = value.clone();
            }
        }
        cells
    }

    async fn write(&self, hands: &mut Hands, missing: &[Row], updates: &[RowUpdate]) -> Result<()> {
        let begun = std::time::Instant::now();
        let (job, ledger) = (&self.shared.job, &self.shared.ledger);
        let session = hands.session.as_mut();
        session.begin().await?;
        ledger.guard(session).await?;
        if let Some(switch) = &job.triggers {
            session.script(&switch.off).await?;
        }
        let mut batch = Checkpoint::default();
        if !missing.is_empty() {
            let insert = Insert {
                table: &job.target,
                columns: &job.written,
                key: &job.marks.key,
                conflict: OnConflict::Fail,
                digest: &job.marks.digest,
                want_keys: false,
                rows: missing,
            };
            let done = session.insert(&insert).await?;
            batch.inserted = done.inserted;
            batch.digests = done.digests;
        }
        let images = match updates {
            [] => Vec::new(),
            updates => {
                let (key, digest) = (&job.marks.key, &job.marks.digest);
                session.update(&job.target, key, &job.written, digest, updates).await?
            }
        };
        batch.updated = images.len() as u64;
        batch.read = (missing.len() + updates.len()) as u64;
        batch.skipped = updates.len() as u64 - batch.updated;
        if let Some(switch) = &job.triggers {
            session.script("SET CONSTRAINTS ALL IMMEDIATE").await?;
            session.script(&switch.on).await?;
        }
        batch.marks = vec![ledger.current_transaction(session).await?];
        batch.seconds = begun.elapsed().as_secs_f64();
        if batch.inserted != missing.len() as u64 {
            let table = job.target.name.to_string();
            return Err(Error::swallowed(&table, missing.len() as u64, batch.inserted));
        }
        ledger.remember_repair(session, &job.step, &batch, &images).await?;
        crate::fail::point("repair_before_commit");
        session.commit().await
    }
}
