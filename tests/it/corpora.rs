//! Text and JSON that have broken other programs, through every pair, plainly and folded into
//! JSON: each value arrives as itself, or its row is a reject that names key and column.
//! `TABLELIFT_BIG_VALUES`: how many values of 20 MiB go through (3).

use crate::common::{Postgres, World, sqlite_rows};

/// In the spirit of the collections of naughty strings.
const STRINGS: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "\\\\",
    "\\N",
    "\\.",
    "\\n",
    "\\x41",
    "\\u0000",
    "\\000",
    "'",
    "''",
    "\"",
    "\"\"",
    "`",
    "´",
    "$1",
    "$$",
    "$tag$",
    "?",
    ":x",
    "@x",
    "%s",
    "%n",
    "{}",
    "{0}",
    "null",
    "NULL",
    "nil",
    "None",
    "undefined",
    "NaN",
    "-Infinity",
    "true",
    "0",
    "-0",
    "00",
    "1e400",
    "1.10",
    "0x10",
    "1,000.00",
    "1/0",
    "2024-02-30",
    "0000-00-00",
    "infinity",
    "--",
    "-- ",
    "/*",
    "*/",
    "; DROP TABLE t; --",
    "'; DROP TABLE t; --",
    "' OR 1=1 --",
    "\"; drop table t; --",
    "$(rm -rf /)",
    "`id`",
    "|| true",
    "&& ls",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "]]>",
    "&amp;",
    "{\"a\": 1}",
    "{\"a\": ",
    "[1, 2",
    "[]",
    "\"quoted\"",
    "{1,2}",
    "{\"a\",NULL}",
    "(1,2)",
    "[1,2)",
    "a,b",
    "a;b",
    "a|b",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\\tb",
    " a",
    "a ",
    "  ",
    "\u{a0}",
    "\u{2003}",
    "\u{200b}",
    "\u{200d}",
    "\u{2060}",
    "\u{feff}",
    "\u{feff}x",
    "\u{202e}abc",
    "\u{2028}",
    "\u{2029}",
    "\u{1}",
    "\u{7}",
    "\u{8}",
    "\u{b}",
    "\u{c}",
    "\u{1b}[31m",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{9f}",
    "é",
    "e\u{301}",
    "ﬁ",
    "ß",
    "İ",
    "ı",
    "ǅ",
    "Å",
    "Ω",
    "漢字",
    "かな",
    "한글",
    "ไทย",
    "עברית",
    "العربية",
    "हिन्दी",
    "🦀",
    "👩‍👩‍👧‍👦",
    "🏴‍☠️",
    "👍🏽",
    "\u{10ffff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{e000}",
    "\u{d7ff}",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚a",
    "﷽",
    "𝕿𝖍𝖊",
    "Ｆｕｌｌ",
    "ˁ˚ᴥ˚ˀ",
    "¯\\_(ツ)_/¯",
    "١٢٣",
    "½",
    "¹²³",
    "‰",
    "€",
    "£",
    "\u{ad}",
    "a\u{ad}b",
];

/// JSON documents that parsers disagree about, in the spirit of JSONTestSuite; all valid.
const DOCUMENTS: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1.10",
    "1e3",
    "1E+2",
    "123456789012345678901234567890",
    "18446744073709551616",
    "0.1000000000000000055511151231257827021181583404541015625",
    "\"\"",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"\\/\"",
    "\"\\b\\f\\n\\r\\t\"",
    "\"\\u00e9\"",
    "\"\\ud83e\\udd80\"",
    "\"é🦀\"",
    "[]",
    "{}",
    "[null]",
    "[[[[[[]]]]]]",
    "{\"\": 1}",
    "{\"a\": {\"b\": [1, {\"c\": null}]}}",
    "{\"a\\\"b\": 1}",
    "{\"\\u0041\": 1}",
    "[1, 2.0, 3.00]",
    " [ 1 , 2 ] ",
    "{\"z\": 1, \"a\": 2}",
    "{\"$ref\": \"x\", \"__proto__\": 1}",
    "\"\\u007f\"",
    "\"\u{2028}\"",
    "[\"a\", \"b\", \"a\"]",
];

