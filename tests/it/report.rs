//! `tablelift report`: one page that says what the ledger says, whatever the data says.

use std::os::unix::fs::PermissionsExt as _;

use scraper::{Html, Selector};
use serde_json::Value as Json;

use crate::common::{Db, World};
use crate::join::wait_for_batches;
use crate::pair::Pair;
use crate::throttle::{end, spawn, write_plan};

/// Names and values that want to be more than text.
const SCRIPT: &str = "<script>alert(1)</script>";
const QUOTES: &str = "\"'><img src=x onerror=alert(1)>";
const RIGHT_TO_LEFT: &str = "جدول\u{202e}نص";

fn page(world: &World) -> String {
    world.run(&["report", "p.toml", "-o", "report.html"]).ok();
    std::fs::read_to_string(world.path("report.html")).unwrap()
}

fn document(world: &World) -> Json {
    let out = world.run(&["report", "p.toml", "--json"]).ok().out;
    serde_json::from_str(&out).unwrap()
}

/// The text of everything that fits, and of what is inside it.
fn texts(html: &str, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    Html::parse_document(html).select(&selector).map(|one| one.text().collect()).collect()
}

/// An HTML parser sees no element and no attribute that the page does not have by itself.
#[track_caller]
fn is_harmless(html: &str) {
    for selector in
        ["script", "img", "iframe", "object", "embed", "link", "base", "form", "a", "[style]"]
    {
        assert_eq!(texts(html, selector).len(), 0, "{selector}");
    }
    let all = Html::parse_document(html);
    for element in all.select(&Selector::parse("*").unwrap()) {
        for (name, value) in element.value().attrs() {
            assert!(!name.starts_with("on"), "{name}={value}");
            assert!(!value.contains("javascript:") && !value.contains("http:"), "{name}={value}");
        }
    }
    let policy = "meta[http-equiv='Content-Security-Policy']";
    let found = all.select(&Selector::parse(policy).unwrap()).next().unwrap();
    let content = found.value().attr("content").unwrap();
    assert!(content.starts_with("default-src 'none'; style-src 'sha256-"), "{content}");
}

fn toml(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}

