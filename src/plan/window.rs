//! The time of day in which a run may work: `22:00-06:00 Europe/Berlin`. Pure.

use std::fmt;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A window of each day in one time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    opens: Time,
    closes: Time,
    zone: TimeZone,
    text: String,
}

impl Window {
    /// Reads `22:00-06:00 Europe/Berlin`, also with seconds; without a zone it is UTC.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Window, String> {
        let form = "write it like 22:00-06:00 Europe/Berlin";
        let (times, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
        let (opens, closes) = times.split_once('-').ok_or(form)?;
        let time = |text: &str| {
            let found = Time::strptime("%H:%M", text).or_else(|_| Time::strptime("%H:%M:%S", text));
            found.map_err(|_| form.to_owned())
        };
        let (opens, closes) = (time(opens)?, time(closes)?);
        if opens == closes {
            return Err("it opens and closes at the same time".to_owned());
        }
        let zone = TimeZone::get(zone.trim())
            .map_err(|_| format!("`{}` is not a time zone; {form}", zone.trim()))?;
        Ok(Window { opens, closes, zone, text: text.trim().to_owned() })
    }

    /// Whether it is open at that moment.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let time = at.to_zoned(self.zone.clone()).time();
        match self.opens < self.closes {
            true => self.opens <= time && time < self.closes,
            false => time >= self.opens || time < self.closes,
        }
    }

    /// When it next opens (where it is closed) or closes (where it is open); the moment itself
    /// at the end of time.
    pub fn changes(&self, at: Timestamp) -> Timestamp {
        let wanted = if self.is_open(at) { self.closes } else { self.opens };
        let today = at.to_zoned(self.zone.clone()).date();
        // A day that lacks the hour (summer time begins) has the moment right after it.
        (0..3)
            .filter_map(|days| {
                let date = today.checked_add(i64::from(days).days()).ok()?;
                let zoned = date.to_datetime(wanted).to_zoned(self.zone.clone()).ok()?;
                Some(zoned.timestamp())
            })
            .find(|change| *change > at)
            .unwrap_or(at)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn over_midnight_and_within_a_day() {
        let night = Window::parse("22:00-06:00 Europe/Berlin").unwrap();
        assert!(night.is_open(at("2026-01-10T21:00:00Z")), "22:00 in Berlin");
        assert!(night.is_open(at("2026-01-11T04:59:59Z")));
        assert!(!night.is_open(at("2026-01-11T05:00:00Z")), "06:00 in Berlin");
        assert_eq!(night.changes(at("2026-01-10T21:00:00Z")), at("2026-01-11T05:00:00Z"));
        assert_eq!(night.changes(at("2026-01-11T05:00:00Z")), at("2026-01-11T21:00:00Z"));
        let noon = Window::parse("12:00-13:00").unwrap();
        assert!(noon.is_open(at("2026-01-10T12:30:00Z")));
        assert!(!noon.is_open(at("2026-01-10T13:00:00Z")));
        assert_eq!(noon.changes(at("2026-01-10T13:00:00Z")), at("2026-01-11T12:00:00Z"));
    }

    #[test]
    fn the_nights_on_which_the_clocks_change() {
        let night = Window::parse("22:00-06:00 Europe/Berlin").unwrap();
        assert_eq!(night.changes(at("2026-03-28T21:00:00Z")), at("2026-03-29T04:00:00Z"));
        assert_eq!(night.changes(at("2026-10-24T20:00:00Z")), at("2026-10-25T05:00:00Z"));
        // 02:30 is not there on that day.
        let gap = Window::parse("02:30-05:00 Europe/Berlin").unwrap();
        assert_eq!(gap.changes(at("2026-03-29T00:00:00Z")), at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn what_is_no_window_says_so() {
        for text in ["", "22-06", "22:00", "22:00-22:00 UTC", "25:00-06:00", "22:00-06:00 Mars/X"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
