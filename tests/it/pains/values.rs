//! Values that arrive as themselves: JSON and its numbers, large ones, times, and what looks
//! like nothing.

use super::{Two, json, same_document, text};
use crate::common::{Db, Postgres, Store, World};

/// A text literal with backslashes as they are.
fn literal(store: &Store, text: &str) -> String {
    let text = text.replace('\'', "''");
    let text = if matches!(store, Store::Mariadb(_)) { text.replace('\\', "\\\\") } else { text };
    format!("'{text}'")
}

/// Texts that no client may change on the way out: as hex, and back.
fn texts(store: &Store, column: &str, table: &str) -> Vec<String> {
    let hex = match store {
        Store::Postgres(_) => format!("encode(convert_to({column}::text, 'UTF8'), 'hex')"),
        Store::Sqlite(_) => format!("lower(hex({column}))"),
        Store::Mariadb(_) => format!("lower(hex({column}))"),
    };
    let rows = store.rows(&format!("SELECT {hex} FROM {table} ORDER BY id"));
    let byte = |row: &str, at: usize| u8::from_str_radix(&row[at..at + 2], 16).unwrap();
    let bytes = |row: &String| (0..row.len()).step_by(2).map(|at| byte(row, at)).collect();
    rows.iter().map(|row| String::from_utf8(bytes(row)).unwrap()).collect()
}

const NASTY: &str = "a\"b\\c\nd\té😀\\n\\u00e9'\"\\\\/{}[]";

/// Plainly, as a document, and folded three deep.
#[test]
fn p14_json_escapes_survive_every_route() {
    let oracle = Postgres::new();
    let escaped = serde_json::to_string(NASTY).unwrap();
    let document = format!("{{\"a\": [{{\"b\": {escaped}, \"c\": \"\\u00e9\\ud83d\\ude00\"}}]}}");
    let columns = "[step.columns]\nid = \"id\"\nplain = \"plain\"\ndoc = \"doc\"\n\
                   deep = { json = { x = { json = { y = { json = { z = \"plain\", d = \"doc\" } } } } } }\n";
    for two in Two::all() {
        two.source.sql(&format!(
            "CREATE TABLE s (id bigint PRIMARY KEY, plain {}, doc {}); INSERT INTO s VALUES (1, {}, {})",
            text(&two.source),
            json(&two.source),
            literal(&two.source, NASTY),
            literal(&two.source, &document)
        ));
        let kind = json(&two.target);
        let long = text(&two.target);
        two.target.sql(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, plain {long}, doc {kind}, deep {kind})"
        ));
        two.plan("", columns);
        two.world.run(&["run", "p.toml"]).ok();
        assert_eq!(texts(&two.target, "plain", "t"), [NASTY], "{}", two.what);
        let found = texts(&two.target, "doc", "t").concat();
        same_document(&oracle, &found, &document, &two.what);
        let deep = format!("{{\"x\": {{\"y\": {{\"z\": {escaped}, \"d\": {document}}}}}}}");
        let found = texts(&two.target, "deep", "t").concat();
        same_document(&oracle, &found, &deep, &two.what);
    }
}

/// `n` comes as a number of the source, `doc` as a document; both fold into JSON.
#[test]
fn p15_json_numbers_keep_every_digit() {
    let numbers = [
        "9223372036854775807",
        "-9223372036854775808",
        "1234567890123456789",
        "18446744073709551615",
        "0.1",
        "0.0000001",
        "123456789012345678901234567890",
        "0.123456789012345678901234567891",
        "-98765432109876543210.0123456789",
    ];
    let oracle = Postgres::new();
    for two in Two::all() {
        // SQLite has no decimals: there such numbers live in documents only.
        let plain = |number: &str| match two.source {
            Store::Sqlite(_) if number.contains('.') || number.parse::<i64>().is_err() => "NULL",
            _ => "n",
        };
        let numeric = match two.source {
            Store::Postgres(_) => "numeric",
            Store::Mariadb(_) => "decimal(65,30)",
            Store::Sqlite(_) => "INTEGER",
        };
        two.source.sql(&format!(
            "CREATE TABLE s (id bigint PRIMARY KEY, n {numeric}, doc {})",
            json(&two.source)
        ));
        for (id, number) in numbers.iter().enumerate() {
            let n = if plain(number) == "n" { number } else { "NULL" };
            let doc = format!("[{number}, {{\"e\": 1e-7, \"n\": [{number}]}}]");
            two.source.sql(&format!("INSERT INTO s VALUES ({id}, {n}, '{doc}')"));
        }
        two.target
            .sql(&format!("CREATE TABLE t (id bigint PRIMARY KEY, rest {})", json(&two.target)));
        two.plan("", "[step.columns]\nid = \"id\"\nrest = { json = \"*\" }\n");
        two.world.run(&["run", "p.toml"]).ok();
        let found = texts(&two.target, "rest", "t");
        assert_eq!(found.len(), numbers.len(), "{}", two.what);
        for (found, number) in found.iter().zip(numbers) {
            let n = if plain(number) == "n" { number } else { "null" };
            let expected =
                format!("{{\"n\": {n}, \"doc\": [{number}, {{\"e\": 1e-7, \"n\": [{number}]}}]}}");
            same_document(&oracle, found, &expected, &two.what);
            // Equal is not all: a reader that knows no exponents must read them too.
            assert!(found.contains(number), "{}: {number} in {found}", two.what);
        }
    }
}

