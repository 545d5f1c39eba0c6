//! The inner loops of the stream route, on rows of a legacy table of 14 columns: reading
//! PostgreSQL's binary COPY, mapping, JSON, writing binary COPY.
//!
//! `cargo bench --bench rows` gives rows and source bytes a second of each.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use tablelift::db::postgres::copy_out;
use tablelift::mapping::cast::parse_type;
use tablelift::mapping::program::{Program, Scratch, Written, values};
use tablelift::mapping::wire::Cell;
use tablelift::mapping::wire::encode::Format;
use tablelift::mapping::{
    BoundMapping, Context, Found, JsonShape, Mapping, Outcome, Rule, Scope, bind, eval, same_names,
};
use tablelift::sql::{Column, ColumnType, Flavor, Kind, Table, TableName};
use tablelift::value::{Row, Scalar, Value};

const ROWS: i64 = 1000;

const SOURCE: [(&str, &str); 14] = [
    ("id", "bigint"),
    ("uid", "uuid"),
    ("name", "text"),
    ("description", "text"),
    ("price", "numeric(12,2)"),
    ("grp", "integer"),
    ("active", "boolean"),
    ("note", "text"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamp"),
    ("tags", "text[]"),
    ("doc", "jsonb"),
    ("owner", "integer"),
    ("version", "text"),
];
const TARGET: [(&str, &str); 4] =
    [("id", "bigint"), ("name", "text"), ("created_at", "timestamptz"), ("definition", "jsonb")];

fn columns(list: &[(&str, &str)]) -> Vec<Column> {
    let column = |(name, ty): &(&str, &str)| {
        let array = Kind::Opaque { json_by_server: true, portable: false };
        let ty = parse_type(ty).unwrap_or(ColumnType { kind: array, name: (*ty).to_owned() });
        Column {
            name: (*name).to_owned(),
            ty,
            not_null: *name == "id",
            has_default: false,
            generated: false,
            identity: false,
            identity_always: false,
        }
    };
    list.iter().map(column).collect()
}

fn bound(target: &Table, mapping: &Mapping) -> Result<BoundMapping, String> {
    let scope = Scope {
        source: &columns(&SOURCE),
        source_name: "legacy",
        source_is_files: false,
        target,
        sql_types: &BTreeMap::new(),
        children: &BTreeMap::new(),
        lookups: &BTreeMap::new(),
        moved: &BTreeMap::new(),
        lossy: false,
        values: tablelift::mapping::ValueOptions::default(),
        flavor: tablelift::sql::Flavor::Postgres,
        partial: false,
    };
    bind(mapping, &scope).map_err(|findings| format!("{findings:?}"))
}

fn table(columns: Vec<Column>) -> Table {
    Table { name: TableName::bare("workflows"), columns, unique: vec![] }
}

/// Three columns as they are, all others folded into JSON.
fn folded() -> Result<BoundMapping, String> {
    let same = |name: &str| (name.to_owned(), Rule::Column(name.to_owned()));
    let shape = JsonShape::Rest { except: vec![], with: vec![] };
    let json = ("definition".to_owned(), Rule::Json { shape, drop_nulls: false });
    let columns_of = vec![same("id"), same("name"), same("created_at"), json];
    bound(&table(columns(&TARGET)), &Mapping { columns: columns_of })
}

/// Every column as it is, but for the array: it has no binary form on its way as JSON.
fn plain() -> Result<BoundMapping, String> {
    let all = columns(&SOURCE);
    let kept: Vec<Column> = all.into_iter().filter(|column| column.name != "tags").collect();
    let mapping = same_names(&kept, &table(kept.clone())).map_err(|found| format!("{found:?}"))?;
    bound(&table(kept), &mapping)
}

/// What stands in one column of row `n`.
fn value(n: i64, name: &str) -> Value {
    let every_fifth = |rest: i64, value: Value| if n % 5 == rest { Value::Null } else { value };
    let time =
        |scalar, zone| Value::Typed(scalar, format!("2024-06-01 10:{:02}:01.5{zone}", n % 60));
    match name {
        "id" => Value::Int(n * 3),
        "uid" => Value::Typed(Scalar::Uuid, format!("{n:08x}-9c0b-4ef8-bb6d-6bb9bd380a11")),
        "name" => Value::Text(format!("workflow {n} é")),
        "description" => {
            let times = usize::try_from(1 + n % 24).unwrap_or(1);
            every_fifth(0, Value::Text("description ".repeat(times)))
        }
        "price" => every_fifth(1, Value::Number(format!("{n}.{:02}", n % 100))),
        "grp" => Value::Int(n % 7),
        "active" => Value::Bool(n % 2 == 0),
        "note" => every_fifth(3, Value::Text(format!("note \"{n}\""))),
        "created_at" => time(Scalar::TimestampTz, "+00"),
        "updated_at" => every_fifth(4, time(Scalar::Timestamp, "")),
        "tags" => Value::Json(format!("[\"tag{}\", \"ü\"]", n % 9)),
        "doc" => Value::Json(format!("{{\"n\": {n}, \"on\": true, \"steps\": [\"a\", \"ü\", 3]}}")),
        "owner" => every_fifth(2, Value::Int(n % 1000)),
        _ => Value::Text(format!("v{}", n % 3)),
    }
}

/// The rows as a server sends them for the inputs of a mapping.
fn sent(mapping: &BoundMapping) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for n in 1..=ROWS {
        Format::Copy.begin_row(mapping.inputs.len(), &mut out);
        for input in &mapping.inputs {
            if !Format::Copy.value(&value(n, &input.name), &input.kind_read(), &mut out) {
                return Err(format!("{} has no binary form", input.name));
            }
        }
    }
    Ok(out)
}

