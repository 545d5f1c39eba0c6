//! Times without a zone, and counts of seconds: what the plan says they mean.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::times::{self, Parts, SECONDS_A_DAY};
use super::{Mode, reason};
use crate::sql::{ColumnType, Kind};
use crate::value::{Scalar, Value};

/// What an integer counts since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
}

impl Epoch {
    /// Digits after the second.
    fn digits(self) -> u32 {
        match self {
            Epoch::Seconds => 0,
            Epoch::Milliseconds => 3,
            Epoch::Microseconds => 6,
        }
    }
}

/// How a cast reads times.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clock {
    /// The zone of times that have none; without it they are UTC.
    zone: Option<TimeZone>,
    /// What an integer counts.
    epoch: Option<Epoch>,
}

impl Clock {
    /// Understands what a rule says.
    ///
    /// # Errors
    /// A zone that the IANA database doesn't have: what is wrong, and what to do.
    pub fn new(
        zone: Option<&str>,
        epoch: Option<Epoch>,
    ) -> Result<Clock, (String, Option<String>)> {
        let Some(name) = zone else {
            return Ok(Clock { zone: None, epoch });
        };
        match TimeZone::get(name) {
            Ok(zone) => Ok(Clock { zone: Some(zone), epoch }),
            Err(_) => {
                let known: Vec<_> = jiff::tz::db().available().map(|z| z.to_string()).collect();
                let help = crate::mapping::bind::nearest(name, known.iter().map(String::as_str))
                    .unwrap_or_else(|| "an IANA name such as Europe/Berlin or UTC".to_owned());
                Err((format!("there is no time zone {name}"), Some(help)))
            }
        }
    }

    /// Nothing is said: the server's own cast does the same.
    pub(crate) fn is_plain(&self) -> bool {
        self.zone.is_none() && self.epoch.is_none()
    }
}

/// The value as the clock reads it, before it is converted to `to`.
///
/// # Errors
/// A local time that the zone doesn't have, or has twice (with `lossy`, PostgreSQL's answer:
/// the hour that is missing is counted on from the one before, of two the later is taken).
pub(super) fn read(
    value: Value,
    to: &ColumnType,
    clock: &Clock,
    mode: Mode,
) -> Result<Value, String> {
    let value = match clock.epoch {
        Some(epoch) => counted(value, epoch, to)?,
        None => value,
    };
    let Some(zone) = &clock.zone else {
        return Ok(value);
    };
    let text = match &value {
        Value::Typed(Scalar::Date | Scalar::Timestamp | Scalar::TimestampTz, text)
        | Value::Text(text) => text.trim(),
        _ => return Ok(value),
    };
    // What is no time is refused by the conversion, which has the better words.
    let Some(parts) = times::parse(text) else {
        return Ok(value);
    };
    let Some(day) = parts.day else {
        return Ok(value);
    };
    let from = value.type_name();
    let fail = |why: &str| Err(reason(from, to, why));
    let (seconds, fraction) = parts.time.unwrap_or_default();
    let local = day * SECONDS_A_DAY + seconds;
    match (parts.zone, &to.kind) {
        (None, Kind::TimestampTz(_)) => match offset_of(local, zone, mode.lossy) {
            Ok(offset) => Ok(printed(local - offset, fraction, Scalar::TimestampTz)),
            Err(why) => fail(why),
        },
        (Some(own), Kind::Timestamp(_) | Kind::Date) => {
            let Ok(instant) = Timestamp::from_second(local - own) else {
                return fail(OUT_OF_RULES);
            };
            let offset = i64::from(zone.to_offset(instant).seconds());
            Ok(printed(local - own + offset, fraction, Scalar::Timestamp))
        }
        _ => Ok(value),
    }
}

const OUT_OF_RULES: &str = "the zone's rules are known for the years 1 to 9999 only";

/// Seconds east of UTC at a local time, counted in seconds as if it were UTC.
fn offset_of(local: i64, zone: &TimeZone, lossy: bool) -> Result<i64, &'static str> {
    let (year, month, day) = times::civil(local.div_euclid(SECONDS_A_DAY));
    let seconds = local.rem_euclid(SECONDS_A_DAY);
    let small = |n: i64| i8::try_from(n).unwrap_or(0);
    let civil = i16::try_from(year).ok().filter(|year| *year >= 1).and_then(|year| {
        let (hour, minute) = (small(seconds / 3600), small(seconds / 60 % 60));
        let (month, day) = (small(month), small(day));
        jiff::civil::DateTime::new(year, month, day, hour, minute, small(seconds % 60), 0).ok()
    });
    let Some(civil) = civil else {
        return Err(OUT_OF_RULES);
    };
    let offset = match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } if lossy => before,
        AmbiguousOffset::Fold { after, .. } if lossy => after,
        AmbiguousOffset::Gap { .. } => return Err("the zone skips this hour"),
        AmbiguousOffset::Fold { .. } => return Err("the zone has this hour twice"),
    };
    Ok(i64::from(offset.seconds()))
}

