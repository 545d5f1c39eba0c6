//! Marks of `verify`: which chunks of which steps have been compared, and what was found. Each
//! write is guarded by the epoch, so that an interrupted verify goes on where it stood, and one
//! that was taken over says nothing more.

use super::chunks::{Checkpoint, Chunk, ChunkKind};
use super::{Ledger, number, tables, text};
use crate::db::{Image, Session};
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::sql::Statement;
use crate::value::Value;

/// The number under which a step's own figures stand, beside its chunks.
const STEP: i64 = -1;

/// The chunk whose batches are rows that `verify --repair` copied again. The figures of the copy
/// are without them.
pub const REPAIRS: i64 = 1 << 40;

/// A chunk of a verify.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Its number within the step.
    pub number: i64,
    /// How it is read.
    pub kind: ChunkKind,
    /// Source keys that it covers.
    pub range: KeyRange,
    /// Rows up to this key are compared.
    pub pos: Option<Key>,
    /// All of it is.
    pub done: bool,
    /// What was found so far, as JSON.
    pub found: String,
}

impl Ledger {
    /// Begins a verify, or goes on with one of the same options that did not come to its end;
    /// whether it goes on.
    ///
    /// # Errors
    /// Held: another process has the plan.
    pub async fn begin_verify(&self, session: &mut dyn Session, options: &str) -> Result<bool> {
        for table in ["verifications", "verified"] {
            tables::add(session, table).await?;
        }
        session.begin().await?;
        self.guard(session).await?;
        let ask = Statement::new(format!(
            "SELECT number, state, options FROM {} WHERE run = $1 ORDER BY number DESC LIMIT 1",
            self.table("verifications")
        ))
        .bind(self.run.as_str());
        let rows = session.rows(&ask).await?;
        let newest = rows.first();
        let goes_on =
            newest.is_some_and(|row| text(&row[1]) == "running" && text(&row[2]) == options);
        if !goes_on {
            let delete =
                Statement::new(format!("DELETE FROM {} WHERE run = $1", self.table("verified")))
                    .bind(self.run.as_str());
            session.execute(&delete).await?;
            let insert = Statement::new(format!(
                "INSERT INTO {} (run, number, state, options, started_at) \
                 VALUES ($1, $2, 'running', $3, {})",
                self.table("verifications"),
                self.dialect.now()
            ))
            .bind(self.run.as_str())
            .bind(newest.map_or(1, |row| number(&row[0]) + 1))
            .bind(options);
            session.execute(&insert).await?;
        }
        session.commit().await?;
        Ok(goes_on)
    }

    /// Writes down how the verify ended: done or differs.
    pub async fn end_verify(&self, session: &mut dyn Session, state: &str) -> Result<()> {
        session.begin().await?;
        self.guard(session).await?;
        let update = Statement::new(format!(
            "UPDATE {} SET state = $1, finished_at = {} WHERE run = $2 AND state = 'running'",
            self.table("verifications"),
            self.dialect.now()
        ))
        .bind(state)
        .bind(self.run.as_str());
        session.execute(&update).await?;
        session.commit().await
    }

    /// The chunks of a step, as they were last marked.
    pub async fn verified(&self, session: &mut dyn Session, step: &str) -> Result<Vec<Verified>> {
        let ask = Statement::new(format!(
            "SELECT chunk, kind, lo, hi, pos, state, found FROM {} \
             WHERE run = $1 AND step = $2 AND chunk >= 0 ORDER BY chunk",
            self.table("verified")
        ))
        .bind(self.run.as_str())
        .bind(step);
        let key = |value: &Value| value.to_text().map(|text| Key::from_ledger(&text)).transpose();
        let mut out = Vec::new();
        for row in session.rows(&ask).await? {
            out.push(Verified {
                number: number(&row[0]),
                kind: ChunkKind::named(&text(&row[1]))?,
                range: KeyRange { after: key(&row[2])?, upto: key(&row[3])? },
                pos: key(&row[4])?,
                done: text(&row[5]) == "done",
                found: text(&row[6]),
            });
        }
        Ok(out)
    }

    /// The figures of a step whose rows are all compared, as JSON.
    pub async fn verified_step(
        &self,
        session: &mut dyn Session,
        step: &str,
    ) -> Result<Option<String>> {
        let ask = Statement::new(format!(
            "SELECT found FROM {} WHERE run = $1 AND step = $2 AND chunk = {STEP}",
            self.table("verified")
        ))
        .bind(self.run.as_str())
        .bind(step);
        Ok(session.rows(&ask).await?.first().map(|row| text(&row[0])))
    }

    /// Stores the chunks of a step before the first of them is compared.
    pub async fn store_verified(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunks: &[Verified],
    ) -> Result<()> {
        session.begin().await?;
        self.guard(session).await?;
        for chunk in chunks {
            self.insert_verified(session, step, chunk).await?;
        }
        session.commit().await
    }

