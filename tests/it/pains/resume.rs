//! Going on where it stopped, whatever stopped it and however often; and looking first.

use std::process::Command;

use super::{TABLE, Two, filled};
use crate::common::{Db, Store};

/// What must be there at the end of a copy of `1..=rows`.
#[track_caller]
fn holds(two: &Two, rows: i64) {
    let expected: Vec<String> = (1..=rows).map(|id| format!("{id}|n{id}")).collect();
    let found = two.target.rows("SELECT id, name FROM t ORDER BY id");
    assert!(found == expected, "{}: {} of {rows} rows", two.what, found.len());
    let sums = two.one("SELECT sum(read_rows), sum(inserted) FROM {l}batches");
    assert_eq!(sums, format!("{rows}|{rows}"), "{}: nothing twice", two.what);
}

fn fresh(two: &Two, rows: i64) {
    two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=rows)));
    two.target.sql(&format!("CREATE TABLE t {TABLE}"));
}

#[test]
fn p06_other_batches_workers_and_throttle_at_each_of_ten_resumes() {
    let throttles = [
        "",
        "rows_per_second = 3000",
        "batches_per_second = 90",
        "pause_between_batches = \"5ms\"",
    ];
    for two in Two::some() {
        fresh(&two, 1200);
        for at in 0..10_usize {
            let (rows, workers) = ([7, 40, 3, 25, 11][at % 5], 1 + at % 4);
            let throttle = throttles[at % 4];
            two.plan(
                &format!(
                    "[defaults]\nbatch_rows = {rows}\nworkers = {workers}\n[throttle]\n{throttle}"
                ),
                "",
            );
            two.killed("before_commit:3");
        }
        let done: i64 = two.one("SELECT count(*) FROM t").parse().unwrap();
        assert!((100..1100).contains(&done), "{}: {done} rows after ten kills", two.what);
        two.plan("[defaults]\nbatch_rows = 100\nworkers = 2", "");
        two.world.run(&["run", "p.toml"]).ok();
        holds(&two, 1200);
    }
}

#[test]
fn p07_kills_in_a_row_directly_after_resume_move_no_cursor() {
    for two in Two::some() {
        fresh(&two, 300);
        two.plan("[defaults]\nbatch_rows = 20\nworkers = 1", "");
        two.killed("after_commit:4");
        let stand = || {
            let chunks = "SELECT step, chunk, pos, seq, state FROM {l}chunks ORDER BY 1, 2";
            let mut rows = two.target.rows(&two.ledger(chunks));
            rows.extend(two.target.rows("SELECT id, name FROM t ORDER BY id"));
            rows
        };
        let before = stand();
        assert_eq!(before.iter().filter(|row| row.contains("|n")).count(), 80, "{}", two.what);
        for point in ["lease_taken", "claimed", "begun", "guarded", "before_commit"] {
            two.killed(point);
            assert_eq!(stand(), before, "{}: after {point}", two.what);
        }
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(ran.events("run_started")[0]["resumed"], true);
        holds(&two, 300);
    }
}

#[test]
fn p08_a_resume_reads_at_most_a_batch_for_each_worker_again() {
    for two in Two::some() {
        fresh(&two, 1000);
        two.plan("[defaults]\nbatch_rows = 20\nworkers = 2", "");
        two.killed("before_commit:12");
        // Two workers: the batch that was about to commit, and at most one besides.
        let batches: u64 = two.one("SELECT count(*) FROM {l}batches").parse().unwrap();
        assert!(batches >= 10, "{}: only {batches} of 11 batches stayed", two.what);
        let done: u64 = two.one("SELECT sum(read_rows) FROM {l}batches").parse().unwrap();
        let ran = two.world.run(&["run", "p.toml", "--json"]).ok();
        let again: u64 =
            ran.events("batch_committed").iter().map(|event| event["rows"].as_u64().unwrap()).sum();
        assert_eq!(again, 1000 - done, "{}", two.what);
        assert_eq!(ran.events("step_started")[0]["done_rows"], done, "{}", two.what);
        holds(&two, 1000);
    }
}

