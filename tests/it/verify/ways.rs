//! What `verify` does beside finding differences: goes on, waits, reads again, samples, makes
//! rows again, copies them again, and names what it can't compare.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{FOLD, plan, thousands};
use crate::common::{Db, Ran, Store, World};

/// A source, a target, and ten thousand rows that were copied.
struct Copied {
    world: World,
    target: Store,
    other: Option<Store>,
}

impl Copied {
    fn new(from: Db, to: Db, joint: bool, step: &str) -> Copied {
        let world = World::new();
        let target = Store::new(to, &world);
        let other = (!joint).then(|| match from {
            Db::Sqlite => Store::Sqlite(world.path("s.db")),
            db => Store::new(db, &world),
        });
        let copied = Copied { world, target, other };
        thousands(copied.source(), &copied.target, "integer");
        copied.world.write("p.toml", &plan(copied.source(), &copied.target, step));
        copied.world.run(&["run", "p.toml"]).ok();
        copied
    }

    fn source(&self) -> &Store {
        self.other.as_ref().unwrap_or(&self.target)
    }

    fn verify(&self, more: &[&str]) -> Ran {
        self.world.run(&[&["verify", "p.toml", "--json"], more].concat())
    }
}

fn proof(ran: &Ran) -> Json {
    ran.events("step_verified").remove(0)
}

/// Rows of the source that this process has looked at.
fn looked_at(ran: &Ran) -> u64 {
    ran.events("rows_compared").iter().filter_map(|event| event["rows"].as_u64()).sum()
}

/// What is named as not compared.
fn named(proof: &Json) -> Vec<String> {
    let all = proof["not_compared"].as_array().unwrap();
    all.iter().map(|one| one["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_interrupted_verify_goes_on() {
    for (from, to, joint) in [
        (Db::Postgres, Db::Postgres, true),
        (Db::Sqlite, Db::Postgres, false),
        (Db::Postgres, Db::Mariadb, false),
    ] {
        let copied = Copied::new(from, to, joint, FOLD);
        copied.target.sql("UPDATE new SET name = 'x' WHERE id = 3");
        let arguments = ["verify", "p.toml", "--json", "--workers", "2"];
        let mut command = copied.world.command(&arguments);
        let killed = command.env("TABLELIFT_FAIL_POINT", "chunk_verified:3").output().unwrap();
        assert_eq!(killed.status.code(), None, "{from:?} to {to:?}: the kill landed");
        // What the killed one held may linger on a loaded server.
        let mut ran = copied.verify(&["--workers", "2"]);
        for _ in 0..20 {
            if ran.code == 4 {
                ran = copied.verify(&["--workers", "2"]);
            }
        }
        let ran = ran.code(3);
        let rows = looked_at(&ran);
        assert!(rows < 9_000, "{from:?} to {to:?}: {rows} rows once more");
        assert_eq!(proof(&ran)["rows"], 10_000);
        assert_eq!(ran.events("row_differs").len(), 1);
        // The next one begins anew.
        assert_eq!(looked_at(&copied.verify(&[]).code(3)), 10_000);
    }
}

#[test]
fn repair_copies_rows_again_and_rollback_takes_them_back() {
    for (from, to, joint) in [
        (Db::Postgres, Db::Postgres, true),
        (Db::Postgres, Db::Postgres, false),
        (Db::Sqlite, Db::Sqlite, false),
        (Db::Sqlite, Db::Mariadb, false),
    ] {
        let what = format!("{from:?} to {to:?}");
        let copied = Copied::new(from, to, joint, FOLD);
        copied.target.sql(
            "UPDATE new SET name = 'x' WHERE id IN (3, 600); DELETE FROM new WHERE id IN (9, 12);",
        );
        let ran = copied.verify(&["--repair"]).ok();
        assert_eq!(proof(&ran)["repaired"], 4, "{what}");
        assert_eq!(ran.events("row_differs").len(), 4, "{what}");
        let ran = copied.verify(&[]).ok();
        assert_eq!(proof(&ran)["compared"], 10_000, "{what}");
        let steps = copied.world.run(&["run", "p.toml", "--json"]).ok();
        let steps = steps.events("run_finished")[0]["steps"].clone();
        assert_eq!(steps[0]["copied"], 10_000, "{what}: the copy's figures stay");
        let names = copied.target.rows("SELECT name FROM new WHERE id IN (3, 9) ORDER BY id");
        assert_eq!(names, ["name 1", "name 3"], "{what}");
        // Rows that somebody deleted are counted as gone.
        copied.world.run(&["rollback", "p.toml", "--yes"]).code(3);
        // What somebody changed before the repair is as that one left it.
        let left = copied.target.rows("SELECT id, name FROM new ORDER BY id");
        assert_eq!(left, ["3|x", "600|x"], "{what}");
    }
}

#[test]
fn rows_that_change_meanwhile_are_read_again() {
    let copied = Copied::new(Db::Postgres, Db::Postgres, false, FOLD);
    copied.target.sql("UPDATE new SET name = 'soon' WHERE id = 300");
    let ran = copied.verify(&["--recheck", "0"]).code(3);
    assert_eq!(proof(&ran)["different"], 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            copied.target.sql("UPDATE new SET name = 'name 100' WHERE id = 300");
        });
        let ran = copied.verify(&["--recheck", "20"]).ok();
        assert_eq!(proof(&ran)["compared"], 10_000);
    });
}

