//! Random texts through every conversion.

use super::*;

const PIECES: &[&str] = &[
    "-",
    "+",
    "1",
    "0",
    "9",
    ".",
    "e",
    "E",
    ":",
    " ",
    "T",
    "Z",
    "2024-01-31",
    "10:00:00",
    "é",
    "\0",
    "BC",
    " BC",
    "infinity",
    "nan",
    "\\x",
    "\\u",
    "\"",
    "[",
    "{",
    "99999999999999999999",
    "e131072",
    "e-16383",
    "+05:30",
];
const TYPES: &[&str] = &[
    "integer",
    "numeric",
    "numeric(6,2)",
    "real",
    "double precision",
    "boolean",
    "text",
    "varchar(3)",
    "bytea",
    "json",
    "jsonb",
    "date",
    "time",
    "timetz",
    "timestamp(3)",
    "timestamptz",
    "interval",
    "uuid",
    "mood",
    "INTEGER",
    "REAL",
    "NUMERIC",
    "TEXT",
    "BLOB",
    "BOOLEAN",
    "JSON",
];

#[test]
fn the_lowest_exponent_is_out_of_range_and_no_panic() {
    for word in ["1e-9223372036854775808", "1e9223372036854775807", "0e-9223372036854775808"] {
        assert!(fit(number(word), &ty("numeric"), true).is_err());
        assert!(cast(text(word), &ty("numeric"), true).is_err());
        assert!(cast(text(word), &ty("bigint"), true).is_err());
    }
}

#[test]
fn no_text_makes_a_conversion_panic() {
    let mut state = 1_u64;
    let mut below = |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % n
    };
    for _ in 0..20_000 {
        let word: String = (0..below(5)).map(|_| PIECES[below(PIECES.len())]).collect();
        let value = match below(4) {
            0 => number(&word),
            1 => typed(
                [Date, Time, TimeTz, Timestamp, TimestampTz, Interval, Uuid, Opaque][below(8)],
                &word,
            ),
            2 => Value::Json(word),
            _ => text(&word),
        };
        let to = ty(TYPES[below(TYPES.len())]);
        for lossy in [false, true] {
            for result in [fit(value.clone(), &to, lossy), cast(value.clone(), &to, lossy)] {
                let mut out = String::new();
                result.unwrap_or(Value::Null).write_json(&mut out);
            }
        }
    }
}