/// All that a database holds, as its own tools write it.
pub fn dump(store: &Store) -> Vec<u8> {
    let dumped = |mut command: Command| {
        let output = command.output().expect("the tool is installed with the server");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Newer versions of pg_dump begin and end with a random word.
        let lines = output.stdout.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"\\")).collect::<Vec<_>>().join(&b'\n')
    };
    match store {
        Store::Postgres(database) => {
            let mut command = Command::new("pg_dump");
            command.arg(&database.url);
            dumped(command)
        }
        Store::Mariadb(database) => {
            let (front, name) = database.url.rsplit_once('/').unwrap();
            let (user, host) = front.strip_prefix("mysql://").unwrap().split_once('@').unwrap();
            let (host, port) = host.split_once(':').unwrap();
            let mut command = Command::new("mariadb-dump");
            command.args([
                "--no-defaults",
                "--protocol=tcp",
                "--skip-dump-date",
                "--order-by-primary",
            ]);
            command.args(["--hex-blob", "--routines", "-h", host, "-P", port, "-u", user, name]);
            dumped(command)
        }
        Store::Sqlite(path) => {
            let mut all = std::fs::read(path).unwrap_or_default();
            for ending in ["-wal", "-journal"] {
                let beside = format!("{}{ending}", path.display());
                all.extend(std::fs::read(beside).unwrap_or_default());
            }
            all
        }
    }
}

#[test]
fn p11_a_dry_run_changes_nothing_in_any_state() {
    for two in Two::some() {
        fresh(&two, 200);
        two.source.sql("UPDATE s SET name = 'bad' WHERE id = 150");
        let plan = |most: u32| {
            let head = format!("[defaults]\nbatch_rows = 20\nworkers = 1\nmax_rejects = {most}");
            two.plan(&head, "[step.columns]\nid = \"id\"\nname = { from = \"name\", map = { bad = 1 }, default = \"x\" }");
        };
        two.target.sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name varchar(40) CHECK (name = 'x'))");
        let looks = |state: &str| {
            let before = (dump(&two.source), dump(&two.target));
            assert!(before.0.len() > 1000 && before.1.len() > 500, "{}: a whole dump", two.what);
            let looking: [&[&str]; 6] = [
                &["run", "p.toml", "--dry-run"],
                &["run", "p.toml", "--dry-run", "--step", "copy"],
                &["rollback", "p.toml", "--dry-run"],
                &["check", "p.toml"],
                &["check", "p.toml", "--scan"],
                &["status", "p.toml"],
            ];
            for words in looking {
                let ran = two.world.run(words);
                let expected = [0, 2, 3].contains(&ran.code);
                assert!(expected, "{} {state} {words:?}: {}", two.what, ran.err);
            }
            let after = (dump(&two.source), dump(&two.target));
            assert!(after.0 == before.0, "{}: the source, {state}", two.what);
            assert!(after.1 == before.1, "{}: the target, {state}", two.what);
        };
        plan(0);
        looks("fresh");
        two.killed("after_commit:3");
        looks("half");
        two.world.run(&["run", "p.toml"]).code(1);
        looks("failed");
        plan(1);
        two.world.run(&["run", "p.toml"]).ok();
        looks("done");
        two.world.run(&["rollback", "p.toml", "--yes"]).ok();
        looks("rolled back");
    }
}

/// A target that is not there yet is not made by looking.
#[test]
fn p11_looking_makes_no_file() {
    let two = Two::new(Db::Postgres, Db::Sqlite);
    two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=5)));
    two.plan("", "");
    two.world.run(&["run", "p.toml", "--dry-run"]).code(2);
    two.world.run(&["status", "p.toml"]);
    let names = std::fs::read_dir(two.world.dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["p.toml"]);
}
