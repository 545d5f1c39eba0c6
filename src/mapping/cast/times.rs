//! Dates and times: read, checked against the calendar and the target's range, and printed as
//! PostgreSQL prints them in a session pinned to UTC and ISO.

use super::{Mode, reason};
use crate::sql::{ColumnType, Kind};
use crate::value::{Scalar, Value};

const SECONDS_A_DAY: i64 = 86_400;

/// A point in time, or a part of one, as text spells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Parts {
    /// Days since 1970-01-01.
    day: Option<i64>,
    /// Seconds of the day, and the digits after the point without zeros at the end.
    time: Option<(i64, String)>,
    /// Seconds east of UTC.
    zone: Option<i64>,
}

/// Into date, time, timetz, timestamp or timestamptz.
pub(super) fn time(value: Value, to: &ColumnType, mode: Mode) -> Result<Value, String> {
    let from = value.type_name();
    let fail = |why: &str| Err(reason(from, to, why));
    let (scalar, digits) = match to.kind {
        Kind::Date => (Scalar::Date, 0),
        Kind::Time(p) => (Scalar::Time, p),
        Kind::TimeTz(p) => (Scalar::TimeTz, p),
        Kind::Timestamp(p) => (Scalar::Timestamp, p),
        Kind::TimestampTz(p) => (Scalar::TimestampTz, p),
        _ => return fail("not a time"),
    };
    let (source, text) = match &value {
        Value::Typed(source, text) => (Some(*source), text.as_str()),
        Value::Text(text) => (None, if mode.explicit { text.trim() } else { text.as_str() }),
        _ => return fail("not a time"),
    };
    if let Some(source) = source
        && !related(source, scalar, mode)
    {
        return fail("they are different things; a cast or sql rule says how");
    }
    if source == Some(scalar) && fraction_digits(text) <= usize::from(digits) {
        return Ok(value);
    }
    let dated = matches!(scalar, Scalar::Date | Scalar::Timestamp | Scalar::TimestampTz);
    if dated && matches!(text, "infinity" | "-infinity") {
        return Ok(Value::Typed(scalar, text.to_owned()));
    }
    let Some(parts) = parse(text) else {
        return fail(match scalar {
            Scalar::Date => "not a date",
            Scalar::Time | Scalar::TimeTz => "not a time of day",
            _ => "not a date and time",
        });
    };
    if let Some((_, fraction)) = &parts.time {
        let cut = fraction.len() > usize::from(digits) && scalar != Scalar::Date;
        if cut && !mode.lossy {
            return fail(&format!(
                "it has {} digits after the second, the column keeps {digits}",
                fraction.len()
            ));
        }
    }
    match print(parts, scalar, mode) {
        Ok(text) => Ok(Value::Typed(scalar, text)),
        Err(why) => fail(why),
    }
}

/// Into interval. The server reads the text; here it only has to look like one: `1 day`,
/// `-3 days 04:05:06.789`, `838:59:59`.
pub(super) fn interval(value: Value, to: &ColumnType) -> Result<Value, String> {
    const UNITS: [&str; 12] = [
        "microsecond",
        "millisecond",
        "second",
        "sec",
        "minute",
        "min",
        "hour",
        "day",
        "week",
        "mon",
        "month",
        "year",
    ];
    let from = value.type_name();
    let text = match value {
        Value::Typed(Scalar::Interval, _) => return Ok(value),
        Value::Typed(Scalar::Time, text) | Value::Text(text) => text,
        _ => return Err(reason(from, to, "not an interval")),
    };
    let mut due_unit = false;
    let mut valid = !text.is_empty();
    for word in text.split(' ') {
        let size = word.strip_prefix(['+', '-']).unwrap_or(word);
        let unit = UNITS.contains(&word.strip_suffix('s').unwrap_or(word));
        let figures = size.starts_with(|c: char| c.is_ascii_digit())
            && size.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
        valid &= if due_unit { unit } else { figures };
        due_unit = !due_unit && !word.contains(':');
    }
    if valid && !due_unit {
        Ok(Value::Typed(Scalar::Interval, text))
    } else {
        Err(reason(from, to, "not an interval"))
    }
}

/// Digits after the second, as the server printed them.
fn fraction_digits(text: &str) -> usize {
    let Some(dot) = text.find('.') else {
        return 0;
    };
    text[dot + 1..].bytes().take_while(u8::is_ascii_digit).count()
}