/// The row is written whole in its one statement, or it would be refused.
#[test]
fn p18_twenty_megabytes_of_json_into_not_null() {
    let world = World::new();
    let document = format!("{{\"v\": \"{}é\"}}", "x".repeat(20 << 20));
    let connection = rusqlite::Connection::open(world.path("s.db")).unwrap();
    connection.execute_batch("CREATE TABLE s (id INTEGER PRIMARY KEY, doc TEXT NOT NULL)").unwrap();
    connection.execute("INSERT INTO s VALUES (1, ?1)", [&document]).unwrap();
    for db in Db::ALL {
        let target = Store::new(db, &world);
        let kind = json(&target);
        target.sql(&format!("CREATE TABLE t (id bigint PRIMARY KEY, doc {kind} NOT NULL)"));
        let url = target.url();
        let text = format!(
            "name = \"large\"\n[source]\nurl = \"sqlite:s.db\"\n[target]\nurl = \"{url}\"\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n"
        );
        world.write("p.toml", &text);
        world.run(&["run", "p.toml"]).ok();
        let ask = match db {
            Db::Postgres => "SELECT length(doc->>'v'), right(doc->>'v', 1) FROM t",
            Db::Sqlite => "SELECT length(doc->>'v'), substr(doc->>'v', -1) FROM t",
            Db::Mariadb => "SELECT length(doc) - length('{\"v\": \"\"}') - 1, right(doc, 3) FROM t",
        };
        let last = if db == Db::Mariadb { "é\"}" } else { "é" };
        assert_eq!(target.rows(ask), [format!("{}|{last}", (20 << 20) + 1)], "{db:?}");
    }
}

/// SQLite itself doesn't read PostgreSQL's short `+00`.
const UTC_OF_SQLITE: &str = "SELECT round(unixepoch(CASE WHEN at LIKE '%+00%' THEN \
    substr(at, 1, instr(at, '+') - 1) ELSE at END, 'subsec'), 6) FROM t ORDER BY id";

/// The client is in India, PostgreSQL's databases in New York and Berlin, MariaDB in Japan.
#[test]
fn p22_client_source_and_target_in_three_zones() {
    let moments =
        ["2024-01-31 23:30:00.5+00:00", "2024-03-31 01:30:00+00:00", "1970-01-01 00:00:01+00:00"];
    for two in Two::all() {
        for (store, table, zone) in
            [(&two.source, "s", "America/New_York"), (&two.target, "t", "Europe/Berlin")]
        {
            if let Store::Postgres(_) = store {
                let url = store.url();
                let name = url.rsplit('/').next().unwrap();
                store.sql(&format!("ALTER DATABASE \"{name}\" SET timezone = '{zone}'"));
            }
            let moment = match store {
                Store::Mariadb(_) => "timestamp(6) NULL",
                Store::Postgres(_) => "timestamptz",
                Store::Sqlite(_) => "text",
            };
            store.sql(&format!("CREATE TABLE {table} (id bigint PRIMARY KEY, at {moment})"));
        }
        for (id, at) in moments.iter().enumerate() {
            // The tests' own client of MariaDB speaks UTC.
            let zone = if matches!(two.source, Store::Mariadb(_)) { "" } else { "+00:00" };
            let at = at.replace("+00:00", zone);
            two.source.sql(&format!("INSERT INTO s VALUES ({id}, '{at}')"));
        }
        two.plan("", "");
        let mut command = two.world.command(&["run", "p.toml"]);
        let output =
            command.env("TZ", "Asia/Kolkata").env("PGTZ", "Asia/Kolkata").output().unwrap();
        crate::common::ran(output).ok();
        let ask = match two.target {
            Store::Postgres(_) => "SELECT extract(epoch FROM at) FROM t ORDER BY id",
            Store::Mariadb(_) => "SELECT unix_timestamp(at) FROM t ORDER BY id",
            Store::Sqlite(_) => UTC_OF_SQLITE,
        };
        let rows = two.target.rows(ask);
        let seconds =
            |row: &String| row.parse().unwrap_or_else(|_| panic!("{}: {rows:?}", two.what));
        let found: Vec<f64> = rows.iter().map(seconds).collect();
        assert_eq!(found, [1_706_743_800.5, 1_711_848_600.0, 1.0], "{}", two.what);
    }
}

