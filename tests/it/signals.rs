//! Loads that a run backs off from: it pauses for as long as they last, and says why.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Db, World, mariadb, psql, ran};
use crate::join::wait_for_batches;
use crate::pair::{Pair, plan};
use crate::servers::{POSTGRES, Server};
use crate::throttle::{
    end, ledger_number, spawn, stands_still, waits_for, waits_until, write_plan,
};

const SLOW: &str = "[defaults]\nbatch_rows = 20\n[throttle]\nrows_per_second = 400\n";

/// The rest of a run needs no limit.
fn hurry(pair: &Pair) {
    pair.world.run(&["throttle", "p.toml", "--rows-per-second", "1000000"]).ok();
}

#[test]
fn it_waits_for_as_long_as_a_file_is_there() {
    let pair = Pair::new(300, Db::Sqlite, Db::Sqlite);
    write_plan(&pair, &format!("{SLOW}[throttle.back_off_when]\nfile = \"stop.flag\""));
    pair.world.write("stop.flag", "");
    let run = spawn(&pair, &["run", "p.toml", "--json"]);
    std::thread::sleep(Duration::from_millis(1500));
    waits_for(&pair, "file on");
    assert_eq!(ledger_number(&pair, "count(*)", "batches"), 0, "the first batch waits too");
    std::fs::remove_file(pair.world.path("stop.flag")).unwrap();
    let said = end(run).ok();
    assert!(said.events("throttled").iter().any(|event| event["reason"] == "file on"));
    pair.holds(300, "a file");
}

#[test]
fn it_waits_for_a_query_and_for_one_that_can_not_be_read() {
    for target in [Db::Postgres, Db::Mariadb] {
        let pair = Pair::new(900, Db::Sqlite, target);
        pair.sql(&pair.target, "CREATE TABLE queue (n integer); INSERT INTO queue VALUES (5)");
        let signal = "[[throttle.signal]]\nname = \"queue_length\"\nsql = \"SELECT max(n) FROM queue\"\nlimit = 100";
        write_plan(&pair, &format!("{SLOW}{signal}"));
        let run = spawn(&pair, &["run", "p.toml", "--json"]);
        wait_for_batches(&pair, 3);
        pair.sql(&pair.target, "UPDATE queue SET n = 150");
        waits_for(&pair, "queue-length 150 >= 100");
        stands_still(&pair, "over the limit");
        pair.sql(&pair.target, "DROP TABLE queue");
        waits_for(&pair, "queue-length unreadable >= 100 (");
        stands_still(&pair, "unreadable");
        pair.sql(&pair.target, "CREATE TABLE queue (n integer)");
        stands_still(&pair, "no number");
        let before = ledger_number(&pair, "count(*)", "batches");
        pair.sql(&pair.target, "INSERT INTO queue VALUES (0)");
        wait_for_batches(&pair, u32::try_from(before).unwrap() + 1);
        hurry(&pair);
        let said = end(run).ok();
        assert!(said.events("batch_retried").is_empty(), "load is no error: {}", said.out);
        pair.holds(900, "a query");
    }
}

#[test]
fn it_waits_while_what_users_do_takes_longer() {
    let pair = Pair::new(600, Db::Sqlite, Db::Postgres);
    pair.sql(&pair.target, "CREATE TABLE busy (ms integer); INSERT INTO busy VALUES (0)");
    let signal = "[[throttle.signal]]\nname = \"checkout\"\n\
                  sql = \"SELECT pg_sleep(ms / 1000.0) FROM busy\"\nslower_than = \"90ms\"";
    write_plan(&pair, &format!("{SLOW}{signal}"));
    let run = spawn(&pair, &["run", "p.toml"]);
    wait_for_batches(&pair, 3);
    pair.sql(&pair.target, "UPDATE busy SET ms = 120");
    waits_for(&pair, "checkout 1");
    stands_still(&pair, "slower");
    let shown = pair.world.run(&["throttle", "p.toml"]).ok().out;
    assert!(shown.contains("✗ checkout 1") && shown.contains("ms, limit 90ms"), "{shown}");
    let before = ledger_number(&pair, "count(*)", "batches");
    pair.sql(&pair.target, "UPDATE busy SET ms = 0");
    wait_for_batches(&pair, u32::try_from(before).unwrap() + 1);
    hurry(&pair);
    end(run).ok();
    pair.holds(600, "a latency");
}

#[test]
fn a_scan_waits_too() {
    let pair = Pair::new(100, Db::Sqlite, Db::Sqlite);
    write_plan(&pair, "[throttle.back_off_when]\nfile = \"stop.flag\"");
    pair.world.write("stop.flag", "");
    let mut scan = spawn(&pair, &["check", "p.toml", "--scan"]);
    std::thread::sleep(Duration::from_millis(1200));
    assert!(scan.try_wait().unwrap().is_none(), "it waits while the file is there");
    std::fs::remove_file(pair.world.path("stop.flag")).unwrap();
    let said = end(scan).ok();
    assert!(said.out.contains("100 rows scanned"), "{}", said.out);
}

