//! The ways rows move. A route only answers "put the next batch into this open transaction";
//! nothing before or after it knows which one runs.

pub mod decode;
mod lookups;
pub mod pushdown;
pub mod sample;
pub mod stream;
pub mod update;

use async_trait::async_trait;

use crate::db::{Image, Session};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::ledger::chunks::Chunk;
use crate::ledger::rows::RejectedRow;

/// What one write put into the open transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// The last source key covered; `None` for chunks without keys.
    pub upto: Option<Key>,
    /// Rows read.
    pub read: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows left alone.
    pub skipped: u64,
    /// Bytes of the values.
    pub bytes: u64,
    /// Digests of new rows (SQLite).
    pub digests: Vec<u8>,
    /// Rows refused, with the reason.
    pub rejects: Vec<RejectedRow>,
    /// Source key → target key, where the step records them.
    pub moved: Vec<(Key, Key)>,
    /// Before-images of rows updated.
    pub images: Vec<Image>,
    /// Marks of rows that savepoints wrote (see [`Session::row_mark`]).
    pub marks: Vec<String>,
}

impl Batch {
    /// Adds what a further write put into the same transaction.
    pub fn absorb(&mut self, more: Batch) {
        self.upto = more.upto.or(self.upto.take());
        self.read += more.read;
        self.inserted += more.inserted;
        self.skipped += more.skipped;
        self.bytes += more.bytes;
        self.digests.extend(more.digests);
        self.rejects.extend(more.rejects);
        self.moved.extend(more.moved);
        self.images.extend(more.images);
        self.marks.extend(more.marks);
    }
}

/// How much waits to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Rows; 0 means that the chunk has no more.
    pub rows: u64,
    /// Bytes of their values, where known before they are written.
    pub bytes: u64,
}

/// One way for rows to move.
#[async_trait]
pub trait Route: Send {
    /// Starts after the chunk's checkpoint; anything read before is forgotten.
    async fn seek(&mut self, chunk: &Chunk) -> Result<()>;

    /// Makes sure that up to `limit` rows are ready. `session` is the target's, outside a
    /// transaction: reading never holds one open.
    async fn fetch(&mut self, session: &mut dyn Session, limit: u64) -> Result<Waiting>;

    /// Writes at most `limit` of the rows that are ready, inside the open transaction.
    async fn write(&mut self, session: &mut dyn Session, limit: u64) -> Result<Batch>;

    /// The batch that rejects the next row, which alone was refused with `error`.
    fn reject(&mut self, error: &Error) -> Result<Batch>;

    /// Rows pass through the program, one by one: a single one can be rejected.
    fn single_rows(&self) -> bool {
        true
    }

    /// The rows of a write that was rolled back can be written again without another
    /// [`Route::seek`].
    fn keeps_rows(&self) -> bool {
        true
    }

    /// The rows of the last write are committed: they need not be kept for another try.
    fn committed(&mut self);
}
