//! Rollback takes back exactly what the run wrote.

use crate::common::{Db, Store, World};

const SQL: &str = "CREATE TABLE s (id integer PRIMARY KEY, v text);
    CREATE TABLE t (id integer PRIMARY KEY, v text, w text); INSERT INTO t VALUES (-1, 'mine', 'w'), (15, 'between', NULL);";

const PLAN: &str = "[defaults]\nbatch_rows = 7\n\
    [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n\
    [[step]]\nname = \"touch\"\nupdate = \"t\"\nwhere = \"v = 'new'\"\n[step.set]\nw = { value = \"touched\" }\n";

#[test]
fn others_rows_and_changed_rows_stay() {
    for db in Db::ALL {
        let world = World::new();
        let database = Store::new(db, &world);
        let fill: Vec<String> =
            (0..50).filter(|n| n * 2 != 15).map(|n| format!("({}, 'new')", n * 2)).collect();
        let sql = format!("{SQL} INSERT INTO s VALUES {}", fill.join(","));
        database.sql(&sql);
        let url = database.url();
        let execute = |sql: &str| database.sql(sql);
        let rows = || database.rows("SELECT id, v, w FROM t ORDER BY id");
        world.write(
            "p.toml",
            &format!("name = \"rb\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n{PLAN}"),
        );
        let before = rows();
        world.run(&["run", "p.toml"]).ok();
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(rows(), before, "a row that a later step updated is known again after its undo");

        world.run(&["run", "p.toml"]).ok();
        // Others write inside our key range, change one of our rows and delete another.
        execute("INSERT INTO t VALUES (33, 'theirs', NULL)");
        execute("UPDATE t SET v = 'changed' WHERE id = 20");
        execute("DELETE FROM t WHERE id = 22");
        world.run(&["rollback", "p.toml", "--yes"]).code(3);
        assert_eq!(
            rows(),
            ["-1|mine|w", "15|between|∅", "20|changed|touched", "33|theirs|∅"],
            "{db:?}"
        );
    }
}

#[test]
fn a_run_whose_rollback_was_begun_does_not_go_on() {
    let world = World::new();
    world.sqlite("t.db", &format!("{SQL} INSERT INTO s VALUES (100, 'new'), (102, 'new')"));
    world.write(
        "p.toml",
        &format!("name = \"rb\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n{PLAN}"),
    );
    world.run(&["run", "p.toml"]).ok();
    let mut command = world.command(&["rollback", "p.toml", "--yes"]);
    let killed = command.env("TABLELIFT_FAIL_POINT", "undo_begun").output().unwrap();
    assert_eq!(killed.status.code(), None, "the process was killed");
    let ran = world.run(&["run", "p.toml"]).code(2);
    assert!(ran.err.contains("rollback"), "{}", ran.err);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(world.sqlite_rows("t.db", "SELECT id FROM t ORDER BY id"), ["-1", "15"]);
}

#[test]
fn a_copy_of_a_table_without_a_key_is_taken_back() {
    for db in Db::ALL {
        let world = World::new();
        let database = Store::new(db, &world);
        let sql = "CREATE TABLE s (id integer, v text); INSERT INTO s VALUES (1, 'a'), (2, 'b'), (NULL, 'c'); \
                   CREATE TABLE t (id integer, v text, w integer PRIMARY KEY); INSERT INTO t VALUES (0, 'mine', 0);";
        database.sql(sql);
        let url = database.url();
        world.write(
            "p.toml",
            &format!(
                "name = \"rb\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                 [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\n\
                 id = \"id\"\nv = \"v\"\nw = {{ sql = \"coalesce(id, 9)\" }}\n"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        let ask = "SELECT id, v, w FROM t";
        let rows = database.rows(ask);
        assert_eq!(rows, ["0|mine|0"], "{db:?}");
    }
}

#[test]
fn two_updates_of_one_row_are_both_taken_back() {
    for db in Db::ALL {
        let world = World::new();
        let database = Store::new(db, &world);
        let sql = format!("{SQL} INSERT INTO s VALUES (100, 'new'), (102, 'new')");
        database.sql(&sql);
        let url = database.url();
        let again =
            "[[step]]\nname = \"again\"\nupdate = \"t\"\n[step.set]\nw = { value = \"again\" }\n";
        world.write(
            "p.toml",
            &format!(
                "name = \"rb\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n{PLAN}{again}"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        let ask = "SELECT id, v, w FROM t ORDER BY id";
        let rows = database.rows(ask);
        assert_eq!(rows, ["-1|mine|w", "15|between|∅"], "{db:?}");
    }
}

#[test]
fn on_failure_rollback_takes_the_run_back() {
    let world = World::new();
    world.sqlite("t.db", &format!("{SQL} INSERT INTO s VALUES (1, 'new')"));
    world.write(
        "p.toml",
        "name = \"auto\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n[defaults]\non_failure = \"rollback\"\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n\
         [[check]]\nname = \"never\"\nsql = \"SELECT count(*) FROM t\"\nvalue = 99\n",
    );
    world.run(&["run", "p.toml"]).code(3);
    assert_eq!(world.sqlite_rows("t.db", "SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn without_yes_and_without_a_terminal_it_refuses() {
    let world = World::new();
    world.sqlite("t.db", &format!("{SQL} INSERT INTO s VALUES (1, 'new')"));
    world.write(
        "p.toml",
        &format!("name = \"ask\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n{PLAN}"),
    );
    world.run(&["run", "p.toml"]).ok();
    world.run(&["rollback", "p.toml"]).code(2);
    world.run(&["rollback", "p.toml", "--dry-run"]).ok();
    assert_eq!(world.sqlite_rows("t.db", "SELECT count(*) FROM t"), ["3"]);
}