#[test]
fn https_is_asked_with_the_certificates_that_the_system_trusts() {
    let pair = Pair::new(1, Db::Sqlite, Db::Sqlite);
    let world = &pair.world;
    let dir = world.path("");
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&dir).stderr(Stdio::null());
        command
    };
    let made = "req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=load \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    assert!(openssl(made).status().unwrap().success());
    world.write("load", "3");
    let mut server = openssl("s_server -accept 127.0.0.1:0 -cert cert -key key -WWW")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = said.filter_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned));
    let port = port.take(1).next().unwrap();
    let signal = format!(
        "[[throttle.signal]]\nname = \"load\"\nhttp = \"https://127.0.0.1:{port}/load\"\nlimit = 5\n"
    );
    write_plan(&pair, &signal);
    let mut trusted = world.command(&["check", "p.toml"]);
    trusted.env("SSL_CERT_FILE", world.path("cert"));
    let trusted = ran(trusted.output().unwrap());
    let stranger = world.run(&["check", "p.toml"]);
    server.kill().unwrap();
    server.wait().unwrap();
    let text = trusted.ok().out;
    assert!(text.contains("load 3, limit 5"), "{text}");
    let text = stranger.out;
    assert!(text.contains("load unreadable (no answer: ") && text.contains("ertificate"), "{text}");
}

/// A web server that answers with a number; 0 is `503`.
fn serve(answer: &Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/load", listener.local_addr().unwrap());
    let answer = Arc::clone(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let text = answer.load(Ordering::SeqCst).to_string();
            let status = if text == "0" { "503 Busy" } else { "200 OK" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
    });
    url
}

#[test]
fn it_waits_for_a_web_server() {
    let pair = Pair::new(600, Db::Sqlite, Db::Sqlite);
    let answer = Arc::new(AtomicU64::new(1));
    let url = serve(&answer);
    let signals = format!(
        "[[throttle.signal]]\nname = \"load\"\nhttp = \"{url}\"\npause_over = 2\n\
         [[throttle.signal]]\nname = \"health\"\nhttp = \"{url}\"\n"
    );
    write_plan(&pair, &format!("{SLOW}{signals}"));
    let run = spawn(&pair, &["run", "p.toml"]);
    wait_for_batches(&pair, 3);
    answer.store(3, Ordering::SeqCst);
    waits_for(&pair, "load 3 > 2");
    stands_still(&pair, "more than 2");
    answer.store(0, Ordering::SeqCst);
    waits_for(&pair, "load unreadable > 2 (the answer is 503)");
    stands_still(&pair, "no success");
    answer.store(2, Ordering::SeqCst);
    hurry(&pair);
    end(run).ok();
    pair.holds(600, "a web server");
}

#[test]
fn it_waits_for_locks_and_connections() {
    let pair = Pair::new(600, Db::Postgres, Db::Postgres);
    let signals = "[throttle.back_off_when]\nlock_waits = 1\nconnections = \"100%\"\n\
                   source = { connections = \"100%\" }\noldest_transaction = \"1h\"\n\
                   archive_backlog = 1000\nslot_retention = \"10GB\"\nbatch_p95 = \"10s\"";
    write_plan(&pair, &format!("{SLOW}{signals}"));
    let checked = pair.world.run(&["check", "p.toml"]).ok();
    assert!(checked.out.contains("lock-waits 0, limit 1"), "{}", checked.out);
    let run = spawn(&pair, &["run", "p.toml"]);
    wait_for_batches(&pair, 3);
    let lock = "SET lock_timeout = '4s'; BEGIN; LOCK TABLE seeds; SELECT pg_sleep(2.5)";
    let url = pair.target.clone();
    let lockers: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || psql(&url, lock))
        })
        .collect();
    waits_for(&pair, "lock-waits 1 >= 1");
    stands_still(&pair, "somebody waits for a lock");
    let out = pair.world.run(&["throttle", "p.toml"]).ok().out;
    for signal in ["✗ lock-waits 1", "✓ connections", "✓ source-connections", "✓ slot-retention"]
    {
        assert!(out.contains(signal), "{signal} in {out}");
    }
    end(run).ok();
    pair.holds(600, "locks");
    for locker in lockers {
        locker.join().unwrap();
    }
}

