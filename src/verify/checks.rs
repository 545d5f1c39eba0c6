//! `[[check]]`: a query on the target and what it must give.

use std::time::Instant;

use crate::db::Session;
use crate::error::Result;
use crate::event::{Emitter, What};
use crate::mapping::Constant;
use crate::plan::{Check, CheckValue, When};
use crate::sql::Statement;
use crate::value::{Row, Value};

/// Rows of an answer that are shown at most.
const SHOWN_ROWS: usize = 20;

/// When a check ran, as events say it.
pub fn word(when: When) -> &'static str {
    if when == When::Before { "before" } else { "after" }
}

/// Runs one check; `true`: it holds.
pub async fn run(
    session: &mut dyn Session,
    check: &Check,
    when: When,
    emitter: &Emitter,
) -> Result<bool> {
    let begun = Instant::now();
    let answer = session.rows(&Statement::new(check.sql.trim().trim_end_matches(';'))).await;
    let elapsed = begun.elapsed();
    let (mut ok, mut actual) = match &answer {
        Ok(rows) => (holds(&check.expected, rows), shown(&check.expected, rows)),
        // A query that can't run proves nothing, so the check fails.
        Err(error) => (false, error.to_string()),
    };
    if let Some(limit) = check.fail_over.filter(|limit| elapsed > *limit) {
        ok = false;
        actual = format!("{actual}, in {elapsed:.1?} instead of {limit:?}");
    }
    emitter.emit(What::CheckFinished {
        check: check.name.clone(),
        ok,
        when: word(when).to_owned(),
        expected: expected(&check.expected),
        actual,
        slow: check.warn_over.is_some_and(|limit| elapsed > limit),
        seconds: elapsed.as_secs_f64(),
    });
    match answer {
        Err(error) if error.class == crate::error::Class::Retry => Err(error),
        _ => Ok(ok),
    }
}

fn holds(expected: &CheckValue, rows: &[Row]) -> bool {
    match expected {
        CheckValue::Empty(empty) => rows.is_empty() == *empty,
        CheckValue::Scalar(constant) => match rows {
            [row] if row.len() == 1 => equal(constant, &row[0]),
            _ => false,
        },
        CheckValue::Rows(expected) => {
            expected.len() == rows.len()
                && expected.iter().zip(rows).all(|(expected, row)| {
                    expected.len() == row.len()
                        && expected.iter().zip(row).all(|(constant, value)| equal(constant, value))
                })
        }
    }
}

/// A constant of the plan and a value of the database say the same.
fn equal(constant: &Constant, value: &Value) -> bool {
    let Some(text) = value.to_text() else {
        return false;
    };
    match constant {
        Constant::Bool(b) => match value {
            Value::Bool(found) => found == b,
            // SQLite has no boolean of its own.
            Value::Int(found) => *found == i64::from(*b),
            _ => text == b.to_string(),
        },
        Constant::Int(i) => plain_number(&text) == plain_number(&i.to_string()),
        Constant::Number(number) => plain_number(&text) == plain_number(number),
        Constant::Text(expected) | Constant::Time(expected) => text == *expected,
        Constant::Json(expected) => match (
            serde_json::from_str::<serde_json::Value>(expected),
            serde_json::from_str::<serde_json::Value>(&text),
        ) {
            (Ok(one), Ok(two)) => one == two,
            _ => text == *expected,
        },
    }
}

/// `1.50` and `1.5`, `2.0` and `2` are one number; compared as digits, never as floats.
fn plain_number(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return Some(text.to_owned());
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole.is_empty() && fraction.is_empty() { "" } else { sign };
    Some(format!("{sign}{whole}.{fraction}"))
}

fn constant_text(constant: &Constant) -> String {
    match constant {
        Constant::Bool(b) => b.to_string(),
        Constant::Int(i) => i.to_string(),
        Constant::Number(text)
        | Constant::Text(text)
        | Constant::Time(text)
        | Constant::Json(text) => text.clone(),
    }
}

/// What a check must give, for people.
pub fn expected(expected: &CheckValue) -> String {
    match expected {
        CheckValue::Empty(true) => "no row".to_owned(),
        CheckValue::Empty(false) => "at least one row".to_owned(),
        CheckValue::Scalar(constant) => constant_text(constant),
        CheckValue::Rows(rows) => {
            list(rows.iter().map(|row| row.iter().map(constant_text).collect()))
        }
    }
}

fn shown(expected: &CheckValue, rows: &[Row]) -> String {
    let text = |value: &Value| value.to_text().unwrap_or_else(|| "NULL".to_owned());
    match (expected, rows) {
        (_, []) => "no row".to_owned(),
        (CheckValue::Scalar(_), [row]) if row.len() == 1 => text(&row[0]),
        (CheckValue::Scalar(_), [row]) => format!("one row of {} columns", row.len()),
        (CheckValue::Scalar(_), rows) => format!("{} rows", rows.len()),
        _ => list(rows.iter().map(|row| row.iter().map(text).collect())),
    }
}

fn list(rows: impl ExactSizeIterator<Item = Vec<String>>) -> String {
    let all = rows.len();
    let mut lines: Vec<String> = rows.take(SHOWN_ROWS).map(|row| row.join(", ")).collect();
    if all > SHOWN_ROWS {
        lines.push(format!("and {} more rows", all - SHOWN_ROWS));
    }
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(equal(&Constant::Int(150), &Value::Int(150)));
        assert!(equal(&Constant::Int(2), &Value::Number("2.00".into())));
        assert!(equal(&Constant::Number("1.5".into()), &Value::Number("1.50".into())));
        assert!(!equal(&Constant::Int(2), &Value::Number("2.01".into())));
        assert!(!equal(&Constant::Int(0), &Value::Null));
        assert!(equal(&Constant::Bool(true), &Value::Int(1)));
    }

    #[test]
    fn nothing_is_never_a_scalar() {
        assert!(!holds(&CheckValue::Scalar(Constant::Int(0)), &[]));
        assert!(!holds(
            &CheckValue::Scalar(Constant::Int(0)),
            &[vec![Value::Int(0), Value::Int(0)]]
        ));
        assert!(holds(&CheckValue::Empty(true), &[]));
    }
}
