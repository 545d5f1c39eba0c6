//! What must become of a value on its way from one database to another, worked out by hand for
//! each type: nothing here asks the program, or uses its code.

use crate::common::Db;

/// A kind of column that all three databases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    Number,
    Unsigned,
    Double,
    Single,
    Text,
    Short,
    Bytes,
    Bool,
    Document,
    Date,
    Moment,
    Zoned,
    Clock,
    Uuid,
}

use Type::*;

impl Type {
    pub const ALL: [Type; 15] = [
        Int, Number, Unsigned, Double, Single, Text, Short, Bytes, Bool, Document, Date, Moment,
        Zoned, Clock, Uuid,
    ];

    /// The type's name in a table of this database.
    pub fn name(self, db: Db) -> &'static str {
        let [postgres, sqlite, mariadb] = match self {
            Int => ["bigint", "INTEGER", "bigint"],
            Number => ["numeric", "NUMERIC", "decimal(60,20)"],
            Unsigned => ["numeric(20,0)", "NUMERIC", "bigint unsigned"],
            Double => ["double precision", "REAL", "double"],
            Single => ["real", "REAL", "float"],
            Text => ["text", "TEXT", "longtext"],
            Short => ["varchar(10)", "TEXT", "varchar(10)"],
            Bytes => ["bytea", "BLOB", "longblob"],
            Bool => ["boolean", "BOOLEAN", "tinyint(1)"],
            Document => ["json", "JSON", "json"],
            Date => ["date", "TEXT", "date"],
            Moment => ["timestamp", "TEXT", "datetime(6)"],
            Zoned => ["timestamptz", "TEXT", "timestamp(6) NULL"],
            Clock => ["time", "TEXT", "time(6)"],
            Uuid => ["uuid", "TEXT", "uuid"],
        };
        match db {
            Db::Postgres => postgres,
            Db::Sqlite => sqlite,
            Db::Mariadb => mariadb,
        }
    }

    /// Values that have broken other programs, in PostgreSQL's spelling; bytes as hex digits.
    pub fn hostile(self) -> Vec<String> {
        let list = numbers(self).unwrap_or_else(|| others(self));
        list.iter().map(|text| (*text).to_owned()).collect()
    }
}

/// Hostile numbers, of the types that are some.
fn numbers(ty: Type) -> Option<&'static [&'static str]> {
    Some(match ty {
        Int => &["0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993"],
        Number => &[
            "0",
            "1.50",
            "0.1",
            "-0.001",
            "12345678901234567890123456789.12345678901234567890",
            "9007199254740993",
            "99999999999999999999",
            "123456789.123456789",
            "0.00000000000000000001",
            "1000000000000000000000000000000000000000000000000.5",
            "0.1234567890123456789012345678901",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
        Unsigned => &["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"],
        Double => &[
            "0.30000000000000004",
            "-0",
            "1e23",
            "9.999999999999999e22",
            "5e-324",
            "2.2250738585072014e-308",
            "1.7976931348623157e308",
            "9007199254740993",
            "123456789012345680",
            "-1.5e-7",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
        Single => {
            &["0.1", "-0", "16777216", "3.4028235e38", "1.1754944e-38", "1e10", "0.5", "4601.15625"]
        }
        _ => return None,
    })
}

fn others(ty: Type) -> &'static [&'static str] {
    match ty {
        Text => &[
            "",
            "NULL",
            "\\N",
            "\\.",
            "a\\.\n\\.\nb",
            "tab\there",
            "cr\r\nlf",
            "quote\"s' and `ticks`",
            "back\\slash\\",
            " blanks ",
            "é😀\u{10ffff}",
            "a\0b",
            "\0",
            "\u{1}\u{7f}",
            "{\"a\":1}",
            "true",
            "0",
            "e\u{301}\u{202e}",
        ],
        Short => &[
            "",
            "0123456789",
            "01234567890",
            "éééééééééé",
            "ééééééééééé",
            "trail     ",
            "trail      ",
        ],
        Bytes => &["", "00", "ff00ff", "5c785c", "27220a0d09", "c328"],
        Bool => &["0", "1", "2", "-1"],
        Document => &[
            "{}",
            "[1.10, 1E5, 1e400, 18446744073709551616, -0.0]",
            "{\"b\":1,\"a\":[null,true,{\"é\":\"\\u00e9\\\\\"}]}",
            "[\"\\u0000\"]",
            "[\"\\ud83d\\ude00\"]",
            "[\"\\ud800\"]",
            "[1e400000]",
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
            " [ 1 ,\t2 ] ",
        ],
        Date => {
            &["2024-02-29", "0009-12-04", "9999-12-31", "10000-01-01", "0044-03-15 BC", "infinity"]
        }
        Moment => &[
            "2024-02-29 23:59:59.999999",
            "1900-01-01 00:00:00",
            "9999-12-31 23:59:59.9",
            "294276-12-31 23:59:59.999999",
            "4713-11-24 00:00:00 BC",
            "-infinity",
        ],
        Zoned => &[
            "2024-10-27 00:30:00+00",
            "2024-10-27 01:30:00+00",
            "1970-01-01 00:00:01+00",
            "2038-01-19 03:14:07+00",
            "2024-01-31 10:00:00.000001+00",
            "1969-12-31 23:59:59+00",
            "2200-01-01 00:00:00+00",
            "0044-03-15 00:00:00+00 BC",
            "infinity",
        ],
        Clock => {
            &["00:00:00", "23:59:59.999999", "24:00:00", "25:00:00", "-838:59:59", "838:59:59"]
        }
        Uuid => &[
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "733b6bc6-fde5-aa29-2c9a-2e59405448bd",
        ],
        _ => &[],
    }
}

fn special(text: &str) -> bool {
    text.contains(['N', 'I'])
}

/// An era, an infinity, or a year of more than four digits.
fn beyond(text: &str) -> bool {
    text.ends_with("BC") || text.contains("infinity") || text.find('-').is_some_and(|at| at > 4)
}

/// Sign, digits without zeros at either end, and the exponent of the last one.
pub fn normal(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        return "0".to_owned();
    }
    let exponent: i64 = exponent.parse().unwrap();
    let last = exponent - fraction.len() as i64 + (digits.len() - short.len()) as i64;
    format!("{sign}{short}e{last}")
}

