use super::*;
use crate::mapping::cast::parse_type;

fn to(name: &str) -> ColumnType {
    parse_type(name).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn number(value: &str) -> Value {
    Value::Number(value.into())
}

#[track_caller]
fn fits(value: Value, name: &str, expected: &str) {
    let got = fit(value, &to(name), false).unwrap();
    assert_eq!(got.to_text().as_deref(), Some(expected), "{name}");
}

#[track_caller]
fn refused(value: Value, name: &str) {
    assert!(fit(value.clone(), &to(name), false).is_err(), "{value:?} into {name}");
}

#[test]
fn integers_stay_in_range() {
    fits(Value::Int(32767), "smallint", "32767");
    refused(Value::Int(32768), "smallint");
    refused(Value::Int(1 << 31), "integer");
    fits(number("9223372036854775807"), "bigint", "9223372036854775807");
    refused(number("18446744073709551615"), "bigint");
    refused(Value::Float(2.5), "bigint");
    fits(Value::Float(2.0), "bigint", "2");
    refused(text("abc"), "bigint");
}

#[test]
fn decimals_keep_their_places() {
    refused(number("1.005"), "numeric(6,2)");
    fits(number("1.500"), "numeric(6,2)", "1.500");
    refused(number("12345.00"), "numeric(6,2)");
    fits(number("1e5"), "numeric", "1e5");
    refused(text("12x"), "numeric");
    assert!(fit(number("1.005"), &to("numeric(6,2)"), true).is_ok());
}

#[test]
fn floats_are_exact_or_refused() {
    refused(Value::Int((1 << 53) + 1), "double precision");
    fits(number("0.1"), "double precision", "0.1");
    refused(number("0.12345678901234567890"), "double precision");
    refused(Value::Float(0.1 + 0.2), "real");
}

#[test]
fn text_is_never_cut() {
    refused(text("abc "), "varchar(3)");
    fits(text("äöü"), "varchar(3)", "äöü");
    refused(text("a\0b"), "text");
    fits(Value::Bool(true), "text", "true");
    refused(Value::Bytes(vec![1]), "text");
}

#[test]
fn dates_follow_the_calendar() {
    fits(text("2024-02-29"), "date", "2024-02-29");
    refused(text("2023-02-29"), "date");
    refused(text("0000-00-00"), "date");
    refused(text("2024-00-15"), "date");
    fits(text("0009-12-04"), "date", "0009-12-04");
    fits(text("infinity"), "timestamptz", "infinity");
    fits(text("2024-01-31T10:00:00Z"), "timestamptz", "2024-01-31 10:00:00+00");
    fits(text("2024-01-31 10:00"), "timestamptz", "2024-01-31 10:00:00+00");
    refused(text("2024-01-31 10:00:00+02"), "timestamp");
    refused(text("2024-01-31 10:00:00.6"), "timestamp(0)");
    refused(text("Jan 5"), "timestamptz");
    let naive = Value::Typed(Scalar::Timestamp, "2024-01-31 10:00:00".into());
    refused(naive.clone(), "timestamptz");
    assert!(cast(naive, &to("timestamptz"), false).is_ok());
}

#[test]
fn json_refuses_what_jsonb_refuses() {
    let json = |text: &str| Value::Json(text.into());
    refused(json(r#"{"a":"\u0000"}"#), "jsonb");
    fits(json(r#"{"a":"\u0000"}"#), "json", r#"{"a":"\u0000"}"#);
    refused(json(r#""\ud800""#), "jsonb");
    fits(json(r#""\ud83d\ude00""#), "jsonb", r#""\ud83d\ude00""#);
    fits(json(r#""\\ud800""#), "jsonb", r#""\\ud800""#);
    refused(text("not json"), "jsonb");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(is_json(&deep));
}

#[test]
fn sqlite_keeps_numbers_or_says_no() {
    let numeric = ColumnType { kind: Kind::Dynamic(Affinity::Numeric), name: "NUMERIC".into() };
    assert_eq!(fit(number("83476.30"), &numeric, false), Ok(Value::Float(83476.3)));
    assert!(fit(number("9999999999999999.99"), &numeric, false).is_err());
    assert!(fit(text("007"), &numeric, false).is_err());
    assert!(fit(Value::Float(f64::NAN), &numeric, false).is_err());
    let column = ColumnType { kind: Kind::Dynamic(Affinity::Text), name: "TEXT".into() };
    assert_eq!(fit(number("1.10"), &column, false), Ok(text("1.10")));
}
