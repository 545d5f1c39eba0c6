//! Exact decimals as digits, and what fits into which number type.

use super::{Mode, reason};
use crate::sql::ColumnType;
use crate::value::Value;

/// Digits that a PostgreSQL numeric has before and after the point.
const WHOLE_DIGITS: i64 = 131_072;
const FRACTION_DIGITS: i64 = 16_383;

/// A decimal number: `digits × 10^-scale`, never a float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without leading zeros; empty for zero.
    digits: String,
    scale: i64,
}

impl Decimal {
    /// Reads `-12.50` or `1.5E+3`. `loose` also takes `+1`, `007`, `.5` and `5.`.
    pub(crate) fn parse(text: &str, loose: bool) -> Option<Decimal> {
        let (negative, body) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' if loose => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match body.find(['e', 'E']) {
            Some(at) => (&body[..at], &body[at + 1..]),
            None => (body, "0"),
        };
        let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let exponent: i64 = exponent.parse::<i64>().ok().filter(|e| e.unsigned_abs() < 1 << 40)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let strict = !whole.is_empty()
            && (whole.len() == 1 || !whole.starts_with('0'))
            && !mantissa.ends_with('.');
        if whole.len() + fraction.len() == 0 || !loose && !strict {
            return None;
        }
        let digits = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
        let scale = i64::try_from(fraction.len()).ok()? - exponent;
        Some(Decimal { negative: negative && !digits.is_empty(), digits, scale })
    }

    /// The shortest decimal that reads back as the float.
    fn of(value: &Value) -> Option<Decimal> {
        match value {
            Value::Int(i) => Decimal::parse(&i.to_string(), false),
            Value::Number(text) | Value::Text(text) => Decimal::parse(text, false),
            Value::Real(_) | Value::Float(_) => Decimal::parse(&value.to_text()?, false),
            _ => None,
        }
    }

    /// Without zeros at the end.
    fn normal(&self) -> Decimal {
        let digits = self.digits.trim_end_matches('0').to_owned();
        let cut = (self.digits.len() - digits.len()) as i64;
        let scale = if digits.is_empty() { 0 } else { self.scale - cut };
        Decimal { negative: self.negative, digits, scale }
    }

    /// Same number, however it is spelled.
    pub(crate) fn equals(&self, other: &Decimal) -> bool {
        self.normal() == other.normal()
    }

    /// Digits after the point that are not just zeros; may be negative.
    fn places(&self) -> i64 {
        self.normal().scale
    }

    /// Digits before the point; negative for 0.00…
    fn whole_digits(&self) -> i64 {
        self.digits.len() as i64 - self.scale
    }

    /// The text form of PostgreSQL's numeric: no exponent, zeros at the end kept. `None` when
    /// it is out of range.
    pub(crate) fn plain(&self) -> Option<String> {
        if self.scale > FRACTION_DIGITS || self.whole_digits() > WHOLE_DIGITS {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let Ok(scale) = usize::try_from(self.scale) else {
            let zeros = usize::try_from(-self.scale).unwrap_or(0);
            let zeros = if self.digits.is_empty() { 0 } else { zeros };
            let digits = if self.digits.is_empty() { "0" } else { &self.digits };
            // Not by the width of a format, which ends at 65,535.
            return Some(format!("{sign}{digits}{}", "0".repeat(zeros)));
        };
        let zeros = (scale + 1).saturating_sub(self.digits.len());
        let digits = "0".repeat(zeros) + &self.digits;
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let dot = if fraction.is_empty() { "" } else { "." };
        Some(format!("{sign}{whole}{dot}{fraction}"))
    }

    /// The integer, when it is one and fits.
    fn to_int(&self) -> Option<i64> {
        let normal = self.normal();
        if normal.scale > 0 || normal.whole_digits() > 19 {
            return None;
        }
        normal.plain()?.parse().ok()
    }
}

/// PostgreSQL's spelling of what no digits can say.
fn special(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().trim_start_matches('+') {
        "nan" => Some("NaN"),
        "infinity" | "inf" => Some("Infinity"),
        "-infinity" | "-inf" => Some("-Infinity"),
        _ => None,
    }
}

/// A number's text as a numeric prints it: `+1.5e3` becomes `1500`.
pub(crate) fn numeric_text(text: &str) -> Option<String> {
    special(text).map(str::to_owned).or_else(|| Decimal::parse(text, true)?.plain())
}

/// Text as the number that it spells; a cast is generous about the spelling.
fn read(value: Value, mode: Mode) -> Value {
    match value {
        Value::Text(text) if mode.explicit => {
            let trimmed = text.trim();
            match numeric_text(trimmed) {
                Some(number) => Value::Number(number),
                None => Value::Text(text),
            }
        }
        Value::Bool(b) => Value::Int(i64::from(b)),
        other => other,
    }
}

/// Into smallint, integer or bigint (`width` 2, 4, 8 bytes).
pub(super) fn int(value: Value, width: u8, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    let value = read(value, mode);
    let fail = |why: &str| Err(reason(from, to, why));
    let i = match &value {
        Value::Int(i) => *i,
        Value::Number(_) | Value::Text(_) | Value::Real(_) | Value::Float(_) => {
            let Some(decimal) = Decimal::of(&value) else {
                return fail("not a whole number");
            };
            match decimal.to_int() {
                Some(i) => i,
                None if decimal.places() > 0 && mode.lossy && from != "text" => return Ok(value),
                None if decimal.places() > 0 => return fail("it has decimal places"),
                None => return fail("out of range"),
            }
        }
        _ => return fail("not a number"),
    };
    let bits = u32::from(width.clamp(1, 8)) * 8 - 1;
    let most = i64::MAX >> (63 - bits);
    if (-most - 1..=most).contains(&i) { Ok(Value::Int(i)) } else { fail("out of range") }
}

