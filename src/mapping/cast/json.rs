//! JSON documents as text: valid or not, and what `jsonb` refuses.

use serde_json::value::RawValue;

use super::{Converted, no_way};
use crate::sql::{ColumnType, Kind};
use crate::value::Value;

/// The text is one JSON document. Depth costs no stack: a raw value is scanned, not built.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// A value as a JSON document. A document stays; text must be one; other values become the
/// JSON that `to_jsonb` makes of them.
pub fn document(value: Value, to: &ColumnType, explicit: bool) -> Converted {
    let text = match value {
        Value::Json(text) => text,
        Value::Text(text) if is_json(&text) => text,
        Value::Text(_) => return Err(format!("text that is not JSON does not fit {}", to.name)),
        Value::Bytes(_) if !explicit => return Err(no_way(&value, to)),
        other => {
            let mut out = String::new();
            other.write_json(&mut out);
            out
        }
    };
    if to.kind == Kind::Jsonb {
        refused_by_jsonb(&text)?;
    }
    Ok(Value::Json(text))
}

/// `jsonb` stores text decoded: NUL and lone surrogates have no text form.
fn refused_by_jsonb(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut high = false;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        let here = at + found;
        let escape = bytes.get(here + 1).copied().unwrap_or(b'"');
        if escape != b'u' {
            if high {
                return Err("a lone surrogate in JSON does not fit jsonb".to_owned());
            }
            at = here + 2;
            continue;
        }
        let digits = text.get(here + 2..here + 6).unwrap_or_default();
        let unit = u32::from_str_radix(digits, 16).unwrap_or(0);
        let is_low = (0xdc00..0xe000).contains(&unit);
        let follows = high && found == 0;
        if unit == 0 && digits.len() == 4 {
            return Err("\\u0000 in JSON does not fit jsonb".to_owned());
        }
        if is_low != follows {
            return Err("a lone surrogate in JSON does not fit jsonb".to_owned());
        }
        high = (0xd800..0xdc00).contains(&unit);
        at = here + 6;
    }
    if high { Err("a lone surrogate in JSON does not fit jsonb".to_owned()) } else { Ok(()) }
}
