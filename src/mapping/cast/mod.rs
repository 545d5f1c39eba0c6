//! Conversions, each with the reason why a value can't make it.
//!
//! [`fit`] is what a plain rule does at its target column, [`cast`] what a `cast` rule does.
//! Both are exact or fail: nothing is rounded, cut, padded or shifted unless `lossy` says so,
//! and then the server does it.

pub mod json;
mod numbers;
mod pairs;
mod sqlite;
mod times;
mod types;
mod zones;

#[cfg(test)]
mod tests;

pub(crate) use numbers::numeric_text;
pub(crate) use pairs::exact_in_sql;
pub use pairs::{Pair, pair};
pub(crate) use times::{calendar_day, civil, date, days, moment};
pub use types::{parse_type, type_name};
pub use zones::{Clock, Epoch};

use crate::sql::{Affinity, ColumnType, Kind};
use crate::value::{Scalar, Value};

/// How far a conversion may go.
#[derive(Debug, Clone, Copy)]
struct Mode {
    /// A `cast` rule asked for it.
    explicit: bool,
    /// `lossy = "allow"`.
    lossy: bool,
}

/// What a stored SQLite value means by the convention of its column's declared type, and what
/// a PostgreSQL value means outside of JSON: blanks at the end of a `character(n)` are padding.
///
/// # Errors
/// Text that is not JSON in a column declared as JSON.
pub fn interpret(value: Value, kind: &Kind) -> Result<Value, String> {
    match (kind, value) {
        (Kind::Dynamic(Affinity::Bool), Value::Int(i @ (0 | 1))) => Ok(Value::Bool(i == 1)),
        (Kind::Dynamic(Affinity::Json) | Kind::Json | Kind::Jsonb, Value::Text(text)) => {
            if json::scan(&text).is_some() {
                Ok(Value::Json(text))
            } else {
                Err("text in a JSON column: not a JSON document".to_owned())
            }
        }
        (Kind::Text { padded: true, .. }, Value::Text(mut text)) => {
            text.truncate(text.trim_end_matches(' ').len());
            Ok(Value::Text(text))
        }
        // MySQL's zero dates: what they mean, the plan has to say.
        (
            Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_),
            Value::Typed(Scalar::Date | Scalar::Timestamp | Scalar::TimestampTz, text),
        ) if is_zero_date(&text) => Err(format!("{}: a date with zeros is none", kind_name(kind))),
        // TINYINT(1) that the plan calls a boolean.
        (Kind::Bool, Value::Int(i @ (0 | 1))) => Ok(Value::Bool(i == 1)),
        (Kind::Bool, Value::Int(_)) => {
            Err("tinyint(1) as a boolean: only 0 and 1 are booleans".to_owned())
        }
        (_, value) => Ok(value),
    }
}

/// `0000-00-00`, `2024-00-15`: MySQL may hold such dates.
pub(super) fn is_zero_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[4] == b'-'
        && (bytes.starts_with(b"0000") || &bytes[5..7] == b"00" || &bytes[8..10] == b"00")
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Date => "date",
        Kind::TimestampTz(_) => "timestamp",
        _ => "datetime",
    }
}

/// The value as a target column takes it from a plain rule.
///
/// # Errors
/// A short phrase that names both types, never the value.
pub fn fit(value: Value, to: &ColumnType, lossy: bool) -> Result<Value, String> {
    convert(value, to, Mode { explicit: false, lossy })
}

/// The value as a `cast` rule makes it: all that [`fit`] does, and text is read generously,
/// zones are added and dropped at UTC.
///
/// # Errors
/// A short phrase that names both types, never the value.
pub fn cast(value: Value, to: &ColumnType, lossy: bool) -> Result<Value, String> {
    convert(value, to, Mode { explicit: true, lossy })
}

/// The value that a cast starts from: times without a zone and counts of seconds, as `clock`
/// reads them.
///
/// # Errors
/// Local times that the zone doesn't have, or has twice.
pub fn read_by(clock: &Clock, value: Value, to: &ColumnType, lossy: bool) -> Result<Value, String> {
    zones::read(value, to, clock, Mode { explicit: true, lossy })
}

/// A text with parts of it replaced; in JSON, the same in each of its strings.
pub fn replace(value: Value, pairs: &[(String, String)]) -> Value {
    let all = |text: &str| {
        pairs.iter().fold(text.to_owned(), |text, (what, by)| text.replace(what.as_str(), by))
    };
    match value {
        Value::Text(text) => Value::Text(all(&text)),
        Value::Json(text) => Value::Json(json::map_strings(&text, &all)),
        other => other,
    }
}

/// `numeric into integer: it has decimal places`
fn reason(from: &str, to: &ColumnType, why: &str) -> String {
    format!("{from} into {}: {why}", to.name)
}

