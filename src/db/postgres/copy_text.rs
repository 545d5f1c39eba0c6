//! PostgreSQL's COPY text format, both ways, and the typed value of a field.

use crate::error::{Error, Result};
use crate::key::hex_bytes;
use crate::sql::Kind;
use crate::value::{Row, Scalar, Value};

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

/// Reads one line without its newline.
pub fn decode(line: &[u8], kinds: &[Kind]) -> Result<Row> {
    let mut row = Vec::with_capacity(kinds.len());
    let mut fields = line.split(|byte| *byte == b'\t');
    for kind in kinds {
        let field = fields.next().ok_or_else(|| out_of_step("a field is missing"))?;
        row.push(if field == b"\\N" { Value::Null } else { typed(kind, unescape(field)?)? });
    }
    if fields.next().is_some() && !kinds.is_empty() {
        return Err(out_of_step("there are more fields than columns"));
    }
    Ok(row)
}

fn out_of_step(what: &str) -> Error {
    Error::stop(format!("the server's COPY answer can't be read: {what}"))
}

fn unescape(field: &[u8]) -> Result<String> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(0x08),
            Some(b'f') => out.push(0x0c),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(0x0b),
            Some(other) => out.push(other),
            None => return Err(out_of_step("it ends in a backslash")),
        }
    }
    String::from_utf8(out).map_err(|_| out_of_step("text is not UTF-8"))
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
    fn text_round_trips() {
        let text = Kind::Text { max: None, padded: false };
        for value in ["", "\\N", "\\.", "a\tb\r\n\\", "\u{b}\u{c}\u{8}", "é😀"] {
            let row = vec![Value::Text(value.into()), Value::Null];
            let mut line = Vec::new();
            encode(&row, &mut line);
            assert_eq!(line.pop(), Some(b'\n'));
            assert_eq!(decode(&line, &[text.clone(), text.clone()]).unwrap(), row, "{value:?}");
        }
    }

    #[test]
    fn bytes_are_hex() {
        let mut line = Vec::new();
        encode(&[Value::Bytes(vec![0, 255])], &mut line);
        assert_eq!(line, b"\\\\x00ff\n");
        assert_eq!(decode(b"\\\\x00ff", &[Kind::Bytes]).unwrap(), [Value::Bytes(vec![0, 255])]);
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        assert!(decode(b"1", &[Kind::Int(8), Kind::Int(8)]).is_err());
        assert!(decode(b"1\t2", &[Kind::Int(8)]).is_err());
        assert!(decode(b"x", &[Kind::Int(8)]).is_err());
        assert!(decode(b"\\", &[Kind::Text { max: None, padded: false }]).is_err());
        assert!(decode(&[0xff], &[Kind::Text { max: None, padded: false }]).is_err());
    }
}
