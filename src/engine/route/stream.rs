//! Rows through the program in the form that the target takes: the reader's task turns each row's
//! bytes into those of the target while the target takes the batch before. What it is not
//! certain about, and what the server refuses, is done again by [`Decode`](super::decode).

use std::sync::Arc;

use async_trait::async_trait;

use super::decode::rejected;
use super::{Batch, Route, Waiting};
use crate::db::rows::{self, Spare};
use crate::db::sqlite::foresight::Foresight;
use crate::db::{Blocks, Inserted, Session};
use crate::engine::Shared;
use crate::engine::read_ahead::{KeyCells, Maker, ReadAhead};
use crate::error::{Class, Error, Result};
use crate::key::Key;
use crate::ledger::chunks::Chunk;
use crate::ledger::rows::RejectedRow;
use crate::mapping::eval::Outcome;
use crate::mapping::program::{Program, Scratch, Written};
use crate::mapping::wire::Cell;
use crate::sql::Flavor;

/// Bytes of a block: small enough that a batch comes together while the rest is read.
const BLOCK_BYTES: usize = 256 * 1024;

/// The route.
pub struct Stream {
    shared: Arc<Shared>,
    program: Arc<Program>,
    ahead: Option<ReadAhead<Block>>,
    /// The batch that waits.
    batch: Option<Encoded>,
    spare: Spare,
}

/// A part of a batch, ready to be sent.
#[derive(Default)]
struct Block {
    encoded: rows::Block,
    rows: u64,
    bytes: u64,
    rejects: Vec<RejectedRow>,
    /// The last block of its batch, and the key up to which the batch goes.
    ends: bool,
    upto: Option<Key>,
}

/// A batch, ready to be sent.
#[derive(Default)]
struct Encoded {
    blocks: Blocks,
    rows: u64,
    bytes: u64,
    rejects: Vec<RejectedRow>,
    upto: Option<Key>,
}

/// Makes blocks of rows.
struct Encoder {
    shared: Arc<Shared>,
    program: Arc<Program>,
    scratch: Scratch,
    block: Block,
    /// Rows and encoded bytes of the batch so far.
    batch_rows: u64,
    batch_bytes: u64,
    /// Bytes of its values as they came.
    batch_values: u64,
    /// Rows of the chunk so far.
    position: usize,
    spare: Spare,
    foresight: Option<Foresight>,
}

impl Encoder {
    fn new(shared: Arc<Shared>, program: Arc<Program>, spare: Spare) -> Encoder {
        let job = &shared.job;
        // What triggers do to a row, nobody foresees.
        let foresight = match shared.target.flavor() {
            Flavor::Sqlite if !job.counts_both => {
                Foresight::new(&job.target, &job.written, &job.marks.digest)
            }
            _ => None,
        };
        Encoder {
            spare,
            foresight,
            shared,
            program,
            scratch: Scratch::default(),
            block: Block::default(),
            batch_rows: 0,
            batch_bytes: 0,
            batch_values: 0,
            position: 0,
        }
    }

    fn batch_is_full(&self) -> bool {
        self.batch_rows >= self.shared.size.rows()
            || self.batch_bytes >= self.shared.room.batch()
            || self.batch_values >= self.shared.size.bytes()
    }
}

impl Maker for Encoder {
    type Page = Block;

