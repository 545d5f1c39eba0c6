//! Rows on their way out of a session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use super::Session;
use crate::error::{Error, Result};
use crate::mapping::wire::Cell;
use crate::sql::Kind;
use crate::value::Row;

/// Takes rows as a session reads them. The cells are borrowed from the driver, so that a sink
/// that needs no copy makes none.
#[async_trait]
pub trait RowSink: Send {
    /// Takes one row, of so many bytes as it came. `true`: [`RowSink::hand_on`] is due before
    /// the next row.
    fn add(&mut self, row: &[Cell<'_>], bytes: u64) -> Result<bool>;

    /// Hands on what has come together, and waits while whoever takes it is behind. `false`:
    /// nobody wants more.
    async fn hand_on(&mut self) -> bool;
}

/// Rows that are encoded for a target, in blocks. Blocks that were sent are filled again: memory
/// that is freed and taken anew by several threads would grow.
#[derive(Debug, Default)]
pub struct Blocks {
    /// With each block, the room that it takes until it is sent.
    waiting: VecDeque<(Block, OwnedSemaphorePermit)>,
    sent: Option<(Block, OwnedSemaphorePermit)>,
    spare: Spare,
}

/// Rows that are encoded for a target.
#[derive(Debug, Default)]
pub struct Block {
    /// The rows.
    pub data: Vec<u8>,
    /// SQLite: their digests, if they could be known before the rows are stored.
    pub digests: Option<Vec<u8>>,
}

/// Bytes of a block that is worth keeping.
const SPARE_BYTES: usize = 1024 * 1024;

/// Blocks to be filled again.
pub type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

impl Blocks {
    /// No blocks; what is sent goes to `spare`.
    pub fn new(spare: Spare) -> Blocks {
        Blocks { spare, ..Blocks::default() }
    }

    /// Adds a block.
    pub fn push(&mut self, block: Block, room: OwnedSemaphorePermit) {
        self.waiting.push_back((block, room));
    }

    /// The next block to send; the one before it is let go.
    pub fn pop(&mut self) -> Option<&Block> {
        let next = self.waiting.pop_front();
        if let (Some((mut sent, _)), Ok(mut spare)) = (self.sent.take(), self.spare.lock()) {
            sent.data.clear();
            // What a wide row needed would stay for good.
            if sent.data.capacity() <= SPARE_BYTES {
                spare.push(sent.data);
            }
        }
        self.sent = next;
        self.sent.as_ref().map(|(block, _)| block)
    }
}

/// Rows read, with the bytes of their values.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Bytes of the values as they came.
    pub bytes: u64,
}

/// Gathers all rows.
struct Gather<'a> {
    kinds: &'a [Kind],
    read: ReadRows,
}

#[async_trait]
impl RowSink for Gather<'_> {
    fn add(&mut self, row: &[Cell<'_>], bytes: u64) -> Result<bool> {
        self.read.rows.push(to_values(row, self.kinds)?);
        self.read.bytes += bytes;
        Ok(false)
    }

    async fn hand_on(&mut self) -> bool {
        true
    }
}

/// Reads all rows of a query whose answer is small.
pub async fn collect(session: &mut dyn Session, select: &str, kinds: &[Kind]) -> Result<ReadRows> {
    let mut gather = Gather { kinds, read: ReadRows::default() };
    session.read(select, kinds, &mut gather).await?;
    Ok(gather.read)
}

/// The row's values.
///
/// # Errors
/// The server sent something else than the kinds' binary forms.
pub fn to_values(row: &[Cell<'_>], kinds: &[Kind]) -> Result<Row> {
    row.iter()
        .zip(kinds)
        .map(|(cell, kind)| {
            cell.value(kind).map_err(|_| {
                Error::stop(format!("the server sent something else than the form of {kind:?}"))
            })
        })
        .collect()
}
