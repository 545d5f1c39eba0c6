//! The plan's `values`: each option refuses unless it says otherwise, on every route alike.

use crate::common::{Db, Mariadb, Postgres, Ran, Store, World};

fn plan(source: &str, target: &str, defaults: &str, step: &str) -> String {
    format!(
        "name = \"options\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 3\nmax_rejects = 99\n{defaults}\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n{step}\n"
    )
}

/// Key, column and reason of what was rejected, by key.
fn rejects(ran: &Ran) -> Vec<String> {
    let mut all: Vec<String> = ran
        .events("row_rejected")
        .iter()
        .map(|event| format!("{} {} {}", event["key"], event["column"], event["reason"]))
        .collect();
    all.sort();
    all
}

const FOLD: &str = "[step.columns]\nid = \"id\"\ndata = { json = \"*\" }";

#[test]
fn zero_dates_are_null_where_the_plan_says_so() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "SET sql_mode = 'ALLOW_INVALID_DATES';
         CREATE TABLE s (id int PRIMARY KEY, d date, m datetime(3), z timestamp NULL, w varchar(20), y year);
         INSERT INTO s VALUES (1, '0000-00-00', NULL, NULL, '0000-00-00', 1999), (2, NULL, '2024-00-15 10:00:00', NULL, NULL, NULL),
          (3, NULL, NULL, 0, NULL, 2155), (4, '0009-12-04', '2024-01-31 10:00:00.5', '2024-01-31 10:00:00', 'x', 1901), (5, NULL, NULL, NULL, NULL, 0);
         CREATE TABLE t2 LIKE s;",
    );
    target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, d date, m timestamp, z timestamptz, w text, y int)",
    );
    let null = "values = { zero_dates = \"null\" }";
    world.write("p.toml", &plan(&source.url, &target.url, "", ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(
        rejects(&ran),
        [
            "1 \"d\" \"date: a date with zeros is none\"",
            "2 \"m\" \"datetime: a date with zeros is none\"",
            "3 \"z\" \"timestamp: a date with zeros is none\"",
            "5 \"y\" \"year: 0000 is none\""
        ]
    );
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    for route in ["fail", "skip"] {
        let step = format!("{null}\non_conflict = \"{route}\"");
        world.write("p.toml", &plan(&source.url, &target.url, "", &step));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(rejects(&ran), [""; 0]);
        assert_eq!(
            target.rows("SELECT id, d, m, w, y FROM t ORDER BY id"),
            [
                "1|∅|∅|0000-00-00|1999",
                "2|∅|∅|∅|∅",
                "3|∅|∅|∅|2155",
                "4|0009-12-04|2024-01-31 10:00:00.5|x|1901",
                "5|∅|∅|∅|∅"
            ]
        );
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
    // In one database the statement would refuse them: the rows go through the program.
    let text = plan(&source.url, &source.url, null, "").replace("\"t\"", "\"t2\"");
    world.write("p.toml", &text);
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let route = ran.events("step_finished")[0]["route"].as_str().unwrap().to_owned();
    assert!(route.starts_with("decode") && route.contains("zeros"), "{route}");
    assert_eq!(
        source.rows("SELECT id FROM t2 WHERE d IS NULL AND m IS NULL"),
        ["1", "2", "3", "5"]
    );
}

#[test]
fn a_nul_is_taken_out_for_postgres_only() {
    for from in [Db::Sqlite, Db::Mariadb] {
        let world = World::new();
        let source = Store::new(from, &world);
        let text = if from == Db::Mariadb { "char(9)" } else { "TEXT" };
        let hex = if from == Db::Mariadb { "X'610062'" } else { "CAST(X'610062' AS TEXT)" };
        source.sql(&format!(
            "CREATE TABLE s (id integer PRIMARY KEY, v {text}, w {text}); INSERT INTO s VALUES (1, 'x', {hex}), (2, {hex}, NULL);"
        ));
        let target = Postgres::new();
        target.sql("CREATE TABLE t (id int PRIMARY KEY, v text, w text, data jsonb)");
        for (step, column) in [("", ["w", "v"]), (FOLD, ["data", "data"])] {
            world.write("p.toml", &plan(&source.url(), &target.url, "", step));
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            let all = rejects(&ran);
            assert_eq!(all.len(), 2, "{all:?}");
            for (reject, column) in all.iter().zip(column) {
                assert!(reject.contains(&format!("\"{column}\"")), "{reject}");
                assert!(reject.contains("u0000"), "{reject}");
            }
            world.run(&["rollback", "p.toml", "--yes"]).ok();
            let remove = "values = { nul = \"remove\" }";
            world.write("p.toml", &plan(&source.url(), &target.url, remove, step));
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            assert_eq!(rejects(&ran), [""; 0]);
            let found = target.rows(
                "SELECT coalesce(v, data->>'v', '∅'), coalesce(w, data->>'w') FROM t ORDER BY id",
            );
            assert_eq!(
                found.iter().map(|row| row.replace(' ', "")).collect::<Vec<_>>(),
                ["x|ab", "ab|∅"]
            );
            world.run(&["rollback", "p.toml", "--yes"]).ok();
        }
    }
}

#[test]
fn text_that_is_not_utf8_stays_in_sqlite_and_is_replaced_elsewhere_if_asked() {
    let legacy = "CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO s VALUES (1, CAST(X'61ff62' AS TEXT)), (2, 'é'), (3, X'ff');";
    let replace = "values = { invalid_utf8 = \"replace\" }";
    let world = World::new();
    world.sqlite("s.db", legacy);
    // As it is, whatever the route: stream, decode, pushdown.
    for (file, conflict) in [("t.db", "fail"), ("t.db", "skip"), ("s.db", "fail"), ("s.db", "skip")]
    {
        world.sqlite(
            file,
            "DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        );
        let step = format!("on_conflict = \"{conflict}\"\nallow_inserts = false");
        world.write("p.toml", &plan("sqlite:s.db", &format!("sqlite:{file}"), replace, &step));
        world.run(&["run", "p.toml"]).ok();
        assert_eq!(
            world.sqlite_rows(file, "SELECT id, typeof(v), hex(v) FROM t ORDER BY id"),
            ["1|text|61FF62", "2|text|C3A9", "3|blob|FF"],
            "{file} {conflict}"
        );
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(world.sqlite_rows(file, "SELECT count(*) FROM t"), ["0"]);
    }
    for to in Db::ALL {
        for (step, column) in [("", "v"), (FOLD, "data")] {
            let here = World::new();
            here.sqlite("s.db", legacy);
            let target = Store::new(to, &here);
            let json = if to == Db::Postgres { "jsonb" } else { "json" };
            target.sql(&format!("CREATE TABLE t (id integer PRIMARY KEY, v text, data {json})"));
            let source = format!("sqlite:{}", here.path("s.db").display());
            let holds = to == Db::Sqlite && step.is_empty();
            here.write("p.toml", &plan(&source, &target.url(), "", step));
            let ran = here.run(&["run", "p.toml", "--json"]).ok();
            let refused = rejects(&ran);
            let named = refused.iter().any(|reject| {
                reject.starts_with(&format!("1 \"{column}\"")) && reject.contains("not valid UTF-8")
            });
            assert_eq!(named, !holds, "{to:?} {refused:?}");
            here.run(&["rollback", "p.toml", "--yes"]).ok();
            here.write("p.toml", &plan(&source, &target.url(), replace, step));
            let ran = here.run(&["run", "p.toml", "--json"]).ok();
            assert!(!format!("{:?}", rejects(&ran)).contains("UTF-8"));
            if !holds {
                let found = target.rows("SELECT v, data FROM t WHERE id = 1");
                assert!(found[0].contains("a\u{fffd}b"), "{to:?} {found:?}");
            }
        }
    }
}

#[test]
fn nan_and_infinity_are_null_where_the_target_has_none() {
    let source = Postgres::new();
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, f float8, n numeric, d date, z timestamptz);
         INSERT INTO s VALUES (1, 'NaN', NULL, NULL, NULL), (2, NULL, 'NaN', NULL, NULL), (3, 'Infinity', NULL, NULL, NULL),
          (4, NULL, '-Infinity', NULL, NULL), (5, NULL, NULL, 'infinity', NULL), (6, NULL, NULL, NULL, '-infinity'), (7, 0.5, 1.5, '2024-01-31', '2024-01-31 00:00+00');",
    );
    for (to, refused, nulls) in [
        (Db::Sqlite, "1f2n4n", "1,2,4"),
        (Db::Mariadb, "1f2n3f4n5d6z", "1,2,3,4,5,6"),
        (Db::Postgres, "3n4n", "3,4"),
    ] {
        let world = World::new();
        let target = Store::new(to, &world);
        // For PostgreSQL the numbers are crossed: infinity has no place in numeric(9,2).
        let (types, step) = match to {
            Db::Sqlite => ("f REAL, n NUMERIC, d TEXT, z TEXT", ""),
            Db::Mariadb => ("f double, n decimal(9,2), d date, z timestamp NULL", ""),
            Db::Postgres => (
                "n numeric(9,2), d date, z timestamptz",
                "[step.columns]\nid = \"id\"\nn = { first = [\"n\", \"f\"] }\nd = \"d\"\nz = \"z\"",
            ),
        };
        target.sql(&format!("CREATE TABLE t (id integer PRIMARY KEY, {types})"));
        for conflict in ["fail", "skip"] {
            let defaults = format!("on_conflict = \"{conflict}\"");
            world.write("p.toml", &plan(&source.url, &target.url(), &defaults, step));
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            let all: String = rejects(&ran)
                .iter()
                .map(|line| line.split(' ').take(2).collect::<String>().replace('"', ""))
                .collect();
            assert_eq!(all, refused, "{to:?}");
            world.run(&["rollback", "p.toml", "--yes"]).ok();
            let defaults = format!("{defaults}\nvalues = {{ nan = \"null\" }}");
            world.write("p.toml", &plan(&source.url, &target.url(), &defaults, step));
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            assert_eq!(rejects(&ran), [""; 0], "{to:?}");
            let count = if to == Db::Postgres {
                "num_nulls(n, d, z) = 3"
            } else {
                "coalesce(f, n, d, z) IS NULL"
            };
            let found = target.rows(&format!("SELECT id FROM t WHERE {count} ORDER BY id"));
            assert_eq!(found.join(","), nulls, "{to:?}");
            world.run(&["rollback", "p.toml", "--yes"]).ok();
        }
    }
}

#[test]
fn a_time_beyond_a_day_is_exact_in_an_interval_and_null_in_a_time_if_asked() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, a time(3)); INSERT INTO s VALUES (1, '25:00:00'), (2, '-00:00:01'), (3, '23:59:59.5'), (4, '838:59:59');",
    );
    target.sql("CREATE TABLE t (id int PRIMARY KEY, a time, b interval)");
    let step = "[step.columns]\nid = \"id\"\na = \"a\"\nb = \"a\"";
    for conflict in ["fail", "skip"] {
        let defaults = format!("on_conflict = \"{conflict}\"");
        world.write("p.toml", &plan(&source.url, &target.url, &defaults, step));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let why = "\"time into time without time zone: it is no time of day\"";
        assert_eq!(rejects(&ran), [1, 2, 4].map(|key| format!("{key} \"a\" {why}")));
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        let defaults = format!("{defaults}\nvalues = {{ long_time = \"null\" }}");
        world.write("p.toml", &plan(&source.url, &target.url, &defaults, step));
        world.run(&["run", "p.toml"]).ok();
        assert_eq!(
            target.rows("SELECT a, b FROM t ORDER BY id"),
            ["∅|25:00:00", "∅|-00:00:01", "23:59:59.5|23:59:59.5", "∅|838:59:59"]
        );
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

#[test]
fn tinyint_1_is_an_integer_or_a_boolean() {
    let source = Mariadb::new();
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, b tinyint(1)); INSERT INTO s VALUES (1, 0), (2, 1), (3, 2), (4, NULL);
         CREATE TABLE c (id int PRIMARY KEY, s int, b tinyint(1)); INSERT INTO c VALUES (1, 1, 1), (2, 3, 2);
         CREATE TABLE t (id int PRIMARY KEY, b tinyint(1), data json, kids json)",
    );
    let boolean = "values = { tinyint1 = \"boolean\" }";
    let step = "[step.columns]\nid = \"id\"\nb = \"b\"\ndata = { json = [\"b\"] }\n\
                kids = { children = \"c\", match = { s = \"id\" }, json = [\"b\"], order_by = \"id\" }";
    for to in Db::ALL {
        let world = World::new();
        let target = if to == Db::Mariadb { None } else { Some(Store::new(to, &world)) };
        if let Some(target) = &target {
            target.sql("CREATE TABLE t (id integer PRIMARY KEY, b integer, data json, kids json)");
        }
        let url = target.as_ref().map_or(source.url.clone(), Store::url);
        let rows = |sql: &str| target.as_ref().map_or_else(|| source.rows(sql), |t| t.rows(sql));
        let all = "SELECT b, data, kids FROM t ORDER BY id";
        world.write("p.toml", &plan(&source.url, &url, "", step));
        world.run(&["run", "p.toml"]).ok();
        let expected = [
            "0|{\"b\":0}|[{\"b\":1}]",
            "1|{\"b\":1}|[]",
            "2|{\"b\":2}|[{\"b\":2}]",
            "∅|{\"b\":null}|[]",
        ];
        assert_eq!(
            rows(all).iter().map(|row| row.replace(' ', "")).collect::<Vec<_>>(),
            expected,
            "{to:?}"
        );
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        world.write("p.toml", &plan(&source.url, &url, boolean, step));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(
            rejects(&ran),
            ["3 \"b\" \"tinyint(1) as a boolean: only 0 and 1 are booleans\""]
        );
        let expected = ["0|{\"b\":false}|[{\"b\":true}]", "1|{\"b\":true}|[]", "∅|{\"b\":null}|[]"];
        assert_eq!(
            rows(all).iter().map(|row| row.replace(' ', "")).collect::<Vec<_>>(),
            expected,
            "{to:?}"
        );
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
    // In one database, between equal columns.
    let world = World::new();
    for (defaults, route, refused) in [("", "pushdown", 0), (boolean, "decode", 1)] {
        let step = "[step.columns]\nid = \"id\"\nb = \"b\"";
        world.write("p.toml", &plan(&source.url, &source.url, defaults, step));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let taken = ran.events("step_finished")[0]["route"].to_string();
        assert!(taken.contains(route), "{taken}");
        assert_eq!(rejects(&ran).len(), refused);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

#[test]
fn a_step_overrides_entries_of_the_defaults_and_may_not_change_once_begun() {
    let world = World::new();
    world.sqlite(
        "t.db",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO s VALUES (1, 'a');
         CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
    );
    let text = |defaults: &str, step: &str| plan("sqlite:t.db", "sqlite:t.db", defaults, step);
    let refused = |defaults: &str, words: &[&str]| {
        world.write("p.toml", &text(defaults, ""));
        let ran = world.run(&["check", "p.toml"]).code(2);
        assert!(words.iter().all(|word| ran.err.contains(word)), "{}", ran.err);
    };
    refused("values = { zero_date = \"null\" }", &["zero_date", "did you mean `zero_dates`"]);
    refused("values = { nan = \"nul\" }", &["nan", "did you mean `null`"]);
    refused("values = \"null\"", &["a table"]);
    refused("zero_dates = \"null\"", &["zero_dates", "`values`"]);
    world.write("p.toml", &text("values = { nan = \"null\" }", "values = { nul = \"remove\" }"));
    world.run(&["run", "p.toml"]).ok();
    // The same options, said elsewhere: the same step.
    world.write("p.toml", &text("", "values = { nul = \"remove\", nan = \"null\" }"));
    world.run(&["run", "p.toml"]).ok();
    world.write(
        "p.toml",
        &text("values = { nan = \"null\" }", "values = { nan = \"reject\", nul = \"remove\" }"),
    );
    let ran = world.run(&["run", "p.toml"]).code(2);
    assert!(ran.err.contains("copy"), "{}", ran.err);
    let schema = world.run(&["schema"]).ok().out;
    assert!(schema.contains("\"zero_dates\"") && schema.contains("\"tinyint1\""));
}
