//! Every copied row's content, the source's against the target's. A chunk is compared batch by
//! batch; rows that don't look equal are suspects, by their keys, and are read again on both
//! sides before anybody hears of them: the application may write meanwhile.

mod canonical;
mod confirm;
mod documents;
pub mod extra;
pub mod found;
mod joined;
pub mod rebuild;
mod repair;
mod side;
mod stream;
mod sums;
pub mod terms;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::found::Tally;
use self::rebuild::Rebuild;
use self::terms::{How, Terms};
use crate::db::{Access, Session};
use crate::engine::Shared;
use crate::engine::retry::interrupted;
use crate::engine::route::decode::Decode;
use crate::error::{Class, Error, Kind, Result};
use crate::event::What;
use crate::key::Key;
use crate::ledger::verified::Verified;
use crate::sql::Column;
use crate::throttle::Worked;

pub use self::side::Side;

/// Between two marks of a chunk in the ledger.
const MARK_EVERY: Duration = Duration::from_secs(2);

/// Rows of a page of the source: both sides of it are in memory, as values.
const PAGE_ROWS: u32 = 2_000;

/// Suspects of a chunk that wait for their second look; more are looked at at once.
const MOST_SUSPECTS: usize = 10_000;

/// One step's comparison; its workers share it.
pub struct Comparison {
    /// The step, bound, and how its source is read.
    pub shared: Arc<Shared>,
    /// What is compared, and how.
    pub terms: Terms,
    /// How the target's rows are read.
    pub side: Side,
    /// How often a row that differs is read again.
    pub recheck: u32,
    /// Rows that are missing or differ are copied again.
    pub repair: bool,
    /// Source rows are made again from the target's and compared too.
    pub rebuild: Option<Rebuild>,
    /// The step has rejects.
    pub has_rejects: bool,
}

/// What a worker works with.
struct Hands {
    /// The target.
    session: Box<dyn Session>,
    /// Reads a chunk of the source.
    reader: Decode,
    /// Maps single rows.
    judge: Decode,
    /// The source, for single rows; opened when the first is asked for.
    source: Option<Box<dyn Session>>,
    worked: Worked,
    marked: Instant,
}

