//! PostgreSQL: rows by COPY in text format, compared in the target's own types.

use futures::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row as _};

use tablelift::mapping::program::{Program, Scratch, Written};
use tablelift::mapping::wire::Cell;
use tablelift::mapping::wire::encode::{self, Format};

use super::*;

pub fn types() -> Vec<(Kind, &'static str)> {
    let array = Kind::Opaque { json_by_server: true, portable: false };
    vec![
        (Kind::Bool, "boolean"),
        (Kind::Int(2), "smallint"),
        (Kind::Int(4), "integer"),
        (Kind::Int(8), "bigint"),
        (Kind::Numeric(None), "numeric"),
        (Kind::Numeric(Some((20, 4))), "numeric(20,4)"),
        (Kind::Float4, "real"),
        (Kind::Float8, "double precision"),
        (Kind::Text { max: None, padded: false }, "text"),
        (Kind::Text { max: Some(40), padded: false }, "character varying(40)"),
        (Kind::Text { max: Some(30), padded: true }, "character(30)"),
        (Kind::Bytes, "bytea"),
        (Kind::Json, "json"),
        (Kind::Jsonb, "jsonb"),
        (Kind::Jsonb, "jsonb"),
        (Kind::Jsonb, "jsonb"),
        (Kind::Date, "date"),
        (Kind::Time(6), "time without time zone"),
        (Kind::TimeTz(3), "time(3) with time zone"),
        (Kind::Timestamp(0), "timestamp(0) without time zone"),
        (Kind::Timestamp(6), "timestamp without time zone"),
        (Kind::TimestampTz(6), "timestamp with time zone"),
        (Kind::Interval, "interval"),
        (Kind::Uuid, "uuid"),
        (array.clone(), "integer[]"),
        (array, "text[]"),
        (Kind::Opaque { json_by_server: false, portable: false }, "inet"),
    ]
}

/// Values of a type as literals.
fn literals(ty: &str) -> &'static [&'static str] {
    match ty {
        "boolean" => &["true", "false"],
        "smallint" => &["0", "-32768", "32767"],
        "integer" => &["0", "-2147483648", "2147483647"],
        "bigint" => &["0", "1", "-9223372036854775808", "9223372036854775807", "9007199254740993"],
        "numeric" => &[
            "0",
            "0.00",
            "-1.10",
            "NaN",
            "Infinity",
            "-Infinity",
            "123456789012345678901234567890.1234567890",
            "1e100",
            "1e-50",
        ],
        "numeric(20,4)" => &["0", "NaN", "-1.5", "9999999999999999.9999"],
        "real" => &[
            "0",
            "-0",
            "0.1",
            "1e38",
            "1.5e-45",
            "NaN",
            "-Infinity",
            "16777217",
            "1234567",
            "33554432",
        ],
        "double precision" => &[
            "0",
            "-0",
            "0.1",
            "0.30000000000000004",
            "1e300",
            "1e23",
            "5e-324",
            "Infinity",
            "NaN",
            "9007199254740993",
            "1e15",
            "123456789012345.6",
            "1e-5",
            "9223372036854775807",
        ],
        "bytea" => &["\\x", "\\x00ff41", "\\x5c"],
        "json" => &[
            "{\"a\": 1.10, \"b\":[null,1e2,-0]}",
            "\"\\u0000\"",
            "[ 18446744073709551616 ]",
            "null",
            "{\"a\":1,\"a\":2}",
            "\"\\ud83d\\ude00\"",
            "1e400000",
            "\"\\ud800\"",
        ],
        "jsonb" => {
            &["{\"a\": 1.10, \"b\":[null,1e2]}", "\"x\"", "null", "[18446744073709551616]", "true"]
        }
        "character varying(40)" | "character(30)" | "text" => &TEXTS,
        _ => other_literals(ty),
    }
}

