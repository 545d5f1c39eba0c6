//! Large tables are cut by a sample or by the range of their keys, without a scan: every row is
//! in one chunk all the same, and the chunks are of about the same size.

use crate::common::{Postgres, World};

fn plan(source: &str, target: &str, batch_rows: u32) -> String {
    format!(
        "name = \"cut\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nworkers = 3\nbatch_rows = {batch_rows}\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n"
    )
}

/// Rows of each chunk that has any.
fn sizes(target: &Postgres) -> Vec<u64> {
    let ask = "SELECT sum(read_rows) FROM tablelift.batches GROUP BY chunk ORDER BY chunk";
    target.rows(ask).iter().map(|rows| rows.parse().unwrap()).collect()
}

#[test]
fn a_large_table_of_postgres_is_cut_by_a_sample() {
    let (world, database) = (World::new(), Postgres::new());
    // Keys that grow faster and faster: even ranges would hold uneven numbers of rows.
    database.sql(
        "CREATE TABLE s (id bigint PRIMARY KEY, v integer);
         INSERT INTO s SELECT n * n, n % 7 FROM generate_series(1::bigint, 1200000) n; ANALYZE s;
         CREATE TABLE t (id bigint PRIMARY KEY, v integer)",
    );
    world.write("p.toml", &plan(&database.url, &database.url, 50_000));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let about = ran.events("step_started")[0]["source_rows"].as_u64().unwrap();
    assert!((1_000_000..1_400_000).contains(&about), "{about}");
    let sum = "SELECT count(*), sum(id), sum(v) FROM";
    assert_eq!(database.rows(&format!("{sum} t")), database.rows(&format!("{sum} s")));
    let sizes = sizes(&database);
    assert!(sizes.len() >= 6, "{sizes:?}");
    let (most, even) = (*sizes.iter().max().unwrap(), 1_200_000 / sizes.len() as u64);
    assert!(most < even * 2, "{sizes:?}");
    let source_rows = database.rows("SELECT source_rows FROM tablelift.steps");
    assert_eq!(source_rows, ["1200000"], "the estimate is replaced at the end");
}

#[test]
fn a_sqlite_table_with_a_wide_range_of_keys_is_cut_evenly() {
    let (world, target) = (World::new(), Postgres::new());
    world.sqlite(
        "s.db",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, v INTEGER);
         WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 3000)
         INSERT INTO s SELECT v * 50000 - 70000000, v FROM n",
    );
    target.sql("CREATE TABLE t (id bigint PRIMARY KEY, v integer)");
    world.write("p.toml", &plan("sqlite:s.db", &target.url, 100));
    world.run(&["run", "p.toml"]).ok();
    assert_eq!(target.rows("SELECT count(*), sum(v) FROM t"), ["3000|4501500"]);
    let sizes = sizes(&target);
    assert!(sizes.len() >= 6 && sizes.iter().all(|rows| *rows < 1_000), "{sizes:?}");
    assert_eq!(target.rows("SELECT source_rows FROM tablelift.steps"), ["3000"]);
}
