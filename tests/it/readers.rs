//! One tree, several readers: what a mapping's SQL, its program and its evaluation make of a row
//! are the same, on random tables, values and rules.

mod postgres;
mod sqlite;

use std::collections::BTreeMap;

use tablelift::mapping::render::SQL_FUNCTIONS;
use tablelift::mapping::{
    BoundMapping, Constant, Context, Form, Found, InputSource, JsonShape, Mapping, Outcome, Rule,
    Scope, ValueOptions, bind, eval, render, render_inputs, sql_function,
};
use tablelift::sql::{Affinity, Column, ColumnType, Flavor, Kind, Table, TableName, quote};
use tablelift::value::{Scalar, Value};

const CASES: u64 = 500;
const ROWS: i64 = 5;

/// A small generator whose whole state is the printed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn seed() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let given = std::env::var("TABLELIFT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(u64::try_from(now.as_nanos() % 1_000_000_007).unwrap_or(7))
}

const NAMES: [&str; 12] = [
    "a",
    "A",
    "a b",
    "select",
    "x\"y",
    "it's",
    "ключ",
    "*",
    "json",
    "back\\slash",
    "new\nline",
    "a\"; drop table s; --",
];

const TEXTS: [&str; 28] = [
    "",
    " ",
    "abc",
    "NULL",
    "\\N",
    "it's",
    "a\"b\\c",
    "tab\there\nand\r\nthere",
    "\u{1}\u{7f}",
    "naïve 😀 ключ",
    "007",
    "7",
    "-1.5",
    "1e5",
    " 12 ",
    "9e999",
    "true",
    "{\"a\": [1.10, 1e2, null]}",
    "[1,2",
    "\"\\ud83d\\ude00\"",
    "2024-02-29",
    "2024-02-29 23:59:59",
    "2024-02-29T23:59:59.123456Z",
    "2024-01-31 10:00:00.5+00",
    "2023-02-29 10:00:00",
    "2024-01-31 24:00:00",
    "0000-01-01 00:00:00",
    "0x10",
];

struct Nothing;

impl Context for Nothing {
    fn lookup(&mut self, _: usize, _: &[Value]) -> Found {
        Found::None
    }
    fn moved(&mut self, _: usize, _: &Value) -> Found {
        Found::None
    }
    fn file(&mut self, _: &str) -> Found {
        Found::None
    }
}

fn column(name: &str, kind: Kind, ty: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType { kind, name: ty.to_owned() },
        not_null: false,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        name: TableName::bare(name),
        columns,
        unique: vec![tablelift::sql::table::UniqueKey {
            columns: vec!["id".into()],
            primary: true,
        }],
    }
}

/// `id` and some columns with hostile names.
fn random_columns(random: &mut Random, types: &[(Kind, &str)], id: (Kind, &str)) -> Vec<Column> {
    let mut columns = vec![column("id", id.0, id.1)];
    let start = random.below(NAMES.len());
    for at in 0..=random.below(6) {
        let (kind, ty) = random.pick(types).clone();
        // To SQLite, "A" is "a".
        if NAMES[(start + at) % NAMES.len()] == "A" && matches!(kind, Kind::Dynamic(_)) {
            continue;
        }
        columns.push(column(NAMES[(start + at) % NAMES.len()], kind, ty));
    }
    columns
}

fn constant(random: &mut Random) -> Constant {
    match random.below(6) {
        0 => Constant::Bool(true),
        1 => Constant::Int(i64::MAX),
        2 => Constant::Number("1.50".into()),
        3 => Constant::Json("{\"k\": [1, \"it's\"]}".into()),
        _ => Constant::Text((*random.pick(&TEXTS)).to_owned()),
    }
}

