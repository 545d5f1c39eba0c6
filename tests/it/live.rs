//! A source that stays in service while it is copied.

use std::process::{Child, Command, Stdio};

use crate::common::Postgres;
use crate::pair::{Pair, plan};

/// Rows whose id is a multiple of 3 stay as they are; writers do what they like with the others.
const FILL: &str = "INSERT INTO s SELECT n, 'n' || n, 'v0' FROM generate_series(1, 3000) n";

/// A writer that changes, deletes and inserts until it is killed, in psql.
fn writer(database: &Postgres, number: u32) -> Child {
    let sql = "DO $$ DECLARE k integer; BEGIN FOR i IN 1..100000 LOOP \
         k := 1 + floor(random() * 3300)::integer; \
         IF k % 3 <> 0 OR k > 3000 THEN \
           IF i % 5 = 0 THEN DELETE FROM s WHERE id = k; \
           ELSIF i % 5 = 1 THEN INSERT INTO s VALUES (k, 'n' || k, 'v' || i) ON CONFLICT DO NOTHING; \
           ELSIF i % 50 = 2 AND k < 3000 THEN PERFORM pg_sleep(0.05); \
           ELSE UPDATE s SET v = 'v' || i WHERE id = k; END IF; \
         END IF; COMMIT; END LOOP; END $$";
    Command::new("psql")
        .args(["-q", "-X", &database.url, "-c", &format!("SELECT setseed(0.{number}1)"), "-c", sql])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_nobody_touches_is_copied_once_and_nothing_twice_or_torn() {
    for target_pg in [true, false] {
        for consistency in ["", "consistency = \"snapshot\""] {
            let source = Postgres::new();
            let pair = Pair::new(0, false, target_pg);
            source.sql("CREATE TABLE s (id integer PRIMARY KEY, name text, v text)");
            source.sql(FILL);
            let mut writers: Vec<Child> = (0..6).map(|number| writer(&source, number)).collect();
            while source.rows("SELECT count(*) > 20 FROM s WHERE v <> 'v0'") != ["t"] {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let text = plan(&source.url, &pair.target, "[defaults]\nbatch_rows = 60\nworkers = 3")
                .replace("[target]", &format!("{consistency}\n[target]"));
            pair.world.write("p.toml", &text);
            pair.world.run(&["run", "p.toml"]).ok();
            for writer in &mut writers {
                assert!(writer.try_wait().unwrap().is_none(), "the writers wrote to the end");
                writer.kill().unwrap();
                writer.wait().unwrap();
            }
            let rows = pair.rows("SELECT id, name, data FROM t ORDER BY id");
            let id = |row: &String| row.split('|').next().unwrap().parse::<u32>().unwrap();
            let stable: Vec<&String> =
                rows.iter().filter(|row| id(row) % 3 == 0 && id(row) <= 3000).collect();
            assert_eq!(stable.len(), 1000, "of {} rows, {consistency}, {target_pg}", rows.len());
            for row in &stable {
                assert_eq!(**row, format!("{0}|n{0}|v0", id(row)));
            }
            assert!(rows.windows(2).all(|two| id(&two[0]) < id(&two[1])), "no key twice");
            let torn = rows.iter().filter(|row| !row.contains(&format!("|n{}|v", id(row))));
            assert_eq!(torn.count(), 0);
            assert!(rows.iter().any(|row| !row.ends_with("|v0")), "the writers were seen");
        }
    }
}
