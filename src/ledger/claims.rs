//! Who works on which chunk: claims, and the way back after trouble.

use super::chunks::{Chunk, ChunkKind};
use super::protocol::{self, Beat, Next, OpenChunk};
use super::{Ledger, number, text};
use crate::db::Session;
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::sql::Statement;
use crate::value::{Row, Value};

/// The answer to a claim.
#[derive(Debug)]
pub enum Claimed {
    /// This worker's chunk now.
    Chunk(Chunk),
    /// Other processes hold what is left.
    Wait,
    /// Nothing is left for this process.
    Done,
}

impl Ledger {
    /// Claims a chunk that no live worker of this epoch has, for a worker that has none.
    pub async fn claim(
        &self,
        session: &mut dyn Session,
        step: &str,
        worker: i64,
    ) -> Result<Claimed> {
        loop {
            session.begin().await?;
            self.guard(session).await?;
            let (rows, open) = self.open_chunks(session, step).await?;
            let at = match protocol::next_chunk(&open, self.epoch, self.runner, worker) {
                Next::Take(at) => at,
                other => {
                    session.commit().await?;
                    return Ok(if other == Next::Wait { Claimed::Wait } else { Claimed::Done });
                }
            };
            let chunk = chunk_of(&rows[at])?;
            if open[at].owner != self.runner && open[at].beat.is_some_and(Beat::is_stale) {
                // A process that stands still in mid-batch would hold the chunk's row for ever.
                session.end_sessions_of(&open[at].owner).await?;
            }
            let take = Statement::new(format!(
                "UPDATE {} SET owner_epoch = $1, owner = $2, worker = $3, fence = fence + 1 \
                 WHERE run = $4 AND step = $5 AND chunk = $6 AND fence = $7 AND state = 'open'",
                self.table("chunks")
            ))
            .bind(self.epoch)
            .bind(self.runner)
            .bind(worker)
            .bind(self.run.as_str())
            .bind(step)
            .bind(chunk.number)
            .bind(chunk.fence);
            let taken = session.execute(&take).await? == 1;
            // The old owner may have committed a batch before it let go of the row.
            let found = self.find_chunk(session, step, chunk.number).await?;
            session.commit().await?;
            if let (true, Some(found)) = (taken, found) {
                return Ok(Claimed::Chunk(found));
            }
        }
    }

    /// Open chunks of the step, as rows and as the choice among them sees them.
    async fn open_chunks(
        &self,
        session: &mut dyn Session,
        step: &str,
    ) -> Result<(Vec<Row>, Vec<OpenChunk>)> {
        let find = Statement::new(format!(
            "SELECT c.chunk, c.kind, c.lo, c.hi, c.pos, c.seq, c.fence, c.owner_epoch, c.owner, \
             c.worker, {} - r.beat_at, r.patience \
             FROM {} c LEFT JOIN {} r ON r.plan = $1 AND r.id = c.owner \
             WHERE c.run = $2 AND c.step = $3 AND c.state = 'open' ORDER BY c.chunk",
            self.dialect.now_millis(),
            self.table("chunks"),
            self.table("runners"),
        ))
        .bind(self.plan.as_str())
        .bind(self.run.as_str())
        .bind(step);
        let rows = session.rows(&find).await?;
        let open = rows.iter().map(|row| OpenChunk {
            epoch: number(&row[7]),
            owner: text(&row[8]),
            worker: number(&row[9]),
            beat: super::lease::beat_of(&row[10], &row[11]),
        });
        let open = open.collect();
        Ok((rows, open))
    }

    async fn find_chunk(
        &self,
        session: &mut dyn Session,
        step: &str,
        number: i64,
    ) -> Result<Option<Chunk>> {
        let ask = Statement::new(format!(
            "SELECT chunk, kind, lo, hi, pos, seq, fence FROM {} \
             WHERE run = $1 AND step = $2 AND chunk = $3 AND state = 'open'{}",
            self.table("chunks"),
            self.dialect.for_update()
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(number);
        session.rows(&ask).await?.first().map(chunk_of).transpose()
    }

    /// Reads a chunk again after trouble; waits for a transaction that still holds it. `None`:
    /// it is done, or another worker's.
    pub async fn reread(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
    ) -> Result<Option<Chunk>> {
        session.begin().await?;
        self.guard(session).await?;
        let found = self.find_chunk(session, step, chunk.number).await?;
        session.commit().await?;
        Ok(found.filter(|found| found.fence == chunk.fence))
    }
}

fn key_of(value: &Value) -> Result<Option<Key>> {
    value.to_text().map(|text| Key::from_ledger(&text)).transpose()
}

fn chunk_of(row: &Row) -> Result<Chunk> {
    let kind = ChunkKind::named(&text(&row[1]))?;
    Ok(Chunk {
        number: number(&row[0]),
        kind,
        range: KeyRange { after: key_of(&row[2])?, upto: key_of(&row[3])? },
        pos: key_of(&row[4])?,
        seq: number(&row[5]),
        fence: number(&row[6]),
    })
}
