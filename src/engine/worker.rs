//! The loop that keeps the promise. A worker owns a target connection and a route; everything
//! about a batch happens in `Worker::batch`, and everything about an error in
//! `Worker::recover`, which always ends in "read the cursor from the ledger, seek, go on".

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::choose::Choice;
use super::limit::{BatchLimit, BatchSize};
use super::retry::{Retries, interrupted};
use super::route::decode::Decode;
use super::route::pushdown::Pushdown;
use super::route::stream::Stream;
use super::route::update::UpdateRows;
use super::route::{Batch, Route};
use crate::db::{Access, Session};
use crate::error::{Class, Error, Kind, Result};
use crate::event::What;
use crate::ledger::chunks::{Checkpoint, Chunk, ChunkKind};
use crate::ledger::claims::Claimed;
use crate::throttle::Worked;

/// The wait while other processes hold all that is left of a step.
const CLAIM_AGAIN: Duration = Duration::from_millis(300);

/// Batches that go in pieces after one that was refused.
pub(super) const CAREFUL_BATCHES: u32 = 16;

/// One worker of a step.
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    /// Its number within the process.
    number: i64,
    pub(super) target: Box<dyn Session>,
    pub(super) route: Box<dyn Route>,
    /// The step's own route, while another one takes a piece for it.
    pub(super) aside: Option<Box<dyn Route>>,
    limit: BatchLimit,
    /// The size of the batches that the route reads ahead.
    sized: BatchSize,
    /// The decode route stands in for the step's own until no more rows are refused.
    stands_in: bool,
    /// When the throttle let it go last.
    worked: Worked,
    /// Patience with the batch in hand.
    retries: Retries,
    /// Batches that still go in pieces, since rows were refused not long ago.
    pub(super) careful: u32,
}

/// What became of one turn of the loop.
enum Turn {
    /// Rows and checkpoint are committed.
    Committed,
    /// The chunk has no more rows.
    Empty,
}

impl Worker {
    /// Connects to the target.
    pub async fn new(shared: Arc<Shared>, number: u32) -> Result<Worker> {
        let target = open(&shared).await?;
        let route: Box<dyn Route> = Box::new(Decode::new(Arc::clone(&shared)));
        let limit = BatchLimit::new(shared.size.rows());
        let retries = Retries::new(
            &shared.emitter,
            &shared.stop,
            &shared.job.step,
            shared.job.options.retries,
        );
        Ok(Worker {
            shared,
            number: i64::from(number),
            target,
            route,
            aside: None,
            stands_in: false,
            worked: Worked::default(),
            sized: BatchSize::default(),
            limit,
            retries,
            careful: 0,
        })
    }

