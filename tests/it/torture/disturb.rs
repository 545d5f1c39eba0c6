//! What is done to a run: each returns only after it has landed or could not.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::common::{mariadb, mariadb_tries, psql, ran};
use crate::faults::proxy::{At, Fault, Plan, Proxy};
use crate::kill::{POINTS, REJECT_POINTS};
use crate::pair::Pair;
use crate::random::Random;

/// What was done, and what came of it.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

/// Counts of faults that are known to have landed.
const FAULTS: &[&str] = &[
    "kills",
    "kills at points",
    "signals",
    "freezes",
    "network faults",
    "sessions ended",
    "server restarts",
    "locks held",
];

impl Tally {
    pub fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_insert(0) += count;
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// Faults of all kinds that are known to have landed.
    pub fn landed(&self) -> u64 {
        FAULTS.iter().map(|what| self.of(what)).sum()
    }

    fn line(&self, names: &[&str]) -> String {
        let parts: Vec<String> =
            names.iter().map(|name| format!("{name} {}", self.of(name))).collect();
        parts.join(", ")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line(&["rounds", "rows", "attempts", "helpers", "rollbacks"]))?;
        writeln!(f, "landed: {}", self.line(FAULTS))?;
        write!(f, "{}", self.line(&["rejected rightly", "lost", "doubled", "altered"]))
    }
}

/// Held for writing while the server restarts: the oracle asks only a server that stands.
pub static STEADY: RwLock<()> = RwLock::new(());

/// Stops the server as a crash would, and starts it again.
pub fn restart(server: &str, tally: &Tally) {
    let _alone = STEADY.write().unwrap_or_else(PoisonError::into_inner);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let done = Command::new(script).args(["restart", server]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    tally.add("server restarts", 1);
}

/// Runs the plan once while something happens to it; its exit code, `None` when it was killed.
pub fn attempt(pair: &Pair, proxies: &Proxies, random: &mut Random, tally: &Tally) {
    tally.add("attempts", 1);
    let mut arguments = vec!["run", "p.toml", "--lease", "2"];
    if random.chance(50) {
        arguments.push("--join");
    }
    let mut command = pair.world.command(&arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let what = random.below(10);
    let points: Vec<&str> = POINTS.iter().chain(REJECT_POINTS).copied().collect();
    let name = random.pick(&points).split(':').next().unwrap();
    let point = format!("{name}:{}", 1 + random.below(12));
    if what == 0 && cfg!(debug_assertions) {
        command.env("TABLELIFT_FAIL_POINT", &point);
    }
    if [1, 8, 9].contains(&what) {
        proxies.arm(random);
    }
    let landed_before = proxies.landed();
    let mut child = command.spawn().unwrap();
    let mut helpers: Vec<Child> = Vec::new();
    if random.chance(25) {
        let mut helper = pair.world.command(&["run", "p.toml", "--join", "--lease", "2"]);
        helpers.push(helper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        tally.add("helpers", 1);
    }
    std::thread::sleep(Duration::from_millis(20 + random.below(700)));
    match what {
        2 | 3 => {
            let _ = child.kill();
        }
        4 => signal(&child, random.pick::<&str>(&["INT", "TERM"])),
        5 => {
            signal(&child, "STOP");
            std::thread::sleep(Duration::from_millis(random.below(3500)));
            signal(&child, "CONT");
        }
        6 => tally.add("sessions ended", end_sessions(pair, random)),
        7 => tally.add("locks held", hold_locks(pair, random)),
        _ => {}
    }
    for mut helper in helpers {
        if random.chance(60) {
            let _ = helper.kill();
        }
        finish(&mut helper, "a helper");
    }
    let code = finish(&mut child, "the run");
    tally.add("network faults", u64::from(proxies.landed() - landed_before));
    match (what, code) {
        (0, None) => tally.add("kills at points", 1),
        (2 | 3, None) => tally.add("kills", 1),
        (4, Some(130 | 143)) => tally.add("signals", 1),
        (5, _) => tally.add("freezes", 1),
        _ => {}
    }
    let error = ran(child.wait_with_output().unwrap()).err;
    assert!(!error.contains("panicked"), "{error}");
    let expected = [None, Some(0), Some(1), Some(2), Some(4), Some(130), Some(143)];
    assert!(expected.contains(&code), "exit code {code:?}\n{error}");
}

/// Waits for the end, which must come.
#[track_caller]
fn finish(child: &mut Child, who: &str) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{who} hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
}

/// Ends some of our sessions on a server of the pair.
fn end_sessions(pair: &Pair, random: &mut Random) -> u64 {
    let _steady = STEADY.read().unwrap_or_else(PoisonError::into_inner);
    let mut ended = 0;
    for _ in 0..1 + random.below(4) {
        let urls: Vec<&String> = [&pair.source, &pair.target]
            .into_iter()
            .filter(|url| !url.starts_with("sqlite:"))
            .collect();
        if urls.is_empty() {
            return 0;
        }
        let url = *random.pick::<&String>(&urls);
        if url.starts_with("mysql:") {
            let ask = "SELECT id FROM information_schema.processlist \
                       WHERE db = database() AND id <> connection_id() ORDER BY rand() LIMIT 2";
            for id in mariadb(url, ask).lines() {
                ended += u64::from(mariadb_tries(url, &format!("KILL {id}")));
            }
            continue;
        }
        let ask = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
             WHERE application_name LIKE 'tablelift/%' AND datname = current_database() \
             ORDER BY md5(pid::text || '{}') LIMIT 2) p",
            random.below(1000)
        );
        ended += psql(url, &ask).trim().parse::<u64>().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(200)));
    }
    ended
}

