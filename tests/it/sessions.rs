//! The two readers of a mapping agree when rows really travel: read, written and read back through
//! the program's own sessions, on 1,000 generated tables.

use std::collections::BTreeMap;
use std::path::Path;

use tablelift::db::{Access, Database, Insert, Session, collect};
use tablelift::mapping::eval::{Found, Outcome};
use tablelift::mapping::{
    BoundMapping, Constant, Context, JsonShape, Mapping, Rule, Scope, bind, eval, render,
};
use tablelift::plan::{Consistency, Endpoint, OnConflict};
use tablelift::sql::{Column, Kind, Statement, TableName, quote};

use crate::common::{Postgres, World};

/// A small generator, so that a seed gives the same tables everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const NAMES: &[&str] =
    &["a", "A", "a b", "json", "*", "é", "a\"b", "select", "x'y", "10%", "$1", "tl_c"];

/// Type and literals for each database.
const POSTGRES: &[(&str, &[&str])] = &[
    ("bigint", &["0", "-9223372036854775808", "9223372036854775807"]),
    ("integer", &["1", "-2147483648"]),
    ("numeric", &["1.10", "18446744073709551616", "'NaN'", "-0.000001", "1e30"]),
    ("numeric(8,2)", &["1.50", "-999999.99"]),
    (
        "double precision",
        &["0.1", "'-0'", "1e300", "'Infinity'", "'NaN'", "0.30000000000000004", "5e-324"],
    ),
    ("real", &["0.1", "1.5", "'-Infinity'"]),
    ("boolean", &["true", "false"]),
    ("text", &["''", "'NULL'", "E'a\\tb\\n\\\\N'", "'é😀\"quote\"'", "'\\x41'"]),
    ("varchar(12)", &["'short'", "'ä'"]),
    ("bytea", &["'\\x00ff'", "'\\x'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("date", &["'2024-02-29'", "'0044-03-15 BC'", "'infinity'"]),
    ("timestamp", &["'2024-02-29 12:00:00.5'", "'-infinity'"]),
    ("timestamptz", &["'2024-02-29 12:00:00.25+02'", "'infinity'", "'0001-01-01 00:00:00+00 BC'"]),
    ("time", &["'23:59:59.999999'"]),
    ("interval", &["'1 mon -3 days 04:05:06.789'"]),
    ("json", &["'{\"a\": 1.10, \"a\": 2}'", "'[1, {\"x\": null}]'"]),
    ("jsonb", &["'{\"b\": [1e5, \"ü\"]}'", "'null'", "'1.10'"]),
    ("text[]", &["ARRAY['a', NULL, 'q\"']", "'{}'"]),
    ("int[]", &["'{{1,2},{3,4}}'"]),
    ("inet", &["'10.0.0.1'", "'::1/64'"]),
    ("int4range", &["'[1,5)'", "'empty'"]),
];

const SQLITE: &[(&str, &[&str])] = &[
    ("INTEGER", &["0", "-9223372036854775807", "9223372036854775807", "'abc'", "1.5"]),
    ("TEXT", &["''", "'NULL'", "'é😀\"q\"\\'", "12", "x'00ff'", "'a' || char(10) || char(1)"]),
    ("REAL", &["0.1", "-0.0", "1e300", "9e999", "0.1 + 0.2", "5e-324", "7"]),
    ("NUMERIC", &["1.10", "'007'", "123456789012", "'x'"]),
    ("BLOB", &["x'00ff'", "1", "'t'", "0.5"]),
    ("BOOLEAN", &["0", "1", "2"]),
    ("JSON", &["'{\"a\": 1.10}'", "'[1, null]'", "'\"s\"'"]),
    ("", &["1", "'a'", "x''"]),
];

struct NoContext;

impl Context for NoContext {
    fn lookup(&mut self, _: usize, _: &[tablelift::value::Value]) -> Found {
        Found::None
    }
    fn moved(&mut self, _: usize, _: &tablelift::value::Value) -> Found {
        Found::None
    }
    fn file(&mut self, _: &str) -> Found {
        Found::None
    }
}

fn constant(random: &mut Random) -> Rule {
    Rule::Value(match random.below(5) {
        0 => Constant::Bool(true),
        1 => Constant::Int(-7),
        2 => Constant::Number("1.10".into()),
        3 => Constant::Json("{\"k\":[1,2.50]}".into()),
        _ => Constant::Text("it's é".into()),
    })
}

/// A rule for a JSON column: any depth, any column.
fn rule(random: &mut Random, columns: &[Column], depth: usize) -> Rule {
    let column =
        |random: &mut Random| Rule::Column(columns[random.below(columns.len())].name.clone());
    match random.below(if depth > 2 { 3 } else { 8 }) {
        0 | 1 => column(random),
        2 => constant(random),
        3 => Rule::Array(
            (0..1 + random.below(3)).map(|_| rule(random, columns, depth + 1)).collect(),
        ),
        4 => Rule::First(vec![column(random)]),
        5 => Rule::Map {
            from: Box::new(column(random)),
            map: vec![
                ("true".into(), Constant::Text("yes".into())),
                ("1".into(), Constant::Text("one".into())),
            ],
            default: Some(Constant::Text("other".into())),
        },
        _ => Rule::Json {
            shape: JsonShape::Object(
                (0..random.below(4))
                    .map(|n| (format!("k\"{n}"), rule(random, columns, depth + 1)))
                    .collect(),
            ),
            drop_nulls: random.below(2) == 0,
        },
    }
}

/// One generated table and mapping; `true`: it could be rendered and was compared.
async fn compare(
    session: &mut dyn Session,
    random: &mut Random,
    types: &[(&str, &[&str])],
    json: &str,
) -> bool {
    let postgres = json == "jsonb";
    let mut names: Vec<&str> = NAMES.to_vec();
    if !postgres {
        // SQLite's names differ by more than case.
        names.retain(|name| *name != "A");
    }
    let count = 1 + random.below(6);
    let picked: Vec<(String, &(&str, &[&str]))> = (0..count)
        .map(|_| {
            (names.remove(random.below(names.len())).to_owned(), &types[random.below(types.len())])
        })
        .collect();
    let columns: Vec<String> =
        picked.iter().map(|(name, (ty, _))| format!("{} {ty}", quote(name))).collect();
    let mut sql = format!(
        "CREATE {} TABLE src ({});",
        if postgres { "TEMP" } else { "" },
        columns.join(", ")
    );
    for _ in 0..4 {
        let cells: Vec<&str> = picked
            .iter()
            .map(
                |(_, (_, literals))| {
                    if random.below(5) == 0 { "NULL" } else { random.pick(literals) }
                },
            )
            .collect();
        sql.push_str(&format!("INSERT INTO src VALUES ({});", cells.join(", ")));
    }
    let plain = picked[0].1.0;
    for target in ["one", "two"] {
        sql.push_str(&format!(
            "CREATE {} TABLE {target} (plain {plain}, doc {json}, rest {json});",
            if postgres { "TEMP" } else { "" }
        ));
    }
    session.script(&sql).await.unwrap();
    let name = |name: &str| {
        if postgres { TableName::within("pg_temp", name) } else { TableName::bare(name) }
    };
    let source = session.table(&name("src")).await.unwrap().unwrap();
    let one = session.table(&name("one")).await.unwrap().unwrap();
    let two = session.table(&name("two")).await.unwrap().unwrap();
    let mapping = Mapping {
        columns: vec![
            ("plain".into(), Rule::Column(picked[0].0.clone())),
            (
                "doc".into(),
                Rule::Json {
                    shape: JsonShape::Object(vec![("r".into(), rule(random, &source.columns, 0))]),
                    drop_nulls: false,
                },
            ),
            (
                "rest".into(),
                Rule::Json {
                    shape: JsonShape::Rest { except: vec![], with: vec![] },
                    drop_nulls: false,
                },
            ),
        ],
    };
    let empty = BTreeMap::new();
    let scope = Scope {
        source: &source.columns,
        source_name: "src",
        source_is_files: false,
        target: &one,
        sql_types: &BTreeMap::new(),
        children: &empty,
        lookups: &empty,
        moved: &BTreeMap::new(),
        lossy: false,
        values: tablelift::mapping::ValueOptions::default(),
        flavor: session.dialect().flavor(),
        partial: false,
    };
    let bound = bind(&mapping, &scope).unwrap();
    let flavor = session.dialect().flavor();
    let compared = match render::render(&bound, flavor, "s") {
        Err(_) => false,
        Ok(list) => {
            agree(session, &bound, &list, [&one, &two]).await;
            true
        }
    };
    session.script("DROP TABLE src; DROP TABLE one; DROP TABLE two").await.unwrap();
    compared
}

async fn agree(
    session: &mut dyn Session,
    bound: &BoundMapping,
    list: &[String],
    [one, two]: [&tablelift::sql::Table; 2],
) {
    let (one_sql, two_sql) = (one.name.sql(session.dialect()), two.name.sql(session.dialect()));
    let flavor = session.dialect().flavor();
    let by_sql =
        format!("INSERT INTO {one_sql} (plain, doc, rest) SELECT {} FROM src s", list.join(", "));
    let rendered = session.execute(&Statement::new(by_sql)).await;
    let inputs = render::render_inputs(bound, flavor, "s", &[]).join(", ");
    let kinds: Vec<Kind> = bound.inputs.iter().map(tablelift::mapping::Input::kind_read).collect();
    let rows = collect(session, &format!("SELECT {inputs} FROM src s"), &kinds).await.unwrap().rows;
    let mut cells = Vec::new();
    let mut rejected = false;
    for row in &rows {
        match eval(bound, row, &mut NoContext) {
            Outcome::Cells(row) => cells.push(row),
            Outcome::Reject(_) => rejected = true,
            other => panic!("{other:?}"),
        }
    }
    if rendered.is_err() || rejected {
        // What one refuses the other refuses too: the engine then goes row by row.
        assert!(
            rendered.is_err() && rejected,
            "rendered {rendered:?}, rejected {rejected}, {list:?}"
        );
        return;
    }
    let columns: Vec<Column> = two.columns.clone();
    let digest: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let insert = Insert {
        table: two,
        columns: &columns,
        key: &[],
        conflict: OnConflict::Fail,
        digest: &digest,
        want_keys: false,
        rows: &cells,
    };
    session.insert(&insert).await.unwrap();
    let all = |table: &str| match flavor {
        tablelift::sql::Flavor::Postgres => {
            format!("SELECT plain::text, doc::text, rest::text FROM {table} ORDER BY 2, 3, 1")
        }
        tablelift::sql::Flavor::Sqlite | tablelift::sql::Flavor::Mysql => {
            format!("SELECT typeof(plain), quote(plain), doc, rest FROM {table} ORDER BY 3, 4, 2")
        }
    };
    let rendered = session.rows(&Statement::new(all(&one_sql))).await.unwrap();
    let evaluated = session.rows(&Statement::new(all(&two_sql))).await.unwrap();
    assert_eq!(rendered, evaluated, "{list:?}");
}

fn seed() -> u64 {
    let seed = std::env::var("TABLELIFT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TABLELIFT_TEST_SEED={seed}");
    seed
}

fn database(url: &str, dir: &Path) -> Database {
    let endpoint =
        Endpoint { url: url.to_owned(), schema: None, consistency: Consistency::Batch, line: 0 };
    Database::open(&endpoint, dir, std::time::Duration::from_secs(60)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_500_tables_of_sqlite() {
    let (world, mut random) = (World::new(), Random(seed()));
    let database = database("sqlite:r.db", world.dir.path());
    let mut session = database.session(Access::Write, "test").await.unwrap();
    session.script("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF").await.unwrap();
    let mut compared = 0;
    for _ in 0..500 {
        compared += u32::from(compare(session.as_mut(), &mut random, SQLITE, "JSON").await);
    }
    assert!(compared > 400, "only {compared} were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_500_tables_of_postgres() {
    let (server, mut random) = (Postgres::new(), Random(seed()));
    let database = database(&server.url, Path::new("."));
    let mut session = database.session(Access::Write, "test").await.unwrap();
    let (mut compared, mut tried) = (0, 0);
    while compared < 500 && tried < 3000 {
        compared += u32::from(compare(session.as_mut(), &mut random, POSTGRES, "jsonb").await);
        tried += 1;
    }
    assert!(compared == 500, "only {compared} of {tried} were compared");
}
