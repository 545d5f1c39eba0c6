//! PostgreSQL's binary forms: any bytes are a value or unreadable, and a value that has a binary
//! form comes back from it as it was.

use tablelift::mapping::wire::Cell;
use tablelift::mapping::wire::encode::Format;
use tablelift::sql::{Affinity, Kind};
use tablelift::value::{Scalar, Value};

use super::feed::Feed;

/// The input as a server's field of each kind, and as decisions that make values.
pub fn run(data: &[u8]) {
    for kind in &KINDS {
        if let Ok(value) = Cell::Wire(data).value(kind) {
            survives(&value, kind);
        }
        Cell::Wire(data).write_json(kind, &mut String::new());
    }
    let mut feed = Feed(data);
    for _ in 0..feed.below(5) {
        let value = feed.value();
        survives(&value, &kind(&value));
    }
}

const KINDS: [Kind; 16] = [
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
    Kind::Time(6),
    Kind::Timestamp(6),
    Kind::TimestampTz(6),
    Kind::Uuid,
    Kind::Opaque { json_by_server: true, portable: false },
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
        Value::Bytes(_) | Value::Malformed(_) => Kind::Bytes,
        Value::Json(_) => Kind::Json,
        Value::Typed(scalar, _) => match scalar {
            Scalar::Date => Kind::Date,
            Scalar::Time => Kind::Time(6),
            Scalar::TimeTz => Kind::TimeTz(6),
            Scalar::Timestamp => Kind::Timestamp(6),
            Scalar::TimestampTz => Kind::TimestampTz(6),
            Scalar::Interval => Kind::Interval,
            Scalar::Uuid => Kind::Uuid,
            Scalar::Opaque => Kind::Opaque { json_by_server: false, portable: false },
        },
    }
}

fn survives(value: &Value, kind: &Kind) {
    let mut out = Vec::new();
    if !Format::Copy.value(value, kind, &mut out) {
        return;
    }
    let cell = if value.is_null() { Cell::Null } else { Cell::Wire(&out[4..]) };
    let again = cell.value(kind).expect("what was written can be read");
    assert!(same(&again, value), "{value:?} came back as {again:?}");
    let mut twice = Vec::new();
    assert!(Format::Copy.value(&again, kind, &mut twice) && (twice == out || is_nan(value)));
    let (mut direct, mut through) = (String::new(), String::new());
    if cell.write_json(kind, &mut direct) {
        again.write_json(&mut through);
        assert_eq!(direct, through);
    }
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Float(f) if f.is_nan()) || matches!(value, Value::Real(f) if f.is_nan())
}

/// Equal; NaN is NaN (which one, no server keeps). -0 and 007 are read as 0 and 7, and texts of
/// one moment as the server's own, which then has the same bytes.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
        }
        (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::Number(a), Value::Number(b)) => {
            let plain = |text: &str| {
                let (sign, body) = text.strip_prefix('-').map_or(("", text), |body| ("-", body));
                let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
                let whole = whole.trim_start_matches('0');
                let zero = !format!("{whole}{fraction}").contains(|c: char| c != '0');
                format!("{}{whole}.{fraction}", if zero { "" } else { sign })
            };
            plain(a) == plain(b)
        }
        (Value::Typed(a, left), Value::Typed(b, right)) => {
            a == b && (left == right || *a != Scalar::Opaque)
        }
        (a, b) => a == b,
    }
}
