//! Every conversion as a row of a table: value, target, what comes of it.

mod panics;
mod times;

use super::*;
use crate::value::Scalar::{Date, Interval, Opaque, Time, TimeTz, Timestamp, TimestampTz, Uuid};

fn ty(name: &str) -> ColumnType {
    let affinity = match name {
        "INTEGER" => Affinity::Integer,
        "REAL" => Affinity::Real,
        "NUMERIC" => Affinity::Numeric,
        "TEXT" => Affinity::Text,
        "BLOB" => Affinity::Blob,
        "BOOLEAN" => Affinity::Bool,
        "JSON" => Affinity::Json,
        "mood" => {
            let kind = Kind::Opaque { json_by_server: false, portable: false };
            return ColumnType { kind, name: name.into() };
        }
        name => return parse_type(name).unwrap_or_else(|| panic!("{name} is a type")),
    };
    ColumnType { kind: Kind::Dynamic(affinity), name: name.into() }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn number(text: &str) -> Value {
    Value::Number(text.into())
}

fn typed(scalar: Scalar, text: &str) -> Value {
    Value::Typed(scalar, text.into())
}

/// `Some(text)` is the text form of what is stored, `None` a refusal.
fn table(
    convert: fn(Value, &ColumnType, bool) -> Result<Value, String>,
    cases: &[(Value, &str, Option<&str>)],
) {
    for (value, to, expected) in cases {
        let result = convert(value.clone(), &ty(to), false);
        let shown = result.as_ref().ok().and_then(Value::to_text);
        assert_eq!(shown.as_deref(), *expected, "{value:?} into {to}: {result:?}");
    }
}

#[test]
fn numbers_are_exact_or_refused() {
    table(
        fit,
        &[
            (Value::Int(i64::MAX), "bigint", Some("9223372036854775807")),
            (Value::Int(i64::MIN), "bigint", Some("-9223372036854775808")),
            (Value::Int(32_767), "smallint", Some("32767")),
            (Value::Int(32_768), "smallint", None),
            (Value::Int(-2_147_483_649), "integer", None),
            (Value::Bool(true), "integer", Some("1")),
            (number("2.00"), "bigint", Some("2")),
            (number("2.5"), "bigint", None),
            (number("18446744073709551615"), "bigint", None),
            (number("18446744073709551615"), "numeric", Some("18446744073709551615")),
            (number("NaN"), "bigint", None),
            (Value::Float(3.0), "integer", Some("3")),
            (Value::Float(3.5), "integer", None),
            (Value::Float(1e23), "bigint", None),
            (text("12"), "integer", Some("12")),
            (text("007"), "integer", None),
            (text(" 12"), "integer", None),
            (text("abc"), "integer", None),
            (text(""), "integer", None),
            (Value::Bytes(vec![1]), "integer", None),
            (number("1.005"), "numeric(6,2)", None),
            (number("1.500"), "numeric(6,2)", Some("1.500")),
            (number("9999.99"), "numeric(6,2)", Some("9999.99")),
            (number("10000"), "numeric(6,2)", None),
            (number("0.00"), "numeric(2,2)", Some("0.00")),
            (Value::Int(0), "numeric(2,2)", Some("0")),
            (number("NaN"), "numeric(6,2)", Some("NaN")),
            (number("Infinity"), "numeric(6,2)", None),
            (number("Infinity"), "numeric", Some("Infinity")),
            (Value::Float(0.1 + 0.2), "numeric", Some("0.30000000000000004")),
            (Value::Float(1e300), "numeric(6,2)", None),
            (Value::Real(0.1), "numeric", Some("0.1")),
            (number("1E5"), "numeric", Some("100000")),
            (number("1e400000"), "numeric", None),
            (Value::Int(1 << 53), "double precision", Some("9.007199254740992e+15")),
            (Value::Int((1 << 53) + 1), "double precision", None),
            (Value::Int((1 << 24) + 1), "real", None),
            (number("0.1"), "double precision", Some("0.1")),
            (number("0.1000000000000000055511151231257827"), "double precision", None),
            (number("1e400"), "double precision", None),
            (number("-Infinity"), "double precision", Some("-Infinity")),
            (Value::Float(0.5), "real", Some("0.5")),
            (Value::Float(0.1), "real", None),
            (Value::Float(1e300), "real", None),
            (Value::Float(f64::INFINITY), "real", Some("Infinity")),
            (Value::Float(-0.0), "double precision", Some("-0")),
            (Value::Real(0.1), "double precision", Some("0.10000000149011612")),
        ],
    );
}

#[test]
fn a_double_printed_with_all_its_digits_is_that_double() {
    table(
        fit,
        &[
            (text("48.053808600000004"), "double precision", Some("48.0538086")),
            (text("-122.90254470000001"), "double precision", Some("-122.9025447")),
            (text("0.10000000000000001"), "double precision", Some("0.1")),
            (text("1.0000000000000000"), "double precision", Some("1")),
            (text("0.100000001"), "real", Some("0.1")),
            (text("16777217"), "real", None),
            (text("48.053808600000001"), "double precision", None),
            (text("0.1000000000000000055"), "double precision", None),
            (text("9007199254740993"), "double precision", None),
            (number("48.053808600000004"), "double precision", None),
        ],
    );
}

#[test]
fn a_cast_reads_numbers_generously() {
    let long = "9".repeat(100_000);
    table(fit, &[(number(&long), "numeric", Some(&long))]);
    table(
        cast,
        &[
            (text(" +007 "), "integer", Some("7")),
            (text("1e3"), "bigint", Some("1000")),
            (text("1.5e3"), "numeric", Some("1500")),
            (text("-.5"), "numeric", Some("-0.5")),
            (text("nan"), "double precision", Some("NaN")),
            (text("1.5"), "integer", None),
            (text("0x10"), "integer", None),
            (text("1e999999999999"), "numeric", None),
        ],
    );
    let lossy = |value, to| fit(value, &ty(to), true).is_ok();
    assert!(lossy(number("1.005"), "numeric(6,2)") && lossy(number("2.5"), "bigint"));
    assert!(lossy(Value::Float(0.1), "real") && !lossy(Value::Int(1 << 40), "integer"));
}

#[test]
fn booleans_texts_and_bytes() {
    table(
        fit,
        &[
            (Value::Int(1), "boolean", Some("true")),
            (Value::Int(2), "boolean", None),
            (text("true"), "boolean", Some("true")),
            (text("F"), "boolean", Some("false")),
            (text("yes"), "boolean", None),
            (Value::Bool(true), "text", Some("true")),
            (Value::Bool(true), "uuid", None),
            (text("abc"), "varchar(3)", Some("abc")),
            (text("abc "), "varchar(3)", None),
            (text("äöü"), "varchar(3)", Some("äöü")),
            (text("äöüß"), "char(3)", None),
            (text("a\0b"), "mood", None),
            (typed(Opaque, "happy"), "mood", Some("happy")),
            (Value::Bytes(vec![0xff]), "text", None),
            (Value::Bytes(vec![0, 0xff]), "bytea", Some("\\x00ff")),
            (Value::Bytes(vec![]), "bytea", Some("\\x")),
            (text("\\x00"), "bytea", None),
            (Value::Json("{\"a\": 1}".into()), "text", Some("{\"a\": 1}")),
            (Value::Json("1".into()), "bytea", None),
            (
                text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
                "uuid",
                Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ),
            (text("not"), "uuid", None),
            (Value::Null, "uuid", None),
        ],
    );
    table(
        cast,
        &[
            (text(" Yes "), "boolean", Some("true")),
            (text("0"), "boolean", Some("false")),
            (text("maybe"), "boolean", None),
            (text("\\x00FF"), "bytea", Some("\\x00ff")),
            (text("\\x0"), "bytea", None),
            (text("\\xé0"), "bytea", None),
            (Value::Float(1e300), "text", Some("1e+300")),
            (Value::Bytes(vec![0; 16]), "uuid", Some("00000000-0000-0000-0000-000000000000")),
            (Value::Bytes(vec![0; 15]), "uuid", None),
        ],
    );
}

#[test]
fn json_is_kept_as_text() {
    let json = |text: &str| Value::Json(text.into());
    table(
        fit,
        &[
            (json("{\"a\": 1.10, \"a\": -0}"), "json", Some("{\"a\": 1.10, \"a\": -0}")),
            (json("1e400"), "jsonb", Some("1e400")),
            (json("1e400000"), "jsonb", None),
            (json("\"\\u0000\""), "jsonb", None),
            (json("\"\\u0000\""), "json", Some("\"\\u0000\"")),
            (json("\"\\ud800\""), "jsonb", None),
            (text("{\"a\":1}"), "jsonb", Some("{\"a\":1}")),
            (text("hello"), "jsonb", None),
            (text("[1,"), "json", None),
            (Value::Int(i64::MAX), "jsonb", Some("9223372036854775807")),
            (number("1.10"), "jsonb", Some("1.10")),
            (typed(Timestamp, "2024-01-31 10:00:00"), "jsonb", Some("\"2024-01-31T10:00:00\"")),
            (json("1"), "integer", None),
            (json("true"), "boolean", None),
        ],
    );
}

#[test]
fn sqlite_never_changes_a_value_silently() {
    table(
        fit,
        &[
            (Value::Bool(true), "BOOLEAN", Some("1")),
            (Value::Bool(true), "TEXT", Some("true")),
            (number("9223372036854775807"), "NUMERIC", Some("9223372036854775807")),
            (number("1.10"), "NUMERIC", Some("1.1")),
            (number("1.10"), "TEXT", Some("1.10")),
            (number("18446744073709551616"), "NUMERIC", None),
            (number("0.12345678901234567890"), "REAL", None),
            (number("NaN"), "REAL", None),
            (number("NaN"), "TEXT", Some("NaN")),
            (number("Infinity"), "REAL", None),
            (Value::Float(f64::NAN), "REAL", None),
            (Value::Float(0.1 + 0.2), "TEXT", Some("0.30000000000000004")),
            (Value::Real(0.1), "REAL", Some("0.10000000149011612")),
            (Value::Int((1 << 53) + 1), "REAL", None),
            (Value::Int(12), "TEXT", Some("12")),
            (text("abc"), "INTEGER", Some("abc")),
            (text("007"), "INTEGER", None),
            (text("007"), "TEXT", Some("007")),
            (text("007"), "BLOB", Some("007")),
            (text("12"), "INTEGER", Some("12")),
            (text(" 12"), "NUMERIC", None),
            (text("1.5"), "REAL", Some("1.5")),
            (text("1.50"), "REAL", None),
            (text("1e5"), "NUMERIC", None),
            (text("9e999"), "REAL", None),
            (text("5e"), "REAL", Some("5e")),
            (text("99999999999999999999"), "INTEGER", None),
            (text("2024-01-31"), "NUMERIC", Some("2024-01-31")),
            (Value::Json("1.10".into()), "JSON", None),
            (Value::Json("12".into()), "JSON", Some("12")),
            (Value::Json("{\"a\":1.10}".into()), "JSON", Some("{\"a\":1.10}")),
            (text("hello"), "JSON", None),
            (Value::Bytes(vec![7]), "TEXT", Some("\\x07")),
            (
                typed(Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                "BLOB",
                Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ),
        ],
    );
}

#[test]
fn a_date_or_uuid_in_a_sqlite_json_column_is_a_document() {
    table(
        fit,
        &[
            (typed(Uuid, "a0eebc99"), "JSON", Some("\"a0eebc99\"")),
            (typed(Timestamp, "2024-01-31 10:00:00"), "JSON", Some("\"2024-01-31T10:00:00\"")),
            (typed(Opaque, "2024"), "JSON", Some("\"2024\"")),
        ],
    );
}

#[test]
fn sqlite_values_are_read_by_convention() {
    let bool = Kind::Dynamic(Affinity::Bool);
    assert_eq!(interpret(Value::Int(1), &bool), Ok(Value::Bool(true)));
    assert_eq!(interpret(Value::Int(2), &bool), Ok(Value::Int(2)));
    let json = Kind::Dynamic(Affinity::Json);
    assert_eq!(interpret(text("[1]"), &json), Ok(Value::Json("[1]".into())));
    assert!(interpret(text("[1"), &json).is_err());
    assert_eq!(interpret(text("[1"), &Kind::Dynamic(Affinity::Text)), Ok(text("[1")));
}

#[test]
fn reasons_name_both_types_and_never_the_value() {
    let secret = "hunter2";
    for to in [
        "integer",
        "numeric(6,2)",
        "boolean",
        "uuid",
        "date",
        "timestamptz",
        "jsonb",
        "varchar(3)",
        "bytea",
    ] {
        let why = fit(text(secret), &ty(to), false).expect_err("no type takes it");
        assert!(why.starts_with("text into ") && !why.contains(secret), "{to}: {why}");
    }
    let why = fit(number("1.005"), &ty("numeric(6,2)"), false);
    let expected = "numeric into numeric(6,2): it needs 3 decimal places, the column keeps 2";
    assert_eq!(why, Err(expected.to_owned()));
}

#[test]
fn type_names_in_all_spellings() {
    for (name, kind) in [
        ("INT", Kind::Int(4)),
        ("int8", Kind::Int(8)),
        ("Double  Precision", Kind::Float8),
        ("decimal( 10 , 2 )", Kind::Numeric(Some((10, 2)))),
        ("numeric(5)", Kind::Numeric(Some((5, 0)))),
        ("character varying (20)", Kind::Text { max: Some(20), padded: false }),
        ("char", Kind::Text { max: Some(1), padded: true }),
        ("timestamp(3) with time zone", Kind::TimestampTz(3)),
        ("timestamp", Kind::Timestamp(6)),
        ("time without time zone", Kind::Time(6)),
    ] {
        assert_eq!(parse_type(name).map(|ty| ty.kind), Some(kind), "{name}");
    }
    for name in [
        "",
        "mood",
        "int(4)",
        "varchar(0)",
        "numeric(1,2,3)",
        "timestamp(9)",
        "text(",
        "numeric(x)",
    ] {
        assert_eq!(parse_type(name), None, "{name}");
    }
    for name in [
        "integer",
        "numeric(10,2)",
        "timestamp(3) with time zone",
        "character varying(20)",
        "bytea",
    ] {
        assert_eq!(parse_type(name).map(|ty| ty.name).as_deref(), Some(name));
    }
}