/// A run whose names, values and reasons are hostile; two checks of it fail.
fn hostile() -> World {
    let world = World::new();
    let long = "x".repeat(10_000);
    let table = format!("{QUOTES}{RIGHT_TO_LEFT}");
    let quoted = table.replace('"', "\"\"");
    world.sqlite(
        "s.db",
        &format!(
            "CREATE TABLE s (id TEXT PRIMARY KEY, n TEXT); INSERT INTO s VALUES \
             ('{SCRIPT}', 'x'), ('{long}', 'y'), ('{RIGHT_TO_LEFT}', 'z'), ('fine', '1')"
        ),
    );
    world.sqlite(
        "t.db",
        &format!(
            "CREATE TABLE \"{quoted}\" (id TEXT PRIMARY KEY, n INTEGER) STRICT;
             CREATE TABLE kept (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO kept VALUES (1, 'a')"
        ),
    );
    let plan = format!(
        "name = \"hostile\"\ndescription = {description}\n[source]\nurl = \"sqlite:s.db\"\n\
         [target]\nurl = \"sqlite:t.db\"\n[defaults]\nmax_rejects = 10\n\
         [[protect]]\ntable = \"kept\"\n\
         [[step]]\nname = {step}\ncopy = \"s\"\ninto = {table}\nexpect = {{ after = 1 }}\n\
         [step.columns]\nid = \"id\"\nn = {{ from = \"n\", cast = \"integer\" }}\n\
         [[step]]\nname = \"touch\"\nsql = \"UPDATE kept SET v = 'b'\"\nundo = \"UPDATE kept SET v = 'a'\"\n\
         [[check]]\nname = {check}\nsql = \"SELECT id FROM kept\"\nvalue = {value}\n\
         [[check]]\nname = {long}\nsql = \"SELECT v FROM kept\"\nvalue = {value}\n",
        description = toml(&format!("{SCRIPT} &amp; {QUOTES}")),
        step = toml(&format!("{SCRIPT}{RIGHT_TO_LEFT}")),
        table = toml(&table).replace("\\u202e", "\u{202e}"),
        check = toml(QUOTES),
        value = toml(&format!("{long}{SCRIPT}")),
        long = toml(&"c".repeat(10_000)),
    );
    world.write("p.toml", &plan);
    world
}

#[test]
fn hostile_names_and_values_stay_text() {
    let world = hostile();
    world.run(&["run", "p.toml"]).code(3);
    let html = page(&world);
    is_harmless(&html);
    assert!(!html.contains('\u{202e}'), "what turns the direction is made visible");
    assert!(html.contains("\\u{202e}"));
    let title = texts(&html, ".verdict strong");
    assert_eq!(title, ["The run came to its end, but 3 things differ"]);
    let shown = texts(&html, "bdi");
    assert!(shown.iter().any(|text| text.contains(SCRIPT)), "{shown:?}");
    assert!(shown.iter().any(|text| text.contains(QUOTES)), "{shown:?}");
    assert!(shown.iter().all(|text| text.len() < 2000 || text.contains("[[step]]")), "shortened");
    // All of it is in the document.
    let document = document(&world);
    assert_eq!(document["checks"][1]["check"].as_str().unwrap().len(), 10_000);
    assert_eq!(document["rejects"]["count"], 3);
    assert_eq!(document["protected"][0]["difference_count"], 1);
    assert_eq!(document["tables"].as_array().unwrap().len(), 2);
    let keys: Vec<&str> = document["rejects"]["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert!(keys.iter().any(|key| key.contains("<script>")), "{keys:?}");
}

#[test]
fn a_report_says_what_the_demo_did_and_is_the_same_twice() {
    let world = World::new();
    world.run(&["demo", "d"]).ok();
    let make = |name: &str| {
        world.run(&["report", "d/plan.toml", "-o", name]).ok();
        std::fs::read(world.path(name)).unwrap()
    };
    let (one, two) = (make("one.html"), make("two.html"));
    assert!(one == two, "byte by byte");
    // A report is written over, another file is not.
    make("one.html");
    world.write("notes.txt", "mine");
    let refused = world.run(&["report", "d/plan.toml", "-o", "notes.txt"]).code(2);
    assert!(refused.err.contains("is no report"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(world.path("notes.txt")).unwrap(), "mine");
    world.run(&["report", "d/plan.toml", "-o", "notes.txt", "--force"]).ok();
    let mode = std::fs::metadata(world.path("one.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let html = String::from_utf8(one).unwrap();
    is_harmless(&html);
    assert_eq!(texts(&html, ".verdict.good strong"), ["Done: everything that was expected holds"]);
    let total = texts(&html, "tfoot td");
    assert_eq!(total[..4], ["Total", "4,482", "5,209", "+727"]);
    let rows = texts(&html, "tbody tr");
    assert!(rows.iter().any(|row| row.starts_with("workflowsprotected+116 by")), "{rows:?}");
    // The same from standard output, and what the database knows.
    let out = world.run(&["report", "d/plan.toml"]).ok().out;
    assert_eq!(out, html);
    let json = world.run(&["report", "d/plan.toml", "--json"]).ok().out;
    let json: Json = serde_json::from_str(&json).unwrap();
    let rows: u64 = json["pace"]["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, 832);
    assert_eq!(json["protected"].as_array().unwrap().len(), 5);
    assert!(json["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true));
    assert!(json["plan"]["text"].as_str().unwrap().contains("[[step]]"));
    assert_eq!(json["plan"]["changed_since"], false);
}

#[test]
fn waits_retries_rejects_and_ends_show_on_every_database() {
    for db in Db::ALL {
        let pair = Pair::new(160, Db::Sqlite, db);
        pair.sql(&pair.source, "UPDATE s SET name = 'bad' WHERE id = 300");
        let options = |rate: u32| {
            format!(
                "[defaults]\nbatch_rows = 20\nmax_rejects = 1\n[throttle]\nrows_per_second = {rate}"
            )
        };
        write_plan(&pair, &options(30));
        let never = pair.world.run(&["report", "p.toml"]).code(2);
        assert!(never.err.contains("has never run"), "{}", never.err);
        let mut first = spawn(&pair, &["run", "p.toml"]);
        wait_for_batches(&pair, 2);
        let running = document(&pair.world);
        assert_eq!(running["run"]["state"], "running", "{db:?}");
        assert_eq!(running["verdict"]["level"], "open");
        let table = &running["tables"][0];
        assert!((1..160).contains(&table["after"].as_u64().unwrap()), "{db:?}: {table}");
        assert!(!page(&pair.world).contains("does not hold"), "{db:?}: too early to say");
        first.kill().unwrap();
        first.wait().unwrap();
        let killed = document(&pair.world);
        assert_eq!(killed["run"]["state"], "interrupted", "{db:?}");
        assert!(killed["verdict"]["title"].as_str().unwrap().starts_with("Not finished"));
        assert!(page(&pair.world) == page(&pair.world), "it stands still, and so does its page");
        write_plan(&pair, &options(200));
        end(spawn(&pair, &["run", "p.toml", "-q"])).ok();
        let document = document(&pair.world);
        assert_eq!(document["verdict"]["level"], "attention", "{db:?}: {}", document["verdict"]);
        assert_eq!(document["rejects"]["count"], 1);
        assert_eq!(document["rejects"]["reasons"][0]["step"], "copy");
        let waits = document["waits"].as_array().unwrap();
        assert!(!waits.is_empty() && waits.len() < 10, "{db:?}: spans, not waits: {waits:?}");
        let waited: f64 = waits.iter().map(|wait| wait["seconds"].as_f64().unwrap()).sum();
        assert!(waited > 0.1, "{db:?}: {waits:?}");
        assert!(waits.iter().all(|wait| wait["name"] == "rows_per_second"), "{waits:?}");
        let points = document["pace"]["points"].as_array().unwrap();
        assert!((2..=240).contains(&points.len()), "{points:?}");
        let sum = |key: &str| points.iter().map(|one| one[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(
            (sum("rows"), sum("batches")),
            (160, document["pace"]["batches"].as_u64().unwrap())
        );
        for point in points {
            let at = |key: &str| point[key].as_f64().unwrap();
            assert!(
                0.0 < at("p50") && at("p50") <= at("p95") && at("p95") <= at("most"),
                "{point}"
            );
        }
        let html = page(&pair.world);
        assert!(!texts(&html, "rect.wait").is_empty() && !texts(&html, "path.mark").is_empty());
        write_plan(&pair, "[defaults]\nbatch_rows = 20\nmax_rejects = 1");
        pair.world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert!(page(&pair.world).contains("Rolled back"), "{db:?}");
    }
}

#[test]
fn no_report_holds_a_password() {
    let pair = Pair::new(10, Db::Sqlite, Db::Postgres);
    let target = pair.target.replacen("dba@", "dba:hunter2canary@", 1);
    pair.world.write("p.toml", &crate::pair::plan(&pair.source, &target, ""));
    pair.world.run(&["run", "p.toml"]).ok();
    let html = page(&pair.world);
    assert!(html.contains("dba:•••@"), "the plan is there");
    assert!(!html.contains("hunter2canary"));
    assert!(!document(&pair.world).to_string().contains("hunter2canary"));
    let ledger = pair.rows("SELECT string_agg(body, '') FROM tablelift.events");
    assert!(!ledger[0].contains("hunter2canary"));
}

#[test]
fn what_a_later_verify_found_is_in_the_verdict() {
    let pair = Pair::new(200, Db::Sqlite, Db::Sqlite);
    write_plan(&pair, "");
    pair.world.run(&["run", "p.toml"]).ok();
    let before = document(&pair.world);
    assert_eq!(before["content"], serde_json::json!([]));
    pair.sql(&pair.target, "UPDATE t SET name = 'other' WHERE id = 6; DELETE FROM t WHERE id = 9");
    pair.world.run(&["verify", "p.toml"]).code(3);
    let after = document(&pair.world);
    let content = &after["content"][0];
    assert_eq!((&content["different"], &content["missing"]), (&1.into(), &1.into()), "{content}");
    assert_eq!(after["verdict"]["level"], "bad");
    assert_eq!(after["waits"], before["waits"], "what verify waits for is no wait of the run");
    let html = page(&pair.world);
    assert!(html.contains("a later `verify` found rows that differ"), "{html}");
    pair.world.run(&["verify", "p.toml", "--repair"]).ok();
    assert_eq!(document(&pair.world)["verdict"]["level"], "good");
}
