//! Cases that stand alone: assignments that servers make in silence, deep documents, geometry.

use crate::common::{Db, Mariadb, Postgres, Store, World};

fn plan(source: &str, target: &str) -> String {
    format!(
        "name = \"single\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nmax_rejects = 99\n[[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n"
    )
}

/// PostgreSQL's own assignment would round or cut each of these without a word.
#[test]
fn what_assignment_changes_in_silence_is_a_reject_and_check_names_the_pair() {
    let (source, other) = (Postgres::new(), Postgres::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, a numeric, b text, c timestamp, d numeric, e float8);
         INSERT INTO s (id, a) VALUES (1, 1.005), (2, 1.50); INSERT INTO s (id, b) VALUES (3, 'abc   '), (4, 'abc');
         INSERT INTO s (id, c) VALUES (5, '2024-01-31 10:00:00.6'), (6, '2024-01-31 10:00:00');
         INSERT INTO s (id, d) VALUES (7, 2.5), (8, 2.0); INSERT INTO s (id, e) VALUES (9, 0.1), (10, 0.5);",
    );
    for target in [&source, &other] {
        let world = World::new();
        target.sql("CREATE TABLE t (id int PRIMARY KEY, a numeric(6,2), b varchar(3), c timestamp(0), d bigint, e real)");
        world.write("p.toml", &plan(&source.url, &target.url));
        let check = world.run(&["check", "p.toml"]).ok();
        let said = format!("{}{}", check.out, check.err);
        for pair in [
            "numeric into numeric(6,2)",
            "text into character varying(3)",
            "double precision into real",
        ] {
            assert!(said.contains(pair), "{pair}: {said}");
        }
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let mut refused: Vec<String> = ran
            .events("row_rejected")
            .iter()
            .map(|event| format!("{}{}", event["key"], event["column"].as_str().unwrap()))
            .collect();
        refused.sort();
        assert_eq!(refused, ["1a", "3b", "5c", "7d", "9e"]);
        assert_eq!(target.rows("SELECT count(*) FROM t"), ["5"]);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

/// 128 and 5,990 levels are exact, 20,000 are a reject, and no stack overflows.
#[test]
fn deep_documents_are_exact_or_rejected() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for from in [Db::Sqlite, Db::Mariadb] {
        let (world, target) = (World::new(), Postgres::new());
        let source = match from {
            Db::Sqlite => Store::Sqlite(world.path("s.db")),
            db => Store::new(db, &world),
        };
        let json = if from == Db::Sqlite { "JSON" } else { "longtext" };
        source.sql(&format!(
            "CREATE TABLE s (id int PRIMARY KEY, v {json}, w {json}); \
             INSERT INTO s VALUES (1, '{0}', '{0}'), (2, '{1}', '{1}'), (3, '{2}', '{2}'), (4, '[]', '[]')",
            deep(128), deep(5_990), deep(20_000)
        ));
        target.sql("CREATE TABLE t (id int PRIMARY KEY, v jsonb, w json)");
        world.write("p.toml", &plan(&source.url(), &target.url));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let refused = ran.events("row_rejected");
        assert_eq!(refused.len(), 1, "{from:?}");
        assert!(refused[0]["reason"].as_str().unwrap().contains("20000 levels"), "{}", refused[0]);
        assert_eq!(target.rows("SELECT id FROM t ORDER BY id"), ["1", "2", "4"]);
        let text = "SELECT length(replace(v::text, ' ', '')), w::text = v::text FROM t WHERE id < 4 ORDER BY id";
        assert_eq!(target.rows(text), ["257|t", "11981|t"]);
    }
}

#[test]
fn geometry_is_its_bytes_with_the_reference_system() {
    let (source, target, other) = (Mariadb::new(), Postgres::new(), Mariadb::new());
    let ddl = "(id int PRIMARY KEY, g geometry, p point, x set('a','b'), v varbinary(9))";
    source.sql(&format!(
        "CREATE TABLE s {ddl}; INSERT INTO s VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), POINT(3, 4), 'a,b', x'0000'), (2, NULL, NULL, '', '')"
    ));
    let world = World::new();
    target.sql("CREATE TABLE t (id int PRIMARY KEY, g bytea, p bytea, x text, v bytea)");
    world.write("p.toml", &plan(&source.url, &target.url));
    world.run(&["run", "p.toml"]).ok();
    let found =
        target.rows("SELECT upper(encode(g, 'hex')), x, encode(v, 'hex') FROM t ORDER BY id");
    assert_eq!(found, source.rows("SELECT hex(g), x, hex(v) FROM s ORDER BY id"));
    assert!(found[0].starts_with("E6100000"), "{found:?}");
    for (database, conflict) in [(&source, "fail"), (&other, "skip")] {
        database.sql(&format!("CREATE TABLE t {ddl}"));
        let text = plan(&source.url, &database.url);
        world.write("p.toml", &format!("{text}on_conflict = \"{conflict}\"\n"));
        world.run(&["run", "p.toml"]).ok();
        let all = "SELECT id, hex(g), hex(p), x, hex(v) FROM";
        assert_eq!(database.rows(&format!("{all} t")), source.rows(&format!("{all} s")));
        assert_eq!(database.rows("SELECT ST_SRID(g) FROM t WHERE id = 1"), ["4326"]);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

/// One statement inside of MariaDB, and rows through the program: the same rows, and the same
/// rejects for the same reasons.
#[test]
fn the_routes_of_mariadb_agree() {
    let (source, other) = (Mariadb::new(), Mariadb::new());
    source.sql(
        "SET sql_mode = 'ALLOW_INVALID_DATES';
         CREATE TABLE s (id int PRIMARY KEY, name varchar(20), d date, v text, e enum('a','b'), u bigint unsigned, f float);
         INSERT INTO s SELECT seq, concat('n', seq), '2024-01-31', concat('x\\0\\\\', seq), 'b', 18446744073709551615, 0.1 FROM seq_1_to_60;
         UPDATE s SET name = NULL WHERE id = 7; UPDATE s SET name = 'bad' WHERE id = 20;
         UPDATE s SET d = '0000-00-00' WHERE id = 33; UPDATE s SET d = '2024-00-15' WHERE id = 34;",
    );
    let table = "CREATE TABLE t (id int PRIMARY KEY, name varchar(20) NOT NULL CHECK (name <> 'bad'), d date, \
                 v text, e enum('a','b'), u bigint unsigned, f float)";
    let mut seen = Vec::new();
    for (target, conflict, route) in
        [(&source, "fail", "pushdown"), (&source, "skip", "decode"), (&other, "fail", "decode")]
    {
        let world = World::new();
        target.sql(table);
        let text = plan(&source.url, &target.url);
        world.write("p.toml", &format!("{text}on_conflict = \"{conflict}\"\nbatch_rows = 16\n"));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let step = ran.events("step_finished")[0].clone();
        assert!(step["route"].as_str().unwrap().starts_with(route), "{step}");
        let rows = target.rows("SELECT id, name, d, hex(v), e, u, f + 0e0 FROM t ORDER BY id");
        let mut rejects: Vec<String> = ran
            .events("row_rejected")
            .iter()
            .map(|event| {
                // The server says in which database it was.
                let reason = event["reason"].as_str().unwrap().split(" for ").next().unwrap();
                format!("{} {} {reason}", event["key"], event["column"])
            })
            .collect();
        rejects.sort();
        assert_eq!(rejects.len(), 4, "{rejects:?}");
        seen.push((rows, rejects, step["copied"].clone(), step["rejected"].clone()));
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        target.sql("DROP TABLE t");
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0].0.len(), 56);
}
