//! What a SQLite column stores: the value, never what its affinity would silently make of it.

use super::{Mode, json, numbers, reason};
use crate::sql::{Affinity, ColumnType};
use crate::value::Value;

/// The value as it is bound for a SQLite column.
pub(super) fn store(
    value: Value,
    affinity: Affinity,
    to: &ColumnType,
    mode: Mode,
) -> Result<Value, String> {
    let from = value.type_name();
    let to_text = affinity == Affinity::Text;
    let value = match value {
        Value::Bytes(_) | Value::Malformed(_) | Value::Null => return Ok(value),
        Value::Bool(b) if to_text => Value::Text(if b { "true" } else { "false" }.to_owned()),
        Value::Bool(b) => Value::Int(i64::from(b)),
        Value::Real(f) if !to_text => Value::Float(f64::from(f)),
        Value::Number(text) if !to_text => number(&text, to, mode)?,
        Value::Text(text) => Value::Text(text),
        Value::Json(text) => Value::Text(text),
        Value::Typed(..) if affinity == Affinity::Json => {
            // The column holds documents: a date in it is a JSON string, as PostgreSQL makes it.
            let mut text = String::new();
            value.write_json(&mut text);
            Value::Text(text)
        }
        Value::Typed(_, text) => Value::Text(text),
        Value::Int(_) | Value::Float(_) if !to_text => value,
        other => Value::Text(other.to_text().unwrap_or_default()),
    };
    match (value, affinity) {
        (Value::Float(f), _) if f.is_nan() => {
            Err(reason(from, to, "SQLite would store null for NaN"))
        }
        (Value::Int(i), Affinity::Real) => {
            if i.unsigned_abs() > 1 << 53 && !mode.lossy {
                return Err(reason(from, to, "SQLite would round it"));
            }
            Ok(Value::Float(i as f64))
        }
        (Value::Text(text), Affinity::Json) if from == "text" && json::scan(&text).is_none() => {
            Err(reason(from, to, "not a JSON document"))
        }
        (Value::Text(text), Affinity::Text | Affinity::Blob) => Ok(Value::Text(text)),
        (Value::Text(text), _) => {
            numeric_looking(text, affinity).map_err(|why| reason(from, to, why))
        }
        (value, _) => Ok(value),
    }
}

/// A decimal as integer or double, when that keeps it.
fn number(text: &str, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    if let Some(i) = numbers::whole(text) {
        return Ok(Value::Int(i));
    }
    if let Some(f) = numbers::exact_double(text) {
        return Ok(Value::Float(f));
    }
    match text {
        "Infinity" | "-Infinity" => {
            Err(reason("numeric", to, "to SQLite an infinity is a double, no decimal"))
        }
        "NaN" => Err(reason("numeric", to, "SQLite would store null for NaN")),
        _ => match text.parse::<f64>() {
            Ok(f) if mode.lossy && f.is_finite() => Ok(Value::Float(f)),
            _ => Err(reason("numeric", to, "SQLite would round it")),
        },
    }
}

/// Text that SQLite would turn into a number: only when the number reads back as this text.
fn numeric_looking(text: String, affinity: Affinity) -> Result<Value, &'static str> {
    if !is_numeric(&text) {
        return Ok(Value::Text(text));
    }
    let whole = text.parse::<i64>().ok().filter(|i| i.to_string() == text);
    let value = match (whole, affinity) {
        (Some(i), Affinity::Real) if i.unsigned_abs() <= 1 << 53 => Some(Value::Float(i as f64)),
        (Some(_), Affinity::Real) => None,
        (Some(i), _) => Some(Value::Int(i)),
        (None, _) => numbers::exact_double(&text).map(Value::Float),
    };
    value
        .filter(|value| value.to_text().as_deref() == Some(text.as_str()))
        .ok_or("SQLite would turn it into a number that reads differently")
}

/// What SQLite's column affinity takes for a number: blanks around it count as nothing.
fn is_numeric(text: &str) -> bool {
    let blank = |c: char| matches!(c, ' ' | '\t'..='\r');
    let body = text.trim_matches(blank);
    let body = body.strip_prefix(['+', '-']).unwrap_or(body);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.is_none_or(|exponent| {
        let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !plain.is_empty() && digits(plain)
    });
    digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 && exponent
}
