//! Chunks: planned, guarded, checkpointed. The compare-and-set in
//! [`Ledger::checkpoint`] is what makes every batch happen exactly once.

use super::protocol::{self, Believed, Found, Verdict};
use super::{Ledger, number, text, unsigned};
use crate::db::Session;
use crate::error::{Class, Error, Result};
use crate::key::{Key, KeyRange};
use crate::sql::{Bind, Statement};

/// How a chunk is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// A range of keys, many batches.
    Range,
    /// Rows whose key has a NULL: one batch.
    Nulls,
    /// A table without a usable key: one batch, one transaction.
    Whole,
}

impl ChunkKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            ChunkKind::Range => "range",
            ChunkKind::Nulls => "nulls",
            ChunkKind::Whole => "whole",
        }
    }

    pub(super) fn named(name: &str) -> Result<ChunkKind> {
        match name {
            "range" => Ok(ChunkKind::Range),
            "nulls" => Ok(ChunkKind::Nulls),
            "whole" => Ok(ChunkKind::Whole),
            _ => Err(Error::stop("the ledger holds a chunk of an unknown kind")),
        }
    }
}

/// One chunk in a worker's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Its number within the step.
    pub number: i64,
    /// How it is read.
    pub kind: ChunkKind,
    /// What it covers.
    pub range: KeyRange,
    /// The last key that is committed; `None`: nothing yet.
    pub pos: Option<Key>,
    /// Batches committed.
    pub seq: i64,
    /// Grows at each claim: what an earlier owner still holds is void.
    pub fence: i64,
}

impl Chunk {
    /// What is left to read: after the checkpoint, up to the end.
    pub fn rest(&self) -> KeyRange {
        KeyRange {
            after: self.pos.clone().or_else(|| self.range.after.clone()),
            upto: self.range.upto.clone(),
        }
    }
}

/// What a batch's transaction writes into the ledger.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// The last key that the batch covers; `None`: the chunk's end.
    pub upto: Option<Key>,
    /// Rows read.
    pub read: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows that were there and were updated.
    pub updated: u64,
    /// Rows left alone.
    pub skipped: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Bytes of the values.
    pub bytes: u64,
    /// Digests of the new rows (SQLite).
    pub digests: Vec<u8>,
    /// Seconds since begin.
    pub seconds: f64,
    /// What the batch's rows show (see [`Session::row_mark`]): the transaction's id, from the
    /// guard, and those of savepoints. PostgreSQL only.
    pub marks: Vec<String>,
    /// Nothing is left in the chunk.
    pub last: bool,
}

impl Ledger {
    /// Stores the chunks of a step; inside a transaction.
    pub async fn store_chunks(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunks: &[(ChunkKind, KeyRange)],
    ) -> Result<()> {
        for (number, (kind, range)) in chunks.iter().enumerate() {
            let insert = Statement::new(format!(
                "INSERT INTO {} (run, step, chunk, kind, lo, hi, pos, seq, state, fence, \
                 owner_epoch, owner, worker) \
                 VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, 'open', 0, 0, '', 0)",
                self.table("chunks")
            ))
            .bind(self.run.as_str())
            .bind(step)
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .bind(kind.name())
            .bind(range.after.as_ref().map(Key::to_ledger))
            .bind(range.upto.as_ref().map(Key::to_ledger));
            session.execute(&insert).await?;
        }
        Ok(())
    }

