//! docs/types.md against the program: which types go into which, by what the catalogs say of real
//! tables; and that no value of a type is refused where the page says that each one fits.
//! `TABLELIFT_BLESS=1` writes the page's tables anew, one test after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tablelift::db::{Access, Database};
use tablelift::mapping::cast::{Pair, pair};
use tablelift::plan::{Consistency, Endpoint};
use tablelift::sql::{Column, TableName};

use crate::common::{Db, Store, World};

/// A type, and values of it; what `values` is about is not among them.
type Sample = (&'static str, &'static [&'static str]);

const POSTGRES: &[Sample] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["'-32768'", "'32767'"]),
    ("integer", &["'-2147483648'", "'2147483647'"]),
    ("bigint", &["'-9223372036854775808'", "'9007199254740993'"]),
    (
        "numeric",
        &[
            "'0.000'",
            "'-1.10'",
            "'123456789012345678901234567890123456789.5'",
            "'0.1234567890123456789012345678901'",
        ],
    ),
    ("numeric(10,2)", &["'-12345678.91'", "'0.10'"]),
    ("real", &["'0.1'", "'3.4028235e38'", "'1e-45'"]),
    ("double precision", &["'0.1'", "'1.7976931348623157e308'", "'5e-324'"]),
    ("text", &["''", "'é😀'", "'007'", "repeat('x', 70000)"]),
    ("varchar(10)", &["'007'", "'éééééééééé'"]),
    ("character(5)", &["'é  x'", "'007'"]),
    ("bytea", &["''", "'\\x00ff'"]),
    ("json", &["'[1.10,  1e400]'", "'\"\\u0000\"'", "'1.10'"]),
    ("jsonb", &["'{\"a\": 1.10}'", "'1.10'"]),
    ("date", &["'0044-03-15 BC'", "'5874897-12-31'", "'2024-02-29'"]),
    ("time", &["'24:00'", "'00:00:00.000001'"]),
    ("timetz", &["'10:00+05:30'"]),
    ("timestamp", &["'294276-12-31 23:59:59.999999'", "'4713-11-24 BC'"]),
    ("timestamptz", &["'294276-12-31 23:59:59.999999+00'", "'4713-11-24 00:00+00 BC'"]),
    ("interval", &["'1 mon -3 days 04:05:06.789'"]),
    ("uuid", &["'733b6bc6-fde5-aa29-2c9a-2e59405448bd'"]),
    ("inet", &["'10.0.0.1/8'"]),
    ("integer[]", &["'{1,NULL}'"]),
    ("mood", &["'sad'"]),
];

const SQLITE: &[Sample] = &[
    ("INTEGER", &["-9223372036854775808", "'abc'", "x'00'"]),
    ("REAL", &["0.1", "1e300", "'abc'", "x'00'"]),
    ("NUMERIC", &["9007199254740993", "0.5", "'abc'", "x'00'"]),
    ("TEXT", &["''", "'007'", "'é😀'", "hex(zeroblob(40000))", "x'00'"]),
    ("BLOB", &["x'00ff'", "'007'", "12", "0.5"]),
    ("BOOLEAN", &["0", "1", "2", "'abc'", "x'00'"]),
    ("JSON", &["'[1.10]'", "'{'", "12"]),
];

const MARIADB: &[Sample] = &[
    ("tinyint(1)", &["-128", "1", "2"]),
    ("int", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9007199254740993"]),
    ("bigint unsigned", &["18446744073709551615"]),
    ("decimal(20,2)", &["123456789012345678.90", "-0.10"]),
    ("float", &["0.1", "3.4028234e38"]),
    ("double", &["0.1", "1.7976931348623157e308", "5e-324"]),
    ("bit(8)", &["255"]),
    ("year", &["1901", "2155"]),
    ("varchar(10)", &["'éééééééééé'", "'007'"]),
    ("longtext", &["''", "'007'", "'é😀'", "repeat('x', 70000)"]),
    ("longblob", &["''", "x'00ff'"]),
    ("binary(4)", &["'a'"]),
    ("enum('a','b')", &["'b'"]),
    ("set('x','y')", &["''", "'x,y'"]),
    ("json", &["'[1.10,  1e300]'", "'1.10'"]),
    ("date", &["'0009-12-04'", "'9999-12-31'"]),
    ("time(6)", &["'23:59:59.999999'"]),
    ("datetime(6)", &["'0009-12-04 10:00:00'", "'9999-12-31 23:59:59.999999'"]),
    ("timestamp(6)", &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'"]),
    ("uuid", &["'733b6bc6-fde5-4a29-8c9a-2e59405448bd'"]),
    ("inet6", &["'::1'"]),
];

fn samples(db: Db) -> &'static [Sample] {
    match db {
        Db::Postgres => POSTGRES,
        Db::Sqlite => SQLITE,
        Db::Mariadb => MARIADB,
    }
}

fn name(db: Db) -> &'static str {
    match db {
        Db::Postgres => "PostgreSQL",
        Db::Sqlite => "SQLite",
        Db::Mariadb => "MariaDB",
    }
}

