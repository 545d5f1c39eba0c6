//! The routes against each other: whichever a step takes, the same rows arrive, the same rows
//! are rejected for the same reasons, and the same numbers are told.

use std::time::Instant;

use crate::common::{Postgres, World};

/// Some with values that a rule refuses (`n` is no number), that the target's column refuses
/// (NULL) and that its CHECK refuses.
const ROWS: u32 = 500;

fn value(n: u32, postgres: bool) -> String {
    let name = match n % 97 {
        11 => "NULL".to_owned(),
        12 => "'bad'".to_owned(),
        _ => format!("'n\"{n}é'"),
    };
    let number = if n % 101 == 7 { "'no number'".to_owned() } else { format!("'{n}.50'") };
    let document = match (n % 5, postgres) {
        (0, _) => "NULL".to_owned(),
        (1, _) => format!("'{{\"n\": {n}, \"e\": 1.0e2}}'"),
        _ => "'[\"\\u00e9\", 18446744073709551616]'".to_owned(),
    };
    format!("({}, {name}, {number}, {document}, '2024-01-31 10:00:{:02}')", n * 3, n % 60)
}

fn legacy(postgres: bool) -> String {
    let rows: Vec<String> = (1..=ROWS).map(|n| value(n, postgres)).collect();
    let types = if postgres {
        "id bigint PRIMARY KEY, name text, n text, doc json, seen timestamp"
    } else {
        "id INTEGER PRIMARY KEY, name TEXT, n TEXT, doc JSON, seen TEXT"
    };
    format!("CREATE TABLE legacy ({types}); INSERT INTO legacy VALUES {};", rows.join(","))
}

fn target(postgres: bool) -> &'static str {
    if postgres {
        "CREATE TABLE target (id bigint PRIMARY KEY, name text NOT NULL CHECK (name <> 'bad'),
         n numeric, seen timestamp, data jsonb NOT NULL);"
    } else {
        "CREATE TABLE target (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'bad'),
         n NUMERIC, seen TEXT, data JSON NOT NULL);"
    }
}

/// What a run left behind: the rows, the rejects, and the step's figures.
#[derive(Debug, PartialEq)]
struct Left {
    rows: Vec<String>,
    rejects: Vec<String>,
    figures: Vec<String>,
}

/// Runs a copy and says which route it took. `joint`: source and target in one database.
fn run(
    ends: (bool, bool),
    joint: bool,
    number: &str,
    conflict: &str,
    workers: u32,
) -> (String, Left) {
    let world = World::new();
    let goal = ends.1.then(Postgres::new);
    let from = (ends.0 && !joint).then(Postgres::new);
    match (&from, &goal, joint) {
        (Some(database), _, _) | (None, Some(database), true) => database.sql(&legacy(true)),
        (None, _, joint) => world.sqlite(if joint { "t.db" } else { "s.db" }, &legacy(false)),
    }
    match &goal {
        Some(database) => database.sql(target(true)),
        None => world.sqlite("t.db", target(false)),
    }
    let url = |database: &Option<Postgres>, file: &str| {
        database.as_ref().map_or(format!("sqlite:{file}"), |database| database.url.clone())
    };
    let to = url(&goal, "t.db");
    let source = if joint { to.clone() } else { url(&from, "s.db") };
    world.write(
        "p.toml",
        &format!(
            "name = \"routes\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{to}\"\n\
             [defaults]\nbatch_rows = 64\nworkers = {workers}\nmax_rejects = 100\n\
             [[step]]\nname = \"copy\"\ncopy = \"legacy\"\ninto = \"target\"\non_conflict = \"{conflict}\"\n\
             [step.columns]\nid = \"id\"\nname = \"name\"\n\
             n = {number}\nseen = \"seen\"\n\
             data = {{ json = [\"doc\", \"name\", \"seen\"] }}\n"
        ),
    );
    let begun = Instant::now();
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let elapsed = begun.elapsed().as_secs_f64();
    let ask = |sql: &str| match &goal {
        Some(database) => database.rows(sql),
        None => world.sqlite_rows("t.db", sql),
    };
    let ledger = if ends.1 { "tablelift." } else { "tablelift_" };
    let step = ran.events("step_finished")[0].clone();
    let left = Left {
        rows: ask("SELECT id, name, n, seen, data FROM target ORDER BY id"),
        rejects: ask(&format!(
            "SELECT row_key, column_name, reason FROM {ledger}rejects ORDER BY row_key"
        )),
        figures: ["copied", "skipped", "rejected"].map(|name| step[name].to_string()).into(),
    };
    let seconds = step["seconds"].as_f64().unwrap();
    assert!(0.0 < seconds && seconds <= elapsed, "{seconds} of {elapsed}, {workers} workers");
    let sums = ask(&format!("SELECT sum(read_rows), sum(inserted) FROM {ledger}batches"));
    assert_eq!(sums, [format!("{ROWS}|{}", left.rows.len())]);
    (step["route"].as_str().unwrap().split(':').next().unwrap().to_owned(), left)
}

