//! Many tables by one step, in the order of their foreign keys; what refers to itself or in a
//! circle goes in two passes.

use crate::common::{Db, Mariadb, Postgres, Store, World};

/// Five legacy tables; in the alphabet's order each foreign key points the wrong way.
const LEGACY: &str = "CREATE TABLE dh_a (id INTEGER PRIMARY KEY, b_id INTEGER, name TEXT);
    CREATE TABLE dh_b (id INTEGER PRIMARY KEY, c_id INTEGER, a_id INTEGER);
    CREATE TABLE dh_c (id INTEGER PRIMARY KEY, parent INTEGER);
    CREATE TABLE dh_tmp (id INTEGER PRIMARY KEY);
    CREATE TABLE other (id INTEGER PRIMARY KEY);
    CREATE VIEW dh_view AS SELECT * FROM dh_a;
    INSERT INTO dh_a VALUES (1, 2, 'x'), (2, 1, 'y'), (3, NULL, 'z');
    INSERT INTO dh_b VALUES (1, 3, 2), (2, 1, 1);
    INSERT INTO dh_c VALUES (1, 3), (2, 1), (3, NULL);
    INSERT INTO dh_tmp VALUES (1); INSERT INTO other VALUES (1), (2);";

/// The target: a and b refer to each other, c to itself.
const TARGET: &str = "CREATE TABLE c (id integer PRIMARY KEY, parent integer REFERENCES c (id));
    CREATE TABLE b (id integer PRIMARY KEY, c_id integer NOT NULL REFERENCES c (id), a_id integer);
    CREATE TABLE a (id integer PRIMARY KEY, b_id integer REFERENCES b (id), name varchar(9));";

fn plan(source: &str, target: &str, steps: &str) -> String {
    format!(
        "name = \"many\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 2\nworkers = 1\n{steps}"
    )
}

const ALL: &str = "[[step]]\nname = \"all\"\ncopy = \"dh_*\"\nexcept = \"dh_tmp\"\n\
                   into = \"{table|strip:dh_}\"\nexpect = { tables = 3 }\n";

#[test]
fn tables_come_in_the_order_of_their_foreign_keys() {
    for db in Db::ALL {
        let world = World::new();
        world.sqlite("old.db", LEGACY);
        let target = Store::new(db, &world);
        target.sql(TARGET);
        if db != Db::Sqlite {
            target.sql("ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a (id)");
        }
        world.write("p.toml", &plan("sqlite:old.db", &target.url(), ALL));
        world.run(&["check", "p.toml"]).ok();
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let steps: Vec<String> = ran
            .events("step_finished")
            .iter()
            .map(|event| event["step"].as_str().unwrap().to_owned())
            .collect();
        let expected: &[&str] = match db {
            Db::Sqlite => &["all/dh_c", "all/dh_c/later", "all/dh_b", "all/dh_a"],
            _ => &["all/dh_c", "all/dh_c/later", "all/dh_a", "all/dh_b", "all/dh_a/later"],
        };
        assert_eq!(steps, expected, "{db:?}");
        let rows = |sql: &str| target.rows(sql);
        assert_eq!(rows("SELECT id, b_id, name FROM a ORDER BY 1"), ["1|2|x", "2|1|y", "3|∅|z"]);
        assert_eq!(rows("SELECT id, c_id, a_id FROM b ORDER BY 1"), ["1|3|2", "2|1|1"]);
        assert_eq!(rows("SELECT id, parent FROM c ORDER BY 1"), ["1|3", "2|1", "3|∅"]);
        world.run(&["verify", "p.toml"]).ok();
        let again = world.run(&["run", "p.toml"]).ok();
        assert!(again.out.contains("4 tables") || again.out.contains("3 tables"), "{}", again.out);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        for table in ["a", "b", "c"] {
            assert_eq!(rows(&format!("SELECT count(*) FROM {table}")), ["0"], "{db:?}");
        }
    }
}

#[cfg(debug_assertions)]
#[test]
fn what_a_pattern_means_is_frozen_when_the_run_begins() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite("old.db", LEGACY);
    target.sql(TARGET);
    world.write("p.toml", &plan("sqlite:old.db", &target.url, ALL));
    let mut command = world.command(&["run", "p.toml"]);
    command.env("TABLELIFT_FAIL_POINT", "after_commit:2").output().unwrap();
    // A table that matches comes while the run is down.
    world.sqlite("old.db", "CREATE TABLE dh_late (id INTEGER PRIMARY KEY)");
    world.run(&["run", "p.toml"]).ok();
    let status = world.run(&["status", "p.toml"]).ok();
    assert!(!status.out.contains("dh_late"), "{}", status.out);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    // The next run is another one, and the plan says how many tables it means.
    let ran = world.run(&["run", "p.toml"]).code(3);
    assert!(
        ran.err.contains("expected tables = 3, found 4: dh_a, dh_b, dh_c, dh_late"),
        "{}",
        ran.err
    );
}

