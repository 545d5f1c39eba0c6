//! All pairs of databases: types, keys, conflicts, every source column somewhere.

use crate::common::{Db, Mariadb, Postgres, Store, World};

const LEGACY_SQLITE: &str = "
CREATE TABLE legacy (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price NUMERIC, ratio REAL, ok BOOLEAN, doc JSON, blob BLOB, seen TEXT, note TEXT);
INSERT INTO legacy VALUES
 (-5, 'a\"b''c\\', 83476.5, 0.1, 1, '{\"n\": 1.10, \"big\": 18446744073709551616}', x'00ff', '2024-01-31 10:00:00+00', NULL),
 (0, '', 0, -0.0, 0, '[]', x'', '2024-02-29 00:00:00.5+00', ''),
 (1, 'NULL', NULL, 1e300, NULL, NULL, NULL, NULL, '\\N'),
 (9223372036854775807, 'é😀 tab	end', 1, 0.30000000000000004, 1, '\"s\"', x'7f', '0044-03-15 00:00:00+00', 'x');
";

const LEGACY_POSTGRES: &str = "
CREATE TABLE legacy (id bigint PRIMARY KEY, name text NOT NULL, price numeric, ratio float8, ok boolean, doc jsonb, blob bytea, seen timestamptz, note text);
INSERT INTO legacy VALUES
 (-5, E'a\"b''c\\\\', 83476.5, 0.1, true, '{\"n\": 1.10, \"big\": 18446744073709551616}', '\\x00ff', '2024-01-31 10:00:00+00', NULL),
 (0, '', 0, '-0', false, '[]', '\\x', '2024-02-29 00:00:00.5+00', ''),
 (1, 'NULL', NULL, 1e300, NULL, NULL, NULL, NULL, E'\\\\N'),
 (9223372036854775807, E'é😀 tab\\tend', 1, 0.30000000000000004, true, '\"s\"', '\\x7f', '0044-03-15 00:00:00+00', 'x');
";

const LEGACY_MARIADB: &str = "
CREATE TABLE legacy (id bigint PRIMARY KEY, name varchar(60) NOT NULL, price decimal(20,6), ratio double, ok tinyint(1), doc json, `blob` blob, seen timestamp(6) NULL, note text);
INSERT INTO legacy VALUES
 (-5, 'a\"b''c\\\\', 83476.5, 0.1, 1, '{\"n\": 1.10, \"big\": 18446744073709551616}', x'00ff', '2024-01-31 10:00:00', NULL),
 (0, '', 0, -0.0, 0, '[]', x'', '2024-02-29 00:00:00.5', ''),
 (1, 'NULL', NULL, 1e300, NULL, NULL, NULL, NULL, '\\\\N'),
 (9223372036854775807, 'é😀 tab\tend', 1, 0.30000000000000004, 1, '\"s\"', x'7f', '2038-01-19 03:14:07', 'x');
";

const TARGET_SQLITE: &str = "CREATE TABLE target (id INTEGER PRIMARY KEY, name TEXT NOT NULL, seen TEXT, data JSON NOT NULL);";
const TARGET_MARIADB: &str = "CREATE TABLE target (id bigint PRIMARY KEY, name varchar(60) NOT NULL, seen timestamp(6) NULL, data json NOT NULL);";
const TARGET_POSTGRES: &str = "CREATE TABLE target (id bigint PRIMARY KEY, name text NOT NULL, seen timestamptz, data jsonb NOT NULL);";

fn plan(source: &str, target: &str, extra: &str) -> String {
    format!(
        "name = \"pair\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 2\n{extra}\n\
         [[step]]\nname = \"copy\"\ncopy = \"legacy\"\ninto = \"target\"\n\
         expect = {{ source = 4, before = 0, after = 4 }}\n\
         [step.columns]\nid = \"id\"\nname = \"name\"\nseen = \"seen\"\n\
         data = {{ json = \"*\", with = {{ origin = {{ value = \"legacy\" }} }} }}\n"
    )
}

