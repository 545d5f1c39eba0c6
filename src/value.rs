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
    /// What a database holds as text and is not UTF-8.
    Malformed(Vec<u8>),
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
            Value::Malformed(_) => "text",
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
            Value::Real(f) => Shortest::real(*f).text(6),
            Value::Float(f) => Shortest::double(*f).text(15),
            Value::Number(s) | Value::Text(s) | Value::Json(s) | Value::Typed(_, s) => s.clone(),
            Value::Bytes(bytes) | Value::Malformed(bytes) => hex_text(bytes),
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
            Value::Real(f) => Shortest::real(*f).write_json(out),
            Value::Float(f) => Shortest::double(*f).write_json(out),
            Value::Number(s)
                if s.starts_with(|c: char| c.is_ascii_digit() || c == '-' && s.len() > 1)
                    && !s.contains("Inf") =>
            {
                out.push_str(s);
            }
            Value::Json(s) => out.push_str(s),
            Value::Bytes(bytes) | Value::Malformed(bytes) => {
                write_json_string(&hex_text(bytes), out);
            }
            Value::Number(s) | Value::Text(s) => write_json_string(s, out),
            Value::Typed(scalar, s) => write_json_string(&json_time(*scalar, s), out),
        }
    }
}

/// The digits that PostgreSQL prints for a float: the fewest that read back as the same value.
enum Shortest {
    /// `NaN`, `Infinity` or `-Infinity`.
    Special(&'static str),
    /// `d.ddd × 10^exponent`.
    Digits { negative: bool, digits: String, exponent: i32 },
}

impl Shortest {
    fn double(f: f64) -> Self {
        if !f.is_finite() {
            return Shortest::special(f);
        }
        let mut text = even(format!("{f:e}"), |digits| format!("{f:.digits$e}"));
        let size = f.abs();
        if (9_007_199_254_740_992.0..1e38).contains(&size) {
            let halves = [size.next_down(), size.next_up()].map(|near| near as u128 + size as u128);
            text = inside(text, &halves, |digits| format!("{f:.digits$e}"));
        }
        Shortest::digits(&text)
    }

    fn real(f: f32) -> Self {
        if !f.is_finite() {
            return Shortest::special(f64::from(f));
        }
        let mut text = even(format!("{f:e}"), |digits| format!("{f:.digits$e}"));
        let size = f.abs();
        if (16_777_216.0..1e38).contains(&size) {
            let halves = [size.next_down(), size.next_up()].map(|near| near as u128 + size as u128);
            text = inside(text, &halves, |digits| format!("{f:.digits$e}"));
        }
        Shortest::digits(&text)
    }

    fn special(f: f64) -> Self {
        Shortest::Special(if f.is_nan() {
            "NaN"
        } else if f > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    }

    /// Takes `-1.25e-7` apart.
    fn digits(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let kept = digits.trim_end_matches('0').len().max(1);
        Shortest::Digits {
            negative: mantissa.starts_with('-'),
            digits: digits[..kept].to_owned(),
            exponent: exponent.parse().unwrap_or(0),
        }
    }

    /// The text form: an exponent below 1e-4 and from `10^wide` on.
    fn text(&self, wide: i32) -> String {
        match self {
            Shortest::Special(name) => (*name).to_owned(),
            Shortest::Digits { negative, digits, exponent } => {
                if (-4..wide).contains(exponent) {
                    return plain(*negative, digits, *exponent);
                }
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                let sign = if *negative { "-" } else { "" };
                let direction = if *exponent < 0 { '-' } else { '+' };
                format!("{sign}{first}{dot}{rest}e{direction}{:02}", exponent.abs())
            }
        }
    }

    /// jsonb keeps numbers as decimals: no exponent, and no negative zero.
    fn write_json(&self, out: &mut String) {
        match self {
            Shortest::Special(name) => write_json_string(name, out),
            Shortest::Digits { digits, .. } if digits == "0" => out.push('0'),
            Shortest::Digits { negative, digits, exponent } => {
                out.push_str(&plain(*negative, digits, *exponent));
            }
        }
    }
}

/// Of two shortest texts that are equally near, PostgreSQL takes the even one (4601.15625 as a
/// real is 4601.1562); the standard library may take the other.
fn even(text: String, with_digits: impl Fn(usize) -> String) -> String {
    let mantissa = text.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits < 7 || !mantissa.ends_with(['1', '3', '5', '7', '9']) {
        return text;
    }
    // What stands behind the digits; a float that is not half way differs long before its end.
    let longer = with_digits(digits + 40);
    let all: Vec<u8> = longer.bytes().take_while(|byte| *byte != b'e').collect();
    let behind: Vec<u8> = all.into_iter().filter(u8::is_ascii_digit).skip(digits).collect();
    let half = behind.first() == Some(&b'5') && behind.iter().skip(1).all(|byte| *byte == b'0');
    // Half way, this rounds to even.
    if half { with_digits(digits - 1) } else { text }
}

/// PostgreSQL does not accept digits that lie exactly half way between two floats (1e23); the
/// standard library does. Such a text gets one digit more. `doubled` holds twice the half ways.
fn inside(text: String, doubled: &[u128; 2], with_digits: impl Fn(usize) -> String) -> String {
    let Shortest::Digits { digits, exponent, .. } = Shortest::digits(&text) else {
        return text;
    };
    let zeros = usize::try_from(exponent).unwrap_or(0) + 1;
    let whole = format!("{digits:0<zeros$}").parse::<u128>().unwrap_or(0);
    if digits.len() <= zeros && doubled.contains(&whole.saturating_mul(2)) {
        return with_digits(digits.len().max(15));
    }
    text
}

/// Digits without an exponent.
fn plain(negative: bool, digits: &str, exponent: i32) -> String {
    let sign = if negative { "-" } else { "" };
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = usize::try_from(-1 - exponent).unwrap_or(0);
        return format!("{sign}0.{:0<zeros$}{digits}", "");
    };
    if digits.len() <= exponent + 1 {
        return format!("{sign}{digits:0<width$}", width = exponent + 1);
    }
    let (whole, fraction) = digits.split_at(exponent + 1);
    format!("{sign}{whole}.{fraction}")
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
        assert_eq!(json(Value::Float(1e23)), "99999999999999990000000");
        assert_eq!(json(Value::Float(-1.5e-7)), "-0.00000015");
        assert_eq!(json(Value::Number("NaN".into())), "\"NaN\"");
        assert_eq!(json(Value::Number("-Infinity".into())), "\"-Infinity\"");
        assert_eq!(json(Value::Float(f64::INFINITY)), "\"Infinity\"");
    }

    #[test]
    fn floats_print_as_postgresql_prints_them() {
        let text = |f: f64| Value::Float(f).to_text().unwrap_or_default();
        for (f, expected) in [
            (1e23, "9.999999999999999e+22"),
            (1e22, "1e+22"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-0.0, "-0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-12.5, "-12.5"),
        ] {
            assert_eq!(text(f), expected);
        }
        assert_eq!(Value::Real(1_234_567.0).to_text().as_deref(), Some("1.234567e+06"));
        assert_eq!(Value::Real(0.1).to_text().as_deref(), Some("0.1"));
        for (f, expected) in [
            (4_601.0 + 0.156_25, "4601.1562"),
            (-4_601.0 - 0.156_25, "-4601.1562"),
            (65_535.0 + 0.062_5, "65535.062"),
            (65_535.0 + 0.187_5, "65535.188"),
            (4_601.156_7, "4601.1567"),
        ] {
            assert_eq!(Value::Real(f).to_text().as_deref(), Some(expected));
        }
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
