//! Killed at named points and at random moments, a run resumes with nothing lost and nothing
//! twice. Every kill is proven to have landed; the oracle is plain SQL.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::World;
use crate::pair::{Db, Pair, plan};
use crate::random::Random;

/// Every named point of a run, some at a later hit: the first, a middle and the last batch.
pub const POINTS: &[&str] = &[
    "lease_taken",
    "baseline_taken",
    "sql_ran",
    "chunks_stored",
    "fetched",
    "fetched:5",
    "claimed",
    "begun:2",
    "guarded",
    "guarded:7",
    "mapped:3",
    "half_written",
    "half_written:4",
    "written:2",
    "written:7",
    "before_commit",
    "before_commit:4",
    "after_commit:3",
    "after_commit:7",
    "emitted",
    "chunk_done",
    "step_done",
    "verify",
    "closing",
    "closed",
];

/// Points that only a run with refused rows comes to.
pub const REJECT_POINTS: &[&str] = &["piece_refused", "piece_refused:2", "rejects_written"];

/// Points of a rollback, of a run with copied, updated and rejected rows.
const UNDO_POINTS: &[&str] = &[
    "lease_taken",
    "undo_announced",
    "undo_begun",
    "undo_begun:5",
    "undo_restored:2",
    "undo_before_commit",
    "undo_before_commit:6",
    "undo_after_commit:3",
    "undo_step_done",
    "undo_ran",
];

/// Kills the command at the point; whether it got there.
fn killed(pair: &Pair, arguments: &[&str], point: &str) -> bool {
    for _ in 0..20 {
        let mut command = pair.world.command(arguments);
        let output = command.env("TABLELIFT_FAIL_POINT", point).output().unwrap();
        let Some(code) = output.status.code() else { return true };
        eprintln!("no kill at {point}, exit {code}: {}", String::from_utf8_lossy(&output.stderr));
        // A loaded server notices late that the process before this one is gone.
        if code != 4 {
            return false;
        }
    }
    false
}

/// A run killed at each point resumes, and is taken back.
fn killed_at_points(source: impl Into<Db>, target: impl Into<Db>) {
    killed_at_some(POINTS, source, target);
}

/// The same at some of the points.
fn killed_at_some(points: &[&str], source: impl Into<Db>, target: impl Into<Db>) {
    let (source, target) = (source.into(), target.into());
    for point in points {
        let streams = source != Db::Sqlite || target != Db::Sqlite;
        if !streams && ["mapped", "half_written"].iter().any(|name| point.starts_with(name)) {
            // Between two SQLite files the database itself moves the rows.
            continue;
        }
        let pair = Pair::new(60, source, target);
        let text = plan(&pair.source, &pair.target, "[defaults]\nbatch_rows = 9\nworkers = 2");
        pair.world.write("p.toml", &text);
        assert!(killed(&pair, &["run", "p.toml"], point), "{point}: the kill landed");
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(60, point);
        pair.world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"], "{point}");
    }
}

#[test]
fn killed_at_every_named_point_postgres_to_postgres() {
    killed_at_points(true, true);
}

#[test]
fn killed_at_every_named_point_sqlite_to_sqlite() {
    killed_at_points(false, false);
}

#[test]
fn killed_at_every_named_point_sqlite_to_postgres() {
    killed_at_points(false, true);
}

#[test]
fn killed_at_every_named_point_postgres_to_sqlite() {
    killed_at_points(true, false);
}

#[test]
fn killed_at_some_points_sqlite_to_mariadb() {
    let points = ["chunks_stored", "guarded:7", "half_written:4", "before_commit", "chunk_done"];
    killed_at_some(&points, Db::Sqlite, Db::Mariadb);
}

#[test]
fn killed_at_every_named_point_mariadb_to_mariadb() {
    killed_at_points(Db::Mariadb, Db::Mariadb);
}

#[test]
fn killed_at_some_points_mariadb_to_postgres() {
    let points = ["fetched", "fetched:5", "mapped:3", "written:7", "after_commit:3"];
    killed_at_some(&points, Db::Mariadb, Db::Postgres);
}

/// 60 good rows, three that the target refuses, and an update of what was copied.
fn mixed(pair: &Pair) {
    let bad = "INSERT INTO s VALUES (4, 'bad', 'x'), (50, 'bad', 'y'), (500, 'bad', 'z')";
    pair.sql(&pair.source, bad);
    let text = plan(
        &pair.source,
        &pair.target,
        "[defaults]\nbatch_rows = 20\nworkers = 2\nmax_rejects = 3",
    );
    let update = "[[step]]\nname = \"touch\"\nupdate = \"t\"\nwhere = \"id <= 90\"\n\
                  [step.set]\ndata = { value = \"touched\" }\n";
    pair.world.write("p.toml", &format!("{text}{update}"));
}

#[track_caller]
fn mixed_holds(pair: &Pair, point: &str) {
    let expected: Vec<String> = (1..=60)
        .map(|n| match n * 3 <= 90 {
            true => format!("{}|n{n}|touched", n * 3),
            false => format!("{}|n{n}|x{}", n * 3, n % 7),
        })
        .collect();
    assert_eq!(pair.rows("SELECT id, name, data FROM t ORDER BY id"), expected, "{point}");
    let ask = format!(
        "SELECT row_key, column_name FROM {} ORDER BY length(row_key), row_key",
        pair.ledger("rejects")
    );
    let text = pair.source.starts_with("postgres");
    let key = |n: u32| if text { format!("[\"{n}\"]|name") } else { format!("[{n}]|name") };
    assert_eq!(pair.rows(&ask), [key(4), key(50), key(500)], "{point}");
}

