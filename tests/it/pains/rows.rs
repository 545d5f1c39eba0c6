//! Every row once, or named: bad ones, moving ones, those with odd keys, those that collide.

use super::{TABLE, Two, filled, json, text};
use crate::common::Db;

#[test]
fn p01_one_bad_row_in_every_tenth_batch() {
    for db in Db::ALL {
        let two = Two::new(Db::Sqlite, db);
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=2000)));
        let bad: Vec<u64> = (0..10).map(|n| n * 200 + 7).collect();
        two.source.sql("UPDATE s SET name = 'bad' WHERE id % 200 = 7");
        two.target
            .sql("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(40) CHECK (name <> 'bad'))");
        let most = |rows: u32| format!("[defaults]\nbatch_rows = 20\nmax_rejects = {rows}");
        two.plan(&most(3), "");
        let ran = two.world.run(&["run", "p.toml"]).code(1);
        assert!(ran.err.contains("max_rejects"), "{db:?}: {}", ran.err);
        two.plan(&most(10), "");
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(two.target.rows("SELECT count(*) FROM t"), ["1990"], "{db:?}");
        let figures = &ran.events("step_finished")[0];
        assert_eq!((&figures["copied"], &figures["rejected"]), (&1990.into(), &10.into()));
        let keys = "SELECT row_key FROM {l}rejects ORDER BY length(row_key), row_key";
        let expected: Vec<String> = bad.iter().map(|id| format!("[{id}]")).collect();
        assert_eq!(two.target.rows(&two.ledger(keys)), expected, "{db:?}");
    }
}

/// OFFSET would skip as many rows as are gone before it.
#[test]
fn p04_keyset_over_a_shrinking_table() {
    for two in Two::some() {
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=900)));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        two.plan("[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 700", "");
        let mut child = two.start();
        two.wait_for_rows(100);
        // Copied rows go and change; of those that are not copied yet, every ninth changes.
        two.source.sql("DELETE FROM s WHERE id <= 80 AND id % 2 = 0");
        two.source.sql("UPDATE s SET name = 'changed' WHERE id % 9 = 0");
        assert!(child.try_wait().unwrap().is_none(), "{}: it was still copying", two.what);
        assert!(child.wait().unwrap().success(), "{}", two.what);
        let ask =
            "SELECT id, name FROM t WHERE id % 9 <> 0 AND (id > 80 OR id % 2 = 1) ORDER BY id";
        let unchanged = (1..=900).filter(|id| id % 9 != 0 && (*id > 80 || id % 2 == 1));
        let expected: Vec<String> = unchanged.map(|id| format!("{id}|n{id}")).collect();
        assert_eq!(two.target.rows(ask), expected, "{}", two.what);
        assert_eq!(two.one("SELECT count(*) - count(DISTINCT id) FROM t"), "0");
    }
}

#[test]
fn p05_keys_below_one_at_both_ends_and_across_a_gap() {
    let mut keys =
        vec![i64::MIN, i64::MIN + 1, -1, 0, 1, 2, 3, 1_000_003, 1_000_004, 9_000_000_000];
    keys.push(i64::MAX);
    let keys = &keys;
    let mut expected: Vec<String> = keys.iter().map(|id| format!("{id}|n{id}")).collect();
    expected.sort();
    for two in Two::all() {
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(keys.iter().copied())));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        two.plan("[defaults]\nbatch_rows = 2\nworkers = 3", "");
        two.world.run(&["run", "p.toml"]).ok();
        let mut found = two.target.rows("SELECT id, name FROM t");
        found.sort();
        assert_eq!(found, expected, "{}", two.what);
        two.world.run(&["verify", "p.toml"]).ok();
        // The rows that nobody copied and the ones that nobody counts are the same ones.
        two.target.sql("DELETE FROM t WHERE id < 0");
        two.world.run(&["verify", "p.toml"]).code(3);
    }
}