fn other_literals(ty: &str) -> &'static [&'static str] {
    match ty {
        "date" => {
            &["2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31", "0009-12-04"]
        }
        "time without time zone" => &["00:00:00", "24:00:00", "10:11:12.345678"],
        "time(3) with time zone" => &["00:00:00+00", "10:11:12.345-05:30"],
        "timestamp(0) without time zone" => {
            &["2024-02-29 10:00:00", "infinity", "0044-03-15 01:02:03 BC"]
        }
        "timestamp without time zone" | "timestamp with time zone" => &[
            "2024-02-29 10:00:00.5",
            "294276-12-31 23:59:59.999999",
            "4713-11-24 00:00:00 BC",
            "infinity",
            "-infinity",
            "1969-12-31 23:59:59",
        ],
        "interval" => &["1 mon -3 days 04:05:06.789", "-838:59:59", "0"],
        "uuid" => &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
        "integer[]" => &["{}", "{1,NULL,3}", "{{1,2},{3,4}}"],
        "text[]" => &["{}", "{\"a,b\",NULL,\"NULL\",\"\"}"],
        "inet" => &["1.2.3.4", "10.0.0.0/8"],
        _ => &[],
    }
}

fn sql_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

async fn run(db: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.map(|_| ())
}

async fn fill_postgres(
    db: &mut PgConnection,
    random: &mut Random,
    table: &Table,
    name: &str,
    parents: bool,
) {
    let mut sql = format!("CREATE TEMP TABLE {};", definition(table, name));
    for id in 1..=ROWS {
        let mut values = vec![id.to_string()];
        if parents {
            values.push((1 + id % 3).to_string());
        }
        for column in &table.columns[values.len()..] {
            values.push(match random.below(4) {
                0 => "NULL".to_owned(),
                _ => format!(
                    "{}::{}",
                    sql_literal(random.pick::<&str>(literals(&column.ty.name))),
                    column.ty.name
                ),
            });
        }
        sql.push_str(&format!("INSERT INTO {name} VALUES ({});", values.join(", ")));
    }
    run(db, &sql).await.expect("the table is made and filled");
}

/// One field of COPY's text format.
fn field(raw: &str) -> Option<String> {
    if raw == "\\N" {
        return None;
    }
    let mut out = String::new();
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next().unwrap_or('\\') {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            },
            other => other,
        });
    }
    Some(out)
}

fn typed(text: String, kind: &Kind) -> Value {
    let bytes = |text: &str| {
        (2..text.len())
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
            .collect()
    };
    match kind {
        Kind::Bool => Value::Bool(text == "t"),
        Kind::Int(_) => Value::Int(text.parse().expect("the server prints an integer")),
        Kind::Numeric(_) => Value::Number(text),
        Kind::Float4 => Value::Real(text.parse().expect("the server prints a float")),
        Kind::Float8 => Value::Float(text.parse().expect("the server prints a float")),
        Kind::Text { .. } => Value::Text(text),
        Kind::Bytes => Value::Bytes(bytes(&text)),
        Kind::Json | Kind::Jsonb => Value::Json(text),
        Kind::Date => Value::Typed(Scalar::Date, text),
        Kind::Time(_) => Value::Typed(Scalar::Time, text),
        Kind::TimeTz(_) => Value::Typed(Scalar::TimeTz, text),
        Kind::Timestamp(_) => Value::Typed(Scalar::Timestamp, text),
        Kind::TimestampTz(_) => Value::Typed(Scalar::TimestampTz, text),
        Kind::Interval => Value::Typed(Scalar::Interval, text),
        Kind::Uuid => Value::Typed(Scalar::Uuid, text),
        Kind::Opaque { .. } | Kind::Dynamic(_) => Value::Typed(Scalar::Opaque, text),
    }
}

/// The inputs of all rows, by COPY in text format.
async fn read_postgres(db: &mut PgConnection, bound: &BoundMapping) -> Vec<Vec<Value>> {
    let list: String = render_inputs(bound, Flavor::Postgres, "s", &[])
        .iter()
        .map(|input| format!(", {input}"))
        .collect();
    let copy = format!("COPY (SELECT 0{list} FROM s AS \"s\" ORDER BY id) TO STDOUT");
    let chunks: Vec<_> = {
        let stream = db.copy_out_raw(&copy).await.expect("COPY starts");
        stream.try_collect().await.expect("COPY ends")
    };
    let text: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
    let text = String::from_utf8(text).expect("the session speaks UTF-8");
    text.lines()
        .map(|line| {
            let fields = line.split('\t').skip(1).zip(&bound.inputs);
            fields
                .map(|(raw, input)| match field(raw) {
                    None => Value::Null,
                    Some(text) if input.form == Form::Json => Value::Json(text),
                    Some(text) if matches!(input.source, InputSource::Children(_)) => {
                        Value::Json(text)
                    }
                    Some(text) => typed(text, input.kind()),
                })
                .collect()
        })
        .collect()
}

