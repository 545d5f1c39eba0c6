//! Generated tables through every pair of databases and every route, compared value by value
//! with an oracle that knows the program's conversions from no code of it: each value arrives
//! exactly, or its row is a reject that names its column.
//! `TABLELIFT_TEST_CASES`: rows of random values beside those of the hostile ones (40).

mod options;
mod oracle;
mod single;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oracle::{Type, arrives, as_stored, holds, json, normal};

use crate::common::{Db, Ran, Store, World};
use crate::random::Random;

/// A row's values in the order of [`Type::ALL`].
type Row = Vec<Option<String>>;

fn random_value(ty: Type, random: &mut Random) -> String {
    let digits = |random: &mut Random, most: u64| {
        let count = 1 + random.below(most);
        let digits: String =
            (0..count).map(|_| char::from(b'0' + random.below(10) as u8)).collect();
        digits.trim_start_matches('0').parse::<u128>().unwrap_or(0).to_string()
    };
    match ty {
        Type::Int => digits(random, 18),
        Type::Number => format!("-{}.{}5", digits(random, 6), random.below(1000)),
        Type::Unsigned => digits(random, 18),
        // Between these, PostgreSQL's shortest digits are not everybody's.
        Type::Double => {
            let exponent = *random.pick(&[-250, -20, -3, 0, 5, 13, 40, 250]);
            format!("{}.{}e{exponent}", random.below(10), digits(random, 15))
        }
        Type::Single => format!("{}", random.below(1 << 20) as f64 / 4.0),
        Type::Text => (0..random.below(30))
            .map(|_| {
                *random.pick(&['a', 'é', '😀', '\'', '"', '\\', '\n', '\t', ' ', '\u{301}', '|'])
            })
            .collect(),
        Type::Short => digits(random, 10),
        Type::Bytes => {
            (0..random.below(20)).map(|_| format!("{:02x}", random.below(256))).collect()
        }
        Type::Bool => random.below(2).to_string(),
        Type::Document => format!("{{\"k\":[{}.{},\"é\"]}}", digits(random, 20), random.below(100)),
        Type::Date => format!(
            "{:04}-{:02}-{:02}",
            1 + random.below(9999),
            1 + random.below(12),
            1 + random.below(28)
        ),
        Type::Moment => {
            format!("{} {}", random_value(Type::Date, random), random_value(Type::Clock, random))
        }
        Type::Zoned => {
            format!("20{}-02-03 {}+00", 10 + random.below(20), random_value(Type::Clock, random))
        }
        Type::Clock => {
            let second = format!("{:02}.{:06}", random.below(60), random.below(1_000_000));
            let second = second.trim_end_matches('0').trim_end_matches('.');
            format!("{:02}:{:02}:{second:0>2}", random.below(24), random.below(60))
        }
        Type::Uuid => (0..16).fold(String::new(), |mut uuid, at| {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Version 4 of the usual variant.
            let byte = match at {
                6 => 0x40 + random.below(16),
                8 => 0x80 + random.below(64),
                _ => random.below(256),
            };
            let _ = write!(uuid, "{dash}{byte:02x}");
            uuid
        }),
    }
}

/// A row for each hostile value that the source can hold, others of random values and NULLs.
fn rows(random: &mut Random, from: Db) -> Vec<Row> {
    let count = std::env::var("TABLELIFT_TEST_CASES").ok().and_then(|n| n.parse().ok());
    let mut rows = Vec::new();
    let row = |random: &mut Random| -> Row {
        Type::ALL
            .iter()
            .map(|ty| {
                let text = random_value(*ty, random);
                (!random.chance(15) && holds(*ty, &text, from)).then(|| as_stored(*ty, &text, from))
            })
            .collect()
    };
    for (at, ty) in Type::ALL.iter().enumerate() {
        for text in ty.hostile().iter().filter(|text| holds(*ty, text, from)) {
            let mut values = row(random);
            values[at] = Some(as_stored(*ty, text, from));
            rows.push(values);
        }
    }
    rows.extend((0..count.unwrap_or(40)).map(|_| row(random)));
    rows.push(vec![None; Type::ALL.len()]);
    rows
}

