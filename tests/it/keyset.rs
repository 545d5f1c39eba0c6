//! Keys that have broken somebody's paging, in every pair, with many workers and odd batches,
//! some killed in between. Boundaries are where rows get lost: first key, last key, seams.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Postgres, World, psql, sqlite_rows};
use crate::random::Random;

/// One key column: its types (empty: not there), and literals to draw from.
struct Part {
    postgres: &'static str,
    sqlite: &'static str,
    draw: fn(&mut Random) -> String,
}

const fn part(
    postgres: &'static str,
    sqlite: &'static str,
    draw: fn(&mut Random) -> String,
) -> Part {
    Part { postgres, sqlite, draw }
}

/// Keys by name: the columns, and what follows the table's closing parenthesis in SQLite.
const KEYS: &[(&str, &[Part], &str)] = &[
    ("bigint", &[part("bigint", "INTEGER", integer)], ""),
    ("small", &[part("smallint", "INTEGER", small)], ""),
    ("text", &[part("text", "TEXT", text)], ""),
    ("text without rowid", &[part("text", "TEXT", text)], "WITHOUT ROWID"),
    ("icu", &[part("text COLLATE \"und-x-icu\"", "", text)], ""),
    ("nocase", &[part("", "TEXT COLLATE NOCASE", folded)], ""),
    ("varchar", &[part("varchar(40)", "VARCHAR(40)", text)], ""),
    ("char", &[part("char(6)", "", word)], ""),
    ("uuid", &[part("uuid", "", uuid)], ""),
    ("numeric", &[part("numeric", "", numeric)], ""),
    ("numeric(12,3)", &[part("numeric(12,3)", "", numeric)], ""),
    ("date", &[part("date", "", date)], ""),
    ("timestamptz", &[part("timestamptz", "", moment)], ""),
    ("bytea", &[part("bytea", "", bytes)], ""),
    ("blob", &[part("", "BLOB", blob)], ""),
    ("mixed", &[part("", "INTEGER", anything)], "WITHOUT ROWID"),
    ("two", &[part("text", "TEXT", text), part("integer", "INTEGER", small)], ""),
    ("two back", &[part("integer", "INTEGER", small), part("text", "TEXT", text)], "WITHOUT ROWID"),
    (
        "three",
        &[
            part("text", "TEXT", word),
            part("bigint", "INTEGER", integer),
            part("text", "TEXT", text),
        ],
        "",
    ),
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "  ",
    "a",
    "A",
    "b",
    "B",
    "a ",
    " a",
    "ab",
    "a b",
    "Z",
    "z",
    "ä",
    "Ä",
    "é",
    "e\u{301}",
    "ß",
    "ss",
    "0",
    "10",
    "9",
    "09",
    "-1",
    "+1",
    "1e3",
    "''",
    "\"",
    "\\",
    "\\N",
    "%",
    "_",
    "\t",
    "\n",
    "\r\n",
    "null",
    "NULL",
    "\u{200b}",
    "\u{feff}x",
    "漢",
    "字",
    "🦀",
    "\u{10ffff}",
    "~",
    "\u{7f}",
    "\u{1}",
    "a''b",
    "a\\b",
    "$1",
    "ÿ",
    "İ",
    "i\u{307}",
    "ǆ",
    "ﬁ",
    "\u{202e}abc",
    "zzzzzzzzzzzzzz",
];

fn integer(random: &mut Random) -> String {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    match random.below(4) {
        0 => random.pick(&edges).to_string(),
        1 => {
            (i64::try_from(random.below(1 << 30)).unwrap() * 7_777_777_777 - (1 << 60)).to_string()
        }
        _ => (i64::try_from(random.below(400)).unwrap() - 200).to_string(),
    }
}

fn small(random: &mut Random) -> String {
    (i64::try_from(random.below(80)).unwrap() - 40).to_string()
}

fn text(random: &mut Random) -> String {
    let more = if random.chance(30) { random.below(1000).to_string() } else { String::new() };
    format!("'{}{}{more}'", random.pick(TEXTS), random.pick(TEXTS))
}