/// Digits without an exponent, of a float's shortest text.
fn plain(text: &str) -> String {
    let float: f64 = text.parse().unwrap();
    // PostgreSQL's shortest digits are inside of what reads back, never on its edge.
    let number = match text {
        "1e23" => "9999999999999999e7".to_owned(),
        // Half way between two reals' shortest digits, it takes the even one.
        "4.6011563e3" => "46011562e-4".to_owned(),
        text => normal(text),
    };
    let (digits, exponent) = number.split_once('e').unwrap_or(("0", "0"));
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let exponent: i64 = exponent.parse().unwrap();
    if float == 0.0 {
        return "0".to_owned();
    }
    if exponent >= 0 {
        return format!("{sign}{digits}{}", "0".repeat(exponent as usize));
    }
    let places = (-exponent) as usize;
    let padded = "0".repeat((places + 1).saturating_sub(digits.len())) + digits;
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

/// A number that SQLite can store without a change.
fn sqlite_number(text: &str) -> bool {
    let shortest = |text: &str| text.parse::<f64>().map(|float| format!("{float:e}"));
    let whole = text.strip_suffix(".00000000000000000000").unwrap_or(text);
    whole.parse::<i64>().is_ok() || shortest(text).is_ok_and(|float| normal(&float) == normal(text))
}

fn decimal_60_20(text: &str) -> bool {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    !special(text) && whole.len() <= 40 && fraction.trim_end_matches('0').len() <= 20
}

fn timestamp_of_mariadb(text: &str) -> bool {
    !beyond(text) && ("1970-01-01 00:00:01".."2038-01-19 03:14:08").contains(&&text[..19])
}

/// Whether a column of this type can hold the value at all.
pub fn holds(ty: Type, text: &str, db: Db) -> bool {
    match (ty, db) {
        (Text | Short, Db::Postgres) if text.contains('\0') => false,
        (Short, Db::Postgres | Db::Mariadb) => text.chars().count() <= 10,
        (Number, Db::Sqlite) => !special(text) && sqlite_number(text),
        (Number, Db::Mariadb) => decimal_60_20(text),
        (Unsigned, Db::Sqlite) => sqlite_number(text),
        (Double, Db::Sqlite) => text != "NaN",
        (Double, Db::Mariadb) => !special(text),
        (Bool, Db::Postgres) => matches!(text, "0" | "1"),
        (Date | Moment, Db::Mariadb) => !beyond(text),
        (Zoned, Db::Mariadb) => timestamp_of_mariadb(text),
        (Clock, Db::Postgres) => !text.starts_with('-') && text <= "24:00:00",
        // Its function for checks ends at 32 levels.
        (Document, Db::Mariadb) => !text.starts_with("[[[[") && !text.contains("\\ud800\""),
        // No such version of that variant.
        (Uuid, Db::Mariadb) => !text.contains("-aa29-2c9a-"),
        _ => true,
    }
}

/// The value as the source then shows it.
pub fn as_stored(ty: Type, text: &str, db: Db) -> String {
    match (ty, db) {
        // Neither stores it so: SQLite's file has no such zero, MariaDB's SQL no such literal.
        (Double | Single, Db::Sqlite | Db::Mariadb) if text == "-0" => "0e0".to_owned(),
        (Number, Db::Mariadb) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            format!("{whole}.{fraction:0<20}")
        }
        (Number, Db::Sqlite) if text.contains('.') => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        (Double, _) if !special(text) => format!("{:e}", text.parse::<f64>().unwrap()),
        (Single, Db::Sqlite) => format!("{:e}", text.parse::<f64>().unwrap()),
        (Single, _) => format!("{:e}", text.parse::<f32>().unwrap()),
        _ => text.to_owned(),
    }
}

