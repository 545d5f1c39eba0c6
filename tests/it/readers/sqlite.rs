//! SQLite: rows by storage class, SQL with the library's own functions.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, Value as Stored};

use sha2::{Digest as _, Sha256};
use tablelift::db::sqlite::foresight::Foresight;
use tablelift::mapping::program::{Program, Scratch, Written};
use tablelift::mapping::wire::Cell;
use tablelift::mapping::wire::encode::Format;

use super::*;

fn affinities() -> Vec<(Kind, &'static str)> {
    vec![
        (Kind::Dynamic(Affinity::Integer), "INTEGER"),
        (Kind::Dynamic(Affinity::Real), "REAL"),
        (Kind::Dynamic(Affinity::Numeric), "DECIMAL(9,2)"),
        (Kind::Dynamic(Affinity::Text), "TEXT"),
        (Kind::Dynamic(Affinity::Blob), "BLOB"),
        (Kind::Dynamic(Affinity::Blob), ""),
        (Kind::Dynamic(Affinity::Bool), "BOOLEAN"),
        (Kind::Dynamic(Affinity::Json), "JSON"),
    ]
}

fn stored(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Int(i) => Stored::Integer(*i),
        Value::Float(f) => Stored::Real(*f),
        Value::Bytes(bytes) => Stored::Blob(bytes.clone()),
        Value::Text(text) => Stored::Text(text.clone()),
        other => panic!("{other:?} is no storage class"),
    }
}

fn loaded(value: Stored) -> Value {
    match value {
        Stored::Null => Value::Null,
        Stored::Integer(i) => Value::Int(i),
        Stored::Real(f) => Value::Float(f),
        Stored::Blob(bytes) => Value::Bytes(bytes),
        Stored::Text(text) => Value::Text(text),
    }
}

fn storable(random: &mut Random) -> Value {
    let ints = [0, 1, 2, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1];
    let floats = [
        0.0,
        -0.0,
        1.0,
        0.1 + 0.2,
        1e23,
        1e300,
        5e-324,
        9.007_199_254_740_993e18,
        f64::INFINITY,
        -1.5,
    ];
    match random.below(9) {
        0 | 1 => Value::Null,
        2 | 3 => Value::Int(*random.pick(&ints)),
        4 | 5 => Value::Float(*random.pick(&floats)),
        6 => Value::Bytes(vec![0, 255, 65]),
        _ => Value::Text((*random.pick(&TEXTS)).to_owned()),
    }
}

fn sqlite() -> rusqlite::Connection {
    let db = rusqlite::Connection::open_in_memory().expect("SQLite opens a database in memory");
    for (name, arity) in SQL_FUNCTIONS {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        db.create_scalar_function(name, arity, flags, move |call| {
            let args: Vec<Value> = (0..call.len())
                .map(|at| call.get::<Stored>(at).map(loaded))
                .collect::<Result<_, _>>()?;
            match sql_function(name, &args) {
                Ok(value) => Ok(ToSqlOutput::Owned(stored(&value))),
                Err(why) => Err(rusqlite::Error::UserFunctionError(why.into())),
            }
        })
        .expect("the function can be registered");
    }
    db
}

fn fill(db: &rusqlite::Connection, random: &mut Random, table: &Table, name: &str, parents: bool) {
    db.execute_batch(&format!("CREATE TABLE {}", definition(table, name)))
        .expect("the table is created");
    for id in 1..=ROWS {
        let mut values = vec![stored(&Value::Int(id))];
        if parents {
            values.push(stored(&Value::Int(1 + id % 3)));
        }
        while values.len() < table.columns.len() {
            values.push(stored(&storable(random)));
        }
        let marks = vec!["?"; values.len()].join(", ");
        db.execute(
            &format!("INSERT INTO {name} VALUES ({marks})"),
            rusqlite::params_from_iter(values),
        )
        .expect("the row is stored");
    }
}

