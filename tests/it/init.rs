//! `init`: the draft passes check, runs and proves itself without an edit.

use tablelift::sql::Flavor;

use crate::common::{Db, Mariadb, Postgres, Ran, Store, World, ran};

/// The demo's target tables, for PostgreSQL.
const TARGET: &str = "
    CREATE TABLE workflows (id uuid PRIMARY KEY, name text NOT NULL, description text,
      status varchar(20) NOT NULL DEFAULT 'active', created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE tools (id uuid PRIMARY KEY, name text NOT NULL, metadata jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE tasks (id uuid PRIMARY KEY, workflow_id uuid NOT NULL REFERENCES workflows(id),
      title text NOT NULL, position integer NOT NULL, metadata jsonb NOT NULL);";

fn draft(world: &World, source: &str, target: &str, more: &[&str]) -> Ran {
    let arguments = ["init", "--source", source, "--target", target, "-o", "p.toml"];
    world.run(&[&arguments, more].concat())
}

fn text(world: &World) -> String {
    std::fs::read_to_string(world.path("p.toml")).unwrap()
}

/// Drafts, checks, runs, proves and takes back, all with exit code 0 and no edit.
#[track_caller]
fn lives(world: &World, source: &str, target: &str, more: &[&str]) -> String {
    let drafted = draft(world, source, target, more).ok();
    assert!(drafted.err.contains("check passes"), "{}", drafted.err);
    for arguments in [&["check", "p.toml"][..], &["run", "p.toml"], &["verify", "p.toml"]] {
        world.run(arguments).ok();
    }
    // The ledger, which is there now, is no table of anybody's plan.
    let again = world.run(&["init", "--source", source, "--target", target, "--no-counts"]);
    assert!(!again.out.contains("tablelift_"), "{}", again.out);
    text(world)
}

/// The plan's lines that are no comments.
fn active(plan: &str) -> Vec<&str> {
    plan.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// Places of the active steps, in order.
fn steps(plan: &str) -> Vec<&str> {
    active(plan).into_iter().filter_map(|line| line.strip_prefix("into = ")).collect()
}

#[test]
fn the_demo_lives_in_one_file_and_in_two() {
    let world = World::new();
    world.run(&["demo", ".", "--prepare"]).ok();
    let legacy = "sqlite:digital-health.db";
    let sqlite = TARGET.replace("uuid", "TEXT").replace("jsonb", "JSON");
    world.sqlite("t.db", &sqlite.replace("timestamptz", "TEXT").replace("now()", "''"));
    lives(&world, legacy, "sqlite:t.db", &["--tables", "dh_*"]);
    let counts = "SELECT (SELECT count(*) FROM tools), (SELECT count(*) FROM workflows), \
                  (SELECT count(*) FROM tasks)";
    assert_eq!(world.sqlite_rows("t.db", counts), ["150|116|343"]);
    std::fs::remove_file(world.path("p.toml")).unwrap();

    draft(&world, legacy, legacy, &[]).ok();
    let ours = "SELECT name FROM sqlite_master WHERE name LIKE 'tablelift%'";
    assert_eq!(world.sqlite_rows("digital-health.db", ours), [""; 0], "init changes nothing");
    let plan = lives(&world, legacy, legacy, &["--force"]);
    assert_eq!(world.sqlite_rows("digital-health.db", counts), ["150|257|343"]);
    assert_eq!(steps(&plan), ["\"tools\"", "\"workflows\"", "\"tasks\""], "{plan}");
    for line in [
        "url = \"sqlite:digital-health.db\"",
        "expect = { source = 116, before = 141, after = 257 }",
        "metadata = { json = \"*\" }",
        "rows = 3570",
    ] {
        assert!(active(&plan).contains(&line), "{line} is missing in:\n{plan}");
    }
    assert!(plan.contains("# copy = \"dh_use_case\""), "{plan}");
    assert!(plan.contains("DANGER: NOT COPIED: use_case_id, domain_id"), "{plan}");
    let folded = "SELECT json_extract(metadata, '$.code') FROM tools ORDER BY 1 LIMIT 1";
    assert_eq!(world.sqlite_rows("digital-health.db", folded), ["TL-0001"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(world.sqlite_rows("digital-health.db", counts), ["0|141|0"]);
}

#[test]
fn the_demo_lives_on_postgres() {
    let (world, database) = (World::new(), Postgres::new());
    let script: Vec<String> = tablelift::demo::statements(Flavor::Postgres).collect();
    database.sql(&script.join("\n"));
    let plan = lives(&world, &database.url, &database.url, &[]);
    assert_eq!(steps(&plan), ["\"tools\"", "\"workflows\"", "\"tasks\""], "{plan}");
    let counts = "SELECT (SELECT count(*) FROM tools), (SELECT count(*) FROM workflows), \
                  (SELECT count(*) FROM tasks)";
    assert_eq!(database.rows(counts), ["150|257|343"]);
}

#[test]
fn a_legacy_schema_of_mariadb_lives_on_postgres() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "CREATE TABLE dh_workflow (id char(36) PRIMARY KEY, name varchar(80) NOT NULL,
           workflow_description text, is_template tinyint(1) NOT NULL, created_at datetime(6) NOT NULL,
           born datetime);
         CREATE TABLE dh_task (id char(36) PRIMARY KEY, workflow_id char(36) NOT NULL,
           title varchar(80) NOT NULL, position int unsigned NOT NULL, config json,
           FOREIGN KEY (workflow_id) REFERENCES dh_workflow (id));
         CREATE TABLE dh_tool (id char(36) PRIMARY KEY, name varchar(80) NOT NULL, price decimal(12,2),
           is_active tinyint(1) NOT NULL, createdAt timestamp(3) NOT NULL);
         SET sql_mode = '';
         INSERT INTO dh_workflow SELECT uuid(), concat('w', seq), NULL, seq % 2,
           '2024-02-29 12:00:00.25', '0000-00-00' FROM seq_1_to_9;
         INSERT INTO dh_task SELECT uuid(), w.id, 't', seq, '{\"a\": 1.50}'
           FROM dh_workflow w, seq_1_to_3;
         INSERT INTO dh_tool SELECT uuid(), 'é', 1.10, 1, '2024-02-29 12:00:00' FROM seq_1_to_5;",
    );
    target.sql(TARGET);
    let plan = lives(&world, &source.url, &target.url, &[]);
    // The order of the target's foreign keys, not of the alphabet.
    assert_eq!(steps(&plan), ["\"tools\"", "\"workflows\"", "\"tasks\""], "{plan}");
    assert!(plan.contains("cast = \"timestamptz\", zone = \"UTC\" }"), "{plan}");
    assert!(plan.contains("created_at = \"createdAt\""), "{plan}");
    for danger in ["dates with zeros", "in the place of UTC", "TINYINT(1) goes into JSON"] {
        assert!(plan.replace("\n#  ", "").contains(danger), "{danger} is missing in:\n{plan}");
    }
    let rows = "SELECT count(*), min(created_at)::text FROM workflows";
    assert_eq!(target.rows(rows), ["9|2024-02-29 12:00:00.25+00"]);
    assert_eq!(target.rows("SELECT count(*) FROM tasks"), ["27"]);
    assert_eq!(
        target.rows("SELECT DISTINCT metadata::text FROM tools"),
        ["{\"price\": 1.10, \"is_active\": 1}"]
    );
}

#[test]
fn hostile_names_are_just_names() {
    let names = ["a\"; drop table b; --", "x.y", "ta'ble\n[[step]]", "Ünï ${HOME} `#`", "tab\tle"];
    let columns = ["i\"d", "a\nb", "c.d = 'e'", "日本 \\u0041", "s`t"];
    for db in Db::ALL {
        let (one, other) = (World::new(), World::new());
        let (source, target) = (Store::new(db, &one), Store::new(db, &other));
        let quote = |name: &str| match db {
            Db::Mariadb => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        };
        let list: Vec<String> =
            columns[1..].iter().map(|name| format!("{} text", quote(name))).collect();
        for name in names {
            let ddl = format!(
                "CREATE TABLE {} ({} integer PRIMARY KEY, {});",
                quote(name),
                quote(columns[0]),
                list.join(", ")
            );
            target.sql(&ddl);
            source.sql(&format!(
                "{ddl} INSERT INTO {} VALUES (1, 'a', 'b', 'c', 'd'), (2, '1', '2', NULL, '4');",
                quote(name)
            ));
        }
        source.sql("CREATE TABLE b (x integer PRIMARY KEY); INSERT INTO b VALUES (1);");
        let plan = lives(&one, &source.url(), &target.url(), &["--snapshot", "s.json"]);
        assert_eq!(steps(&plan).len(), names.len(), "{db:?}: {plan}");
        for name in names {
            let rows = format!("SELECT * FROM {} ORDER BY 1", quote(name));
            assert_eq!(target.rows(&rows), ["1|a|b|c|d", "2|1|2|∅|4"], "{db:?} {name}");
        }
        let snapshot = std::fs::read_to_string(one.path("s.json")).unwrap();
        let snapshot: serde_json::Value = serde_json::from_str(&snapshot).unwrap();
        let found = snapshot["source"]["tables"].as_array().unwrap();
        assert_eq!(found.len(), names.len() + 1);
        assert!(names.iter().all(|name| found.iter().any(|table| table["name"] == *name)));
    }
}

#[test]
fn what_can_not_be_decided_is_left_out_and_said() {
    for db in Db::ALL {
        let (one, other) = (World::new(), World::new());
        let (source, target) = (Store::new(db, &one), Store::new(db, &other));
        source.sql(
            "CREATE TABLE users (id integer PRIMARY KEY, name varchar(20));
             CREATE TABLE old_user (id integer PRIMARY KEY, name varchar(20));
             CREATE TABLE log (line varchar(20)); INSERT INTO log VALUES ('a'), ('a');
             CREATE TABLE orders (id integer PRIMARY KEY, total integer);
             CREATE TABLE item (id integer PRIMARY KEY, a_b integer, ab integer);",
        );
        target.sql(
            "CREATE TABLE \"user\" (id integer PRIMARY KEY, name varchar(20));
             CREATE TABLE log (line varchar(20));
             CREATE TABLE orders (id integer PRIMARY KEY, total integer, due varchar(9) NOT NULL);
             CREATE TABLE items (id integer PRIMARY KEY, a__b integer,
               FOREIGN KEY (id) REFERENCES orders (id));
             CREATE TABLE kept (id integer PRIMARY KEY); INSERT INTO kept VALUES (1), (2);"
                .replace('"', if db == Db::Mariadb { "`" } else { "\"" })
                .as_str(),
        );
        let plan = lives(&one, &source.url(), &target.url(), &[]);
        let flat = plan.replace("\n#  ", "");
        assert_eq!(steps(&plan), ["\"log\"", "\"items\"", "\"user\""], "{db:?}: {plan}");
        for said in [
            "# due = { value = \"TODO\" }",
            "NOT ACTIVE: NOT NULL without a default and without a source: due",
            "points into orders, and the step for orders is commented out",
            "user would fit by its name, but users goes there",
            "the source table has no key: all rows go in one transaction",
            "not decided: a_b, ab could go into a__b",
            "NOT COPIED: a_b, ab",
        ] {
            assert!(flat.contains(said), "{db:?}: {said} is missing in:\n{plan}");
        }
        assert!(plan.contains("[[protect]]\ntable = \"kept\"\nrows = 2\n"), "{plan}");
        assert_eq!(target.rows("SELECT count(*) FROM log"), ["2"]);
    }
}

#[test]
fn referenced_tables_come_first_and_circles_are_said() {
    for db in Db::ALL {
        let (one, other) = (World::new(), World::new());
        let (source, target) = (Store::new(db, &one), Store::new(db, &other));
        let table = |name: &str, more: &str| {
            format!("CREATE TABLE {name} (id integer PRIMARY KEY, r integer{more}) ;")
        };
        for name in ["a", "b", "c", "y", "z"] {
            source.sql(&table(name, ""));
        }
        let to = |name: &str| format!(", FOREIGN KEY (r) REFERENCES {name} (id)");
        target.sql(&[table("c", ""), table("b", &to("c")), table("a", &to("b"))].concat());
        if db == Db::Sqlite {
            target.sql(&[table("y", &to("z")), table("z", &to("y"))].concat());
        } else {
            target.sql(&[table("y", ""), table("z", &to("y"))].concat());
            target.sql("ALTER TABLE y ADD FOREIGN KEY (r) REFERENCES z (id)");
        }
        let plan = lives(&one, &source.url(), &target.url(), &[]);
        let order = ["\"c\"", "\"b\"", "\"a\"", "\"y\"", "\"z\""];
        assert_eq!(steps(&plan), order, "{db:?}: {plan}");
        assert!(plan.contains("DANGER: foreign keys run in a circle: y → z → y"), "{plan}");
    }
}

#[test]
fn passwords_are_not_written_and_files_that_are_there_are_kept() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql("CREATE TABLE old_t (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY);");
    let url = database.url.replacen("@", ":hunter2@", 1);
    let with = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("TABLELIFT_SOURCE", &url).env("TABLELIFT_TARGET", &url);
        ran(command.output().unwrap())
    };
    let ask = ["init", "-o", "p.toml", "--snapshot", "s.json"];
    let drafted = with(&ask).ok();
    assert!(drafted.err.contains("next: export SOURCE_URL and TARGET_URL"), "{}", drafted.err);
    let json = with(&[&ask[..], &["--force", "--json"]].concat()).ok();
    let plan = text(&world);
    assert!(
        plan.contains("[source]\nurl = \"${SOURCE_URL}\"\n[target]\nurl = \"${TARGET_URL}\"\n")
    );
    let snapshot = std::fs::read_to_string(world.path("s.json")).unwrap();
    for said in [&plan, &snapshot, &drafted.out, &drafted.err, &json.out, &json.err] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    let mut check = world.command(&["check", "p.toml"]);
    ran(check.env("SOURCE_URL", &url).env("TARGET_URL", &url).output().unwrap()).ok();
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document["ok"], true);
    assert_eq!(document["draft"]["steps"][0]["source"], "old_t");

    world.write("p.toml", "mine");
    std::fs::remove_file(world.path("s.json")).unwrap();
    let refused = with(&ask).code(2);
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(text(&world), "mine");
    assert!(!world.path("s.json").exists());
    std::fs::rename(world.path("p.toml"), world.path("s.json")).unwrap();
    with(&ask).code(2);
    assert!(!world.path("p.toml").exists(), "both files or none");
}