/// What every pair must make of the leftover columns, as PostgreSQL's jsonb shows it.
const EXPECTED: [&str; 4] = [
    r#"-5|a"b'c\|{"ok": true, "doc": {"n": 1.10, "big": 18446744073709551616}, "blob": "\\x00ff", "note": null, "price": 83476.5, "ratio": 0.1, "origin": "legacy"}"#,
    r#"0||{"ok": false, "doc": [], "blob": "\\x", "note": "", "price": 0, "ratio": 0, "origin": "legacy"}"#,
    r#"1|NULL|{"ok": null, "doc": null, "blob": null, "note": "\\N", "price": null, "ratio": 1e300, "origin": "legacy"}"#,
    "9223372036854775807|é😀 tab\tend|{\"ok\": true, \"doc\": \"s\", \"blob\": \"\\\\x7f\", \"note\": \"x\", \"price\": 1, \"ratio\": 0.30000000000000004, \"origin\": \"legacy\"}",
];

fn check(rows: &[String]) {
    let big = format!("1{}", "0".repeat(300));
    let rows: Vec<String> = rows.iter().map(|row| row.replace(&big, "1e300")).collect();
    assert_eq!(rows, EXPECTED);
}

/// A SQLite target's JSON, brought into jsonb's spelling by a server.
fn through_jsonb(world: &World, server: &Postgres) -> Vec<String> {
    let rows = world.sqlite_rows("t.db", "SELECT id, name, data FROM target ORDER BY id");
    rows.iter()
        .map(|row| {
            let (front, json) = row.split_at(row.find("|{").unwrap() + 1);
            let literal = format!("SELECT '{}'::jsonb", json.replace('\'', "''"));
            format!("{front}{}", server.rows(&literal)[0])
        })
        .collect()
}

#[test]
fn postgres_to_postgres_on_two_databases() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    source.sql(LEGACY_POSTGRES);
    target.sql(TARGET_POSTGRES);
    world.write("p.toml", &plan(&source.url, &target.url, ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert!(ran.events("step_finished")[0]["route"].as_str().unwrap().starts_with("stream"));
    check(&target.rows("SELECT id, name, data FROM target ORDER BY id"));
}

#[test]
fn postgres_to_itself() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql(LEGACY_POSTGRES);
    database.sql(TARGET_POSTGRES);
    world.write("p.toml", &plan(&database.url, &database.url, ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert!(ran.events("step_finished")[0]["route"].as_str().unwrap().starts_with("pushdown"));
    check(&database.rows("SELECT id, name, data FROM target ORDER BY id"));
    assert_eq!(
        database.rows("SELECT seen FROM target WHERE id = 0"),
        database.rows("SELECT seen FROM legacy WHERE id = 0")
    );
}

#[test]
fn postgres_to_sqlite() {
    let (world, source) = (World::new(), Postgres::new());
    source.sql(LEGACY_POSTGRES);
    world.sqlite("t.db", TARGET_SQLITE);
    world.write("p.toml", &plan(&source.url, "sqlite:t.db", ""));
    world.run(&["run", "p.toml"]).ok();
    check(&through_jsonb(&world, &source));
}

#[test]
fn sqlite_to_postgres() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite("s.db", LEGACY_SQLITE);
    target.sql(TARGET_POSTGRES);
    world.write("p.toml", &plan("sqlite:s.db", &target.url, ""));
    world.run(&["run", "p.toml"]).ok();
    check(&target.rows("SELECT id, name, data FROM target ORDER BY id"));
}

/// What MariaDB has no boolean and no plain decimals for.
fn as_mariadb_says(rows: &[String]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            row.replace("\"ok\": 1", "\"ok\": true")
                .replace("\"ok\": 0", "\"ok\": false")
                .replace("83476.500000", "83476.5")
                .replace("\"price\": 0.000000", "\"price\": 0")
                .replace("\"price\": 1.000000", "\"price\": 1")
        })
        .collect()
}