#[test]
fn a_step_by_name_stands_for_its_table() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite("old.db", LEGACY);
    target.sql(TARGET);
    target.sql("CREATE TABLE tmp (id int PRIMARY KEY)");
    let steps = "[[step]]\nname = \"c\"\ncopy = \"dh_c\"\ninto = \"c\"\nlater = [\"parent\"]\n\
                 [[step]]\nname = \"rest\"\ncopy = [\"dh_tmp\", \"dh_?\"]\ninto = \"{table|strip:dh_}\"\n\
                 [[check]]\nname = \"orphans\"\nsql = \"SELECT 1 FROM c WHERE parent IS NULL AND id < 3\"\nempty = true\n";
    world.write("p.toml", &plan("sqlite:old.db", &target.url, steps));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let steps: Vec<_> = ran.events("step_finished").iter().map(|e| e["step"].clone()).collect();
    assert_eq!(steps, ["c", "c/later", "rest/dh_b", "rest/dh_a", "rest/dh_tmp"]);
    let one = world.run(&["rollback", "p.toml", "--step", "rest", "--yes"]).ok();
    assert_eq!(
        target.rows("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM c)"),
        ["0|3"],
        "{}",
        one.out
    );
    world.run(&["run", "p.toml", "--step", "rest"]).ok();
    assert_eq!(target.rows("SELECT count(*) FROM a"), ["3"]);
}

#[test]
fn keys_that_the_target_makes_can_come_later_too() {
    let (world, target) = (World::new(), Mariadb::new());
    world.sqlite("old.db", LEGACY);
    target.sql(
        "CREATE TABLE c (id char(36) PRIMARY KEY, old int UNIQUE, parent char(36), FOREIGN KEY (parent) REFERENCES c (id))",
    );
    let steps = "[[step]]\nname = \"c\"\ncopy = \"dh_c\"\ninto = \"c\"\nlater = [\"parent\"]\n[step.columns]\n\
                 id = { uuid = [\"dh_c\", \"id\"] }\nold = \"id\"\nparent = { moved = \"c\", from = \"parent\" }\n";
    world.write("p.toml", &plan("sqlite:old.db", &target.url, steps));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(
        target.rows("SELECT c.old, p.old FROM c LEFT JOIN c p ON p.id = c.parent ORDER BY 1"),
        ["1|3", "2|1", "3|∅"]
    );
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(target.rows("SELECT count(*) FROM c"), ["0"]);
}

#[test]
fn circles_that_cannot_be_cut_are_refused_and_wrong_orders_are_said() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite("old.db", LEGACY);
    target.sql(TARGET);
    target.sql(
        "ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a (id), ALTER a_id SET NOT NULL;
         ALTER TABLE a ALTER b_id SET NOT NULL",
    );
    world.write("p.toml", &plan("sqlite:old.db", &target.url, ALL));
    let ran = world.run(&["check", "p.toml"]).code(2);
    assert!(ran.err.contains("the foreign keys of dh_a, dh_b form a circle"), "{}", ran.err);
    let steps = "[[step]]\nname = \"b\"\ncopy = \"dh_b\"\ninto = \"b\"\n\
                 [[step]]\nname = \"c\"\ncopy = \"dh_c\"\ninto = \"c\"\n";
    world.write("p.toml", &plan("sqlite:old.db", &target.url, steps));
    let ran = world.run(&["check", "p.toml"]).ok();
    assert!(
        ran.out.contains("c_id refers to public.c, which the later step c fills"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("public.c refers to itself (parent)"), "{}", ran.out);
    for (steps, expected) in [
        (ALL.replace("{table|strip:dh_}", "{table|stirp:dh_}"), "is none of: strip:PREFIX"),
        (ALL.replace("tables = 3", "after = 3"), "these numbers are those of one table"),
        (ALL.replace("dh_*", "xx_*"), "no table matches xx_*"),
        (format!("{ALL}later = [\"a\"]\n"), "`later` names columns of one table"),
        (
            steps.replace("\"dh_b\"\n", "\"dh_b\"\nlater = [\"nope\"]\n"),
            "`later` names no written column: `nope`",
        ),
        (steps.replace("\"dh_b\"\n", "\"dh_b\"\nlater = [\"c_id\"]\n"), "c_id: it is NOT NULL"),
    ] {
        world.write("p.toml", &plan("sqlite:old.db", &target.url, &steps));
        let ran = world.run(&["check", "p.toml"]);
        let said = ran.out + &ran.err;
        assert!(ran.code == 2 && said.contains(expected), "{expected}: {said}");
    }
}