#[test]
fn killed_among_refused_rows() {
    for point in REJECT_POINTS {
        for pair in Pair::all(60) {
            mixed(&pair);
            assert!(killed(&pair, &["run", "p.toml"], point), "{point}: the kill landed");
            pair.world.run(&["run", "p.toml"]).ok();
            mixed_holds(&pair, point);
        }
    }
}

fn rollback_killed_at_points(source: impl Into<Db>, target: impl Into<Db>) {
    let (source, target) = (source.into(), target.into());
    for point in UNDO_POINTS {
        let pair = Pair::new(60, source, target);
        mixed(&pair);
        pair.world.run(&["run", "p.toml"]).ok();
        mixed_holds(&pair, point);
        let rollback = ["rollback", "p.toml", "--yes"];
        assert!(killed(&pair, &rollback, point), "{point}: the kill landed");
        pair.world.run(&rollback).ok();
        assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"], "{point}");
        assert_eq!(pair.rows("SELECT count(*) FROM marks"), ["0"], "{point}");
        // The plan can begin anew, and ends where the first run ended.
        pair.world.run(&["run", "p.toml"]).ok();
        let again = pair.rows("SELECT count(*) FROM t");
        assert_eq!(again, ["60"], "{point}");
    }
}

#[test]
fn rollback_killed_at_every_named_point_on_postgres() {
    rollback_killed_at_points(false, true);
}

#[test]
fn rollback_killed_at_every_named_point_on_sqlite() {
    rollback_killed_at_points(false, false);
}

#[test]
fn rollback_killed_at_every_named_point_on_mariadb() {
    rollback_killed_at_points(Db::Postgres, Db::Mariadb);
}

#[test]
fn killed_at_random_moments_with_changing_batches() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    for pair in Pair::all(2000) {
        let mut landed = 0;
        for _ in 0..6 {
            let extra = format!(
                "[defaults]\nbatch_rows = {}\nworkers = {}\n[throttle]\nrows_per_second = 1500",
                10 + random.below(60),
                1 + random.below(4)
            );
            pair.world.write("p.toml", &plan(&pair.source, &pair.target, &extra));
            let mut command = pair.world.command(&["run", "p.toml"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(60 + random.below(250)));
            let _ = child.kill();
            if child.wait().unwrap().code().is_none() {
                landed += 1;
            }
        }
        assert!(landed >= 3, "only {landed} of 6 kills landed, seed {seed}");
        pair.world.write("p.toml", &plan(&pair.source, &pair.target, ""));
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(2000, &format!("seed {seed}"));
    }
}

#[test]
fn a_second_runner_is_told_so() {
    for pair in Pair::all(1500) {
        let text = plan(
            &pair.source,
            &pair.target,
            "[defaults]\nbatch_rows = 50\n[throttle]\nrows_per_second = 400",
        );
        pair.world.write("p.toml", &text);
        let mut first = pair
            .world
            .command(&["run", "p.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while pair.world.run(&["status", "p.toml", "--json"]).out.contains("\"held\":false") {
            assert!(begun.elapsed() < Duration::from_secs(20), "the first run never began");
        }
        pair.world.run(&["run", "p.toml"]).code(4);
        let _ = first.kill();
        let _ = first.wait();
    }
}

#[test]
fn signals_end_after_the_batch_in_hand() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for pair in Pair::all(1500) {
            let text = plan(
                &pair.source,
                &pair.target,
                "[defaults]\nbatch_rows = 50\n[throttle]\nrows_per_second = 500",
            );
            pair.world.write("p.toml", &text);
            let mut child = pair
                .world
                .command(&["run", "p.toml"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(700));
            let kill = std::process::Command::new("kill")
                .args([format!("-{signal}"), child.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
            assert_eq!(child.wait().unwrap().code(), Some(code));
            let status = pair.world.run(&["status", "p.toml", "--json"]).ok().out;
            assert!(status.contains("\"state\":\"stopped\""), "{status}");
            pair.world
                .write("p.toml", &plan(&pair.source, &pair.target, "[defaults]\nbatch_rows = 50"));
            pair.world.run(&["resume", "p.toml"]).ok();
            pair.holds(1500, signal);
        }
    }
}

#[test]
fn a_later_step_on_the_killed_steps_table_does_not_refuse_the_resume() {
    for hit in 1..=9 {
        let world = World::new();
        world.run(&["demo", "d", "--prepare"]).ok();
        let mut command = world.command(&["run", "d/plan.toml"]);
        let killed =
            command.env("TABLELIFT_FAIL_POINT", format!("claimed:{hit}")).output().unwrap();
        assert_eq!(killed.status.code(), None, "hit {hit}: the kill landed");
        world.run(&["run", "d/plan.toml"]).ok();
    }
}

#[test]
fn a_step_may_read_what_an_earlier_one_writes() {
    let world = World::new();
    world.sqlite(
        "t.db",
        "CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1), (2);
         CREATE TABLE b (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY);",
    );
    world.write(
        "p.toml",
        "name = \"chain\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n\
         [[step]]\nname = \"one\"\ncopy = \"a\"\ninto = \"b\"\nexpect = { source = 2, before = 0 }\n\
         [[step]]\nname = \"more\"\nsql = \"INSERT INTO c VALUES (9)\"\nundo = \"DELETE FROM c WHERE id = 9\"\n\
         [[step]]\nname = \"two\"\ncopy = \"b\"\ninto = \"c\"\nexpect = { source = 2, before = 1, after = 3 }\n\
         [[check]]\nname = \"c\"\nwhen = \"both\"\nsql = \"SELECT count(*) FROM a\"\nvalue = 2\n",
    );
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert!(ran.out.starts_with("{\"event\":\"run_started\""), "{}", ran.out);
}
