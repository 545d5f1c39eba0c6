//! Commands in random order, some killed, with others writing to the target in between, against
//! a small model of what the target must hold after each. `TABLELIFT_TEST_CASES`: sequences.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::pair::{Db, Pair};
use crate::random::Random;

const OPERATIONS: u64 = 15;
const ROWS: i64 = 90;

/// What the target should hold, and how far the run is.
struct Model {
    /// id → name and data.
    rows: BTreeMap<i64, String>,
    /// Rows as the run wrote them, unchanged since.
    ours: BTreeMap<i64, String>,
    /// Rows of ours that others changed or deleted: rollback counts them as kept.
    touched: u64,
    /// Steps of the plan: the copy, and `sql` steps appended to it.
    appended: u64,
    done: bool,
    /// A rollback was begun and is not finished.
    undoing: bool,
    started: bool,
}

struct Sequence {
    pair: Pair,
    random: Random,
    model: Model,
    log: Vec<String>,
}

impl Sequence {
    fn new(seed: u64, source: Db, target: Db) -> Sequence {
        let pair = Pair::new(u32::try_from(ROWS).unwrap(), source, target);
        let model = Model {
            rows: BTreeMap::new(),
            ours: BTreeMap::new(),
            touched: 0,
            appended: 0,
            done: false,
            undoing: false,
            started: false,
        };
        Sequence { pair, random: Random::new(seed), model, log: vec![format!("seed {seed}")] }
    }

    fn execute(&self, sql: &str) {
        self.pair.sql(&self.pair.target, sql);
    }

    fn write_plan(&mut self, slow: bool) {
        let throttle = if slow { "[throttle]\nrows_per_second = 400" } else { "" };
        let options = format!(
            "[defaults]\nbatch_rows = {}\nworkers = {}\n{throttle}",
            1 + self.random.below(30),
            1 + self.random.below(4)
        );
        let mut text = crate::pair::plan(&self.pair.source, &self.pair.target, &options).replace(
            "copy = \"s\"\n",
            "copy = \"s\"\nallow_inserts = true\non_conflict = \"skip\"\n",
        );
        for number in 0..self.model.appended {
            text.push_str(&format!(
                "[[step]]\nname = \"more{number}\"\nsql = \"INSERT INTO marks VALUES (2)\"\n\
                 undo = \"DELETE FROM marks WHERE n = 2\"\n"
            ));
        }
        self.pair.world.write("p.toml", &text);
    }

    /// Runs a command; kills it after a while if asked. `None`: it was killed.
    fn command(&mut self, arguments: &[&str], kill: bool) -> Option<i32> {
        let mut command = self.pair.world.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if kill {
            std::thread::sleep(Duration::from_millis(20 + self.random.below(250)));
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        self.log.push(format!("{} → {code:?} {}", arguments.join(" "), said.trim()));
        code
    }

    fn found(&self) -> BTreeMap<i64, String> {
        let rows = self.pair.rows("SELECT id, name, data FROM t");
        let count = rows.len();
        let map: BTreeMap<i64, String> = rows
            .into_iter()
            .map(|row| {
                let (id, rest) = row.split_once('|').unwrap();
                (id.parse().unwrap(), rest.to_owned())
            })
            .collect();
        assert_eq!(map.len(), count, "no key twice");
        map
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}", self.log.join("\n"));
    }

    fn operation(&mut self) {
        match self.random.below(10) {
            0 | 1 => self.run(false),
            2 | 3 => self.run(true),
            4 => self.rollback(false),
            5 => self.rollback(true),
            6 if !self.model.undoing => {
                // `verify` misses the new step until it has run.
                self.model.appended += 1;
                self.model.done = false;
            }
            7 => self.insert_foreign(),
            8 => self.touch_ours(),
            _ => self.look(),
        }
        self.compare();
    }

    fn run(&mut self, kill: bool) {
        self.write_plan(kill);
        let code = self.command(&["run", "p.toml"], kill);
        match code {
            Some(2) if self.model.undoing => return,
            Some(0) if !self.model.undoing => {
                self.model.started = true;
                self.model.done = true;
            }
            None => self.model.started |= self.has_run(),
            _ => self.fail("the run ended otherwise than it should"),
        }
        self.take_over_copied();
        if self.model.done {
            let missing = (1..=ROWS).filter(|n| !self.model.rows.contains_key(&(n * 3))).count();
            // Rows that others deleted after they were copied stay deleted.
            if missing as u64 > self.model.touched {
                self.fail("rows are missing after a run that was done");
            }
        }
    }

    /// A run that is not rolled back stands in the ledger.
    fn has_run(&self) -> bool {
        !["never started", "rolled back"].contains(&self.state().as_str())
    }

    /// The run's state, as `status` says it.
    fn state(&self) -> String {
        let status = self.pair.world.run(&["status", "p.toml", "--json"]).ok().out;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["state"].as_str().unwrap().to_owned()
    }

    /// What a run wrote so far: source rows, exact, and nothing else.
    fn take_over_copied(&mut self) {
        for (id, row) in self.found() {
            if self.model.rows.contains_key(&id) {
                continue;
            }
            let n = id / 3;
            if id % 3 != 0 || !(1..=ROWS).contains(&n) || row != format!("n{n}|x{}", n % 7) {
                self.fail(&format!("a row that nobody wrote: {id}|{row}"));
            }
            self.model.rows.insert(id, row.clone());
            self.model.ours.insert(id, row);
        }
    }

