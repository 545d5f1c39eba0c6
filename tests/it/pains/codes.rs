//! Exit codes that tell the truth.

use super::{TABLE, Two, filled};
use crate::common::{Db, Ran};

/// Ways to fail: name, what stands before the step, what stands in it, what follows, exit code.
const WAYS: &[(&str, &str, &str, &str, i32)] = &[
    ("no trouble", "", "", "", 0),
    ("no such table", "", "", "[[step]]\nname = \"x\"\ncopy = \"nope\"\ninto = \"t\"\n", 2),
    ("no such column", "", "[step.columns]\nid = \"nope\"\n", "", 2),
    ("unknown key", "", "bach_rows = 5\n", "", 2),
    (
        "a bad row",
        "",
        "[step.columns]\nid = \"id\"\nname = { from = \"name\", map = { n1 = \"a\" } }\n",
        "",
        1,
    ),
    (
        "part of the rows refused",
        "[defaults]\nmax_rejects = 5\n",
        "[step.columns]\nid = \"id\"\nname = { from = \"name\", map = { n1 = \"a\" } }\n",
        "",
        1,
    ),
    (
        "statement fails",
        "",
        "",
        "[[step]]\nname = \"x\"\nsql = \"INSERT INTO t (id) VALUES (1)\"\n",
        1,
    ),
    (
        "transaction is ended by the plan's own SQL",
        "",
        "",
        "[[step]]\nname = \"x\"\nsql = \"INSERT INTO t (id) VALUES (77); ROLLBACK\"\n",
        1,
    ),
    (
        "transaction is committed by the plan's own SQL",
        "",
        "",
        "[[step]]\nname = \"x\"\nsql = \"INSERT INTO t (id) VALUES (78); COMMIT\"\n",
        1,
    ),
    ("rows come short", "", "expect = { source = 31 }\n", "", 3),
    ("target ends short", "", "expect = { after = 31 }\n", "", 3),
    ("target is not empty", "", "expect = { before = 1 }\n", "", 3),
    (
        "check fails",
        "",
        "",
        "[[check]]\nname = \"c\"\nsql = \"SELECT count(*) FROM t\"\nvalue = 31\n",
        3,
    ),
    (
        "check can't be asked",
        "",
        "",
        "[[check]]\nname = \"c\"\nsql = \"SELECT nope FROM t\"\nvalue = 31\n",
        3,
    ),
    (
        "protected rows change",
        "[[protect]]\ntable = \"kept\"\n",
        "",
        "[[step]]\nname = \"x\"\nsql = \"UPDATE kept SET id = 2\"\n",
        3,
    ),
];

#[test]
fn p02_each_way_to_fail_has_its_exit_code() {
    for db in Db::ALL {
        let two = Two::new(if db == Db::Sqlite { Db::Postgres } else { Db::Sqlite }, db);
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=30)));
        for (at, (name, head, step, after, code)) in WAYS.iter().enumerate() {
            two.target.sql(&format!(
                "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS kept; CREATE TABLE t {TABLE};
                 CREATE TABLE kept (id bigint PRIMARY KEY); INSERT INTO kept VALUES (1)"
            ));
            two.plan(head, &format!("{step}{after}"));
            let plan = std::fs::read_to_string(two.world.path("p.toml")).unwrap();
            two.world.write("p.toml", &plan.replace("\"pain\"", &format!("\"pain-{at}\"")));
            let ran = two.world.run(&["run", "p.toml"]);
            let said = |ran: &Ran| format!("{db:?}, {name}: {}{}", ran.out, ran.err);
            assert_eq!(ran.code, *code, "{}", said(&ran));
            assert!(*code == 0 || !ran.err.is_empty(), "{}", said(&ran));
            if *code == 2 {
                assert_eq!(two.target.rows("SELECT count(*) FROM t"), ["0"], "{}", said(&ran));
            }
            if *code == 1 {
                // It stays so until something is done about it.
                two.world.run(&["run", "p.toml"]).code(1);
                assert_ne!(two.one("SELECT count(*) FROM t WHERE id = 78"), "2", "{}", said(&ran));
            }
        }
    }
}

/// Whoever may not read, or not write, is told, and nothing is called done.
#[test]
fn p02_access_denied_is_not_success() {
    let two = Two::new(Db::Postgres, Db::Postgres);
    two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=30)));
    two.target.sql(&format!("CREATE TABLE t {TABLE}"));
    let role = format!("tl_pain_{}", std::process::id());
    for store in [&two.source, &two.target] {
        let name = store.url();
        let name = name.rsplit('/').next().unwrap();
        store.sql(&format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
             GRANT CREATE ON DATABASE \"{name}\" TO {role}"
        ));
    }
    let text = |source: &str, target: &str| {
        format!(
            "name = \"pain\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
             [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n"
        )
    };
    let (source, target) = (two.source.url(), two.target.url());
    let guest = |url: &str| url.replace("dba@", &format!("{role}@"));
    for (from, to) in [(guest(&source), target.clone()), (source, guest(&target))] {
        two.world.write("p.toml", &text(&from, &to));
        let ran = two.world.run(&["run", "p.toml"]);
        assert!([1, 2].contains(&ran.code), "{} {}", ran.code, ran.err);
        assert!(
            ran.err.contains("permission denied") || ran.err.contains("privilege"),
            "{}",
            ran.err
        );
        assert_eq!(two.target.rows("SELECT count(*) FROM t"), ["0"]);
    }
    for store in [&two.source, &two.target] {
        store.sql(&format!("DROP OWNED BY {role} CASCADE"));
    }
    two.source.sql(&format!("DROP ROLE {role}"));
}

/// Somebody deletes a row of the target while the engine copies, and later after it was done.
#[test]
fn p03_a_row_that_is_gone_is_missed() {
    for two in Two::some() {
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=500)));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        two.plan("[defaults]\nbatch_rows = 20\nworkers = 1\n[throttle]\nrows_per_second = 600", "");
        let mut child = two.start();
        two.wait_for_rows(60);
        two.target.sql("DELETE FROM t WHERE id = 1");
        assert_eq!(child.wait().unwrap().code(), Some(3), "{}", two.what);
        let said = std::fs::read_to_string(two.world.path("err")).unwrap();
        assert!(said.contains("500") && said.contains("499"), "{}: both numbers: {said}", two.what);
        let ran = two.world.run(&["verify", "p.toml"]).code(3);
        assert!(ran.out.contains("not finished: copy"), "{}: {}", two.what, ran.out);

        two.target.sql("INSERT INTO t VALUES (1, 'n1')");
        two.world.run(&["run", "p.toml"]).ok();
        two.world.run(&["verify", "p.toml"]).ok();
        two.target.sql("DELETE FROM t WHERE id = 500");
        two.world.run(&["verify", "p.toml"]).code(3);
    }
}
