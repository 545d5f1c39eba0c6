//! Reading rows with `COPY … TO STDOUT (FORMAT binary)`.

use futures::{FutureExt as _, TryStreamExt as _};

use super::error;
use super::session::PgSession;
use crate::db::RowSink;
use crate::error::{Error, Result};
use crate::mapping::wire::{Cell, encode};

/// Reads the rows of `select`, of so many columns, into `sink`.
pub async fn read(
    session: &mut PgSession,
    select: &str,
    columns: usize,
    sink: &mut dyn RowSink,
) -> Result<()> {
    // Broken until the stream has been read to its end: a COPY that stops half-way leaves
    // the next answers out of step.
    session.broken = true;
    let watch = &session.watch;
    let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let stream = watch.answer(session.connection.copy_out_raw(&copy)).await;
    let mut stream = stream.map_err(|failure| error::convert(&failure))?;
    let mut rest: Vec<u8> = Vec::new();
    let mut started = false;
    loop {
        // Most rows are here already, and need no watching.
        let message = match stream.try_next().now_or_never() {
            Some(message) => message,
            None => watch.answer(stream.try_next()).await,
        };
        let Some(message) = message.map_err(|failure| error::convert(&failure))? else {
            break;
        };
        // A message is one row in practice; the format doesn't promise it.
        let mut due = if rest.is_empty() {
            let (taken, due) = rows(&message, &mut started, columns, sink)?;
            rest.extend_from_slice(&message[taken..]);
            due
        } else {
            rest.extend_from_slice(&message);
            false
        };
        // Handing on may take long, and a message may be wide.
        drop(message);
        loop {
            if due && !sink.hand_on().await {
                return Ok(());
            }
            if rest.is_empty() {
                break;
            }
            let (taken, again) = rows(&rest, &mut started, columns, sink)?;
            rest.drain(..taken);
            due = again;
            if !due {
                break;
            }
        }
    }
    if !started || !rest.is_empty() {
        return Err(out_of_step("it ends inside a row"));
    }
    drop(stream);
    session.broken = false;
    Ok(())
}

fn out_of_step(what: &str) -> Error {
    Error::stop(format!("the server's COPY answer can't be read: {what}"))
}

/// The length of the header; `None` while it is not complete.
fn header(bytes: &[u8]) -> Result<Option<usize>> {
    let fixed = encode::HEADER.len();
    let Some(extension) = bytes.get(fixed - 4..fixed) else {
        return Ok(None);
    };
    if bytes[..11] != encode::HEADER[..11] {
        return Err(out_of_step("its signature is missing"));
    }
    let length = extension.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Ok(Some(fixed + length).filter(|length| *length <= bytes.len()))
}

/// Gives complete rows to the sink until it wants to hand them on: the bytes taken, and whether
/// it does.
fn rows(
    bytes: &[u8],
    started: &mut bool,
    columns: usize,
    sink: &mut dyn RowSink,
) -> Result<(usize, bool)> {
    let mut taken = 0;
    if !*started {
        let Some(length) = header(bytes)? else {
            return Ok((0, false));
        };
        taken = length;
        *started = true;
    }
    loop {
        let mut cells = Vec::with_capacity(columns);
        let Some(length) = row(&bytes[taken..], columns, &mut cells)? else {
            return Ok((taken, false));
        };
        taken += length;
        // The trailer has no cells.
        if !(cells.is_empty() && columns > 0) && sink.add(&cells, length as u64)? {
            return Ok((taken, true));
        }
    }
}

/// One row's cells, and its length; no cells for the trailer, `None` for an incomplete row.
pub fn row<'b>(
    bytes: &'b [u8],
    columns: usize,
    cells: &mut Vec<Cell<'b>>,
) -> Result<Option<usize>> {
    let Some(count) = bytes.first_chunk::<2>() else {
        return Ok(None);
    };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Some(2));
    }
    if usize::try_from(count) != Ok(columns) {
        return Err(out_of_step("a row has another number of columns"));
    }
    let mut at = 2;
    for _ in 0..columns {
        let Some(length) = bytes[at..].first_chunk::<4>() else {
            return Ok(None);
        };
        at += 4;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            cells.push(Cell::Null);
            continue;
        };
        let Some(field) = bytes[at..].get(..length) else {
            return Ok(None);
        };
        cells.push(Cell::Wire(field));
        at += length;
    }
    Ok(Some(at))
}
