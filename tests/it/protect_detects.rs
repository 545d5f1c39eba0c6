//! Protected tables: every change behind the run's back is found, by key, and equal tables make
//! no alarm. One plan protects them all; a `sql` step makes the changes.

use crate::common::{Db, Store, World};

/// A change to a protected table of five rows, and the key that must be named.
pub struct Change {
    /// Types and first values of the columns `a` and `b` of row 3; the other rows hold row 3's
    /// values too, so that nothing but the changed row differs.
    pub columns: &'static str,
    pub values: &'static str,
    /// SQL with `{t}` for the table.
    pub sql: &'static str,
    pub key: &'static str,
}

const fn change(
    columns: &'static str,
    values: &'static str,
    sql: &'static str,
    key: &'static str,
) -> Change {
    Change { columns, values, sql, key }
}

const TEXT: &str = "a text, b text";

/// Changes that all databases can make.
pub const ALL: &[Change] = &[
    change(TEXT, "'abc', 'x'", "UPDATE {t} SET a = 'abd' WHERE id = 3", "3"),
    change(TEXT, "'abc', 'x'", "UPDATE {t} SET a = 'Abc' WHERE id = 3", "3"),
    change(TEXT, "'abc', 'x'", "UPDATE {t} SET a = 'abc ' WHERE id = 3", "3"),
    change(TEXT, "'abc', 'x'", "UPDATE {t} SET a = NULL WHERE id = 3", "3"),
    change(TEXT, "NULL, 'x'", "UPDATE {t} SET a = '' WHERE id = 3", "3"),
    change(TEXT, "NULL, 'x'", "UPDATE {t} SET a = 'NULL' WHERE id = 3", "3"),
    change(TEXT, "'', 'x'", "UPDATE {t} SET a = NULL WHERE id = 3", "3"),
    change(TEXT, "'null', 'x'", "UPDATE {t} SET a = 'NULL' WHERE id = 3", "3"),
    change(TEXT, "'one', 'two'", "UPDATE {t} SET a = b, b = a WHERE id = 3", "3"),
    change(TEXT, "'one', NULL", "UPDATE {t} SET a = b, b = a WHERE id = 3", "3"),
    change(TEXT, "'x,', 'y'", "UPDATE {t} SET a = 'x', b = ',y' WHERE id = 3", "3"),
    change(TEXT, "'ab', 'c'", "UPDATE {t} SET a = 'a', b = 'bc' WHERE id = 3", "3"),
    change(TEXT, "'a', ''", "UPDATE {t} SET a = '', b = 'a' WHERE id = 3", "3"),
    change(TEXT, "'a|b', 'c'", "UPDATE {t} SET a = 'a', b = 'b|c' WHERE id = 3", "3"),
    change(TEXT, "'(a', 'b)'", "UPDATE {t} SET a = '(a,b)', b = '' WHERE id = 3", "3"),
    change(TEXT, "'\"', 'x'", "UPDATE {t} SET a = '\"\"' WHERE id = 3", "3"),
    change(TEXT, "'é', 'x'", "UPDATE {t} SET a = 'e\u{301}' WHERE id = 3", "3"),
    change(TEXT, "'a\tb', 'x'", "UPDATE {t} SET a = 'a b' WHERE id = 3", "3"),
    change(TEXT, "'x', 'x'", "DELETE FROM {t} WHERE id = 3", "3"),
    change(TEXT, "'x', 'x'", "DELETE FROM {t} WHERE id = 1", "1"),
    change(TEXT, "'x', 'x'", "DELETE FROM {t} WHERE id = 5", "5"),
    change(TEXT, "'x', 'x'", "INSERT INTO {t} VALUES (6, 'x', 'x')", "6"),
    change(TEXT, "'x', 'x'", "INSERT INTO {t} VALUES (0, 'x', 'x')", "0"),
    change(
        TEXT,
        "'x', 'x'",
        "DELETE FROM {t} WHERE id = 3; INSERT INTO {t} VALUES (6, 'x', 'x')",
        "3",
    ),
    change(TEXT, "'x', 'x'", "UPDATE {t} SET id = 30 WHERE id = 3", "3"),
    change("a integer, b text", "7, 'x'", "UPDATE {t} SET a = 8 WHERE id = 3", "3"),
    change("a integer, b text", "7, 'x'", "UPDATE {t} SET a = -7 WHERE id = 3", "3"),
    change(
        "a bigint, b text",
        "9007199254740993, 'x'",
        "UPDATE {t} SET a = 9007199254740992 WHERE id = 3",
        "3",
    ),
    change(
        "a double precision, b text",
        "0.1, 'x'",
        "UPDATE {t} SET a = 0.10000000000000002 WHERE id = 3",
        "3",
    ),
    change(
        "a double precision, b text",
        "1e300, 'x'",
        "UPDATE {t} SET a = -1e300 WHERE id = 3",
        "3",
    ),
    change("a integer, b integer", "1, 12", "UPDATE {t} SET a = 11, b = 2 WHERE id = 3", "3"),
];