fn literal(ty: Type, text: &str, db: Db) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    match (ty, db) {
        (Type::Text | Type::Short | Type::Document, Db::Postgres) => {
            let cast = if ty == Type::Document { "::json" } else { "" };
            format!("convert_from('\\x{hex}', 'UTF8'){cast}")
        }
        (Type::Text | Type::Short | Type::Document, Db::Sqlite) => {
            format!("CAST(X'{hex}' AS TEXT)")
        }
        (Type::Text | Type::Short | Type::Document, Db::Mariadb) => {
            format!("CONVERT(X'{hex}' USING utf8mb4)")
        }
        (Type::Bytes, Db::Postgres) => format!("'\\x{text}'"),
        (Type::Bytes, _) => format!("X'{text}'"),
        (Type::Bool, Db::Postgres) => format!("'{text}'"),
        (Type::Double, Db::Sqlite) if text.ends_with("Infinity") => {
            text.replace("Infinity", "9e999")
        }
        (
            Type::Int | Type::Number | Type::Unsigned | Type::Double | Type::Single | Type::Bool,
            Db::Sqlite | Db::Mariadb,
        ) => text.to_owned(),
        _ => format!("'{text}'"),
    }
}

fn columns(db: Db) -> String {
    let columns = Type::ALL.iter().enumerate();
    columns.map(|(at, ty)| format!(", c{at} {}", ty.name(db))).collect()
}

fn fill(store: &Store, db: Db, rows: &[Row]) {
    let rows: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(id, row)| {
            let cell = |(value, ty): (&Option<String>, &Type)| match value {
                None => "NULL".to_owned(),
                Some(text) => literal(*ty, text, db),
            };
            let cells: Vec<String> = row.iter().zip(&Type::ALL).map(cell).collect();
            format!("({id}, {})", cells.join(", "))
        })
        .collect();
    store.sql(&format!(
        "CREATE TABLE s (id integer PRIMARY KEY{}); INSERT INTO s VALUES {};",
        columns(db),
        rows.join(",")
    ));
}

/// How a value of the target is read, so that no client's spelling is between it and us.
fn shown(at: usize, ty: Type, db: Db) -> String {
    let column = format!("c{at}");
    match (db, ty) {
        (Db::Postgres, Type::Bytes) => {
            format!("encode(convert_to(encode({column}, 'hex'), 'UTF8'), 'hex')")
        }
        (Db::Postgres, Type::Bool) => {
            format!("encode(convert_to({column}::int::text, 'UTF8'), 'hex')")
        }
        (Db::Postgres, _) => format!("encode(convert_to({column}::text, 'UTF8'), 'hex')"),
        (Db::Sqlite, Type::Number | Type::Unsigned | Type::Double | Type::Single) => column,
        // To SQLite, the digits of NULL are an empty text.
        (Db::Sqlite, Type::Bytes) => {
            format!("iif({column} IS NULL, NULL, lower(hex(lower(hex({column})))))")
        }
        (Db::Sqlite, _) => {
            format!("iif({column} IS NULL, NULL, lower(hex(CAST({column} AS TEXT))))")
        }
        (_, Type::Bytes) => format!("lower(hex(lower(hex({column}))))"),
        (Db::Mariadb, Type::Single) => format!("lower(hex(CAST({column} + 0E0 AS CHAR)))"),
        (Db::Mariadb, _) => format!("lower(hex(CAST({column} AS CHAR)))"),
    }
}

/// One spelling for each value.
fn canonical(ty: Type, text: &str, db: Db) -> String {
    match ty {
        Type::Double => text.parse::<f64>().map_or(text.to_owned(), |float| format!("{float:e}")),
        Type::Single if db == Db::Sqlite => format!("{:e}", text.parse::<f64>().unwrap()),
        Type::Single => format!("{:e}", text.parse::<f32>().unwrap()),
        Type::Number | Type::Unsigned => match text {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            "NaN" | "Infinity" | "-Infinity" => text.to_owned(),
            text => normal(text),
        },
        Type::Moment | Type::Zoned | Type::Clock if db == Db::Mariadb => {
            let text = text.trim_end_matches("+00");
            let short = text.trim_end_matches('0').trim_end_matches('.');
            if text.contains('.') { short.to_owned() } else { text.to_owned() }
        }
        _ => text.to_owned(),
    }
}

fn unhex(text: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    String::from_utf8((0..text.len()).step_by(2).map(byte).collect()).unwrap()
}

