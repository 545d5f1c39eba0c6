//! What is known of a pair of types before any value is seen.

use crate::sql::{Affinity, ColumnType, Kind};

/// What becomes of values of one type in a column of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// Each value fits, or its own text decides.
    Fits,
    /// Some values would change; with this much in common, such a row is a reject.
    CanLose(&'static str),
    /// No value fits; the text says why or what to do.
    Never(&'static str),
}

const NO: Pair = Pair::Never("no value of the one is a value of the other");
const ZONE: Pair = Pair::Never("the zone decides which moment it is: say so with a cast rule");

/// The pair's verdict; `explicit` for a `cast` rule.
pub fn pair(from: &Kind, to: &Kind, explicit: bool) -> Pair {
    use Kind::{
        Bool, Bytes, Date, Dynamic, Float4, Float8, Int, Interval, Json, Jsonb, Numeric, Opaque,
        Text, Time, TimeTz, Timestamp, TimestampTz, Uuid,
    };
    match (from, to) {
        // These decide by the value.
        (Dynamic(_), _) | (Text { .. }, Bool | Int(_) | Float4 | Float8 | Uuid | Json | Jsonb) => {
            Pair::Fits
        }
        (_, Dynamic(affinity)) => match from {
            // In such a column it stays the text that it is.
            Numeric(_) if *affinity != Affinity::Text => {
                Pair::CanLose("SQLite has no decimals: what a double can't hold is refused")
            }
            _ => Pair::Fits,
        },
        (Text { .. }, Date | Time(_) | TimeTz(_) | Timestamp(_) | TimestampTz(_) | Interval) => {
            Pair::Fits
        }
        (Text { .. }, Numeric(_)) => Pair::Fits,
        (Text { max: from, .. }, Text { max: Some(to), .. })
            if from.is_none_or(|from| from > *to) =>
        {
            Pair::CanLose("longer texts would be cut")
        }
        (Bytes, Text { .. } | Uuid) if explicit => Pair::Fits,
        (Bytes, Bytes) => Pair::Fits,
        (Text { .. }, Bytes) if explicit => Pair::Fits,
        (Bytes, Json | Jsonb) => Pair::Fits,
        (Bytes, _) | (_, Bytes) => NO,
        (_, Text { max: Some(_), .. }) if !matches!(from, Text { .. }) => {
            Pair::CanLose("longer texts would be cut")
        }
        (_, Text { .. } | Json | Jsonb) => Pair::Fits,
        (Opaque { .. }, Opaque { .. }) | (Text { .. }, Opaque { .. }) => Pair::Fits,
        (Bool, Opaque { .. }) => NO,
        (_, Opaque { .. }) => Pair::Fits,
        (Opaque { .. }, _) => Pair::Never("no conversion is known: use a sql rule"),
        (Bool, Bool | Int(_)) | (Int(_), Bool | Int(_)) => Pair::Fits,
        (Int(_), Numeric(_)) => Pair::Fits,
        (Int(width), Float4) if *width > 2 => Pair::CanLose("a real keeps 24 bits"),
        (Int(8), Float8) => Pair::CanLose("a double keeps 53 bits"),
        (Int(_), Float4 | Float8) => Pair::Fits,
        (Numeric(_) | Float4 | Float8, Bool) if explicit => Pair::Fits,
        (Numeric(_), Numeric(None)) => Pair::Fits,
        (Numeric(Some((_, from))), Numeric(Some((_, to)))) if from <= to => Pair::Fits,
        (Numeric(_) | Float4 | Float8, Numeric(Some(_))) => {
            Pair::CanLose("decimal places would be rounded")
        }
        (Numeric(_) | Float4 | Float8, Int(_)) => Pair::CanLose("decimal places would be rounded"),
        (Numeric(_), Float4 | Float8) => Pair::CanLose("digits would be rounded"),
        (Float8, Float4) => Pair::CanLose("digits would be rounded"),
        (Float4 | Float8, Numeric(None) | Float4 | Float8) => Pair::Fits,
        _ => times(from, to, explicit),
    }
}

fn times(from: &Kind, to: &Kind, explicit: bool) -> Pair {
    use Kind::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz, Uuid};
    match (from, to) {
        (Date, Date | Timestamp(_)) => Pair::Fits,
        (Timestamp(_), Date) => Pair::CanLose("the time of day would be cut off"),
        (TimestampTz(_), Date) if explicit => Pair::CanLose("the time of day would be cut off"),
        (Time(from), Time(to))
        | (TimeTz(from), TimeTz(to))
        | (Timestamp(from), Timestamp(to))
        | (TimestampTz(from), TimestampTz(to)) => digits(*from, *to),
        (Timestamp(from), TimestampTz(to) | Time(to)) | (TimestampTz(from), Timestamp(to))
            if explicit =>
        {
            digits(*from, *to)
        }
        (Date, TimestampTz(_)) | (Time(_), TimeTz(_)) | (TimeTz(_), Time(_)) if explicit => {
            Pair::Fits
        }
        (Timestamp(_) | Date, TimestampTz(_)) | (TimestampTz(_), Timestamp(_) | Date) => ZONE,
        (Time(_), TimeTz(_)) | (TimeTz(_), Time(_)) => ZONE,
        (Time(_) | Interval, Interval) | (Uuid, Uuid) => Pair::Fits,
        _ => NO,
    }
}

fn digits(from: u8, to: u8) -> Pair {
    if from <= to { Pair::Fits } else { Pair::CanLose("fractions of a second would be rounded") }
}

/// True when PostgreSQL's own assignment keeps every value, so that no row needs a look.
pub(crate) fn exact_in_sql(from: &ColumnType, to: &ColumnType) -> bool {
    use Kind::{
        Float4, Float8, Int, Json, Jsonb, Numeric, Opaque, Text, Time, TimeTz, Timestamp,
        TimestampTz,
    };
    match (&from.kind, &to.kind) {
        (Opaque { .. }, Opaque { .. }) => from.name == to.name,
        (Opaque { .. } | Kind::Dynamic(_), _) | (_, Kind::Dynamic(_)) => false,
        // The server's assignment would cut blanks in silence, hence `padded` targets of the
        // same or a greater length only.
        (Text { max: from, .. }, Text { max: to, .. }) => match (from, to) {
            (_, None) => true,
            (Some(from), Some(to)) => from <= to,
            (None, Some(_)) => false,
        },
        (Json | Jsonb, Text { max: None, .. }) => true,
        (Int(from), Int(to)) => from <= to,
        (Int(_), Numeric(None)) | (Numeric(_), Numeric(None)) => true,
        (Numeric(Some((p, s))), Numeric(Some((q, t)))) => {
            s <= t && i64::from(*p) - i64::from(*s) <= i64::from(*q) - i64::from(*t)
        }
        (Float4, Float8) => true,
        (Time(from), Time(to))
        | (TimeTz(from), TimeTz(to))
        | (Timestamp(from), Timestamp(to))
        | (TimestampTz(from), TimestampTz(to)) => from <= to,
        (a, b) => a == b,
    }
}