pub const POSTGRES: &[Change] = &[
    change("a numeric, b text", "1.10, 'x'", "UPDATE {t} SET a = 1.1 WHERE id = 3", "3"),
    change("a numeric, b text", "'NaN', 'x'", "UPDATE {t} SET a = 0 WHERE id = 3", "3"),
    change("a double precision, b text", "0, 'x'", "UPDATE {t} SET a = '-0' WHERE id = 3", "3"),
    change("a boolean, b text", "true, 'x'", "UPDATE {t} SET a = false WHERE id = 3", "3"),
    change("a bytea, b text", "'\\x00ff', 'x'", "UPDATE {t} SET a = '\\x00fe' WHERE id = 3", "3"),
    change(
        "a json, b text",
        "'{\"a\": 1}', 'x'",
        "UPDATE {t} SET a = '{\"a\":1}' WHERE id = 3",
        "3",
    ),
    change(
        "a jsonb, b text",
        "'{\"a\": 1}', 'x'",
        "UPDATE {t} SET a = '{\"a\": \"1\"}' WHERE id = 3",
        "3",
    ),
    change(
        "a uuid, b text",
        "'00000000-0000-0000-0000-000000000001', 'x'",
        "UPDATE {t} SET a = '00000000-0000-0000-0000-000000000003' WHERE id = 3",
        "3",
    ),
    change("a date, b text", "'2024-02-29', 'x'", "UPDATE {t} SET a = a + 1 WHERE id = 3", "3"),
    change(
        "a timestamptz, b text",
        "'2024-01-01 00:00:00.000001+00', 'x'",
        "UPDATE {t} SET a = a - interval '1 microsecond' WHERE id = 3",
        "3",
    ),
    change("a interval, b text", "'1 mon', 'x'", "UPDATE {t} SET a = '30 days' WHERE id = 3", "3"),
    change(
        "a inet, b text",
        "'10.0.0.1', 'x'",
        "UPDATE {t} SET a = '10.0.0.1/24' WHERE id = 3",
        "3",
    ),
    change("a integer[], b text", "'{1,2}', 'x'", "UPDATE {t} SET a = '{2,1}' WHERE id = 3", "3"),
    change(
        "a text[], b text",
        "'{NULL}', 'x'",
        "UPDATE {t} SET a = '{\"NULL\"}' WHERE id = 3",
        "3",
    ),
    change("a varbit, b text", "B'0101', 'x'", "UPDATE {t} SET a = B'0100' WHERE id = 3", "3"),
    change("a money, b text", "'1.00', 'x'", "UPDATE {t} SET a = '1.01' WHERE id = 3", "3"),
];

pub const SQLITE: &[Change] = &[
    change("a, b", "1, 'x'", "UPDATE {t} SET a = '1' WHERE id = 3", "3"),
    change("a, b", "1, 'x'", "UPDATE {t} SET a = 1.0 WHERE id = 3", "3"),
    change("a, b", "'x', 'x'", "UPDATE {t} SET a = X'78' WHERE id = 3", "3"),
    change("a, b", "X'', 'x'", "UPDATE {t} SET a = '' WHERE id = 3", "3"),
    change("a, b", "X'00', 'x'", "UPDATE {t} SET a = X'0000' WHERE id = 3", "3"),
    change(
        "a, b",
        "CAST(X'FF' AS TEXT), 'x'",
        "UPDATE {t} SET a = CAST(X'FE' AS TEXT) WHERE id = 3",
        "3",
    ),
    change(
        "a, b",
        "'a' || char(0) || 'b', 'x'",
        "UPDATE {t} SET a = 'a' || char(0) || 'c' WHERE id = 3",
        "3",
    ),
];

