//! Keys that have broken somebody's paging, in every pair, with many workers and odd batches,
//! some killed in between. Boundaries are where rows get lost: first key, last key, seams.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Mariadb, Postgres, World, sqlite_rows};
use crate::pair::Db;
use crate::random::Random;

/// One key column: its types (empty: not there), and literals to draw from.
struct Part {
    postgres: &'static str,
    sqlite: &'static str,
    mariadb: &'static str,
    draw: fn(&mut Random) -> String,
}

const fn part(
    postgres: &'static str,
    sqlite: &'static str,
    draw: fn(&mut Random) -> String,
) -> Part {
    Part { postgres, sqlite, mariadb: "", draw }
}

impl Part {
    const fn mariadb(self, mariadb: &'static str) -> Part {
        Part { mariadb, ..self }
    }

    fn ty(&self, db: Db) -> &'static str {
        match db {
            Db::Postgres => self.postgres,
            Db::Sqlite => self.sqlite,
            Db::Mariadb => self.mariadb,
        }
    }
}

/// Keys that this type of MariaDB tells apart are those that the other databases do.
const NOPAD: &str = "varchar(60) COLLATE utf8mb4_nopad_bin";

/// Keys by name: the columns, and what follows the table's closing parenthesis in SQLite.
const KEYS: &[(&str, &[Part], &str)] = &[
    ("bigint", &[part("bigint", "INTEGER", integer).mariadb("bigint")], ""),
    ("small", &[part("smallint", "INTEGER", small).mariadb("smallint")], ""),
    ("text", &[part("text", "TEXT", text).mariadb(NOPAD)], ""),
    ("folded", &[part("text", "", text).mariadb("varchar(60) COLLATE utf8mb4_unicode_ci")], ""),
    ("blanks", &[part("text", "", text).mariadb("varchar(60) COLLATE utf8mb4_bin")], ""),
    ("latin1", &[part("", "", word).mariadb("varchar(60) CHARACTER SET latin1")], ""),
    ("unsigned", &[part("numeric", "", unsigned).mariadb("bigint unsigned")], ""),
    (
        "enum",
        &[part("text", "", label)
            .mariadb("enum('b','a','~','B','','é','10','9') COLLATE utf8mb4_bin")],
        "",
    ),
    ("binary(2)", &[part("", "", blob).mariadb("binary(2)")], ""),
    ("day", &[part("date", "", day).mariadb("date")], ""),
    ("datetime(6)", &[part("timestamp", "", clock).mariadb("datetime(6)")], ""),
    ("timestamp(6)", &[part("", "", clock).mariadb("timestamp(6)")], ""),
    ("uuid of two", &[part("uuid", "", uuid).mariadb("uuid")], ""),
    ("text without rowid", &[part("text", "TEXT", text)], "WITHOUT ROWID"),
    ("icu", &[part("text COLLATE \"und-x-icu\"", "", text)], ""),
    ("nocase", &[part("", "TEXT COLLATE NOCASE", folded)], ""),
    ("varchar", &[part("varchar(40)", "VARCHAR(40)", text)], ""),
    ("char", &[part("char(6)", "", word)], ""),
    ("uuid", &[part("uuid", "", uuid)], ""),
    ("numeric", &[part("numeric", "", numeric)], ""),
    ("numeric(12,3)", &[part("numeric(12,3)", "", numeric).mariadb("decimal(12,3)")], ""),
    ("date", &[part("date", "", date)], ""),
    ("timestamptz", &[part("timestamptz", "", moment)], ""),
    ("bytea", &[part("bytea", "", bytes)], ""),
    ("blob", &[part("", "BLOB", blob)], ""),
    ("mixed", &[part("", "INTEGER", anything)], "WITHOUT ROWID"),
    (
        "two",
        &[
            part("text", "TEXT", text).mariadb(NOPAD),
            part("integer", "INTEGER", small).mariadb("int"),
        ],
        "",
    ),
    ("two back", &[part("integer", "INTEGER", small), part("text", "TEXT", text)], "WITHOUT ROWID"),
    (
        "three",
        &[
            part("text", "TEXT", word).mariadb(NOPAD),
            part("bigint", "INTEGER", integer).mariadb("bigint"),
            part("text", "TEXT", text).mariadb(NOPAD),
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

fn unsigned(random: &mut Random) -> String {
    let edges = [0, 1, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX];
    match random.below(3) {
        0 => random.pick(&edges).to_string(),
        _ => (random.below(1 << 40) << random.below(24)).to_string(),
    }
}

fn label(random: &mut Random) -> String {
    format!("'{}'", random.pick(&["b", "a", "~", "B", "", "é", "10", "9"]))
}

fn day(random: &mut Random) -> String {
    format!(
        "'{:04}-{:02}-{:02}'",
        1 + random.below(9999),
        1 + random.below(12),
        1 + random.below(28)
    )
}

/// Around the hour that summer time repeats.
fn clock(random: &mut Random) -> String {
    let (minute, second, micro) = (random.below(60), random.below(60), random.below(1_000_000));
    format!("'2024-10-27 {:02}:{minute:02}:{second:02}.{micro:06}'", random.below(4))
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

/// One end of a pair. Two databases serve all cases of a test: making them takes longer than a
/// copy.
#[derive(Clone)]
enum End {
    Postgres(Rc<Postgres>),
    Mariadb(Rc<Mariadb>),
    Sqlite(&'static str),
}

const CLEAR: &str = "SET client_min_messages = error; DROP TABLE IF EXISTS s, t; \
                     DROP SCHEMA IF EXISTS tablelift CASCADE;";

/// Backslashes are themselves in the literals above.
const PLAIN: &str = "SET sql_mode = 'NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO';";

impl End {
    fn new(db: Db, file: &'static str) -> End {
        match db {
            Db::Postgres => End::Postgres(Rc::new(Postgres::new())),
            Db::Mariadb => End::Mariadb(Rc::new(Mariadb::new())),
            Db::Sqlite => End::Sqlite(file),
        }
    }

    fn db(&self) -> Db {
        match self {
            End::Postgres(_) => Db::Postgres,
            End::Mariadb(_) => Db::Mariadb,
            End::Sqlite(_) => Db::Sqlite,
        }
    }

    fn url(&self) -> String {
        match self {
            End::Postgres(database) => database.url.clone(),
            End::Mariadb(database) => database.url.clone(),
            End::Sqlite(file) => format!("sqlite:{file}"),
        }
    }

    /// Runs SQL where nothing of the last case is left.
    fn anew(&self, world: &World, sql: &str) {
        match self {
            End::Postgres(database) => database.sql(&format!("{CLEAR} {sql}")),
            End::Mariadb(database) => {
                let name = database.url.rsplit('/').next().unwrap();
                database.sql(&format!(
                    "DROP DATABASE {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; \
                     USE {name}; {PLAIN} {sql}"
                ));
            }
            End::Sqlite(file) => world.sqlite(file, sql),
        }
    }

    fn rows(&self, world: &World, sql: &str) -> Vec<String> {
        match self {
            End::Postgres(database) => database.rows(sql),
            End::Mariadb(database) => database.rows(sql),
            End::Sqlite(file) => sqlite_rows(&world.path(file), sql),
        }
    }

    /// A value as hex of its text.
    fn hex(&self, name: &str, part: &Part) -> String {
        match self {
            End::Postgres(_) => format!("encode(convert_to({name}::text, 'UTF8'), 'hex')"),
            // Fractions of a second come with all digits there.
            End::Mariadb(_) if part.mariadb.contains("(6)") => format!(
                "lower(hex(TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM CAST({name} AS CHAR)))))"
            ),
            End::Mariadb(_) if part.mariadb.starts_with("binary") => format!("lower(hex({name}))"),
            End::Mariadb(_) => format!("lower(hex(CAST({name} AS CHAR CHARACTER SET utf8mb4)))"),
            End::Sqlite(_) => format!("lower(hex(CAST({name} AS BLOB)))"),
        }
    }
}

struct Case {
    world: World,
    source: End,
    target: End,
    expected: Vec<String>,
    parts: &'static [Part],
}

impl Case {
    /// `None`: the pair has no such key.
    fn new(
        key: &(&str, &'static [Part], &str),
        source: &End,
        target: &End,
        random: &mut Random,
    ) -> Option<Case> {
        let (name, parts, suffix) = key;
        let ends = [source, target].map(End::db);
        if parts.iter().any(|part| ends.iter().any(|db| part.ty(*db).is_empty())) {
            return None;
        }
        // Keys that are equal only there can't all be in a table there.
        if ["folded", "blanks"].contains(name) && source.db() != Db::Mariadb {
            return None;
        }
        let table = |table: &str, db: Db| {
            let columns: Vec<String> = parts
                .iter()
                .enumerate()
                .map(|(at, part)| format!("k{at} {} NOT NULL", part.ty(db)))
                .collect();
            let keys: Vec<String> = (0..parts.len()).map(|at| format!("k{at}")).collect();
            let suffix = if db == Db::Sqlite { suffix } else { &"" };
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
        let (insert, conflict) = match source.db() {
            Db::Postgres => ("INSERT", " ON CONFLICT DO NOTHING"),
            Db::Sqlite => ("INSERT OR IGNORE", ""),
            Db::Mariadb => ("INSERT IGNORE", ""),
        };
        let fill = format!("{insert} INTO s VALUES {}{conflict}", values.join(", "));
        let world = World::new();
        source.anew(&world, &format!("{} {fill}", table("s", source.db())));
        target.anew(&world, &table("t", target.db()));
        let (source, target) = (source.clone(), target.clone());
        let mut case = Case { world, source, target, expected: Vec::new(), parts };
        case.expected = case.rows("s", &case.source);
        assert!(!case.expected.is_empty(), "{name}");
        Some(case)
    }

    /// All rows, every value as hex of its text, sorted by the test.
    fn rows(&self, table: &str, end: &End) -> Vec<String> {
        let hex = |(at, part): (usize, &Part)| end.hex(&format!("k{at}"), part);
        let list: Vec<String> = self.parts.iter().enumerate().map(hex).collect();
        let ask = format!("SELECT {}, v FROM {table}", list.join(", "));
        let mut rows = end.rows(&self.world, &ask);
        rows.sort();
        rows
    }

    fn write_plan(&self, random: &mut Random, slow: bool) {
        let keys: String = (0..self.parts.len()).map(|at| format!("k{at} = \"k{at}\"\n")).collect();
        let throttle = if slow { "[throttle]\nrows_per_second = 300\n" } else { "" };
        let text = format!(
            "name = \"keys\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n{throttle}\
             [defaults]\nbatch_rows = {}\nworkers = {}\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\n{keys}v = \"v\"\n",
            self.source.url(),
            self.target.url(),
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
        let found = self.rows("t", &self.target);
        assert!(found == self.expected, "{what}: {} of {} rows", found.len(), self.expected.len());
        let dot = if self.target.db() == Db::Postgres { "." } else { "_" };
        let sums = format!("SELECT sum(read_rows), sum(inserted) FROM tablelift{dot}batches");
        let sums = self.target.rows(&self.world, &sums).concat();
        let count = self.expected.len();
        assert_eq!(sums, format!("{count}|{count}"), "{what}");
    }
}

/// Every key on a pair, `TABLELIFT_TEST_CASES` times over (3; 1 with MariaDB).
fn keys_of(source: impl Into<Db>, target: impl Into<Db>) {
    let (source, target) = (source.into(), target.into());
    let times = if [source, target].contains(&Db::Mariadb) { 1 } else { 3 };
    let times =
        std::env::var("TABLELIFT_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(times);
    let first = Random::seed();
    let (source, target) = (End::new(source, "s.db"), End::new(target, "t.db"));
    for seed in first..first + times {
        let mut random = Random::new(seed);
        for key in KEYS {
            let what = format!("key {}, TABLELIFT_TEST_SEED={seed}", key.0);
            if let Some(case) = Case::new(key, &source, &target, &mut random) {
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

#[test]
fn every_key_from_mariadb_to_mariadb() {
    keys_of(Db::Mariadb, Db::Mariadb);
}

#[test]
fn every_key_from_mariadb_to_postgres() {
    keys_of(Db::Mariadb, Db::Postgres);
}

#[test]
fn every_key_from_postgres_to_mariadb() {
    keys_of(Db::Postgres, Db::Mariadb);
}

#[test]
fn every_key_from_sqlite_to_mariadb() {
    keys_of(Db::Sqlite, Db::Mariadb);
}
