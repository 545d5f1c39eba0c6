//! Values on their way out: as the server takes them without a change. What it would change in
//! silence, strict or not, is refused here.

use sqlx::mysql::{MySql, MySqlArguments};
use sqlx::{Arguments as _, Encode, Type};

use crate::error::{Class, Error, Result};
use crate::mapping::cast::calendar_day;
use crate::sql::{Column, Kind};
use crate::value::Value;

/// A value in one of the server's own types.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// NULL.
    Null,
    /// A signed integer.
    Int(i64),
    /// An integer above the signed ones.
    Unsigned(u64),
    /// A float of either size.
    Float(f64),
    /// Text, and what the server reads as text without loss: decimals, times, labels.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Argument {
    /// Bytes on the wire, about.
    pub fn size(&self) -> usize {
        match self {
            Argument::Null => 1,
            Argument::Int(_) | Argument::Unsigned(_) | Argument::Float(_) => 8,
            Argument::Text(text) => text.len() + 9,
            Argument::Bytes(bytes) => bytes.len() + 9,
        }
    }

    /// Appends it.
    pub fn add(&self, to: &mut MySqlArguments) -> Result<()> {
        match self {
            Argument::Null => push(to, None::<String>),
            Argument::Int(value) => push(to, *value),
            Argument::Unsigned(value) => push(to, *value),
            Argument::Float(value) => push(to, *value),
            Argument::Text(value) => push(to, value.clone()),
            Argument::Bytes(value) => push(to, value.clone()),
        }
    }
}

fn push<T: Encode<'static, MySql> + Type<MySql> + Send + 'static>(
    to: &mut MySqlArguments,
    value: T,
) -> Result<()> {
    to.add(value).map_err(|_| Error::stop("a value can't be sent to the server"))
}

/// The arguments of a row; `at` is its 1-based number among those sent.
pub fn row(cells: &[Value], columns: &[Column], at: usize) -> Result<Vec<Argument>> {
    cells
        .iter()
        .zip(columns)
        .map(|(value, column)| {
            of(value, column).map_err(|why| {
                let message = format!("{} into {}: {why}", value.type_name(), column.ty.name);
                let mut error = Error::new(Class::Split, message);
                error.place.column = Some(column.name.clone());
                error.row = Some(at as u64);
                error
            })
        })
        .collect()
}

/// The value for a column.
///
/// # Errors
/// Why the server would store another one.
pub fn of(value: &Value, column: &Column) -> Result<Argument, &'static str> {
    let name = column.ty.name.as_str();
    let text = || value.to_text().unwrap_or_default();
    match (&column.ty.kind, value) {
        (_, Value::Null) => Ok(Argument::Null),
        (Kind::Int(_), _) if name.starts_with("year") => match integer(value)? {
            Argument::Int(1..=99) => Err("MySQL would take it for a year with two digits"),
            year => Ok(year),
        },
        (Kind::Int(_), _) => integer(value),
        (Kind::Numeric(_), _) if name.contains("int") || name.starts_with("bit") => integer(value),
        (Kind::Numeric(_), _) => match text() {
            text if text.contains(['N', 'I']) => Err("it is no number to MySQL"),
            text => Ok(Argument::Text(text)),
        },
        (Kind::Float4 | Kind::Float8, _) => float(value, name),
        (Kind::Bytes, Value::Bytes(bytes)) => match length(name, "binary(") {
            Some(length) if length != bytes.len() => Err("MySQL would fill it up with zeros"),
            _ => Ok(Argument::Bytes(bytes.clone())),
        },
        (Kind::Bytes, _) => Err("not bytes"),
        (_, Value::Bytes(_)) => Err("bytes are not text"),
        (Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_), _) => moment(text(), column),
        (Kind::Text { .. }, _) if name.starts_with("enum(") => {
            let (text, labels) = (text(), labels(name));
            let found = labels.iter().find(|label| same_label(label, &text, name));
            if found == Some(&text) { Ok(Argument::Text(text)) } else { Err("not a label") }
        }
        (Kind::Text { .. }, _) if name.starts_with("set(") => set(text(), &labels(name)),
        _ => Ok(Argument::Text(text())),
    }
}

fn integer(value: &Value) -> Result<Argument, &'static str> {
    match value {
        Value::Int(i) => Ok(Argument::Int(*i)),
        Value::Bool(b) => Ok(Argument::Int(i64::from(*b))),
        other => {
            let text = other.to_text().unwrap_or_default();
            let signed = text.parse().map(Argument::Int);
            signed.or_else(|_| text.parse().map(Argument::Unsigned)).map_err(|_| "no integer")
        }
    }
}

fn float(value: &Value, name: &str) -> Result<Argument, &'static str> {
    let number = match value {
        Value::Float(f) => *f,
        Value::Real(f) => f64::from(*f),
        other => {
            let text = other.to_text().unwrap_or_default();
            text.parse().map_err(|_| "no number")?
        }
    };
    if !number.is_finite() {
        return Err("MySQL has no NaN and no infinity");
    }
    // `double(10,2)` rounds.
    let places = name.split_once(',').and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    if let Some(places) = places {
        let places: usize = places;
        if format!("{number:.places$}").parse() != Ok(number) {
            return Err("decimal places would be rounded");
        }
    }
    Ok(Argument::Float(number))
}

/// `binary(16)` → 16.
fn length(name: &str, open: &str) -> Option<usize> {
    name.strip_prefix(open)?.strip_suffix(')')?.parse().ok()
}