/// An integer, or its text, as the instant that it counts to.
fn counted(value: Value, epoch: Epoch, to: &ColumnType) -> Result<Value, String> {
    let from = value.type_name();
    let count = match &value {
        Value::Int(count) => Some(*count),
        Value::Text(text) | Value::Number(text) => text.trim().parse().ok(),
        _ => None,
    };
    // A text that is a date already, in a column of both.
    let Some(count) = count else {
        return match value {
            Value::Null | Value::Typed(..) | Value::Text(_) => Ok(value),
            _ => Err(reason(from, to, "not a whole number")),
        };
    };
    let digits = epoch.digits();
    let unit = 10_i64.pow(digits);
    let (seconds, rest) = (count.div_euclid(unit), count.rem_euclid(unit));
    if seconds.abs() > 9_224_318_016_000 {
        return Err(reason(from, to, "out of range"));
    }
    let fraction = match digits {
        0 => String::new(),
        digits => format!("{rest:0width$}", width = digits as usize),
    };
    let fraction = fraction.trim_end_matches('0').to_owned();
    Ok(printed(seconds, fraction, Scalar::TimestampTz))
}

/// Seconds since 1970 as text, with a zone for a `TimestampTz`.
fn printed(seconds: i64, fraction: String, scalar: Scalar) -> Value {
    let parts = Parts {
        day: Some(seconds.div_euclid(SECONDS_A_DAY)),
        time: Some((seconds.rem_euclid(SECONDS_A_DAY), fraction)),
        zone: None,
    };
    Value::Typed(scalar, times::spell(&parts, scalar))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::cast::{self, parse_type, read_by};

    fn cast(value: Value, to: &str, zone: Option<&str>, epoch: Option<Epoch>) -> String {
        let clock = Clock::new(zone, epoch).unwrap();
        let to = parse_type(to).unwrap();
        match read_by(&clock, value, &to, false).and_then(|value| cast::cast(value, &to, false)) {
            Ok(value) => value.to_text().unwrap_or_default(),
            Err(why) => format!("refused: {why}"),
        }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn local_times_become_instants() {
        let berlin = |value: &str| cast(text(value), "timestamptz", Some("Europe/Berlin"), None);
        assert_eq!(berlin("2024-01-31 12:00:00.25"), "2024-01-31 11:00:00.25+00");
        assert_eq!(berlin("2024-07-01T00:30:00"), "2024-06-30 22:30:00+00");
        assert_eq!(berlin("2024-07-01"), "2024-06-30 22:00:00+00");
        assert_eq!(berlin("2024-07-01 24:00:00"), "2024-07-01 22:00:00+00");
        assert_eq!(berlin("1850-01-01 00:00:00"), "1849-12-31 23:06:32+00");
        // What says its own zone is believed.
        assert_eq!(berlin("2024-01-31 12:00:00+05"), "2024-01-31 07:00:00+00");
        assert_eq!(berlin("infinity"), "infinity");
        assert!(berlin("2024-03-31 02:30:00").contains("skips this hour"));
        assert!(berlin("2024-10-27 02:30:00").contains("this hour twice"));
        assert!(berlin("0044-03-15 12:00:00 BC").contains("years 1 to 9999"));
        assert!(berlin("31.01.2024").starts_with("refused"));
        let typed = Value::Typed(Scalar::Timestamp, "2024-01-31 12:00:00".to_owned());
        assert_eq!(cast(typed, "timestamptz", Some("Asia/Tokyo"), None), "2024-01-31 03:00:00+00");
    }

    #[test]
    fn instants_become_local_times() {
        let at = |zone: &str, to: &str| {
            let value = Value::Typed(Scalar::TimestampTz, "2024-06-30 22:30:00.5+00".to_owned());
            cast(value, to, Some(zone), None)
        };
        assert_eq!(at("Europe/Berlin", "timestamp"), "2024-07-01 00:30:00.5");
        assert_eq!(at("America/New_York", "timestamp"), "2024-06-30 18:30:00.5");
        assert!(at("Europe/Berlin", "date").contains("cut off"));
    }

    #[test]
    fn allowed_losses_are_postgres_answers() {
        let clock = Clock::new(Some("Europe/Berlin"), None).unwrap();
        let to = parse_type("timestamptz").unwrap();
        let lossy = |value: &str| read_by(&clock, text(value), &to, true).unwrap().to_text();
        assert_eq!(lossy("2024-03-31 02:30:00").as_deref(), Some("2024-03-31 01:30:00+00"));
        assert_eq!(lossy("2024-10-27 02:30:00").as_deref(), Some("2024-10-27 01:30:00+00"));
    }

    #[test]
    fn counts_become_instants() {
        let at = |value: Value, epoch: Epoch| cast(value, "timestamptz", None, Some(epoch));
        assert_eq!(at(Value::Int(0), Epoch::Seconds), "1970-01-01 00:00:00+00");
        assert_eq!(at(Value::Int(-1), Epoch::Milliseconds), "1969-12-31 23:59:59.999+00");
        assert_eq!(
            at(Value::Int(1_706_700_000_120), Epoch::Milliseconds),
            "2024-01-31 11:20:00.12+00"
        );
        assert_eq!(at(text("1706700000"), Epoch::Seconds), "2024-01-31 11:20:00+00");
        assert_eq!(at(text("2024-01-31"), Epoch::Seconds), "2024-01-31 00:00:00+00");
        assert!(at(Value::Int(i64::MAX), Epoch::Seconds).contains("out of range"));
        assert!(at(Value::Real(0.5), Epoch::Seconds).contains("not a whole number"));
        let local = cast(Value::Int(0), "timestamp", Some("Europe/Berlin"), Some(Epoch::Seconds));
        assert_eq!(local, "1970-01-01 01:00:00");
    }

    #[test]
    fn unknown_zones_are_named() {
        let (message, help) = Clock::new(Some("Europe/Berln"), None).unwrap_err();
        assert_eq!(message, "there is no time zone Europe/Berln");
        assert_eq!(help.as_deref(), Some("did you mean \"Europe/Berlin\"?"));
    }
}