/// Rows of the target by their ids, each value in its one spelling.
fn found(store: &Store, db: Db) -> BTreeMap<usize, Vec<Option<String>>> {
    let list: Vec<String> =
        Type::ALL.iter().enumerate().map(|(at, ty)| shown(at, *ty, db)).collect();
    let zone = if db == Db::Postgres { "SET timezone = 'UTC'; " } else { "" };
    let rows = store.rows(&format!("{zone}SELECT id, {} FROM t", list.join(", ")));
    rows.iter()
        .map(|row| {
            let mut cells = row.split('|');
            let id = cells.next().unwrap().parse().unwrap();
            let value = |(cell, ty): (&str, &Type)| {
                let bare = db == Db::Sqlite
                    && matches!(ty, Type::Number | Type::Unsigned | Type::Double | Type::Single);
                (cell != "∅").then(|| {
                    let text = if bare { cell.to_owned() } else { unhex(cell) };
                    canonical(*ty, &text, db)
                })
            };
            (id, cells.zip(&Type::ALL).map(value).collect())
        })
        .collect()
}

/// The documents of the target by their ids.
fn documents(store: &Store, db: Db) -> BTreeMap<usize, String> {
    let text = match db {
        Db::Postgres => "encode(convert_to(data::text, 'UTF8'), 'hex')",
        _ => "lower(hex(data))",
    };
    let rows = store.rows(&format!("SELECT id, {text} FROM j"));
    let split = |row: &String| {
        let (id, hex) = row.split_once('|').unwrap();
        (id.parse().unwrap(), unhex(hex))
    };
    rows.iter().map(split).collect()
}

/// Key → column of what was rejected in a step.
fn rejects(ran: &Ran, step: &str) -> BTreeMap<usize, String> {
    let events = ran.events("row_rejected");
    let ours = events.iter().filter(|event| event["step"] == step);
    ours.map(|event| {
        let key = usize::try_from(event["key"].as_u64().unwrap()).unwrap();
        (key, event["column"].as_str().unwrap_or_default().to_owned())
    })
    .collect()
}

/// Copies the table plainly into `t`, and folded into JSON into `j`, and compares all of it.
fn copy(from: Db, to: Db, joint: bool, conflict: &str, rows: &[Row]) -> String {
    let world = World::new();
    let target = Store::new(to, &world);
    let other = (!joint).then(|| match from {
        Db::Sqlite => Store::Sqlite(world.path("s.db")),
        db => Store::new(db, &world),
    });
    let source = other.as_ref().unwrap_or(&target);
    fill(source, from, rows);
    let document = match to {
        Db::Postgres => "jsonb",
        Db::Sqlite => "JSON",
        Db::Mariadb => "json",
    };
    target.sql(&format!(
        "CREATE TABLE t (id integer PRIMARY KEY{}); CREATE TABLE j (id integer PRIMARY KEY, data {document} NOT NULL);",
        columns(to)
    ));
    let plan = format!(
        "name = \"values\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
         [defaults]\nbatch_rows = 50\nmax_rejects = 10000\non_conflict = \"{conflict}\"\n\
         [[step]]\nname = \"plain\"\ncopy = \"s\"\ninto = \"t\"\n\
         [[step]]\nname = \"fold\"\ncopy = \"s\"\ninto = \"j\"\n\
         [step.columns]\nid = \"id\"\ndata = {{ json = \"*\" }}\n",
        source.url(),
        target.url()
    );
    world.write("p.toml", &plan);
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let steps = ran.events("step_finished");
    let what = format!("{from:?} to {to:?}, {conflict}: {}", steps[0]["route"]);
    compare_plain(&what, rows, (from, to), &found(&target, to), &rejects(&ran, "plain"));
    compare_folded(&what, rows, (from, to), &target, &rejects(&ran, "fold"));
    verified(&world, &what, &steps);
    for step in &steps {
        let sum = step["copied"].as_u64().unwrap() + step["rejected"].as_u64().unwrap();
        assert_eq!(sum, rows.len() as u64, "{what}: {step}");
    }
    steps[0]["route"].as_str().unwrap().split(':').next().unwrap().to_owned()
}

/// A faithful copy is no difference, and every row of it was looked at.
fn verified(world: &World, what: &str, steps: &[serde_json::Value]) {
    let ran = world.run(&["verify", "p.toml", "--json"]);
    assert_eq!(ran.code, 0, "{what}: {}\n{}", ran.out, ran.err);
    for (step, proof) in steps.iter().zip(ran.events("step_verified")) {
        assert_eq!(proof["compared"], step["copied"], "{what}: {proof}");
        assert_eq!(proof["rejected"], step["rejected"], "{what}: {proof}");
        assert_eq!(proof["not_compared"], serde_json::json!([]), "{what}");
    }
    assert_eq!(ran.events("step_verified").len(), steps.len());
}

