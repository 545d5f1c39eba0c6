//! Indexes that a step drops come back exactly as they were, whatever happens and whenever; the
//! oracle is the catalog itself.

mod odd;
mod settings;

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::join::wait_for_batches;
use crate::pair::{Pair, plan};

const ON_POSTGRES: &str = r#"
CREATE SCHEMA other;
CREATE FUNCTION other.f(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)';
CREATE FUNCTION public.g(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE INDEX plain ON t (name);
CREATE INDEX "a""; drop" ON t (data);
CREATE INDEX part ON t (name) WHERE data <> 'x0';
CREATE INDEX expr ON t (lower(name), (id + 1));
CREATE INDEX incl ON t (name) INCLUDE (data) WITH (fillfactor = 70);
CREATE INDEX down ON t (data DESC NULLS LAST, id);
CREATE INDEX hashed ON t USING hash (name);
CREATE INDEX func ON t (other.f(name) COLLATE "C" text_pattern_ops);
CREATE INDEX near ON t (g(name));
COMMENT ON INDEX plain IS 'it''s \ "mine"';
ALTER INDEX expr ALTER COLUMN 2 SET STATISTICS 77;
ALTER TABLE t CLUSTER ON down;
CREATE UNIQUE INDEX uniq ON t (id, name);
ALTER TABLE t ADD CONSTRAINT apart EXCLUDE USING btree (id WITH =);
"#;

const ON_SQLITE: &str = r#"
CREATE INDEX plain ON t (name);
CREATE INDEX "a""; drop" ON t (data);
CREATE INDEX part ON t (name) WHERE data <> 'x0';
CREATE INDEX expr ON t (lower(name), id + 1);
CREATE  INDEX IF NOT EXISTS main.[brackets]  ON "t" (data COLLATE NOCASE DESC, /* odd */ id);
CREATE UNIQUE INDEX uniq ON t (id, name);
"#;

const DEFER: &str = "tune = { defer_indexes = true }";

/// Makes the indexes and writes the plan, with `tune` in its copy.
fn tuned(source_pg: bool, target_pg: bool, options: &str) -> Pair {
    let pair = Pair::new(60, source_pg, target_pg);
    execute(&pair, if target_pg { ON_POSTGRES } else { ON_SQLITE });
    write(&pair, options);
    pair
}

fn write(pair: &Pair, options: &str) {
    let text = plan(&pair.source, &pair.target, &format!("[defaults]\nbatch_rows = 9\n{options}"));
    pair.world
        .write("p.toml", &text.replace("into = \"t\"\n", &format!("into = \"t\"\n{DEFER}\n")));
}

fn execute(pair: &Pair, sql: &str) {
    match &pair.postgres {
        Some(database) => database.sql(sql),
        None => pair.world.sqlite("t.db", sql),
    }
}

/// Everything that the catalog knows of the indexes.
fn indexes(pair: &Pair) -> Vec<String> {
    pair.rows(match pair.postgres {
        Some(_) => {
            "SELECT c.relname, pg_get_indexdef(c.oid), obj_description(c.oid), c.reloptions, \
             c.reltablespace, i.indisclustered, i.indisvalid, c.relowner, \
             (SELECT string_agg(attstattarget::text, ',' ORDER BY attnum) FROM pg_attribute \
              WHERE attrelid = c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = 't'::regclass ORDER BY c.relname"
        }
        None => {
            "SELECT name, sql FROM sqlite_master WHERE tbl_name = 't' AND type = 'index' ORDER BY 1"
        }
    })
}

fn names(pair: &Pair) -> Vec<String> {
    let rows = indexes(pair);
    rows.iter().map(|row| row.split('|').next().unwrap().to_owned()).collect()
}

fn deferred(pair: &Pair) -> String {
    pair.rows(&format!("SELECT count(*) FROM {}", pair.ledger("deferred"))).remove(0)
}

fn killed(pair: &Pair, arguments: &[&str], point: &str) {
    let mut command = pair.world.command(arguments);
    let output = command.env("TABLELIFT_FAIL_POINT", point).output().unwrap();
    assert_eq!(output.status.code(), None, "{point}: the kill landed");
}

fn staying(target_pg: bool) -> &'static [&'static str] {
    if target_pg { &["apart", "t_pkey", "uniq"] } else { &["uniq"] }
}

