//! Column rules from the plan to the target: what `zone`, `epoch`, `replace` and `null_if` make
//! of values, and every rule inside every other one.

use crate::common::{Mariadb, Postgres, World};

const ENDS: &str = "name = \"rules\"\n[source]\nurl = \"sqlite:old.db\"\n\
                    [target]\nurl = \"sqlite:new.db\"\n[defaults]\nmax_rejects = 9\n";

fn step(name: &str, columns: &str) -> String {
    format!(
        "[[step]]\nname = \"{name}\"\ncopy = \"{name}\"\ninto = \"{name}\"\n[step.columns]\n{columns}\n"
    )
}

#[test]
fn a_zone_says_what_local_times_mean() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, local timestamp, at timestamptz, ms bigint);
         INSERT INTO t VALUES (1, '2024-07-01 12:00', '2024-01-31 23:30+00', 1706700000120),
             (2, '2024-10-27 02:30', '2024-01-31 23:30+00', NULL), (3, NULL, NULL, -1);",
    );
    target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, local timestamp, ms timestamptz)",
    );
    let plan = format!(
        "name = \"zones\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n[defaults]\nmax_rejects = 1\n{}",
        source.url,
        target.url,
        step(
            "t",
            "id = \"id\"\nat = { from = \"local\", cast = \"timestamptz\", zone = \"Europe/Berlin\" }\n\
             local = { from = \"at\", cast = \"timestamp\", zone = \"Asia/Tokyo\" }\n\
             ms = { from = \"ms\", cast = \"timestamptz\", epoch = \"ms\" }",
        )
    );
    world.write("p.toml", &plan);
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let rejects = ran.events("row_rejected");
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0]["reason"].as_str().unwrap().contains("the zone has this hour twice"));
    assert_eq!(
        target.rows(
            "SELECT id, at AT TIME ZONE 'UTC', local, ms AT TIME ZONE 'UTC' FROM t ORDER BY 1"
        ),
        [
            "1|2024-07-01 10:00:00|2024-02-01 08:30:00|2024-01-31 11:20:00.12",
            "3|∅|∅|1969-12-31 23:59:59.999"
        ]
    );
}

#[test]
fn inside_one_postgres_too() {
    let (world, target) = (World::new(), Postgres::new());
    target.sql(
        "CREATE TABLE s (id int PRIMARY KEY, local timestamp, note text);
         INSERT INTO s VALUES (1, '2024-07-01 12:00', 'n/a'), (2, '2024-01-01 12:00', 'a-b-c');
         CREATE TABLE t (id int PRIMARY KEY, at timestamptz, note text)",
    );
    let plan = format!(
        "name = \"zones\"\n[source]\nurl = \"{0}\"\n[target]\nurl = \"{0}\"\n\
         [[step]]\nname = \"t\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\nid = \"id\"\n\
         at = {{ from = \"local\", cast = \"timestamptz\", zone = \"Europe/Berlin\" }}\n\
         note = {{ from = \"note\", null_if = \"n/a\", replace = {{ \"-\" = \"+\" }} }}\n",
        target.url
    );
    world.write("p.toml", &plan);
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(
        target.rows("SELECT id, at AT TIME ZONE 'UTC', note FROM t ORDER BY 1"),
        ["1|2024-07-01 10:00:00|∅", "2|2024-01-01 11:00:00|a+b+c"]
    );
}

#[test]
fn nul_and_zero_dates_can_be_mapped() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "SET sql_mode = '';
         CREATE TABLE t (id int PRIMARY KEY, d date, note text, doc json);
         INSERT INTO t VALUES (1, '0000-00-00', 'a\\0b', '{\"k\": \"x\\\\u0000y\"}'), (2, '2024-02-29', '', '[]');",
    );
    target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, d date, word text, note text, doc jsonb, rest jsonb)",
    );
    let columns = "id = \"id\"\nd = { from = \"d\", null_if = [\"0000-00-00\"] }\n\
         word = { from = \"d\", map = { \"0000-00-00\" = \"never\" }, default = \"some day\" }\n\
         note = { from = \"note\", replace = { \"\\u0000\" = \"\" }, null_if = \"\" }\n\
         doc = { from = \"doc\", replace = { \"\\u0000\" = \"\" } }\n\
         rest = { json = { note = { from = \"note\", replace = { \"\\u0000\" = \"?\" } } } }";
    let plan = format!(
        "name = \"nul\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n{}",
        source.url,
        target.url,
        step("t", columns)
    );
    world.write("p.toml", &plan);
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(
        target.rows("SELECT id, d, word, note, doc, rest FROM t ORDER BY 1"),
        [
            "1|∅|never|ab|{\"k\": \"xy\"}|{\"note\": \"a?b\"}",
            "2|2024-02-29|some day|∅|[]|{\"note\": \"\"}"
        ]
    );
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_touched() {
    let world = World::new();
    world.sqlite("old.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)");
    world.sqlite("new.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)");
    for (rule, expected) in [
        (
            "{ from = \"a\", cast = \"timestamptz\", zone = \"Europe/Berln\" }",
            "did you mean \"Europe/Berlin\"?",
        ),
        (
            "{ from = \"a\", cast = \"integer\", zone = \"UTC\" }",
            "zone and epoch mean nothing to integer",
        ),
        ("{ from = \"a\", cast = \"timestamptz\", epoch = \"days\" }", "epoch"),
        ("{ from = \"a\", replace = { \"\" = \"x\" } }", "can't look for an empty text"),
        ("{ from = \"a\", replace = { x = 1 } }", "expected a string, found an integer"),
        ("{ from = \"a\", zone = \"UTC\" }", "no column rule"),
    ] {
        let columns = format!("id = \"id\"\na = {rule}");
        world.write("p.toml", &format!("{ENDS}\n{}", step("t", &columns)));
        let ran = world.run(&["check", "p.toml"]).code(2);
        let said = ran.out + &ran.err;
        assert!(said.contains(expected), "{rule}: {said}");
    }
}

