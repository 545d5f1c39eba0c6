//! Conversions: exact, or a reason why not. Nothing is rounded, cut or shifted unless the plan
//! says `lossy = "allow"`.

mod json;
mod numbers;
mod times;
mod types;

pub use json::is_json;
pub use types::{kind_name, parse_type};

use crate::sql::{Affinity, ColumnType, Kind};
use crate::value::{Scalar, Value};

/// A conversion's answer: the value in the new type, or a short reason.
pub type Converted = Result<Value, String>;

/// What a stored value means by its column's declared type: SQLite's booleans and JSON.
pub fn interpret(value: Value, kind: &Kind) -> Converted {
    match (kind, value) {
        (Kind::Dynamic(Affinity::Bool), Value::Int(0)) => Ok(Value::Bool(false)),
        (Kind::Dynamic(Affinity::Bool), Value::Int(1)) => Ok(Value::Bool(true)),
        (Kind::Dynamic(Affinity::Json), Value::Text(text)) => {
            if is_json(&text) {
                Ok(Value::Json(text))
            } else {
                Err("the column is declared JSON and holds text that is not".to_owned())
            }
        }
        (_, value) => Ok(value),
    }
}

/// Implicit assignment of a value to a column.
pub fn fit(value: Value, to: &ColumnType, lossy: bool) -> Converted {
    convert(value, to, lossy, false)
}

/// An explicit `cast` rule: what assignment does, and what only an order may do.
pub fn cast(value: Value, to: &ColumnType, lossy: bool) -> Converted {
    convert(value, to, lossy, true)
}

fn no_way(value: &Value, to: &ColumnType) -> String {
    format!("{} does not fit {}", value.type_name(), to.name)
}

fn convert(value: Value, to: &ColumnType, lossy: bool, explicit: bool) -> Converted {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match &to.kind {
        Kind::Bool => boolean(value, to),
        Kind::Int(width) => numbers::integer(value, *width, to, lossy),
        Kind::Numeric(limits) => numbers::numeric(value, *limits, to, lossy),
        Kind::Float4 => numbers::float4(value, to, lossy),
        Kind::Float8 => numbers::float8(value, to, lossy),
        Kind::Text { max, .. } => text(value, *max, to, lossy),
        Kind::Bytes => bytes(value, to, explicit),
        Kind::Json | Kind::Jsonb => json::document(value, to, explicit),
        Kind::Date => times::date(value, to, explicit),
        Kind::Time(digits) => times::time(value, *digits, to, lossy),
        Kind::TimeTz(digits) => times::time_tz(value, *digits, to, lossy),
        Kind::Timestamp(digits) => times::timestamp(value, *digits, to, lossy, explicit),
        Kind::TimestampTz(digits) => times::timestamp_tz(value, *digits, to, lossy, explicit),
        Kind::Interval => match value {
            Value::Typed(Scalar::Interval | Scalar::Opaque, _) => Ok(value),
            Value::Text(text) => Ok(Value::Typed(Scalar::Interval, no_nul(text, to)?)),
            other => Err(no_way(&other, to)),
        },
        Kind::Uuid => uuid(value, to),
        // Any other type of the server reads its own text form.
        Kind::Opaque { .. } => match value {
            Value::Bytes(_) => Err(no_way(&value, to)),
            Value::Text(text) => Ok(Value::Typed(Scalar::Opaque, no_nul(text, to)?)),
            other => Ok(other),
        },
        Kind::Dynamic(affinity) => numbers::stored(value, *affinity, to, lossy),
    }
}

fn no_nul(text: String, to: &ColumnType) -> Result<String, String> {
    if text.contains('\0') {
        Err(format!("text with a NUL does not fit {}", to.name))
    } else {
        Ok(text)
    }
}

fn boolean(value: Value, to: &ColumnType) -> Converted {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::Int(0) => Ok(Value::Bool(false)),
        Value::Int(1) => Ok(Value::Bool(true)),
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(Value::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(Value::Bool(false)),
            _ => Err(no_way(&value, to)),
        },
        Value::Json(text) if text == "true" => Ok(Value::Bool(true)),
        Value::Json(text) if text == "false" => Ok(Value::Bool(false)),
        _ => Err(no_way(&value, to)),
    }
}

fn text(value: Value, max: Option<u32>, to: &ColumnType, lossy: bool) -> Converted {
    if let Value::Bytes(_) = value {
        return Err(no_way(&value, to));
    }
    let text = no_nul(value.to_text().unwrap_or_default(), to)?;
    if let Some(max) = max {
        let length = text.chars().count();
        if length > max as usize {
            if !lossy {
                return Err(format!("{length} characters, {} keeps {max}", to.name));
            }
            return Ok(Value::Text(text.chars().take(max as usize).collect()));
        }
    }
    Ok(Value::Text(text))
}

fn bytes(value: Value, to: &ColumnType, explicit: bool) -> Converted {
    match &value {
        Value::Bytes(_) => Ok(value),
        Value::Text(text) if explicit => match text.strip_prefix("\\x") {
            Some(hex) => {
                crate::key::hex_bytes(hex).map(Value::Bytes).ok_or_else(|| no_way(&value, to))
            }
            None => Ok(Value::Bytes(text.clone().into_bytes())),
        },
        _ => Err(no_way(&value, to)),
    }
}

fn uuid(value: Value, to: &ColumnType) -> Converted {
    match &value {
        Value::Typed(Scalar::Uuid, _) => Ok(value),
        Value::Text(text) => uuid::Uuid::parse_str(text.trim())
            .map(|id| Value::Typed(Scalar::Uuid, id.to_string()))
            .map_err(|_| "text that is no uuid".to_owned()),
        Value::Bytes(bytes) => uuid::Uuid::from_slice(bytes)
            .map(|id| Value::Typed(Scalar::Uuid, id.to_string()))
            .map_err(|_| format!("{} bytes are no uuid", bytes.len())),
        _ => Err(no_way(&value, to)),
    }
}

#[cfg(test)]
mod tests;