    fn rollback(&mut self, kill: bool) {
        self.write_plan(kill);
        let code = self.command(&["rollback", "p.toml", "--yes"], kill);
        let expected = if self.model.touched > 0 { 3 } else { 0 };
        match code {
            Some(2) if !self.model.started => {}
            None => {
                // What it took back before it was killed is gone, and nothing else.
                let left = self.found();
                let ours = std::mem::take(&mut self.model.ours);
                for (id, row) in ours {
                    if left.contains_key(&id) {
                        self.model.ours.insert(id, row);
                    } else {
                        self.model.rows.remove(&id);
                    }
                }
                self.model.undoing = self.state() == "rolling back";
                self.model.done &= !self.model.undoing;
                let over = !self.has_run();
                if over {
                    self.rolled_back();
                }
            }
            // The batches that a killed rollback took back were counted by that one.
            Some(0 | 3) if self.model.undoing => self.rolled_back(),
            Some(code) if code == expected => self.rolled_back(),
            _ => self.fail("the rollback ended otherwise than it should"),
        }
    }

    fn rolled_back(&mut self) {
        for id in std::mem::take(&mut self.model.ours).into_keys() {
            self.model.rows.remove(&id);
        }
        self.model.touched = 0;
        self.model.done = false;
        self.model.undoing = false;
        self.model.started = false;
    }

    fn insert_foreign(&mut self) {
        let id = 1 + 3 * i64::try_from(self.random.below(400)).unwrap();
        if self.model.rows.contains_key(&id) {
            return;
        }
        self.log.push(format!("somebody inserts {id}"));
        self.execute(&format!("INSERT INTO t VALUES ({id}, 'theirs', 'x')"));
        self.model.rows.insert(id, "theirs|x".to_owned());
    }

    fn touch_ours(&mut self) {
        let ours: Vec<i64> = self.model.ours.keys().copied().collect();
        if ours.is_empty() || self.model.undoing {
            return;
        }
        let id = *self.random.pick(&ours);
        self.model.ours.remove(&id);
        self.model.touched += 1;
        if self.random.chance(50) {
            self.log.push(format!("somebody changes {id}"));
            self.execute(&format!("UPDATE t SET data = 'changed' WHERE id = {id}"));
            let name = self.model.rows[&id].split('|').next().unwrap().to_owned();
            self.model.rows.insert(id, format!("{name}|changed"));
        } else {
            self.log.push(format!("somebody deletes {id}"));
            self.execute(&format!("DELETE FROM t WHERE id = {id}"));
            self.model.rows.remove(&id);
        }
    }

    /// Commands that only look must change nothing, and say so of what they find.
    fn look(&mut self) {
        self.write_plan(false);
        for command in ["status", "check", "verify"] {
            let code = self.command(&[command, "p.toml"], false);
            let fine: &[i32] = match command {
                "status" => &[0],
                "check" => &[0, 2],
                // A row that somebody touched is no longer what its source says.
                _ if self.model.done && self.model.touched > 0 => &[3],
                _ if self.model.done => &[0],
                _ => &[0, 2, 3],
            };
            if !code.is_some_and(|code| fine.contains(&code)) {
                self.fail(&format!("{command} ended with {code:?}"));
            }
        }
    }

    fn compare(&self) {
        let found = self.found();
        if found != self.model.rows {
            let extra: Vec<_> = found
                .iter()
                .filter(|(id, row)| self.model.rows.get(id) != Some(row))
                .take(5)
                .collect();
            let missing: Vec<_> = self
                .model
                .rows
                .iter()
                .filter(|(id, row)| found.get(id) != Some(row))
                .take(5)
                .collect();
            self.fail(&format!("the target differs: found {extra:?}, expected {missing:?}"));
        }
    }
}

fn sequences(source: impl Into<Db>, target: impl Into<Db>, default: u64) {
    let (source, target) = (source.into(), target.into());
    let given = std::env::var("TABLELIFT_TEST_CASES").ok().and_then(|n| n.parse().ok());
    let first = Random::seed();
    for seed in first..first + given.unwrap_or(default) {
        let mut sequence = Sequence::new(seed, source, target);
        for _ in 0..OPERATIONS {
            sequence.operation();
        }
    }
}

#[test]
fn commands_in_any_order_from_sqlite_to_sqlite() {
    sequences(false, false, 30);
}

#[test]
fn commands_in_any_order_from_sqlite_to_postgres() {
    sequences(false, true, 6);
}

#[test]
fn commands_in_any_order_from_postgres_to_postgres() {
    sequences(true, true, 6);
}

#[test]
fn commands_in_any_order_from_postgres_to_sqlite() {
    sequences(true, false, 8);
}

#[test]
fn commands_in_any_order_from_mariadb_to_mariadb() {
    sequences(Db::Mariadb, Db::Mariadb, 5);
}

#[test]
fn commands_in_any_order_from_sqlite_to_mariadb() {
    sequences(Db::Sqlite, Db::Mariadb, 3);
}

#[test]
fn commands_in_any_order_from_mariadb_to_postgres() {
    sequences(Db::Mariadb, Db::Postgres, 3);
}
