//! `check --scan` finds, before the run, what the target's types will refuse.

use crate::common::{Postgres, World};

fn plan(target: &str, note: &str, more: &str) -> String {
    format!(
        "name = \"scan\"\n[source]\nurl = \"sqlite:old.db\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 500\n\
         [[step]]\nname = \"kinds\"\ncopy = \"kinds\"\ninto = \"kinds\"\n\
         [[step]]\nname = \"t\"\ncopy = \"t\"\ninto = \"t\"\n{more}[step.columns]\nid = \"id\"\n\
         n = \"n\"\nnote = {note}\nkind = {{ lookup = \"kinds\", match = {{ name = \"kind\" }}, take = \"id\" }}\n"
    )
}

#[test]
fn it_names_key_and_column_first() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite(
        "old.db",
        "CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO kinds VALUES (1, 'a');
         CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, note TEXT, kind TEXT);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 6000)
         INSERT INTO t SELECT i, i, 'note ' || i, 'a' FROM c;
         UPDATE t SET note = 'a' || char(0) || 'b' WHERE id IN (4321, 5999);
         UPDATE t SET n = 'twelve' WHERE id = 6000;",
    );
    target.sql(
        "CREATE TABLE kinds (id int PRIMARY KEY, name text);
         CREATE TABLE t (id int PRIMARY KEY, n int, note text, kind int)",
    );
    let before = std::fs::read(world.path("old.db")).unwrap();
    world.write("p.toml", &plan(&target.url, "\"note\"", ""));
    world.run(&["check", "p.toml"]).ok();
    let found = world.run(&["check", "p.toml", "--scan"]).code(3);
    for expected in [
        "3 of 6000 rows would be rejected, max_rejects is 0",
        "column note: text into text: the character \\u0000 doesn't fit (2 rows, the first has key 4321)",
        "column n: text into integer",
        "(1 rows, the first has key 6000)",
        "not scanned, because an earlier step fills them: kind",
        "step kinds: 1 rows scanned, all of them fit",
    ] {
        assert!(found.out.contains(expected), "{expected}: {}", found.out);
    }
    // It looks only.
    assert_eq!(std::fs::read(world.path("old.db")).unwrap(), before);
    assert_eq!(target.rows("SELECT count(*) FROM t"), ["0"]);
    assert_eq!(target.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'tablelift'"), ["0"]);

    // What is allowed is a warning; what a rule takes care of is nothing.
    let replaced = "{ from = \"note\", replace = { \"\\u0000\" = \"\" } }";
    world.write("p.toml", &plan(&target.url, replaced, "max_rejects = 1\n"));
    let found = world.run(&["check", "p.toml", "--scan", "--json"]).ok();
    assert!(found.out.contains("1 of 6000 rows would be rejected, max_rejects is 1"));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(ran.events("row_rejected").len(), 1);
    assert_eq!(target.rows("SELECT note FROM t WHERE id = 4321"), ["ab"]);
    // A run that is done has nothing left to scan.
    world.run(&["check", "p.toml", "--scan"]).ok();
}

#[test]
fn offline_asks_no_database() {
    let world = World::new();
    let target = "postgres://127.0.0.1:1/nowhere";
    world.write("p.toml", &plan(target, "\"note\"", ""));
    world.run(&["check", "p.toml"]).code(2);
    let ran = world.run(&["check", "p.toml", "--offline"]).ok();
    assert!(ran.out.contains("no database was asked"));
    world.write("p.toml", &plan(target, "{ form = \"note\" }", ""));
    world.run(&["check", "p.toml", "--offline"]).code(2);
}
