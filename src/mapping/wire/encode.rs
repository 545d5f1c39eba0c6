//! Rows as targets take them: in the format of PostgreSQL's `COPY … (FORMAT binary)`, or as the
//! values that SQLite stores.

use super::{Cell, numeric, stored, times};
use crate::mapping::cast::moment;
use crate::sql::Kind;
use crate::value::{Scalar, Value};

/// What stands before the first row: signature, flags, length of the header's extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands after the last row.
pub const TRAILER: &[u8] = &[0xff, 0xff];

/// What encoded rows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PostgreSQL's binary COPY.
    Copy,
    /// Values by SQLite's storage classes (see [`stored`]).
    Sqlite,
}

impl Format {
    /// Begins a row of so many columns.
    pub fn begin_row(self, columns: usize, out: &mut Vec<u8>) {
        if self == Format::Copy {
            // PostgreSQL has at most 1,600 columns.
            out.extend_from_slice(&(columns as i16).to_be_bytes());
        }
    }

    /// Appends NULL.
    pub fn null(self, out: &mut Vec<u8>) {
        match self {
            Format::Copy => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Format::Sqlite => {
                stored::cell(Cell::Null, out);
            }
        }
    }

    /// Appends a value of the same database as it came; `false`: it came from another.
    pub fn cell(self, cell: Cell<'_>, out: &mut Vec<u8>) -> bool {
        match (self, cell) {
            (Format::Copy, Cell::Wire(value)) => bytes(value, out),
            (Format::Sqlite, cell) => stored::cell(cell, out),
            _ => false,
        }
    }

    /// Appends an integer of a column of `width` bytes; `false` when it doesn't fit.
    pub fn int(self, i: i64, width: u8, out: &mut Vec<u8>) -> bool {
        match self {
            Format::Copy => int(i, width, out),
            Format::Sqlite => stored::cell(Cell::Int(i), out),
        }
    }

    /// Appends a text; `false` when it is too long for any column.
    pub fn text(self, text: &str, out: &mut Vec<u8>) -> bool {
        match self {
            Format::Copy => bytes(text.as_bytes(), out),
            Format::Sqlite => stored::cell(Cell::Text(text), out),
        }
    }

    /// Appends JSON text; `binary`: for a column of jsonb.
    pub fn json(self, text: &str, binary: bool, out: &mut Vec<u8>) -> bool {
        match self {
            Format::Copy => json(text, binary, out),
            Format::Sqlite => stored::cell(Cell::Text(text), out),
        }
    }

    /// Appends a value that was fitted to a column of this kind. `false`: its form is not
    /// known, and what was appended must be taken back.
    pub fn value(self, fitted: &Value, kind: &Kind, out: &mut Vec<u8>) -> bool {
        match self {
            Format::Copy => value(fitted, kind, out),
            Format::Sqlite => stored::value(fitted, out),
        }
    }
}

/// Appends the moment that a text names, for a column that keeps so many digits of a second and
/// may know zones. `false`: the text may be none, or more than the column keeps.
pub fn plain_moment(text: &str, digits: u8, zoned: bool, out: &mut Vec<u8>) -> bool {
    times::read_plain(text).is_some_and(|(micros, utc, found)| {
        (zoned || !utc) && found <= usize::from(digits) && bytes(&micros.to_be_bytes(), out)
    })
}

/// Values of this kind have a binary form that is known here.
pub fn is_known(kind: &Kind) -> bool {
    !matches!(
        kind,
        Kind::TimeTz(_)
            | Kind::Interval
            | Kind::Opaque { .. }
            | Kind::Dynamic(_)
            | Kind::Text { padded: true, .. }
    )
}