    /// The guard of a batch: inside its transaction, before anything is written. Keeps lease
    /// and chunk as they are until commit. Gives the transaction's id (empty on SQLite).
    ///
    /// # Errors
    /// As [`Verdict`] says: held, lost, or retry where the ledger stands elsewhere.
    pub async fn guard_chunk(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
    ) -> Result<String> {
        let ask = Statement::new(format!(
            "SELECT (SELECT epoch FROM {} WHERE plan = $1{}), seq, state, pos, {}, fence \
             FROM {} WHERE run = $2 AND step = $3 AND chunk = $4{}",
            self.table("lease"),
            self.dialect.for_share(),
            self.transaction_id(),
            self.table("chunks"),
            self.dialect.for_update()
        ))
        .bind(self.plan.as_str())
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number);
        let rows = session.rows(&ask).await?;
        let row = rows.first().ok_or_else(|| {
            Error::stop(format!("chunk {} of the step is gone from the ledger", chunk.number))
        })?;
        let believed = Believed {
            epoch: self.epoch,
            fence: chunk.fence,
            seq: chunk.seq,
            pos: chunk.pos.as_ref().map(Key::to_ledger),
        };
        let found = Found {
            epoch: number(&row[0]),
            fence: number(&row[5]),
            open: text(&row[2]) == "open",
            seq: number(&row[1]),
            pos: row[3].to_text(),
        };
        match protocol::guard(&believed, &found) {
            Verdict::Pass => {}
            Verdict::PlanLost => return Err(super::lease::plan_lost()),
            Verdict::ChunkLost => {
                return Err(Error::new(
                    Class::Lost,
                    format!("another worker has taken chunk {} over", chunk.number),
                ));
            }
            Verdict::Elsewhere => {
                return Err(Error::new(
                    Class::Retry,
                    format!("the ledger is at batch {}, not {}", found.seq, chunk.seq),
                ));
            }
        }
        Ok(text(&row[4]))
    }

    /// The id that rows written by the open transaction will show.
    fn transaction_id(&self) -> &'static str {
        match self.dialect.flavor() {
            crate::sql::Flavor::Postgres => "pg_current_xact_id()::xid::text",
            crate::sql::Flavor::Sqlite | crate::sql::Flavor::Mysql => "''",
        }
    }

    /// The transaction's id outside a batch.
    pub async fn current_transaction(&self, session: &mut dyn Session) -> Result<String> {
        let ask = Statement::new(format!("SELECT {}", self.transaction_id()));
        Ok(text(&crate::db::scalar(session, &ask).await?))
    }

    /// Moves the cursor and writes the batch down, in the batch's own transaction.
    ///
    /// # Errors
    /// Retry: the compare-and-set changed no row.
    pub async fn checkpoint(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
        batch: &Checkpoint,
    ) -> Result<()> {
        let state = if batch.last { "done" } else { "open" };
        let pos = batch.upto.as_ref().or(chunk.pos.as_ref()).map(Key::to_ledger);
        let advance = Statement::new(format!(
            "UPDATE {} SET pos = $1, seq = seq + 1, state = $2 \
             WHERE run = $3 AND step = $4 AND chunk = $5 AND seq = $6",
            self.table("chunks")
        ))
        .bind(pos.clone())
        .bind(state)
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number)
        .bind(chunk.seq);
        if session.execute(&advance).await? != 1 {
            return Err(Error::new(Class::Retry, "the checkpoint was not where it should be"));
        }
        self.remember_batch(session, step, chunk, batch).await
    }

    /// Writes a batch down; in its own transaction.
    pub(super) async fn remember_batch(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
        batch: &Checkpoint,
    ) -> Result<()> {
        let count = |n: u64| Bind::Int(Some(i64::try_from(n).unwrap_or(i64::MAX)));
        let insert = Statement::new(format!(
            "INSERT INTO {} (run, step, chunk, seq, after_key, last_key, read_rows, inserted, \
             updated, skipped, rejected, bytes, seconds, transaction_id, digests, committed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, {})",
            self.table("batches"),
            self.dialect.now()
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number)
        .bind(chunk.seq)
        .bind(chunk.rest().after.as_ref().map(Key::to_ledger))
        .bind(batch.upto.as_ref().or(chunk.range.upto.as_ref()).map(Key::to_ledger))
        .bind(count(batch.read))
        .bind(count(batch.inserted))
        .bind(count(batch.updated))
        .bind(count(batch.skipped))
        .bind(count(batch.rejected))
        .bind(count(batch.bytes))
        .bind(Bind::Float(batch.seconds))
        .bind(batch.marks.join(","))
        .bind(Bind::Bytes((!batch.digests.is_empty()).then(|| batch.digests.clone())));
        session.execute(&insert).await?;
        Ok(())
    }

    /// Marks a chunk done after an empty read; a guarded write of its own.
    pub async fn finish_chunk(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
    ) -> Result<()> {
        session.begin().await?;
        self.guard_chunk(session, step, chunk).await?;
        let update = Statement::new(format!(
            "UPDATE {} SET state = 'done' WHERE run = $1 AND step = $2 AND chunk = $3 AND seq = $4",
            self.table("chunks")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk.number)
        .bind(chunk.seq);
        session.execute(&update).await?;
        session.commit().await
    }

    /// Done and all chunks of a step.
    pub async fn chunk_counts(&self, session: &mut dyn Session, step: &str) -> Result<(u64, u64)> {
        let ask = Statement::new(format!(
            "SELECT coalesce(sum(CASE WHEN state = 'done' THEN 1 ELSE 0 END), 0), count(*) \
             FROM {} WHERE run = $1 AND step = $2",
            self.table("chunks")
        ))
        .bind(self.run.as_str())
        .bind(step);
        let rows = session.rows(&ask).await?;
        Ok(rows.first().map_or((0, 0), |row| (unsigned(&row[0]), unsigned(&row[1]))))
    }
}