/// Which typed values may become which: a zone is added or dropped by a cast only.
fn related(from: Scalar, to: Scalar, mode: Mode) -> bool {
    use Scalar::{Date, Time, TimeTz, Timestamp, TimestampTz};
    match (from, to) {
        (Date, Date | Timestamp)
        | (Timestamp, Timestamp | Date)
        | (Time, Time)
        | (TimeTz, TimeTz)
        | (TimestampTz, TimestampTz) => true,
        (Date | Timestamp, TimestampTz)
        | (TimestampTz, Timestamp | Date)
        | (Time, TimeTz)
        | (TimeTz, Time)
        | (Timestamp, Time) => mode.explicit,
        _ => false,
    }
}

/// The target's own text form, or why it can't hold the value.
fn print(parts: Parts, scalar: Scalar, mode: Mode) -> Result<String, &'static str> {
    let (mut day, mut time) = (parts.day, parts.time.clone());
    match scalar {
        Scalar::Time | Scalar::TimeTz => {
            let Some((seconds, fraction)) = time else {
                return Err("not a time of day");
            };
            if day.is_some() && !mode.explicit {
                return Err("the date would be cut off");
            }
            let clock = clock(seconds, &fraction);
            return match (scalar, parts.zone) {
                (Scalar::Time, None) => Ok(clock),
                (Scalar::Time, Some(0)) if mode.explicit => Ok(clock),
                (Scalar::Time, Some(_)) => Err("the zone would be cut off"),
                (_, zone) => Ok(format!("{clock}{}", offset(zone.unwrap_or(0)))),
            };
        }
        Scalar::Timestamp | Scalar::Date if parts.zone.is_some() && !mode.explicit => {
            return Err("the zone would be cut off; a cast rule takes UTC");
        }
        _ => {}
    }
    let Some(known) = day.as_mut() else {
        return Err("the date is missing");
    };
    if let (Some((seconds, _)), Some(zone)) = (time.as_mut(), parts.zone) {
        let utc = *seconds - zone;
        *known += utc.div_euclid(SECONDS_A_DAY);
        *seconds = utc.rem_euclid(SECONDS_A_DAY);
    }
    let (seconds, fraction) = time.unwrap_or_default();
    if seconds == SECONDS_A_DAY {
        *known += 1;
    }
    let seconds = seconds % SECONDS_A_DAY;
    // 4713-11-24 BC is the first day; the last ones differ.
    let last = if scalar == Scalar::Date { days(5_874_897, 12, 31) } else { days(294_276, 12, 31) };
    if *known < days(-4712, 11, 24) || *known > last {
        return Err("out of range");
    }
    let (date, era) = date(*known);
    Ok(match scalar {
        Scalar::Date if (seconds != 0 || !fraction.is_empty()) && !mode.lossy => {
            return Err("the time of day would be cut off");
        }
        Scalar::Date => format!("{date}{era}"),
        Scalar::Timestamp => format!("{date} {}{era}", clock(seconds, &fraction)),
        _ => format!("{date} {}+00{era}", clock(seconds, &fraction)),
    })
}

