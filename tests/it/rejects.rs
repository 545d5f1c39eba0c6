//! Bad rows go to the rejects with key, column and reason; good rows all arrive.

use crate::common::{Db, Postgres, Store, World};

#[test]
fn rows_that_do_not_convert_are_rejected_by_name() {
    let (world, target) = (World::new(), Postgres::new());
    let rows: Vec<String> =
        (1..=1000)
            .map(|n| {
                if n % 100 == 0 { format!("({n}, 'abc', 'x')") } else { format!("({n}, {n}, 'x')") }
            })
            .collect();
    world.sqlite(
        "s.db",
        &format!(
            "CREATE TABLE s (id INTEGER PRIMARY KEY, n INTEGER, v TEXT); INSERT INTO s VALUES {}",
            rows.join(",")
        ),
    );
    target.sql("CREATE TABLE t (id bigint PRIMARY KEY, n integer, v text)");
    let plan = |most: u32| {
        format!(
            "name = \"r\"\n[source]\nurl = \"sqlite:s.db\"\n[target]\nurl = \"{}\"\n[defaults]\nbatch_rows = 64\nmax_rejects = {most}\n\
             [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\n",
            target.url
        )
    };
    world.write("p.toml", &plan(10));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let rejected = ran.events("row_rejected");
    assert_eq!(rejected.len(), 10);
    assert!(rejected.iter().any(|event| event["key"] == 100), "{rejected:?}");
    assert_eq!(rejected[0]["column"], "n");
    assert!(!ran.out.contains("abc"), "the value stays in the ledger");
    let step = &ran.events("step_finished")[0];
    assert_eq!((step["copied"].as_u64(), step["rejected"].as_u64()), (Some(990), Some(10)));
    assert_eq!(target.rows("SELECT count(*) FROM t"), ["990"]);
    assert_eq!(
        target.rows("SELECT count(*) FROM tablelift.rejects WHERE column_name = 'n'"),
        ["10"]
    );
    assert!(target.rows("SELECT row_data FROM tablelift.rejects LIMIT 1")[0].contains("abc"));
}

#[test]
fn rows_that_the_server_refuses_are_found_one_by_one() {
    for db in Db::ALL {
        for same in [false, true] {
            let world = World::new();
            let database = Store::new(db, &world);
            let numbers: Vec<String> = (1..=500).map(|n| format!("({n}, {})", n % 37)).collect();
            let source = format!(
                "CREATE TABLE s (id integer PRIMARY KEY, n integer); INSERT INTO s VALUES {};",
                numbers.join(",")
            );
            let target = "CREATE TABLE t (id integer PRIMARY KEY, n integer CHECK (n <> 5));";
            let url = database.url();
            database.sql(target);
            if same {
                database.sql(&source);
            }
            if !same {
                world.sqlite("s.db", &source);
            }
            let from = if same { url.clone() } else { "sqlite:s.db".to_owned() };
            world.write(
                "p.toml",
                &format!(
                    "name = \"r\"\n[source]\nurl = \"{from}\"\n[target]\nurl = \"{url}\"\n[defaults]\nbatch_rows = 100\nmax_rejects = 50\n\
                     [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\n"
                ),
            );
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            let keys: Vec<u64> =
                ran.events("row_rejected").iter().map(|e| e["key"].as_u64().unwrap()).collect();
            let expected: Vec<u64> = (1..=500).filter(|n| n % 37 == 5).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected, "{db:?}, same {same}");
            let count = database.rows("SELECT count(*) FROM t");
            assert_eq!(count, [(500 - expected.len()).to_string()]);
            world.run(&["rollback", "p.toml", "--yes"]).ok();
        }
    }
}

#[test]
fn without_leave_the_first_reject_fails_the_step() {
    let world = World::new();
    world.sqlite(
        "t.db",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO s VALUES (1, 'a'), (2, 'zzz');
         CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);",
    );
    world.write(
        "p.toml",
        "name = \"r\"\n[source]\nurl = \"sqlite:t.db\"\n[target]\nurl = \"sqlite:t.db\"\n\
         [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\n[step.columns]\nid = \"id\"\nv = { from = \"v\", map = { a = \"A\" } }\n",
    );
    let ran = world.run(&["run", "p.toml"]).code(1);
    assert!(ran.err.contains("max_rejects"), "{}", ran.err);
    world.run(&["run", "p.toml"]).code(1);
}

#[test]
fn lossy_values_are_rejected_or_allowed() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    source.sql("CREATE TABLE s (id bigint PRIMARY KEY, n numeric); INSERT INTO s VALUES (1, 1.5), (2, 1.005)");
    target.sql("CREATE TABLE t (id bigint PRIMARY KEY, n numeric(6,2))");
    let plan = |lossy: &str| {
        format!(
            "name = \"lossy\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n[defaults]\nmax_rejects = 1\nlossy = \"{lossy}\"\n\
             [[step]]\nname = \"s\"\ncopy = \"s\"\ninto = \"t\"\n",
            source.url, target.url
        )
    };
    world.write("p.toml", &plan("reject"));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(ran.events("row_rejected")[0]["key"], 2);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    world.write("p.toml", &plan("allow"));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(target.rows("SELECT n FROM t ORDER BY id"), ["1.50", "1.01"]);
}