#[test]
fn p23_empty_null_and_the_word_stay_apart() {
    for two in Two::all() {
        two.source.sql(
            "CREATE TABLE s (id bigint PRIMARY KEY, v varchar(9)); \
             INSERT INTO s VALUES (1, ''), (2, NULL), (3, 'NULL'), (4, ' '), (5, 'null'), (6, '0')",
        );
        two.target.sql("CREATE TABLE t (id bigint PRIMARY KEY, v varchar(9))");
        two.plan("", "");
        two.world.run(&["run", "p.toml"]).ok();
        let ask = "SELECT id, v IS NULL, '<' || coalesce(v, 'nothing') || '>' FROM t ORDER BY id";
        let ask = match two.target {
            Store::Mariadb(_) => {
                "SELECT id, v IS NULL, concat('<', coalesce(v, 'nothing'), '>') FROM t ORDER BY id"
            }
            _ => ask,
        };
        let found: Vec<String> = two
            .target
            .rows(ask)
            .iter()
            .map(|row| row.replace("|t|", "|1|").replace("|f|", "|0|"))
            .collect();
        let expected =
            ["1|0|<>", "2|1|<nothing>", "3|0|<NULL>", "4|0|< >", "5|0|<null>", "6|0|<0>"];
        assert_eq!(found, expected, "{}", two.what);
    }
}

/// Labels that look like the index of another one, and booleans under all of their names.
#[test]
fn p23_enum_and_boolean_go_by_label() {
    for db in [Db::Postgres, Db::Mariadb] {
        let two = Two::new(Db::Sqlite, db);
        two.source.sql(
            "CREATE TABLE s (id INTEGER PRIMARY KEY, e TEXT, b BOOLEAN); \
             INSERT INTO s VALUES (1, '1', 1), (2, '0', 0), (3, '2', 1), (4, '', 0), (5, NULL, NULL)",
        );
        two.target.sql(match db {
            Db::Postgres => {
                "CREATE TYPE e AS ENUM ('0', '1'); CREATE TABLE t (id bigint PRIMARY KEY, e e, b boolean)"
            }
            _ => "CREATE TABLE t (id bigint PRIMARY KEY, e enum('0', '1'), b boolean)",
        });
        two.plan("[defaults]\nmax_rejects = 2", "");
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        let mut rejected: Vec<String> = ran
            .events("row_rejected")
            .iter()
            .map(|event| format!("{} {}", event["key"], event["column"].as_str().unwrap()))
            .collect();
        rejected.sort();
        assert_eq!(rejected, ["3 e", "4 e"], "{db:?}");
        let found: Vec<String> = two
            .target
            .rows("SELECT id, e, b FROM t ORDER BY id")
            .iter()
            .map(|row| row.replace("|t", "|1").replace("|f", "|0"))
            .collect();
        assert_eq!(found, ["1|1|1", "2|0|0", "5|∅|∅"], "{db:?}");
    }
    // And out of the databases that have them.
    for (from, to) in
        [(Db::Mariadb, Db::Postgres), (Db::Postgres, Db::Mariadb), (Db::Mariadb, Db::Sqlite)]
    {
        let two = Two::new(from, to);
        two.source.sql(match from {
            Db::Postgres => {
                "CREATE TYPE e AS ENUM ('0', '1'); CREATE TABLE s (id bigint PRIMARY KEY, e e, b boolean); \
                 INSERT INTO s VALUES (1, '1', true), (2, '0', false)"
            }
            _ => {
                "CREATE TABLE s (id bigint PRIMARY KEY, e enum('0', '1'), b boolean); \
                 INSERT INTO s VALUES (1, '1', true), (2, '0', false)"
            }
        });
        two.target.sql("CREATE TABLE t (id bigint PRIMARY KEY, e varchar(9), b boolean)");
        two.plan("", "");
        two.world.run(&["run", "p.toml"]).ok();
        let rows = two.target.rows("SELECT id, e, b FROM t ORDER BY id");
        let rows: Vec<String> =
            rows.iter().map(|row| row.replace("|t", "|1").replace("|f", "|0")).collect();
        assert_eq!(rows, ["1|1|1", "2|0|0"], "{}", two.what);
    }
}
