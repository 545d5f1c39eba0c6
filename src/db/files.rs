//! Rows of files, for seeds: JSON arrays, NDJSON, CSV. Values keep their exact text.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::value::Value;

/// The largest seed file; larger ones are a `copy`'s job.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What one file holds.
#[derive(Debug, Default)]
pub struct FileRows {
    /// Each row as (column, value) in the file's order.
    pub rows: Vec<Vec<(String, Value)>>,
    /// The values that `file` rules ask for, by their dotted path.
    pub document: HashMap<String, Value>,
}

/// Files that a pattern names, sorted; relative patterns start at `dir` and may not leave it.
pub fn matching(pattern: &str, dir: &Path) -> Result<Vec<PathBuf>> {
    let leaves =
        Path::new(pattern).components().any(|part| matches!(part, std::path::Component::ParentDir));
    if leaves {
        return Err(Error::invalid(format!("`{pattern}` leaves the plan's folder"))
            .hint("Move the file beside the plan, or give its absolute path."));
    }
    let whole = dir.join(pattern);
    let whole = whole.to_str().ok_or_else(|| Error::invalid("a seed's path is not UTF-8"))?;
    let paths = glob::glob(whole)
        .map_err(|error| Error::invalid(format!("`{pattern}` is not a pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths {
        let path =
            path.map_err(|error| Error::invalid(format!("can't look for files: {error}")))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Error::invalid(format!("no file matches `{pattern}`"))
            .hint("Paths are relative to the plan's folder."));
    }
    found.sort();
    Ok(found)
}

/// Reads one file by its ending. `at` is the dotted path of the array that holds the rows;
/// `wanted` are paths of `file` rules.
pub fn read(path: &Path, at: Option<&str>, wanted: &[String]) -> Result<FileRows> {
    let name = path.display();
    let failed = |what: String| Error::invalid(format!("{name}: {what}"));
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(format!("{size} bytes are too many for a seed"))
            .hint("Load the file into a table of the source and use a copy step."));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let mut found = parse(bytes, ending, at, wanted).map_err(failed)?;
    let base = path.file_name().map(|name| name.to_string_lossy().into_owned());
    found.document.insert("$name".to_owned(), base.map_or(Value::Null, Value::Text));
    Ok(found)
}

/// Understands what a file of this ending holds; apart from [`read`] so that fuzzing needs no files.
#[doc(hidden)]
pub fn parse(
    bytes: Vec<u8>,
    ending: &str,
    at: Option<&str>,
    wanted: &[String],
) -> std::result::Result<FileRows, String> {
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match ending.to_ascii_lowercase().as_str() {
        "json" => json(text, at, wanted),
        "ndjson" | "jsonl" => ndjson(text),
        "csv" => csv(text),
        _ => Err("the ending is none of .json, .ndjson, .csv".to_owned()),
    }
}

/// Object entries in file order, each value as its own text.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Entries<'de>, A::Error> {
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

fn json(text: &str, at: Option<&str>, wanted: &[String]) -> std::result::Result<FileRows, String> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let array = match at {
        Some(path) => {
            descend(whole, path).ok_or_else(|| format!("there is nothing at `{path}`"))?
        }
        None => whole,
    };
    let items: Vec<&RawValue> = serde_json::from_str(array.get())
        .map_err(|error| format!("the rows are not a JSON array: {error}"))?;
    let mut out = FileRows::default();
    for (number, item) in items.into_iter().enumerate() {
        out.rows.push(object(item.get()).map_err(|error| format!("row {}: {error}", number + 1))?);
    }
    for path in wanted.iter().filter(|path| !path.starts_with('$')) {
        let found = descend(whole, path).ok_or_else(|| format!("there is nothing at `{path}`"))?;
        out.document.insert(path.clone(), value(found)?);
    }
    Ok(out)
}

fn ndjson(text: &str) -> std::result::Result<FileRows, String> {
    let mut out = FileRows::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        out.rows.push(object(line).map_err(|error| format!("line {}: {error}", number + 1))?);
    }
    Ok(out)
}

fn object(text: &str) -> std::result::Result<Vec<(String, Value)>, String> {
    let entries: Entries<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(key) = twice(entries.0.iter().map(|(key, _)| key.as_str())) {
        return Err(format!("the key `{key}` stands twice"));
    }
    entries.0.into_iter().map(|(key, raw)| Ok((key, value(raw)?))).collect()
}

/// The first name that was there before.
fn twice<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

fn descend<'a>(raw: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    let mut here = raw;
    for name in path.split('.') {
        let entries: Entries<'a> = serde_json::from_str(here.get()).ok()?;
        here = entries.0.into_iter().find(|(key, _)| key == name)?.1;
    }
    Some(here)
}

