//! Memory does not grow with the file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::Stdio;
use std::time::Duration;

use crate::common::World;

/// Megabytes of a run's memory at its highest, for a JSON array of so many megabytes.
fn peak(megabytes: usize) -> u64 {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, length TEXT)");
    let mut file = BufWriter::new(File::create(world.path("big.json")).unwrap());
    let filler = "x\\n".repeat(5_333);
    file.write_all(b"{\"meta\": {\"n\": 1}, \"rows\": [").unwrap();
    let rows = megabytes * 1_000_000 / filler.len();
    for id in 1..=rows {
        let comma = if id == 1 { "" } else { "," };
        write!(file, "{comma}\n{{\"id\": {id}, \"text\": \"{filler}\"}}").unwrap();
    }
    file.write_all(b"]}").unwrap();
    file.flush().unwrap();
    world.write(
        "p.toml",
        "name = \"big\"\n[target]\nurl = \"sqlite:t.db\"\n[[step]]\nname = \"big\"\n\
         copy = \"big.json\"\nat = \"rows\"\ninto = \"t\"\n[step.columns]\nid = \"id\"\n\
         length = { from = \"text\", map = {}, default = \"long\" }\n",
    );
    let mut command = world.command(&["run", "p.toml"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut highest = 0;
    let status = loop {
        let about = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = about.unwrap_or_default();
        let line = line.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        let number: String = line.chars().filter(char::is_ascii_digit).collect();
        highest = highest.max(number.parse().unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success());
    let found = world.sqlite_rows("t.db", "SELECT count(*) FROM t WHERE length = 'long'");
    assert_eq!(found, [rows.to_string()]);
    highest / 1024
}

#[test]
fn a_large_array_takes_no_more_memory_than_a_small_one() {
    let (small, large) = (peak(4), peak(24));
    eprintln!("4 MB: {small} MiB, 24 MB: {large} MiB");
    assert!(large < small + 10, "4 MB took {small} MiB, 24 MB took {large} MiB");
}

/// `TABLELIFT_LARGE_FILES=2000`: an array of so many megabytes.
#[test]
fn an_array_of_gigabytes() {
    let Ok(megabytes) = std::env::var("TABLELIFT_LARGE_FILES") else { return };
    let highest = peak(megabytes.parse().unwrap());
    eprintln!("{megabytes} MB: {highest} MiB");
    assert!(highest < 128, "{megabytes} MB took {highest} MiB");
}