/// The value as the target's column of the same kind then shows it; `None`: the row is a reject.
pub fn arrives(ty: Type, text: &str, from: Db, to: Db) -> Option<String> {
    let kept = || Some(text.to_owned());
    match (ty, to) {
        // They store zero without a sign.
        (Double | Single, Db::Sqlite | Db::Mariadb) if text == "-0e0" => Some("0e0".to_owned()),
        (Single, Db::Sqlite) if from == Db::Sqlite => kept(),
        // What is a real there is a double here.
        (Single, Db::Sqlite) => Some(format!("{:e}", f64::from(text.parse::<f32>().unwrap()))),
        (Single, _) => {
            let (wide, narrow): (f64, f32) = (text.parse().unwrap(), text.parse().unwrap());
            (from != Db::Sqlite || f64::from(narrow) == wide).then(|| text.to_owned())
        }
        // SQLite has the value as text, which is no time of day beyond 24 hours.
        (Clock, Db::Mariadb) if from == Db::Sqlite && !holds(ty, text, Db::Postgres) => None,
        // They have no booleans, and store any integer.
        (Bool, Db::Sqlite | Db::Mariadb) => kept(),
        _ => holds(ty, text, to).then(|| text.to_owned()),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The value in a JSON document of the target, as PostgreSQL's to_jsonb has it.
pub fn json(ty: Type, text: &str, from: Db, to: Db) -> Option<String> {
    if text.contains('\0') && to == Db::Postgres {
        return None;
    }
    let iso = |text: &str| text.replacen(' ', "T", 1);
    Some(match ty {
        Int | Unsigned => text.to_owned(),
        Number | Double if special(text) => quoted(text),
        Number if from == Db::Sqlite => plain(text),
        Number => text.to_owned(),
        Double | Single => plain(text),
        Text | Short | Clock | Uuid | Date => quoted(text),
        Bytes => quoted(&format!("\\x{text}")),
        Bool => match (text, from) {
            ("0", Db::Postgres | Db::Sqlite) => "false".to_owned(),
            ("1", Db::Postgres | Db::Sqlite) => "true".to_owned(),
            _ => text.to_owned(),
        },
        Document => {
            let refused = match to {
                Db::Postgres => {
                    ["\\u0000", "\\ud800", "e400000"].iter().any(|no| text.contains(no))
                }
                Db::Mariadb => !holds(Document, text, to),
                Db::Sqlite => false,
            };
            return (!refused).then(|| text.to_owned());
        }
        Moment | Zoned if from == Db::Sqlite => quoted(text),
        Moment if beyond(text) && !text.contains(' ') => quoted(text),
        Moment => quoted(&iso(text)),
        Zoned if text.contains("infinity") => quoted(text),
        Zoned => quoted(&iso(text).replacen("+00", "+00:00", 1)),
    })
}