fn prepared(db: Db, world: &World, file: &str) -> Store {
    let store = match db {
        Db::Sqlite => Store::Sqlite(world.path(file)),
        db => Store::new(db, world),
    };
    if db == Db::Postgres {
        store.sql("CREATE TYPE mood AS ENUM ('sad', 'ok')");
    }
    store
}

/// The columns as the program's catalog sees them, one for each type.
fn catalog(db: Db) -> Vec<Column> {
    let world = World::new();
    let store = prepared(db, &world, "t.db");
    let list: Vec<String> =
        samples(db).iter().enumerate().map(|(at, (ty, _))| format!("c{at} {ty} NULL")).collect();
    store.sql(&format!("CREATE TABLE t ({})", list.join(", ")));
    let endpoint =
        Endpoint { url: store.url(), schema: None, consistency: Consistency::Batch, line: 0 };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = Database::open(&endpoint, Path::new(""), Duration::from_secs(60)).unwrap();
        let mut session = database.session(Access::Read, "test").await.unwrap();
        session.table(&TableName::bare("t")).await.unwrap().unwrap().columns
    })
}

/// Source type → target types, by their positions.
type Fitting = BTreeMap<usize, Vec<usize>>;

/// What the catalogs' kinds say of two databases.
struct Known {
    from: Db,
    to: Db,
    /// Each value fits, or says itself that it doesn't.
    fits: Fitting,
    /// Lines of the page: what can lose, what a cast must say, what is refused.
    rest: BTreeMap<usize, [String; 3]>,
}