fn folded(random: &mut Random) -> String {
    format!("'{}{}'", random.pick(&["a", "A", "b", "Zz", "ä"]), random.below(200))
}

fn word(random: &mut Random) -> String {
    format!("'{}{}'", random.pick(&["a", "A", "b", "ba", "Z"]), random.below(50))
}

fn uuid(random: &mut Random) -> String {
    format!("'{:08x}-0000-4000-8000-{:012x}'", random.below(1 << 32), random.below(1 << 40))
}

fn numeric(random: &mut Random) -> String {
    let sign = if random.chance(50) { "-" } else { "" };
    format!("{sign}{}.{:03}", random.below(90_000), random.below(1000))
}

fn date(random: &mut Random) -> String {
    format!("date '0001-01-01' + {}", random.below(1_000_000))
}

fn moment(random: &mut Random) -> String {
    format!(
        "timestamptz '2024-10-27 00:00:00+00' + {} * interval '0.000001 s'",
        random.below(1 << 34)
    )
}

fn bytes(random: &mut Random) -> String {
    format!("'\\x{:04x}'::bytea", random.below(1 << 16))
}

fn blob(random: &mut Random) -> String {
    format!("X'{:04X}'", random.below(1 << 16))
}

/// What SQLite lets into an integer column that is not the rowid.
/// Anything but what an INTEGER column makes a REAL of, which is refused as a key.
fn anything(random: &mut Random) -> String {
    match random.below(3) {
        0 => text(random).replace("1e3", "1f3"),
        1 => blob(random),
        _ => integer(random),
    }
}

/// Source and target; `None`: a SQLite file.
type Ends = (Option<Rc<Postgres>>, Option<Rc<Postgres>>);

/// Two databases serve all cases of a test: making them takes longer than a copy.
const CLEAR: &str = "SET client_min_messages = error; DROP TABLE IF EXISTS s, t; \
                     DROP SCHEMA IF EXISTS tablelift CASCADE;";

struct Case {
    world: World,
    source: Option<Rc<Postgres>>,
    target: Option<Rc<Postgres>>,
    expected: Vec<String>,
    columns: usize,
}

impl Case {
    /// `None`: the pair has no such key.
    fn new(key: &(&str, &[Part], &str), ends: &Ends, random: &mut Random) -> Option<Case> {
        let (source_pg, target_pg) = (ends.0.is_some(), ends.1.is_some());
        let (name, parts, suffix) = key;
        let ty = |part: &Part, postgres: bool| if postgres { part.postgres } else { part.sqlite };
        if parts.iter().any(|part| ty(part, source_pg).is_empty() || ty(part, target_pg).is_empty())
        {
            return None;
        }
        let table = |table: &str, postgres: bool| {
            let columns: Vec<String> = parts
                .iter()
                .enumerate()
                .map(|(at, part)| format!("k{at} {} NOT NULL", ty(part, postgres)))
                .collect();
            let keys: Vec<String> = (0..parts.len()).map(|at| format!("k{at}")).collect();
            let suffix = if postgres { "" } else { suffix };
            let columns = columns.join(", ");
            format!(
                "CREATE TABLE {table} ({columns}, v text, PRIMARY KEY ({})) {suffix};",
                keys.join(", ")
            )
        };
        let rows = 1 + random.below(150);
        let values: BTreeSet<String> = (0..rows)
            .map(|_| {
                let list: Vec<String> = parts.iter().map(|part| (part.draw)(random)).collect();
                list.join(", ")
            })
            .collect();
        let values: Vec<String> =
            values.iter().enumerate().map(|(at, keys)| format!("({keys}, 'v{at}')")).collect();
        let conflict = if source_pg { " ON CONFLICT DO NOTHING" } else { "" };
        let insert = if source_pg { "INSERT" } else { "INSERT OR IGNORE" };
        let fill = format!("{insert} INTO s VALUES {}{conflict}", values.join(", "));
        let world = World::new();
        let (source, target) = ends.clone();
        match &source {
            Some(database) => database.sql(&format!("{CLEAR} {} {fill}", table("s", true))),
            None => world.sqlite("s.db", &format!("{} {fill}", table("s", false))),
        }
        match &target {
            Some(database) => database.sql(&format!("{CLEAR} {}", table("t", true))),
            None => world.sqlite("t.db", &table("t", false)),
        }
        let mut case = Case { world, source, target, expected: Vec::new(), columns: parts.len() };
        case.expected = case.rows("s", &case.source, "s.db");
        assert!(!case.expected.is_empty(), "{name}");
        Some(case)
    }

