//! JSON, row by row: arrays inside a document, and one object a line. One row is in memory at a
//! time, and numbers keep their digits.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::value::RawValue;

use super::{Cells, ROW_BYTES_MAX, Sink, problem};
use crate::value::Value;

/// What of a document is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The dotted path of the array that holds the rows; empty: the document is the array.
    pub rows: String,
    /// Dotted paths of single values.
    pub values: Vec<String>,
}

/// Gives each element of the array after the first `skip` to the sink; the single values.
///
/// # Errors
/// What is wrong, with line or row.
pub fn array(
    input: impl Read,
    wanted: &Wanted,
    skip: u64,
    sink: &mut dyn Sink,
) -> Result<HashMap<String, Value>, String> {
    let meter = Meter::default();
    let input = BufReader::with_capacity(1 << 16, Metered { input, meter: meter.clone() });
    let mut found = Found {
        wanted,
        skip,
        sink,
        meter,
        rows_seen: false,
        stopped: false,
        values: HashMap::new(),
    };
    let mut reader = serde_json::Deserializer::from_reader(input);
    let walk = Walk { found: &mut found, path: String::new() };
    let read = walk.deserialize(&mut reader).and_then(|()| reader.end());
    if found.stopped {
        return Ok(found.values);
    }
    read.map_err(|error| match error.io_error_kind() {
        Some(kind @ std::io::ErrorKind::UnexpectedEof) => problem(&kind.into()),
        _ => error.to_string(),
    })?;
    let missing = wanted.values.iter().find(|path| !found.values.contains_key(*path));
    let missing = missing.or((!found.rows_seen).then_some(&wanted.rows));
    match missing {
        Some(path) => Err(format!("there is nothing at `{path}`")),
        None => Ok(found.values),
    }
}

/// Gives each object after the first `skip` to the sink.
///
/// # Errors
/// What is wrong, with the line.
pub fn lines(mut input: impl BufRead, mut skip: u64, sink: &mut dyn Sink) -> Result<(), String> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut most = (&mut input).take(ROW_BYTES_MAX);
        let length = most
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("line {number}: {}", problem(&error)))?;
        if length == 0 {
            break;
        }
        if length as u64 == ROW_BYTES_MAX {
            return Err(format!("line {number}: a row of more than {ROW_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(&line).map_err(|_| format!("line {number}: not UTF-8"))?;
        if text.trim().is_empty() {
            continue;
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let row = object(text, sink).map_err(|error| format!("line {number}: {error}"))?;
        if !sink.row(row) {
            break;
        }
    }
    Ok(())
}

/// What a walk through a document finds.
struct Found<'w> {
    wanted: &'w Wanted,
    skip: u64,
    sink: &'w mut dyn Sink,
    meter: Meter,
    rows_seen: bool,
    /// The sink wants no more.
    stopped: bool,
    values: HashMap<String, Value>,
}

impl Found<'_> {
    /// Whether something that is wanted lies inside of `path`, or the rows at it.
    fn leads_on(&self, path: &str) -> bool {
        let inside =
            |other: &String| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.wanted.rows == path
            || inside(&self.wanted.rows)
            || self.wanted.values.iter().any(inside)
    }
}

/// A walk through the value at `path`, which is the rows or leads to something that is wanted.
struct Walk<'f, 'w> {
    found: &'f mut Found<'w>,
    path: String,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        if self.found.wanted.rows == self.path {
            value.deserialize_seq(self)
        } else {
            value.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.found.wanted.rows == self.path {
            true => "a JSON array of rows",
            false => "a JSON object",
        };
        f.write_str(what)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " at `{}`", self.path) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let found = self.found;
        if std::mem::replace(&mut found.rows_seen, true) {
            return Err(A::Error::custom(format!("`{}` stands twice", self.path)));
        }
        for number in 1_u64.. {
            if number <= found.skip {
                if items.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                continue;
            }
            found.meter.start();
            let Some(raw) = items.next_element::<Box<RawValue>>()? else { break };
            let row = object(raw.get(), found.sink)
                .map_err(|error| A::Error::custom(format!("row {number}: {error}")))?;
            if !found.sink.row(row) {
                found.stopped = true;
                return Err(A::Error::custom("no more rows are wanted"));
            }
        }
        found.meter.stop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let found = self.found;
        while let Some(key) = entries.next_key::<String>()? {
            let path = match self.path.as_str() {
                "" => key.clone(),
                front => format!("{front}.{key}"),
            };
            // A path names each level on its own.
            let is_name = !key.contains('.');
            if is_name && found.wanted.values.contains(&path) {
                found.meter.start();
                let raw: Box<RawValue> = entries.next_value()?;
                found.meter.stop();
                let one = value(raw.get()).map_err(A::Error::custom)?;
                found.values.entry(path.clone()).or_insert(one);
                if found.leads_on(&path) {
                    let mut inner = serde_json::Deserializer::from_str(raw.get());
                    let walk = Walk { found: &mut *found, path };
                    walk.deserialize(&mut inner).map_err(A::Error::custom)?;
                }
            } else if is_name && found.leads_on(&path) {
                entries.next_value_seed(Walk { found: &mut *found, path })?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Object entries in file order, each value as its own text.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A row of a JSON object's text.
fn object(text: &str, sink: &mut dyn Sink) -> Result<Cells, String> {
    let entries: Entries<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let columns = sink.columns();
    let mut row = Vec::with_capacity(entries.0.len());
    for (key, raw) in &entries.0 {
        row.push((columns.place(key), value(raw.get())?));
    }
    let mut places: Vec<usize> = row.iter().map(|(place, _)| *place).collect();
    places.sort_unstable();
    match places.windows(2).find(|two| two.first() == two.last()) {
        Some(two) => {
            let name = two.first().and_then(|place| columns.names().get(*place));
            Err(format!("the key `{}` stands twice", name.map_or("", String::as_str)))
        }
        None => Ok(row),
    }
}

/// The value of a JSON text; numbers that are not 64-bit integers keep their digits.
fn value(text: &str) -> Result<Value, String> {
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(serde_json::from_str(text).map_err(|error| error.to_string())?),
        Some(b'{' | b'[') => Value::Json(text.to_owned()),
        _ => text.parse().map_or_else(|_| Value::Number(text.to_owned()), Value::Int),
    })
}

/// Counts the bytes of what is kept in memory.
#[derive(Clone, Default)]
struct Meter(Rc<Cell<Option<u64>>>);

impl Meter {
    fn start(&self) {
        self.0.set(Some(0));
    }