/// A second session holds what a batch needs, for a while, and lets go.
fn hold_locks(pair: &Pair, random: &mut Random) -> u64 {
    let _steady = STEADY.read().unwrap_or_else(PoisonError::into_inner);
    let milliseconds = 200 + random.below(1800);
    match (&pair.postgres, &pair.mariadb) {
        (_, Some(database)) => {
            let seconds = milliseconds as f64 / 1000.0;
            database.sql(&format!("LOCK TABLES t WRITE; SELECT sleep({seconds}); UNLOCK TABLES"));
        }
        (Some(database), _) => {
            let table = random.pick(&["t", "tablelift.chunks", "tablelift.batches"]);
            let mode = random.pick(&["ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"]);
            let hold = format!(
                "DO $$ BEGIN IF to_regclass('{table}') IS NOT NULL THEN \
                 SET LOCAL lock_timeout = '2s'; LOCK TABLE {table} IN {mode} MODE; \
                 PERFORM pg_sleep({}); END IF; EXCEPTION WHEN lock_not_available \
                 OR deadlock_detected THEN NULL; END $$",
                milliseconds as f64 / 1000.0
            );
            psql(&database.url, &hold);
        }
        _ => {
            let connection = rusqlite::Connection::open(pair.world.path("t.db")).unwrap();
            connection.busy_timeout(Duration::from_secs(5)).unwrap();
            if connection.execute_batch("BEGIN IMMEDIATE").is_err() {
                return 0;
            }
            std::thread::sleep(Duration::from_millis(milliseconds));
            connection.execute_batch("ROLLBACK").unwrap();
        }
    }
    1
}

/// Proxies before the servers of a pair; URLs lead through them.
pub struct Proxies {
    all: Vec<Proxy>,
}

impl Proxies {
    /// Puts a proxy before each server, in the pair's URLs as its plan will name them.
    pub fn before(source: &mut String, target: &mut String) -> Proxies {
        let mut all = Vec::new();
        for url in [source, target] {
            if !url.starts_with("sqlite:") {
                let proxy = Proxy::before(url);
                *url = proxy.through(url);
                all.push(proxy);
            }
        }
        Proxies { all }
    }

    fn arm(&self, random: &mut Random) {
        let places = [
            At::Query("COMMIT"),
            At::Answer("COMMIT"),
            At::Query("BEGIN"),
            At::CopyIn,
            At::CopyOut,
            At::Client,
            At::Server,
        ];
        let wait = Duration::from_millis(random.below(3000));
        let faults = [
            Fault::Cut,
            Fault::Reset,
            Fault::HalfOpen,
            Fault::Stall,
            Fault::Delay(wait),
            Fault::Slice,
        ];
        if self.all.is_empty() {
            return;
        }
        let proxy = random.pick(&self.all);
        let hit = 1 + u32::try_from(random.below(60)).unwrap();
        proxy.arm(Plan { at: *random.pick(&places), hit, fault: *random.pick(&faults) });
    }

    fn landed(&self) -> u32 {
        self.all.iter().map(Proxy::landed).sum()
    }
}