#[test]
fn stdout_is_a_plan_and_trouble_is_exit_code_2() {
    let world = World::new();
    world.sqlite(
        "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x');",
    );
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);");
    world.sqlite("e.db", "CREATE TABLE other (id INTEGER PRIMARY KEY);");
    let (source, target) = ("--source=sqlite:s.db", "--target=sqlite:t.db");
    let quiet = world.run(&["init", source, target, "--quiet"]).ok();
    assert_eq!(quiet.err, "");
    world.write("p.toml", &quiet.out);
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(world.sqlite_rows("t.db", "SELECT * FROM t"), ["1|x"]);
    let fast = world.run(&["init", source, target, "--no-counts"]).ok();
    assert!(!active(&fast.out).iter().any(|line| line.starts_with("expect")), "{}", fast.out);

    for (arguments, said) in [
        (&["init", source][..], "init needs both databases"),
        (&["init", source, "--target=sqlite:nothing.db"], "nothing.db"),
        (&["init", source, "--target=postgres://u@127.0.0.1:1/d"], "127.0.0.1:1"),
        (&["init", source, "--target=redis://h"], "unknown scheme"),
        (&["init", source, target, "--tables", "nope_*"], "fits no table"),
        (&["init", source, target, "-o", "no/p.toml"], "there is no folder no"),
        (&["init", source, "--target=sqlite:e.db"], "the plan has no step"),
    ] {
        let ran = world.run(arguments).code(2);
        assert!(ran.err.contains(said), "{said} is missing in:\n{}", ran.err);
    }
    assert!(!world.path("nothing.db").exists());
}

