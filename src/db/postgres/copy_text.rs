//! Rows in PostgreSQL's COPY text format, and the typed value of a text that the server prints.

use crate::error::{Error, Result};
use crate::key::hex_bytes;
use crate::sql::Kind;
use crate::value::{Scalar, Value};

/// Appends one row; returns nothing, because every value has a text form.
pub fn encode(row: &[Value], out: &mut Vec<u8>) {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        match value {
            Value::Null => out.extend_from_slice(b"\\N"),
            Value::Text(text) | Value::Number(text) | Value::Json(text) | Value::Typed(_, text) => {
                escape(text, out);
            }
            other => escape(&other.to_text().unwrap_or_default(), out),
        }
    }
    out.push(b'\n');
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let letter = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(&[b'\\', letter]);
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
}

fn out_of_step(what: &str) -> Error {
    Error::stop(format!("the server's answer can't be read: {what}"))
}

/// The value of a field in the server's text form.
///
/// # Errors
/// The text isn't what a pinned session prints for the kind.
pub fn typed(kind: &Kind, text: String) -> Result<Value> {
    let broken = |what: &str| out_of_step(&format!("{what} in another form than the session's"));
    Ok(match kind {
        Kind::Bool => match text.as_str() {
            "t" | "true" => Value::Bool(true),
            "f" | "false" => Value::Bool(false),
            _ => return Err(broken("a boolean")),
        },
        Kind::Int(_) => Value::Int(text.parse().map_err(|_| broken("an integer"))?),
        Kind::Float4 => Value::Real(text.parse().map_err(|_| broken("a float"))?),
        Kind::Float8 => Value::Float(text.parse().map_err(|_| broken("a float"))?),
        Kind::Numeric(_) => Value::Number(text),
        Kind::Bytes => {
            let hex = text.strip_prefix("\\x").and_then(hex_bytes);
            Value::Bytes(hex.ok_or_else(|| broken("bytea"))?)
        }
        Kind::Json | Kind::Jsonb => Value::Json(text),
        Kind::Date => Value::Typed(Scalar::Date, text),
        Kind::Time(_) => Value::Typed(Scalar::Time, text),
        Kind::TimeTz(_) => Value::Typed(Scalar::TimeTz, text),
        Kind::Timestamp(_) => Value::Typed(Scalar::Timestamp, text),
        Kind::TimestampTz(_) => Value::Typed(Scalar::TimestampTz, text),
        Kind::Interval => Value::Typed(Scalar::Interval, text),
        Kind::Uuid => Value::Typed(Scalar::Uuid, text),
        Kind::Opaque { .. } => Value::Typed(Scalar::Opaque, text),
        Kind::Text { .. } | Kind::Dynamic(_) => Value::Text(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_gives_a_meaning_is_escaped() {
        let row = [Value::Text("a\tb\r\n\\N é".into()), Value::Null, Value::Bytes(vec![0, 255])];
        let mut line = Vec::new();
        encode(&row, &mut line);
        assert_eq!(line, "a\\tb\\r\\n\\\\N é\t\\N\t\\\\x00ff\n".as_bytes());
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        assert!(typed(&Kind::Int(8), "x".to_owned()).is_err());
        assert!(typed(&Kind::Bytes, "\\x0".to_owned()).is_err());
    }
}
