//! Values that only one side has: what the plan's `values` table says of them, and what each
//! kind of target can't hold.

use super::cast;
use crate::sql::{Column, ColumnType, Flavor, Kind};
use crate::value::{Scalar, Value};

/// `values = { … }` of a plan: what becomes of values about which people disagree. All of it
/// refuses, unless the plan says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueOptions {
    /// `zero_dates = "null"`: `0000-00-00` and `2024-00-15` are NULL where a date is wanted, and
    /// so is the YEAR `0000`.
    pub zero_dates_are_null: bool,
    /// `nul = "remove"`: the character `\u0000` is taken out of texts for PostgreSQL.
    pub removes_nul: bool,
    /// `invalid_utf8 = "replace"`: what is no UTF-8 in a text becomes U+FFFD.
    pub replaces_invalid: bool,
    /// `nan = "null"`: NaN and infinity, those of dates among them, are NULL where the target has
    /// none.
    pub nan_is_null: bool,
    /// `long_time = "null"`: a TIME that is no time of day is NULL where one is wanted.
    pub long_time_is_null: bool,
    /// `tinyint1 = "boolean"`: the source's TINYINT(1) are booleans, and only 0 and 1 are.
    pub tinyint1_is_boolean: bool,
}

impl ValueOptions {
    /// The source's columns as they are to be read.
    pub fn read_as(&self, columns: &mut [Column]) {
        for column in columns.iter_mut().filter(|_| self.tinyint1_is_boolean) {
            if column.ty.name.starts_with("tinyint(1)") {
                column.ty.kind = Kind::Bool;
            }
        }
    }

    /// A value of the source before any rule sees it.
    ///
    /// # Errors
    /// Why the row is refused.
    pub(super) fn read(
        &self,
        value: Value,
        from: &ColumnType,
        target: Flavor,
    ) -> Result<Value, String> {
        let value = match value {
            Value::Malformed(bytes) if self.replaces_invalid => {
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            Value::Malformed(_) => return Err(NOT_UTF8.to_owned()),
            Value::Text(text)
                if self.removes_nul && target == Flavor::Postgres && text.contains('\0') =>
            {
                Value::Text(text.replace('\0', ""))
            }
            Value::Typed(_, text)
                if self.zero_dates_are_null && is_date(&from.kind) && cast::is_zero_date(&text) =>
            {
                Value::Null
            }
            Value::Int(0) if is_year(from) && self.zero_dates_are_null => Value::Null,
            Value::Int(0) if is_year(from) => return Err("year: 0000 is none".to_owned()),
            value => value,
        };
        cast::interpret(value, &from.kind)
    }

    /// A value as a column takes it (`explicit`: as a cast makes it), or NULL where that is said.
    ///
    /// # Errors
    /// Why the row is refused.
    pub(super) fn fit(
        &self,
        value: Value,
        to: &ColumnType,
        target: Flavor,
        lossy: bool,
        explicit: bool,
    ) -> Result<Value, String> {
        if self.zero_dates_are_null
            && is_date(&to.kind)
            && matches!(&value, Value::Text(text) if cast::is_zero_date(text.trim()))
        {
            return Ok(Value::Null);
        }
        let endless = !is_finite(&value);
        let long = is_long(&value) && matches!(to.kind, Kind::Time(_) | Kind::TimeTz(_));
        let none = format!("{} into {}: ", value.type_name(), to.name);
        let fitted =
            if explicit { cast::cast(value, to, lossy) } else { cast::fit(value, to, lossy) };
        match fitted {
            Ok(value) => match lacks(&value, to, target, long) {
                None => Ok(value),
                Some(_) if endless && self.nan_is_null || long && self.long_time_is_null => {
                    Ok(Value::Null)
                }
                Some(why) => Err(none + why),
            },
            Err(_) if endless && self.nan_is_null || long && self.long_time_is_null => {
                Ok(Value::Null)
            }
            Err(why) => Err(why),
        }
    }
}

const NOT_UTF8: &str = "the text is not valid UTF-8";

/// What this kind of target has not, though another with such a column may.
fn lacks(value: &Value, to: &ColumnType, target: Flavor, long: bool) -> Option<&'static str> {
    match (target, value, &to.kind) {
        (Flavor::Postgres, Value::Text(text), Kind::Text { .. }) if text.contains('\0') => {
            Some("the character \\u0000 doesn't fit")
        }
        (Flavor::Postgres, ..) if long => Some("it is no time of day"),
        (Flavor::Mysql, value, kind) if is_number(kind) && !is_finite(value) => {
            Some("MySQL has no NaN and no infinity")
        }
        (Flavor::Mysql, value, kind) if is_date(kind) && !is_finite(value) => {
            Some("MySQL has no such date")
        }
        _ => None,
    }
}

