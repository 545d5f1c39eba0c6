//! What only MySQL and MariaDB do: values that they would change, schema changes that commit by
//! themselves, transactions that end on their own, keys that fold.

use std::path::Path;
use std::time::Duration;

use tablelift::db::{Access, Database};
use tablelift::plan::{Consistency, Endpoint};
use tablelift::sql::Statement;

use crate::common::{Mariadb, Postgres, Ran, World};
use crate::pair::{Db, Pair, plan};

/// A plan of one copy step from `s` into a table, with further lines.
fn copy(source: &str, target: &str, into: &str, more: &str) -> String {
    format!(
        "name = \"to-{into}\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 5\nmax_rejects = 99\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"{into}\"\n{more}"
    )
}

/// Key and column of what was rejected, in the order of the keys.
fn rejects(ran: &Ran) -> Vec<String> {
    let events = ran.events("row_rejected");
    let mut all: Vec<(i64, String)> = events
        .iter()
        .map(|event| {
            let column = event["column"].as_str().unwrap_or_default();
            (event["key"].as_i64().unwrap(), format!("{}|{column}", event["key"]))
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn values_that_others_have_not_are_exact_or_refused_by_name() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, u bigint unsigned, d date, m datetime(3), ti time, y year, b bit(64), e enum('x','y'), n decimal(65,30), f float, tiny tinyint(1), bin binary(4), te text);
         SET sql_mode = 'ALLOW_INVALID_DATES';
         INSERT INTO s (id, u) VALUES (1, 18446744073709551615), (2, 9223372036854775808), (3, 9223372036854775807);
         INSERT INTO s (id, d) VALUES (4, '0000-00-00'), (5, '2024-00-15'), (6, '0009-12-04');
         INSERT INTO s (id, m) VALUES (7, '0000-00-00 00:00:00'), (8, '9999-12-31 23:59:59.999');
         INSERT INTO s (id, ti) VALUES (9, '-838:59:59'), (10, '25:00:00');
         INSERT INTO s (id, y, b, e, n, f, tiny, bin) VALUES (11, 1999, 18446744073709551615, 'y', -12345678901234567890123456789012345.678901234567890123456789012345, 16777216, 2, 'a');
         INSERT IGNORE INTO s (id, e) VALUES (12, 'no label');
         INSERT INTO s (id, te) VALUES (13, 'a\\0b'); INSERT INTO s (id, y) VALUES (14, 0);",
    );
    target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, u numeric, d date, m timestamp, ti interval, y int, b numeric, e text, n numeric, f real, tiny int, bin bytea, te text);
         CREATE TABLE j (id int PRIMARY KEY, doc jsonb); CREATE TABLE k (id int PRIMARY KEY, u bigint, ti time)",
    );
    world.write("p.toml", &copy(&source.url, &target.url, "t", ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["4|d", "5|d", "7|m", "13|te", "14|y"]);
    let row = |id: u32, list: &str| target.rows(&format!("SELECT {list} FROM t WHERE id = {id}"));
    assert_eq!(row(1, "u"), ["18446744073709551615"]);
    assert_eq!(row(6, "d"), ["0009-12-04"]);
    assert_eq!(row(8, "m"), ["9999-12-31 23:59:59.999"]);
    assert_eq!(row(9, "ti"), ["-838:59:59"]);
    let decimal = "-12345678901234567890123456789012345.678901234567890123456789012345";
    assert_eq!(
        row(11, "y, b, e, n, f, tiny, bin"),
        [format!("1999|18446744073709551615|y|{decimal}|1.6777216e+07|2|\\x61000000")]
    );
    assert_eq!(row(12, "e || '.'"), ["."]);

    let json = "[step.columns]\nid = \"id\"\ndoc = { json = \"*\" }\n";
    world.write("p.toml", &copy(&source.url, &target.url, "j", json));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["4|doc", "5|doc", "7|doc", "13|doc", "14|doc"]);
    assert_eq!(
        target.rows("SELECT doc->'u', doc->'b', doc->'n', doc->'tiny' FROM j WHERE id IN (1, 11) ORDER BY id"),
        [
            "18446744073709551615|null|null|null".to_owned(),
            format!("null|18446744073709551615|{decimal}|2")
        ]
    );

    let narrow = "[step.columns]\nid = \"id\"\nu = \"u\"\nti = \"ti\"\n";
    world.write("p.toml", &copy(&source.url, &target.url, "k", narrow));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["1|u", "2|u", "9|ti", "10|ti"]);
}

