//! What people see while it runs and when it ends.

use super::{TABLE, Two, filled};
use crate::common::Db;

/// Rows that come in after they were counted push no figure over the end.
#[test]
fn p24_progress_never_exceeds_its_whole() {
    for db in Db::ALL {
        let two = Two::new(db, if db == Db::Sqlite { Db::Postgres } else { Db::Sqlite });
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled((1..=300).map(|n| n * 10))));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        two.plan("[defaults]\nbatch_rows = 10\nworkers = 1", "expect = { before = 0 }");
        // One chunk is done, the rest of the keys fills up meanwhile.
        two.killed("after_commit:2");
        two.source.sql(&filled((40..300).flat_map(|n| (1..=3).map(move |d| n * 10 + d))));
        let ran = two.world.run(&["run", "p.toml", "-v"]);
        let mut seen = 0;
        for line in ran.err.lines() {
            let Some((done, rest)) =
                line.strip_prefix("copy: ").and_then(|it| it.split_once(" of "))
            else {
                continue;
            };
            let number = |text: &str| {
                let text = text.split(' ').next().unwrap().replace(',', "");
                text.parse::<u64>().unwrap()
            };
            assert!(number(done) <= number(rest), "{db:?}: {line}");
            seen += 1;
        }
        assert!(seen > 10, "{db:?}: {}", ran.err);
        let most = ran.err.matches(" of ").count();
        assert!(most >= seen, "{db:?}");
        assert!(
            two.one("SELECT count(*) FROM t").parse::<u64>().unwrap() > 300,
            "more came: {db:?}"
        );
    }
}

#[test]
fn p24_unfinished_steps_are_named_in_the_last_line() {
    for db in Db::ALL {
        let two = Two::new(Db::Sqlite, db);
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=30)));
        for table in ["t", "u", "v"] {
            two.target.sql(&format!("CREATE TABLE {table} {TABLE}"));
        }
        let more = "[[step]]\nname = \"second\"\ncopy = \"s\"\ninto = \"u\"\n\
                    [step.columns]\nid = \"id\"\nname = { from = \"name\", map = { n1 = \"a\" } }\n\
                    [[step]]\nname = \"third\"\ncopy = \"s\"\ninto = \"v\"\n";
        two.plan("", more);
        let ran = two.world.run(&["run", "p.toml", "--step", "copy"]).ok();
        assert!(ran.out.contains("2 steps left (second, third)"), "{db:?}: {}", ran.out);
        let ran = two.world.run(&["run", "p.toml"]).code(1);
        assert_eq!(ran.err.lines().last(), Some("not finished: second, third"), "{db:?}");
        let ran = two.world.run(&["run", "p.toml", "--json"]).code(1);
        let last = ran.events("run_finished").remove(0);
        assert_eq!(last["unfinished"], serde_json::json!(["second", "third"]), "{db:?}");
        let ran = two.world.run(&["verify", "p.toml"]).code(3);
        assert!(ran.out.trim().ends_with("not finished: second, third"), "{db:?}: {}", ran.out);
    }
}