#[test]
fn both_readers_agree_on_sqlite() {
    let seed = seed();
    println!("TABLELIFT_TEST_SEED={seed}");
    let (mut kept, mut refused) = (0, 0);
    for case in 0..CASES {
        let mut random = Random(seed.wrapping_add(case));
        let db = sqlite();
        let id = (Kind::Dynamic(Affinity::Integer), "INTEGER");
        let source = table("s", random_columns(&mut random, &affinities(), id.clone()));
        let mut child = random_columns(&mut random, &affinities(), id.clone());
        child.insert(1, column("parent", id.0, id.1));
        let child = table("c", child);
        fill(&db, &mut random, &source, "s", false);
        fill(&db, &mut random, &child, "c", true);
        let (bound, target) = random_mapping(
            &mut random,
            &source.columns,
            &child,
            &affinities(),
            Some(Flavor::Sqlite),
        );
        let context = format!("seed {seed}, case {case}, {bound:#?}");
        for name in ["ta", "tb"] {
            db.execute_batch(&format!("CREATE TABLE {}", definition(&target, name)))
                .expect("the target is created");
        }
        let list = render(&bound, Flavor::Sqlite, "s")
            .expect("the mapping was rendered before")
            .join(", ");
        let inputs = render_inputs(&bound, Flavor::Sqlite, "s", &[]);
        for id in 1..=ROWS {
            let select = format!(
                "SELECT 0 {} FROM s AS \"s\" WHERE id = {id}",
                inputs.iter().map(|input| format!(", {input}")).collect::<String>()
            );
            let row = db.query_row(&select, [], |row| {
                (1..=inputs.len())
                    .map(|at| row.get::<_, Stored>(at).map(loaded))
                    .collect::<Result<Vec<_>, _>>()
            });
            db.execute_batch("DELETE FROM ta; DELETE FROM tb").expect("the targets are emptied");
            let pushed = db.execute(
                &format!("INSERT INTO tb SELECT {list} FROM s AS \"s\" WHERE id = {id}"),
                [],
            );
            let row = row.expect("reading the inputs refuses no row");
            let context = format!("{context}\nrow {id} {row:?}\n{list}");
            match eval(&bound, &row, &mut Nothing) {
                Outcome::Cells(cells) => {
                    assert!(pushed.is_ok(), "{context}\nSQL says {pushed:?}");
                    compare(&db, &cells, &context);
                    kept += 1;
                }
                outcome => {
                    assert!(pushed.is_err(), "{context}\n{outcome:?}, SQL takes it");
                    refused += 1;
                }
            }
        }
    }
    println!("{kept} rows equal, {refused} refused by both");
    assert!(kept > 800, "too few rows got through: {kept}");
}

/// Stores the evaluated cells beside the selected ones; both read back the same.
fn compare(db: &rusqlite::Connection, cells: &[Value], context: &str) {
    let values = rusqlite::params_from_iter(cells.iter().map(stored));
    db.execute("INSERT INTO ta VALUES (?, ?, ?)", values).expect("the cells are stored");
    let [evaluated, selected] = ["ta", "tb"].map(|name| -> String {
        let columns = "quote(t0) || ' ' || quote(t1) || ' ' || quote(t2)";
        db.query_row(&format!("SELECT {columns} FROM {name}"), [], |row| row.get(0))
            .expect("there is one row")
    });
    assert_eq!(evaluated, selected, "{context}\nevaluated and selected");
}

#[test]
fn a_table_of_1600_columns_becomes_one_object() {
    let columns: Vec<Column> = (0..1_600)
        .map(|at| column(&format!("c {at}"), Kind::Dynamic(Affinity::Text), "TEXT"))
        .collect();
    let source = table("s", columns);
    let db = sqlite();
    db.execute_batch(&format!("CREATE TABLE {}", definition(&source, "s"))).expect("it is created");
    db.execute_batch("INSERT INTO s (\"c 0\", \"c 1599\") VALUES ('it''s', 'z')").expect("a row");
    let target = table("t", vec![column("doc", Kind::Dynamic(Affinity::Json), "JSON")]);
    for drop_nulls in [false, true] {
        let shape = JsonShape::Rest { except: vec![], with: vec![] };
        let mapping = Mapping { columns: vec![("doc".into(), Rule::Json { shape, drop_nulls })] };
        let scope = Scope {
            source: &source.columns,
            source_name: "s",
            source_is_files: false,
            target: &target,
            sql_types: &BTreeMap::new(),
            children: &BTreeMap::new(),
            lookups: &BTreeMap::new(),
            moved: &BTreeMap::new(),
            lossy: false,
            values: ValueOptions::default(),
            flavor: Flavor::Sqlite,
            partial: false,
        };
        let bound = bind(&mapping, &scope).expect("it binds");
        let list = render(&bound, Flavor::Sqlite, "s").expect("it is SQL").concat();
        let select = format!("SELECT {list} FROM s AS \"s\"");
        let made: String = db.query_row(&select, [], |row| row.get(0)).expect("SQLite takes it");
        if drop_nulls {
            assert_eq!(made, "{\"c 0\":\"it's\",\"c 1599\":\"z\"}");
        } else {
            assert_eq!(made.matches(":null").count(), 1_598);
        }
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Int(i) => Cell::Int(*i),
        Value::Float(f) => Cell::Float(*f),
        Value::Bytes(bytes) => Cell::Blob(bytes),
        Value::Text(text) => Cell::Text(text),
        other => panic!("{other:?} is no storage class"),
    }
}

