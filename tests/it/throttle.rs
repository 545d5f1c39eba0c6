//! Rates, pauses and ends of a run, and steering it while it goes on.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Db, Ran, ran};
use crate::join::wait_for_batches;
use crate::pair::{Pair, plan};

/// Writes a plan and runs it in the background.
pub fn spawn(pair: &Pair, arguments: &[&str]) -> Child {
    let mut command = pair.world.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn end(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

pub fn write_plan(pair: &Pair, options: &str) {
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
}

/// A number that the ledger gives.
pub fn ledger_number(pair: &Pair, what: &str, table: &str) -> u64 {
    let found = pair.rows(&format!("SELECT coalesce({what}, 0) FROM {}", pair.ledger(table)));
    found[0].parse().unwrap()
}

/// No batch commits for a while.
#[track_caller]
pub fn stands_still(pair: &Pair, why: &str) {
    let before = ledger_number(pair, "count(*)", "batches");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(ledger_number(pair, "count(*)", "batches"), before, "{why}");
}

/// Waits until something is so.
#[track_caller]
pub fn waits_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} never came");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a process says that it waits for `reason`, as `tablelift throttle` shows it.
#[track_caller]
pub fn waits_for(pair: &Pair, reason: &str) {
    another_waits_for(pair, reason, "");
}

/// The same, of a process that is not `known`; its name.
#[track_caller]
fn another_waits_for(pair: &Pair, reason: &str, known: &str) -> String {
    let begun = Instant::now();
    loop {
        let out = pair.world.run(&["throttle", "p.toml", "--json"]).ok().out;
        let status: serde_json::Value = serde_json::from_str(&out).unwrap();
        for process in status["processes"].as_array().unwrap() {
            let (name, said) = (process["process"].as_str().unwrap(), &process["waits_for"]);
            if name != known && said.as_str().is_some_and(|said| said.starts_with(reason)) {
                return name.to_owned();
            }
        }
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "it never waited for {reason}: {status}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_is_paused_from_another_shell_and_stays_so_after_a_crash() {
    for (source, target) in
        [(Db::Postgres, Db::Postgres), (Db::Sqlite, Db::Sqlite), (Db::Sqlite, Db::Mariadb)]
    {
        let pair = Pair::new(900, source, target);
        write_plan(&pair, "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 300");
        let nothing = pair.world.run(&["throttle", "p.toml", "--pause"]).code(2);
        assert!(nothing.err.contains("has never run"), "{}", nothing.err);
        let mut first = spawn(&pair, &["run", "p.toml"]);
        wait_for_batches(&pair, 3);
        pair.world.run(&["throttle", "p.toml", "--pause"]).ok();
        let name = another_waits_for(&pair, "pause on", "");
        stands_still(&pair, "paused");
        first.kill().unwrap();
        first.wait().unwrap();
        let second = spawn(&pair, &["run", "p.toml", "--json"]);
        another_waits_for(&pair, "pause on", &name);
        stands_still(&pair, "paused after a crash");
        pair.world.run(&["throttle", "p.toml", "--resume", "--rows-per-second", "5000"]).ok();
        let begun = Instant::now();
        let said = end(second).ok();
        assert!(begun.elapsed() < Duration::from_secs(3), "{target:?}: the new limit holds");
        let events = said.events("throttled");
        let pause = events.iter().find(|event| event["signal"] == "pause");
        assert_eq!(pause.unwrap()["reason"], "pause on", "{}", said.out);
        pair.holds(900, "paused and resumed");
        let text = pair.world.run(&["throttle", "p.toml"]).ok().out;
        assert!(text.contains("limit 5,000 rows/s, as asked"), "{text}");
        let reset = pair.world.run(&["throttle", "p.toml", "--reset"]).ok().out;
        assert!(reset.contains("limit 300 rows/s\n"), "{reset}");
    }
}

#[test]
fn batches_change_their_size_while_a_run_goes_on() {
    for (source, target) in [(Db::Postgres, Db::Postgres), (Db::Sqlite, Db::Postgres)] {
        let pair = Pair::new(1200, source, target);
        let options = "[defaults]\nbatch_rows = 20\nworkers = 1\n[throttle]\nrows_per_second = 400";
        write_plan(&pair, options);
        let run = spawn(&pair, &["run", "p.toml"]);
        for (asked, before) in [("7", 3), ("60", 12)] {
            wait_for_batches(&pair, before);
            pair.world.run(&["throttle", "p.toml", "--batch-rows", asked]).ok();
        }
        pair.world.run(&["throttle", "p.toml", "--rows-per-second", "9000"]).ok();
        end(run).ok();
        pair.holds(1200, "batches of many sizes");
        for size in [20, 7, 60] {
            let count = format!("sum(CASE WHEN read_rows = {size} THEN 1 ELSE 0 END)");
            let found = ledger_number(&pair, &count, "batches");
            assert!(found >= 2, "{source:?}: {found} batches of {size}");
        }
    }
}

#[test]
fn two_processes_keep_to_one_budget() {
    let pair = Pair::new(2400, Db::Sqlite, Db::Postgres);
    write_plan(&pair, "[defaults]\nbatch_rows = 10\n[throttle]\nrows_per_second = 300");
    let first = spawn(&pair, &["run", "p.toml"]);
    wait_for_batches(&pair, 3);
    let helper = spawn(&pair, &["run", "p.toml", "--join"]);
    std::thread::sleep(Duration::from_millis(2500));
    let (begun, before) = (Instant::now(), ledger_number(&pair, "sum(read_rows)", "batches"));
    std::thread::sleep(Duration::from_secs(3));
    let rows = ledger_number(&pair, "sum(read_rows)", "batches") - before;
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    let lately = "SELECT count(DISTINCT c.owner) FROM tablelift.chunks c \
                  JOIN tablelift.batches b USING (run, step, chunk)";
    assert_eq!(pair.rows(lately), ["2"], "both are at work");
    assert!((240.0..345.0).contains(&rate), "{rate} rows/s instead of 300");
    pair.world.run(&["throttle", "p.toml", "--rows-per-second", "9000"]).ok();
    end(first).ok();
    end(helper).ok();
    pair.holds(2400, "two processes");
    let left = pair.rows("SELECT count(*) FROM tablelift.throttles");
    assert_eq!(left, ["0"], "everybody has taken leave");
}

#[test]
fn batches_end_at_their_bytes() {
    for (source, target) in
        [(Db::Postgres, Db::Postgres), (Db::Sqlite, Db::Postgres), (Db::Sqlite, Db::Sqlite)]
    {
        let pair = Pair::new(300, source, target);
        write_plan(&pair, "[defaults]\nbatch_bytes = \"200B\"\nworkers = 1");
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(300, "small batches");
        let most = ledger_number(&pair, "max(bytes)", "batches");
        let count = ledger_number(&pair, "count(*)", "batches");
        assert!(
            (100..=230).contains(&most),
            "{source:?} {target:?}: {most} bytes in {count} batches"
        );
        assert!(count > 10, "{source:?} {target:?}: {count} batches");
    }
}

/// Each row takes so long to be written.
fn slow(pair: &Pair, milliseconds: u32) {
    pair.postgres.as_ref().unwrap().sql(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_sleep({milliseconds} / 1000.0); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()"
    ));
}

#[test]
fn batches_follow_a_time() {
    let pair = Pair::new(400, Db::Postgres, Db::Postgres);
    slow(&pair, 5);
    write_plan(&pair, "[defaults]\nbatch_rows = 100\nworkers = 1\nbatch_time = \"100ms\"");
    pair.world.run(&["run", "p.toml"]).ok();
    pair.holds(400, "timed batches");
    let late = "SELECT max(read_rows) FROM (SELECT read_rows FROM tablelift.batches \
                ORDER BY committed_at OFFSET 3) late";
    let most: u64 = pair.rows(late)[0].parse().unwrap();
    assert!((4..=30).contains(&most), "{most} rows of 5 ms in a batch of 100 ms");
}

#[test]
fn half_of_the_time_is_for_others() {
    let pair = Pair::new(200, Db::Postgres, Db::Postgres);
    slow(&pair, 5);
    let options = "[defaults]\nbatch_rows = 20\nworkers = 1\n[throttle]\nduty = 0.5";
    write_plan(&pair, options);
    let said = pair.world.run(&["run", "p.toml", "--json"]).ok();
    let sum = |events: &[serde_json::Value], key: &str| -> f64 {
        events.iter().map(|event| event[key].as_f64().unwrap()).sum()
    };
    let rests = said.events("throttled");
    assert!(rests.iter().all(|event| event["reason"] == "duty 100% >= 50%"), "{}", said.out);
    let (worked, rested) =
        (sum(&said.events("batch_committed"), "seconds"), sum(&rests, "seconds"));
    let share = rested / (worked * 0.9);
    assert!((0.8..1.5).contains(&share), "worked {worked} s, rested {rested} s");
    pair.holds(200, "duty");
}

#[test]
fn a_run_ends_when_its_time_is_up_and_goes_on_later() {
    let pair = Pair::new(600, Db::Sqlite, Db::Sqlite);
    let options = "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 250\n";
    write_plan(&pair, &format!("{options}stop_after = \"1s\""));
    let said = pair.world.run(&["run", "p.toml", "--json"]).code(5);
    let finished = said.events("run_finished").remove(0);
    assert_eq!(finished["exit_code"], 5);
    assert!(finished["error"].to_string().contains("stop-after 1s >= 1s"), "{finished}");
    let done = ledger_number(&pair, "sum(read_rows)", "batches");
    assert!((100..400).contains(&done), "{done} rows in a second");
    let status = pair.world.run(&["status", "p.toml"]).ok().out;
    assert!(status.contains(": stopped"), "{status}");
    let text = pair.world.run(&["run", "p.toml", "--stop-after", "300ms"]).code(5);
    assert!(text.out.contains("`tablelift run` goes on from here"), "{}{}", text.out, text.err);
    write_plan(&pair, "");
    pair.world.run(&["run", "p.toml"]).ok();
    pair.holds(600, "ended twice");
}

#[test]
fn outside_its_window_nothing_is_touched() {
    let pair = Pair::new(60, Db::Sqlite, Db::Sqlite);
    let hour = |hours: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        at.strftime("%H:%M").to_string()
    };
    let (closed, open) =
        (format!("{}-{} UTC", hour(2), hour(3)), format!("{}-{}", hour(-1), hour(2)));
    write_plan(&pair, &format!("[throttle]\nwindow = \"{closed}\""));
    let said = pair.world.run(&["run", "p.toml"]).code(5);
    assert!(said.out.contains(&format!("window closed ({closed})")), "{}{}", said.out, said.err);
    assert!(said.out.contains("It opens at"), "{}", said.out);
    let ledger = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tablelift%'";
    assert_eq!(pair.rows(ledger), ["0"]);
    pair.world.run(&["run", "p.toml", "--window", &open]).ok();
    pair.holds(60, "inside its window");
    let limits = "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 250\n";
    let at = jiff::Timestamp::now() + Duration::from_secs(2);
    let window = format!("{}-{}", hour(-1), at.strftime("%H:%M:%S"));
    let pair = Pair::new(900, Db::Sqlite, Db::Sqlite);
    write_plan(&pair, &format!("{limits}window = \"{window}\""));
    let said = pair.world.run(&["run", "p.toml"]).code(5);
    assert!(said.out.contains(&format!("window closed ({window})")), "{}{}", said.out, said.err);
    let done = ledger_number(&pair, "sum(read_rows)", "batches");
    assert!((100..800).contains(&done), "{done} rows in less than two seconds");
    let fast = ["run", "p.toml", "--window", &open, "--rows-per-second", "99999"];
    let begun = Instant::now();
    pair.world.run(&[&fast[..], &["--batch-rows", "7"]].concat()).ok();
    assert!(begun.elapsed() < Duration::from_secs(2), "not the plan's rate");
    pair.holds(900, "it closed and opened again");
    let small = ledger_number(&pair, "sum(CASE WHEN read_rows = 7 THEN 1 ELSE 0 END)", "batches");
    assert!(small > 10, "{small} batches of 7 rows");
    write_plan(&pair, "[throttle]\nwindow = \"22-06\"");
    let wrong = pair.world.run(&["check", "p.toml", "--offline"]).code(2);
    assert!(wrong.err.contains("this is not a window"), "{}", wrong.err);
}

#[test]
fn a_ledger_of_an_earlier_version_can_be_steered() {
    for target in [Db::Postgres, Db::Mariadb] {
        let pair = Pair::new(800, Db::Sqlite, target);
        let options = "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 300";
        write_plan(&pair, options);
        pair.world.run(&["run", "p.toml", "--stop-after", "300ms"]).code(5);
        for table in ["control", "throttles"] {
            pair.sql(&pair.target, &format!("DROP TABLE {}", pair.ledger(table)));
        }
        let before = ledger_number(&pair, "count(*)", "batches");
        let run = spawn(&pair, &["run", "p.toml"]);
        wait_for_batches(&pair, u32::try_from(before).unwrap() + 2);
        let shown = pair.world.run(&["throttle", "p.toml"]).ok().out;
        assert!(shown.contains("no process says that it is at work"), "{shown}");
        pair.world.run(&["throttle", "p.toml", "--pause"]).ok();
        waits_for(&pair, "pause on");
        stands_still(&pair, "paused");
        pair.world.run(&["throttle", "p.toml", "--reset", "--json"]).ok();
        end(run).ok();
        pair.holds(800, "an earlier version's ledger");
    }
}
