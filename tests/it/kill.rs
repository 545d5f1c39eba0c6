//! Killed at named points and at random moments, a run resumes with nothing lost and nothing
//! twice. Every kill is proven to have landed; the oracle is plain SQL.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::World;
use crate::pair::{Pair, plan};

const POINTS: &[&str] = &[
    "lease_taken",
    "baseline_taken",
    "chunks_stored",
    "claimed",
    "begun:2",
    "written:2",
    "before_commit:2",
    "after_commit:3",
    "emitted",
    "step_done",
    "verify",
    "sql_ran",
];

#[test]
fn killed_at_every_named_point() {
    for point in POINTS {
        for pair in Pair::all(60) {
            let text = plan(&pair.source, &pair.target, "[defaults]\nbatch_rows = 9\nworkers = 2");
            pair.world.write("p.toml", &text);
            let mut command = pair.world.command(&["run", "p.toml"]);
            let killed = command.env("TABLELIFT_FAIL_POINT", point).output().unwrap();
            assert_eq!(killed.status.code(), None, "{point}: the kill landed");
            pair.world.run(&["run", "p.toml"]).ok();
            pair.holds(60, point);
            pair.world.run(&["rollback", "p.toml", "--yes"]).ok();
            assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"], "{point}");
        }
    }
}

#[test]
fn killed_at_random_moments_with_changing_batches() {
    let seed = std::env::var("TABLELIFT_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TABLELIFT_TEST_SEED={seed}");
    let mut random = seed;
    let mut next = |end: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for pair in Pair::all(2000) {
        let mut landed = 0;
        for _ in 0..6 {
            let extra = format!(
                "[defaults]\nbatch_rows = {}\nworkers = {}\n[throttle]\nrows_per_second = 1500",
                10 + next(60),
                1 + next(4)
            );
            pair.world.write("p.toml", &plan(&pair.source, &pair.target, &extra));
            let mut command = pair.world.command(&["run", "p.toml"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(60 + next(250)));
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
