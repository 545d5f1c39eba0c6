//! A batch in pieces, each under a savepoint: what follows a batch that was refused. One bad row
//! then costs a piece and not a batch, and is rejected in the transaction that moves the cursor
//! past it.

use std::sync::Arc;

use super::Shared;
use super::limit::BatchLimit;
use super::route::decode::Decode;
use super::route::{Batch, Route};
use super::worker::{CAREFUL_BATCHES, Worker};
use crate::error::{Class, Error, Result};
use crate::ledger::chunks::Chunk;

/// Pieces of a batch, and the most rows of one.
const PIECES: u32 = 32;
const PIECE_ROWS: u32 = 1000;

/// How many rows a piece of a batch takes at most.
fn piece_rows(batch_rows: u32) -> u32 {
    (batch_rows / PIECES).clamp(1, PIECE_ROWS)
}

/// The streaming route in the place of one that can't tell rows apart, for so many rows.
struct Spare {
    route: Decode,
    left: u64,
}

impl Spare {
    /// From where the pieces stand.
    async fn after(shared: &Arc<Shared>, at: &Chunk, rows: u64) -> Result<Spare> {
        let page = u32::try_from(rows).unwrap_or(u32::MAX);
        let mut route = Decode::new(Arc::clone(shared)).pages_of(page);
        route.seek(at).await?;
        Ok(Spare { route, left: rows })
    }
}

impl Worker {
    /// Writes up to `rows` rows into the open transaction, piece by piece.
    ///
    /// # Errors
    /// Anything but a refused row; the transaction is then to be rolled back as a whole.
    pub(super) async fn write_in_pieces(&mut self, chunk: &Chunk, rows: u64) -> Result<Batch> {
        let mut whole = Batch::default();
        let mut at = chunk.clone();
        let mut limit = BatchLimit::new(piece_rows(self.shared.job.options.batch_rows));
        let mut spare: Option<Spare> = None;
        self.target.begin_pieces().await?;
        while whole.read < rows {
            let streamed = spare.is_some();
            let most = spare.as_ref().map_or(rows - whole.read, |spare| spare.left);
            let most = limit.rows().min(most);
            let route: &mut dyn Route = match &mut spare {
                Some(spare) => &mut spare.route,
                None => self.route.as_mut(),
            };
            let waiting = route.fetch(self.target.as_mut(), most).await?.rows;
            if waiting == 0 && !streamed {
                break;
            }
            let mut piece = Batch::default();
            if waiting > 0 {
                self.target.script("SAVEPOINT tablelift_piece").await?;
                match route.write(self.target.as_mut(), most).await {
                    Ok(written) => {
                        piece = written;
                        piece.marks.push(self.target.row_mark().await?);
                        self.target.script("RELEASE SAVEPOINT tablelift_piece").await?;
                        limit.committed();
                    }
                    Err(error) if error.class == Class::Split && !self.target.broken() => {
                        let back = "ROLLBACK TO SAVEPOINT tablelift_piece; \
                                    RELEASE SAVEPOINT tablelift_piece";
                        self.target.script(back).await?;
                        crate::fail::point("piece_refused");
                        if !route.single_rows() {
                            spare = Some(Spare::after(&self.shared, &at, waiting).await?);
                            continue;
                        }
                        if waiting > 1 {
                            limit.refused(waiting, error.row);
                            continue;
                        }
                        let error = self.with_column(error).await;
                        let route: &mut dyn Route = match &mut spare {
                            Some(spare) => &mut spare.route,
                            None => self.route.as_mut(),
                        };
                        piece = route.reject(&error)?;
                        limit.rejected();
                        self.careful = CAREFUL_BATCHES;
                    }
                    Err(error) => return Err(error),
                }
            }
            at.pos = piece.upto.clone().or(at.pos);
            let read = piece.read;
            whole.absorb(piece);
            match &mut spare {
                None => self.route.committed(),
                Some(rest) if waiting == 0 || rest.left <= read => {
                    spare = None;
                    self.route.seek(&at).await?;
                }
                Some(rest) => {
                    rest.left -= read;
                    rest.route.committed();
                }
            }
        }
        Ok(whole)
    }

    /// The error with the columns of the constraint that it names.
    pub(super) async fn with_column(&mut self, mut error: Error) -> Error {
        if let (None, Some(constraint)) = (&error.place.column, &error.place.constraint) {
            let table = &self.shared.job.target;
            let columns = self.target.constraint_columns(table, constraint).await;
            let columns = columns.unwrap_or_default();
            error.place.column = (!columns.is_empty()).then(|| columns.join(", "));
        }
        error
    }
}
