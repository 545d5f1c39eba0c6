//! `--log-format` and `--log-file`: our own events as lines, and nothing else.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use crate::common::Db;
use crate::pair::{Pair, plan};

fn pair() -> Pair {
    let pair = Pair::new(40, Db::Sqlite, Db::Postgres);
    pair.sql(&pair.source, "UPDATE s SET name = 'bad' WHERE id = 30");
    let target = pair.target.replacen("dba@", "dba:hunter2canary@", 1);
    let check = "[[check]]\nname = \"c\"\nsql = \"SELECT 2\"\nvalue = 1\n";
    let text = plan(&pair.source, &target, "[defaults]\nbatch_rows = 10\nmax_rejects = 1");
    pair.world.write("p.toml", &format!("{text}{check}"));
    pair
}

#[test]
fn json_lines_stand_in_the_place_of_lines_for_people() {
    let pair = pair();
    let ran = pair.world.run(&["run", "p.toml", "--log-format", "json"]).code(3);
    let lines: Vec<Json> = ran
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let named = |name: &str| lines.iter().filter(|line| line["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("run_started").len(), 1, "{}", ran.err);
    let rejected = named("row_rejected");
    assert_eq!(
        (rejected[0]["level"].as_str(), rejected[0]["key"].as_str()),
        (Some("WARN"), Some("30"))
    );
    assert_eq!(named("check_finished")[0]["level"], "ERROR");
    assert_eq!(named("run_finished")[0]["exit_code"], 3);
    assert!(named("batch_committed").is_empty(), "only with -v");
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["plan"] == "kill", "{line}");
        assert_eq!(line["run"].as_str().unwrap().len(), 36, "{line}");
    }
    assert!(!ran.err.contains("hunter2canary"));
    assert!(ran.out.contains("differ"), "the result is still said: {}", ran.out);
}

#[test]
fn a_file_takes_lines_beside_those_for_people() {
    let pair = pair();
    let log = ["--log-file", "run.log"];
    let ran =
        pair.world.run(&["run", "p.toml", "-v", "--log-format", "json", log[0], log[1]]).code(3);
    assert!(!ran.err.is_empty() && !ran.err.contains("\"event\""), "{}", ran.err);
    let text = std::fs::read_to_string(pair.world.path("run.log")).unwrap();
    assert!(text.contains("\"event\":\"batch_committed\""), "{text}");
    assert!(!text.contains("hunter2canary"));
    let mode = std::fs::metadata(pair.world.path("run.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    pair.world.run(&["rollback", "p.toml", "--yes", "-q", log[0], log[1]]).ok();
    let longer = std::fs::read_to_string(pair.world.path("run.log")).unwrap();
    assert!(longer.starts_with(&text), "appended");
    let missing = pair.world.run(&["run", "p.toml", log[0], "no/such/run.log"]).code(2);
    assert!(missing.err.contains("can't write the log"), "{}", missing.err);
}