/// A YEAR of MySQL, which says with 0000 that it is none.
pub(super) fn is_year(ty: &ColumnType) -> bool {
    ty.name.starts_with("year") && matches!(ty.kind, Kind::Int(_))
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Int(_) | Kind::Numeric(_) | Kind::Float4 | Kind::Float8)
}

/// Such a column of MySQL may hold dates with zeros.
pub(super) fn is_date(kind: &Kind) -> bool {
    matches!(kind, Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_))
}

/// Neither NaN nor infinity, of a number or a date.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(f) => f.is_finite(),
        Value::Real(f) => f.is_finite(),
        Value::Number(text) => !text.contains(['N', 'I']),
        Value::Typed(Scalar::Date | Scalar::Timestamp | Scalar::TimestampTz, text) => {
            !text.ends_with("infinity")
        }
        _ => true,
    }
}

/// A TIME of MySQL that is before 00:00 or after 24:00.
fn is_long(value: &Value) -> bool {
    let Value::Typed(Scalar::Time, text) = value else {
        return false;
    };
    let hours = text.split(':').next().unwrap_or_default();
    text.starts_with('-') || hours.len() > 2 || text.as_str() > "24:00:00"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(options: ValueOptions, value: Value, kind: Kind, target: Flavor) -> Option<Value> {
        let to = ColumnType { kind, name: "t".to_owned() };
        options.fit(value, &to, target, false, false).ok()
    }

    #[test]
    fn what_a_target_has_not_is_refused_or_null() {
        let time = |text: &str| Value::Typed(Scalar::Time, text.to_owned());
        let (none, nulls) = (
            ValueOptions::default(),
            ValueOptions {
                nan_is_null: true,
                long_time_is_null: true,
                zero_dates_are_null: true,
                ..ValueOptions::default()
            },
        );
        let text = Kind::Text { max: None, padded: false };
        let refused = [
            (Value::Float(f64::NAN), Kind::Float8, Flavor::Mysql),
            (Value::Float(f64::NAN), Kind::Int(8), Flavor::Postgres),
            (Value::Number("Infinity".into()), Kind::Numeric(Some((9, 2))), Flavor::Postgres),
            (Value::Typed(Scalar::Date, "infinity".into()), Kind::Date, Flavor::Mysql),
            (time("25:00:00"), Kind::Time(6), Flavor::Postgres),
            (time("24:00:00.1"), Kind::Time(6), Flavor::Postgres),
            (time("-00:00:01"), Kind::Time(6), Flavor::Postgres),
            (time("838:59:59"), Kind::Time(6), Flavor::Postgres),
            (Value::Text("0000-00-00 00:00:00".into()), Kind::Timestamp(6), Flavor::Postgres),
        ];
        for (value, kind, target) in refused {
            assert_eq!(fit(none, value.clone(), kind.clone(), target), None, "{value:?}");
            assert_eq!(fit(nulls, value.clone(), kind, target), Some(Value::Null), "{value:?}");
        }
        let kept = [
            (Value::Float(f64::INFINITY), Kind::Float8, Flavor::Postgres),
            (time("24:00:00"), Kind::Time(6), Flavor::Postgres),
            (time("-838:59:59"), Kind::Time(6), Flavor::Mysql),
            (Value::Text("a\0b".into()), text.clone(), Flavor::Mysql),
            (Value::Text("0000-00-00".into()), text.clone(), Flavor::Postgres),
        ];
        for (value, kind, target) in kept {
            for options in [none, nulls] {
                assert_eq!(fit(options, value.clone(), kind.clone(), target), Some(value.clone()));
            }
        }
        assert_eq!(fit(nulls, Value::Text("a\0b".into()), text, Flavor::Postgres), None);
    }
}
