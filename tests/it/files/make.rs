//! Files for tests: the same rows in each format and packing.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

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

/// The rows in row groups of 40.
pub fn parquet(path: &Path, rows: &[Row]) {
    let schema = "message rows { required int64 id; optional binary name (STRING); \
                  optional int64 amount (DECIMAL(18, 3)); required binary data (JSON); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties =
        WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for group in rows.chunks(40) {
        let texts = |pick: &dyn Fn(&Row) -> Option<String>| -> Vec<ByteArray> {
            group.iter().filter_map(pick).map(|text| ByteArray::from(text.into_bytes())).collect()
        };
        let mut out = writer.next_row_group().unwrap();
        let ids: Vec<i64> = group.iter().map(|row| row.id).collect();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let levels: Vec<i16> = group.iter().map(|row| i16::from(row.name.is_some())).collect();
        let mut column = out.next_column().unwrap().unwrap();
        let names = texts(&|row| row.name.clone());
        column.typed::<ByteArrayType>().write_batch(&names, Some(&levels), None).unwrap();
        column.close().unwrap();
        let levels: Vec<i16> = group.iter().map(|row| i16::from(row.amount.is_some())).collect();
        let amounts: Vec<i64> = group.iter().filter_map(|row| row.amount).collect();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&amounts, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = out.next_column().unwrap().unwrap();
        let data = texts(&|row| Some(row.data.clone()));
        column.typed::<ByteArrayType>().write_batch(&data, None, None).unwrap();
        column.close().unwrap();
        out.close().unwrap();
    }
    writer.close().unwrap();
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