/// Dates as MySQL has them: years of four digits, no era, no infinity; moments at UTC.
fn moment(text: String, column: &Column) -> Result<Argument, &'static str> {
    let zoned = matches!(column.ty.kind, Kind::TimestampTz(_));
    let text = if zoned { text.trim_end_matches("+00").to_owned() } else { text };
    let date = text.split(' ').next().unwrap_or_default();
    let valid = date.len() == 10
        && text.is_ascii()
        && !text.ends_with(" BC")
        && calendar_day(date).is_some()
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-: .".contains(&byte));
    if valid { Ok(Argument::Text(text)) } else { Err("MySQL has no such date") }
}

/// A set's labels come back in the type's order, each once.
fn set(text: String, labels: &[String]) -> Result<Argument, &'static str> {
    let mut rest = labels.iter();
    let in_order = text.is_empty() || text.split(',').all(|word| rest.any(|label| label == word));
    if in_order { Ok(Argument::Text(text)) } else { Err("not labels in the type's order") }
}

/// The server takes the first label that its collation finds equal.
fn same_label(label: &str, text: &str, name: &str) -> bool {
    match name.contains(") COLLATE ") {
        true => label == text,
        false => label.to_lowercase() == text.to_lowercase(),
    }
}

/// `enum('a','it''s')` → a, it's.
fn labels(name: &str) -> Vec<String> {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let inner = inner.map(|(inner, _)| inner);
    let mut out = Vec::new();
    let mut label: Option<String> = None;
    let mut letters = inner.unwrap_or_default().chars().peekable();
    while let Some(letter) = letters.next() {
        match (&mut label, letter) {
            (Some(text), '\'') if letters.peek() == Some(&'\'') => {
                letters.next();
                text.push('\'');
            }
            (Some(_), '\'') => out.extend(label.take()),
            (Some(text), letter) => text.push(letter),
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ColumnType;
    use crate::value::Scalar;

    fn column(kind: Kind, name: &str) -> Column {
        Column {
            name: "c".to_owned(),
            ty: ColumnType { kind, name: name.to_owned() },
            not_null: false,
            has_default: false,
            generated: false,
            identity: false,
            identity_always: false,
        }
    }

    #[test]
    fn what_the_server_would_change_is_refused() {
        let text = Kind::Text { max: None, padded: false };
        let refused = [
            (Value::Text("1".into()), column(text.clone(), "enum('a','b')")),
            (Value::Text("A".into()), column(text.clone(), "enum('a','b')")),
            (Value::Text("b,a".into()), column(text.clone(), "set('a','b')")),
            (Value::Text("A".into()), column(text.clone(), "enum('a','A')")),
            (Value::Text("a,a".into()), column(text.clone(), "set('a','b')")),
            (Value::Text("3".into()), column(text.clone(), "set('a','b')")),
            (Value::Int(5), column(Kind::Int(2), "year(4)")),
            (Value::Bytes(vec![1]), column(Kind::Bytes, "binary(4)")),
            (Value::Float(f64::NAN), column(Kind::Float8, "double")),
            (Value::Float(1.005), column(Kind::Float8, "double(6,2)")),
            (Value::Number("NaN".into()), column(Kind::Numeric(None), "decimal(6,2)")),
            (Value::Typed(Scalar::Date, "0044-03-15 BC".into()), column(Kind::Date, "date")),
            (Value::Typed(Scalar::Date, "infinity".into()), column(Kind::Date, "date")),
            (Value::Typed(Scalar::Date, "0000-00-00".into()), column(Kind::Date, "date")),
            (Value::Typed(Scalar::Date, "10000-01-01".into()), column(Kind::Date, "date")),
        ];
        for (value, column) in refused {
            assert!(of(&value, &column).is_err(), "{value:?} into {}", column.ty.name);
        }
    }

    #[test]
    fn what_it_keeps_is_sent_in_its_own_type() {
        let text = Kind::Text { max: None, padded: false };
        let sent = |value: Value, kind: Kind, name: &str| of(&value, &column(kind, name)).unwrap();
        let number = |digits: &str| Value::Number(digits.to_owned());
        let unsigned = Kind::Numeric(Some((20, 0)));
        assert_eq!(
            sent(number("18446744073709551615"), unsigned.clone(), "bigint(20) unsigned"),
            Argument::Unsigned(u64::MAX)
        );
        assert_eq!(sent(Value::Text("5".into()), unsigned, "bit(64)"), Argument::Int(5));
        assert_eq!(
            sent(Value::Text("it's".into()), text.clone(), "enum('a','it''s')"),
            Argument::Text("it's".into())
        );
        assert_eq!(
            sent(Value::Text("A".into()), text.clone(), "enum('a','A') COLLATE utf8mb4_bin"),
            Argument::Text("A".into())
        );
        assert_eq!(
            sent(Value::Text("a,c".into()), text, "set('a','b','c')"),
            Argument::Text("a,c".into())
        );
        let moment = Value::Typed(Scalar::TimestampTz, "2024-01-31 10:00:00.5+00".into());
        assert_eq!(
            sent(moment, Kind::TimestampTz(6), "timestamp(6)"),
            Argument::Text("2024-01-31 10:00:00.5".into())
        );
        assert_eq!(sent(Value::Int(0), Kind::Int(2), "year(4)"), Argument::Int(0));
    }
}
