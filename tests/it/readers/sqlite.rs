//! SQLite: rows by storage class, SQL with the library's own functions.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, Value as Stored};

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
        let (bound, target) =
            random_mapping(&mut random, &source.columns, &child, &affinities(), Flavor::Sqlite);
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
