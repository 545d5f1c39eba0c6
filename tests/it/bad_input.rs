//! Bad input: a message that names the place and the way out, exit code 2, nothing touched.

use crate::common::{Postgres, World};

fn plan(source: &str, target: &str, step: &str) -> String {
    format!("name = \"bad\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n{step}\n")
}

const STEP: &str = "[[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"";

fn world() -> World {
    let world = World::new();
    world.sqlite(
        "a.db",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, name TEXT, f REAL); INSERT INTO s VALUES (1, 'x', 1.5), (2, 'x', 1.5);
         CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, f REAL);",
    );
    world
}

#[track_caller]
fn refused(world: &World, plan: &str, words: &[&str]) {
    let before = std::fs::read(world.path("a.db")).unwrap();
    world.write("p.toml", plan);
    for command in ["check", "run"] {
        let ran = world.run(&[command, "p.toml"]).code(2);
        let all = format!("{}{}", ran.out, ran.err);
        for word in words {
            assert!(all.contains(word), "{command}: `{word}` is missing in:\n{all}");
        }
    }
    assert!(before == std::fs::read(world.path("a.db")).unwrap(), "nothing was touched");
}

#[test]
fn unknown_tables_and_columns_are_named_with_the_nearest() {
    let world = world();
    let step = |text: &str| plan("sqlite:a.db", "sqlite:a.db", text);
    refused(&world, &step(&STEP.replace("copy = \"s\"", "copy = \"nope\"")), &["nope", "source"]);
    refused(&world, &step(&STEP.replace("into = \"t\"", "into = \"nope\"")), &["nope", "target"]);
    let columns = |rules: &str| step(&format!("{STEP}\n[step.columns]\n{rules}"));
    refused(&world, &columns("id = \"id\"\nname = \"nmae\""), &["nmae", "did you mean \"name\""]);
    refused(&world, &columns("id = \"id\"\nnome = \"name\""), &["nome", "did you mean \"name\""]);
    refused(&world, &columns("id = \"id\""), &["name", "NOT NULL"]);
    refused(&world, &step(&format!("{STEP}\nkey = \"nmae\"")), &["nmae"]);
    refused(&world, &step(&format!("{STEP}\nkey = \"name\"")), &["not unique"]);
    refused(&world, &step(&format!("{STEP}\nkey = \"f\"")), &["f", "key"]);
    refused(&world, &step(&format!("{STEP}\nwhere = \"nope = 1\"")), &["nope"]);
}

#[test]
fn databases_that_are_not_there() {
    let world = world();
    refused(&world, &plan("sqlite:missing.db", "sqlite:a.db", STEP), &["missing.db"]);
    world.write("text.db", "this is not a database, whatever its name says, and it is long enough");
    refused(&world, &plan("sqlite:text.db", "sqlite:a.db", STEP), &["not a database"]);
    refused(
        &world,
        &plan("sqlite:a.db", "postgres://u:hunter2@127.0.0.1:1/x", STEP),
        &["127.0.0.1:1", "Is the server running"],
    );
    refused(&world, &plan("sqlite:a.db", "${NOT_SET_ANYWHERE}", STEP), &["NOT_SET_ANYWHERE"]);
}

#[test]
fn no_secret_is_ever_shown() {
    let world = world();
    for url in [
        "postgres://u:canary-secret@127.0.0.1:1/x",
        "postgres://u:canary-secret@127.0.0.1:notaport/x",
        "postgres://u:canary-secret@127.0.0.1:1/x?unknown=canary-secret",
        "mysql://u:canary-secret@h/x",
        "weird://u:canary-secret@h/x",
        "host=h password=canary-secret dbname=x",
    ] {
        world.write("p.toml", &plan("sqlite:a.db", url, STEP));
        for command in
            [&["check", "p.toml"][..], &["run", "p.toml", "--json"], &["status", "p.toml"]]
        {
            let ran = world.run(command);
            assert_ne!(ran.code, 0, "{url}");
            // The plan's own line may be quoted for its caret; it is the user's own file.
            let quoted = format!("url = \"{url}\"");
            let shown = format!("{}{}", ran.out, ran.err).replace(&quoted, "");
            assert!(!shown.contains("canary-secret"), "{command:?} {url}:\n{shown}");
        }
    }
}

#[test]
fn a_refused_role_and_missing_privileges_say_what_to_do() {
    let (world, database) = (world(), Postgres::new());
    database.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, f float8);
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tl_weak') THEN CREATE ROLE tl_weak LOGIN; END IF; END $$;",
    );
    let weak = database.url.replace("dba@", "tl_weak@");
    let nobody = database.url.replace("dba@", "tl_nobody@");
    refused(&world, &plan("sqlite:a.db", &nobody, STEP), &["tl_nobody", "28000"]);
    let ran = {
        world.write("p.toml", &plan("sqlite:a.db", &weak, STEP));
        world.run(&["run", "p.toml"]).code(2)
    };
    assert!(ran.err.contains("42501") && ran.err.contains("Grant"), "{}", ran.err);
    assert!(database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'tablelift'").is_empty());
}