/// Into numeric, with or without precision and scale.
pub(super) fn numeric(
    value: Value,
    limit: Option<(u32, i32)>,
    to: &ColumnType,
    mode: Mode,
) -> Result<Value, String> {
    let from = value.type_name();
    if matches!(value, Value::Bool(_)) && !mode.explicit {
        return Err(reason(from, to, "not a number"));
    }
    let value = read(value, mode);
    let fail = |why: &str| Err(reason(from, to, why));
    if !matches!(
        value,
        Value::Int(_) | Value::Number(_) | Value::Text(_) | Value::Real(_) | Value::Float(_)
    ) {
        return fail("not a number");
    }
    let text = value.to_text().unwrap_or_default();
    if let Some(name) = special(&text) {
        return match (&value, limit) {
            (Value::Text(_), _) if !mode.explicit => fail("not a number"),
            (_, Some(_)) if name != "NaN" => fail("infinity doesn't fit"),
            _ => Ok(Value::Number(name.to_owned())),
        };
    }
    let Some(decimal) = Decimal::parse(&text, false) else {
        return fail("not a number");
    };
    if let Some((precision, scale)) = limit {
        let (places, keeps) = (decimal.places(), i64::from(scale));
        if places > keeps && !mode.lossy {
            return fail(&format!("it needs {places} decimal places, the column keeps {keeps}"));
        }
        if !decimal.digits.is_empty() && decimal.whole_digits() > i64::from(precision) - keeps {
            return fail("out of range");
        }
    }
    match (&value, decimal.plain()) {
        (_, None) => fail("out of range"),
        (Value::Int(_), _) => Ok(value),
        (_, Some(text)) => Ok(Value::Number(text)),
    }
}

/// Into real (`single`) or double precision.
pub(super) fn float(
    value: Value,
    single: bool,
    to: &ColumnType,
    mode: Mode,
) -> Result<Value, String> {
    let from = value.type_name();
    if matches!(value, Value::Bool(_)) {
        return Err(reason(from, to, "not a number"));
    }
    let was_text = matches!(value, Value::Text(_));
    let value = read(value, mode);
    let fail = |why: &str| Err(reason(from, to, why));
    match &value {
        Value::Real(f) => Ok(if single { value } else { Value::Float(f64::from(*f)) }),
        Value::Float(f) if !single || f.is_nan() => {
            Ok(if single { Value::Real(f32::NAN) } else { Value::Float(*f) })
        }
        Value::Float(f) => {
            #[allow(clippy::cast_possible_truncation)]
            let narrow = *f as f32;
            if f64::from(narrow) == *f || mode.lossy && narrow.is_finite() {
                Ok(Value::Real(narrow))
            } else if narrow.is_finite() {
                fail("it has more digits than a real keeps")
            } else {
                fail("out of range")
            }
        }
        Value::Int(i) => {
            let exact = 1u64 << if single { 24 } else { 53 };
            if i.unsigned_abs() > exact && !mode.lossy {
                return fail("it has more digits than a float keeps");
            }
            Ok(if single { Value::Real(*i as f32) } else { Value::Float(*i as f64) })
        }
        Value::Number(text) | Value::Text(text) => {
            if let Some(name) = special(text) {
                if matches!(value, Value::Text(_)) {
                    return fail("not a number");
                }
                let f = name.parse::<f64>().unwrap_or(f64::NAN);
                return Ok(if single { Value::Real(f as f32) } else { Value::Float(f) });
            }
            let Some(decimal) = Decimal::parse(text, false) else {
                return fail("not a number");
            };
            if was_text && let Some(printed) = printed(text, &decimal, single) {
                return Ok(printed);
            }
            nearest(text, &decimal, single, mode.lossy)
                .ok_or_else(|| reason(from, to, "it has more digits than a float keeps"))
        }
        _ => fail("not a number"),
    }
}

/// The float whose shortest text is this number.
fn nearest(text: &str, decimal: &Decimal, single: bool, lossy: bool) -> Option<Value> {
    let value = if single {
        Value::Real(text.parse().ok().filter(|f: &f32| f.is_finite())?)
    } else {
        Value::Float(text.parse().ok().filter(|f: &f64| f.is_finite())?)
    };
    let same = Decimal::of(&value).is_some_and(|shortest| shortest.equals(decimal));
    (same || lossy).then_some(value)
}

/// The float that a program printed with as many digits as tell all floats apart (17, or 9 of a
/// real): 48.053808600000004 and 48.0538086 are one double. Decimals don't come by here: they
/// are numbers of their own.
fn printed(text: &str, decimal: &Decimal, single: bool) -> Option<Value> {
    let places = decimal.digits.trim_end_matches('0').len().checked_sub(1)?;
    let (value, again) = if single {
        let real: f32 = text.parse().ok().filter(|f: &f32| places < 9 && f.is_finite())?;
        (Value::Real(real), format!("{real:.places$e}"))
    } else {
        let float: f64 = text.parse().ok().filter(|f: &f64| places < 17 && f.is_finite())?;
        (Value::Float(float), format!("{float:.places$e}"))
    };
    Decimal::parse(&again, true)?.equals(decimal).then_some(value)
}

/// The double whose shortest text is this number, for SQLite.
pub(super) fn exact_double(text: &str) -> Option<f64> {
    let decimal = Decimal::parse(text, true)?;
    match nearest(text, &decimal, false, false)? {
        Value::Float(f) => Some(f),
        _ => None,
    }
}

/// The 64-bit integer that this text is, if it is a whole number.
pub(super) fn whole(text: &str) -> Option<i64> {
    Decimal::parse(text, true)?.to_int()
}