    /// All rows, every value as hex of its text, sorted by the test.
    fn rows(&self, table: &str, database: &Option<Rc<Postgres>>, file: &str) -> Vec<String> {
        let hex = |name: String| match database {
            Some(_) => format!("encode(convert_to({name}::text, 'UTF8'), 'hex')"),
            None => format!("lower(hex(CAST({name} AS BLOB)))"),
        };
        let list: Vec<String> = (0..self.columns).map(|at| hex(format!("k{at}"))).collect();
        let ask = format!("SELECT {}, v FROM {table}", list.join(", "));
        let mut rows = match database {
            Some(database) => database.rows(&ask),
            None => sqlite_rows(&self.world.path(file), &ask),
        };
        rows.sort();
        rows
    }

    fn write_plan(&self, random: &mut Random, slow: bool) {
        let url = |database: &Option<Rc<Postgres>>, file: &str| {
            database.as_ref().map_or(format!("sqlite:{file}"), |database| database.url.clone())
        };
        let keys: String = (0..self.columns).map(|at| format!("k{at} = \"k{at}\"\n")).collect();
        let throttle = if slow { "[throttle]\nrows_per_second = 300\n" } else { "" };
        let text = format!(
            "name = \"keys\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n{throttle}\
             [defaults]\nbatch_rows = {}\nworkers = {}\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\n{keys}v = \"v\"\n",
            url(&self.source, "s.db"),
            url(&self.target, "t.db"),
            random.pick(&[1, 2, 7, 1000]),
            1 + random.below(8),
        );
        self.world.write("p.toml", &text);
    }

    fn run(&self, random: &mut Random, what: &str) {
        if random.chance(33) {
            self.write_plan(random, true);
            let mut command = self.world.command(&["run", "p.toml"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(50 + random.below(300)));
            let _ = child.kill();
            let _ = child.wait();
        }
        self.write_plan(random, false);
        let ran = self.world.run(&["run", "p.toml"]);
        assert_eq!(ran.code, 0, "{what}: {}", ran.err);
        let found = self.rows("t", &self.target, "t.db");
        assert!(found == self.expected, "{what}: {} of {} rows", found.len(), self.expected.len());
        let sums = "SELECT sum(read_rows), sum(inserted) FROM tablelift";
        let sums = match &self.target {
            Some(database) => psql(&database.url, &format!("{sums}.batches")).trim().to_owned(),
            None => sqlite_rows(&self.world.path("t.db"), &format!("{sums}_batches")).concat(),
        };
        let count = self.expected.len();
        assert_eq!(sums, format!("{count}|{count}"), "{what}");
    }
}

/// Every key on a pair, `TABLELIFT_TEST_CASES` times over (3).
fn keys_of(source_pg: bool, target_pg: bool) {
    let times =
        std::env::var("TABLELIFT_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let first = Random::seed();
    let server = |postgres: bool| postgres.then(|| Rc::new(Postgres::new()));
    let ends = (server(source_pg), server(target_pg));
    for seed in first..first + times {
        let mut random = Random::new(seed);
        for key in KEYS {
            let what = format!("key {}, TABLELIFT_TEST_SEED={seed}", key.0);
            if let Some(case) = Case::new(key, &ends, &mut random) {
                case.run(&mut random, &what);
            }
        }
    }
}

#[test]
fn every_key_from_postgres_to_postgres() {
    keys_of(true, true);
}

#[test]
fn every_key_from_sqlite_to_sqlite() {
    keys_of(false, false);
}

#[test]
fn every_key_from_sqlite_to_postgres() {
    keys_of(false, true);
}

#[test]
fn every_key_from_postgres_to_sqlite() {
    keys_of(true, false);
}