/// Compares what the program of the stream route writes with what evaluation gives, byte by
/// byte; the rows that it wrote.
async fn program_agrees(
    db: &mut PgConnection,
    bound: &BoundMapping,
    rows: &[Vec<Value>],
    context: &str,
) -> usize {
    let Ok(program) = Program::new(bound, Flavor::Postgres, Flavor::Postgres) else {
        return 0;
    };
    let list = render_inputs(bound, Flavor::Postgres, "s", &program.unread(bound)).join(", ");
    let list = if list.is_empty() { "1".to_owned() } else { list };
    let copy = format!("COPY (SELECT {list} FROM s ORDER BY id) TO STDOUT (FORMAT binary)");
    let messages: Vec<_> = {
        let stream = db.copy_out_raw(&copy).await.expect("COPY starts");
        stream.try_collect().await.expect("COPY ends")
    };
    let bytes: Vec<u8> = messages.iter().flat_map(|message| message.iter().copied()).collect();
    let mut rest = &bytes[encode::HEADER.len()..];
    let (mut scratch, mut written) = (Scratch::default(), 0);
    for row in rows {
        let cells: Vec<Cell<'_>> = fields(&mut rest)
            .into_iter()
            .map(|field| field.map_or(Cell::Null, Cell::Wire))
            .collect();
        let mut out = Vec::new();
        let done = program.write(bound, &cells, &mut scratch, &mut out);
        match (eval(bound, row, &mut Nothing), done) {
            (Outcome::Cells(values), Written::Row) => {
                written += 1;
                let mut got = out.as_slice();
                for ((value, column), field) in
                    values.iter().zip(&bound.columns).zip(fields(&mut got))
                {
                    // These pass unread.
                    if matches!(column.ty.kind, Kind::Interval | Kind::TimeTz(_)) {
                        continue;
                    }
                    let mut bytes = Vec::new();
                    assert!(Format::Copy.value(value, &column.ty.kind, &mut bytes), "{value:?}");
                    let wanted = (!value.is_null()).then(|| &bytes[4..]);
                    let read = |field: Option<&[u8]>| {
                        let cell = field.map_or(Cell::Null, Cell::Wire);
                        format!("{:?}", cell.value(&column.ty.kind).expect("it can be read"))
                    };
                    assert_eq!(read(field), read(wanted), "{context}\n{row:?}\n{value:?}");
                }
            }
            (Outcome::Cells(values), Written::Unknown) => {
                let known = values.iter().zip(&bound.columns).all(|(value, column)| {
                    Format::Copy.value(value, &column.ty.kind, &mut Vec::new())
                });
                assert!(!known, "{context}\n{row:?}: the program gives up for nothing");
            }
            // What passes unread can't be shown in a reject: decode does the row again.
            (Outcome::Reject(_), Written::Unknown) if program.unread(bound).contains(&true) => {
                assert!(out.is_empty());
            }
            (outcome, Written::Refused(values, refused)) => {
                // By their text: NaN is not equal to itself.
                let (wanted, got) =
                    (format!("{row:?} {outcome:?}"), format!("{values:?} {refused:?}"));
                assert_eq!(got, wanted, "{context}");
                assert!(out.is_empty());
            }
            (outcome, done) => panic!("{context}\n{row:?}: {outcome:?}, the program: {done:?}"),
        }
    }
    written
}

/// Splits the fields of one row off.
fn fields<'b>(bytes: &mut &'b [u8]) -> Vec<Option<&'b [u8]>> {
    let count = i16::from_be_bytes(bytes[..2].try_into().unwrap());
    *bytes = &bytes[2..];
    (0..count)
        .map(|_| {
            let length = i32::from_be_bytes(bytes[..4].try_into().unwrap());
            *bytes = &bytes[4..];
            let length = usize::try_from(length).ok()?;
            let (field, rest) = bytes.split_at(length);
            *bytes = rest;
            Some(field)
        })
        .collect()
}