#[test]
fn mariadb_to_the_others() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(LEGACY_MARIADB);
    target.sql(TARGET_POSTGRES);
    world.write("p.toml", &plan(&source.url, &target.url, ""));
    world.run(&["run", "p.toml"]).ok();
    let rows = target.rows("SELECT id, name, data FROM target ORDER BY id");
    check(&as_mariadb_says(&rows));
    assert_eq!(
        target.rows("SELECT seen AT TIME ZONE 'UTC' FROM target ORDER BY id"),
        ["2024-01-31 10:00:00", "2024-02-29 00:00:00.5", "∅", "2038-01-19 03:14:07"]
    );
    world.sqlite("t.db", TARGET_SQLITE);
    world.write("p.toml", &plan(&source.url, "sqlite:t.db", ""));
    world.run(&["run", "p.toml"]).ok();
    check(&as_mariadb_says(&through_jsonb(&world, &target)));
}

#[test]
fn the_others_to_mariadb() {
    for postgres in [true, false] {
        let (world, server, target) = (World::new(), Postgres::new(), Mariadb::new());
        server.sql(LEGACY_POSTGRES);
        world.sqlite("s.db", LEGACY_SQLITE);
        let source = if postgres { server.url.clone() } else { "sqlite:s.db".to_owned() };
        // A TIMESTAMP of MariaDB begins in 1970.
        target.sql(&TARGET_MARIADB.replace("timestamp(6)", "datetime(6)"));
        let text = plan(&source, &target.url, "")
            .replace("seen = \"seen\"", "seen = { from = \"seen\", cast = \"timestamp\" }");
        world.write("p.toml", &text);
        world.run(&["run", "p.toml"]).ok();
        let rows = target.rows("SELECT id, name, data FROM target ORDER BY id");
        // The client shows the tab as it is, which parts columns in an answer.
        let rows: Vec<String> = rows
            .iter()
            .map(|row| row.replace("tab|end", "tab\tend").replacen("1|∅|", "1|NULL|", 1))
            .map(|row| {
                let (front, json) = row.split_at(row.find("|{").unwrap() + 1);
                let literal = format!("SELECT '{}'::jsonb", json.replace('\'', "''"));
                format!("{front}{}", server.rows(&literal)[0])
            })
            .collect();
        check(&rows);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(target.rows("SELECT count(*) FROM target"), ["0"]);
    }
}

#[test]
fn sqlite_to_sqlite_in_two_files_and_in_one() {
    let server = Postgres::new();
    for (source, route) in [("s.db", "stream"), ("t.db", "pushdown")] {
        let world = World::new();
        world.sqlite(source, LEGACY_SQLITE);
        world.sqlite("t.db", TARGET_SQLITE);
        world.write("p.toml", &plan(&format!("sqlite:{source}"), "sqlite:t.db", ""));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        assert!(ran.events("step_finished")[0]["route"].as_str().unwrap().starts_with(route));
        check(&through_jsonb(&world, &server));
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(world.sqlite_rows("t.db", "SELECT count(*) FROM target"), ["0"]);
    }
}

