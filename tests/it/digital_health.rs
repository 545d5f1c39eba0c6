//! The fifth document end to end, on both databases.

use std::path::Path;
use std::process::Command;

use tablelift::sql::Flavor;

use crate::common::{Postgres, World};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings/digital-health/plan.toml");

fn dump_sqlite(world: &World, file: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(world.path(file)).unwrap();
    let mut tables = connection
        .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'tablelift_%' ORDER BY name")
        .unwrap();
    let tables: Vec<(String, String)> = tables
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut out = Vec::new();
    for (table, sql) in tables {
        out.push(sql.replace(char::is_whitespace, ""));
        out.extend(world.sqlite_rows(file, &format!("SELECT * FROM \"{table}\" ORDER BY 1")));
    }
    out
}

fn dump_postgres(url: &str) -> Vec<String> {
    let output = Command::new("pg_dump").args(["-N", "tablelift", url]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_demo_ends_with_5209_rows_and_rolls_back_to_where_it_began() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    let before = dump_sqlite(&world, "d/digital-health.db");
    let ran = world.run(&["run", "d/plan.toml"]).ok();
    assert!(ran.out.contains("5,209"), "{}", ran.out);
    assert!(ran.out.contains("+727"), "{}", ran.out);
    world.run(&["verify", "d/plan.toml"]).ok();
    world.run(&["rollback", "d/plan.toml", "--yes"]).ok();
    assert_eq!(dump_sqlite(&world, "d/digital-health.db"), before);
    world.run(&["run", "d/plan.toml"]).ok();
}

#[test]
fn the_same_plan_runs_on_postgres() {
    let world = World::new();
    let database = Postgres::new();
    let script: Vec<String> = tablelift::demo::statements(Flavor::Postgres).collect();
    database.sql(&script.join("\n"));
    let before = dump_postgres(&database.url);
    let with = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("LEGACY_URL", &database.url).env("TARGET_URL", &database.url);
        crate::common::ran(command.output().unwrap())
    };
    with(&["check", PLAN]).ok();
    assert_eq!(dump_postgres(&database.url), before, "check changes nothing");
    let events = with(&["run", PLAN, "--json"]).ok();
    assert_eq!(events.events("run_finished")[0]["ok"], true);
    assert_eq!(events.events("step_finished").len(), 7);
    with(&["verify", PLAN]).ok();
    with(&["rollback", PLAN, "--yes"]).ok();
    assert_eq!(dump_postgres(&database.url), before);
}

#[test]
fn a_count_off_by_one_is_exit_code_3_with_both_numbers() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    let plan = std::fs::read_to_string(world.path("d/plan.toml")).unwrap();
    world.write(
        "d/plan.toml",
        &plan.replace("source = 150, before = 0", "source = 151, before = 0"),
    );
    let before = dump_sqlite(&world, "d/digital-health.db");
    let ran = world.run(&["run", "d/plan.toml"]).code(3);
    assert!(
        ran.err.contains("dh_tool") && ran.err.contains("151") && ran.err.contains("150"),
        "{}",
        ran.err
    );
    assert_eq!(dump_sqlite(&world, "d/digital-health.db"), before, "nothing was touched");
    assert!(
        world
            .sqlite_rows(
                "d/digital-health.db",
                "SELECT 1 FROM sqlite_master WHERE name LIKE 'tablelift%'"
            )
            .is_empty()
    );
}

#[test]
fn a_protected_row_changed_during_the_run_is_named() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    world.run(&["run", "d/plan.toml", "--step", "priorities"]).ok();
    let key = world.sqlite_rows(
        "d/digital-health.db",
        "SELECT id FROM prompts ORDER BY id LIMIT 1 OFFSET 1234",
    );
    world.sqlite(
        "d/digital-health.db",
        &format!("UPDATE prompts SET body = 'x' WHERE id = '{}'", key[0]),
    );
    let ran = world.run(&["run", "d/plan.toml"]).code(3);
    assert!(ran.out.contains(&key[0]), "{}", ran.out);
    let events = world.run(&["verify", "d/plan.toml", "--json"]).code(3);
    let prompts =
        events.events("protect_finished").into_iter().find(|e| e["table"] == "prompts").unwrap();
    assert_eq!(prompts["differences"][0]["kind"], "different");
    assert_eq!(prompts["differences"][0]["key"], key[0]);
}

#[test]
fn steps_alone_come_in_order() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    let ran = world.run(&["run", "d/plan.toml", "--step", "tools"]).code(2);
    assert!(ran.err.contains("priorities"), "{}", ran.err);
    for step in [
        "priorities",
        "link-jtbds",
        "tools",
        "workflows-schema",
        "workflows-legacy",
        "workflows-library",
        "tasks",
    ] {
        world.run(&["run", "d/plan.toml", "--step", step]).ok();
    }
    let status = world.run(&["status", "d/plan.toml", "--json"]).ok().out;
    assert!(status.contains("\"state\":\"done\""), "{status}");
    world.run(&["rollback", "d/plan.toml", "--step", "tools", "--yes"]).code(2);
    world.run(&["rollback", "d/plan.toml", "--step", "tasks", "--yes"]).ok();
    assert_eq!(world.sqlite_rows("d/digital-health.db", "SELECT count(*) FROM tasks"), ["0"]);
    world.run(&["run", "d/plan.toml"]).ok();
}

#[test]
fn dry_run_changes_no_byte() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    let bytes = std::fs::read(world.path("d/digital-health.db")).unwrap();
    let ran = world.run(&["run", "d/plan.toml", "--dry-run"]).ok();
    assert!(ran.out.contains("step tasks") && ran.out.contains("TL-0"), "{}", ran.out);
    world.run(&["check", "d/plan.toml"]).ok();
    assert!(bytes == std::fs::read(world.path("d/digital-health.db")).unwrap());
    assert!(Path::new(PLAN).exists());
}

#[test]
fn both_flavors_hold_the_same_rows() {
    let world = World::new();
    world.run(&["demo", "d", "--prepare"]).ok();
    let database = Postgres::new();
    let script: Vec<String> = tablelift::demo::statements(Flavor::Postgres).collect();
    database.sql(&script.join("\n"));
    let ask = "SELECT code, name, tool_description, annual_price, external_ref FROM dh_tool ORDER BY code";
    let sqlite = world.sqlite_rows(
        "d/digital-health.db",
        &ask.replace("annual_price", "printf('%.2f', annual_price)"),
    );
    let postgres = database.rows(ask).join("\n");
    assert_eq!(sqlite.join("\n"), postgres);
}