/// What the program of the stream route makes of SQLite's rows is what evaluation says, for both
/// kinds of targets; and digests that were foreseen are those of what SQLite then stores.
#[test]
fn the_program_agrees_on_sqlite() {
    let seed = seed();
    println!("TABLELIFT_TEST_SEED={seed}");
    let (mut written, mut refused, mut foreseen) = (0, 0, 0);
    for case in 0..CASES {
        let mut random = Random(seed.wrapping_add(case));
        let to = if case % 2 == 0 { Flavor::Sqlite } else { Flavor::Postgres };
        let types = if case % 2 == 0 { affinities() } else { super::postgres::types() };
        let format = if case % 2 == 0 { Format::Sqlite } else { Format::Copy };
        let db = sqlite();
        let id = (Kind::Dynamic(Affinity::Integer), "INTEGER");
        let source = table("s", random_columns(&mut random, &affinities(), id.clone()));
        let mut child = random_columns(&mut random, &affinities(), id.clone());
        child.insert(1, column("parent", id.0, id.1));
        let child = table("c", child);
        fill(&db, &mut random, &source, "s", false);
        fill(&db, &mut random, &child, "c", true);
        let (bound, target) = random_mapping(&mut random, &source.columns, &child, &types, None);
        let Ok(program) = Program::new(&bound, Flavor::Sqlite, to) else { continue };
        let names: Vec<String> = target.column_names().map(str::to_owned).collect();
        let foresight = Foresight::new(&target, &target.columns, &names);
        assert_eq!(foresight.is_some(), to == Flavor::Sqlite);
        if to == Flavor::Sqlite {
            db.execute_batch(&format!("CREATE TABLE {}", definition(&target, "ta"))).expect("ta");
        }
        let unread = program.unread(&bound);
        let list = render_inputs(&bound, Flavor::Sqlite, "s", &unread);
        let list: String = list.iter().map(|input| format!(", {input}")).collect();
        let mut scratch = Scratch::default();
        for id in 1..=ROWS {
            let select = format!("SELECT 0 {list} FROM s AS \"s\" WHERE id = {id}");
            let raw: Vec<Value> = db
                .query_row(&select, [], |row| {
                    (1..=bound.inputs.len()).map(|at| row.get(at).map(loaded)).collect()
                })
                .expect("reading the inputs refuses no row");
            let cells: Vec<Cell<'_>> = raw.iter().map(cell).collect();
            let row: Vec<Value> = bound
                .inputs
                .iter()
                .zip(&cells)
                .map(|(input, cell)| cell.value(&input.kind_read()).expect("it can be read"))
                .collect();
            let context = format!("seed {seed}, case {case}, {bound:#?}\nrow {id} {row:?}");
            let mut out = Vec::new();
            let done = program.write(&bound, &cells, &mut scratch, &mut out);
            match (eval(&bound, &row, &mut Nothing), done) {
                (Outcome::Cells(values), Written::Row) => {
                    written += 1;
                    let mut wanted = Vec::new();
                    format.begin_row(values.len(), &mut wanted);
                    for (value, column) in values.iter().zip(&bound.columns) {
                        assert!(format.value(value, &column.ty.kind, &mut wanted), "{context}");
                    }
                    assert_eq!(out, wanted, "{context}\n{values:?}");
                    if let Some(digest) = foresight.as_ref().and_then(|known| known.digest(&out)) {
                        foreseen += 1;
                        assert_eq!(digest.to_vec(), digest_stored(&db, &values), "{context}");
                    }
                }
                (Outcome::Cells(values), Written::Unknown) => {
                    let known = values.iter().zip(&bound.columns).all(|(value, column)| {
                        format.value(value, &column.ty.kind, &mut Vec::new())
                    });
                    assert!(!known, "{context}\nthe program gives up for nothing");
                }
                (outcome, Written::Refused(values, other)) => {
                    refused += 1;
                    assert_eq!(
                        format!("{row:?} {outcome:?}"),
                        format!("{values:?} {other:?}"),
                        "{context}"
                    );
                    assert!(out.is_empty());
                }
                (outcome, done) => panic!("{context}\n{outcome:?}, the program: {done:?}"),
            }
        }
    }
    println!("{written} rows equal, {refused} refused by both, {foreseen} digests foreseen");
    assert!(written > 400 && foreseen > 150, "too few: {written} written, {foreseen} foreseen");
}

/// The digest of the row as SQLite stores it.
fn digest_stored(db: &rusqlite::Connection, values: &[Value]) -> Vec<u8> {
    let mut bound = Vec::new();
    for value in values {
        bound.push(match value {
            Value::Json(text) | Value::Typed(_, text) => Stored::Text(text.clone()),
            value => stored(value),
        });
    }
    db.execute_batch("DELETE FROM ta").expect("the target is emptied");
    db.execute("INSERT INTO ta VALUES (?, ?, ?)", rusqlite::params_from_iter(bound))
        .expect("the values are stored");
    let back: Vec<Value> = db
        .query_row("SELECT * FROM ta", [], |row| (0..3).map(|at| row.get(at).map(loaded)).collect())
        .expect("there is one row");
    let mut bytes = Vec::new();
    for value in &back {
        Format::Sqlite.value(value, &Kind::Dynamic(Affinity::Blob), &mut bytes);
    }
    Sha256::digest(&bytes)[..16].to_vec()
}
