//! Dates and times.

use super::*;

#[test]
fn times_keep_moment_and_digits() {
    let half = typed(Timestamp, "2024-01-31 10:00:00.6");
    let zoned = typed(TimestampTz, "2024-01-31 10:00:00+00");
    table(
        fit,
        &[
            (half.clone(), "timestamp", Some("2024-01-31 10:00:00.6")),
            (half.clone(), "timestamp(0)", None),
            (
                typed(Timestamp, "2024-01-31 10:00:00.60"),
                "timestamp(1)",
                Some("2024-01-31 10:00:00.6"),
            ),
            (half.clone(), "timestamptz", None),
            (half.clone(), "date", None),
            (zoned.clone(), "timestamp", None),
            (zoned.clone(), "timestamptz", Some("2024-01-31 10:00:00+00")),
            (typed(Date, "2024-01-31"), "timestamp", Some("2024-01-31 00:00:00")),
            (typed(Date, "2024-01-31"), "timestamptz", None),
            (typed(Date, "5874897-12-31"), "timestamp", None),
            (typed(Date, "infinity"), "timestamp", Some("infinity")),
            (typed(Date, "0044-03-15 BC"), "date", Some("0044-03-15 BC")),
            (typed(Time, "25:00:00"), "time", Some("25:00:00")),
            (typed(Time, "25:00:00"), "interval", Some("25:00:00")),
            (typed(Time, "-838:59:59"), "interval", Some("-838:59:59")),
            (typed(Interval, "1 mon -3 days"), "interval", Some("1 mon -3 days")),
            (typed(Interval, "1 mon"), "time", None),
            (typed(TimeTz, "10:00:00+05:30"), "timetz", Some("10:00:00+05:30")),
            (typed(TimeTz, "10:00:00+05:30"), "time", None),
            (typed(Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "date", None),
            (text("2024-01-31T12:00:00.5+02:00"), "timestamptz", Some("2024-01-31 10:00:00.5+00")),
            (text("2024-01-01T00:30:00+01"), "timestamptz", Some("2023-12-31 23:30:00+00")),
            (text("2024-01-31 10:00:00"), "timestamptz", Some("2024-01-31 10:00:00+00")),
            (text("2024-01-31T10:00:00Z"), "timestamp", None),
            (text("2024-01-31 10:00"), "timestamp", Some("2024-01-31 10:00:00")),
            (text("2024-01-31"), "timestamptz", Some("2024-01-31 00:00:00+00")),
            (text("2024-02-29"), "date", Some("2024-02-29")),
            (text("2023-02-29"), "date", None),
            (text("0000-00-00"), "date", None),
            (text("2024-00-15"), "date", None),
            (text("0009-12-04"), "date", Some("0009-12-04")),
            (text("2024-01-31 10:00:00"), "date", None),
            (text("2024-01-31 00:00:00"), "date", Some("2024-01-31")),
            (text("4713-11-24 BC"), "timestamp", Some("4713-11-24 00:00:00 BC")),
            (text("4713-11-23 BC"), "date", None),
            (
                text("294276-12-31 23:59:59.999999"),
                "timestamp",
                Some("294276-12-31 23:59:59.999999"),
            ),
            (text("294277-01-01"), "timestamp", None),
            (text("25:00:00"), "time", None),
            (text("10:00:00.1234567"), "time", None),
            (text("24:00:00"), "time", Some("24:00:00")),
            (Value::Int(1_700_000_000), "timestamptz", None),
        ],
    );
}

#[test]
fn intervals_look_like_intervals() {
    for good in ["1 day", "1 mon -3 days 04:05:06.789", "-838:59:59", "25:00:00", "2 years"] {
        assert!(fit(text(good), &ty("interval"), false).is_ok(), "{good}");
    }
    for bad in ["", "soon", "1", "day 1", "1 fortnight", "1  day", "1 day;", "\0"] {
        assert!(fit(text(bad), &ty("interval"), false).is_err(), "{bad}");
    }
}

#[test]
fn a_cast_adds_and_drops_zones_at_utc() {
    let half = typed(Timestamp, "2024-01-31 10:00:00.6");
    let zoned = typed(TimestampTz, "2024-01-31 10:00:00+00");
    table(
        cast,
        &[
            (zoned, "timestamp", Some("2024-01-31 10:00:00")),
            (half, "timestamptz", Some("2024-01-31 10:00:00.6+00")),
            (text("2024-01-31T12:00:00+02:00"), "timestamp", Some("2024-01-31 10:00:00")),
            (typed(Date, "2024-01-31"), "timestamptz", Some("2024-01-31 00:00:00+00")),
            (typed(TimestampTz, "2024-01-31 00:00:00+00"), "date", Some("2024-01-31")),
            (typed(TimestampTz, "infinity"), "timestamp", Some("infinity")),
            (text(" 2024-01-31 "), "date", Some("2024-01-31")),
            (text("yesterday"), "date", None),
        ],
    );
}
