//! A batch in pieces, each under a savepoint: what follows a batch that was refused. One bad row
//! then costs a piece and not a batch, and is rejected in the transaction that moves the cursor
//! past it.

use std::sync::Arc;

use super::limit::BatchLimit;
use super::route::decode::Decode;
use super::route::{Batch, Route as _};
use super::worker::{CAREFUL_BATCHES, Worker};
use crate::error::{Class, Error, Result};
use crate::ledger::chunks::Chunk;

/// Pieces of a batch, and the most rows of one.
const PIECES: u64 = 32;
const PIECE_ROWS: u64 = 1000;

/// How many rows a piece of a batch takes at most.
fn piece_rows(batch_rows: u64) -> u64 {
    (batch_rows / PIECES).clamp(1, PIECE_ROWS)
}

/// What became of a piece.
enum Piece {
    /// Written, or its one row rejected.
    Done(Batch),
    /// Refused; the limit has been lowered.
    Smaller,
    /// Refused, and the route can't tell rows apart.
    Stream,
}

impl Worker {
    /// Writes up to `rows` rows into the open transaction, piece by piece.
    ///
    /// # Errors
    /// Anything but a refused row; the transaction is then to be rolled back as a whole.
    pub(super) async fn write_in_pieces(&mut self, chunk: &Chunk, rows: u64) -> Result<Batch> {
        let mut whole = Batch::default();
        let mut at = chunk.clone();
        let mut limit = BatchLimit::new(piece_rows(self.shared.size.rows()));
        // Rows that the streaming route still takes before the one set aside goes on.
        let mut streamed = 0;
        self.target.begin_pieces().await?;
        while whole.read < rows {
            let most = if streamed > 0 { streamed } else { rows - whole.read };
            let most = limit.rows().min(most);
            let waiting = self.route.fetch(self.target.as_mut(), most).await?.rows;
            let piece = match waiting {
                0 if streamed == 0 => break,
                0 => Batch::default(),
                _ => match self.piece(most, waiting, &mut limit).await? {
                    Piece::Done(piece) => piece,
                    Piece::Smaller => continue,
                    Piece::Stream => {
                        self.stream_instead(&at, waiting).await?;
                        streamed = waiting;
                        continue;
                    }
                },
            };
            self.route.committed();
            at.pos = piece.upto.clone().or(at.pos);
            if streamed > 0 {
                streamed = if waiting == 0 { 0 } else { streamed.saturating_sub(piece.read) };
                if streamed == 0 {
                    self.take_back_route();
                    self.route.seek(&at).await?;
                }
            }
            whole.absorb(piece);
        }
        Ok(whole)
    }

    /// Writes up to `most` rows, of which `waiting` are there, under a savepoint.
    async fn piece(&mut self, most: u64, waiting: u64, limit: &mut BatchLimit) -> Result<Piece> {
        self.target.script("SAVEPOINT tablelift_piece").await?;
        let error = match self.route.write(self.target.as_mut(), most).await {
            Ok(mut piece) => {
                piece.marks.push(self.target.row_mark().await?);
                self.target.script("RELEASE SAVEPOINT tablelift_piece").await?;
                limit.committed();
                return Ok(Piece::Done(piece));
            }
            Err(error) if error.class == Class::Split && !self.target.broken() => error,
            Err(error) => return Err(error),
        };
        let back = "ROLLBACK TO SAVEPOINT tablelift_piece; RELEASE SAVEPOINT tablelift_piece";
        self.target.script(back).await?;
        crate::fail::point("piece_refused");
        if !self.route.single_rows() {
            return Ok(Piece::Stream);
        }
        if waiting > 1 {
            limit.refused(waiting, error.row);
            return Ok(Piece::Smaller);
        }
        // It failed alone: that proves that the row is to blame.
        let error = self.with_column(error).await;
        limit.rejected();
        self.careful = CAREFUL_BATCHES;
        self.route.reject(&error).map(Piece::Done)
    }

    /// Puts the streaming route in the place of one that can't tell rows apart, from where the
    /// pieces stand, for so many rows.
    async fn stream_instead(&mut self, at: &Chunk, rows: u64) -> Result<()> {
        let page = u32::try_from(rows).unwrap_or(u32::MAX);
        let mut route = Decode::new(Arc::clone(&self.shared)).pages_of(page);
        route.seek(at).await?;
        self.aside = Some(std::mem::replace(&mut self.route, Box::new(route)));
        Ok(())
    }

    /// The route that was set aside goes on; the caller says from where.
    pub(super) fn take_back_route(&mut self) {
        if let Some(route) = self.aside.take() {
            self.route = route;
        }
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
