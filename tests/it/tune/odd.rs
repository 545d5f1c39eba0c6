//! Indexes that can't come back, that are back already, or that lie elsewhere.

use super::{DEFER, ROLLBACK, deferred, execute, indexes, killed, names, tuned};
use crate::common::{Postgres, Ran, World};

#[test]
fn an_index_made_by_hand_meanwhile_counts_if_it_is_the_same() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "");
        let before = indexes(&pair);
        killed(&pair, &["run", "p.toml"], "after_commit:3");
        execute(&pair, "CREATE INDEX plain ON t (name)");
        pair.world.run(&["run", "p.toml"]).ok();
        assert_eq!(indexes(&pair), before);

        let pair = tuned(false, target_pg, "");
        killed(&pair, &["run", "p.toml"], "after_commit:3");
        execute(&pair, "CREATE INDEX plain ON t (data)");
        let ran = pair.world.run(&["run", "p.toml"]).code(1);
        assert!(ran.err.contains("another index is called `plain` now"), "{}", ran.err);
        assert_eq!(names(&pair).len(), before.len(), "the others are back");
        pair.world.run(&ROLLBACK).code(1);
        execute(&pair, "DROP INDEX plain");
        pair.world.run(&ROLLBACK).ok();
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn an_index_that_our_rows_keep_from_being_built_is_back_after_the_rollback() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "");
        execute(
            &pair,
            match target_pg {
                true => "CREATE INDEX odd ON t ((1 / (id - 30)))",
                false => "CREATE INDEX odd ON t (json(name))",
            },
        );
        let before = indexes(&pair);
        let ran = pair.world.run(&["run", "p.toml"]).code(1);
        assert!(ran.err.contains("the index `odd` can't be built"), "{}", ran.err);
        assert_eq!(names(&pair).len(), before.len() - 1, "the others are back");
        assert_eq!(deferred(&pair), "1");
        // While somebody could still see the deleted rows, an index can't be built without them.
        let reader = pair.postgres.as_ref().map(|database| {
            let held = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t; \
                        SELECT pg_sleep(1.2); COMMIT";
            let mut psql = std::process::Command::new("psql");
            psql.args(["-q", "-c", held, &database.url]).stdout(std::process::Stdio::null());
            psql.spawn().unwrap()
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        pair.world.run(&ROLLBACK).ok();
        assert!(reader.is_none_or(|mut reader| reader.wait().unwrap().success()));
        assert_eq!(indexes(&pair), before);
        assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"]);
    }
}

#[test]
fn what_can_not_be_built_again_stays_and_is_named() {
    let warned = |ran: &Ran, text: &str| assert!(ran.out.contains(text), "{}", ran.out);
    let (world, database) = (World::new(), Postgres::new());
    database.sql(
        "CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2); \
         CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE p PARTITION OF t DEFAULT; CREATE INDEX whole ON t (id, (id + 1)); \
         CREATE INDEX own ON p ((id + 2));",
    );
    for (into, line) in [
        ("t", "the index `whole` stays: its table is partitioned"),
        ("p", "stays: it is part of an index of the partitioned table"),
    ] {
        let url = &database.url;
        world.write(
            "p.toml",
            &format!(
                "name = \"p-{into}\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                 [[step]]\nname = \"c\"\ncopy = \"s\"\ninto = \"{into}\"\n{DEFER}\n"
            ),
        );
        let check = world.run(&["check", "p.toml"]).ok();
        warned(&check, line);
        assert_eq!(check.out.contains("would drop and rebuild: own"), into == "p");
        let before = database
            .rows("SELECT indexdef FROM pg_indexes WHERE tablename IN ('t', 'p') ORDER BY 1");
        world.run(&["run", "p.toml"]).ok();
        let after = database
            .rows("SELECT indexdef FROM pg_indexes WHERE tablename IN ('t', 'p') ORDER BY 1");
        assert_eq!(after, before);
        world.run(&ROLLBACK).ok();
    }

    let pair = tuned(false, false, "");
    let connection = rusqlite::Connection::open(pair.world.path("t.db")).unwrap();
    use rusqlite::functions::FunctionFlags as Flags;
    let flags = Flags::SQLITE_UTF8 | Flags::SQLITE_DETERMINISTIC | Flags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("own", 1, flags, |_| Ok(1)).unwrap();
    connection.execute_batch("CREATE INDEX apps ON t (own(name))").unwrap();
    drop(connection);
    let check = pair.world.run(&["check", "p.toml"]).ok();
    warned(&check, "the index `apps` stays: it can't be built again here");
    warned(&check, "would drop and rebuild: plain");
}

#[test]
fn an_index_comes_back_into_its_tablespace() {
    let pair = tuned(false, true, "");
    let database = pair.postgres.as_ref().unwrap();
    let space = format!("space_{}", std::process::id());
    database.sql(&format!(
        "SET allow_in_place_tablespaces = on; CREATE TABLESPACE {space} LOCATION ''"
    ));
    database.sql(&format!("CREATE INDEX far ON t (name, data) TABLESPACE {space}"));
    let before = indexes(&pair);
    pair.world.run(&["run", "p.toml"]).ok();
    let after = indexes(&pair);
    database.sql(&format!("DROP INDEX far; DROP TABLESPACE {space}"));
    assert_eq!(after, before);
}