#[test]
fn composite_and_text_keys_move_every_row_once() {
    for db in Db::ALL {
        let world = World::new();
        let database = Store::new(db, &world);
        let text = if db == Db::Mariadb { "varchar(60) COLLATE utf8mb4_nopad_bin" } else { "text" };
        let ddl = "CREATE TABLE legacy (tenant text NOT NULL, code text NOT NULL, v integer, PRIMARY KEY (tenant, code));
                   CREATE TABLE target (tenant text NOT NULL, code text NOT NULL, v integer, PRIMARY KEY (tenant, code));";
        let rows: Vec<String> = (0..500)
            .map(|n| {
                format!("('t{}', '{}{}', {n})", n % 7, ["a", "A", "é", "", "~", "0"][n % 6], n)
            })
            .collect();
        let fill = format!("INSERT INTO legacy VALUES {}", rows.join(","));
        database.sql(&ddl.replace("text", text));
        database.sql(&fill);
        let url = database.url();
        world.write(
            "p.toml",
            &format!(
                "name = \"keys\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n[defaults]\nbatch_rows = 13\nworkers = 3\n\
                 [[step]]\nname = \"s\"\ncopy = \"legacy\"\ninto = \"target\"\nexpect = {{ after = 500 }}\n"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        let differ = "SELECT count(*) FROM (SELECT * FROM legacy EXCEPT SELECT * FROM target) x";
        let found = database.rows(differ);
        assert_eq!(found, ["0"]);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

#[test]
fn null_keys_and_tables_without_key_are_copied_whole() {
    let world = World::new();
    world.sqlite(
        "t.db",
        "CREATE TABLE a (id TEXT PRIMARY KEY, v INTEGER); INSERT INTO a VALUES (NULL, 1), (NULL, 2), ('x', 3), ('y', 4);
         CREATE TABLE b (v INTEGER); INSERT INTO b VALUES (1), (1), (2), (NULL);
         CREATE TABLE a2 (id TEXT, v INTEGER); CREATE TABLE b2 (v INTEGER);",
    );
    world.write(
        "p.toml",
        "name = \"nulls\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n\
         [[step]]\nname = \"a\"\ncopy = \"a\"\ninto = \"a2\"\nexpect = { source = 4, after = 4 }\n\
         [[step]]\nname = \"b\"\ncopy = \"b\"\ninto = \"b2\"\nexpect = { source = 4, after = 4 }\n",
    );
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(world.sqlite_rows("t.db", "SELECT v FROM a2 ORDER BY v"), ["1", "2", "3", "4"]);
    assert_eq!(world.sqlite_rows("t.db", "SELECT v FROM b2 ORDER BY v"), ["∅", "1", "1", "2"]);
    world.sqlite("t.db", "INSERT INTO b2 VALUES (1)");
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(
        world.sqlite_rows("t.db", "SELECT v FROM b2"),
        ["1"],
        "somebody else's equal row stays"
    );
}

#[test]
fn conflicts_fail_skip_or_update_and_roll_back() {
    for db in Db::ALL {
        for (mode, written, values) in
            [("skip", "2", "1:old,2:new,3:new"), ("update", "3", "1:new,2:new,3:new")]
        {
            let world = World::new();
            let database = Store::new(db, &world);
            let sql = "CREATE TABLE s (id integer PRIMARY KEY, v text); INSERT INTO s VALUES (1,'new'),(2,'new'),(3,'new');
                       CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1,'old');";
            database.sql(sql);
            let url = database.url();
            let rows = |ask: &str| database.rows(ask);
            world.write(
                "p.toml",
                &format!(
                    "name = \"c\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                     [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\non_conflict = \"{mode}\"\n"
                ),
            );
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            assert_eq!(ran.events("step_finished")[0]["copied"].to_string(), written, "{mode}");
            let all: Vec<String> = rows("SELECT id, v FROM t ORDER BY id");
            assert_eq!(all.join(",").replace('|', ":"), values);
            world.run(&["rollback", "p.toml", "--yes"]).ok();
            assert_eq!(rows("SELECT id, v FROM t ORDER BY id"), ["1|old"], "{mode}");
        }
    }
}

#[test]
fn sequences_stand_above_the_highest_key() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql(
        "CREATE TABLE s (id bigint PRIMARY KEY); INSERT INTO s SELECT generate_series(1, 50);
         CREATE TABLE t1 (id serial PRIMARY KEY); CREATE TABLE t2 (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);",
    );
    for (table, route) in [("t1", "a"), ("t2", "b")] {
        let url = &database.url;
        world.write(
            "p.toml",
            &format!(
                "name = \"seq-{route}\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                 [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"{table}\"\n"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        assert_eq!(
            database.rows(&format!("INSERT INTO {table} DEFAULT VALUES RETURNING id")),
            ["51"]
        );
    }
}

#[test]
fn seeds_come_from_json_ndjson_csv_and_the_plan() {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, extra JSON);");
    world.write("a.json", "[{\"id\": 1, \"name\": \"j\", \"x\": 1.10}]");
    world.write(
        "b.ndjson",
        "{\"id\": 2, \"name\": null}\n{\"id\": 3, \"name\": \"n\", \"y\": [1]}\n",
    );
    world.write("c.csv", "id,name\n4,\"\"\n5,\n");
    world.write(
        "p.toml",
        "name = \"seeds\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n\
         [[step]]\nname = \"files\"\nseed = [\"a.json\", \"*.ndjson\", \"c.csv\"]\ninto = \"t\"\nexpect = { files = 3, source = 5, after = 5 }\n\
         [step.columns]\nid = \"id\"\nname = \"name\"\nextra = { json = \"*\", nulls = \"drop\" }\n\
         [[step]]\nname = \"rows\"\nrows = [{ id = 6, name = \"inline\" }]\ninto = \"t\"\n",
    );
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(
        world.sqlite_rows("t.db", "SELECT id, name, extra FROM t ORDER BY id"),
        ["1|j|{\"x\":1.10}", "2|∅|{}", "3|n|{\"y\":[1]}", "4||{}", "5|∅|{}", "6|inline|∅"]
    );
}

#[test]
fn children_and_queries_and_expressions() {
    for db in Db::ALL {
        let world = World::new();
        let database = Store::new(db, &world);
        let json = if db == Db::Postgres { "jsonb" } else { "JSON" };
        let sql = format!(
            "CREATE TABLE w (id integer PRIMARY KEY, email text);
             CREATE TABLE step (workflow_id integer, position integer, label text);
             INSERT INTO w VALUES (1, 'ann@example.org'), (2, 'bob@example.org');
             INSERT INTO step VALUES (1, 2, 'b'), (1, 1, 'a');
             CREATE TABLE t (id integer PRIMARY KEY, who text, steps {json});"
        );
        database.sql(&sql);
        let url = database.url();
        let part = if db == Db::Postgres {
            "split_part(email, '@', 1)"
        } else {
            "substr(email, 1, instr(email, '@') - 1)"
        };
        world.write(
            "p.toml",
            &format!(
                "name = \"kids\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                 [[step]]\nname = \"s\"\ncopy_query = \"SELECT * FROM w WHERE id > 0\"\nkey = \"id\"\ninto = \"t\"\n\
                 [step.columns]\nid = \"id\"\nwho = {{ sql = \"{part}\" }}\n\
                 steps = {{ children = \"step\", match = {{ workflow_id = \"id\" }}, json = [\"position\", \"label\"], order_by = \"position\" }}\n"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        let rows = database.rows("SELECT id, who, steps FROM t ORDER BY id");
        let plain: Vec<String> = rows.iter().map(|row| row.replace(' ', "")).collect();
        let sorted = |text: &str| {
            text.replace("\"label\":\"a\",\"position\":1", "\"position\":1,\"label\":\"a\"")
                .replace("\"label\":\"b\",\"position\":2", "\"position\":2,\"label\":\"b\"")
        };
        assert_eq!(
            plain.iter().map(|row| sorted(row)).collect::<Vec<_>>(),
            [
                "1|ann|[{\"position\":1,\"label\":\"a\"},{\"position\":2,\"label\":\"b\"}]",
                "2|bob|[]"
            ]
        );
    }
}

#[test]
fn a_snapshot_shows_all_workers_one_moment() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    source.sql("CREATE TABLE s (id bigint PRIMARY KEY, v text); INSERT INTO s SELECT n, 'x' FROM generate_series(1, 900) n");
    target.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)");
    world.write(
        "p.toml",
        &format!(
            "name = \"snap\"\n[source]\nurl = \"{}\"\nconsistency = \"snapshot\"\n[target]\nurl = \"{}\"\n\
             [defaults]\nbatch_rows = 50\nworkers = 3\n[throttle]\nrows_per_second = 600\n\
             [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\n",
            source.url, target.url
        ),
    );
    let mut child =
        world.command(&["run", "p.toml"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    // Once a batch is there, the moment is taken; at 600 rows/s the rest takes a second more.
    while target.rows("SELECT count(*) FROM t") == ["0"] {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    source.sql("UPDATE s SET v = 'y'");
    assert!(child.wait().unwrap().success());
    assert_eq!(target.rows("SELECT v, count(*) FROM t GROUP BY v"), ["x|900"]);
}