#[test]
fn both_readers_agree_on_postgresql() {
    let Ok(url) = std::env::var("TABLELIFT_TEST_POSTGRES") else {
        println!("skipped: TABLELIFT_TEST_POSTGRES is not set");
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    runtime.block_on(async {
        let mut db = PgConnection::connect(&url).await.expect("PostgreSQL answers");
        run(
            &mut db,
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; \
             SET bytea_output = 'hex'; SET extra_float_digits = 1; SET client_min_messages = 'warning'",
        )
        .await
        .expect("the session is pinned");
        postgres_cases(&mut db, seed()).await;
    });
}

async fn postgres_cases(db: &mut PgConnection, seed: u64) {
    println!("TABLELIFT_TEST_SEED={seed}");
    let (mut kept, mut refused, mut written) = (0, 0, 0);
    for case in 0..CASES {
        let mut random = Random(seed.wrapping_add(case));
        let source = table("s", random_columns(&mut random, &types(), (Kind::Int(8), "bigint")));
        let safe: Vec<_> = types().into_iter().filter(|(kind, _)| *kind != Kind::Json).collect();
        let mut child = random_columns(&mut random, &safe, (Kind::Int(8), "bigint"));
        child.insert(1, column("parent", Kind::Int(8), "bigint"));
        let child = table("c", child);
        fill_postgres(db, &mut random, &source, "s", false).await;
        fill_postgres(db, &mut random, &child, "c", true).await;
        let (bound, target) =
            random_mapping(&mut random, &source.columns, &child, &types(), Some(Flavor::Postgres));
        let context = format!("seed {seed}, case {case}, {bound:#?}");
        let tables: String = ["ta", "tb"]
            .map(|name| format!("CREATE TEMP TABLE {};", definition(&target, name)))
            .concat();
        run(db, &tables).await.expect("the targets are created");
        let list = render(&bound, Flavor::Postgres, "s")
            .expect("the mapping was rendered before")
            .join(", ");
        let rows = read_postgres(db, &bound).await;
        written += program_agrees(db, &bound, &rows, &context).await;
        for (id, row) in (1..=ROWS).zip(rows) {
            let push = format!(
                "TRUNCATE ta, tb; INSERT INTO tb SELECT {list} FROM s AS \"s\" WHERE id = {id}"
            );
            let pushed = run(db, &push).await;
            match eval(&bound, &row, &mut Nothing) {
                Outcome::Cells(cells) => {
                    compare(
                        db,
                        &target,
                        &cells,
                        &pushed,
                        &format!("{context}\nrow {id} {row:?}\n{list}"),
                    )
                    .await;
                    kept += 1;
                }
                outcome => {
                    assert!(
                        pushed.is_err(),
                        "{context}\nrow {id} {row:?}: {outcome:?}, SQL takes it\n{list}"
                    );
                    refused += 1;
                }
            }
        }
        run(db, "DROP TABLE s, c, ta, tb").await.expect("the tables are dropped");
    }
    println!("{kept} rows equal, {refused} refused by both, {written} written by the program");
    assert!(written > 300, "the program wrote too few rows: {written}");
    assert!(kept > 1_000, "too few rows got through: {kept}");
}

async fn compare(
    db: &mut PgConnection,
    target: &Table,
    cells: &[Value],
    pushed: &Result<(), sqlx::Error>,
    context: &str,
) {
    let values: Vec<_> = cells
        .iter()
        .zip(&target.columns)
        .map(|(cell, column)| match cell.to_text() {
            None => "NULL".to_owned(),
            Some(text) => format!("CAST({} AS {})", sql_literal(&text), column.ty.name),
        })
        .collect();
    let insert = format!("INSERT INTO ta VALUES ({})", values.join(", "));
    let stored = run(db, &insert).await;
    assert_eq!(
        stored.is_ok(),
        pushed.is_ok(),
        "{context}\n{cells:?}: {stored:?}, SQL says {pushed:?}"
    );
    if pushed.is_err() {
        return;
    }
    let select = "SELECT ta.t0::text, tb.t0::text, ta.t1::text, tb.t1::text, ta.t2::text, tb.t2::text FROM ta, tb";
    let row =
        sqlx::raw_sql(AssertSqlSafe(select)).fetch_one(db).await.expect("there is one row in each");
    for at in [0, 2, 4] {
        let (evaluated, selected) =
            (row.get::<Option<String>, _>(at), row.get::<Option<String>, _>(at + 1));
        assert_eq!(evaluated, selected, "{context}\nevaluated and selected differ");
    }
}
