//! `verify` by content: every change behind the copy's back is found, by key, column and both
//! values; a faithful copy makes no alarm.

mod ways;

use serde_json::{Value as Json, json};

use crate::common::{Db, Store, World};
use crate::protect_detects::{ALL, Change, MARIADB, POSTGRES, SQLITE};

/// Keys that one change has for itself.
const KEYS: i64 = 100;

/// SQL of a change with its keys moved to its own ones.
fn moved(sql: &str, by: i64) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) =
        ["id = ", "VALUES ("].iter().filter_map(|word| Some(rest.find(word)? + word.len())).min()
    {
        let (head, tail) = rest.split_at(at);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        out.push_str(&format!("{head}{}", tail[..digits].parse::<i64>().unwrap() + by));
        rest = &tail[digits..];
    }
    out + rest
}

/// Changes by the columns of their table, each with the first of its keys.
fn tables<'c>(changes: &[&'c Change]) -> Vec<(&'static str, Vec<(i64, &'c Change)>)> {
    let mut out: Vec<(&'static str, Vec<(i64, &Change)>)> = Vec::new();
    for change in changes {
        let at = out.iter().position(|(columns, _)| *columns == change.columns);
        let at = at.unwrap_or_else(|| {
            out.push((change.columns, Vec::new()));
            out.len() - 1
        });
        let first = out[at].1.len() as i64 * KEYS;
        out[at].1.push((first, change));
    }
    out
}

/// Copies rows for each change, makes it, and writes other rows again as they are.
fn detects(changes: &[&Change], from: Db, to: Db, joint: bool) {
    let world = World::new();
    let target = Store::new(to, &world);
    let other = (!joint).then(|| match from {
        Db::Sqlite => Store::Sqlite(world.path("s.db")),
        db => Store::new(db, &world),
    });
    let source = other.as_ref().unwrap_or(&target);
    let [mut old, mut new, mut steps, mut change] = [const { String::new() }; 4];
    let tables = tables(changes);
    for (at, (columns, changes)) in tables.iter().enumerate() {
        let ids = |first: &i64| (first + 1)..=(first + 5);
        let rows: Vec<String> = changes
            .iter()
            .flat_map(|(first, one)| ids(first).map(move |id| format!("({id}, {})", one.values)))
            .collect();
        old += &format!(
            "CREATE TABLE s{at} (id integer PRIMARY KEY, {columns}); INSERT INTO s{at} VALUES {};",
            rows.join(", ")
        );
        new += &format!("CREATE TABLE t{at} (id integer PRIMARY KEY, {columns});");
        steps += &format!("[[step]]\nname = \"t{at}\"\ncopy = \"s{at}\"\ninto = \"t{at}\"\n");
        change += &format!("UPDATE t{at} SET a = a, b = b;\n");
        for (first, one) in changes {
            change += &format!("{};\n", moved(&one.sql.replace("{t}", &format!("t{at}")), *first));
        }
    }
    source.sql(&old);
    target.sql(&new);
    world.write("p.toml", &plan(source, &target, &steps));
    world.run(&["run", "p.toml"]).ok();
    let ran = world.run(&["verify", "p.toml", "--json"]).ok();
    assert_eq!(ran.events("row_differs").len(), 0);
    target.sql(&change);
    let ran = world.run(&["verify", "p.toml", "--json", "--recheck", "0"]).code(3);
    let differences = ran.events("row_differs");
    for (at, (_, changes)) in tables.iter().enumerate() {
        let step = format!("t{at}");
        for (first, change) in changes {
            let what = format!("{from:?} to {to:?}: {} on {}", change.sql, change.values);
            let of = |event: &&Json| {
                let key = event["key"].as_i64().unwrap();
                event["step"] == step && (*first..first + KEYS).contains(&key)
            };
            let found: Vec<&Json> = differences.iter().filter(of).collect();
            let key = change.key.parse::<i64>().unwrap() + first;
            assert!(found.iter().any(|event| event["key"] == key), "not found: {what}: {found:?}");
            let deletes = change.sql.contains("DELETE") || change.sql.contains("SET id");
            let inserts = change.sql.contains("INSERT") || change.sql.contains("SET id");
            let count = |class: &str| found.iter().filter(|event| event["class"] == class).count();
            assert_eq!(count("missing"), usize::from(deletes), "{what}: {found:?}");
            assert_eq!(count("extra"), usize::from(inserts), "{what}: {found:?}");
            assert_eq!(count("different"), usize::from(!deletes && !inserts), "{what}: {found:?}");
        }
    }
}

#[test]
fn every_change_inside_one_postgres() {
    let changes: Vec<&Change> = ALL.iter().chain(POSTGRES).collect();
    detects(&changes, Db::Postgres, Db::Postgres, true);
}

#[test]
fn every_change_between_two_of_postgres() {
    let changes: Vec<&Change> = ALL.iter().chain(POSTGRES).collect();
    detects(&changes, Db::Postgres, Db::Postgres, false);
}

#[test]
fn every_change_between_two_of_sqlite() {
    let changes: Vec<&Change> = ALL.iter().chain(SQLITE).collect();
    detects(&changes, Db::Sqlite, Db::Sqlite, false);
}

#[test]
fn every_change_between_two_of_mariadb() {
    let changes: Vec<&Change> = ALL.iter().chain(MARIADB).collect();
    detects(&changes, Db::Mariadb, Db::Mariadb, false);
}

#[test]
fn every_change_from_one_kind_to_another() {
    let changes: Vec<&Change> = ALL.iter().collect();
    for (from, to) in
        [(Db::Sqlite, Db::Postgres), (Db::Postgres, Db::Mariadb), (Db::Mariadb, Db::Sqlite)]
    {
        detects(&changes, from, to, false);
    }
}

/// A plan of one step over both ends.
fn plan(source: &Store, target: &Store, step: &str) -> String {
    format!(
        "name = \"p\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
         [defaults]\nbatch_rows = 1000\nworkers = 2\n{step}",
        source.url(),
        target.url()
    )
}

const FOLD: &str = "[[step]]\nname = \"fold\"\ncopy = \"old\"\ninto = \"new\"\n\
                    [step.columns]\nid = \"id\"\nname = \"name\"\ndata = { json = \"*\" }\n";

/// Ten thousand rows of three columns, to be folded into `new`.
fn thousands(source: &Store, target: &Store, key: &str) {
    let rows: Vec<String> =
        (1..=10_000).map(|id| format!("({0}, 'name {id}', {id})", id_of(id, key))).collect();
    source.sql(&format!(
        "CREATE TABLE old (id {key} PRIMARY KEY, name varchar(40), size integer);
         INSERT INTO old VALUES {};",
        rows.join(",")
    ));
    target.sql(&format!("CREATE TABLE new (id {key} PRIMARY KEY, name varchar(40), data json)"));
}

fn id_of(id: u32, key: &str) -> String {
    if key == "integer" { (id * 3).to_string() } else { format!("'k{}'", id * 3) }
}

#[test]
fn one_changed_one_deleted_and_one_added_are_exactly_named() {
    for (from, to, joint, key) in [
        (Db::Postgres, Db::Postgres, true, "integer"),
        (Db::Postgres, Db::Postgres, false, "integer"),
        (Db::Postgres, Db::Postgres, false, "varchar(20)"),
        (Db::Postgres, Db::Postgres, true, "varchar(20)"),
        (Db::Sqlite, Db::Mariadb, false, "integer"),
        (Db::Mariadb, Db::Sqlite, false, "varchar(20)"),
    ] {
        let what = format!("{from:?} to {to:?}, {key}");
        let world = World::new();
        let target = Store::new(to, &world);
        let other = (!joint).then(|| match from {
            Db::Sqlite => Store::Sqlite(world.path("s.db")),
            db => Store::new(db, &world),
        });
        let source = other.as_ref().unwrap_or(&target);
        thousands(source, &target, key);
        world.write("p.toml", &plan(source, &target, FOLD));
        world.run(&["run", "p.toml"]).ok();
        let clean = world.run(&["verify", "p.toml", "--json"]).ok();
        let proof = &clean.events("step_verified")[0];
        assert_eq!(proof["compared"], 10_000, "{what}: {proof}");
        let (changed, gone, added) = (id_of(77, key), id_of(5000, key), id_of(10_001, key));
        target.sql(&format!(
            "UPDATE new SET name = 'Name 77' WHERE id = {changed};
             DELETE FROM new WHERE id = {gone};
             INSERT INTO new VALUES ({added}, 'x', '{{}}');"
        ));
        let ran = world.run(&["verify", "p.toml", "--json"]).code(3);
        let mut found: Vec<(String, String)> = ran
            .events("row_differs")
            .iter()
            .map(|event| (event["class"].to_string(), event["key"].to_string()))
            .map(|(class, key)| (class.replace('"', ""), key.replace('"', "'")))
            .collect();
        found.sort();
        let expected = [("different", changed), ("extra", added), ("missing", gone)];
        let expected = expected.map(|(class, key)| (class.to_owned(), key));
        assert_eq!(found, expected, "{what}: {}", ran.out);
        let all = ran.events("row_differs");
        let different = all.iter().find(|event| event["class"] == "different").unwrap();
        let cell = json!([{ "column": "name", "source": "name 77", "target": "Name 77" }]);
        assert_eq!(different["columns"], cell, "{what}");
    }
}
