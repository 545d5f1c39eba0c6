//! Files of seeds: any bytes are rows or an error, in each of the formats, and rows that are
//! written as CSV come back.

use serde_json::value::RawValue;
use tablelift::db::files::parse;
use tablelift::value::Value;

use super::feed::Feed;

/// The input as a file of each ending, and as decisions that make rows.
pub fn run(data: &[u8]) {
    if let Ok(found) = parse(data.to_vec(), "csv", None, &[]) {
        let width = found.rows.first().map_or(0, Vec::len);
        assert!(found.rows.iter().all(|row| row.len() == width), "every record has all columns");
    }
    let wanted = ["b".to_owned(), "a.c".to_owned()];
    for (ending, at, wanted) in [
        ("ndjson", None, &[][..]),
        ("json", None, &[]),
        ("json", Some("a"), &wanted[..1]),
        ("json", Some("a.b"), &wanted),
    ] {
        let found = parse(data.to_vec(), ending, at, wanted);
        for found in found.iter() {
            found.rows.iter().flatten().for_each(|(_, value)| is_json(value));
            found.document.values().for_each(is_json);
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
    let found = parse(text.clone().into_bytes(), "csv", None, &[]);
    let found = found.unwrap_or_else(|error| panic!("{text:?}: {error}")).rows;
    let expected: Vec<Vec<(String, Value)>> = rows
        .into_iter()
        .map(|row| {
            let values = row.into_iter().map(|field| field.map_or(Value::Null, Value::Text));
            names.iter().cloned().zip(values).collect()
        })
        .collect();
    assert_eq!(found, expected, "{text:?}");
}
