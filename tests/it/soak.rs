//! A long copy, restarted in between, stays flat: memory, open files, connections, and the age
//! of the oldest transaction. `TABLELIFT_SOAK_ROWS` makes it longer.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::Postgres;
use crate::pair::{Pair, plan};

/// What one look at a process and its server found.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rss_kib: u64,
    files: usize,
    connections: u64,
    oldest_seconds: f64,
}

fn sample(child: &Child, target: &Postgres) -> Option<Sample> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let files = std::fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?.count();
    let ask = "SELECT count(*) || ' ' || coalesce(max(extract(epoch FROM now() - xact_start)), 0) \
               FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name LIKE 'tablelift/%'";
    let row = target.rows(ask).first()?.clone();
    let (connections, oldest) = row.split_once(' ')?;
    Some(Sample {
        rss_kib: rss.trim().trim_end_matches(" kB").parse().ok()?,
        files,
        connections: connections.parse().ok()?,
        oldest_seconds: oldest.parse().ok()?,
    })
}

#[test]
fn a_long_copy_stays_flat() {
    let rows: u32 =
        std::env::var("TABLELIFT_SOAK_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let pair = Pair::new(0, true, true);
    let fill = format!(
        "INSERT INTO s SELECT n * 3, 'n' || n, 'x' || n % 7 FROM generate_series(1, {rows}) n"
    );
    crate::common::psql(&pair.source, &fill);
    let options = "[defaults]\nbatch_rows = 1000\nworkers = 2\n[throttle]\nrows_per_second = 30000";
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
    let target = pair.postgres.as_ref().unwrap();
    let mut restarts = 0;
    let mut all = Vec::new();
    loop {
        let mut command = pair.world.command(&["run", "p.toml"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        let mut samples = Vec::new();
        let ended = loop {
            std::thread::sleep(Duration::from_millis(100));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(1) {
                samples.extend(sample(&child, target));
            }
            let last = if restarts < 2 { 2500 } else { u64::MAX };
            if begun.elapsed() > Duration::from_millis(last) {
                child.kill().unwrap();
            }
        };
        flat(&samples);
        all.extend(samples);
        if ended.code() == Some(0) {
            break;
        }
        assert_eq!(ended.code(), None, "only our kill ends it");
        restarts += 1;
    }
    assert_eq!(restarts, 2, "the kills landed");
    assert!(all.len() > 20, "only {} samples", all.len());
    pair.holds(rows, "soak");
}

#[track_caller]
fn flat(samples: &[Sample]) {
    // What the first half needed is enough for the second one: on a loaded machine connections
    // are still to come when the first sample is taken.
    let (first, second) = samples.split_at(samples.len() / 2);
    let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max();
    let (Some(rss), Some(files)) =
        (most(first, |sample| sample.rss_kib), most(first, |sample| sample.files as u64))
    else {
        return;
    };
    let peak = most(second, |sample| sample.rss_kib).unwrap_or(0);
    assert!(peak <= 256 * 1024, "{peak} KiB");
    assert!(peak <= rss + 32 * 1024, "{rss} KiB grew to {peak}");
    assert!(most(second, |sample| sample.files as u64).unwrap_or(0) <= files + 12, "{samples:?}");
    assert!(most(samples, |sample| sample.connections).unwrap_or(0) <= 6, "{samples:?}");
    let oldest = samples.iter().map(|sample| sample.oldest_seconds).fold(0.0, f64::max);
    assert!(oldest < 5.0, "a transaction was open for {oldest} s");
}
