//! Signals, and terminals, pipes and disks that go away: the run ends as documented or goes on,
//! and what it wrote holds.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::ran;
use crate::join::wait_for_batches;
use crate::pair::{Db, Pair, plan};

const ROWS: u32 = 600;

fn pairs() -> [Pair; 3] {
    let pair = |db: Db| Pair::new(ROWS, db, db);
    [pair(Db::Postgres), pair(Db::Sqlite), pair(Db::Mariadb)].map(|pair| {
        let options = "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 500";
        pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
        pair
    })
}

#[track_caller]
fn goes_on(pair: &Pair, what: &str) {
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, "[defaults]\nbatch_rows = 50"));
    pair.world.run(&["run", "p.toml"]).ok();
    pair.holds(ROWS, what);
}

/// Starts the run, sends the signals, gives the exit code.
fn signalled(pair: &Pair, before: &[&str], signals: &[&str]) -> Option<i32> {
    let program = crate::common::PROGRAM;
    let words: Vec<&str> = before.iter().copied().chain([program, "run", "p.toml"]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(pair.world.dir.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_batches(pair, 2);
    for signal in signals {
        let sent =
            Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait().unwrap().code()
}

#[test]
fn two_signals_end_at_once() {
    for pair in pairs() {
        let begun = Instant::now();
        assert_eq!(signalled(&pair, &[], &["INT", "INT"]), Some(130));
        assert!(begun.elapsed() < Duration::from_secs(3));
        goes_on(&pair, "INT twice");
    }
}

#[test]
fn a_terminal_that_goes_away_ends_the_run_in_order() {
    for pair in pairs() {
        assert_eq!(signalled(&pair, &[], &["HUP"]), Some(129));
        goes_on(&pair, "HUP");
    }
}

#[test]
fn under_nohup_it_stays() {
    for pair in pairs() {
        assert_eq!(signalled(&pair, &["nohup"], &["HUP"]), Some(0));
        pair.holds(ROWS, "nohup");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    for pair in pairs() {
        for arguments in [["run", "p.toml", "--json"], ["run", "p.toml", "-v"]] {
            let mut command = pair.world.command(&arguments);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            drop(child.stderr.take());
            assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
        }
        pair.holds(ROWS, "closed pipes");
    }
}

#[test]
fn a_full_disk_for_the_log_does_not_end_the_run() {
    for pair in pairs() {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = pair.world.command(&["run", "p.toml", "--json"]);
        let child = command.stdout(full()).stderr(full()).spawn().unwrap();
        ran(child.wait_with_output().unwrap()).ok();
        pair.holds(ROWS, "/dev/full");
    }
}
