//! Dates and times, as ISO 8601 text and nothing else: other forms depend on settings.

use super::{Converted, no_way};
use crate::sql::ColumnType;
use crate::value::{Scalar, Value};

/// A date that PostgreSQL has: year 1 to 5874897, AD or BC.
fn valid_date(text: &str) -> Option<String> {
    let (body, era) = match text.strip_suffix(" BC") {
        Some(body) => (body, " BC"),
        None => (text, ""),
    };
    let mut parts = body.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(4..=7).contains(&year.len()) || month.len() != 2 || day.len() != 2 {
        return None;
    }
    if !digits(year) || !digits(month) || !digits(day) {
        return None;
    }
    let (y, m, d): (u32, u32, u32) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    // Leap years are counted astronomically: 1 BC is year 0.
    let leap_year = if era.is_empty() { i64::from(y) } else { 1 - i64::from(y) };
    let leap = leap_year % 4 == 0 && (leap_year % 100 != 0 || leap_year % 400 == 0);
    let days = match m {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    let in_range = if era.is_empty() { y <= 5_874_897 } else { y <= 4713 };
    (y >= 1 && d >= 1 && d <= days && in_range).then(|| format!("{body}{era}"))
}

/// `10:00`, `10:00:00`, `10:00:00.123456`; 24:00:00 is PostgreSQL's end of day.
fn valid_time(text: &str, keep: u8, lossy: bool) -> Result<String, String> {
    let bad = || "text that is no time".to_owned();
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    if !(2..=3).contains(&parts.len())
        || parts.iter().any(|part| part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()))
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
        || (text.contains('.') && (fraction.is_empty() || parts.len() == 2))
    {
        return Err(bad());
    }
    let numbers: Vec<u32> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let seconds = numbers.get(2).copied().unwrap_or(0);
    let end_of_day = numbers[0] == 24 && numbers[1] == 0 && seconds == 0;
    if (numbers[0] > 23 && !end_of_day) || numbers[1] > 59 || seconds > 59 {
        return Err(bad());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(keep) && !lossy {
        return Err(format!(
            "needs {} digits after the second, the column keeps {keep}",
            fraction.len()
        ));
    }
    let clock = if parts.len() == 2 { format!("{clock}:00") } else { clock.to_owned() };
    Ok(if fraction.is_empty() { clock } else { format!("{clock}.{fraction}") })
}

/// Splits `+02`, `-03:30`, `Z` off the end.
fn split_zone(text: &str) -> (&str, Option<String>) {
    if let Some(body) = text.strip_suffix(['Z', 'z']) {
        return (body.trim_end(), Some("+00".to_owned()));
    }
    let clock = text.find(':').unwrap_or(0);
    match text[clock..].rfind(['+', '-']) {
        Some(at) => {
            let (body, zone) = text.split_at(clock + at);
            let digits = zone[1..].replace(':', "");
            let fine =
                matches!(digits.len(), 2 | 4 | 6) && digits.bytes().all(|b| b.is_ascii_digit());
            if fine { (body.trim_end(), Some(zone.to_owned())) } else { (text, None) }
        }
        None => (text, None),
    }
}

/// Date, time and zone of an ISO timestamp; a date alone is midnight.
fn valid_timestamp(
    text: &str,
    keep: u8,
    lossy: bool,
) -> Result<(String, Option<String>, String), String> {
    let bad = || "text that is no timestamp".to_owned();
    let (text, era) = match text.trim().strip_suffix(" BC") {
        Some(body) => (body, " BC"),
        None => (text.trim(), ""),
    };
    let at = text.find(['T', 't', ' ']);
    let (date, rest) = match at {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, "00:00:00"),
    };
    valid_date(&format!("{date}{era}")).ok_or_else(bad)?;
    let (clock, zone) = split_zone(rest);
    let clock = valid_time(clock, keep, lossy)
        .map_err(|reason| if reason.starts_with("needs") { reason } else { bad() })?;
    Ok((format!("{date} {clock}"), zone, era.to_owned()))
}

