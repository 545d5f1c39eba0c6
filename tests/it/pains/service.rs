//! Databases in service: memory that stays flat, transactions that stay short, nothing left
//! behind, and an end in sight.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::resume::dump;
use super::{TABLE, Two, filled};
use crate::common::Store;

/// The most memory that a command of `p.toml` was seen with, in KiB; 0 where it was too quick.
fn peak(two: &Two, command: &str) -> u64 {
    let mut command = two.world.command(&[command, "p.toml"]);
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap());
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    crate::common::ran(output).ok();
    peak
}

#[test]
fn p17_memory_is_flat_for_more_and_larger_rows() {
    for two in Two::some() {
        let long = super::text(&two.source);
        two.source.sql(&format!("CREATE TABLE s (id bigint PRIMARY KEY, name {long})"));
        let long = super::text(&two.target);
        two.target.sql(&format!("CREATE TABLE t (id bigint PRIMARY KEY, name {long})"));
        let mut peaks = Vec::new();
        for (rows, bytes) in [(400, 100), (40_000, 100), (6000, 10_000)] {
            two.source.sql("DELETE FROM s");
            two.source.sql(&match two.source {
                Store::Postgres(_) => format!(
                    "INSERT INTO s SELECT n, repeat('x', {bytes}) FROM generate_series(1, {rows}) n"
                ),
                Store::Mariadb(_) => {
                    format!("INSERT INTO s SELECT seq, repeat('x', {bytes}) FROM seq_1_to_{rows}")
                }
                Store::Sqlite(_) => format!(
                    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) \
                     INSERT INTO s SELECT n, hex(zeroblob({bytes} / 2)) FROM c"
                ),
            });
            two.plan("[defaults]\nworkers = 2", "");
            let copied = peak(&two, "run");
            assert!(copied > 1000, "the process was seen");
            let verified = peak(&two, "verify");
            assert_eq!(two.one("SELECT count(*) FROM t"), rows.to_string(), "{}", two.what);
            peaks.push(copied.max(verified));
            two.world.run(&["rollback", "p.toml", "--yes"]).ok();
        }
        let most = *peaks.iter().max().unwrap();
        eprintln!("{}: {peaks:?}", two.what);
        assert!(most < 64 * 1024 && most < peaks[0] + 32 * 1024, "{}: {peaks:?} KiB", two.what);
    }
}

/// Seconds since the oldest transaction of ours in this database began.
fn oldest(store: &Store) -> f64 {
    let ask = match store {
        Store::Postgres(_) => {
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) \
             FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name LIKE 'tablelift/%'"
        }
        Store::Mariadb(_) => {
            "SELECT coalesce(max(timestampdiff(microsecond, trx_started, now())), 0) / 1000000 \
             FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id \
             WHERE db = database() AND id <> connection_id()"
        }
        Store::Sqlite(_) => return 0.0,
    };
    // The servers' clients all come with the same zone here.
    store.rows(ask).concat().parse().unwrap()
}

#[test]
fn p25_no_transaction_is_older_than_two_batches_and_nothing_stays_behind() {
    for two in Two::some() {
        two.source.sql(&format!("CREATE TABLE s {TABLE}; {}", filled(1..=3000)));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        let before = dump(&two.source);
        // A batch takes 0.2 s.
        two.plan(
            "[defaults]\nbatch_rows = 200\nworkers = 1\n[throttle]\nrows_per_second = 1000",
            "",
        );
        let mut child = two.start();
        two.wait_for_rows(400);
        let (mut looks, mut ages) = (0, (0.0_f64, 0.0_f64));
        while child.try_wait().unwrap().is_none() {
            ages = (ages.0.max(oldest(&two.source)), ages.1.max(oldest(&two.target)));
            looks += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(child.wait().unwrap().success(), "{}", two.what);
        assert!(looks > 4, "{}: {looks} looks", two.what);
        // MariaDB tells the second in which a transaction began.
        assert!(ages.0 < 1.6 && ages.1 < 1.6, "{}: {ages:?} seconds", two.what);
        assert!(dump(&two.source) == before, "{}: the source is as it was", two.what);
        let left = match two.source {
            Store::Postgres(_) => {
                "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) \
                 + (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()) \
                 + (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name LIKE 'tablelift/%')"
            }
            Store::Mariadb(_) => {
                "SELECT count(*) FROM information_schema.processlist \
                 WHERE db = database() AND id <> connection_id()"
            }
            Store::Sqlite(_) => "SELECT 0",
        };
        assert_eq!(two.source.rows(left), ["0"], "{}", two.what);
        if let Store::Sqlite(path) = &two.source {
            for ending in ["-wal", "-journal", "-shm"] {
                assert!(!std::path::Path::new(&format!("{}{ending}", path.display())).exists());
            }
        }
    }
}

/// Clients that insert faster than it copies do not keep it from its end.
#[test]
fn p25_it_ends_under_eight_inserting_clients() {
    for two in Two::some() {
        two.source
            .sql(&format!("CREATE TABLE s {TABLE}; {}", filled((1..=2000).map(|n| n * 1000))));
        two.target.sql(&format!("CREATE TABLE t {TABLE}"));
        let plan = "[defaults]\nbatch_rows = 50\nworkers = 2\n[throttle]\nrows_per_second = 3000";
        two.plan(plan, "");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (two, stop) = (&two, &stop);
            for client in 0..8_i64 {
                scope.spawn(move || {
                    let mut at = 3_000_000 + client;
                    while !stop.load(Ordering::SeqCst) {
                        two.source.sql(&filled((0..25).map(|n| at + n * 8)));
                        at += 25 * 8;
                        std::thread::sleep(Duration::from_millis(40));
                    }
                });
            }
            let begun = Instant::now();
            let ran = two.world.run(&["run", "p.toml", "--json"]);
            stop.store(true, Ordering::SeqCst);
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", two.what);
            let ran = ran.ok();
            let copied = ran.events("step_finished")[0]["copied"].as_u64().unwrap();
            assert!(copied >= 2000, "{}: {copied}", two.what);
        });
        let there = two.source.rows("SELECT count(*) FROM s WHERE id > 3000000").concat();
        assert!(there.parse::<u64>().unwrap() > 500, "{}: {there} came meanwhile", two.what);
        assert_eq!(two.one("SELECT count(*) FROM t WHERE id <= 2000000"), "2000", "{}", two.what);
    }
}
