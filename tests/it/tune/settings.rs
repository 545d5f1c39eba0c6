//! `analyze` and `synchronous_commit`: what the server itself saw.

use crate::pair::{Pair, plan};

fn with(pair: &Pair, tune: &str) {
    let text = plan(&pair.source, &pair.target, "[defaults]\nbatch_rows = 9");
    pair.world.write("p.toml", &text.replace("into = \"t\"\n", &format!("into = \"t\"\n{tune}\n")));
}

#[test]
fn a_target_on_postgres_is_analyzed_unless_the_plan_says_no() {
    for (tune, rows) in
        [("", "60"), ("tune = { analyze = true }", "60"), ("tune = { analyze = false }", "-1")]
    {
        let pair = Pair::new(60, false, true);
        pair.postgres.as_ref().unwrap().sql("ALTER TABLE t SET (autovacuum_enabled = false)");
        with(&pair, tune);
        let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(pair.rows("SELECT reltuples FROM pg_class WHERE oid = 't'::regclass"), [rows]);
        assert_eq!(ran.events("table_analyzed").len(), usize::from(rows == "60"), "{}", ran.out);
    }
}

#[test]
fn a_target_on_sqlite_is_analyzed_only_where_the_plan_says_so() {
    for (tune, found) in [("", "0"), ("tune = { analyze = true }", "1")] {
        let pair = Pair::new(60, true, false);
        with(&pair, tune);
        pair.world.run(&["run", "p.toml"]).ok();
        let ask = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'";
        assert_eq!(pair.rows(ask), [found], "{tune}");
    }
}

#[test]
fn a_table_that_can_not_be_analyzed_is_copied_all_the_same() {
    let pair = Pair::new(60, false, true);
    pair.postgres.as_ref().unwrap().sql(
        "CREATE FUNCTION moody(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN \
           IF current_query() LIKE 'ANALYZE%' THEN RAISE EXCEPTION 'not now'; END IF; \
           RETURN $1; END $$; CREATE INDEX mood ON t (moody(id))",
    );
    with(&pair, "tune = { defer_indexes = true }");
    let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
    let said = ran.events("warning");
    let about = |event: &serde_json::Value| event["message"].to_string().contains("not analyzed");
    assert!(said.iter().any(about), "{}", ran.out);
    pair.holds(60, "without statistics");
}

#[test]
fn batches_need_not_wait_for_the_disk_and_the_steps_end_does() {
    for (tune, setting) in [("", "on"), ("tune = { synchronous_commit = false }", "off")] {
        let pair = Pair::new(60, false, true);
        let database = pair.postgres.as_ref().unwrap();
        let url = pair.target.clone();
        // The test server saves the wait for all commits; this database's do not.
        database.sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = on', \
               current_database()); END $$; CREATE TABLE seen (what text, setting text); \
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               INSERT INTO seen VALUES (TG_ARGV[0], current_setting('synchronous_commit')); \
               RETURN NULL; END $$; \
             CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION see('batch')",
        );
        with(&pair, tune);
        let mut command = pair.world.command(&["run", "p.toml"]);
        let output = command.env("TABLELIFT_FAIL_POINT", "chunks_stored").output().unwrap();
        assert_eq!(output.status.code(), None, "the kill landed");
        crate::common::psql(
            &url,
            "CREATE TRIGGER s AFTER UPDATE ON tablelift.steps EXECUTE FUNCTION see('step')",
        );
        pair.world.run(&["run", "p.toml"]).ok();
        let found = pair.rows("SELECT DISTINCT what, setting FROM seen ORDER BY 1");
        assert_eq!(found, [format!("batch|{setting}"), "step|on".to_owned()]);
        pair.holds(60, tune);
        pair.world.run(&["rollback", "p.toml", "--yes"]).ok();
        let check = pair.world.run(&["check", "p.toml"]).ok().out;
        assert_eq!(check.contains("would not wait for the disk"), setting == "off", "{check}");
    }
}