fn rule(random: &mut Random, names: &[String], depth: usize) -> Rule {
    let any = |random: &mut Random| Rule::Column(random.pick(names).clone());
    let keyed = |random: &mut Random| {
        (0..random.below(4))
            .map(|at| (NAMES[at * 3].to_owned(), rule(random, names, depth + 1)))
            .collect()
    };
    match random.below(if depth > 2 { 5 } else { 14 }) {
        0..3 => any(random),
        3 => Rule::Value(constant(random)),
        4 if random.below(2) == 0 => Rule::First(vec![any(random), any(random)]),
        4 => Rule::First(vec![any(random), Rule::Value(constant(random))]),
        5 => Rule::Map {
            from: Box::new(any(random)),
            map: vec![
                ("true".into(), constant(random)),
                ((*random.pick(&TEXTS)).to_owned(), constant(random)),
                ("0".into(), constant(random)),
            ],
            default: Some(constant(random)),
        },
        6 => {
            let to = ["text", "bigint", "numeric", "timestamp", "double precision", "date"];
            let (from, to) = (Box::new(any(random)), (*random.pick(&to)).to_owned());
            let zone = (random.below(4) == 0).then(|| "Europe/Berlin".to_owned());
            let zone = zone.filter(|_| matches!(to.as_str(), "timestamp" | "date"));
            Rule::Cast { from, to, zone, epoch: None }
        }
        7 => Rule::Array((0..random.below(4)).map(|_| rule(random, names, depth + 1)).collect()),
        8 => Rule::Uuid(vec![Rule::Column("constant part".into()), any(random)]),
        9 => {
            Rule::Json { shape: JsonShape::Object(keyed(random)), drop_nulls: random.below(2) == 0 }
        }
        10 => Rule::Children {
            table: "c".into(),
            matches: vec![("parent".into(), "id".into())],
            shape: JsonShape::Rest { except: vec![], with: vec![] },
            order_by: vec!["id".into()],
        },
        11 => Rule::Replace {
            from: Box::new(any(random)),
            replace: vec![("e".into(), "\u{1f600}".into()), ("\"".into(), String::new())],
        },
        12 => Rule::NullIf {
            from: Box::new(any(random)),
            values: vec![(*random.pick(&TEXTS)).to_owned(), "0".into(), "true".into()],
        },
        _ => Rule::Json {
            shape: JsonShape::Rest { except: vec!["id".into()], with: vec![] },
            drop_nulls: random.below(2) == 0,
        },
    }
}

/// Target columns whose rules bind; and become SQL of `flavor`, if one is named.
fn random_mapping(
    random: &mut Random,
    source: &[Column],
    child: &Table,
    types: &[(Kind, &str)],
    flavor: Option<Flavor>,
) -> (BoundMapping, Table) {
    let names: Vec<String> = source.iter().map(|column| column.name.clone()).collect();
    let children = BTreeMap::from([("c".to_owned(), child.clone())]);
    let none = BTreeMap::new();
    let (types_of_sql, moved) = (BTreeMap::new(), BTreeMap::new());
    let of_target = match types[0].0 {
        Kind::Dynamic(_) => Flavor::Sqlite,
        _ => Flavor::Postgres,
    };
    let bound = |mapping: &Mapping, target: &Table| {
        let scope = Scope {
            source,
            source_name: "s",
            source_is_files: false,
            target,
            sql_types: &types_of_sql,
            children: &children,
            lookups: &none,
            moved: &moved,
            lossy: false,
            values: ValueOptions::default(),
            flavor: of_target,
            partial: true,
        };
        let rendered =
            |bound: &BoundMapping| flavor.is_none_or(|flavor| render(bound, flavor, "s").is_ok());
        bind(mapping, &scope).ok().filter(rendered)
    };
    let mut columns = Vec::new();
    let mut mapping = Mapping::default();
    while columns.len() < 3 {
        let name = format!("t{}", columns.len());
        let (kind, ty) = random.pick(types).clone();
        let target = table("t", vec![column(&name, kind, ty)]);
        let rule = rule(random, &names, 0);
        let single = Mapping { columns: vec![(name.clone(), rule.clone())] };
        if bound(&single, &target).is_some() {
            columns.extend(target.columns);
            mapping.columns.push((name, rule));
        }
    }
    let target = table("t", columns);
    let bound = bound(&mapping, &target).expect("each column bound and rendered alone");
    (bound, target)
}

fn definition(table: &Table, name: &str) -> String {
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| format!("{} {}", quote(&column.name), column.ty.name))
        .collect();
    format!("{name} ({})", columns.join(", "))
}