impl Comparison {
    /// Compares the chunks that are not done, on so many workers; what is found stands in the
    /// chunks' marks, and here.
    ///
    /// # Errors
    /// Any database's; interrupted, when the command was asked to stop.
    pub async fn chunks(self: &Arc<Self>, chunks: Vec<Verified>, workers: u32) -> Result<Tally> {
        let mut all = Tally::default();
        let mut open = VecDeque::new();
        for chunk in chunks {
            match chunk.done {
                true => all.absorb(Tally::from_ledger(&chunk.found)?),
                false => open.push_back(chunk),
            }
        }
        let count = u32::try_from(open.len()).unwrap_or(u32::MAX).clamp(1, workers.max(1));
        let open = Arc::new(Mutex::new(open));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (comparison, open) = (Arc::clone(self), Arc::clone(&open));
            tasks.spawn(async move { comparison.work(&open).await });
        }
        let mut first: Option<Error> = None;
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|panic| {
                Err(Error::stop(format!("a worker ended without an answer: {panic}")))
            });
            match ended {
                Ok(tally) => all.absorb(tally),
                Err(error) => {
                    self.shared.stop.cancel();
                    let quiet = |error: &Error| matches!(error.kind, Kind::Interrupted(_));
                    if first.as_ref().is_none_or(quiet) {
                        first = Some(error);
                    }
                }
            }
        }
        first.map_or(Ok(all), Err)
    }

    /// Takes chunks until none is left.
    async fn work(&self, open: &Mutex<VecDeque<Verified>>) -> Result<Tally> {
        let mut hands = self.hands().await?;
        let mut all = Tally::default();
        loop {
            let next = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(mut chunk) = next else { return Ok(all) };
            all.absorb(self.chunk(&mut hands, &mut chunk).await?);
        }
    }

    /// The target's columns that are compared.
    fn columns(&self) -> &[Column] {
        let compared = self.terms.compared.len().min(self.side.columns.len());
        &self.side.columns[..compared]
    }

    async fn hands(&self) -> Result<Hands> {
        let shared = &self.shared;
        let label = format!("{}/{}/verify", shared.ledger.plan, shared.job.step);
        Ok(Hands {
            session: shared.target.session(Access::Write, &label).await?,
            reader: Decode::new(Arc::clone(shared)).pages_of(PAGE_ROWS),
            judge: Decode::new(Arc::clone(shared)),
            source: None,
            worked: Worked::default(),
            marked: Instant::now(),
        })
    }

    async fn chunk(&self, hands: &mut Hands, chunk: &mut Verified) -> Result<Tally> {
        let begun = Instant::now();
        let mut tally = Tally::from_ledger(&chunk.found)?;
        let before = tally.seconds;
        match &self.terms.how {
            How::Joined(list) => match self.join_chunk(hands, chunk, list, &mut tally).await {
                // A value that the rules refuse came to the source: row by row, it is one row.
                Err(error) if error.class == Class::Split && !hands.session.broken() => {
                    self.stream_chunk(hands, chunk, &mut tally).await?;
                }
                joined => joined?,
            },
            How::Sums => self.sum_chunk(hands, chunk, &mut tally).await?,
            How::Ranges | How::Keys => self.stream_chunk(hands, chunk, &mut tally).await?,
        }
        tally.seconds = before + begun.elapsed().as_secs_f64();
        chunk.done = true;
        self.mark(hands, chunk, &tally).await?;
        crate::fail::point("chunk_verified");
        Ok(tally)
    }

    /// Writes down where the chunk stands.
    async fn mark(&self, hands: &mut Hands, chunk: &mut Verified, tally: &Tally) -> Result<()> {
        chunk.found = tally.to_ledger()?;
        let shared = &self.shared;
        shared.ledger.mark_verified(hands.session.as_mut(), &shared.job.step, chunk).await?;
        hands.marked = Instant::now();
        Ok(())
    }

    /// What is due after a batch up to this key.
    async fn after_batch(
        &self,
        hands: &mut Hands,
        chunk: &mut Verified,
        upto: Option<Key>,
        rows: u64,
        tally: &mut Tally,
    ) -> Result<()> {
        if tally.suspects.len() > MOST_SUSPECTS {
            self.look_again(hands, tally).await?;
        }
        self.shared.emitter.emit(What::RowsCompared {
            step: self.shared.job.step.clone(),
            rows,
            suspects: tally.suspects.len() as u64,
        });
        chunk.pos = upto.or(chunk.pos.take());
        if hands.marked.elapsed() >= MARK_EVERY && chunk.pos.is_some() {
            self.mark(hands, chunk, tally).await?;
            crate::fail::point("verify_marked");
        }
        Ok(())
    }

    /// Waits until so many rows may be read.
    async fn admit(&self, worked: &mut Worked, rows: u64, bytes: u64) -> Result<()> {
        let shared = &self.shared;
        if shared.stop.is_cancelled() {
            return Err(interrupted());
        }
        tokio::select! {
            _ = shared.throttle.admit(worked, &shared.emitter, &shared.job.step, rows, bytes) => Ok(()),
            () = shared.stop.cancelled() => Err(interrupted()),
        }
    }

    /// Reads the suspects of all chunks again, until they are equal or have been read often
    /// enough; what then differs is counted and listed.
    ///
    /// # Errors
    /// Any database's; interrupted.
    pub async fn settle(&self, tally: &mut Tally) -> Result<()> {
        if tally.suspects.is_empty() {
            return Ok(());
        }
        let mut hands = self.hands().await?;
        self.look_again(&mut hands, tally).await
    }
}