struct Pairing {
    world: World,
    source: Option<Postgres>,
    target: Option<Postgres>,
}

impl Pairing {
    fn all() -> Vec<Pairing> {
        [(true, true), (false, false), (false, true), (true, false)]
            .map(|(source, target)| Pairing {
                world: World::new(),
                source: source.then(Postgres::new),
                target: target.then(Postgres::new),
            })
            .into()
    }

    fn execute(&self, target: bool, sql: &str) {
        let (database, file) = if target { (&self.target, "t.db") } else { (&self.source, "s.db") };
        match database {
            Some(database) => database.sql(sql),
            None => self.world.sqlite(file, sql),
        }
    }

    fn rows(&self, target: bool, postgres: &str, sqlite: &str) -> Vec<String> {
        match (target, &self.source, &self.target) {
            (false, Some(database), _) | (true, _, Some(database)) => database.rows(postgres),
            (false, ..) => sqlite_rows(&self.world.path("s.db"), sqlite),
            (true, ..) => sqlite_rows(&self.world.path("t.db"), sqlite),
        }
    }

    fn plan(&self, columns: &str, extra: &str) {
        let url = |database: &Option<Postgres>, file: &str| {
            database.as_ref().map_or(format!("sqlite:{file}"), |database| database.url.clone())
        };
        let text = format!(
            "name = \"c\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n[defaults]\n{extra}\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\n{columns}",
            url(&self.source, "s.db"),
            url(&self.target, "t.db")
        );
        self.world.write("p.toml", &text);
    }
}

/// Every string, and every pair of neighbours.
fn strings() -> Vec<String> {
    let two = STRINGS.windows(2).map(|two| two.concat());
    STRINGS.iter().map(|one| (*one).to_owned()).chain(two).chain(["x".repeat(70_000)]).collect()
}

#[test]
fn naughty_strings_arrive_as_themselves_plainly_and_in_json() {
    let all = strings();
    let quoted: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let text = text.replace('\'', "''");
            format!("({at}, '{text}', '{text}')")
        })
        .collect();
    for pairing in Pairing::all() {
        pairing.execute(false, "CREATE TABLE s (id integer PRIMARY KEY, v text, w text)");
        pairing.execute(false, &format!("INSERT INTO s VALUES {}", quoted.join(",")));
        let json = if pairing.target.is_some() { "jsonb" } else { "JSON" };
        pairing.execute(
            true,
            &format!("CREATE TABLE t (id integer PRIMARY KEY, v text, data {json})"),
        );
        pairing.plan("id = \"id\"\nv = \"v\"\ndata = { json = \"*\" }\n", "batch_rows = 40");
        let ran = pairing.world.run(&["run", "p.toml"]).ok();
        assert!(!ran.err.contains("rejected\n"), "{}", ran.err);
        let expected: Vec<String> = all
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                format!("{at}|{hex}|{hex}")
            })
            .collect();
        let found = pairing.rows(
            true,
            "SELECT id, encode(convert_to(v, 'UTF8'), 'hex'), \
             encode(convert_to(data->>'w', 'UTF8'), 'hex') FROM t ORDER BY id",
            "SELECT id, lower(hex(v)), lower(hex(json_extract(data, '$.w'))) FROM t ORDER BY id",
        );
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.get(..200), expected.get(..200));
        }
        assert!(found == expected, "{} of {}", found.len(), expected.len());
    }
}

