//! Several processes on one run: helpers, the frozen and the dead, and everybody at once.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Ran, World, ran};
use crate::pair::{Db, Pair, plan};

const ROWS: u32 = 1200;

/// A throttled plan with many chunks.
fn write_plan(pair: &Pair, rows_per_second: u32) {
    let options = format!(
        "[defaults]\nbatch_rows = 20\nworkers = 3\n[throttle]\nrows_per_second = {rows_per_second}"
    );
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, &options));
}

fn spawn(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Waits until the ledger holds at least `count` batches.
#[track_caller]
pub fn wait_for_batches(pair: &Pair, count: u32) {
    let begun = Instant::now();
    let ask = format!("SELECT count(*) >= {count} FROM {}", pair.ledger("batches"));
    let exists = match (&pair.postgres, &pair.mariadb) {
        (Some(_), _) => "SELECT count(*) FROM pg_tables WHERE schemaname = 'tablelift'",
        (_, Some(_)) => {
            "SELECT count(*) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'tablelift_runs'"
        }
        _ => "SELECT count(*) FROM sqlite_master WHERE name = 'tablelift_batches'",
    };
    loop {
        if pair.rows(exists) != ["0"] && ["t", "1"].contains(&pair.rows(&ask)[0].as_str()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "there never were {count} batches");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many processes claimed chunks.
fn owners(pair: &Pair) -> Vec<String> {
    pair.rows(&format!("SELECT DISTINCT owner FROM {}", pair.ledger("chunks")))
}

#[test]
fn helpers_share_the_chunks_of_a_run() {
    for pair in [Pair::new(ROWS, true, true), Pair::new(ROWS, false, true)] {
        write_plan(&pair, 300);
        let first = spawn(&pair.world, &["run", "p.toml"]);
        wait_for_batches(&pair, 2);
        let helpers: Vec<Child> =
            (0..2).map(|_| spawn(&pair.world, &["run", "p.toml", "--join"])).collect();
        end(first).ok();
        for helper in helpers {
            let said = end(helper).ok().err;
            assert!(said.contains("helping a run that another process conducts"), "{said}");
        }
        pair.holds(ROWS, "three processes");
        assert!(owners(&pair).len() >= 2, "{:?}", owners(&pair));
        let left = pair.rows(&format!("SELECT count(*) FROM {}", pair.ledger("runners")));
        assert_eq!(left, ["0"], "everybody has taken leave");
    }
}

#[test]
fn processes_that_all_join_at_once_agree_on_a_conductor() {
    for pair in Pair::all(400) {
        write_plan(&pair, 800);
        let all: Vec<Child> =
            (0..5).map(|_| spawn(&pair.world, &["run", "p.toml", "--join"])).collect();
        for one in all {
            end(one).ok();
        }
        pair.holds(400, "five at once");
        let lease = pair.rows(&format!("SELECT epoch FROM {}", pair.ledger("lease")));
        assert_eq!(lease, ["1"], "one conducted from the beginning to the end");
    }
}

#[test]
fn of_runners_started_at_once_one_works_and_the_others_are_told() {
    for round in 0..2 {
        for pair in Pair::all(200) {
            write_plan(&pair, 80);
            let all: Vec<Child> = (0..5).map(|_| spawn(&pair.world, &["run", "p.toml"])).collect();
            let mut codes: Vec<i32> = all.into_iter().map(|one| end(one).code).collect();
            codes.sort_unstable();
            assert_eq!(codes, [0, 4, 4, 4, 4], "round {round}");
            pair.holds(200, "one of five");
        }
    }
}

#[test]
fn the_conductors_death_is_taken_over_by_a_helper() {
    for pair in Pair::all(ROWS) {
        write_plan(&pair, 500);
        let mut first = spawn(&pair.world, &["run", "p.toml"]);
        wait_for_batches(&pair, 2);
        let helper = spawn(&pair.world, &["run", "p.toml", "--join"]);
        std::thread::sleep(Duration::from_millis(600));
        first.kill().unwrap();
        assert_eq!(first.wait().unwrap().code(), None, "the kill landed");
        let said = end(helper).ok().err;
        assert!(said.contains("this one takes its place"), "{said}");
        pair.holds(ROWS, "the helper conducted");
        let lease = pair.rows(&format!("SELECT epoch FROM {}", pair.ledger("lease")));
        assert_eq!(lease, ["2"], "the plan was taken over once");
    }
}

#[test]
fn the_chunks_of_a_dead_helper_are_taken_up() {
    let pair = Pair::new(ROWS, true, true);
    write_plan(&pair, 300);
    let first = spawn(&pair.world, &["run", "p.toml"]);
    wait_for_batches(&pair, 2);
    let mut helper = spawn(&pair.world, &["run", "p.toml", "--join", "--lease", "2"]);
    let begun = Instant::now();
    while owners(&pair).len() < 3 {
        // The open chunks that nobody has yet count as one owner.
        assert!(begun.elapsed() < Duration::from_secs(15), "the helper never claimed");
    }
    helper.kill().unwrap();
    assert_eq!(helper.wait().unwrap().code(), None, "the kill landed");
    end(first).ok();
    pair.holds(ROWS, "without the helper");
}

#[test]
fn a_frozen_conductor_is_taken_over_and_can_write_nothing_when_it_wakes() {
    for (source, target) in
        [(Db::Postgres, Db::Postgres), (Db::Sqlite, Db::Postgres), (Db::Mariadb, Db::Mariadb)]
    {
        let pair = Pair::new(400, source, target);
        write_plan(&pair, 100);
        let frozen = spawn(&pair.world, &["run", "p.toml", "--lease", "3"]);
        wait_for_batches(&pair, 3);
        signal(&frozen, "STOP");
        pair.world.run(&["run", "p.toml"]).code(4);
        std::thread::sleep(Duration::from_millis(3300));
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(400, "taken over");
        signal(&frozen, "CONT");
        let woken = end(frozen);
        assert_eq!(woken.code, 4, "{}\n{}", woken.out, woken.err);
        pair.holds(400, "after it woke");
    }
}

#[test]
fn a_frozen_conductor_of_a_sqlite_target_is_taken_over_between_its_batches() {
    let pair = Pair::new(400, false, false);
    write_plan(&pair, 200);
    let frozen = spawn(&pair.world, &["run", "p.toml", "--lease", "3"]);
    wait_for_batches(&pair, 3);
    signal(&frozen, "STOP");
    std::thread::sleep(Duration::from_millis(3300));
    pair.world.run(&["run", "p.toml"]).ok();
    signal(&frozen, "CONT");
    end(frozen).code(4);
    pair.holds(400, "after it woke");
}

#[test]
fn a_frozen_helper_loses_its_chunks_and_goes_on_with_others() {
    let pair = Pair::new(ROWS, true, true);
    write_plan(&pair, 250);
    let first = spawn(&pair.world, &["run", "p.toml"]);
    wait_for_batches(&pair, 2);
    let helper = spawn(&pair.world, &["run", "p.toml", "--join", "--lease", "1"]);
    let begun = Instant::now();
    while owners(&pair).len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(15), "the helper never claimed");
    }
    signal(&helper, "STOP");
    end(first).ok();
    pair.holds(ROWS, "without the frozen helper");
    signal(&helper, "CONT");
    end(helper).ok();
    pair.holds(ROWS, "after it woke");
}

#[test]
fn a_rollback_waits_for_nobody_and_helpers_stop() {
    let pair = Pair::new(ROWS, true, true);
    write_plan(&pair, 300);
    let mut first = spawn(&pair.world, &["run", "p.toml"]);
    wait_for_batches(&pair, 3);
    pair.world.run(&["rollback", "p.toml", "--yes"]).code(4);
    first.kill().unwrap();
    first.wait().unwrap();
    pair.world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(pair.rows("SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn a_ledger_that_went_back_is_believed() {
    // As after a failover to a standby that lacks the last batches: rows and ledger are both
    // those of some moments ago, under the feet of a run that goes on.
    let pair = Pair::new(600, false, true);
    let options = "[defaults]\nbatch_rows = 20\nworkers = 1\n[throttle]\nrows_per_second = 300";
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
    let mut command = pair.world.command(&["run", "p.toml", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_batches(&pair, 6);
    let database = pair.postgres.as_ref().unwrap();
    let back = "SET lock_timeout = '200ms'; BEGIN; \
        SELECT 1 FROM tablelift.chunks WHERE step = 'copy' FOR UPDATE NOWAIT; \
        CREATE TEMP TABLE gone AS SELECT * FROM tablelift.batches WHERE step = 'copy' \
          ORDER BY seq DESC LIMIT 3; \
        DELETE FROM t USING gone g WHERE id > (g.after_key::jsonb->>0)::int \
          AND id <= (g.last_key::jsonb->>0)::int; \
        DELETE FROM tablelift.batches b USING gone g WHERE b.step = 'copy' AND b.seq = g.seq; \
        UPDATE tablelift.chunks SET seq = (SELECT min(seq) FROM gone), \
          pos = (SELECT after_key FROM gone ORDER BY seq LIMIT 1) WHERE step = 'copy'; \
        COMMIT; SELECT count(*) FROM gone";
    let mut went_back = false;
    for _ in 0..50 {
        signal(&child, "STOP");
        let mut psql = Command::new("psql");
        psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", back, &database.url]);
        went_back = psql.output().unwrap().status.success();
        signal(&child, "CONT");
        if went_back {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(went_back, "the ledger was never set back");
    let run = end(child).ok();
    let said = run.events("batch_retried");
    assert!(
        said.iter().any(|event| event["reason"].to_string().contains("the ledger is at batch"))
    );
    pair.holds(600, "after the ledger went back");
}