/// `a, b (why); c (why)`
fn grouped(list: &[(&'static str, &'static str)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (ty, why) in list {
        match groups.iter_mut().find(|(known, _)| known == why) {
            Some((_, types)) => types.push(ty),
            None => groups.push((why, vec![ty])),
        }
    }
    let shown = |(why, types): &(&str, Vec<&str>)| match why.is_empty() {
        true => types.join(", "),
        false => format!("{} ({why})", types.join(", ")),
    };
    groups.iter().map(shown).collect::<Vec<_>>().join("; ")
}

fn known(from: Db, to: Db) -> Known {
    let (sources, targets) = (catalog(from), catalog(to));
    let mut known = Known { from, to, fits: Fitting::new(), rest: BTreeMap::new() };
    for (at, source) in sources.iter().enumerate() {
        let [mut lossy, mut cast, mut never] = [const { Vec::new() }; 3];
        for (other, target) in targets.iter().enumerate() {
            let ty = samples(to)[other].0;
            match pair(&source.ty.kind, &target.ty.kind, false) {
                Pair::Fits => known.fits.entry(at).or_default().push(other),
                Pair::CanLose(why) => lossy.push((ty, why)),
                Pair::Never(why) => match pair(&source.ty.kind, &target.ty.kind, true) {
                    Pair::Never(_) => never.push((ty, why)),
                    _ => cast.push((ty, "")),
                },
            }
        }
        known.rest.insert(at, [grouped(&lossy), grouped(&cast), grouped(&never)]);
    }
    known
}

impl Known {
    /// The page's part about the two; `exact`: where no value is refused.
    fn part(&self, exact: &Fitting) -> String {
        let mut out = format!(
            "### {} to {}\n\n| from | each value fits | the value decides | can lose | with a cast | never |\n\
             |---|---|---|---|---|---|\n",
            name(self.from),
            name(self.to)
        );
        let none = Vec::new();
        for (at, [lossy, cast, never]) in &self.rest {
            let (all, sure) = (self.fits.get(at).unwrap_or(&none), exact.get(at).unwrap_or(&none));
            let list = |wanted: bool| {
                let types = all.iter().filter(|at| sure.contains(at) == wanted);
                types.map(|at| samples(self.to)[*at].0).collect::<Vec<_>>().join(", ")
            };
            let ty = samples(self.from)[*at].0;
            out.push_str(&format!(
                "| `{ty}` | {} | {} | {lossy} | {cast} | {never} |\n",
                list(true),
                list(false)
            ));
        }
        out
    }

    /// What the page says that each value of a type fits into.
    fn exact_on(&self, page: &str) -> Fitting {
        let head = format!("### {} to {}\n", name(self.from), name(self.to));
        let part = page.split_once(&head).map_or("", |(_, rest)| rest);
        let part = part.split("\n### ").next().unwrap_or_default();
        let mut exact = Fitting::new();
        for line in part.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split(" | ").collect();
            let ty = cells[0].trim_start_matches("| ").trim_matches('`');
            let at = samples(self.from).iter().position(|(name, _)| *name == ty).unwrap();
            // A name may have commas of its own.
            let sure = format!(", {}, ", cells[1]);
            let known = |(at, (name, _)): (usize, &Sample)| {
                sure.contains(&format!(", {name}, ")).then_some(at)
            };
            exact.insert(at, samples(self.to).iter().enumerate().filter_map(known).collect());
        }
        exact
    }

    /// Copies each type into all that should take it; which did not, by the rejects.
    fn refused(&self, exact: &Fitting, single: bool) -> Vec<(usize, usize)> {
        if exact.values().all(Vec::is_empty) {
            return Vec::new();
        }
        let world = World::new();
        let (source, target) =
            (prepared(self.from, &world, "s.db"), prepared(self.to, &world, "t.db"));
        let mut plan = format!(
            "name = \"page\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n[defaults]\nmax_rejects = 99\n",
            source.url(),
            target.url()
        );
        let (mut fill, mut make, mut copied) = (String::new(), String::new(), 0);
        for (at, into) in exact.iter().filter(|(_, into)| !into.is_empty()) {
            let (ty, values) = samples(self.from)[*at];
            fill.push_str(&format!("CREATE TABLE s{at} (id int PRIMARY KEY, v {ty} NULL);\n"));
            for (id, value) in values.iter().enumerate() {
                fill.push_str(&format!("INSERT INTO s{at} VALUES ({id}, {value});\n"));
            }
            for part in into.chunks(if single { 1 } else { into.len() }) {
                copied += values.len() as u64;
                let (step, mut columns) = (format!("{at}x{}", part[0]), String::new());
                plan.push_str(&format!(
                    "[[step]]\nname = \"{step}\"\ncopy = \"s{at}\"\ninto = \"t{step}\"\n\
                     tune = {{ analyze = false }}\n[step.columns]\nid = \"id\"\n"
                ));
                for to in part {
                    columns.push_str(&format!(", c{to} {} NULL", samples(self.to)[*to].0));
                    plan.push_str(&format!("c{to} = \"v\"\n"));
                }
                make.push_str(&format!("CREATE TABLE t{step} (id int PRIMARY KEY{columns});\n"));
            }
        }
        source.sql(&fill);
        target.sql(&make);
        world.write("p.toml", &plan);
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let steps = ran.events("step_finished");
        let arrived: u64 = steps.iter().map(|step| step["copied"].as_u64().unwrap()).sum();
        let rejects = ran.events("row_rejected");
        assert_eq!(arrived + rejects.len() as u64, copied);
        let number = |text: &serde_json::Value| {
            let text = text.as_str().unwrap().trim_start_matches('c');
            text.split('x').next().unwrap().parse::<usize>().unwrap()
        };
        rejects.iter().map(|event| (number(&event["step"]), number(&event["column"]))).collect()
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types.md")
}

fn check(from: Db, to: Db) {
    let known = known(from, to);
    let text = std::fs::read_to_string(page()).unwrap();
    if std::env::var("TABLELIFT_BLESS").is_ok() {
        let mut exact = known.fits.clone();
        // One by one: a row's reject names the first of its columns alone.
        for (at, column) in known.refused(&exact, true) {
            exact.entry(at).and_modify(|into| into.retain(|to| *to != column));
        }
        let head = format!("### {} to {}\n", name(from), name(to));
        let (before, rest) = text.split_once(&head).unwrap_or((&text, ""));
        let after = rest.find("\n### ").map_or("", |at| &rest[at..]);
        std::fs::write(page(), format!("{before}{}{after}", known.part(&exact))).unwrap();
        return;
    }
    let exact = known.exact_on(&text);
    let part = known.part(&exact);
    assert!(text.contains(&part), "docs/types.md should say:\n{part}");
    assert_eq!(known.refused(&exact, false), [], "{from:?} to {to:?}");
}

#[test]
fn the_page_is_right_from_postgres_to_postgres() {
    check(Db::Postgres, Db::Postgres);
}

#[test]
fn the_page_is_right_from_postgres_to_sqlite() {
    check(Db::Postgres, Db::Sqlite);
}

#[test]
fn the_page_is_right_from_postgres_to_mariadb() {
    check(Db::Postgres, Db::Mariadb);
}

#[test]
fn the_page_is_right_from_sqlite_to_postgres() {
    check(Db::Sqlite, Db::Postgres);
}

#[test]
fn the_page_is_right_from_sqlite_to_sqlite() {
    check(Db::Sqlite, Db::Sqlite);
}

#[test]
fn the_page_is_right_from_sqlite_to_mariadb() {
    check(Db::Sqlite, Db::Mariadb);
}

#[test]
fn the_page_is_right_from_mariadb_to_postgres() {
    check(Db::Mariadb, Db::Postgres);
}

#[test]
fn the_page_is_right_from_mariadb_to_sqlite() {
    check(Db::Mariadb, Db::Sqlite);
}

#[test]
fn the_page_is_right_from_mariadb_to_mariadb() {
    check(Db::Mariadb, Db::Mariadb);
}