fn compare_plain(
    what: &str,
    rows: &[Row],
    (from, to): (Db, Db),
    found: &BTreeMap<usize, Vec<Option<String>>>,
    rejects: &BTreeMap<usize, String>,
) {
    for (id, row) in rows.iter().enumerate() {
        let mut refused = Vec::new();
        let mut expected = Vec::new();
        for (at, (value, ty)) in row.iter().zip(&Type::ALL).enumerate() {
            let Some(text) = value else {
                expected.push(None);
                continue;
            };
            match arrives(*ty, text, from, to) {
                Some(text) => expected.push(Some(canonical(*ty, &text, to))),
                None => refused.push(format!("c{at}")),
            }
        }
        match rejects.get(&id) {
            Some(column) => {
                assert!(refused.contains(column), "{what}: {column} of {row:?} is a reject");
                assert!(!found.contains_key(&id));
            }
            None => {
                assert!(refused.is_empty(), "{what}: {refused:?} of {row:?} is no reject");
                assert_eq!(found.get(&id), Some(&expected), "{what}: {row:?}");
            }
        }
    }
}

fn compare_folded(
    what: &str,
    rows: &[Row],
    (from, to): (Db, Db),
    target: &Store,
    rejects: &BTreeMap<usize, String>,
) {
    let mut expected = BTreeMap::new();
    for (id, row) in rows.iter().enumerate() {
        let entries = row.iter().zip(&Type::ALL).enumerate().map(|(at, (value, ty))| {
            let value = match value {
                None => "null".to_owned(),
                Some(text) => json(*ty, text, from, to)?,
            };
            Some(format!("\"c{at}\":{value}"))
        });
        match entries.collect::<Option<Vec<_>>>() {
            Some(entries) => {
                assert_eq!(rejects.get(&id), None, "{what}: {row:?} is a reject");
                expected.insert(id, format!("{{{}}}", entries.join(",")));
            }
            None => {
                assert_eq!(rejects.get(&id).map(String::as_str), Some("data"), "{what}: {row:?}")
            }
        }
    }
    if let Store::Postgres(server) = target {
        // jsonb has a spelling of its own, which its server knows.
        let list: Vec<String> = expected
            .iter()
            .map(|(id, text)| format!("({id}, '{}'::jsonb)", text.replace('\'', "''")))
            .collect();
        server.sql(&format!(
            "CREATE TABLE e (id int, data jsonb); INSERT INTO e VALUES {}",
            list.join(",")
        ));
        let differ = "SELECT id, e.data, j.data FROM e FULL JOIN j USING (id) \
                      WHERE e.data::text IS DISTINCT FROM j.data::text";
        assert_eq!(server.rows(differ), [""; 0], "{what}");
        return;
    }
    let found = documents(target, to);
    for (id, text) in &expected {
        assert_eq!(found.get(id), Some(text), "{what}: {:?}", rows[*id]);
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// All routes from one kind of database to another.
fn pair(from: Db, to: Db, routes: &[&str]) {
    let rows = rows(&mut Random::new(Random::seed()), from);
    let mut taken = Vec::new();
    for joint in [false, true] {
        for conflict in ["fail", "skip"] {
            if from == to || !joint {
                taken.push(copy(from, to, joint, conflict, &rows));
            }
        }
    }
    taken.sort();
    taken.dedup();
    assert_eq!(taken, routes);
}

#[test]
fn from_postgres_to_postgres() {
    pair(Db::Postgres, Db::Postgres, &["decode", "pipe", "pushdown"]);
}

#[test]
fn from_postgres_to_sqlite() {
    pair(Db::Postgres, Db::Sqlite, &["decode", "stream"]);
}

#[test]
fn from_postgres_to_mariadb() {
    pair(Db::Postgres, Db::Mariadb, &["decode"]);
}

#[test]
fn from_sqlite_to_postgres() {
    pair(Db::Sqlite, Db::Postgres, &["decode", "stream"]);
}

#[test]
fn from_sqlite_to_sqlite() {
    pair(Db::Sqlite, Db::Sqlite, &["pushdown", "stream"]);
}

#[test]
fn from_sqlite_to_mariadb() {
    pair(Db::Sqlite, Db::Mariadb, &["decode"]);
}

#[test]
fn from_mariadb_to_postgres() {
    pair(Db::Mariadb, Db::Postgres, &["decode", "stream"]);
}

#[test]
fn from_mariadb_to_sqlite() {
    pair(Db::Mariadb, Db::Sqlite, &["decode", "stream"]);
}

#[test]
fn from_mariadb_to_mariadb() {
    pair(Db::Mariadb, Db::Mariadb, &["decode", "pushdown"]);
}
