//! Binary forms as a server makes them, and the way back.

use super::encode::{Format, plain_moment};
use super::*;
use crate::sql::ColumnType;

/// The bytes of one field, without its length.
fn encoded(value: &Value, kind: &Kind) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    Format::Copy.value(value, kind, &mut out).then(|| out[4..].to_vec())
}

fn hex(text: &str) -> Vec<u8> {
    crate::key::hex_bytes(text).unwrap()
}

#[test]
fn known_forms_of_a_server() {
    // SELECT encode(numeric_send(x), 'hex') and its like, PostgreSQL 15.
    let typed = |scalar, text: &str| Value::Typed(scalar, text.to_owned());
    for (kind, bytes, value) in [
        (Kind::Numeric(None), "0000000000000000", Value::Number("0".into())),
        (Kind::Numeric(None), "0000000000000002", Value::Number("0.00".into())),
        (Kind::Numeric(None), "00000000c0000000", Value::Number("NaN".into())),
        (Kind::Numeric(None), "0002000040000002000c1388", Value::Number("-12.50".into())),
        (Kind::Numeric(None), "0001ffff000000030032", Value::Number("0.005".into())),
        (Kind::Numeric(None), "00010001000000000001", Value::Number("10000".into())),
        (Kind::Date, "00000000", typed(Scalar::Date, "2000-01-01")),
        (Kind::Date, "7fffffff", typed(Scalar::Date, "infinity")),
        (
            Kind::Timestamp(6),
            "0000000000000001",
            typed(Scalar::Timestamp, "2000-01-01 00:00:00.000001"),
        ),
        (
            Kind::TimestampTz(6),
            "ffffffffffffffff",
            typed(Scalar::TimestampTz, "1999-12-31 23:59:59.999999+00"),
        ),
        (Kind::TimestampTz(6), "8000000000000000", typed(Scalar::TimestampTz, "-infinity")),
        (Kind::Time(6), "000000141dd76000", typed(Scalar::Time, "24:00:00")),
        (Kind::Bool, "01", Value::Bool(true)),
        (Kind::Jsonb, "017b7d", Value::Json("{}".into())),
    ] {
        let bytes = hex(bytes);
        assert_eq!(Cell::Wire(&bytes).value(&kind), Ok(value.clone()), "{kind:?} {bytes:?}");
        assert_eq!(encoded(&value, &kind), Some(bytes), "{value:?}");
    }
}

#[test]
fn decimals_keep_every_digit_both_ways() {
    for text in [
        "1",
        "-1",
        "9999",
        "10000",
        "99999999",
        "100000000",
        "0.1",
        "0.0001",
        "0.00001",
        "-0.00010",
        "123456789012345678901234567890.123456789",
        "83476.30",
        "1000000000000",
        "0.1000",
        "42.0",
    ] {
        let bytes = encoded(&Value::Number(text.into()), &Kind::Numeric(None)).unwrap();
        let value = Cell::Wire(&bytes).value(&Kind::Numeric(None));
        assert_eq!(value, Ok(Value::Number(text.into())));
    }
    for text in ["", "-", "1e5", "1.2.3", "+1", "x", ".5", " 1"] {
        assert_eq!(encoded(&Value::Number(text.into()), &Kind::Numeric(None)), None, "{text}");
    }
}

#[test]
fn times_of_all_ages_come_back() {
    for text in [
        "2024-02-29 23:59:59.5",
        "0044-03-15 00:00:00 BC",
        "4713-11-24 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
        "10000-01-01 00:00:00",
        "1969-12-31 00:00:00.000001",
    ] {
        let value = Value::Typed(Scalar::Timestamp, text.to_owned());
        let bytes = encoded(&value, &Kind::Timestamp(6)).unwrap();
        assert_eq!(Cell::Wire(&bytes).value(&Kind::Timestamp(6)), Ok(value));
    }
    // A zone that is not UTC, more digits than microseconds: not certain, so not written.
    for text in ["2024-01-01 00:00:00+02", "2024-01-01 00:00:00.1234567+00", "nonsense"] {
        let value = Value::Typed(Scalar::TimestampTz, text.to_owned());
        assert_eq!(encoded(&value, &Kind::TimestampTz(6)), None);
    }
}

