//! Columns of the source that come, go or change between the start of a step and its end.
#![cfg(debug_assertions)]

use std::time::Duration;

use crate::common::{Postgres, World};

fn plan(source: &str, target: &str, more: &str) -> String {
    format!(
        "name = \"shape\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 10\nworkers = 1\n{more}\
         [[step]]\nname = \"t\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\nid = \"id\"\n\
         doc = {{ json = \"*\" }}\n"
    )
}

/// A copy that died after its second batch.
fn half_way(world: &World) -> (Postgres, Postgres) {
    let (source, target) = (Postgres::new(), Postgres::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, a text, n int);
         INSERT INTO s SELECT i, 'a', i FROM generate_series(1, 40) i",
    );
    target.sql("CREATE TABLE t (id int PRIMARY KEY, doc jsonb)");
    world.write("p.toml", &plan(&source.url, &target.url, ""));
    let mut command = world.command(&["run", "p.toml"]);
    command.env("TABLELIFT_FAIL_POINT", "after_commit:2").output().unwrap();
    assert_eq!(target.rows("SELECT count(*) FROM t"), ["20"]);
    (source, target)
}

#[test]
fn a_new_column_stops_the_step_unless_the_plan_says_what_it_means() {
    for (policy, rows) in [("ignore", "0"), ("absorb", "20")] {
        let world = World::new();
        let (source, target) = half_way(&world);
        source.sql("ALTER TABLE s ADD extra text DEFAULT 'x'");
        let ran = world.run(&["run", "p.toml"]).code(2);
        assert!(ran.err.contains("the source got the column `extra`"), "{}", ran.err);
        assert!(ran.err.contains("new_columns = \"ignore\""), "{}", ran.err);
        assert_eq!(target.rows("SELECT count(*) FROM t"), ["20"]);
        let more = format!("new_columns = \"{policy}\"\n");
        world.write("p.toml", &plan(&source.url, &target.url, &more));
        world.run(&["run", "p.toml"]).ok();
        assert_eq!(target.rows("SELECT count(*) FROM t"), ["40"]);
        assert_eq!(target.rows("SELECT count(*) FROM t WHERE doc ? 'extra'"), [rows]);
    }
}

#[test]
fn a_column_that_is_gone_or_of_another_type_is_named() {
    let world = World::new();
    let (source, target) = half_way(&world);
    source.sql("ALTER TABLE s DROP a, ALTER n TYPE numeric");
    let ran = world.run(&["run", "p.toml"]).code(2);
    assert!(ran.err.contains("column `a` is gone from the source"), "{}", ran.err);
    assert!(ran.err.contains("column `n` was integer and is numeric"), "{}", ran.err);
    source.sql("ALTER TABLE s ADD a text DEFAULT 'a', ALTER n TYPE int");
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(target.rows("SELECT count(*), count(doc->>'a') FROM t"), ["40|40"]);
}

#[test]
fn a_column_that_comes_while_rows_are_read_is_seen_at_the_end() {
    let world = World::new();
    let (source, target) = half_way(&world);
    let slow = format!("{}[throttle]\nrows_per_second = 10\n", plan(&source.url, &target.url, ""));
    world.write("p.toml", &slow);
    let child = world
        .command(&["run", "p.toml"])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(20));
        if target.rows("SELECT count(*) FROM t") != ["20"] {
            break;
        }
    }
    source.sql("ALTER TABLE s ADD late int");
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("the source got the column `late`"), "{said}");
    world.write("p.toml", &plan(&source.url, &target.url, "new_columns = \"ignore\"\n"));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(target.rows("SELECT count(*) FROM t WHERE NOT doc ? 'late'"), ["40"]);
}