fn convert(value: Value, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    match (&value, &to.kind) {
        (Value::Null, _) => return Ok(value),
        (Value::Malformed(_), kind) if !matches!(kind, Kind::Dynamic(_)) => {
            return Err(reason("text", to, "it is not valid UTF-8"));
        }
        _ => {}
    }
    match &to.kind {
        Kind::Bool => boolean(value, to, mode),
        Kind::Int(width) => numbers::int(value, *width, to, mode),
        Kind::Numeric(limit) => numbers::numeric(value, *limit, to, mode),
        Kind::Float4 => numbers::float(value, true, to, mode),
        Kind::Float8 => numbers::float(value, false, to, mode),
        Kind::Text { max, .. } => text(value, *max, to, mode),
        Kind::Bytes => bytes(value, to, mode),
        Kind::Json => document(value, false),
        Kind::Jsonb => document(value, true),
        Kind::Date
        | Kind::Time(_)
        | Kind::TimeTz(_)
        | Kind::Timestamp(_)
        | Kind::TimestampTz(_) => times::time(value, to, mode),
        Kind::Interval => times::interval(value, to),
        Kind::Uuid => uuid(value, to, mode),
        Kind::Opaque { .. } => opaque(value, to),
        Kind::Dynamic(affinity) => sqlite::store(value, *affinity, to, mode),
    }
}

fn boolean(value: Value, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    let known = match &value {
        Value::Bool(b) => Some(*b),
        Value::Int(i) => match i {
            0 => Some(false),
            1 => Some(true),
            _ => return Err(reason(from, to, "only 0 and 1 are booleans")),
        },
        Value::Text(text) => {
            let word = text.to_ascii_lowercase();
            let (word, more) = (word.trim(), mode.explicit);
            match word {
                "true" | "t" => Some(true),
                "false" | "f" => Some(false),
                "yes" | "y" | "on" | "1" if more => Some(true),
                "no" | "n" | "off" | "0" if more => Some(false),
                _ => None,
            }
        }
        Value::Number(_) | Value::Real(_) | Value::Float(_) if mode.explicit => {
            match value.to_text().as_deref() {
                Some("0" | "-0") => Some(false),
                Some("1") => Some(true),
                _ => None,
            }
        }
        _ => None,
    };
    known.map(Value::Bool).ok_or_else(|| reason(from, to, "not a boolean"))
}

fn text(value: Value, max: Option<u32>, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    if matches!(value, Value::Bytes(_)) && !mode.explicit {
        return Err(reason(from, to, "bytes are not text"));
    }
    let text = value.to_text().unwrap_or_default();
    if let Some(max) = max {
        // Bytes bound characters from above, so most texts are not counted.
        if text.len() > max as usize {
            let length = text.chars().count();
            if length > max as usize && !mode.lossy {
                return Err(reason(
                    from,
                    to,
                    &format!("it has {length} characters, the column keeps {max}"),
                ));
            }
            if length > max as usize {
                return Ok(Value::Text(text.chars().take(max as usize).collect()));
            }
        }
    }
    Ok(Value::Text(text))
}

fn bytes(value: Value, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    match value {
        Value::Bytes(_) => Ok(value),
        Value::Text(text) if mode.explicit => text
            .strip_prefix("\\x")
            .and_then(unhex)
            .map(Value::Bytes)
            .ok_or_else(|| reason(from, to, "not of the form \\x and hex digits")),
        _ => Err(reason(from, to, "not bytes")),
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

fn document(value: Value, binary: bool) -> Result<Value, String> {
    let text = match value {
        Value::Json(text) | Value::Text(text) => text,
        other => {
            let mut text = String::new();
            other.write_json(&mut text);
            text
        }
    };
    match json::refusal(&text, binary) {
        Some(why) => Err(why),
        None => Ok(Value::Json(text)),
    }
}

fn uuid(value: Value, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    let parsed = match &value {
        Value::Typed(Scalar::Uuid, _) => return Ok(value),
        Value::Text(text) => {
            let text = if mode.explicit { text.trim() } else { text };
            uuid::Uuid::try_parse(text).ok()
        }
        Value::Bytes(bytes) if mode.explicit => uuid::Uuid::from_slice(bytes).ok(),
        _ => None,
    };
    parsed
        .map(|uuid| Value::Typed(Scalar::Uuid, uuid.to_string()))
        .ok_or_else(|| reason(from, to, "not a uuid"))
}

/// The server reads the text form itself and refuses what it doesn't know.
fn opaque(value: Value, to: &ColumnType) -> Result<Value, String> {
    let from = value.type_name();
    match value {
        Value::Bytes(_) => Err(reason(from, to, "not its text form")),
        other => {
            let text = other.to_text().unwrap_or_default();
            if text.contains('\0') {
                return Err(reason(from, to, "the character \\u0000 doesn't fit"));
            }
            Ok(Value::Typed(Scalar::Opaque, text))
        }
    }
}
