//! Rows in the format of PostgreSQL's `COPY … (FORMAT binary)`.

use super::{numeric, times};
use crate::mapping::cast::moment;
use crate::sql::Kind;
use crate::value::{Scalar, Value};

/// What stands before the first row: signature, flags, length of the header's extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands after the last row.
pub const TRAILER: &[u8] = &[0xff, 0xff];

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

/// Begins a row of so many columns.
pub fn begin_row(columns: usize, out: &mut Vec<u8>) {
    // PostgreSQL has at most 1,600 columns.
    out.extend_from_slice(&(columns as i16).to_be_bytes());
}

/// Appends NULL.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// Appends a value's bytes with their length; `false` when they are too long for any column.
pub fn bytes(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = i32::try_from(value.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    true
}

/// Appends JSON text for a column of json or (`binary`) jsonb.
pub fn json(text: &str, binary: bool, out: &mut Vec<u8>) -> bool {
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
pub fn int(i: i64, width: u8, out: &mut Vec<u8>) -> bool {
    match width {
        2 => i16::try_from(i).is_ok_and(|i| bytes(&i.to_be_bytes(), out)),
        4 => i32::try_from(i).is_ok_and(|i| bytes(&i.to_be_bytes(), out)),
        _ => bytes(&i.to_be_bytes(), out),
    }
}

/// Appends a value that was fitted to a column of this kind. `false`: its binary form is not
/// known, and what was appended must be taken back.
pub fn value(value: &Value, kind: &Kind, out: &mut Vec<u8>) -> bool {
    match (kind, value) {
        (_, Value::Null) => null(out),
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