/// What `n` becomes where a rule refuses some rows: no SQL does that in its place.
const CAST: &str = r#"{ from = "n", cast = "numeric(12,2)" }"#;
/// What it becomes where SQL can do all.
const LENGTH: &str = r#"{ sql = "CAST(length(n) AS numeric)" }"#;

/// All routes between a kind of source and a kind of target.
fn agree(ends: (bool, bool), number: &str, routes: &[&str]) {
    let mut first: Option<(String, Left)> = None;
    let mut taken = Vec::new();
    for joint in [false, true] {
        if joint && ends.0 != ends.1 {
            continue;
        }
        for conflict in ["fail", "skip"] {
            for workers in [1, 3] {
                let (route, left) = run(ends, joint, number, conflict, workers);
                let what =
                    format!("{route}, {ends:?}, joint {joint}, {conflict}, {workers} workers");
                assert!(left.rejects.len() > 8, "{what}: {:?}", left.rejects);
                if !taken.contains(&route) {
                    taken.push(route);
                }
                match &first {
                    None => first = Some((what, left)),
                    Some((other, expected)) => {
                        assert_eq!(expected.rejects, left.rejects, "{other} and {what}");
                        assert_eq!(expected.figures, left.figures, "{other} and {what}");
                        let differ =
                            expected.rows.iter().zip(&left.rows).find(|(one, two)| one != two);
                        assert_eq!(differ, None, "{other} and {what}");
                        assert_eq!(expected.rows.len(), left.rows.len(), "{other} and {what}");
                    }
                }
            }
        }
    }
    taken.sort();
    assert_eq!(taken, routes, "{ends:?}");
}

#[test]
fn all_routes_into_postgres_agree() {
    agree((true, true), LENGTH, &["decode", "pushdown", "stream"]);
    agree((true, true), CAST, &["decode", "stream"]);
    agree((false, true), LENGTH, &["decode", "stream"]);
    agree((false, true), CAST, &["decode", "stream"]);
}

#[test]
fn all_routes_into_sqlite_agree() {
    agree((false, false), LENGTH, &["pushdown", "stream"]);
    agree((false, false), CAST, &["decode", "stream"]);
    agree((true, false), LENGTH, &["decode", "stream"]);
    agree((true, false), CAST, &["decode", "stream"]);
}

/// A table without a key is one transaction, however many pages it has: the reader must not
/// wait for a writer that waits for the reader.
#[test]
fn tables_without_key_are_read_to_their_end() {
    for ends in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new();
        let (from, goal) = (ends.0.then(Postgres::new), ends.1.then(Postgres::new));
        let fill = "CREATE TABLE s (v integer, t text);";
        match &from {
            Some(database) => database.sql(&format!(
                "{fill} INSERT INTO s SELECT n, repeat('x', 3000) FROM generate_series(1, 5000) n"
            )),
            None => world.sqlite(
                "s.db",
                &format!(
                    "{fill} WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 5000)
                     INSERT INTO s SELECT v, hex(zeroblob(1500)) FROM n"
                ),
            ),
        }
        let table = "CREATE TABLE t (v integer, t text)";
        match &goal {
            Some(database) => database.sql(table),
            None => world.sqlite("t.db", table),
        }
        let url = |database: &Option<Postgres>, file: &str| {
            database.as_ref().map_or(format!("sqlite:{file}"), |database| database.url.clone())
        };
        world.write(
            "p.toml",
            &format!(
                "name = \"keyless\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
                 [defaults]\nbatch_rows = 100\n\
                 [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\nexpect = {{ source = 5000, after = 5000 }}\n",
                url(&from, "s.db"),
                url(&goal, "t.db"),
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        let sum = "SELECT count(*), sum(v) FROM t";
        let found = match &goal {
            Some(database) => database.rows(sum),
            None => world.sqlite_rows("t.db", sum),
        };
        assert_eq!(found, ["5000|12502500"], "{ends:?}");
    }
}
