//! One value on its way from the source to the target, and what JSON makes of it.
//!
//! Numbers that a float could change travel as text from end to end. The JSON form of a value
//! is what PostgreSQL's `to_jsonb` makes of the same value, whatever the source database.

use std::fmt::Write as _;

/// One value. `Typed` keeps what only the server's own text form says exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A 4-byte float; kept apart because its shortest text differs from the 8-byte one.
    Real(f32),
    /// An 8-byte float.
    Float(f64),
    /// An exact decimal in PostgreSQL's text form, including `NaN` and `Infinity`.
    Number(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A JSON document as its own text, never re-parsed into floats.
    Json(String),
    /// A value of another type in the source server's text form.
    Typed(Scalar, String),
}

/// Types that travel as the server's own text and whose JSON form is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// `2024-01-31`
    Date,
    /// `10:00:00`
    Time,
    /// `10:00:00+00`
    TimeTz,
    /// `2024-01-31 10:00:00`
    Timestamp,
    /// `2024-01-31 10:00:00+00`
    TimestampTz,
    /// `1 mon -3 days`
    Interval,
    /// `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`
    Uuid,
    /// Anything else; its JSON form is the text as a JSON string.
    Opaque,
}

/// One source row: one value per input of a bound mapping, in that order.
pub type Row = Vec<Value>;

impl Value {
    /// True for SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The name of the value's own type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Real(_) => "real",
            Value::Float(_) => "double precision",
            Value::Number(_) => "numeric",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Json(_) => "json",
            Value::Typed(scalar, _) => match scalar {
                Scalar::Date => "date",
                Scalar::Time => "time",
                Scalar::TimeTz => "timetz",
                Scalar::Timestamp => "timestamp",
                Scalar::TimestampTz => "timestamptz",
                Scalar::Interval => "interval",
                Scalar::Uuid => "uuid",
                Scalar::Opaque => "opaque",
            },
        }
    }

    /// The value's text form: what PostgreSQL prints for it with a pinned session, `None` for
    /// NULL. Bytes are `\x` and hex digits.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(b) => if *b { "true" } else { "false" }.to_owned(),
            Value::Int(i) => i.to_string(),
            Value::Real(f) => float_text(f64::from(*f), f.to_string()),
            Value::Float(f) => float_text(*f, f.to_string()),
            Value::Number(s) | Value::Text(s) | Value::Json(s) | Value::Typed(_, s) => s.clone(),
            Value::Bytes(bytes) => hex_text(bytes),
        })
    }

    /// Appends what `to_jsonb` makes of the value, as JSON text.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => {
                let _ = write!(out, "{i}");
            }
            Value::Real(f) if *f == 0.0 => out.push('0'),
            Value::Float(f) if *f == 0.0 => out.push('0'),
            Value::Real(f) if f.is_finite() => {
                let _ = write!(out, "{f}");
            }
            Value::Float(f) if f.is_finite() => {
                let _ = write!(out, "{f}");
            }
            Value::Real(_) | Value::Float(_) => {
                write_json_string(&self.to_text().unwrap_or_default(), out);
            }
            Value::Number(s)
                if s.starts_with(|c: char| c.is_ascii_digit() || c == '-' && s.len() > 1)
                    && !s.contains("Inf") =>
            {
                out.push_str(s);
            }
            Value::Json(s) => out.push_str(s),
            Value::Bytes(bytes) => write_json_string(&hex_text(bytes), out),
            Value::Number(s) | Value::Text(s) => write_json_string(s, out),
            Value::Typed(scalar, s) => write_json_string(&json_time(*scalar, s), out),
        }
    }
}

/// PostgreSQL's spelling of a float; `shortest` is Rust's shortest round-trip form.
fn float_text(f: f64, shortest: String) -> String {
    if f.is_nan() {
        "NaN".to_owned()
    } else if f.is_infinite() {
        if f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        shortest
    }
}

fn hex_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// ISO 8601 with `T` and a full zone, as `to_jsonb` prints timestamps; other types unchanged.
fn json_time(scalar: Scalar, text: &str) -> String {
    match scalar {
        Scalar::Timestamp => text.replacen(' ', "T", 1),
        Scalar::TimestampTz => {
            let (body, era) = match text.strip_suffix(" BC") {
                Some(body) => (body, " BC"),
                None => (text, ""),
            };
            let mut out = body.replacen(' ', "T", 1);
            // `+00` becomes `+00:00`; zones with minutes and `infinity` stay.
            if let Some(at) = out.rfind(['+', '-'])
                && out.contains('T')
                && out.len() - at == 3
            {
                out.push_str(":00");
            }
            out + era
        }
        Scalar::TimeTz
            if text.len() >= 3 && matches!(text.as_bytes()[text.len() - 3], b'+' | b'-') =>
        {
            // to_jsonb prints timetz as the type does.
            text.to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Appends `text` as a JSON string, escaping what RFC 8259 demands and nothing else.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &str = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => {
                out.push_str(&text[start..at]);
                let _ = write!(out, "\\u{byte:04x}");
                start = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[start..at]);
        out.push_str(escape);
        start = at + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: Value) -> String {
        let mut out = String::new();
        value.write_json(&mut out);
        out
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(json(Value::Int(i64::MAX)), "9223372036854775807");
        assert_eq!(
            json(Value::Number("18446744073709551616.10".into())),
            "18446744073709551616.10"
        );
        assert_eq!(json(Value::Float(0.1 + 0.2)), "0.30000000000000004");
        assert_eq!(json(Value::Real(0.1)), "0.1");
        assert_eq!(json(Value::Float(-0.0)), "0");
        assert_eq!(json(Value::Number("NaN".into())), "\"NaN\"");
        assert_eq!(json(Value::Number("-Infinity".into())), "\"-Infinity\"");
        assert_eq!(json(Value::Float(f64::INFINITY)), "\"Infinity\"");
    }

    #[test]
    fn times_are_iso_8601() {
        let ts = |s: &str| json(Value::Typed(Scalar::TimestampTz, s.into()));
        assert_eq!(ts("2024-01-31 10:00:00.5+00"), "\"2024-01-31T10:00:00.5+00:00\"");
        assert_eq!(ts("0044-03-15 00:00:00+00 BC"), "\"0044-03-15T00:00:00+00:00 BC\"");
        assert_eq!(ts("infinity"), "\"infinity\"");
        assert_eq!(ts("-infinity"), "\"-infinity\"");
        let naive = json(Value::Typed(Scalar::Timestamp, "2024-01-31 10:00:00".into()));
        assert_eq!(naive, "\"2024-01-31T10:00:00\"");
    }

    #[test]
    fn strings_escape_only_what_they_must() {
        assert_eq!(json(Value::Text("a\"\\\n\u{1}é😀/".into())), "\"a\\\"\\\\\\n\\u0001é😀/\"");
        assert_eq!(json(Value::Bytes(vec![0, 255])), "\"\\\\x00ff\"");
    }
}