#[test]
fn the_throttle_holds_and_a_sample_is_a_part() {
    let copied = Copied::new(Db::Sqlite, Db::Postgres, false, FOLD);
    let ran = copied.verify(&["--sample", "10%"]).ok();
    let rows = proof(&ran)["rows"].as_u64().unwrap();
    assert!((800..1_500).contains(&rows), "{rows} rows of a sample");
    let text = std::fs::read_to_string(copied.world.path("p.toml")).unwrap();
    let limited = text.replace("[[step]]", "[throttle]\nrows_per_second = 8000\n[[step]]");
    copied.world.write("p.toml", &limited);
    let begun = Instant::now();
    let ran = copied.verify(&[]).ok();
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(!ran.events("throttled").is_empty());
    copied.target.sql("DELETE FROM new WHERE id = 3");
    copied.verify(&["--sample", "100%"]).code(3);
    copied.world.run(&["verify", "p.toml", "--sample", "0%"]).code(2);
}

#[test]
fn legacy_rows_are_made_again_from_columns_and_documents() {
    let source = "CREATE TABLE old (id integer PRIMARY KEY, name varchar(40), born timestamp(6) NULL, \
         size numeric(9,2), flag integer, doc json, half double precision, gone varchar(9), up varchar(9));
         INSERT INTO old VALUES (1, 'a\"b', '2024-01-31 10:00:00.5', 1.50, 1, '{\"k\": [1, null]}', 0.1, 'x', 'u'),
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
         (3, '', '1999-12-31 23:59:59', -0.01, 0, '[]', 1e300, '', 'v');";
    let step = "[[step]]\nname = \"fold\"\ncopy = \"old\"\ninto = \"new\"\n[step.columns]\n\
         id = \"id\"\nname = \"name\"\n\
         tag = { from = \"up\", map = { u = \"U\" }, default = \"?\" }\n\
         data = { json = \"*\", except = [\"gone\"], with = { more = { array = [\"name\"] } } }\n";
    for (from, to) in [
        (Db::Postgres, Db::Postgres),
        (Db::Mariadb, Db::Postgres),
        (Db::Sqlite, Db::Postgres),
        (Db::Postgres, Db::Sqlite),
        (Db::Postgres, Db::Mariadb),
    ] {
        let what = format!("{from:?} to {to:?}");
        let world = World::new();
        let target = Store::new(to, &world);
        let from = match from {
            Db::Sqlite => Store::Sqlite(world.path("s.db")),
            db => Store::new(db, &world),
        };
        from.sql(source);
        target.sql("CREATE TABLE new (id integer PRIMARY KEY, name varchar(40), tag varchar(9), data json)");
        world.write("p.toml", &plan(&from, &target, step));
        world.run(&["run", "p.toml"]).ok();
        let ran = world.run(&["verify", "p.toml", "--rebuild", "--json"]);
        assert_eq!(ran.code, 0, "{what}: {} {}", ran.out, ran.err);
        let proof = proof(&ran);
        let rebuilt = ["id", "name", "born", "size", "flag", "doc", "half"];
        for column in rebuilt {
            assert!(
                proof["rebuilt"].as_array().unwrap().contains(&json!(column)),
                "{what}: {proof}"
            );
        }
        let lost = named(&proof);
        assert!(lost.contains(&"source column gone".to_owned()), "{what}: {lost:?}");
        assert!(lost.contains(&"source column up".to_owned()), "{what}: {lost:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_named() {
    let world = World::new();
    let target = Store::new(Db::Postgres, &world);
    let source = Store::Sqlite(world.path("s.db"));
    source.sql("CREATE TABLE old (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO old VALUES (1, 'a'), (2, 'b'), (3, 'c');
        CREATE TABLE bare (name TEXT); INSERT INTO bare VALUES ('x'), ('x'), ('y');");
    target.sql("CREATE TABLE new (id integer PRIMARY KEY, name text, at text, state text, made timestamptz DEFAULT now());
        CREATE TABLE kinds (code text PRIMARY KEY, name text);
        CREATE TABLE bare (name text); CREATE TABLE made (id bigserial PRIMARY KEY, name text);
        CREATE TABLE full_of (id integer PRIMARY KEY, name text); INSERT INTO full_of VALUES (2, 'kept'), (9, 'theirs');");
    let steps = "[[step]]\nname = \"rows\"\ncopy = \"old\"\ninto = \"new\"\n[step.columns]\nid = \"id\"\n\
         name = \"name\"\nat = { sql = \"strftime('%f', 'now') || random()\" }\n\
         [[step]]\nname = \"kinds\"\nseed = \"kinds.csv\"\ninto = \"kinds\"\n\
         [[step]]\nname = \"state\"\nupdate = \"new\"\n[step.set]\nstate = { first = [\"name\"] }\n\
         [[step]]\nname = \"bare\"\ncopy = \"bare\"\ninto = \"bare\"\n\
         [[step]]\nname = \"made\"\ncopy = \"old\"\ninto = \"made\"\n[step.columns]\nname = \"name\"\n\
         [[step]]\nname = \"kept\"\ncopy = \"old\"\ninto = \"full_of\"\non_conflict = \"skip\"\n\
         [[step]]\nname = \"more\"\nsql = \"SELECT 1\"\n";
    world.write("kinds.csv", "code,name\na,Alpha\nb,Beta\n");
    world.write("p.toml", &plan(&source, &target, steps));
    world.run(&["run", "p.toml"]).ok();
    let ran = world.run(&["verify", "p.toml", "--json"]).ok();
    let proofs = ran.events("step_verified");
    let of = |step: &str| proofs.iter().find(|one| one["step"] == step).unwrap();
    assert_eq!(named(of("rows")), ["column at", "column state, made"]);
    let counts = [
        ("rows", 3, "ranges"),
        ("kinds", 2, "keys"),
        ("state", 3, "ranges"),
        ("bare", 3, "sums"),
        ("made", 3, "keys"),
    ];
    for (step, compared, how) in counts {
        assert_eq!(
            (&of(step)["compared"], &of(step)["how"]),
            (&json!(compared), &json!(how)),
            "{step}"
        );
    }
    assert_eq!(of("kept")["skipped"], 1);
    assert_eq!(named(of("more")), ["step more"]);
    // Each of them finds what is changed all the same.
    target.sql(
        "UPDATE kinds SET name = 'x' WHERE code = 'b'; UPDATE new SET state = 'x' WHERE id = 2;
        UPDATE bare SET name = 'y' WHERE ctid IN (SELECT min(ctid) FROM bare WHERE name = 'x');
        UPDATE made SET name = 'x' WHERE name = 'c'; INSERT INTO made (name) VALUES ('new');
        INSERT INTO full_of VALUES (10, 'new');",
    );
    let ran = world.run(&["verify", "p.toml", "--json", "--recheck", "0"]).code(3);
    let found: Vec<(Json, Json, Json)> = ran
        .events("row_differs")
        .iter()
        .map(|one| (one["step"].clone(), one["class"].clone(), one["key"].clone()))
        .collect();
    for (step, class, key) in [
        ("kinds", "different", json!(2)),
        ("state", "different", json!(2)),
        ("bare", "different", Json::Null),
        ("made", "different", json!(3)),
        ("made", "extra", json!(4)),
        ("kept", "extra", Json::Null),
    ] {
        let one = (json!(step), json!(class), key);
        assert!(found.contains(&one), "{one:?} in {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
    let said = world.run(&["verify", "p.toml"]).code(3).out;
    for word in ["not compared, step rows: column at", "step more: step more", "Beta", "is extra"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    // Nothing compared is never a pass.
    source.sql("DELETE FROM old");
    target.sql("DELETE FROM made");
    let ran = world.run(&["verify", "p.toml", "--step", "made", "--json"]).code(3);
    assert_eq!(proof(&ran)["ok"], false);
    world.run(&["verify", "p.toml", "--step", "none", "--json"]).code(2);
}

#[test]
fn what_a_rule_replaces_is_no_difference() {
    let world = World::new();
    let (source, target) = (Store::Sqlite(world.path("s.db")), Store::new(Db::Postgres, &world));
    source.sql(
        "CREATE TABLE old (id INTEGER PRIMARY KEY, name TEXT, note TEXT);
         INSERT INTO old VALUES (1, CAST(X'610062' AS TEXT), CAST(X'6300' AS TEXT)), (2, 'x', NULL);",
    );
    target.sql("CREATE TABLE new (id integer PRIMARY KEY, name text, note text)");
    let step = "[[step]]\nname = \"new\"\ncopy = \"old\"\ninto = \"new\"\n\
         [step.columns]\nid = \"id\"\nnote = { from = \"note\", replace = { \"\\u0000\" = \"\" } }\n\
         name = { from = \"name\", replace = { \"\\u0000\" = \"?\" } }\n";
    world.write("p.toml", &plan(&source, &target, step));
    world.run(&["run", "p.toml"]).ok();
    let ran = world.run(&["verify", "p.toml", "--json"]).ok();
    assert_eq!(proof(&ran)["compared"], 2);
    target.sql("UPDATE new SET name = 'ab' WHERE id = 1");
    let ran = world.run(&["verify", "p.toml", "--json"]).code(3);
    let cells = json!([{ "column": "name", "source": "a?b", "target": "ab" }]);
    assert_eq!(ran.events("row_differs")[0]["columns"], cells);
}