    /// Works on chunks until none is left.
    pub async fn work(mut self) -> Result<()> {
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(interrupted());
            }
            let step = self.shared.job.step.clone();
            let ledger = self.shared.ledger.clone();
            match ledger.claim(self.target.as_mut(), &step, self.number).await {
                Ok(Claimed::Chunk(chunk)) => {
                    self.retries.reset();
                    self.chunk(chunk).await.map_err(|error| error.in_step(&step))?;
                }
                // One of those who hold the rest may die.
                Ok(Claimed::Wait) => tokio::select! {
                    () = tokio::time::sleep(CLAIM_AGAIN) => {}
                    () = self.shared.stop.cancelled() => {}
                },
                Ok(Claimed::Done) => return Ok(()),
                Err(error) => self.reconnect(error, None).await?,
            }
        }
    }

    /// The step's own route, from where the chunk stands.
    async fn own_route(&mut self, chunk: &Chunk) -> Result<()> {
        self.stands_in = false;
        self.route = route(&self.shared, chunk);
        self.sized = self.shared.batch_size();
        self.route.seek(chunk).await
    }

    async fn chunk(&mut self, mut chunk: Chunk) -> Result<()> {
        self.own_route(&chunk).await?;
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(interrupted());
            }
            match self.batch(&mut chunk).await {
                Ok(Turn::Committed) => self.retries.reset(),
                Ok(Turn::Empty) => return Ok(()),
                Err(error) => {
                    if !self.recover(error, &mut chunk).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// One batch, from what is read to what is committed.
    async fn batch(&mut self, chunk: &mut Chunk) -> Result<Turn> {
        let shared = Arc::clone(&self.shared);
        let (ledger, step) = (&shared.ledger, shared.job.step.as_str());
        let sized = shared.batch_size();
        let rereads = chunk.kind == ChunkKind::Range && shared.files.is_none();
        if rereads && sized.differs(self.sized) {
            // What is read ahead was cut for other batches; files would be read from their start.
            self.route.seek(chunk).await?;
            self.sized = sized;
        }
        self.limit.set_most(sized.rows);
        let mut limit = self.limit.rows();
        let mut waiting = self.route.fetch(self.target.as_mut(), limit).await?;
        while let Some(fewer) = shared.size.fewer(waiting).filter(|_| self.route.single_rows()) {
            limit = fewer;
            waiting = self.route.fetch(self.target.as_mut(), limit).await?;
        }
        crate::fail::point("fetched");
        if waiting.rows == 0 {
            ledger.finish_chunk(self.target.as_mut(), step, chunk).await?;
            crate::fail::point("chunk_done");
            return Ok(Turn::Empty);
        }
        let waited = tokio::select! {
            waited = shared.throttle.admit(
                &mut self.worked, &shared.emitter, step, waiting.rows, waiting.bytes
            ) => waited,
            () = shared.stop.cancelled() => return Err(interrupted()),
        };
        crate::fail::point("claimed");

        let begun = Instant::now();
        self.begin().await?;
        crate::fail::point("begun");
        let transaction = ledger.guard_chunk(self.target.as_mut(), step, chunk).await?;
        crate::fail::point("guarded");
        let mut batch = match self.careful {
            0 => self.route.write(self.target.as_mut(), limit).await?,
            _ => self.write_in_pieces(chunk, waiting.rows).await?,
        };
        if chunk.kind != ChunkKind::Range {
            self.write_the_rest(&mut batch, limit).await?;
        }
        crate::fail::point("written");
        self.commit(chunk, &batch, transaction, begun).await?;
        self.emit(chunk, &batch, begun, waited);
        shared.throttle.observe(begun.elapsed());
        shared.size.took(batch.read, begun.elapsed());
        self.grow();
        if self.stands_in && self.careful == 0 {
            self.own_route(chunk).await?;
        }
        shared.add_rejects(batch.rejects.len() as u64)?;
        if chunk.kind == ChunkKind::Range { Ok(Turn::Committed) } else { Ok(Turn::Empty) }
    }

    /// Begins a batch's transaction. One that does not wait for the disk is lost as a whole when
    /// the server crashes, its checkpoint with its rows, and is then copied again.
    async fn begin(&mut self) -> Result<()> {
        self.target.begin().await?;
        if !self.shared.job.options.tune.synchronous_commit {
            self.target.script("SET LOCAL synchronous_commit = off").await?;
        }
        match &self.shared.job.triggers {
            Some(switch) => self.target.script(&switch.off).await,
            None => Ok(()),
        }
    }

    /// Chunks without keys are one transaction: page after page into the same one.
    async fn write_the_rest(&mut self, batch: &mut Batch, limit: u64) -> Result<()> {
        self.route.committed();
        while self.route.fetch(self.target.as_mut(), limit).await?.rows > 0 {
            batch.absorb(self.route.write(self.target.as_mut(), limit).await?);
            self.route.committed();
        }
        Ok(())
    }

    /// Ledger entries, the compare-and-set, COMMIT. Rows and cursor become true together.
    async fn commit(
        &mut self,
        chunk: &mut Chunk,
        batch: &Batch,
        transaction: String,
        begun: Instant,
    ) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let (ledger, step) = (&shared.ledger, shared.job.step.as_str());
        ledger.reject(self.target.as_mut(), step, chunk, &batch.rejects).await?;
        if !batch.rejects.is_empty() {
            crate::fail::point("rejects_written");
        }
        ledger.remember_moved(self.target.as_mut(), step, chunk, &batch.moved).await?;
        ledger.remember_images(self.target.as_mut(), step, chunk, &batch.images).await?;
        if self.target.dialect().flavor() == crate::sql::Flavor::Postgres {
            // Deferred constraints speak up here, where the row can still be found.
            self.target.script("SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        if let Some(switch) = &shared.job.triggers {
            self.target.script(&switch.on).await?;
        }
        let checkpoint = Checkpoint {
            upto: batch.upto.clone(),
            read: batch.read,
            inserted: batch.inserted,
            updated: batch.images.len() as u64,
            skipped: batch.skipped,
            rejected: batch.rejects.len() as u64,
            bytes: batch.bytes,
            digests: batch.digests.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            marks: std::iter::once(transaction).chain(batch.marks.clone()).collect(),
            last: chunk.kind != ChunkKind::Range,
        };
        ledger.checkpoint(self.target.as_mut(), step, chunk, &checkpoint).await?;
        crate::fail::point("before_commit");
        self.target.commit().await?;
        crate::fail::point("after_commit");
        chunk.pos = batch.upto.clone().or_else(|| chunk.pos.clone());
        chunk.seq += 1;
        self.route.committed();
        Ok(())
    }

    fn emit(&self, chunk: &Chunk, batch: &Batch, begun: Instant, waited: Duration) {
        let shared = &self.shared;
        let step = shared.job.step.as_str();
        let columns = shared.job.source.key.as_ref().map(|key| key.names()).unwrap_or_default();
        for reject in &batch.rejects {
            shared.emitter.emit(What::RowRejected {
                step: step.to_owned(),
                key: reject.key.to_event(&columns),
                column: reject.column.clone(),
                reason: reject.reason.clone(),
            });
        }
        shared.emitter.emit(What::BatchCommitted {
            step: step.to_owned(),
            chunk: chunk.number,
            batch: chunk.seq,
            rows: batch.read,
            bytes: batch.bytes,
            seconds: begun.elapsed().as_secs_f64(),
            waited_seconds: waited.as_secs_f64(),
        });
        crate::fail::point("emitted");
    }

    fn grow(&mut self) {
        self.careful = self.careful.saturating_sub(1);
        self.limit.committed();
    }

    /// One arm per class. `false`: the chunk is no longer this worker's.
    async fn recover(&mut self, error: Error, chunk: &mut Chunk) -> Result<bool> {
        self.target.rollback().await;
        self.take_back_route();
        match error.class {
            Class::Retry => self.reconnect(error, Some(chunk.number)).await?,
            Class::Split if chunk.kind == ChunkKind::Range => {
                if self.target.broken() {
                    self.target = open(&self.shared).await?;
                }
                return self.split(error, chunk).await;
            }
            Class::Split => {
                return Err(error.hint(
                    "Without a usable key the rows go in one transaction, and a row that the \
                     target refuses can't be set aside. Name a unique key with `key = …`.",
                ));
            }
            Class::Lost if error.kind != Kind::Held => {
                self.shared.emitter.emit(What::Warning {
                    step: Some(self.shared.job.step.clone()),
                    message: error.message,
                });
                return Ok(false);
            }
            Class::Lost | Class::Stop => return Err(error),
        }
        let ledger = self.shared.ledger.clone();
        let step = self.shared.job.step.clone();
        match ledger.reread(self.target.as_mut(), &step, chunk).await? {
            Some(found) => *chunk = found,
            None => return Ok(false),
        }
        self.route.seek(chunk).await?;
        Ok(true)
    }

    /// The data was refused: the batch is done again in pieces. What only COMMIT refuses is
    /// found by smaller batches, down to the one row that is rejected in the transaction that
    /// moves the cursor past it.
    async fn split(&mut self, error: Error, chunk: &mut Chunk) -> Result<bool> {
        if self.careful == 0 {
            self.careful = CAREFUL_BATCHES;
            if !self.route.keeps_rows() {
                self.route = Box::new(Decode::new(Arc::clone(&self.shared)));
                self.route.seek(chunk).await?;
                self.stands_in = true;
            }
            return Ok(true);
        }
        if !self.route.single_rows() {
            // The streaming route finds the row; what it writes is the same.
            self.route = Box::new(Decode::new(Arc::clone(&self.shared)));
        }
        self.route.seek(chunk).await?;
        let waiting = self.route.fetch(self.target.as_mut(), self.limit.rows()).await?.rows;
        if waiting > 1 {
            self.limit.refused(waiting, error.row);
            return Ok(true);
        }
        let error = self.with_column(error).await;
        let begun = Instant::now();
        let shared = Arc::clone(&self.shared);
        self.begin().await?;
        let guard = shared.ledger.guard_chunk(self.target.as_mut(), &shared.job.step, chunk);
        let transaction = guard.await?;
        let batch = self.route.reject(&error)?;
        self.commit(chunk, &batch, transaction, begun).await?;
        self.emit(chunk, &batch, begun, Duration::ZERO);
        self.grow();
        shared.add_rejects(1)?;
        Ok(true)
    }

    /// A new connection after a transient error, with a growing, jittered wait before it.
    async fn reconnect(&mut self, error: Error, chunk: Option<i64>) -> Result<()> {
        let given_up = self.target.number();
        let mut last = error;
        loop {
            self.retries.after(last, chunk).await?;
            last = match open(&self.shared).await {
                Ok(session) => {
                    self.target = session;
                    match self.target.end_session(given_up).await {
                        Ok(()) => return Ok(()),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
        }
    }
}

async fn open(shared: &Shared) -> Result<Box<dyn Session>> {
    let label = format!("{}/{}", shared.ledger.plan, shared.job.step);
    if let Choice::Pushdown(_) = shared.choice
        && let Some(session) = shared.target.joint_session(&shared.source, &label).await?
    {
        return Ok(session);
    }
    shared.target.session(Access::Write, &label).await
}

/// The step's route; chunks that no range of keys describes are always streamed.
fn route(shared: &Arc<Shared>, chunk: &Chunk) -> Box<dyn Route> {
    match &shared.choice {
        Choice::Pushdown(list) if chunk.kind == ChunkKind::Range => {
            Box::new(Pushdown::new(Arc::clone(shared), list.clone()))
        }
        Choice::Stream(program) => Box::new(Stream::new(Arc::clone(shared), Arc::clone(program))),
        Choice::Pushdown(_) | Choice::Decode(_) => Box::new(Decode::new(Arc::clone(shared))),
        Choice::Update => Box::new(UpdateRows::new(Arc::clone(shared))),
    }
}