pub const MARIADB: &[Change] = &[
    change("a decimal(9,2), b text", "1.10, 'x'", "UPDATE {t} SET a = 1.11 WHERE id = 3", "3"),
    change("a float, b text", "1, 'x'", "UPDATE {t} SET a = 1.0000001 WHERE id = 3", "3"),
    change("a blob, b text", "x'00ff', 'x'", "UPDATE {t} SET a = x'00fe' WHERE id = 3", "3"),
    change("a blob, b text", "x'', 'x'", "UPDATE {t} SET a = NULL WHERE id = 3", "3"),
    change("a binary(2), b text", "x'0000', 'x'", "UPDATE {t} SET a = x'0001' WHERE id = 3", "3"),
    change("a bit(9), b text", "b'1', 'x'", "UPDATE {t} SET a = b'100000001' WHERE id = 3", "3"),
    change("a enum('x','y'), b text", "'x', 'x'", "UPDATE {t} SET a = 'y' WHERE id = 3", "3"),
    change("a set('p','q'), b text", "'p', 'x'", "UPDATE {t} SET a = 'p,q' WHERE id = 3", "3"),
    change(
        "a time(6), b text",
        "'-1:00:00', 'x'",
        "UPDATE {t} SET a = '1:00:00' WHERE id = 3",
        "3",
    ),
    change(
        "a datetime(6), b text",
        "'2024-01-01 00:00:00.000001', 'x'",
        "UPDATE {t} SET a = '2024-01-01 00:00:00' WHERE id = 3",
        "3",
    ),
    change(
        "a timestamp(6) NULL, b text",
        "'2024-01-01 00:00:00', 'x'",
        "UPDATE {t} SET a = '2024-01-01 09:00:00' WHERE id = 3",
        "3",
    ),
    change("a json, b text", "'{}', 'x'", "UPDATE {t} SET a = '{ }' WHERE id = 3", "3"),
    change(
        "a bigint unsigned, b text",
        "18446744073709551615, 'x'",
        "UPDATE {t} SET a = 18446744073709551614 WHERE id = 3",
        "3",
    ),
    change(
        "a longtext, b text",
        "repeat('x', 100000), 'x'",
        "UPDATE {t} SET a = concat(repeat('x', 99999), 'y') WHERE id = 3",
        "3",
    ),
];

/// Protects a table for each change and as many that stay, and compares what is said.
fn detects(changes: &[&Change], db: Db) {
    let world = World::new();
    let database = Store::new(db, &world);
    let mut set_up = String::from(
        "CREATE TABLE s (id integer PRIMARY KEY); INSERT INTO s VALUES (1); \
         CREATE TABLE t (id integer PRIMARY KEY);",
    );
    let (mut protect, mut sql) = (String::new(), String::new());
    for (at, change) in changes.iter().enumerate() {
        for (name, is_changed) in [(format!("p{at}"), true), (format!("q{at}"), false)] {
            let rows: Vec<String> =
                (1..=5).map(|id| format!("({id}, {})", change.values)).collect();
            set_up.push_str(&format!(
                "CREATE TABLE {name} (id integer PRIMARY KEY, {}); INSERT INTO {name} VALUES {};",
                change.columns,
                rows.join(", ")
            ));
            protect.push_str(&format!("[[protect]]\ntable = \"{name}\"\n"));
            // A row that is written again as it is has not changed.
            let same = "UPDATE {t} SET a = a, b = b".to_owned();
            let statement = if is_changed { change.sql.to_owned() } else { same };
            sql.push_str(&statement.replace("{t}", &name));
            sql.push_str(";\n");
        }
    }
    database.sql(&set_up);
    let url = database.url();
    world.write(
        "p.toml",
        &format!(
            "name = \"p\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n{protect}\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n\
             [[step]]\nname = \"meddle\"\nsql = '''\n{sql}'''\n"
        ),
    );
    let ran = world.run(&["run", "p.toml", "--json"]).code(3);
    let found = ran.events("protect_finished");
    assert_eq!(found.len(), changes.len() * 2);
    for (at, change) in changes.iter().enumerate() {
        let of = |name: String| found.iter().find(|event| event["table"] == name).unwrap().clone();
        let changed = of(format!("p{at}"));
        assert_eq!(changed["ok"], false, "not found: {} on {}", change.sql, change.values);
        let keys: Vec<String> = changed["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|difference| difference["key"].to_string().replace('"', ""))
            .collect();
        assert!(keys.contains(&change.key.to_owned()), "{}: {keys:?}", change.sql);
        assert_eq!(of(format!("q{at}"))["ok"], true, "a false alarm: {}", change.values);
    }
}

#[test]
fn every_change_to_a_protected_table_of_postgres() {
    let changes: Vec<&Change> = ALL.iter().chain(POSTGRES).collect();
    detects(&changes, Db::Postgres);
}

#[test]
fn every_change_to_a_protected_table_of_sqlite() {
    let changes: Vec<&Change> = ALL.iter().chain(SQLITE).collect();
    detects(&changes, Db::Sqlite);
}

#[test]
fn every_change_to_a_protected_table_of_mariadb() {
    let changes: Vec<&Change> = ALL.iter().chain(MARIADB).collect();
    detects(&changes, Db::Mariadb);
}
