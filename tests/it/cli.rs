//! What people type and see.

use crate::common::World;

#[test]
fn help_teaches() {
    let help = World::new().run(&["--help"]).ok().out;
    for word in
        ["demo", "init", "check", "run", "status", "verify", "rollback", "Exit codes", "Begin here"]
    {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    for command in ["demo", "init", "check", "run", "status", "verify", "rollback"] {
        World::new().run(&[command, "--help"]).ok();
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["frobnicate"][..], &["run", "--nope"], &[], &["run", "--workers", "0"]] {
        World::new().run(arguments).code(2);
    }
}

#[test]
fn later_commands_say_so() {
    for command in ["rejects", "migrate", "cleanup"] {
        let ran = World::new().run(&[command, "plan.toml"]).code(2);
        assert!(ran.err.contains("not supported yet"), "{}", ran.err);
    }
}

#[test]
fn a_missing_plan_is_named() {
    let ran = World::new().run(&["run", "nothing.toml"]).code(2);
    assert!(ran.err.contains("nothing.toml"), "{}", ran.err);
}

#[test]
fn texts_are_printed() {
    let world = World::new();
    let schema = world.run(&["schema"]).ok().out;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["name"]["type"], "string");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(world.run(&["completions", shell]).ok().out.contains("tablelift"));
    }
    assert!(world.run(&["man"]).ok().out.contains(".TH tablelift"));
}

#[test]
fn pipes_see_no_colour_unless_they_ask() {
    let world = World::new();
    assert!(!world.run(&["run", "no.toml"]).err.contains('\u{1b}'));
    assert!(world.run(&["run", "no.toml", "--color", "always", "frob"]).code == 2);
}

#[test]
fn every_mistake_of_a_plan_comes_with_its_place() {
    let world = World::new();
    world.write(
        "p.toml",
        "name = \"p\"\nbatch = 1\n[source]\nurl = \"sqlite:a.db\"\n[target]\nurl = \"sqlite:b.db\"\n\
         [[step]]\nname = \"s\"\ncpy = \"t\"\n",
    );
    let ran = world.run(&["check", "p.toml", "--json"]).code(2);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let lines: Vec<i64> =
        found["findings"].as_array().unwrap().iter().map(|f| f["line"].as_i64().unwrap()).collect();
    assert_eq!(lines, [2, 7], "{found}");
    assert!(ran.err.contains("--> p.toml:2:1"), "{}", ran.err);
    assert!(ran.err.contains('^'), "{}", ran.err);
}
