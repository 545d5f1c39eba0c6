//! Values by SQLite's storage classes: a tag, the length as eight bytes, and the value. No two
//! rows look alike, which is why `tl_digest` hashes the same bytes.

use super::Cell;
use crate::value::Value;

/// NULL, without bytes.
pub const NULL: u8 = 0;
/// INTEGER, as eight bytes.
pub const INT: u8 = 1;
/// REAL, as eight bytes.
pub const REAL: u8 = 2;
/// TEXT.
pub const TEXT: u8 = 3;
/// BLOB.
pub const BLOB: u8 = 4;

/// Appends a value of SQLite; `false`: it is none.
pub fn cell(cell: Cell<'_>, out: &mut Vec<u8>) -> bool {
    match cell {
        Cell::Null => part(NULL, &[], out),
        Cell::Int(i) => part(INT, &i.to_le_bytes(), out),
        Cell::Float(f) => part(REAL, &f.to_bits().to_le_bytes(), out),
        Cell::Text(text) => part(TEXT, text.as_bytes(), out),
        Cell::Malformed(text) => part(TEXT, text, out),
        Cell::Blob(blob) => part(BLOB, blob, out),
        Cell::Wire(_) => return false,
    }
    true
}

fn part(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a value that was fitted to a column.
pub fn value(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => cell(Cell::Null, out),
        Value::Bool(b) => cell(Cell::Int(i64::from(*b)), out),
        Value::Int(i) => cell(Cell::Int(*i), out),
        Value::Real(f) => cell(Cell::Float(f64::from(*f)), out),
        Value::Float(f) => cell(Cell::Float(*f), out),
        Value::Bytes(blob) => cell(Cell::Blob(blob), out),
        Value::Malformed(text) => cell(Cell::Malformed(text), out),
        Value::Text(text) | Value::Number(text) | Value::Json(text) | Value::Typed(_, text) => {
            cell(Cell::Text(text), out)
        }
    }
}

/// A value as it was encoded.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its storage class.
    pub tag: u8,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Tag, length and bytes.
    pub whole: &'a [u8],
}

impl Part<'_> {
    /// The number of an INTEGER or of a REAL's bits.
    pub fn number(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes.try_into().ok()?))
    }
}

/// Takes the next value off what was encoded; `None` at its end.
pub fn next<'a>(rest: &mut &'a [u8]) -> Option<Part<'a>> {
    let (tag, after) = rest.split_first()?;
    let (length, after) = after.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    let whole = &rest[..rest.len() - after.len()];
    *rest = after;
    Some(Part { tag: *tag, bytes, whole })
}