    fn stop(&self) {
        self.0.set(None);
    }
}

/// Refuses a single row that would fill the memory.
struct Metered<R> {
    input: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(buffer)?;
        if let Some(before) = self.meter.0.get() {
            let size = before + length as u64;
            if size > ROW_BYTES_MAX {
                let message = format!("a row of more than {ROW_BYTES_MAX} bytes");
                return Err(std::io::Error::other(message));
            }
            self.meter.0.set(Some(size));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Columns;
    use super::*;

    #[derive(Default)]
    struct Kept {
        columns: Columns,
        rows: Vec<Cells>,
        most: usize,
    }

    impl Sink for Kept {
        fn columns(&mut self) -> &mut Columns {
            &mut self.columns
        }

        fn row(&mut self, row: Cells) -> bool {
            self.rows.push(row);
            self.rows.len() < self.most
        }
    }

    fn read(
        text: &str,
        rows: &str,
        values: &[&str],
    ) -> Result<(Kept, HashMap<String, Value>), String> {
        let values = values.iter().map(|path| (*path).to_owned()).collect();
        let wanted = Wanted { rows: rows.to_owned(), values };
        let mut kept = Kept { most: usize::MAX, ..Kept::default() };
        let found = array(text.as_bytes(), &wanted, 0, &mut kept)?;
        Ok((kept, found))
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text =
            r#"{"lib":{"name":"L"},"rows":[{"a":1.10,"b":18446744073709551616,"c":{"d":[1.0]}}]}"#;
        let (kept, values) = read(text, "rows", &["lib.name"]).unwrap();
        assert_eq!(kept.columns.names(), ["a", "b", "c"]);
        assert_eq!(kept.rows[0][0].1, Value::Number("1.10".into()));
        assert_eq!(kept.rows[0][1].1, Value::Number("18446744073709551616".into()));
        assert_eq!(kept.rows[0][2].1, Value::Json("{\"d\":[1.0]}".into()));
        assert_eq!(values["lib.name"], Value::Text("L".into()));
        for bad in [r#"[{"a":1,"a":2}]"#, "[1]", "{}", "", "[] []", "[{}", "[{},]"] {
            assert!(read(bad, "", &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_and_values_lie_anywhere() {
        let text = r#"{"z":[[{"a":{"r":[7]}}]],"a":{"n":{"v":1,"r":[{"i":1},{"i":2}]}},"a.n.r":[{"i":9}]}"#;
        let (kept, values) = read(text, "a.n.r", &["a.n", "a.n.v", "z"]).unwrap();
        assert_eq!(kept.rows.len(), 2);
        assert_eq!(values["a.n.v"], Value::Int(1));
        assert!(matches!(&values["a.n"], Value::Json(text) if text.starts_with("{\"v\"")));
        assert_eq!(values["z"], Value::Json("[[{\"a\":{\"r\":[7]}}]]".into()));
        assert!(read(text, "a.r", &[]).is_err());
        assert!(read(text, "a.n.r", &["a.x"]).is_err());
        assert!(read(r#"{"a":[],"a":[{"b":1}]}"#, "a", &[]).is_err());
    }

    #[test]
    fn a_sink_that_has_enough_ends_the_reading() {
        let mut kept = Kept { most: 2, ..Kept::default() };
        array(&b"[{},{},{}, broken"[..], &Wanted::default(), 0, &mut kept).unwrap();
        assert_eq!(kept.rows.len(), 2);
    }
}
