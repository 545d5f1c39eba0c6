//! One round: a random plan on a random pair, disturbed some times, then brought to its end and
//! compared with the source by plain SQL.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::disturb::{Proxies, STEADY, Tally, attempt};
use crate::common::psql;
use crate::pair::{Db, Pair};
use crate::random::Random;

/// Values that have hurt somebody.
const TEXTS: &[&str] = &[
    "plain",
    "",
    " ",
    "it''s",
    "back\\slash",
    "\\N",
    "\\.",
    "tab\there",
    "new\nline",
    "\"quoted\"",
    "NULL",
    "é ü 漢字 🦀",
    "a,b;c|d",
    "{\"json\": [1]}",
    "%s$1?:x",
    "\u{200B}zero\u{FEFF}",
];

fn of_hex(hex: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    String::from_utf8((0..hex.len()).step_by(2).map(byte).collect()).unwrap()
}

/// A round and what it must end with.
pub struct Round {
    seed: u64,
    random: Random,
    pair: Pair,
    /// Source and target as the plan names them: through the proxies.
    urls: (String, String),
    proxies: Proxies,
    /// id → what the target must hold.
    expected: BTreeMap<i64, String>,
    bad: Vec<i64>,
    update: bool,
    seed_step: bool,
    before: Vec<String>,
}

impl Round {
    pub fn new(seed: u64) -> Round {
        let _steady = STEADY.read().unwrap_or_else(PoisonError::into_inner);
        let mut random = Random::new(seed);
        let ends = [Db::Postgres, Db::Postgres, Db::Sqlite, Db::Sqlite, Db::Mariadb];
        let (source, target) = (*random.pick(&ends), *random.pick(&ends));
        let pair = Pair::new(0, source, target);
        let (update, seed_step) = (random.chance(40), random.chance(30));
        // Without a key the rows go in one transaction, in which none can be refused.
        let keyless = source == Db::Postgres && random.chance(15);
        let (mut expected, mut bad) = (BTreeMap::new(), Vec::new());
        let rows = 30 + random.below(1200);
        let mut values = Vec::new();
        for _ in 0..rows {
            let id = i64::try_from(random.below(1_000_000)).unwrap() - 500_000;
            if expected.contains_key(&id) || bad.contains(&id) || id == 7 {
                continue;
            }
            let text = *random.pick(TEXTS);
            let null = random.chance(10);
            let name = if random.chance(1) && !keyless { "bad" } else { "good" };
            // A backslash escapes in MariaDB, as it does by default.
            let escape = if source == Db::Mariadb { "\\\\" } else { "\\" };
            let literal = text.replace('\\', escape);
            let value = if null { "NULL".to_owned() } else { format!("'{literal}'") };
            values.push(format!("({id}, '{name}', {value})"));
            if name == "bad" {
                bad.push(id);
                continue;
            }
            let text = text.replace("''", "'");
            let held = match (update && id < 0, null) {
                (true, _) => "touched".to_owned(),
                (false, true) => "∅".to_owned(),
                (false, false) => text,
            };
            expected.insert(id, format!("{id}|{name}|{held}"));
        }
        bad.sort_unstable();
        if keyless {
            psql(&pair.source, "ALTER TABLE s DROP CONSTRAINT s_pkey");
        }
        expected.insert(7, "7|mine|kept".to_owned());
        let insert = format!("INSERT INTO s VALUES {}", values.join(","));
        pair.sql(&pair.source, &insert);
        pair.sql(&pair.target, "INSERT INTO t VALUES (7, 'mine', 'kept')");
        let mut urls = (pair.source.clone(), pair.target.clone());
        let proxies = Proxies::before(&mut urls.0, &mut urls.1);
        let mut round = Round {
            seed,
            random,
            proxies,
            expected,
            bad,
            update,
            seed_step,
            before: Vec::new(),
            pair,
            urls,
        };
        round.before = round.rows();
        round
    }

    /// Rows of the target, as an oracle that knows nothing of our code reads them.
    fn rows(&self) -> Vec<String> {
        let ask = "SELECT id, name, replace(coalesce(data, '∅'), chr(10), '⏎') FROM t ORDER BY id";
        match (&self.pair.postgres, &self.pair.mariadb) {
            (Some(_), _) => self.pair.rows(ask),
            // Its client shows tabs and the word NULL as something else.
            (_, Some(_)) => {
                let ask = "SELECT hex(concat_ws('|', id, name, replace(coalesce(data, '∅'), '\\n', '⏎'))) \
                           FROM t ORDER BY id";
                self.pair.rows(ask).iter().map(|row| of_hex(row)).collect()
            }
            _ => self.pair.rows(&ask.replace("chr(", "char(")),
        }
    }

    fn write_plan(&mut self) {
        let random = &mut self.random;
        let options = format!(
            "[defaults]\nbatch_rows = {}\nworkers = {}\nmax_rejects = 1000\nretries = 3\n\
             [throttle]\nrows_per_second = {}",
            1 + random.below(90),
            1 + random.below(5),
            250 + random.below(1500),
        );
        let mut text = crate::pair::plan(&self.urls.0, &self.urls.1, &options);
        if self.update {
            text.push_str(
                "[[step]]\nname = \"touch\"\nupdate = \"t\"\nwhere = \"id < 0\"\n\
                 [step.set]\ndata = { value = \"touched\" }\n",
            );
        }
        if self.seed_step {
            let rows: Vec<String> =
                (1..=40).map(|n| format!("{{ id = {n}, v = \"s{n}\" }}")).collect();
            text.push_str(&format!(
                "[[step]]\nname = \"seeds\"\nrows = [{}]\ninto = \"seeds\"\n",
                rows.join(", ")
            ));
        }
        self.pair.world.write("p.toml", &text);
    }