#[test]
fn json_of_a_cell_is_the_json_of_its_value() {
    let fields: Vec<(Kind, Vec<u8>)> = [
        (Kind::Int(8), Value::Int(i64::MIN)),
        (Kind::Int(2), Value::Int(-7)),
        (Kind::Float8, Value::Float(1e23)),
        (Kind::Float4, Value::Real(0.1)),
        (Kind::Numeric(None), Value::Number("NaN".into())),
        (Kind::Numeric(None), Value::Number("-0.50".into())),
        (Kind::Text { max: None, padded: false }, Value::Text("a\"\u{1}é".into())),
        (Kind::Bytes, Value::Bytes(vec![0, 255])),
        (Kind::Json, Value::Json("{\"a\": 1.10}".into())),
        (Kind::Jsonb, Value::Json("[1]".into())),
        (
            Kind::TimestampTz(6),
            Value::Typed(Scalar::TimestampTz, "0044-03-15 00:00:00+00 BC".into()),
        ),
        (Kind::Timestamp(6), Value::Typed(Scalar::Timestamp, "2024-01-31 10:00:00.5".into())),
        (Kind::Date, Value::Typed(Scalar::Date, "-infinity".into())),
        (Kind::Time(6), Value::Typed(Scalar::Time, "10:00:00".into())),
    ]
    .into_iter()
    .map(|(kind, value)| {
        let bytes = encoded(&value, &kind).unwrap();
        (kind, bytes)
    })
    .collect();
    for (kind, bytes) in fields {
        let (mut direct, mut through) = (String::new(), String::new());
        assert!(Cell::Wire(&bytes).write_json(&kind, &mut direct));
        Cell::Wire(&bytes).value(&kind).unwrap().write_json(&mut through);
        assert_eq!(direct, through, "{kind:?}");
    }
}

#[test]
fn broken_bytes_are_no_value() {
    for kind in [
        Kind::Bool,
        Kind::Int(4),
        Kind::Float8,
        Kind::Numeric(None),
        Kind::Jsonb,
        Kind::Date,
        Kind::Time(6),
        Kind::Timestamp(6),
        Kind::Uuid,
    ] {
        assert!(Cell::Wire(&[9, 9, 9]).value(&kind).is_err(), "{kind:?}");
        let mut out = String::new();
        assert!(!Cell::Wire(&[9, 9, 9]).write_json(&kind, &mut out), "{kind:?}");
    }
    assert!(Cell::Wire(&[0xff]).value(&Kind::Text { max: None, padded: false }).is_err());
}

#[test]
fn a_moment_that_is_read_plainly_is_the_one_that_a_cast_reads() {
    let days = ["2024-02-29", "2023-02-29", "0001-01-01", "9999-12-31", "0000-01-01", "2024-13-01"];
    let clocks =
        ["00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "1:00:00", "aa:00:00"];
    let rests = ["", ".5", ".123456", ".1234567", ".", "Z", ".25+00", "+00:00", "+02", " ", "z"];
    let mut plain = 0;
    for (day, clock) in days.iter().flat_map(|day| clocks.map(|clock| (day, clock))) {
        for (mark, rest) in [" ", "T", "x"].iter().flat_map(|mark| rests.map(|rest| (mark, rest))) {
            let text = format!("{day}{mark}{clock}{rest}");
            for kind in [Kind::Timestamp(6), Kind::Timestamp(3), Kind::TimestampTz(6)] {
                let zoned = matches!(kind, Kind::TimestampTz(_));
                let digits = if kind == Kind::Timestamp(3) { 3 } else { 6 };
                let mut got = Vec::new();
                if !plain_moment(&text, digits, zoned, &mut got) {
                    continue;
                }
                plain += 1;
                let to = ColumnType { kind: kind.clone(), name: String::new() };
                let fitted = crate::mapping::cast::fit(Value::Text(text.clone()), &to, false);
                let mut wanted = Vec::new();
                assert!(Format::Copy.value(&fitted.unwrap(), &kind, &mut wanted), "{text}");
                assert_eq!(got, wanted, "{text} {kind:?}");
            }
        }
    }
    assert_eq!(plain, 3 * 2 * 2 * (3 + 2 + 6), "days, clocks, marks, and rests by kind");
}