#[test]
fn it_waits_for_a_standby_that_falls_behind_and_for_one_that_is_gone() {
    let primary = Server::start(POSTGRES, &[]);
    let standby = Server::standby(&primary);
    let pair = Pair::new(1, Db::Sqlite, Db::Sqlite);
    psql(
        &primary.url,
        "CREATE TABLE s (id integer PRIMARY KEY, name text, v text); \
         INSERT INTO s SELECT n, 'n' || n, 'x' FROM generate_series(1, 1600) n; \
         CREATE TABLE t (id integer PRIMARY KEY, name text, data text); \
         CREATE TABLE marks (n integer)",
    );
    let world = &pair.world;
    let options = format!("{SLOW}[throttle.back_off_when]\nreplica_lag = \"1s\"");
    world.write("p.toml", &plan(&primary.url, &primary.url, &options));
    let batches = || -> u64 {
        let there = "SELECT to_regclass('tablelift.batches') IS NOT NULL";
        match psql(&primary.url, there).trim() {
            "t" => {
                psql(&primary.url, "SELECT count(*) FROM tablelift.batches").trim().parse().unwrap()
            }
            _ => 0,
        }
    };
    let wait_for = |count: u64, seconds: u64| {
        let begun = Instant::now();
        while batches() < count {
            assert!(begun.elapsed() < Duration::from_secs(seconds), "{} batches", batches());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let still = |why: &str| {
        let before = batches();
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(batches(), before, "{why}");
    };
    let run = spawn(&pair, &["run", "p.toml", "--json"]);
    wait_for(3, 10);
    psql(&standby.url, "SELECT pg_wal_replay_pause()");
    waits_for(&pair, "replica-lag 1");
    still("the standby is held back");
    psql(&standby.url, "SELECT pg_wal_replay_resume()");
    let before = batches();
    wait_for(before + 1, 2);
    standby.script("stop");
    waits_for(&pair, "replica-lag unreadable >= 1s (");
    still("the standby is gone");
    drop(standby);
    // Nobody knows how far it would be behind: a person says that it is not needed any more.
    let mut run = run;
    run.kill().unwrap();
    run.wait().unwrap();
    world.write("p.toml", &plan(&primary.url, &primary.url, ""));
    world.run(&["run", "p.toml"]).ok();
    let rows = psql(&primary.url, "SELECT count(*), count(DISTINCT id) FROM t");
    assert_eq!(rows.trim(), "1600|1600");
}

#[test]
fn it_waits_for_a_replica_of_mariadb() {
    let (primary, replica) = Server::replicated();
    let pair = Pair::new(600, Db::Sqlite, Db::Sqlite);
    mariadb(
        &primary.url,
        "CREATE TABLE t (id integer PRIMARY KEY, name varchar(9), data text); \
         CREATE TABLE marks (n integer)",
    );
    let options = format!(
        "{SLOW}[throttle.back_off_when]\nreplica_lag = \"1s\"\nreplicas = [\"{}\"]",
        replica.url
    );
    pair.world.write("p.toml", &plan(&pair.source, &primary.url, &options));
    let batches = || -> u64 {
        let count = "SELECT count(*) FROM tablelift_batches";
        mariadb(&primary.url, count).trim().parse().unwrap()
    };
    let run = spawn(&pair, &["run", "p.toml"]);
    waits_until("a batch", || {
        let there = "SHOW TABLES LIKE 'tablelift_runs'";
        !mariadb(&primary.url, there).trim().is_empty() && batches() >= 2
    });
    mariadb(&replica.url, "STOP SLAVE SQL_THREAD");
    waits_for(&pair, "replica-lag unreadable >= 1s (the replica's SQL thread does not run)");
    let before = batches();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(batches(), before, "the replica stands still");
    // It has the rows of some seconds to catch up with, and may show it.
    mariadb(&replica.url, "START SLAVE SQL_THREAD");
    end(run).ok();
    let rows = mariadb(&primary.url, "SELECT count(*), count(DISTINCT id) FROM t");
    assert_eq!(rows.trim(), "600\t600");
}

#[test]
fn signals_that_an_end_does_not_have_are_refused() {
    let world = World::new();
    let offline = |source: &str, target: &str, signals: &str| {
        let options = format!("[throttle.back_off_when]\n{signals}");
        world.write("p.toml", &plan(source, target, &options));
        world.run(&["check", "p.toml", "--offline"]).code(2).err
    };
    let my = "mysql://u@127.0.0.1/d";
    let pg = "postgres://u@127.0.0.1/d";
    let said = offline("sqlite:s.db", "sqlite:t.db", "connections = \"80%\"");
    assert!(said.contains("`connections` needs a server"), "{said}");
    let said = offline(my, pg, "query = \"SELECT 1\"");
    assert!(said.contains("`query` and `limit` stand together"), "{said}");
    let said = offline(pg, my, "oldest_transaction = \"1h\"");
    assert!(said.contains("`oldest_transaction` needs PostgreSQL"), "{said}");
    let said = offline(pg, my, "replica_lag = \"1s\"");
    assert!(said.contains("needs the URLs of the `replicas`"), "{said}");
    let said = offline("sqlite:s.db", pg, "source = { lock_waits = 3 }");
    assert!(said.contains("`source_lock_waits` needs a server"), "{said}");
}