    /// Marks a chunk as it is now.
    ///
    /// # Errors
    /// Held: another process has the plan.
    pub async fn mark_verified(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Verified,
    ) -> Result<()> {
        session.begin().await?;
        self.guard(session).await?;
        let update = Statement::new(format!(
            "UPDATE {} SET pos = $1, state = $2, found = $3 \
             WHERE run = $4 AND step = $5 AND chunk = $6",
            self.table("verified")
        ))
        .bind(chunk.pos.as_ref().map(Key::to_ledger))
        .bind(if chunk.done { "done" } else { "open" })
        .bind(chunk.found.as_str())
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number);
        session.execute(&update).await?;
        session.commit().await
    }

    /// Writes down the figures of a step whose rows are all compared.
    pub async fn finish_verified(
        &self,
        session: &mut dyn Session,
        step: &str,
        figures: &str,
    ) -> Result<()> {
        let own = Verified {
            number: STEP,
            kind: ChunkKind::Whole,
            range: KeyRange::default(),
            pos: None,
            done: true,
            found: figures.to_owned(),
        };
        self.store_verified(session, step, &[own]).await
    }

    async fn insert_verified(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Verified,
    ) -> Result<()> {
        let insert = Statement::new(format!(
            "INSERT INTO {} (run, step, chunk, kind, lo, hi, pos, state, found) \
             VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8)",
            self.table("verified")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number)
        .bind(chunk.kind.name())
        .bind(chunk.range.after.as_ref().map(Key::to_ledger))
        .bind(chunk.range.upto.as_ref().map(Key::to_ledger))
        .bind(if chunk.done { "done" } else { "open" })
        .bind(chunk.found.as_str());
        session.execute(&insert).await.map(|_| ())
    }

    /// Writes down rows that were copied again: a batch of a chunk of its own, which rollback
    /// takes back before the others; inside the repair's transaction.
    pub async fn remember_repair(
        &self,
        session: &mut dyn Session,
        step: &str,
        batch: &Checkpoint,
        images: &[Image],
    ) -> Result<()> {
        let ask = Statement::new(format!(
            "SELECT coalesce(max(seq), -1) + 1 FROM {} WHERE run = $1 AND step = $2 AND chunk = $3",
            self.table("batches")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(REPAIRS);
        let seq = number(&crate::db::scalar(session, &ask).await?);
        let chunk = Chunk {
            number: REPAIRS,
            kind: ChunkKind::Range,
            range: KeyRange::default(),
            pos: None,
            seq,
            fence: 0,
        };
        self.remember_images(session, step, &chunk, images).await?;
        self.remember_batch(session, step, &chunk, batch).await
    }

    /// The highest key of a step's cut, and whether rows with a NULL in their key are in it.
    pub async fn cut_of(
        &self,
        session: &mut dyn Session,
        step: &str,
    ) -> Result<(Option<Key>, bool)> {
        let ask = Statement::new(format!(
            "SELECT kind, hi FROM {} WHERE run = $1 AND step = $2 ORDER BY chunk",
            self.table("chunks")
        ))
        .bind(self.run.as_str())
        .bind(step);
        let (mut highest, mut nulls) = (None, false);
        for row in session.rows(&ask).await? {
            match (ChunkKind::named(&text(&row[0]))?, row[1].to_text()) {
                (ChunkKind::Range, Some(key)) => highest = Some(Key::from_ledger(&key)?),
                (ChunkKind::Nulls, _) => nulls = true,
                _ => {}
            }
        }
        Ok((highest, nulls))
    }

    /// Those of the target's keys that the step has written, as the ledger remembers them.
    pub async fn moved_among(
        &self,
        session: &mut dyn Session,
        step: &str,
        keys: &[Key],
    ) -> Result<Vec<Key>> {
        self.keys_among(session, ("moved", "target_key"), step, keys).await
    }

    /// Those of the keys that stand in the step's rejects.
    pub async fn rejected_among(
        &self,
        session: &mut dyn Session,
        step: &str,
        keys: &[Key],
    ) -> Result<Vec<Key>> {
        self.keys_among(session, ("rejects", "row_key"), step, keys).await
    }

    async fn keys_among(
        &self,
        session: &mut dyn Session,
        (table, column): (&str, &str),
        step: &str,
        keys: &[Key],
    ) -> Result<Vec<Key>> {
        let mut out = Vec::new();
        for part in keys.chunks(500) {
            let places: Vec<String> = (0..part.len()).map(|at| format!("${}", at + 3)).collect();
            let mut ask = Statement::new(format!(
                "SELECT {column} FROM {} WHERE run = $1 AND step = $2 AND {column} IN ({})",
                self.table(table),
                places.join(", ")
            ))
            .bind(self.run.as_str())
            .bind(step);
            for key in part {
                ask = ask.bind(key.to_ledger());
            }
            for row in session.rows(&ask).await? {
                out.push(Key::from_ledger(&text(&row[0]))?);
            }
        }
        Ok(out)
    }
}
