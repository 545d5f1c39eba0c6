//! COPY's text format: any line is a row or an error, and a row comes back as it went out.

use tablelift::db::postgres::copy_text::{decode, encode};
use tablelift::sql::{Affinity, Kind};
use tablelift::value::{Scalar, Value};

use super::feed::Feed;

/// The input as a server's line, and as decisions that make a row.
pub fn run(data: &[u8]) {
    let mut feed = Feed(data);
    let kinds: Vec<Kind> = (0..feed.below(5)).map(|_| feed.pick(&KINDS).clone()).collect();
    for line in feed.0.split(|byte| *byte == b'\n') {
        if let Ok(row) = decode(line, &kinds)
            && !kinds.is_empty()
        {
            survives(&row, &kinds);
        }
    }
    let row: Vec<Value> = (0..feed.below(5)).map(|_| feed.value()).collect();
    let kinds: Vec<Kind> = row.iter().map(kind).collect();
    survives(&row, &kinds);
}

const KINDS: [Kind; 14] = [
    Kind::Text { max: None, padded: false },
    Kind::Bool,
    Kind::Int(8),
    Kind::Float4,
    Kind::Float8,
    Kind::Numeric(None),
    Kind::Bytes,
    Kind::Json,
    Kind::Jsonb,
    Kind::Date,
    Kind::TimestampTz(6),
    Kind::Uuid,
    Kind::Opaque { json_by_server: true },
    Kind::Dynamic(Affinity::Blob),
];

/// The kind whose fields are such values.
fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) => Kind::Int(8),
        Value::Real(_) => Kind::Float4,
        Value::Float(_) => Kind::Float8,
        Value::Number(_) => Kind::Numeric(None),
        Value::Null | Value::Text(_) => Kind::Text { max: None, padded: false },
        Value::Bytes(_) => Kind::Bytes,
        Value::Json(_) => Kind::Json,
        Value::Typed(scalar, _) => match scalar {
            Scalar::Date => Kind::Date,
            Scalar::Time => Kind::Time(6),
            Scalar::TimeTz => Kind::TimeTz(6),
            Scalar::Timestamp => Kind::Timestamp(6),
            Scalar::TimestampTz => Kind::TimestampTz(6),
            Scalar::Interval => Kind::Interval,
            Scalar::Uuid => Kind::Uuid,
            Scalar::Opaque => Kind::Opaque { json_by_server: false },
        },
    }
}

fn survives(row: &[Value], kinds: &[Kind]) {
    let mut line = Vec::new();
    encode(row, &mut line);
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(!line.contains(&b'\n'), "one row is one line");
    match decode(&line, kinds) {
        Ok(again) => assert!(same(&again, row), "{row:?} came back as {again:?}"),
        Err(error) => panic!("{row:?}: {error}"),
    }
}

/// Equal, and NaN is NaN; which NaN, no server keeps.
fn same(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Value::Float(a), Value::Float(b)) => {
                a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
            }
            (Value::Real(a), Value::Real(b)) => {
                a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
            }
            (a, b) => a == b,
        })
}