const ROLLBACK: [&str; 3] = ["rollback", "p.toml", "--yes"];

#[test]
fn indexes_are_gone_while_the_step_runs_and_back_as_they_were() {
    for (source_pg, target_pg) in [(true, true), (false, false), (false, true), (true, false)] {
        let pair = tuned(source_pg, target_pg, "");
        let before = indexes(&pair);
        killed(&pair, &["run", "p.toml"], "after_commit:3");
        assert_eq!(names(&pair), staying(target_pg));
        let gone = before.len() - staying(target_pg).len();
        assert_eq!(deferred(&pair), gone.to_string());
        if target_pg {
            let ask = "SELECT definition FROM tablelift.deferred WHERE index_name = 'near'";
            assert!(pair.rows(ask)[0].contains("public.g("), "no search path finds another one");
        }
        let status = pair.world.run(&["status", "p.toml", "--json"]).ok().out;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["deferred"].as_array().unwrap().len(), gone, "{status}");
        assert!(pair.world.run(&["status", "p.toml"]).ok().out.contains("indexes dropped until"));

        let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(ran.events("index_rebuilt").len(), gone, "{}", ran.out);
        assert!(ran.events("indexes_deferred").is_empty(), "they were gone already");
        assert_eq!(indexes(&pair), before);
        assert_eq!(deferred(&pair), "0");
        pair.holds(60, "resumed");
        pair.world.run(&ROLLBACK).ok();
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn a_run_that_is_not_killed_says_what_it_does() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "");
        let before = indexes(&pair);
        let check = pair.world.run(&["check", "p.toml"]).ok().out;
        assert!(check.contains("would drop and rebuild: plain, a\"; drop, part, expr"), "{check}");
        let dry = pair.world.run(&["run", "p.toml", "--dry-run"]).ok().out;
        assert!(dry.contains("would drop and rebuild: plain, a\"; drop, part, expr"), "{dry}");
        assert_eq!(indexes(&pair), before, "looking changes nothing");
        let ran = pair.world.run(&["run", "p.toml"]).ok();
        assert!(ran.err.contains("until the last batch: plain, a\"; drop"), "{}", ran.err);
        assert!(ran.err.contains("copy: index plain is back in"), "{}", ran.err);
        assert_eq!(indexes(&pair), before);
    }
}

const POINTS: &[&str] = &[
    "chunks_stored",
    "indexes_dropping",
    "indexes_dropped",
    "written:3",
    "chunk_done",
    "index_building",
    "index_building:3",
    "index_back",
    "index_back:4",
    "step_done",
];

fn killed_at_points(target_pg: bool) {
    for point in POINTS {
        for takes_back in [false, true] {
            let pair = tuned(false, target_pg, "");
            let before = indexes(&pair);
            killed(&pair, &["run", "p.toml"], point);
            if takes_back {
                pair.world.run(&ROLLBACK).ok();
                assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"], "{point}");
            } else {
                pair.world.run(&["run", "p.toml"]).ok();
                pair.holds(60, point);
            }
            assert_eq!(indexes(&pair), before, "{point}, rollback {takes_back}");
            assert_eq!(deferred(&pair), "0", "{point}, rollback {takes_back}");
        }
    }
}

#[test]
fn killed_at_every_point_between_drop_and_rebuild_on_postgres() {
    killed_at_points(true);
}

#[test]
fn killed_at_every_point_between_drop_and_rebuild_on_sqlite() {
    killed_at_points(false);
}

#[test]
fn a_rollback_that_is_killed_too_leaves_them_as_they_were() {
    for target_pg in [true, false] {
        for point in ["index_building", "index_back:2", "undo_begun", "undo_step_done"] {
            let pair = tuned(false, target_pg, "");
            let before = indexes(&pair);
            killed(&pair, &["run", "p.toml"], "after_commit:4");
            killed(&pair, &ROLLBACK, point);
            pair.world.run(&ROLLBACK).ok();
            assert_eq!(indexes(&pair), before, "{point}");
            assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"], "{point}");
        }
    }
}

