//! Rows on their way out of a session.

use async_trait::async_trait;

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
