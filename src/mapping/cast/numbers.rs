//! Numbers. Digits are compared as digits; a float is only ever asked whether it is exact.

use super::{Converted, no_way};
use crate::sql::{Affinity, ColumnType};
use crate::value::Value;

/// A decimal: sign, digits without leading zeros before the point, digits after it without
/// trailing zeros. Exponents are spelled out.
#[derive(Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

/// Longer exponents are nobody's decimal; they would only fill memory with zeros.
const EXPONENT_MAX: i64 = 200_000;

impl Decimal {
    /// Reads `-12.50`, `1e5`, `.5`; `None` for anything else, NaN included.
    pub fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
            None => (rest, 0),
        };
        if exponent.abs() > EXPONENT_MAX {
            return None;
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let mut whole = whole.to_owned();
        let mut fraction = fraction.to_owned();
        let shift = usize::try_from(exponent.unsigned_abs()).ok()?;
        if exponent > 0 {
            let padded = format!("{fraction:0<shift$}");
            whole.push_str(&padded[..shift]);
            fraction = padded[shift..].to_owned();
        } else if exponent < 0 {
            let padded = format!("{whole:0>width$}", width = shift + 1);
            let cut = padded.len() - shift;
            fraction = format!("{}{fraction}", &padded[cut..]);
            whole = padded[..cut].to_owned();
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Decimal { negative: negative && !zero, whole, fraction })
    }

    fn integer(&self) -> Option<i64> {
        if !self.fraction.is_empty() {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        format!("{sign}{whole}").parse().ok()
    }
}

/// The decimal that a value is, if it is a number or says one.
fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Text(text) | Value::Number(text) | Value::Json(text) => Decimal::parse(text),
        Value::Int(_) | Value::Real(_) | Value::Float(_) => Decimal::parse(&value.to_text()?),
        _ => None,
    }
}

/// Into smallint, integer, bigint.
pub fn integer(value: Value, width: u8, to: &ColumnType, lossy: bool) -> Converted {
    let i = match &value {
        Value::Int(i) => *i,
        Value::Bool(b) => i64::from(*b),
        Value::Number(_) | Value::Real(_) | Value::Float(_) | Value::Text(_) | Value::Json(_) => {
            let Some(number) = decimal(&value) else {
                return Err(no_way(&value, to));
            };
            match number.integer() {
                Some(i) => i,
                None if !number.fraction.is_empty() && !lossy => {
                    return Err(format!(
                        "{} with decimal places does not fit {}",
                        value.type_name(),
                        to.name
                    ));
                }
                // The server rounds as it does.
                None if !number.fraction.is_empty() => return rounded(&value, to),
                None => return Err(format!("the number is out of range for {}", to.name)),
            }
        }
        _ => return Err(no_way(&value, to)),
    };
    let fits = match width {
        2 => i16::try_from(i).is_ok(),
        4 => i32::try_from(i).is_ok(),
        _ => true,
    };
    if fits {
        Ok(Value::Int(i))
    } else {
        Err(format!("the number is out of range for {}", to.name))
    }
}

fn rounded(value: &Value, to: &ColumnType) -> Converted {
    let float: f64 = value.to_text().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    if float.abs() < 9e15 {
        Ok(Value::Int(float.round_ties_even() as i64))
    } else {
        Err(format!("the number is out of range for {}", to.name))
    }
}

/// Into numeric(p,s).
pub fn numeric(
    value: Value,
    limits: Option<(u32, i32)>,
    to: &ColumnType,
    lossy: bool,
) -> Converted {
    let text = match &value {
        Value::Int(_) | Value::Number(_) | Value::Real(_) | Value::Float(_) => {
            value.to_text().unwrap_or_default()
        }
        Value::Bool(_) => return Err(no_way(&value, to)),
        Value::Text(text) | Value::Json(text) => text.trim().to_owned(),
        _ => return Err(no_way(&value, to)),
    };
    let Some(number) = Decimal::parse(&text) else {
        let special = matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
        if special && !matches!(value, Value::Text(_) | Value::Json(_)) {
            return Ok(Value::Number(text));
        }
        return Err(no_way(&value, to));
    };
    if let Some((precision, scale)) = limits {
        let places = i32::try_from(number.fraction.len()).unwrap_or(i32::MAX);
        if places > scale.max(0) && !lossy {
            return Err(format!(
                "needs {places} decimal places, {} keeps {}",
                to.name,
                scale.max(0)
            ));
        }
        let room = i64::from(precision) - i64::from(scale);
        let digits = i64::try_from(number.whole.len()).unwrap_or(i64::MAX);
        if digits > room {
            return Err(format!("the number is out of range for {}", to.name));
        }
        let trailing = number.whole.len() - number.whole.trim_end_matches('0').len();
        if scale < 0 && trailing < scale.unsigned_abs() as usize && !lossy {
            return Err(format!("{} would round the number", to.name));
        }
    }
    Ok(Value::Number(text))
}