#[test]
fn a_hostile_name_is_just_a_name() {
    let name = "a\"; DROP TABLE b; --";
    let quoted = name.replace('"', "\"\"");
    for postgres in [false, true] {
        let (world, database) = (World::new(), postgres.then(Postgres::new));
        let sql = format!(
            "CREATE TABLE b (id integer PRIMARY KEY); INSERT INTO b VALUES (1);
             CREATE TABLE \"{quoted}\" (\"{quoted}\" integer PRIMARY KEY, \"*\" text); INSERT INTO \"{quoted}\" VALUES (7, 'it''s');
             CREATE TABLE \"t {quoted}\" (\"{quoted}\" integer PRIMARY KEY, \"json\" text);"
        );
        let url = match &database {
            Some(database) => {
                database.sql(&sql);
                database.url.clone()
            }
            None => {
                world.sqlite("t.db", &sql);
                "sqlite:t.db".to_owned()
            }
        };
        let toml = name.replace('"', "\\\"");
        world.write(
            "p.toml",
            &format!(
                "name = \"hostile\"\n[source]\nurl = \"{url}\"\n[target]\nurl = \"{url}\"\n\
                 [[protect]]\ntable = \"b\"\nrows = 1\n\
                 [[step]]\nname = \"{toml}\"\ncopy = \"{toml}\"\ninto = \"t {toml}\"\n\
                 [step.columns]\n\"{toml}\" = \"{toml}\"\njson = {{ first = [\"*\"] }}\n"
            ),
        );
        world.run(&["run", "p.toml"]).ok();
        let ask = format!("SELECT * FROM \"t {quoted}\"");
        let rows = match &database {
            Some(database) => database.rows(&ask),
            None => world.sqlite_rows("t.db", &ask),
        };
        assert_eq!(rows, ["7|it's"]);
        world.run(&["rollback", "p.toml", "--yes"]).ok();
    }
}

#[test]
fn a_changed_step_is_refused_with_old_and_new() {
    let world = world();
    world.write("p.toml", &plan("sqlite:a.db", "sqlite:a.db", STEP));
    world.run(&["run", "p.toml"]).ok();
    world.write("p.toml", &plan("sqlite:a.db", "sqlite:a.db", &format!("{STEP}\nworkers = 4")));
    world.run(&["run", "p.toml"]).ok();
    world.write(
        "p.toml",
        &plan("sqlite:a.db", "sqlite:a.db", &format!("{STEP}\nwhere = \"id = 1\"")),
    );
    let ran = world.run(&["run", "p.toml"]).code(2);
    assert!(ran.err.contains("rollback --step s") && ran.err.contains("id = 1"), "{}", ran.err);
}

#[test]
fn a_dropped_ledger_does_not_copy_twice() {
    let world = world();
    let step = format!("{STEP}\nexpect = {{ before = 0 }}");
    world.write("p.toml", &plan("sqlite:a.db", "sqlite:a.db", &step));
    world.run(&["run", "p.toml"]).ok();
    let drop: String = world
        .sqlite_rows(
            "a.db",
            "SELECT name FROM sqlite_master WHERE name LIKE 'tablelift_%' AND type = 'table'",
        )
        .iter()
        .map(|name| format!("DROP TABLE {name};"))
        .collect();
    world.sqlite("a.db", &drop);
    world.run(&["run", "p.toml"]).code(3);
}

#[test]
fn a_role_called_like_the_ledger_sees_its_own_tables() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql(
        "CREATE TABLE public.s (id integer PRIMARY KEY); INSERT INTO s VALUES (1), (2);
         CREATE TABLE public.steps (id integer PRIMARY KEY);
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tablelift') THEN CREATE ROLE tablelift LOGIN SUPERUSER; END IF; END $$;",
    );
    let url = database.url.replace("dba@", "tablelift@");
    let step = "[[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"steps\"\n\
                [[check]]\nname = \"c\"\nsql = \"SELECT count(*) FROM steps\"\nvalue = 2";
    world.write("p.toml", &plan(&url, &url, step));
    world.run(&["run", "p.toml"]).ok();
    world.run(&["verify", "p.toml"]).ok();
    assert_eq!(database.rows("SELECT count(*) FROM public.steps"), ["2"]);
}

#[test]
fn a_refused_statement_outside_a_transaction_can_be_corrected() {
    let (world, database) = (World::new(), Postgres::new());
    database.sql("CREATE TABLE t (id integer PRIMARY KEY)");
    let step = |index: &str| {
        format!(
            "[[step]]\nname = \"s\"\ntransaction = false\nsql = \"CREATE INDEX CONCURRENTLY {index} ON t (id)\"\n\
             undo = \"DROP INDEX i\""
        )
    };
    world.write("p.toml", &plan(&database.url, &database.url, &step("i ON nowhere")));
    world.run(&["run", "p.toml"]).code(1);
    world.write("p.toml", &plan(&database.url, &database.url, &step("i")));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(database.rows("SELECT 1 FROM pg_class WHERE relname = 'i'"), ["1"]);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert!(database.rows("SELECT 1 FROM pg_class WHERE relname = 'i'").is_empty());
}
