//! Files for tests: the same rows in each format and packing.

use std::fmt::Write as _;
use std::io::Write as _;

/// One row: `None` is NULL.
pub struct Row {
    pub id: i64,
    pub name: Option<String>,
    pub amount: Option<i64>,
    pub data: String,
}

/// So many rows with trouble in them: quotes, delimiters, lines in lines, nothing and NULL.
pub fn rows(count: i64) -> Vec<Row> {
    let names = ["plain", "", "a,b;c\td", "two\nlines", "say \"x\"", "NULL", "\\N", "héllo ключ"];
    let row = |id: i64| Row {
        id,
        name: (id % 11 != 0).then(|| names[(id % 8) as usize].to_owned()),
        amount: (id % 5 != 0).then_some(id * 1_000_003),
        data: format!("{{\"n\": {id}, \"deep\": [1.10, 1e2, {{\"id\": {id}}}]}}"),
    };
    (1..=count).map(row).collect()
}

/// An amount in thousandths, as a decimal.
pub fn decimal(amount: i64) -> String {
    format!("{}.{:03}", amount / 1000, amount % 1000)
}

/// As PostgreSQL shows the rows; `show` gives the JSON its form there.
pub fn shown(rows: &[Row], show: impl Fn(&str) -> String) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let name =
                row.name.clone().unwrap_or("∅".to_owned()).replace('\n', "~").replace('\t', "^");
            let amount = row.amount.map_or("∅".to_owned(), decimal);
            format!("{}|{name}|{amount}|{}", row.id, show(&row.data))
        })
        .collect()
}

pub fn csv(rows: &[Row], delimiter: char) -> String {
    let field = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = ["id", "name", "amount", "data"].join(&delimiter.to_string()) + "\n";
    for row in rows {
        let name = row.name.as_deref().map(field).unwrap_or_default();
        let amount = row.amount.map(decimal).unwrap_or_default();
        let fields = [row.id.to_string(), name, amount, field(&row.data)];
        let _ = writeln!(out, "{}", fields.join(&delimiter.to_string()));
    }
    out
}

pub fn object(row: &Row) -> String {
    let name = serde_json::json!(row.name);
    let amount = row.amount.map_or("null".to_owned(), decimal);
    format!("{{\"id\":{},\"name\":{name},\"amount\":{amount},\"data\":{}}}", row.id, row.data)
}

pub fn ndjson(rows: &[Row]) -> String {
    rows.iter().map(|row| object(row) + "\n").collect()
}

pub fn json(rows: &[Row]) -> String {
    let all: Vec<String> = rows.iter().map(object).collect();
    format!("[\n{}\n]\n", all.join(",\n"))
}

/// Two members, as `cat a.gz b.gz` makes them.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let member = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    [member(one), member(two)].concat()
}

/// Two frames.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = bytes.split_at(bytes.len() / 3);
    [one, two].map(|bytes| zstd::encode_all(bytes, 1).unwrap()).concat()
}