/// The value of a JSON text; numbers that are not 64-bit integers keep their digits.
fn value(raw: &RawValue) -> std::result::Result<Value, String> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(serde_json::from_str(text).map_err(|error| error.to_string())?),
        Some(b'{' | b'[') => Value::Json(text.to_owned()),
        _ => text.parse().map_or_else(|_| Value::Number(text.to_owned()), Value::Int),
    })
}

/// CSV with a header line, as PostgreSQL writes it: nothing between two commas is NULL, `""`
/// is the empty string. (The csv crate does not tell the two apart, hence this reader.)
fn csv(text: &str) -> std::result::Result<FileRows, String> {
    let mut records = csv_records(text)?.into_iter();
    let header = records.next().ok_or("the header line is missing")?;
    let names: Vec<String> = header.into_iter().map(Option::unwrap_or_default).collect();
    if let Some(name) = twice(names.iter().map(String::as_str)) {
        return Err(format!("the column `{name}` stands twice in the header"));
    }
    let mut out = FileRows::default();
    for (number, record) in records.enumerate() {
        if record.len() != names.len() {
            return Err(format!(
                "record {}: {} fields, the header has {}",
                number + 2,
                record.len(),
                names.len()
            ));
        }
        let values = record.into_iter().map(|field| field.map_or(Value::Null, Value::Text));
        out.rows.push(names.iter().cloned().zip(values).collect());
    }
    Ok(out)
}

fn csv_records(text: &str) -> std::result::Result<Vec<Vec<Option<String>>>, String> {
    let mut records: Vec<Vec<Option<String>>> = Vec::new();
    let mut record: Vec<Option<String>> = Vec::new();
    let mut field: Option<String> = None;
    let mut quoted = false;
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\n' {
            line += 1;
        }
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.get_or_insert_default().push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_none() => {
                quoted = true;
                field = Some(String::new());
            }
            '"' => return Err(format!("line {line}: a quote inside an unquoted field")),
            _ if quoted => field.get_or_insert_default().push(letter),
            ',' => record.push(field.take()),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                // An empty line is no record, but for a file of one column: there PostgreSQL
                // writes NULL so, and a row must not vanish.
                let null = records.first().is_some_and(|header| header.len() == 1);
                if !record.is_empty() || field.is_some() || null {
                    record.push(field.take());
                    records.push(std::mem::take(&mut record));
                }
            }
            _ => field.get_or_insert_default().push(letter),
        }
    }
    if quoted {
        return Err(format!("line {line}: a quoted field never ends"));
    }
    if !record.is_empty() || field.is_some() {
        record.push(field);
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_tells_null_and_empty_apart() {
        let rows = csv("a,b,c\n1,,\"\"\n\"x, \"\"y\"\"\",\"two\nlines\",\\N\r\n").unwrap().rows;
        assert_eq!(rows[0][1].1, Value::Null);
        assert_eq!(rows[0][2].1, Value::Text(String::new()));
        assert_eq!(rows[1][0].1, Value::Text("x, \"y\"".into()));
        assert_eq!(rows[1][1].1, Value::Text("two\nlines".into()));
        assert_eq!(rows[1][2].1, Value::Text("\\N".into()));
        assert!(csv("a,b\n1").is_err());
        assert!(csv("a\n\"x").is_err());
        assert!(csv("a,a\n1,2").is_err());
    }

    #[test]
    fn an_empty_line_of_a_one_column_file_is_null() {
        let values = |text: &str| -> Vec<Value> {
            csv(text).unwrap().rows.into_iter().map(|mut row| row.remove(0).1).collect()
        };
        let one = Value::Text("1".into());
        assert_eq!(values("a\n1\n\n1\n"), [one.clone(), Value::Null, one.clone()]);
        assert_eq!(values("a\r\n\r\n1"), [Value::Null, one.clone()]);
        assert_eq!(values("\n\na\n1\n\n"), [one.clone(), Value::Null]);
        assert_eq!(values("a,b\n\n1,2\n\n"), [one]);
    }

    #[test]
    fn json_numbers_keep_their_digits() {
        let text =
            r#"{"lib":{"name":"L"},"rows":[{"a":1.10,"b":18446744073709551616,"c":{"d":[1.0]}}]}"#;
        let found = json(text, Some("rows"), &["lib.name".to_owned()]).unwrap();
        assert_eq!(found.rows[0][0].1, Value::Number("1.10".into()));
        assert_eq!(found.rows[0][1].1, Value::Number("18446744073709551616".into()));
        assert_eq!(found.rows[0][2].1, Value::Json("{\"d\":[1.0]}".into()));
        assert_eq!(found.document["lib.name"], Value::Text("L".into()));
        assert!(json(r#"[{"a":1,"a":2}]"#, None, &[]).is_err());
        assert!(json("[1]", None, &[]).is_err());
    }
}
