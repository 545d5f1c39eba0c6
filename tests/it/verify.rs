//! `verify` by content: every change behind the copy's back is found, by key, column and both
//! values; a faithful copy makes no alarm.

use serde_json::{Value as Json, json};

use crate::common::{Db, Store, World};
use crate::protect_detects::{ALL, Change, MARIADB, POSTGRES, SQLITE};

/// Changes whose tables have a twin that is written again as it is.
const TWINS: usize = 5;

/// Tables of a change: the source's, or the target's.
fn table(at: usize, change: &Change, is_source: bool) -> String {
    let columns = change.columns;
    if !is_source {
        return format!(
            "CREATE TABLE p{at} (id integer PRIMARY KEY, {columns}); \
             CREATE TABLE q{at} (id integer PRIMARY KEY, {columns});"
        );
    }
    let rows: Vec<String> = (1..=5).map(|id| format!("({id}, {})", change.values)).collect();
    format!(
        "CREATE TABLE s{at} (id integer PRIMARY KEY, {columns}); INSERT INTO s{at} VALUES {};",
        rows.join(", ")
    )
}

/// Copies a table for each change twice, changes the one, writes the other as it is.
fn detects(changes: &[&Change], from: Db, to: Db, joint: bool) {
    let world = World::new();
    let target = Store::new(to, &world);
    let other = (!joint).then(|| match from {
        Db::Sqlite => Store::Sqlite(world.path("s.db")),
        db => Store::new(db, &world),
    });
    let source = other.as_ref().unwrap_or(&target);
    let each = |is_source: bool| -> String {
        changes.iter().enumerate().map(|(at, one)| table(at, one, is_source)).collect()
    };
    source.sql(&each(true));
    target.sql(&each(false));
    let twins = (0..TWINS).map(|at| (at, format!("q{at}")));
    let steps: String = (0..changes.len())
        .map(|at| (at, format!("p{at}")))
        .chain(twins)
        .map(|(at, name)| {
            format!("[[step]]\nname = \"{name}\"\ncopy = \"s{at}\"\ninto = \"{name}\"\n")
        })
        .collect();
    world.write(
        "p.toml",
        &format!(
            "name = \"p\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
             {steps}",
            source.url(),
            target.url()
        ),
    );
    world.run(&["run", "p.toml"]).ok();
    let ran = world.run(&["verify", "p.toml", "--json"]).ok();
    assert_eq!(ran.events("row_differs").len(), 0);
    let sql: String = changes
        .iter()
        .enumerate()
        .flat_map(|(at, change)| {
            let same = "UPDATE {t} SET a = a, b = b";
            [change.sql.replace("{t}", &format!("p{at}")), same.replace("{t}", &format!("q{at}"))]
        })
        .map(|sql| format!("{sql};\n"))
        .collect();
    target.sql(&sql);
    let ran = world.run(&["verify", "p.toml", "--json", "--recheck", "1"]).code(3);
    let differences = ran.events("row_differs");
    let of = |name: String| -> Vec<&Json> {
        differences.iter().filter(|event| event["step"] == name).collect()
    };
    for (at, change) in changes.iter().enumerate() {
        let what = format!("{from:?} to {to:?}: {} on {}", change.sql, change.values);
        let found = of(format!("p{at}"));
        let keys: Vec<String> = found.iter().map(|event| event["key"].to_string()).collect();
        assert!(keys.contains(&change.key.to_owned()), "not found: {what}: {keys:?}");
        let deletes = change.sql.contains("DELETE") || change.sql.contains("SET id");
        let inserts = change.sql.contains("INSERT") || change.sql.contains("SET id");
        let has = |class: &str| found.iter().any(|event| event["class"] == class);
        assert_eq!(has("missing"), deletes, "{what}");
        assert_eq!(has("extra"), inserts, "{what}");
        assert_eq!(has("different"), !deletes && !inserts, "{what}");
        assert!(at >= TWINS || of(format!("q{at}")).is_empty(), "a false alarm: {what}");
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