    /// Disturbs the run, brings it to its end, compares; sometimes takes it back.
    pub fn run(mut self, tally: &Tally) {
        tally.add("rounds", 1);
        tally.add("rows", self.expected.len() as u64);
        let mut times = 1 + self.random.below(5);
        while times > 0 {
            times -= 1;
            self.write_plan();
            attempt(&self.pair, &self.proxies, &mut self.random, tally);
            if self.random.chance(8) {
                self.take_back(tally);
            }
        }
        self.write_plan();
        self.to_the_end();
        {
            let _steady = STEADY.read().unwrap_or_else(PoisonError::into_inner);
            self.compare(tally);
        }
        if self.random.chance(30) {
            self.take_back(tally);
        }
    }

    fn to_the_end(&self) {
        let mut said = Vec::new();
        for _ in 0..8 {
            let ran = self.pair.world.run(&["run", "p.toml", "--lease", "2"]);
            if ran.code == 0 {
                return;
            }
            // A frozen process that was given up may still hold the lock for a moment.
            said.push(format!("exit {}: {}", ran.code, ran.err));
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!("seed {}: it does not come to its end\n{}", self.seed, said.join("\n"));
    }

    fn take_back(&mut self, tally: &Tally) {
        let started = self.pair.world.run(&["status", "p.toml", "--json"]);
        if started.out.contains("never started") || started.out.contains("\"rolled back\"") {
            return;
        }
        tally.add("rollbacks", 1);
        let mut command = self.pair.world.command(&["rollback", "p.toml", "--yes", "--lease", "2"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(self.random.below(400)));
        if self.random.chance(50) {
            let _ = child.kill();
            tally.add("kills", u64::from(child.wait().unwrap().code().is_none()));
        } else {
            let _ = child.wait();
        }
        let mut said = String::new();
        for _ in 0..8 {
            let ran = self.pair.world.run(&["rollback", "p.toml", "--yes", "--lease", "2"]);
            // Already rolled back: nothing has run.
            if ran.code == 0 || (ran.code == 2 && ran.err.contains("has never run")) {
                let _steady = STEADY.read().unwrap_or_else(PoisonError::into_inner);
                let left = self.rows();
                let some: Vec<&String> = left.iter().take(5).collect();
                assert!(
                    left == self.before,
                    "seed {}: {} left, {some:?}, {}",
                    self.seed,
                    left.len(),
                    ran.err
                );
                return;
            }
            said = format!("exit {}: {}", ran.code, ran.err);
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!("seed {}: it is not taken back: {said}", self.seed);
    }

    fn compare(&self, tally: &Tally) {
        let found = self.rows();
        let expected: Vec<String> =
            self.expected.values().map(|row| row.replace('\n', "⏎")).collect();
        let id_of = |row: &String| row.split('|').next().unwrap().to_owned();
        let mut times: BTreeMap<String, u64> = BTreeMap::new();
        found.iter().for_each(|row| *times.entry(id_of(row)).or_insert(0) += 1);
        let lost = expected.iter().filter(|row| !times.contains_key(&id_of(row))).count();
        tally.add("lost", lost as u64);
        tally.add("doubled", times.values().filter(|times| **times > 1).count() as u64);
        let altered = found.iter().filter(|row| !expected.contains(row)).count();
        tally.add("altered", altered as u64);
        let seed = self.seed;
        if found != expected {
            let missing = expected.iter().filter(|row| !found.contains(row)).take(5);
            let extra = found.iter().filter(|row| !expected.contains(row)).take(5);
            let (missing, extra): (Vec<_>, Vec<_>) = (missing.collect(), extra.collect());
            panic!("seed {seed}: {} of {}, {missing:?} {extra:?}", found.len(), expected.len());
        }
        let copied = expected.len() - 1;
        let sums = format!(
            "SELECT sum(read_rows), sum(inserted), sum(rejected) FROM {} WHERE step = 'copy' \
             AND run = (SELECT max(id) FROM {})",
            self.pair.ledger("batches"),
            self.pair.ledger("runs")
        );
        let bad = self.bad.len();
        let sums = self.pair.rows(&sums);
        assert_eq!(sums, [format!("{}|{copied}|{bad}", copied + bad)], "seed {seed}");
        let rejects = format!(
            "SELECT row_key, column_name FROM {} WHERE run = (SELECT max(id) FROM {})",
            self.pair.ledger("rejects"),
            self.pair.ledger("runs")
        );
        let key = |id: &i64| match self.pair.source.starts_with("post") {
            true => format!("[\"{id}\"]|name"),
            false => format!("[{id}]|name"),
        };
        let mut wanted: Vec<String> = self.bad.iter().map(key).collect();
        let mut rejected = self.pair.rows(&rejects);
        wanted.sort();
        rejected.sort();
        assert_eq!(rejected, wanted, "seed {seed}");
        tally.add("rejected rightly", bad as u64);
        let seeds = self.pair.rows("SELECT count(*) FROM seeds");
        assert_eq!(seeds, [if self.seed_step { "40" } else { "0" }], "seed {seed}: seeds");
        let marks = self.pair.rows("SELECT count(*) FROM marks");
        assert_eq!(marks, ["1"], "seed {seed}: the sql step ran once");
    }
}
