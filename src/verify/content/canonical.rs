//! One spelling for each value that a column can hold: what a faithful copy stores and what the
//! target gives back are the same bytes, whatever way they took, and any other value is not.
//! Written without the copier's own encoders, which it has to catch.

use super::documents;
use crate::mapping::numeric_form;
use crate::sql::{Affinity, ColumnType, Flavor, Kind};
use crate::value::Value;

/// Whether a column of this type in this database holds the same for both.
pub fn same(expected: &Value, found: &Value, ty: &ColumnType, flavor: Flavor) -> bool {
    // To `==`, the two zeros are one.
    let is_float = matches!(expected, Value::Float(_) | Value::Real(_));
    if !is_float && expected == found {
        return true;
    }
    if expected.is_null() != found.is_null() {
        return false;
    }
    if let (Kind::Jsonb, Value::Json(one) | Value::Text(one), Value::Json(two)) =
        (&ty.kind, expected, found)
    {
        return documents::same(one, two);
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    write(expected, ty, flavor, &mut one);
    write(found, ty, flavor, &mut two);
    one == two
}

/// Appends the value's one spelling. A byte in front tells NULL and SQLite's storage classes
/// apart; what follows has no end mark.
pub fn write(value: &Value, ty: &ColumnType, flavor: Flavor, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(b'n');
        return;
    }
    if let Kind::Dynamic(affinity) = ty.kind {
        return stored(value, affinity, out);
    }
    if let Value::Bytes(bytes) | Value::Malformed(bytes) = value {
        out.push(b'b');
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b't');
    if let Value::Bool(b) = value
        && !matches!(ty.kind, Kind::Text { .. } | Kind::Json | Kind::Jsonb)
    {
        out.push(if *b { b'1' } else { b'0' });
        return;
    }
    if matches!(ty.kind, Kind::Float4 | Kind::Float8)
        && let Some(f) = float(value)
    {
        let f = if flavor == Flavor::Mysql && f == 0.0 { 0.0 } else { f };
        match ty.kind {
            Kind::Float4 => out.extend_from_slice(&(f as f32).to_bits().to_be_bytes()),
            _ => out.extend_from_slice(&f.to_bits().to_be_bytes()),
        }
        return;
    }
    let text = value.to_text().unwrap_or_default();
    match ty.kind {
        // A scale that the column has is no part of the value.
        Kind::Numeric(Some(_)) => out.extend_from_slice(without_zeros(&text).as_bytes()),
        Kind::Numeric(None) if flavor == Flavor::Mysql => {
            out.extend_from_slice(without_zeros(&text).as_bytes());
        }
        Kind::Numeric(None) => {
            out.extend_from_slice(numeric_form(&text).unwrap_or(text).as_bytes());
        }
        Kind::Text { padded: true, .. } => {
            out.extend_from_slice(text.trim_end_matches(' ').as_bytes());
        }
        Kind::Jsonb => out.extend_from_slice(documents::canonical(&text).as_bytes()),
        Kind::Time(_) | Kind::Timestamp(_) | Kind::TimestampTz(_) => moment(&text, out),
        Kind::Uuid => out.extend_from_slice(text.to_ascii_lowercase().as_bytes()),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// As SQLite stores it: by class, and as the column's affinity makes it.
fn stored(value: &Value, affinity: Affinity, out: &mut Vec<u8>) {
    let integer = |i: i64, out: &mut Vec<u8>| {
        out.push(b'i');
        out.extend_from_slice(&i.to_be_bytes());
    };
    match value {
        Value::Bool(b) => integer(i64::from(*b), out),
        Value::Int(i) if affinity == Affinity::Real && i.unsigned_abs() <= 1 << 53 => {
            stored(&Value::Float(*i as f64), affinity, out);
        }
        Value::Int(i) => integer(*i, out),
        Value::Real(f) => stored(&Value::Float(f64::from(*f)), affinity, out),
        Value::Float(f) => {
            let whole = f.trunc() == *f && f.abs() < 9.2e18;
            if whole && !matches!(affinity, Affinity::Real | Affinity::Text | Affinity::Blob) {
                return integer(*f as i64, out);
            }
            out.push(b'f');
            // The file has no zero with a sign.
            let f = if *f == 0.0 { 0.0 } else { *f };
            out.extend_from_slice(&f.to_bits().to_be_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(b'b');
            out.extend_from_slice(bytes);
        }
        Value::Malformed(bytes) => {
            out.push(b't');
            out.extend_from_slice(bytes);
        }
        other => {
            out.push(b't');
            out.extend_from_slice(other.to_text().unwrap_or_default().as_bytes());
        }
    }
}

/// The number, with one NaN.
fn float(value: &Value) -> Option<f64> {
    let f = match value {
        Value::Float(f) => *f,
        Value::Real(f) => f64::from(*f),
        other => match other.to_text()?.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            text => text.parse().ok()?,
        },
    };
    Some(if f.is_nan() { f64::NAN } else { f })
}

/// `1.50` → `1.5`, `-0.00` → `0`.
fn without_zeros(text: &str) -> String {
    let text = numeric_form(text).unwrap_or_else(|| text.to_owned());
    if !text.contains('.') {
        return text;
    }
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// Without zeros at the end of the second's fraction, and without the zone, which is UTC.
fn moment(text: &str, out: &mut Vec<u8>) {
    let (body, era) = match text.strip_suffix(" BC") {
        Some(body) => (body, " BC"),
        None => (text, ""),
    };
    let body = body.strip_suffix("+00").unwrap_or(body);
    let body = match body.rsplit_once('.') {
        Some((_, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            body.trim_end_matches('0').trim_end_matches('.')
        }
        _ => body,
    };
    out.extend_from_slice(body.as_bytes());
    out.extend_from_slice(era.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Scalar;

    fn ty(kind: Kind) -> ColumnType {
        ColumnType { kind, name: "t".to_owned() }
    }

    #[test]
    fn what_a_column_keeps_alike_is_the_same() {
        let number = |text: &str| Value::Number(text.to_owned());
        let text = |text: &str| Value::Text(text.to_owned());
        let at = |text: &str| Value::Typed(Scalar::Timestamp, text.to_owned());
        let fixed = Kind::Numeric(Some((10, 2)));
        let padded = Kind::Text { max: Some(5), padded: true };
        let pairs = [
            (number("1.5"), number("1.50"), fixed, Flavor::Postgres),
            (Value::Int(7), number("7.00"), Kind::Numeric(None), Flavor::Mysql),
            (text("ab"), text("ab   "), padded, Flavor::Postgres),
            (
                at("2024-01-01 00:00:00.5"),
                at("2024-01-01 00:00:00.500000"),
                Kind::Timestamp(6),
                Flavor::Mysql,
            ),
            (Value::Float(f64::NAN), Value::Float(-f64::NAN), Kind::Float8, Flavor::Postgres),
            (Value::Bool(true), Value::Int(1), Kind::Int(2), Flavor::Mysql),
            (Value::Float(2.0), Value::Int(2), Kind::Dynamic(Affinity::Numeric), Flavor::Sqlite),
        ];
        for (one, two, kind, flavor) in pairs {
            assert!(same(&one, &two, &ty(kind), flavor), "{one:?} {two:?}");
        }
    }

    #[test]
    fn what_differs_at_all_is_not() {
        let text = |text: &str| Value::Text(text.to_owned());
        let plain = Kind::Text { max: None, padded: false };
        let pairs = [
            (Value::Null, text(""), plain.clone(), Flavor::Postgres),
            (Value::Null, text("NULL"), plain.clone(), Flavor::Postgres),
            (text("n"), Value::Null, plain.clone(), Flavor::Postgres),
            (text("a"), text("a "), plain, Flavor::Postgres),
            (
                Value::Number("1.0".into()),
                Value::Number("1.00".into()),
                Kind::Numeric(None),
                Flavor::Postgres,
            ),
            (Value::Float(0.0), Value::Float(-0.0), Kind::Float8, Flavor::Postgres),
            (text("1"), Value::Int(1), Kind::Dynamic(Affinity::Blob), Flavor::Sqlite),
            (text("x"), Value::Bytes(b"x".to_vec()), Kind::Dynamic(Affinity::Blob), Flavor::Sqlite),
            (Value::Int(1), Value::Float(1.0), Kind::Dynamic(Affinity::Blob), Flavor::Sqlite),
        ];
        for (one, two, kind, flavor) in pairs {
            assert!(!same(&one, &two, &ty(kind), flavor), "{one:?} {two:?}");
        }
    }
}