/// Cells of all rows.
fn cells<'b>(bytes: &'b [u8], columns: usize) -> Result<Vec<Vec<Cell<'b>>>, String> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let mut row = Vec::with_capacity(columns);
        let length = copy_out::row(&bytes[at..], columns, &mut row);
        at += length.map_err(|error| error.to_string())?.ok_or("a row is cut off")?;
        all.push(row);
    }
    Ok(all)
}

/// A mapping that looks at its row only.
struct Nothing;

impl Context for Nothing {
    fn lookup(&mut self, _: usize, _: &[Value]) -> Found {
        Found::Unknown
    }
    fn moved(&mut self, _: usize, _: &Value) -> Found {
        Found::Unknown
    }
    fn file(&mut self, _: &str) -> Found {
        Found::Unknown
    }
}

/// Encodes the rows with a program; `false` if one of them needed something else.
fn write(
    program: &Program,
    mapping: &BoundMapping,
    rows: &[Vec<Cell<'_>>],
    to: &mut Vec<u8>,
) -> bool {
    let mut scratch = Scratch::default();
    rows.iter().all(|row| program.write(mapping, row, &mut scratch, to) == Written::Row)
}

fn run(criterion: &mut Criterion) -> Result<(), String> {
    let mapping = folded()?;
    let width = mapping.inputs.len();
    let bytes = sent(&mapping)?;
    let rows = cells(&bytes, width)?;
    let found: Vec<Row> = rows.iter().filter_map(|row| values(&mapping, row)).collect();
    let program = Program::new(&mapping, Flavor::Postgres, Flavor::Postgres)?;
    let as_they_are = plain()?;
    let plain_bytes = sent(&as_they_are)?;
    let plain_rows = cells(&plain_bytes, as_they_are.inputs.len())?;
    let plain_program = Program::new(&as_they_are, Flavor::Postgres, Flavor::Postgres)?;
    let mut out = Vec::new();
    // What is measured is the road that real rows take, and nothing that gave up early.
    if found.len() != rows.len()
        || !write(&program, &mapping, &rows, &mut out)
        || !write(&plain_program, &as_they_are, &plain_rows, &mut out)
    {
        return Err("the rows don't take the fast road".to_owned());
    }

    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::ElementsAndBytes {
        elements: ROWS.unsigned_abs(),
        bytes: bytes.len() as u64,
    });
    group.bench_function("decode: binary COPY to cells", |bench| {
        bench.iter(|| cells(black_box(&bytes), width).map(|rows| rows.len()));
    });
    group.bench_function("decode: cells to values", |bench| {
        bench.iter(|| rows.iter().filter_map(|row| values(&mapping, black_box(row))).count());
    });
    group.bench_function("map: Program, folded into jsonb", |bench| {
        bench.iter(|| {
            out.clear();
            write(&program, &mapping, black_box(&rows), &mut out)
        });
    });
    group.bench_function("map: eval, folded into jsonb", |bench| {
        let mapped = |row: &Row| matches!(eval(&mapping, row, &mut Nothing), Outcome::Cells(_));
        bench.iter(|| black_box(&found).iter().filter(|row| mapped(row)).count());
    });
    group.bench_function("JSON: cells", |bench| {
        let kinds: Vec<Kind> = mapping.inputs.iter().map(|input| input.kind_read()).collect();
        let mut text = String::new();
        bench.iter(|| {
            text.clear();
            let cells = black_box(&rows).iter().flat_map(|row| row.iter().zip(&kinds));
            cells.filter(|(cell, kind)| cell.write_json(kind, &mut text)).count()
        });
    });
    group.bench_function("JSON: values", |bench| {
        let mut text = String::new();
        bench.iter(|| {
            text.clear();
            black_box(&found).iter().flatten().for_each(|value| value.write_json(&mut text));
            text.len()
        });
    });
    group.bench_function("encode: values to binary COPY", |bench| {
        let kinds: Vec<Kind> = mapping.inputs.iter().map(|input| input.kind_read()).collect();
        bench.iter(|| {
            out.clear();
            let cells = black_box(&found).iter().flat_map(|row| row.iter().zip(&kinds));
            cells.filter(|(value, kind)| Format::Copy.value(value, kind, &mut out)).count()
        });
    });
    group.throughput(Throughput::ElementsAndBytes {
        elements: ROWS.unsigned_abs(),
        bytes: plain_bytes.len() as u64,
    });
    group.bench_function("map: Program, columns as they are", |bench| {
        bench.iter(|| {
            out.clear();
            write(&plain_program, &as_they_are, black_box(&plain_rows), &mut out)
        });
    });
    group.finish();
    Ok(())
}

fn main() -> Result<(), String> {
    let mut criterion = Criterion::default().configure_from_args();
    run(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