fn clock(seconds: i64, fraction: &str) -> String {
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{:02}:{:02}:{:02}{dot}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn offset(zone: i64) -> String {
    let (sign, size) = if zone < 0 { ('-', -zone) } else { ('+', zone) };
    let mut out = format!("{sign}{:02}", size / 3600);
    if size % 3600 != 0 {
        out.push_str(&format!(":{:02}", size / 60 % 60));
    }
    if size % 60 != 0 {
        out.push_str(&format!(":{:02}", size % 60));
    }
    out
}

/// `2024-01-31`, and ` BC` for years before 1.
fn date(day: i64) -> (String, &'static str) {
    let (year, month, day) = civil(day);
    if year < 1 {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    } else {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    }
}

/// Year, month and day of a day since 1970-01-01; year 0 is 1 BC.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    // Howard Hinnant's civil_from_days.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01, if there is a date, and microseconds of the day in UTC, of a text that
/// a pinned session prints. `None` for everything else, more digits than six among it.
pub(crate) fn moment(text: &str) -> Option<(Option<i64>, i64)> {
    let parts = parse(text)?;
    if parts.zone.is_some_and(|zone| zone != 0) {
        return None;
    }
    let (seconds, fraction) = parts.time.unwrap_or_default();
    if fraction.len() > 6 {
        return None;
    }
    let micros: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let micros = micros * 10_i64.pow(6 - fraction.len() as u32);
    Some((parts.day, seconds * 1_000_000 + micros))
}

/// Days since 1970-01-01 of `2024-01-31`; `None` for what the calendar has not.
pub(crate) fn calendar_day(text: &str) -> Option<i64> {
    parse_date(text, false)
}

/// Days since 1970-01-01; year 0 is 1 BC.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `2024-01-31`, `10:00:00.5+02`, or both with a blank or `T` between them.
fn parse(text: &str) -> Option<Parts> {
    let (text, bc) = match text.strip_suffix(" BC") {
        Some(body) => (body, true),
        None => (text, false),
    };
    if !text.is_ascii() {
        return None;
    }
    let mut parts = Parts::default();
    // A date has its first hyphen before any colon and after a digit.
    let dated =
        text.find('-').is_some_and(|at| at >= 4 && text.find(':').is_none_or(|colon| at < colon));
    let rest = if dated {
        let end = text.find([' ', 'T', 't']).unwrap_or(text.len());
        parts.day = Some(parse_date(&text[..end], bc)?);
        if end == text.len() {
            return Some(parts);
        }
        &text[end + 1..]
    } else if bc {
        return None;
    } else {
        text
    };
    let end =
        rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    parts.time = Some(parse_clock(&rest[..end])?);
    if end < rest.len() {
        parts.zone = Some(parse_zone(&rest[end..])?);
    }
    Some(parts)
}

fn number(text: &str, shortest: usize, longest: usize) -> Option<i64> {
    let fits = (shortest..=longest).contains(&text.len());
    (fits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse_date(text: &str, bc: bool) -> Option<i64> {
    let mut fields = text.split('-');
    let year = number(fields.next()?, 4, 7)?;
    let month = number(fields.next()?, 2, 2)?;
    let day = number(fields.next()?, 2, 2)?;
    let year = if bc { 1 - year } else { year };
    let zero = if bc { year == 1 } else { year == 0 };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let valid = fields.next().is_none() && !zero && (1..=longest).contains(&day);
    valid.then(|| days(year, month, day))
}

fn parse_clock(text: &str) -> Option<(i64, String)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let mut fields = whole.split(':');
    let hour = number(fields.next()?, 2, 2)?;
    let minute = number(fields.next()?, 2, 2)?;
    let second = match fields.next() {
        Some(field) => number(field, 2, 2)?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    let fraction = fraction.trim_end_matches('0');
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let last = hour == 24 && minute == 0 && second == 0 && fraction.is_empty();
    let valid =
        digits && fields.next().is_none() && (hour < 24 || last) && minute < 60 && second < 60;
    valid.then(|| (hour * 3600 + minute * 60 + second, fraction.to_owned()))
}

fn parse_zone(text: &str) -> Option<i64> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let colons = text.len() - 1 - digits.len();
    if !matches!((digits.len(), colons), (2, 0) | (4, 0 | 1) | (6, 2)) {
        return None;
    }
    let field = |at: usize| digits.get(at..at + 2).map_or(Some(0), |field| number(field, 2, 2));
    let (hour, minute, second) = (field(0)?, field(2)?, field(4)?);
    (hour < 16 && minute < 60 && second < 60).then_some(sign * (hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (-2_450_000..110_000_000).step_by(9_973) {
            let (text, era) = date(day);
            assert_eq!(parse(&format!("{text}{era}")).and_then(|parts| parts.day), Some(day));
        }
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(date(days(-43, 3, 15)), ("0044-03-15".to_owned(), " BC"));
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "2024",
            "0000-00-00",
            "0000-01-01",
            "2024-00-15",
            "2023-02-29",
            "1900-02-29",
            "2024-1-1",
            "25:00:00",
            "-838:59:59",
            "10:60:00",
            "10:00:60",
            "24:00:01",
            "2024-01-31 ",
            "2024-01-31T",
            "2024-01-31 10",
            "2024-01-31 10:00:00 Mars",
            "2024-01-31x10:00",
            "10:00 BC",
            "10:00:00.",
            "2024-01-31 10:00:00+1",
            "2024-01-31 10:00:00+16",
            "infinity",
            "é024-01-31",
            "12345",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