/// Appends a value's bytes with their length; `false` when they are too long for any column.
fn bytes(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = i32::try_from(value.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    true
}

/// Appends JSON text for a column of json or (`binary`) jsonb.
fn json(text: &str, binary: bool, out: &mut Vec<u8>) -> bool {
    if !binary {
        return bytes(text.as_bytes(), out);
    }
    let Ok(length) = i32::try_from(text.len() + 1) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.push(1);
    out.extend_from_slice(text.as_bytes());
    true
}

/// Appends an integer of a column of `width` bytes; `false` when it doesn't fit.
fn int(i: i64, width: u8, out: &mut Vec<u8>) -> bool {
    match width {
        2 => i16::try_from(i).is_ok_and(|i| bytes(&i.to_be_bytes(), out)),
        4 => i32::try_from(i).is_ok_and(|i| bytes(&i.to_be_bytes(), out)),
        _ => bytes(&i.to_be_bytes(), out),
    }
}

/// Appends a value that was fitted to a column of this kind. `false`: its binary form is not
/// known, and what was appended must be taken back.
fn value(value: &Value, kind: &Kind, out: &mut Vec<u8>) -> bool {
    match (kind, value) {
        (_, Value::Null) => Format::Copy.null(out),
        (Kind::Bool, Value::Bool(b)) => return bytes(&[u8::from(*b)], out),
        (Kind::Int(width), Value::Int(i)) => return int(*i, *width, out),
        (Kind::Float4, Value::Real(f)) => return bytes(&f.to_be_bytes(), out),
        (Kind::Float8, Value::Float(f)) => return bytes(&f.to_be_bytes(), out),
        (Kind::Numeric(_), Value::Int(i)) => return decimal(&i.to_string(), out),
        (Kind::Numeric(_), Value::Number(text)) => return decimal(text, out),
        (Kind::Text { padded: false, .. }, Value::Text(text)) => {
            return bytes(text.as_bytes(), out);
        }
        (Kind::Bytes, Value::Bytes(value)) => return bytes(value, out),
        (Kind::Json, Value::Json(text)) => return json(text, false, out),
        (Kind::Jsonb, Value::Json(text)) => return json(text, true, out),
        (Kind::Uuid, Value::Typed(Scalar::Uuid, text)) => {
            return uuid::Uuid::try_parse(text).is_ok_and(|uuid| bytes(uuid.as_bytes(), out));
        }
        (
            Kind::Date | Kind::Time(_) | Kind::Timestamp(_) | Kind::TimestampTz(_),
            Value::Typed(scalar, text),
        ) => return time(*scalar, text, kind, out),
        _ => return false,
    }
    true
}

fn decimal(text: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if numeric::write_binary(text, out).is_none() {
        return false;
    }
    let Ok(length) = i32::try_from(out.len() - start - 4) else {
        return false;
    };
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    true
}

fn time(scalar: Scalar, text: &str, kind: &Kind, out: &mut Vec<u8>) -> bool {
    let same = matches!(
        (scalar, kind),
        (Scalar::Date, Kind::Date)
            | (Scalar::Time, Kind::Time(_))
            | (Scalar::Timestamp, Kind::Timestamp(_))
            | (Scalar::TimestampTz, Kind::TimestampTz(_))
    );
    let infinite = match text {
        "infinity" => Some(true),
        "-infinity" => Some(false),
        _ => None,
    };
    if let (true, Some(above)) = (same, infinite) {
        return match kind {
            Kind::Date => bytes(&(if above { i32::MAX } else { i32::MIN }).to_be_bytes(), out),
            Kind::Time(_) => false,
            _ => bytes(&(if above { i64::MAX } else { i64::MIN }).to_be_bytes(), out),
        };
    }
    let Some((days, micros)) = moment(text).filter(|_| same) else {
        return false;
    };
    match (kind, days) {
        (Kind::Date, Some(days)) if micros == 0 => {
            i32::try_from(days - times::EPOCH).is_ok_and(|days| bytes(&days.to_be_bytes(), out))
        }
        (Kind::Time(_), None) => bytes(&micros.to_be_bytes(), out),
        (Kind::Timestamp(_) | Kind::TimestampTz(_), Some(days)) => (days - times::EPOCH)
            .checked_mul(times::MICROS_A_DAY)
            .and_then(|day| day.checked_add(micros))
            .is_some_and(|micros| bytes(&micros.to_be_bytes(), out)),
        _ => false,
    }
}