/// `name` is unique in the target, and folds case there.
#[test]
fn p12_a_second_unique_index_drops_nothing_without_a_word() {
    for db in Db::ALL {
        let two = Two::new(Db::Sqlite, db);
        two.source.sql(&format!(
            "CREATE TABLE s {TABLE}; INSERT INTO s VALUES \
             (1, 'new'), (2, 'b'), (3, 'taken'), (4, 'd'), (5, 'B'), (6, 'f')"
        ));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        two.target.sql(match db {
            Db::Postgres => "CREATE UNIQUE INDEX u ON t (lower(name))",
            Db::Sqlite => "CREATE UNIQUE INDEX u ON t (name COLLATE NOCASE)",
            Db::Mariadb => "CREATE UNIQUE INDEX u ON t (name)",
        });
        two.target.sql("INSERT INTO t VALUES (1, 'old'), (9, 'taken')");
        two.plan("[defaults]\nworkers = 1", "");
        let ran = two.world.run(&["run", "p.toml"]).code(1);
        assert!(ran.err.contains("max_rejects"), "{db:?}: {}", ran.err);
        assert_eq!(two.one("SELECT count(*) FROM t WHERE id = 1 AND name = 'old'"), "1");
        two.world.run(&["rollback", "p.toml", "--yes"]).ok();

        two.plan("[defaults]\nmax_rejects = 5", "on_conflict = \"skip\"");
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        let figures = &ran.events("step_finished")[0];
        let counted = ["source_rows", "copied", "skipped", "rejected"].map(|name| &figures[name]);
        assert_eq!(counted, [6, 3, 1, 2], "{db:?}");
        let mut rejected: Vec<i64> =
            ran.events("row_rejected").iter().map(|event| event["key"].as_i64().unwrap()).collect();
        rejected.sort_unstable();
        assert_eq!(rejected, [3, 5], "{db:?}");
        let rows = two.target.rows("SELECT id, name FROM t ORDER BY id");
        assert_eq!(rows, ["1|old", "2|b", "4|d", "6|f", "9|taken"], "{db:?}");
    }
}

/// Only PostgreSQL refuses NUL, so it is the target.
#[test]
fn p13_a_nul_is_found_before_the_run_named_by_it_and_mapped() {
    for source in [Db::Sqlite, Db::Mariadb] {
        let two = Two::new(source, Db::Postgres);
        let (long, doc) = (text(&two.source), json(&two.source));
        let escape = if source == Db::Mariadb { "\\\\u0000" } else { "\\u0000" };
        two.source.sql(&format!(
            "CREATE TABLE s (id bigint PRIMARY KEY, note {long}, doc {doc}); INSERT INTO s VALUES \
             (1, 'fine', '[\"fine\"]'), (2, NULL, NULL), (3, 'fine', '[\"a{escape}b\"]'), (4, 'fine', '[]')"
        ));
        two.source.sql(match source {
            Db::Mariadb => "UPDATE s SET note = 'a\\0b' WHERE id = 4",
            _ => "UPDATE s SET note = 'a' || char(0) || 'b' WHERE id = 4",
        });
        two.target.sql("CREATE TABLE t (id bigint PRIMARY KEY, note text, doc jsonb)");
        two.plan("", "");
        let found = two.world.run(&["check", "p.toml", "--scan"]).code(3).out;
        for expected in ["column note: ", "has key 4)", "column doc: ", "has key 3)", "u0000"] {
            assert!(found.contains(expected), "{source:?}: {expected} in {found}");
        }
        two.plan("[defaults]\nmax_rejects = 2", "");
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        let mut rejected: Vec<String> = ran
            .events("row_rejected")
            .iter()
            .map(|event| format!("{} {}", event["key"], event["column"].as_str().unwrap()))
            .collect();
        rejected.sort();
        assert_eq!(rejected, ["3 doc", "4 note"], "{source:?}");
        two.world.run(&["rollback", "p.toml", "--yes"]).ok();

        let rule = |from: &str| {
            format!("{from} = {{ from = \"{from}\", replace = {{ \"\\u0000\" = \"\" }} }}\n")
        };
        two.plan("", &format!("[step.columns]\nid = \"id\"\n{}{}", rule("note"), rule("doc")));
        two.world.run(&["check", "p.toml", "--scan"]).ok();
        two.world.run(&["run", "p.toml"]).ok();
        let rows = two.target.rows("SELECT id, note, doc FROM t ORDER BY id");
        assert_eq!(
            rows,
            ["1|fine|[\"fine\"]", "2|∅|∅", "3|fine|[\"ab\"]", "4|ab|[]"],
            "{source:?}"
        );
        two.world.run(&["verify", "p.toml"]).ok();
    }
}