    fn add(&mut self, row: &[Cell<'_>], keys: &KeyCells) -> Result<bool> {
        let job = &self.shared.job;
        let bytes: u64 = row.iter().map(Cell::size).sum();
        let encoded = &mut self.block.encoded;
        if encoded.data.capacity() == 0 {
            let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
            encoded.data = spare.unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES * 9 / 8));
            encoded.digests = self.foresight.as_ref().map(|_| Vec::new());
        }
        let start = encoded.data.len();
        match self.program.write(&job.mapping, row, &mut self.scratch, &mut encoded.data) {
            Written::Row => {
                let digest = self.foresight.as_ref();
                match digest.and_then(|foresight| foresight.digest(&encoded.data[start..])) {
                    Some(digest) => encoded.digests.iter_mut().for_each(|all| all.extend(digest)),
                    None => encoded.digests = None,
                }
            }
            Written::Refused(values, Outcome::Reject(reject)) => {
                let key = keys.of(row)?;
                let reject = rejected(&job.mapping, key, self.position, &values, reject);
                self.block.rejects.push(reject);
            }
            Written::Refused(_, Outcome::Stop(reason)) => {
                let key = keys.of(row)?.as_ref().map(Key::to_string).unwrap_or_default();
                return Err(Error::stop(reason).in_step(&job.step).at_key(&key));
            }
            Written::Unknown | Written::Refused(..) => {
                return Err(Error::new(Class::Split, "a row has to be looked at by itself"));
            }
        }
        self.position += 1;
        self.block.rows += 1;
        self.block.bytes += bytes;
        self.batch_rows += 1;
        self.batch_values += bytes;
        self.batch_bytes += (self.block.encoded.data.len() - start) as u64;
        Ok(self.block.encoded.data.len() >= BLOCK_BYTES || self.batch_is_full())
    }

    fn size(&self) -> u64 {
        self.block.encoded.data.len() as u64
    }

    fn take(&mut self, last: Option<Key>, end: bool) -> Option<(Block, bool)> {
        let ends = end || self.batch_is_full();
        if self.batch_rows == 0 {
            return None;
        }
        let mut block = std::mem::take(&mut self.block);
        if ends {
            block.ends = true;
            block.upto = last;
            (self.batch_rows, self.batch_bytes, self.batch_values) = (0, 0, 0);
        }
        Some((block, ends))
    }
}

impl Stream {
    /// A route that reads nothing yet.
    pub fn new(shared: Arc<Shared>, program: Arc<Program>) -> Stream {
        Stream { shared, program, ahead: None, batch: None, spare: Spare::default() }
    }

    /// The next batch, when all of it is there.
    async fn gather(&mut self) -> Result<Option<Encoded>> {
        let Some(ahead) = &mut self.ahead else {
            return Ok(None);
        };
        let blocks = Blocks::new(Arc::clone(&self.spare));
        let mut batch = Encoded { blocks, ..Encoded::default() };
        while let Some((block, room)) = ahead.next().await? {
            batch.rows += block.rows;
            batch.bytes += block.bytes;
            batch.rejects.extend(block.rejects);
            if !block.encoded.data.is_empty() {
                batch.blocks.push(block.encoded, room);
            }
            if block.ends {
                batch.upto = block.upto;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Route for Stream {
    async fn seek(&mut self, chunk: &Chunk) -> Result<()> {
        self.batch = None;
        let maker = Encoder::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.program),
            Arc::clone(&self.spare),
        );
        let job = &self.shared.job;
        let unread = self.program.unread(&job.mapping);
        let rows = job.options.batch_rows;
        self.ahead = Some(ReadAhead::start(Arc::clone(&self.shared), chunk, rows, &unread, maker));
        Ok(())
    }

    async fn fetch(&mut self, _session: &mut dyn Session, _limit: u64) -> Result<Waiting> {
        if self.batch.is_none() {
            self.batch = self.gather().await?;
        }
        let waiting = |batch: &Encoded| Waiting { rows: batch.rows, bytes: batch.bytes };
        Ok(self.batch.as_ref().map(waiting).unwrap_or_default())
    }

    async fn write(&mut self, session: &mut dyn Session, _limit: u64) -> Result<Batch> {
        let Some(encoded) = &mut self.batch else {
            return Ok(Batch::default());
        };
        let job = &self.shared.job;
        let sent = encoded.rows - encoded.rejects.len() as u64;
        let mut written = Inserted::default();
        crate::fail::point("mapped");
        if sent > 0 {
            let blocks = &mut encoded.blocks;
            written =
                session.insert_blocks(&job.target, &job.written, &job.marks.digest, blocks).await?;
        }
        if written.inserted != sent {
            let table = job.target.name.to_string();
            return Err(Error::swallowed(&table, sent, written.inserted));
        }
        Ok(Batch {
            upto: encoded.upto.clone(),
            read: encoded.rows,
            inserted: written.inserted,
            digests: written.digests,
            bytes: encoded.bytes,
            rejects: std::mem::take(&mut encoded.rejects),
            ..Batch::default()
        })
    }

    fn reject(&mut self, error: &Error) -> Result<Batch> {
        // The worker changes to the decode route before it comes to a single row.
        Err(Error::new(Class::Stop, error.message.clone()))
    }

    fn single_rows(&self) -> bool {
        false
    }

    fn keeps_rows(&self) -> bool {
        false
    }

    fn committed(&mut self) {
        self.batch = None;
    }
}