#[test]
fn what_check_refuses_is_commented_out_with_its_reason() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    // A real number makes no key to go on after.
    source.sql(
        "CREATE TABLE t (id real PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY, r numeric)",
    );
    target.sql(
        "CREATE TABLE t (id real PRIMARY KEY);
         CREATE TABLE u (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, r numeric(6,2));
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER watch BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION f();
         ALTER TABLE u ENABLE ROW LEVEL SECURITY;",
    );
    source.sql("INSERT INTO u VALUES (7, 1.5)");
    let plan = lives(&world, &source.url, &target.url, &[]);
    assert_eq!(steps(&plan), ["\"u\""], "{plan}");
    let flat = plan.replace("\n#  ", "");
    for said in [
        "NOT ACTIVE: check says: table t: the key column `id` has the type real",
        "GENERATED ALWAYS AS IDENTITY",
        "triggers of the target fire for every row, and what they change or write is not taken back: watch",
        "row level security is on",
        "decimal places would be rounded; such rows are rejected",
    ] {
        assert!(flat.contains(said), "{said} is missing in:\n{plan}");
    }
    assert_eq!(target.rows("SELECT * FROM u"), ["7|1.50"]);
}

#[test]
fn keys_that_fold_case_are_said() {
    for (db, collation) in [
        (Db::Sqlite, " COLLATE NOCASE"),
        (Db::Mariadb, " COLLATE utf8mb4_general_ci"),
        (Db::Postgres, " COLLATE ci"),
    ] {
        let (one, other) = (World::new(), World::new());
        let (source, target) = (Store::new(db, &one), Store::new(db, &other));
        if db == Db::Postgres {
            target.sql(
                "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            );
        }
        let table = |more: &str| {
            format!(
                "CREATE TABLE t (id integer PRIMARY KEY, code varchar(9){more} NOT NULL UNIQUE)"
            )
        };
        source.sql(&table(""));
        target.sql(&table(collation));
        if db == Db::Mariadb {
            source.sql("CREATE TABLE u (id integer PRIMARY KEY)");
            target.sql("CREATE TABLE u (id integer PRIMARY KEY) ENGINE = MyISAM");
        }
        let plan = lives(&one, &source.url(), &target.url(), &[]);
        assert_eq!(plan.contains("DANGER: target: its engine is MyISAM"), db == Db::Mariadb);
        assert!(plan.contains("DANGER: target: the unique column code"), "{db:?}: {plan}");
    }
}

#[test]
fn the_snapshot_holds_what_the_catalogs_say() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql(
        "CREATE TABLE p (a int, b int, PRIMARY KEY (b, a)) PARTITION BY RANGE (b);
         CREATE TABLE p_one PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE c (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, y int,
           code varchar(9) NOT NULL DEFAULT 'n/a' UNIQUE, twice int GENERATED ALWAYS AS (x * 2) STORED,
           CONSTRAINT to_p FOREIGN KEY (y, x) REFERENCES p (b, a));
         CREATE VIEW v AS SELECT * FROM c;
         INSERT INTO p VALUES (1, 2), (3, 4);",
    );
    world.sqlite("t.db", "CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT DEFAULT 'z')");
    draft(&world, &database.url, "sqlite:t.db", &["--snapshot", "s.json"]).ok();
    let text = std::fs::read_to_string(world.path("s.json")).unwrap();
    let snapshot: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot["format"], 1);
    let tables = snapshot["source"]["tables"].as_array().unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "p", "v"], "no partition");
    let (c, p) = (&tables[0], &tables[1]);
    assert_eq!(c["primary_key"], serde_json::json!(["id"]));
    assert_eq!(c["unique"], serde_json::json!([["code"]]));
    let key = serde_json::json!([{
        "name": "to_p", "columns": ["y", "x"], "table": "public.p", "references": ["b", "a"]
    }]);
    assert_eq!(c["foreign_keys"], key);
    let code = serde_json::json!({
        "name": "code", "type": "character varying(9)", "not_null": true,
        "default": "'n/a'::character varying", "generated": false, "identity": false
    });
    assert_eq!(c["columns"][3], code);
    assert_eq!(
        (&c["columns"][0]["identity"], &c["columns"][4]["generated"]),
        (&true.into(), &true.into())
    );
    assert_eq!((&p["rows"], &p["kind"]), (&2.into(), &"partitioned table".into()));
    assert_eq!(snapshot["target"]["database"], "sqlite");
    assert_eq!(snapshot["target"]["tables"][0]["columns"][1]["default"], "'z'");
    draft(&world, &database.url, "sqlite:t.db", &["--snapshot", "s.json", "--force"]).ok();
    assert_eq!(std::fs::read_to_string(world.path("s.json")).unwrap(), text, "the same every time");
}