#[test]
fn values_that_the_server_would_change_are_refused() {
    let (world, target) = (World::new(), Mariadb::new());
    target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, e enum('a','b'), s set('x','y'), y year, bin binary(4), f float, d decimal(6,2), dd double(6,2), ti tinyint, l tinytext, da date, ts timestamp NULL, j json, latin varchar(9) CHARACTER SET latin1, u int unsigned)",
    );
    world.sqlite(
        "s.db",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, e TEXT, s TEXT, y INTEGER, bin BLOB, f REAL, d TEXT, dd REAL, ti INTEGER, l TEXT, da TEXT, ts TEXT, j TEXT, latin TEXT, u INTEGER);
         INSERT INTO s (id, e) VALUES (1, '1'), (2, 'A'), (3, 'a');
         INSERT INTO s (id, s) VALUES (4, '3'), (5, 'y,x'), (6, 'x,y'), (7, '');
         INSERT INTO s (id, y) VALUES (8, 5), (9, 2024), (10, 3000);
         INSERT INTO s (id, bin) VALUES (11, x'61'), (12, x'61000000');
         INSERT INTO s (id, f) VALUES (13, 0.1), (14, 0.5);
         INSERT INTO s (id, d) VALUES (15, '1.005'), (16, '1.50'), (17, '12345.67');
         INSERT INTO s (id, dd) VALUES (18, 1.005), (19, 1.25);
         INSERT INTO s (id, ti) VALUES (20, 128), (21, -128);
         INSERT INTO s (id, l) VALUES (22, replace(hex(zeroblob(128)), '00', 'é')), (23, 'ok');
         INSERT INTO s (id, da) VALUES (24, '2024-02-30'), (25, '0044-03-15 BC'), (26, '0009-12-04');
         INSERT INTO s (id, ts) VALUES (27, '2040-01-01 00:00:00+00'), (28, '2024-01-01 00:00:00+02');
         INSERT INTO s (id, j) VALUES (29, '{'), (30, '{\"a\":1.10}');
         INSERT INTO s (id, latin) VALUES (31, '漢'), (32, 'é');
         INSERT INTO s (id, u) VALUES (33, -1), (34, 4294967295);",
    );
    world.write("p.toml", &copy("sqlite:s.db", &target.url, "t", ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(
        rejects(&ran),
        [
            "1|e", "2|e", "4|s", "5|s", "8|y", "10|y", "11|bin", "13|f", "15|d", "17|d", "18|dd",
            "20|ti", "22|l", "24|da", "25|da", "27|ts", "29|j", "31|latin", "33|u"
        ]
    );
    assert!(!ran.out.contains("漢") && !ran.out.contains("2024-02-30"), "values are not told");
    assert_eq!(target.rows("SELECT s FROM t WHERE id = 6"), ["x,y"]);
    assert_eq!(target.rows("SELECT ts FROM t WHERE id = 28"), ["2023-12-31 22:00:00"]);
    assert_eq!(target.rows("SELECT j FROM t WHERE id = 30"), ["{\"a\":1.10}"]);
    assert_eq!(target.rows("SELECT count(*) FROM t"), ["15"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(target.rows("SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn in_one_database_the_server_moves_the_rows_and_refuses_the_same() {
    let (world, database) = (World::new(), Mariadb::new());
    database.sql(
        "CREATE TABLE s (id int PRIMARY KEY, v varchar(20) COLLATE utf8mb4_bin, d datetime(2), n decimal(5,1), u bigint unsigned);
         CREATE TABLE t (id bigint PRIMARY KEY, v varchar(30) COLLATE utf8mb4_bin, d datetime(6), n decimal(8,2), u bigint unsigned);
         CREATE TABLE again LIKE t;
         INSERT INTO s SELECT seq, concat('v', seq), '2024-01-01', 1.5, 18446744073709551615 FROM seq_1_to_30;",
    );
    world.write("p.toml", &copy(&database.url, &database.url, "t", ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert!(ran.events("step_started")[0]["route"].as_str().unwrap().starts_with("pushdown"));
    assert_eq!(database.rows("SELECT count(*) FROM s JOIN t USING (id, v, d, n, u)"), ["30"]);
    database.sql("UPDATE t SET v = 'changed' WHERE id = 7");
    world.run(&["rollback", "p.toml", "--yes"]).code(3);
    assert_eq!(database.rows("SELECT id, v FROM t"), ["7|changed"]);
    database.sql("UPDATE s SET d = '0000-00-00' WHERE id = 17; UPDATE s SET u = 0");
    world.write("p.toml", &copy(&database.url, &database.url, "again", ""));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["17|d"]);
    assert_eq!(database.rows("SELECT count(*) FROM s JOIN again USING (id, v, d, n, u)"), ["29"]);
}

#[test]
fn a_conflict_is_about_the_named_key_alone() {
    for (mode, first) in [("skip", "1|old|a"), ("update", "1|new|a2")] {
        let (world, database) = (World::new(), Mariadb::new());
        database.sql(
            "CREATE TABLE s (id int PRIMARY KEY, v varchar(9), code varchar(9));
             CREATE TABLE t (id int PRIMARY KEY, v varchar(9), code varchar(9), UNIQUE (code));
             INSERT INTO s VALUES (1, 'new', 'a2'), (3, 'three', 'B'), (4, 'four', 'd');
             INSERT INTO t VALUES (1, 'old', 'a'), (2, 'two', 'b');",
        );
        let more = format!("on_conflict = \"{mode}\"\n");
        world.write("p.toml", &copy(&database.url, &database.url, "t", &more));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        // 'B' is 'b' to the unique key's collation: neither skipped nor another row's update.
        assert_eq!(rejects(&ran), ["3|code"], "{mode}");
        let rows = || database.rows("SELECT id, v, code FROM t ORDER BY id");
        assert_eq!(rows(), [first, "2|two|b", "4|four|d"], "{mode}");
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        assert_eq!(rows(), ["1|old|a", "2|two|b"], "{mode}");
    }
}

#[test]
fn names_are_just_names() {
    let (world, source, target) = (World::new(), Mariadb::new(), Mariadb::new());
    let name = "`a\"; drop table b; --`";
    let ddl = format!(
        "CREATE TABLE {name} (`i``d` int PRIMARY KEY, `select` text, `k\"e'y\\\\` text, `a b` text);
         CREATE TABLE b (x int);"
    );
    source
        .sql(&format!("{ddl} INSERT INTO {name} VALUES (1, 'x', 'y', 'z'), (2, '$1', '?', NULL)"));
    target.sql(&ddl);
    for (plan, url) in [("two", &source.url), ("one", &target.url)] {
        let table = "a\\\"; drop table b; --";
        let plan = format!(
            "name = \"{plan}\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{}\"\n\
             [[protect]]\ntable = \"b\"\n\
             [[step]]\nname = \"s\"\ncopy = \"{table}\"\ninto = \"{table}\"\non_conflict = \"update\"\n",
            target.url
        );
        world.write("p.toml", &plan);
        world.run(&["run", "p.toml"]).ok();
    }
    let rows = format!("SELECT * FROM {name} ORDER BY 1");
    assert_eq!(target.rows(&rows), ["1|x|y|z", "2|$1|?|∅"]);
    assert_eq!(target.rows("SELECT count(*) FROM b"), ["0"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
}

#[test]
fn a_schema_step_commits_by_itself_and_its_kill_is_told() {
    let (world, source, target) = (World::new(), Mariadb::new(), Mariadb::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, v text); INSERT INTO s VALUES (1, 'a'), (2, 'b')",
    );
    let plan = format!(
        "name = \"ddl\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
         [[step]]\nname = \"make\"\nsql = \"CREATE TABLE t (id int PRIMARY KEY, v text); CREATE INDEX i ON t (id)\"\n\
         undo = \"DROP TABLE IF EXISTS t\"\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n",
        source.url, target.url
    );
    world.write("p.toml", &plan);
    let check = world.run(&["check", "p.toml"]).ok();
    assert!(format!("{}{}", check.out, check.err).contains("not looked at"), "{}", check.err);
    assert_eq!(target.rows("SHOW TABLES"), [""; 0], "looking makes nothing");
    let mut command = world.command(&["run", "p.toml"]);
    let killed = command.env("TABLELIFT_FAIL_POINT", "sql_ran").output().unwrap();
    assert_eq!(killed.status.code(), None, "the kill landed");
    let ran = world.run(&["run", "p.toml"]).code(1);
    assert!(ran.err.contains("may or may not have run"), "{}", ran.err);
    world.run(&["rollback", "p.toml", "--step", "make", "--yes"]).ok();
    assert_eq!(target.rows("SHOW TABLES LIKE 't'"), [""; 0]);
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(target.rows("SELECT * FROM t ORDER BY id"), ["1|a", "2|b"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(target.rows("SHOW TABLES LIKE 't'"), [""; 0]);
}

fn open(database: &Mariadb) -> Database {
    let url = database.url.clone();
    let endpoint = Endpoint { url, schema: None, consistency: Consistency::Batch, line: 0 };
    Database::open(&endpoint, Path::new(""), Duration::from_secs(60)).unwrap()
}

/// A process that takes over ends the sessions of the one before, so that their locks go.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_process_are_found_and_ended() {
    let database = Mariadb::new();
    database.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let opened = open(&database);
    let mut one = opened.session(Access::Write, "test").await.unwrap();
    let mut two = opened.session(Access::Write, "test").await.unwrap();
    let insert = Statement::new("INSERT INTO t VALUES (1)");
    one.begin().await.unwrap();
    one.execute(&insert).await.unwrap();
    two.end_sessions_of("another").await.unwrap();
    one.execute(&Statement::new("INSERT INTO t VALUES (2)")).await.unwrap();
    two.end_session(two.number() + 1).await.unwrap();
    two.end_session(one.number()).await.unwrap();
    // What the other session had locked and written is free.
    two.execute(&insert).await.unwrap();
    let error = one.commit().await.unwrap_err();
    assert_eq!(error.class, tablelift::error::Class::Retry, "{error}");
    let mut three = opened.session(Access::Write, "test").await.unwrap();
    three.end_sessions_of(tablelift::db::runner()).await.unwrap();
    assert!(two.execute(&insert).await.is_err());
    three.execute(&Statement::new("DELETE FROM t")).await.unwrap();
}

/// The server ends a transaction on its own (a deadlock does), and what follows commits one by
/// one: COMMIT must not say that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_server_ended_is_not_committed() {
    let database = Mariadb::new();
    database.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let mut session = open(&database).session(Access::Write, "test").await.unwrap();
    let insert = |id: i64| Statement::new("INSERT INTO t VALUES ($1)").bind(id);
    session.begin().await.unwrap();
    session.execute(&insert(1)).await.unwrap();
    session.script("ROLLBACK").await.unwrap();
    session.execute(&insert(2)).await.unwrap();
    let error = session.commit().await.unwrap_err();
    assert_eq!(error.class, tablelift::error::Class::Retry, "{error}");
    assert!(session.broken());
    session.begin().await.unwrap();
    session.execute(&insert(3)).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(database.rows("SELECT id FROM t ORDER BY id"), ["2", "3"]);
}

/// Raises `number` for the `hit`-th row that is written to `t`, once: a sequence doesn't roll
/// back.
fn raise_once(database: &Mariadb, number: u32, hit: u32) {
    database.sql(&format!(
        "CREATE SEQUENCE written; \nDELIMITER //\n\
         CREATE TRIGGER trouble BEFORE INSERT ON t FOR EACH ROW BEGIN IF NEXTVAL(written) = {hit} THEN \
         SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'injected'; END IF; END//\n"
    ));
}

#[test]
fn errors_of_each_class_are_told_apart() {
    let retried = [1213, 1205, 1020, 1317].map(|number| (number, 1, 0));
    let settled = [1062, 1264].map(|number| (number, 0, 0));
    let stopped = [1146, 1021].map(|number| (number, 0, 1));
    let all = retried.into_iter().chain(settled).chain(stopped);
    for (at, (number, retries, code)) in all.enumerate() {
        let pair = Pair::new(60, Db::Sqlite, Db::Mariadb);
        raise_once(pair.mariadb.as_ref().unwrap(), number, [1, 30, 59][at % 3]);
        let options = "[defaults]\nbatch_rows = 20\nworkers = 2\nmax_rejects = 9";
        pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
        let ran = pair.world.run(&["run", "p.toml", "--json"]).code(code);
        assert_eq!(ran.events("batch_retried").len(), retries, "{number}: {}", ran.out);
        assert!(ran.events("row_rejected").is_empty(), "{number}: what fails once is no reject");
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(60, &number.to_string());
    }
}

#[test]
fn keys_that_the_server_makes_are_found_again() {
    let (world, source, target) = (World::new(), Mariadb::new(), Mariadb::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY, v text); INSERT INTO s SELECT seq * 10, seq FROM seq_1_to_12;
         CREATE TABLE kids (id int PRIMARY KEY, parent int); INSERT INTO kids SELECT seq, seq * 10 FROM seq_1_to_12;",
    );
    target.sql(
        "CREATE TABLE codes (code varchar(9) PRIMARY KEY, label varchar(9)); INSERT INTO codes VALUES ('1', 'one'), ('2', 'two');
         CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, v text, label varchar(9)); INSERT INTO t (v) VALUES ('mine');
         CREATE TABLE k (id int PRIMARY KEY, parent bigint, FOREIGN KEY (parent) REFERENCES t (id));",
    );
    world.write(
        "p.toml",
        &format!(
            "name = \"made\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n[defaults]\nbatch_rows = 5\n\
             [[step]]\nname = \"parents\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\nv = \"v\"\n\
             label = {{ lookup = \"codes\", match = {{ code = \"v\" }}, take = \"label\", missing = \"null\" }}\n\
             [[step]]\nname = \"children\"\ncopy = \"kids\"\ninto = \"k\"\n[step.columns]\nid = \"id\"\n\
             parent = {{ moved = \"parents\", from = \"parent\" }}\n",
            source.url, target.url
        ),
    );
    world.run(&["run", "p.toml"]).ok();
    let found = "SELECT count(*) FROM k JOIN t ON t.id = k.parent WHERE t.v = k.id";
    assert_eq!(target.rows(found), ["12"]);
    let labels = "SELECT v, label FROM t WHERE label IS NOT NULL ORDER BY v";
    assert_eq!(target.rows(labels), ["1|one", "2|two"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(target.rows("SELECT v FROM t"), ["mine"]);
    assert_eq!(target.rows("SELECT count(*) FROM k"), ["0"]);
}

#[test]
fn rows_without_a_key_are_told_by_what_they_hold() {
    let (world, database) = (World::new(), Mariadb::new());
    database.sql(
        "CREATE TABLE s (v int, w float); INSERT INTO s VALUES (1, 0.1), (1, 0.1), (2, NULL), (NULL, -0.0);
         CREATE TABLE t (v int, w float); INSERT INTO t VALUES (1, 0.1), (9, 9);",
    );
    world.write("p.toml", &copy(&database.url, &database.url, "t", ""));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(database.rows("SELECT count(*) FROM t"), ["6"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(database.rows("SELECT v, w FROM t ORDER BY v"), ["1|0.1", "9|9"]);
}

#[test]
fn children_are_the_json_that_postgres_makes() {
    let (world, source, target) = (World::new(), Mariadb::new(), Postgres::new());
    source.sql(
        "CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2), (3);
         CREATE TABLE kid (id int PRIMARY KEY, s int, t text, n decimal(9,3), d double, f float, da date, m datetime(3), ts timestamp(6) NULL, b blob, j json, u bigint unsigned);
         INSERT INTO kid VALUES (2, 1, 'q\"\\\\\\n\\té', 1.500, 0.1, 0.5, '2024-01-31', '2024-01-31 10:00:00.5', '2024-01-31 10:00:00', x'00ff', '{\"a\": [1.10]}', 18446744073709551615);
         INSERT INTO kid (id, s) VALUES (1, 1), (3, 2);
         INSERT INTO kid (id, s, da) VALUES (4, 3, '0000-00-00');",
    );
    target.sql("CREATE TABLE t (id int PRIMARY KEY, kids jsonb)");
    let more = "[step.columns]\nid = \"id\"\n\
                kids = { children = \"kid\", match = { s = \"id\" }, json = \"*\", order_by = \"id\" }\n";
    world.write("p.toml", &copy(&source.url, &target.url, "t", more));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["3|kids"]);
    assert_eq!(target.rows("SELECT jsonb_array_length(kids) FROM t ORDER BY id"), ["2", "1"]);
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, doc JSON)");
    let inside = more
        .replace("kids = {", "doc = { json = { kids = {")
        .replace("\"id\" }\n", "\"id\" } } }\n");
    world.write("p.toml", &copy(&source.url, "sqlite:t.db", "t", &inside));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(rejects(&ran), ["3|doc"]);
    assert_eq!(
        world.sqlite_rows("t.db", "SELECT json_array_length(doc, '$.kids') FROM t"),
        ["2", "1"]
    );
    assert_eq!(
        target.rows("SELECT kids->1 FROM t WHERE id = 1"),
        [
            r#"{"b": "\\x00ff", "d": 0.1, "f": 0.5, "j": {"a": [1.10]}, "m": "2024-01-31T10:00:00.5", "n": 1.500, "s": 1, "t": "q\"\\\n\té", "u": 18446744073709551615, "da": "2024-01-31", "id": 2, "ts": "2024-01-31T10:00:00+00:00"}"#
        ]
    );
}
