//! Keys of rows: opaque, typed, bound as literals. The client never compares two of them for
//! order; only the database that owns the column knows its order.
//!
//! ```compile_fail
//! fn ordered<T: PartialOrd>() {}
//! ordered::<tablelift::key::Key>();
//! ```

use std::fmt;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::value::Value;

/// One column of a key, in the form that the owning database gives back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// SQLite INTEGER; an integer of MySQL.
    Int(i64),
    /// PostgreSQL: any type in its text form. SQLite: TEXT. MySQL: what is neither integer nor
    /// bytes.
    Text(String),
    /// SQLite BLOB; BINARY and BLOB of MySQL.
    Bytes(Vec<u8>),
}

/// A whole key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(pub Vec<KeyPart>);

/// Half-open range `(after, upto]`; `None` is unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// The last key before the range.
    pub after: Option<Key>,
    /// The last key of the range.
    pub upto: Option<Key>,
}

impl KeyPart {
    /// The key form of a value as SQLite and MySQL store it. Floats, NULL and
    /// text that is not UTF-8 can't be keys.
    pub fn from_stored(value: &Value) -> Option<KeyPart> {
        match value {
            Value::Int(i) => Some(KeyPart::Int(*i)),
            Value::Bool(b) => Some(KeyPart::Int(i64::from(*b))),
            Value::Bytes(bytes) => Some(KeyPart::Bytes(bytes.clone())),
            Value::Null | Value::Float(_) | Value::Real(_) | Value::Malformed(_) => None,
            other => other.to_text().map(KeyPart::Text),
        }
    }

    /// The key form of a value read from PostgreSQL: its text.
    pub fn from_postgres(value: &Value) -> Option<KeyPart> {
        value.to_text().map(KeyPart::Text)
    }

    /// The part as a value.
    pub fn to_value(&self) -> Value {
        match self {
            KeyPart::Int(i) => Value::Int(*i),
            KeyPart::Text(text) => Value::Text(text.clone()),
            KeyPart::Bytes(bytes) => Value::Bytes(bytes.clone()),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            KeyPart::Int(i) => Json::from(*i),
            KeyPart::Text(text) => Json::from(text.as_str()),
            KeyPart::Bytes(_) => serde_json::json!({ "hex": self.to_value().to_text() }),
        }
    }

    fn from_json(json: &Json) -> Option<KeyPart> {
        match json {
            Json::Number(number) => number.as_i64().map(KeyPart::Int),
            Json::String(text) => Some(KeyPart::Text(text.clone())),
            Json::Object(object) => {
                let hex = object.get("hex")?.as_str()?.strip_prefix("\\x")?;
                hex_bytes(hex).map(KeyPart::Bytes)
            }
            _ => None,
        }
    }
}

/// Bytes of an even number of hex digits.
pub fn hex_bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

impl Key {
    /// A key of one integer.
    pub fn int(i: i64) -> Key {
        Key(vec![KeyPart::Int(i)])
    }

    /// The form kept in the ledger: a JSON array.
    pub fn to_ledger(&self) -> String {
        Json::from(self.0.iter().map(KeyPart::to_json).collect::<Vec<_>>()).to_string()
    }

    /// Reads the form kept in the ledger; anything else is an error, never SQL.
    pub fn from_ledger(text: &str) -> Result<Key> {
        let corrupt = || {
            Error::stop("the ledger holds a key that is not one")
                .hint("The ledger was changed by hand or damaged. Restore it from a backup.")
        };
        let json: Json = serde_json::from_str(text).map_err(|_| corrupt())?;
        let parts = json.as_array().ok_or_else(corrupt)?;
        let parts = parts.iter().map(KeyPart::from_json).collect::<Option<Vec<_>>>();
        parts.filter(|parts| !parts.is_empty()).map(Key).ok_or_else(corrupt)
    }

    /// For events: a scalar, or an object for a composite key. Integer text becomes a number.
    pub fn to_event(&self, columns: &[String]) -> Json {
        let part = |part: &KeyPart| match part {
            KeyPart::Text(text) => match text.parse::<i64>() {
                Ok(i) if i.to_string() == *text => Json::from(i),
                _ => Json::from(text.as_str()),
            },
            other => other.to_json(),
        };
        match self.0.as_slice() {
            [single] => part(single),
            parts => Json::Object(columns.iter().cloned().zip(parts.iter().map(part)).collect()),
        }
    }
}

/// For people: parts separated by commas.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&part.to_value().to_text().unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledger_form_round_trips() {
        let key = Key(vec![
            KeyPart::Int(-1),
            KeyPart::Text("a\"; drop".into()),
            KeyPart::Bytes(vec![0, 255]),
        ]);
        assert_eq!(Key::from_ledger(&key.to_ledger()).unwrap(), key);
    }

    #[test]
    fn corrupt_ledger_keys_are_errors() {
        for text in ["", "1", "[]", "[null]", "[1.5]", "{}", "[{\"hex\":\"\\\\x0\"}]", "[[1]]"] {
            assert!(Key::from_ledger(text).is_err(), "{text}");
        }
    }

    #[test]
    fn events_show_scalars_and_objects() {
        assert_eq!(Key(vec![KeyPart::Text("42".into())]).to_event(&["id".into()]), 42);
        let two = Key(vec![KeyPart::Text("t".into()), KeyPart::Int(2)]);
        let names = ["tenant".to_owned(), "id".to_owned()];
        assert_eq!(two.to_event(&names).to_string(), r#"{"tenant":"t","id":2}"#);
    }
}