#[test]
fn documents_are_nested_as_the_server_itself_would() {
    // In an array: SQLite itself makes a rounded number of `1.10` in a column declared JSON.
    let rows: Vec<String> =
        DOCUMENTS.iter().enumerate().map(|(at, json)| format!("({at}, '[{json}]')")).collect();
    for pairing in Pairing::all() {
        let json = |postgres: bool| if postgres { "json" } else { "JSON" };
        let source = json(pairing.source.is_some());
        pairing.execute(false, &format!("CREATE TABLE s (id integer PRIMARY KEY, doc {source})"));
        pairing.execute(false, &format!("INSERT INTO s VALUES {}", rows.join(",")));
        let target = if pairing.target.is_some() { "jsonb" } else { "JSON" };
        pairing.execute(true, &format!("CREATE TABLE t (id integer PRIMARY KEY, data {target})"));
        pairing.plan("id = \"id\"\ndata = { json = \"*\" }\n", "");
        pairing.world.run(&["run", "p.toml"]).ok();
        let found = pairing.rows(
            true,
            "SELECT id, data->'doc' FROM t ORDER BY id",
            "SELECT id, data FROM t ORDER BY id",
        );
        // What PostgreSQL's own jsonb makes of the document is the oracle, for all pairs.
        let oracle = Postgres::new();
        let ask: Vec<String> = DOCUMENTS
            .iter()
            .enumerate()
            .map(|(at, json)| format!("SELECT {at} AS id, '[{json}]'::jsonb"))
            .collect();
        let expected = oracle.rows(&ask.join(" UNION ALL ").replace("\\u0041", "A"));
        let found: Vec<String> = match &pairing.target {
            Some(_) => found,
            None => {
                let ask: Vec<String> = found
                    .iter()
                    .map(|row| {
                        let (id, json) = row.split_once('|').unwrap();
                        format!("SELECT {id} AS id, '{json}'::jsonb->'doc'")
                    })
                    .collect();
                oracle.rows(&ask.join(" UNION ALL "))
            }
        };
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(found), sorted(expected));
    }
}

#[test]
fn a_nul_in_text_is_refused_by_postgres_and_rejected_by_name() {
    let pairing = Pairing { world: World::new(), source: None, target: Some(Postgres::new()) };
    pairing.execute(
        false,
        "CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); \
         INSERT INTO s VALUES (1, 'a'), (2, 'b' || char(0) || 'c'), (3, 'd')",
    );
    pairing.execute(true, "CREATE TABLE t (id integer PRIMARY KEY, v text)");
    pairing.plan("id = \"id\"\nv = \"v\"\n", "max_rejects = 1");
    pairing.world.run(&["run", "p.toml"]).ok();
    assert_eq!(pairing.rows(true, "SELECT id FROM t ORDER BY id", ""), ["1", "3"]);
    let reject = "SELECT row_key, column_name FROM tablelift.rejects";
    assert_eq!(pairing.rows(true, reject, ""), ["[2]|v"]);
}

#[test]
fn big_values_arrive_whole() {
    let count: u32 =
        std::env::var("TABLELIFT_BIG_VALUES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for pairing in Pairing::all() {
        pairing.execute(false, "CREATE TABLE s (id integer PRIMARY KEY, v text)");
        let fill = match &pairing.source {
            Some(_) => format!(
                "INSERT INTO s SELECT n, repeat('é' || n, 20971520 / 3) FROM generate_series(1, {count}) n"
            ),
            None => format!(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) \
                 INSERT INTO s SELECT n, replace(hex(zeroblob(20971520 / 6)), '00', 'é' || n) FROM c"
            ),
        };
        pairing.execute(false, &fill);
        pairing.execute(true, "CREATE TABLE t (id integer PRIMARY KEY, v text)");
        pairing.plan("id = \"id\"\nv = \"v\"\n", "batch_rows = 10");
        pairing.world.run(&["run", "p.toml"]).ok();
        let measure = |target, table: &str| {
            pairing.rows(
                target,
                &format!("SELECT id, length(v), octet_length(v), left(v, 3), right(v, 3) FROM {table} ORDER BY id"),
                &format!("SELECT id, length(v), length(CAST(v AS BLOB)), substr(v, 1, 3), substr(v, -3) FROM {table} ORDER BY id"),
            )
        };
        assert_eq!(measure(true, "t"), measure(false, "s"));
        assert_eq!(measure(true, "t").len(), count as usize);
    }
}