/// Into double precision.
pub fn float8(value: Value, to: &ColumnType, lossy: bool) -> Converted {
    match &value {
        Value::Float(_) => Ok(value),
        Value::Real(f) => Ok(Value::Float(f64::from(*f))),
        Value::Int(_) | Value::Number(_) | Value::Text(_) | Value::Json(_) => {
            let text = value.to_text().unwrap_or_default();
            let special = matches!(value, Value::Number(_));
            let float: f64 = text.trim().parse().map_err(|_| no_way(&value, to))?;
            if special && !float.is_finite() && Decimal::parse(&text).is_none() {
                return Ok(Value::Float(float));
            }
            let Some(number) = Decimal::parse(&text) else {
                return Err(no_way(&value, to));
            };
            if lossy || (float.is_finite() && Decimal::parse(&float.to_string()) == Some(number)) {
                return Ok(Value::Float(float));
            }
            Err(format!("{} would round the number", to.name))
        }
        _ => Err(no_way(&value, to)),
    }
}

/// Into real.
pub fn float4(value: Value, to: &ColumnType, lossy: bool) -> Converted {
    if let Value::Real(_) = value {
        return Ok(value);
    }
    let Value::Float(wide) = float8(value, to, lossy)? else {
        return Ok(Value::Null);
    };
    let narrow = wide as f32;
    let same = f64::from(narrow) == wide || wide.is_nan() || narrow.to_string() == wide.to_string();
    if same || lossy {
        Ok(Value::Real(narrow))
    } else {
        Err(format!("{} would round the number", to.name))
    }
}

/// What SQLite will keep of a value in a column of this affinity, exactly.
pub fn stored(value: Value, affinity: Affinity, to: &ColumnType, lossy: bool) -> Converted {
    match affinity {
        Affinity::Blob => Ok(plain(value)),
        Affinity::Text | Affinity::Json => Ok(match value {
            Value::Bytes(_) => value,
            Value::Float(_) | Value::Real(_) if affinity == Affinity::Json => plain(value),
            Value::Int(_) if affinity == Affinity::Json => value,
            other => Value::Text(other.to_text().unwrap_or_default()),
        }),
        Affinity::Integer | Affinity::Numeric | Affinity::Real | Affinity::Bool => {
            number(value, affinity, to, lossy)
        }
    }
}

/// The value as SQLite stores it without affinity.
fn plain(value: Value) -> Value {
    match value {
        Value::Bool(b) => Value::Int(i64::from(b)),
        Value::Real(f) => Value::Float(f64::from(f)),
        Value::Number(text) => match Decimal::parse(&text).and_then(|number| number.integer()) {
            Some(i) => Value::Int(i),
            None => Value::Text(text),
        },
        Value::Json(text) | Value::Typed(_, text) => Value::Text(text),
        other => other,
    }
}

fn number(value: Value, affinity: Affinity, to: &ColumnType, lossy: bool) -> Converted {
    let would_round = || format!("SQLite would round the number in {}", to.name);
    match value {
        Value::Bool(b) => Ok(Value::Int(i64::from(b))),
        Value::Float(f) if f.is_nan() => Err("NaN would be stored as NULL".to_owned()),
        Value::Real(f) if f.is_nan() => Err("NaN would be stored as NULL".to_owned()),
        Value::Real(f) => Ok(Value::Float(f64::from(f))),
        Value::Int(i) if affinity == Affinity::Real && i.unsigned_abs() > 1 << 53 && !lossy => {
            Err(would_round())
        }
        Value::Number(text) => {
            let Some(number) = Decimal::parse(&text) else {
                return Err(format!("{text} does not fit {}", to.name));
            };
            if let Some(i) = number.integer() {
                return Ok(Value::Int(i));
            }
            let float: f64 = text.parse().map_err(|_| would_round())?;
            if lossy || Decimal::parse(&float.to_string()).as_ref() == Some(&number) {
                Ok(Value::Float(float))
            } else {
                Err(would_round())
            }
        }
        Value::Text(text) => numeric_looking(text, to, lossy),
        Value::Json(text) | Value::Typed(_, text) => Ok(Value::Text(text)),
        other => Ok(other),
    }
}

/// Text that looks like a number becomes one in such a column; only where it reads back as the
/// same text is that no change.
fn numeric_looking(text: String, to: &ColumnType, lossy: bool) -> Converted {
    if lossy || Decimal::parse(&text).is_none() {
        return Ok(Value::Text(text));
    }
    if let Ok(i) = text.parse::<i64>() {
        if i.to_string() == text {
            return Ok(Value::Int(i));
        }
    } else if let Ok(f) = text.parse::<f64>()
        && f.to_string() == text
    {
        return Ok(Value::Float(f));
    }
    Err(format!("text that looks like a number would change in {}", to.name))
}