fn infinite(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

/// Digits after the second of the server's own text, when the column keeps fewer.
fn digits_kept(text: &str, keep: u8, lossy: bool) -> Result<(), String> {
    let fraction = text.split('.').nth(1).unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let used = fraction[..digits].trim_end_matches('0').len();
    if used > usize::from(keep) && !lossy {
        return Err(format!("needs {used} digits after the second, the column keeps {keep}"));
    }
    Ok(())
}

/// Into date.
pub fn date(value: Value, to: &ColumnType, explicit: bool) -> Converted {
    match &value {
        Value::Typed(Scalar::Date, _) => Ok(value),
        Value::Typed(Scalar::Timestamp | Scalar::TimestampTz, text) if explicit => {
            let day = text.split(' ').next().unwrap_or_default();
            let era = if text.ends_with(" BC") { " BC" } else { "" };
            Ok(Value::Typed(Scalar::Date, format!("{day}{era}")))
        }
        Value::Text(text) | Value::Typed(Scalar::Opaque, text) => {
            let text = text.trim();
            if infinite(text) {
                return Ok(Value::Typed(Scalar::Date, text.to_owned()));
            }
            // A timestamp at midnight is a date; any other would be cut.
            if text.len() > 10 && valid_date(text).is_none() {
                let (stamp, _, era) = valid_timestamp(text, 6, false)?;
                if let Some(day) = stamp.strip_suffix(" 00:00:00") {
                    return Ok(Value::Typed(Scalar::Date, format!("{day}{era}")));
                }
                if !explicit {
                    return Err("a time of day would be cut off".to_owned());
                }
                let day = stamp.split(' ').next().unwrap_or_default();
                return Ok(Value::Typed(Scalar::Date, format!("{day}{era}")));
            }
            let day = valid_date(text).ok_or_else(|| "text that is no date".to_owned())?;
            Ok(Value::Typed(Scalar::Date, day))
        }
        _ => Err(no_way(&value, to)),
    }
}

/// Into time.
pub fn time(value: Value, keep: u8, to: &ColumnType, lossy: bool) -> Converted {
    match &value {
        Value::Typed(Scalar::Time, text) => {
            digits_kept(text, keep, lossy)?;
            Ok(value)
        }
        Value::Text(text) | Value::Typed(Scalar::Opaque, text) => {
            Ok(Value::Typed(Scalar::Time, valid_time(text.trim(), keep, lossy)?))
        }
        _ => Err(no_way(&value, to)),
    }
}

/// Into time with time zone.
pub fn time_tz(value: Value, keep: u8, to: &ColumnType, lossy: bool) -> Converted {
    match &value {
        Value::Typed(Scalar::TimeTz, text) => {
            digits_kept(text, keep, lossy)?;
            Ok(value)
        }
        Value::Text(text) | Value::Typed(Scalar::Opaque, text) => {
            let (clock, zone) = split_zone(text.trim());
            let zone = zone.ok_or_else(|| "a time without its zone".to_owned())?;
            let clock = valid_time(clock, keep, lossy)?;
            Ok(Value::Typed(Scalar::TimeTz, format!("{clock}{zone}")))
        }
        _ => Err(no_way(&value, to)),
    }
}

/// Into timestamp without time zone.
pub fn timestamp(
    value: Value,
    keep: u8,
    to: &ColumnType,
    lossy: bool,
    explicit: bool,
) -> Converted {
    match &value {
        Value::Typed(Scalar::Timestamp, text) => {
            digits_kept(text, keep, lossy)?;
            Ok(value)
        }
        Value::Typed(Scalar::TimestampTz, text) if explicit => {
            // Sessions run at UTC, so the zone is always +00.
            let naive = text.replacen("+00", "", 1);
            digits_kept(&naive, keep, lossy)?;
            Ok(Value::Typed(Scalar::Timestamp, naive))
        }
        Value::Typed(Scalar::Date, text) => match text.strip_suffix(" BC") {
            _ if infinite(text) => Ok(Value::Typed(Scalar::Timestamp, text.clone())),
            Some(day) => Ok(Value::Typed(Scalar::Timestamp, format!("{day} 00:00:00 BC"))),
            None => Ok(Value::Typed(Scalar::Timestamp, format!("{text} 00:00:00"))),
        },
        Value::Text(text) | Value::Typed(Scalar::Opaque, text) => {
            if infinite(text.trim()) {
                return Ok(Value::Typed(Scalar::Timestamp, text.trim().to_owned()));
            }
            let (stamp, zone, era) = valid_timestamp(text, keep, lossy)?;
            if zone.is_some() {
                return Err(format!("a zone would be dropped in {}", to.name));
            }
            Ok(Value::Typed(Scalar::Timestamp, format!("{stamp}{era}")))
        }
        _ => Err(no_way(&value, to)),
    }
}

/// Into timestamp with time zone. Text without a zone is UTC, as SQLite's own clock is.
pub fn timestamp_tz(
    value: Value,
    keep: u8,
    to: &ColumnType,
    lossy: bool,
    explicit: bool,
) -> Converted {
    match &value {
        Value::Typed(Scalar::TimestampTz, text) => {
            digits_kept(text, keep, lossy)?;
            Ok(value)
        }
        Value::Typed(Scalar::Timestamp | Scalar::Date, text) if explicit => {
            timestamp_tz(Value::Text(text.clone()), keep, to, lossy, explicit)
        }
        Value::Text(text) | Value::Typed(Scalar::Opaque, text) => {
            if infinite(text.trim()) {
                return Ok(Value::Typed(Scalar::TimestampTz, text.trim().to_owned()));
            }
            let (stamp, zone, era) = valid_timestamp(text, keep, lossy)?;
            let zone = zone.unwrap_or_else(|| "+00".to_owned());
            Ok(Value::Typed(Scalar::TimestampTz, format!("{stamp}{zone}{era}")))
        }
        _ => Err(no_way(&value, to)),
    }
}
