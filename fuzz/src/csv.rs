//! Files that steps read: any bytes are rows or an error, in each of the formats, and rows that
//! are written as CSV come back.

use std::collections::HashMap;

use serde_json::value::RawValue;
use tablelift::db::files::{Cells, Columns, Sink, Wanted, parse};
use tablelift::plan::files::Ending;
use tablelift::plan::{CsvFormat, FileSource};
use tablelift::value::Value;

use super::feed::Feed;

const CSV: Ending = Ending::Csv { tabs: false };

/// Keeps all rows.
#[derive(Default)]
struct Kept {
    columns: Columns,
    rows: Vec<Cells>,
}

impl Sink for Kept {
    fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn row(&mut self, row: Cells) -> bool {
        self.rows.push(row);
        true
    }
}

type Read = Result<(Kept, HashMap<String, Value>), String>;

fn read(data: &[u8], ending: Ending, csv: CsvFormat, wanted: &Wanted, skip: u64) -> Read {
    let source = FileSource { csv, ..FileSource::default() };
    let mut kept = Kept::default();
    let values = parse(data, ending, &source, wanted, skip, &mut kept)?;
    Ok((kept, values))
}

/// What is read from a row on is what was read before, less the rows before it.
fn goes_on(data: &[u8], ending: Ending, csv: &CsvFormat, wanted: &Wanted) -> Read {
    let read = |skip| read(data, ending, csv.clone(), wanted, skip);
    let all = read(0);
    if let Ok((all, _)) = &all {
        let skip = all.rows.len() / 2;
        let (rest, _) = read(skip as u64).expect("it was read before");
        let named = |kept: &Kept, row: &Cells| -> Vec<(String, Value)> {
            let name = |place: usize| kept.columns.names()[place].clone();
            row.iter().map(|(place, value)| (name(*place), value.clone())).collect()
        };
        let before: Vec<_> = all.rows[skip..].iter().map(|row| named(all, row)).collect();
        let after: Vec<_> = rest.rows.iter().map(|row| named(&rest, row)).collect();
        assert_eq!(before, after, "after {skip} rows");
    }
    all
}

/// The input as a file of each ending, and as decisions that make rows.
pub fn run(data: &[u8]) {
    let nothing = Wanted::default();
    let odd = CsvFormat {
        delimiter: Some(b';'),
        quote: Some(b'\''),
        escape: Some(b'\\'),
        null: vec!["\\N".to_owned()],
        comment: Some(b'#'),
        ..CsvFormat::default()
    };
    for format in [CsvFormat::default(), odd] {
        if let Ok((found, _)) = goes_on(data, CSV, &format, &nothing) {
            let width = found.columns.names().len();
            assert!(found.rows.iter().all(|row| row.len() == width), "a record has all columns");
        }
    }
    let some = |rows: &str, values: &[&str]| Wanted {
        rows: rows.to_owned(),
        values: values.iter().map(|path| (*path).to_owned()).collect(),
    };
    for (ending, wanted) in [
        (Ending::Lines, nothing.clone()),
        (Ending::Json, nothing),
        (Ending::Json, some("a", &["b"])),
        (Ending::Json, some("a.b", &["b", "a.c"])),
    ] {
        if let Ok((found, values)) = goes_on(data, ending, &CsvFormat::default(), &wanted) {
            found.rows.iter().flatten().for_each(|(_, value)| is_json(value));
            values.values().for_each(is_json);
        }
    }
    round_trip(&mut Feed(data));
}

fn is_json(value: &Value) {
    let mut text = String::new();
    value.write_json(&mut text);
    let parsed: Result<&RawValue, _> = serde_json::from_str(&text);
    assert!(parsed.is_ok(), "{value:?} came out of JSON and is none: {text}");
}

/// Writes rows as PostgreSQL writes CSV, with as few or as many quotes as are allowed.
fn round_trip(feed: &mut Feed<'_>) {
    let width = feed.below(4) + 1;
    let names: Vec<String> = (0..width).map(|at| format!("{}{at}", feed.text())).collect();
    let rows: Vec<Vec<Option<String>>> = (0..feed.below(4))
        .map(|_| (0..width).map(|_| feed.flag().then(|| feed.text())).collect())
        .collect();
    let generous = feed.flag();
    let end = *feed.pick(&["\n", "\r\n"]);
    let field = |field: Option<&str>| match field {
        None => String::new(),
        Some(text)
            if generous || text.is_empty() || text.contains(['"', ',', '\n', '\r', '\u{feff}']) =>
        {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    };
    let mut text = String::new();
    let header = names.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>();
    let body = rows.iter().map(|row| row.iter().map(Option::as_deref).collect());
    for record in std::iter::once(header).chain(body) {
        let record: Vec<String> = record.into_iter().map(field).collect();
        text.push_str(&record.join(","));
        text.push_str(end);
    }
    let found = read(text.as_bytes(), CSV, CsvFormat::default(), &Wanted::default(), 0);
    let (found, _) = found.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(found.columns.names(), names, "{text:?}");
    let expected: Vec<Cells> = rows
        .into_iter()
        .map(|row| {
            let values = row.into_iter().map(|field| field.map_or(Value::Null, Value::Text));
            values.enumerate().collect()
        })
        .collect();
    assert_eq!(found.rows, expected, "{text:?}");
}