/// Each rule, as TOML, with the text that it gives for row 1 of `t`.
const RULES: [(&str, &str); 13] = [
    ("\"name\"", "ann"),
    ("{ value = \"x\" }", "x"),
    ("{ first = [\"gone\", \"name\"] }", "ann"),
    ("{ from = \"name\", map = { ann = \"A\" } }", "A"),
    ("{ from = \"code\", cast = \"bigint\" }", "7"),
    ("{ from = \"name\", replace = { n = \"m\" } }", "amm"),
    ("{ from = \"code\", null_if = [\"x\"] }", "7"),
    ("{ json = { k = \"name\" } }", "{\"k\":\"ann\"}"),
    ("{ array = [\"name\"] }", "[\"ann\"]"),
    ("{ lookup = \"l\", match = { k = \"code\" }, take = \"v\" }", "seven"),
    ("{ moved = \"first\", from = \"id\" }", "1"),
    ("{ sql = \"upper(name)\" }", "ANN"),
    ("{ uuid = [\"name\"] }", ""),
];

/// Where a rule may stand inside another one; `@` is its place, `=` in the answer its value as
/// text, `~` as JSON.
const PLACES: [(&str, &str); 12] = [
    ("{ first = [\"gone\", @] }", "="),
    ("{ from = @, cast = \"text\" }", "="),
    ("{ from = @, map = { }, default = \"d\" }", "d"),
    ("{ from = @, replace = { zzz = \"\" } }", "="),
    ("{ from = @, null_if = [\"zzz\"] }", "="),
    ("{ json = { k = @ } }", "{\"k\":~}"),
    ("{ json = [\"name\"], with = { k = @ } }", "{\"name\":\"ann\",\"k\":~}"),
    ("{ json = { a = { json = { b = { array = [@] } } } } }", "{\"a\":{\"b\":[~]}}"),
    ("{ array = [{ value = 1 }, @] }", "[1,~]"),
    ("{ lookup = \"l\", match = { k = @ }, take = \"v\", missing = \"null\" }", ""),
    ("{ moved = \"first\", from = { first = [{ value = 1 }, @] } }", "1"),
    ("{ uuid = [@] }", ""),
];

#[test]
fn any_rule_stands_inside_any_rule() {
    let world = World::new();
    world.sqlite(
        "old.db",
        "CREATE TABLE first (id INTEGER PRIMARY KEY);
         INSERT INTO first VALUES (1);
         CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, code TEXT, gone TEXT);
         INSERT INTO t VALUES (1, 'ann', '7', NULL);",
    );
    let mut columns = String::from("id = \"id\"\n");
    let mut expected = Vec::new();
    let mut made = String::from("id INTEGER PRIMARY KEY");
    for (place, answer) in PLACES {
        for (rule, value) in RULES {
            let name = format!("c{}", expected.len());
            columns.push_str(&format!("{name} = {}\n", place.replace('@', rule)));
            made.push_str(&format!(", {name} TEXT"));
            let json = if value.starts_with(['{', '[', '7', '1']) && value != "7"
                || rule.contains("bigint")
            {
                value.to_owned()
            } else {
                format!("\"{value}\"")
            };
            let answer = answer.replace('=', value).replace('~', &json);
            expected.push((
                place,
                rule,
                (!value.is_empty() && !answer.is_empty()).then_some(answer),
            ));
        }
    }
    world.sqlite(
        "new.db",
        &format!(
            "CREATE TABLE first (id INTEGER PRIMARY KEY);
             CREATE TABLE l (k TEXT, v TEXT); INSERT INTO l VALUES ('7', 'seven');
             CREATE TABLE t ({made})"
        ),
    );
    let first = step("first", "id = \"id\"");
    world.write("p.toml", &format!("{ENDS}{first}{}", step("t", &columns)));
    world.run(&["run", "p.toml"]).ok();
    for (at, (place, rule, answer)) in expected.into_iter().enumerate() {
        let found = world.sqlite_rows("new.db", &format!("SELECT c{at} FROM t"));
        if let Some(answer) = answer {
            assert_eq!(found, [answer], "{place} with {rule}");
        }
    }
}
