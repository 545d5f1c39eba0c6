//! Values as drivers hold them, borrowed for the length of one row, and what becomes of them
//! without a copy in between: PostgreSQL's binary form, both ways, and JSON text.

pub mod encode;
mod numeric;
pub mod stored;
mod times;

#[cfg(test)]
mod tests;

use crate::sql::{Affinity, Kind};
use crate::value::{Scalar, Value, write_json_string};

/// One value of a row that is being read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// SQLite INTEGER; an integer of MySQL.
    Int(i64),
    /// SQLite REAL; a float of MySQL.
    Float(f64),
    /// SQLite TEXT; of MySQL all the rest but bytes, moments at UTC without saying so.
    Text(&'a str),
    /// Text that is not UTF-8.
    Malformed(&'a [u8]),
    /// SQLite BLOB; bytes of MySQL.
    Blob(&'a [u8]),
    /// PostgreSQL's binary form of the column's kind (its `typsend` function).
    Wire(&'a [u8]),
}

/// The server sent bytes that are not the kind's binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl Cell<'_> {
    /// True for SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// Bytes as they came, for throttles and page sizes.
    pub fn size(&self) -> u64 {
        match self {
            Cell::Null => 1,
            Cell::Int(_) | Cell::Float(_) => 8,
            Cell::Text(text) => text.len() as u64,
            Cell::Malformed(bytes) | Cell::Blob(bytes) | Cell::Wire(bytes) => bytes.len() as u64,
        }
    }

    /// The value of a column of this kind.
    ///
    /// # Errors
    /// The bytes are not the kind's binary form.
    pub fn value(&self, kind: &Kind) -> Result<Value, Unreadable> {
        Ok(match self {
            Cell::Null => Value::Null,
            Cell::Int(i) => Value::Int(*i),
            Cell::Float(f) if *kind == Kind::Float4 => Value::Real(*f as f32),
            Cell::Float(f) => Value::Float(*f),
            Cell::Text(text) => text_value(kind, text),
            Cell::Malformed(bytes) => Value::Malformed(bytes.to_vec()),
            Cell::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            Cell::Wire(bytes) => wire_value(kind, bytes)?,
        })
    }

    /// Appends what `to_jsonb` makes of the value. `false`: nothing certain is known, and what
    /// was appended must be taken back; [`Cell::value`] and its own JSON decide.
    pub fn write_json(&self, kind: &Kind, out: &mut String) -> bool {
        match (self, kind) {
            (Cell::Null, _) => out.push_str("null"),
            (Cell::Int(i @ (0 | 1)), Kind::Bool | Kind::Dynamic(Affinity::Bool)) => {
                out.push_str(if *i == 1 { "true" } else { "false" });
            }
            (Cell::Int(_), Kind::Bool) => return false,
            (Cell::Int(i), _) => write_int(*i, out),
            (Cell::Text(text), Kind::Json | Kind::Jsonb) => out.push_str(text),
            (Cell::Text(_), Kind::Dynamic(Affinity::Json)) => return false,
            (Cell::Text(text), Kind::Numeric(_)) => out.push_str(text),
            (
                Cell::Text(_),
                Kind::Date | Kind::Time(_) | Kind::Timestamp(_) | Kind::TimestampTz(_),
            ) => return false,
            // jsonb has no such character, and the row is a reject.
            (Cell::Text(text), _) if text.as_bytes().contains(&0) => return false,
            (Cell::Text(text), _) => write_json_string(text, out),
            (Cell::Wire(bytes), kind) => return wire_json(kind, bytes, out),
            (Cell::Malformed(_), _) => return false,
            (Cell::Float(_) | Cell::Blob(_), kind) => match self.value(kind) {
                Ok(value) => value.write_json(out),
                Err(Unreadable) => return false,
            },
        }
        true
    }
}

/// The value that a text is in a column of this kind.
fn text_value(kind: &Kind, text: &str) -> Value {
    let typed = |scalar: Scalar| Value::Typed(scalar, text.to_owned());
    match kind {
        Kind::Json | Kind::Jsonb => Value::Json(text.to_owned()),
        Kind::Numeric(_) => Value::Number(text.to_owned()),
        Kind::Date => typed(Scalar::Date),
        Kind::Time(_) => typed(Scalar::Time),
        Kind::Timestamp(_) => typed(Scalar::Timestamp),
        Kind::TimestampTz(_) => Value::Typed(Scalar::TimestampTz, format!("{text}+00")),
        Kind::Uuid => typed(Scalar::Uuid),
        _ => Value::Text(text.to_owned()),
    }
}

/// Appends the digits of an integer.
pub(super) fn write_int(i: i64, out: &mut String) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = i.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if i < 0 {
        out.push('-');
    }
    out.push_str(str::from_utf8(&digits[at..]).unwrap_or_default());
}

fn big_endian(bytes: &[u8]) -> Option<i64> {
    match bytes.len() {
        2 => Some(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// jsonb has its version, 1, before the text.
fn jsonb_text(bytes: &[u8]) -> Option<&str> {
    let (version, text) = bytes.split_first()?;
    if *version == 1 { str::from_utf8(text).ok() } else { None }
}

fn uuid_text(bytes: &[u8], out: &mut String) -> Option<()> {
    let uuid = uuid::Uuid::from_slice(bytes).ok()?;
    out.push_str(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    Some(())
}

fn wire_value(kind: &Kind, bytes: &[u8]) -> Result<Value, Unreadable> {
    let text = || str::from_utf8(bytes).ok().map(str::to_owned);
    let typed = |scalar: Scalar, write: fn(&[u8], &mut String) -> Option<()>| {
        let mut out = String::new();
        write(bytes, &mut out).map(|()| Value::Typed(scalar, out))
    };
    let value = match kind {
        Kind::Bool => match bytes {
            [0] => Some(Value::Bool(false)),
            [1] => Some(Value::Bool(true)),
            _ => None,
        },
        Kind::Int(_) => big_endian(bytes).map(Value::Int),
        Kind::Float4 => bytes.try_into().ok().map(|four| Value::Real(f32::from_be_bytes(four))),
        Kind::Float8 => bytes.try_into().ok().map(|eight| Value::Float(f64::from_be_bytes(eight))),
        Kind::Numeric(_) => {
            let mut out = String::new();
            numeric::write_text(bytes, &mut out).map(|()| Value::Number(out))
        }
        Kind::Bytes => Some(Value::Bytes(bytes.to_vec())),
        Kind::Json => text().map(Value::Json),
        Kind::Jsonb => jsonb_text(bytes).map(|text| Value::Json(text.to_owned())),
        Kind::Date => typed(Scalar::Date, times::write_date),
        Kind::Time(_) => typed(Scalar::Time, times::write_time),
        Kind::Timestamp(_) => {
            typed(Scalar::Timestamp, |bytes, out| times::write_timestamp(bytes, ' ', "", out))
        }
        Kind::TimestampTz(_) => {
            typed(Scalar::TimestampTz, |bytes, out| times::write_timestamp(bytes, ' ', "+00", out))
        }
        Kind::Uuid => typed(Scalar::Uuid, uuid_text),
        // These are asked for as text.
        Kind::TimeTz(_) => text().map(|text| Value::Typed(Scalar::TimeTz, text)),
        Kind::Interval => text().map(|text| Value::Typed(Scalar::Interval, text)),
        Kind::Opaque { .. } => text().map(|text| Value::Typed(Scalar::Opaque, text)),
        Kind::Text { .. } | Kind::Dynamic(_) => text().map(Value::Text),
    };
    value.ok_or(Unreadable)
}

/// Appends the JSON of a binary form; `false` where it is not certain.
fn wire_json(kind: &Kind, bytes: &[u8], out: &mut String) -> bool {
    let quoted = |out: &mut String, write: &dyn Fn(&mut String) -> Option<()>| {
        out.push('"');
        let done = write(out).is_some();
        out.push('"');
        done
    };
    match kind {
        Kind::Bool => {
            out.push_str(if bytes == [1] { "true" } else { "false" });
            bytes.len() == 1
        }
        Kind::Int(_) => big_endian(bytes).map(|i| write_int(i, out)).is_some(),
        Kind::Numeric(_) if numeric::is_finite(bytes) => numeric::write_text(bytes, out).is_some(),
        Kind::Text { .. } => str::from_utf8(bytes).map(|text| write_json_string(text, out)).is_ok(),
        Kind::Json => str::from_utf8(bytes).map(|text| out.push_str(text)).is_ok(),
        Kind::Jsonb => jsonb_text(bytes).map(|text| out.push_str(text)).is_some(),
        Kind::Uuid => quoted(out, &|out| uuid_text(bytes, out)),
        Kind::Date => quoted(out, &|out| times::write_date(bytes, out)),
        Kind::Time(_) => quoted(out, &|out| times::write_time(bytes, out)),
        Kind::Timestamp(_) => quoted(out, &|out| times::write_timestamp(bytes, 'T', "", out)),
        Kind::TimestampTz(_) => {
            quoted(out, &|out| times::write_timestamp(bytes, 'T', "+00:00", out))
        }
        kind => wire_value(kind, bytes).map(|value| value.write_json(out)).is_ok(),
    }
}