#[test]
fn a_step_that_fails_puts_them_back_at_once() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "workers = 1");
        let before = indexes(&pair);
        pair.world.sqlite("s.db", "INSERT INTO s VALUES (100, 'bad', 'x')");
        let ran = pair.world.run(&["run", "p.toml", "--json"]).code(1);
        assert_eq!(ran.events("indexes_deferred").len(), 1, "{}", ran.out);
        assert_eq!(indexes(&pair), before);
        assert_eq!(deferred(&pair), "0");
        // What is left to copy is copied without them again.
        write(&pair, "max_rejects = 1");
        let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(ran.events("indexes_deferred").len(), 1, "{}", ran.out);
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn a_run_that_is_interrupted_puts_them_back() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "[throttle]\nrows_per_second = 20");
        let before = indexes(&pair);
        let mut command = pair.world.command(&["run", "p.toml"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_batches(&pair, 2);
        assert_eq!(names(&pair), staying(target_pg), "another connection sees them gone");
        let pid = child.id().to_string();
        assert!(
            std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn a_rollback_asked_for_by_the_plan_ends_with_all_of_them() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "workers = 1\non_failure = \"rollback\"");
        let before = indexes(&pair);
        pair.world.sqlite("s.db", "INSERT INTO s VALUES (100, 'bad', 'x')");
        pair.world.run(&["run", "p.toml"]).code(1);
        assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"]);
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn two_steps_into_one_table_both_do_without_them() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "");
        let before = indexes(&pair);
        let path = pair.world.path("p.toml");
        let more = format!(
            "[[step]]\nname = \"more\"\nrows = [{{ id = 1, name = \"one\" }}, {{ id = 2, name = \"two\" }}]\n\
             into = \"t\"\nbatch_rows = 1\n{DEFER}\n"
        );
        let text = std::fs::read_to_string(&path).unwrap() + &more;
        std::fs::write(&path, text).unwrap();
        // 7 batches of the first step, then one of the second.
        killed(&pair, &["run", "p.toml"], "after_commit:8");
        assert_eq!(names(&pair), staying(target_pg));
        let ask = format!("SELECT DISTINCT step FROM {}", pair.ledger("deferred"));
        assert_eq!(pair.rows(&ask), ["more"]);
        pair.world.run(&["run", "p.toml"]).ok();
        assert_eq!(pair.rows("SELECT count(*) FROM t"), ["62"]);
        assert_eq!(indexes(&pair), before);
        pair.world.run(&["rollback", "p.toml", "--step", "more", "--yes"]).ok();
        assert_eq!(indexes(&pair), before);
    }
}

#[test]
fn a_helper_that_takes_the_seat_builds_what_the_dead_one_dropped() {
    let pair = tuned(false, true, "workers = 3\n[throttle]\nrows_per_second = 15");
    let before = indexes(&pair);
    let spawn = |arguments: &[&str]| {
        let mut command = pair.world.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut first = spawn(&["run", "p.toml"]);
    wait_for_batches(&pair, 1);
    let mut helper = spawn(&["run", "p.toml", "--join"]);
    let begun = Instant::now();
    while pair.rows("SELECT count(*) FROM tablelift.runners") != ["2"] {
        assert!(begun.elapsed() < Duration::from_secs(15), "the helper never came");
    }
    assert_eq!(names(&pair), staying(true));
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(helper.wait().unwrap().code(), Some(0));
    assert_eq!(indexes(&pair), before);
    pair.holds(60, "taken over");
}

#[test]
fn a_ledger_from_before_is_used_as_it_is() {
    for target_pg in [true, false] {
        let pair = tuned(false, target_pg, "");
        let before = indexes(&pair);
        killed(&pair, &["run", "p.toml"], "chunks_stored");
        execute(&pair, &format!("DROP TABLE {}", pair.ledger("deferred")));
        pair.world.run(&["status", "p.toml"]).ok();
        pair.world.run(&["run", "p.toml"]).ok();
        assert_eq!(indexes(&pair), before);
        pair.holds(60, "with a new table");
    }
}
