//! A copy between two databases that tests break, and what must hold in the end.

use crate::common::{Postgres, World};

const TABLES: &str =
    "CREATE TABLE t (id integer PRIMARY KEY, name text CHECK (name <> 'bad'), data text);
    CREATE TABLE marks (n integer); CREATE TABLE seeds (id integer PRIMARY KEY, v text);";

pub fn source_sql(rows: u32) -> String {
    let rows: Vec<String> =
        (1..=rows).map(|n| format!("({}, 'n{n}', 'x{}')", n * 3, n % 7)).collect();
    let table = "CREATE TABLE s (id integer PRIMARY KEY, name text, v text);";
    match rows.is_empty() {
        true => table.to_owned(),
        false => format!("{table} INSERT INTO s VALUES {};", rows.join(",")),
    }
}

pub fn plan(source: &str, target: &str, extra: &str) -> String {
    format!(
        "name = \"kill\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n{extra}\n\
         [[step]]\nname = \"mark\"\nsql = \"INSERT INTO marks VALUES (1)\"\nundo = \"DELETE FROM marks\"\n\
         [[step]]\nname = \"copy\"\ncopy = \"s\"\ninto = \"t\"\n\
         [step.columns]\nid = \"id\"\nname = \"name\"\ndata = \"v\"\n"
    )
}

/// The four pairs: world, source URL, target URL, and how to ask the target.
pub struct Pair {
    pub world: World,
    pub source: String,
    pub target: String,
    _source: Option<Postgres>,
    pub postgres: Option<Postgres>,
}

impl Pair {
    /// PostgreSQL to PostgreSQL, SQLite to SQLite, and the two mixed ones.
    pub fn all(rows: u32) -> Vec<Pair> {
        [(true, true), (false, false), (false, true), (true, false)]
            .map(|(source, target)| Pair::new(rows, source, target))
            .into()
    }

    /// One pair: `true` is PostgreSQL.
    pub fn new(rows: u32, source_pg: bool, target_pg: bool) -> Pair {
        let world = World::new();
        let source = source_pg.then(Postgres::new);
        let postgres = target_pg.then(Postgres::new);
        match &source {
            Some(database) => database.sql(&source_sql(rows)),
            None => world.sqlite("s.db", &source_sql(rows)),
        }
        match &postgres {
            Some(database) => database.sql(TABLES),
            None => world.sqlite("t.db", TABLES),
        }
        let url = |database: &Option<Postgres>, file: &str| {
            database.as_ref().map_or(format!("sqlite:{file}"), |database| database.url.clone())
        };
        Pair {
            source: url(&source, "s.db"),
            target: url(&postgres, "t.db"),
            world,
            _source: source,
            postgres,
        }
    }

    pub fn rows(&self, sql: &str) -> Vec<String> {
        match &self.postgres {
            Some(database) => database.rows(sql),
            None => self.world.sqlite_rows("t.db", sql),
        }
    }

    pub fn ledger(&self, table: &str) -> String {
        match self.postgres {
            Some(_) => format!("tablelift.{table}"),
            None => format!("tablelift_{table}"),
        }
    }

    /// Every row once, the ledger's sums equal to what is there, the sql step run once.
    #[track_caller]
    pub fn holds(&self, rows: u32, point: &str) {
        let expected: Vec<String> =
            (1..=rows).map(|n| format!("{}|n{n}|x{}", n * 3, n % 7)).collect();
        let found = self.rows("SELECT id, name, data FROM t ORDER BY id");
        assert!(found == expected, "{point}: {} rows of {rows}: {found:?}", found.len());
        let sums = format!("SELECT sum(read_rows), sum(inserted) FROM {}", self.ledger("batches"));
        assert_eq!(self.rows(&sums), [format!("{rows}|{rows}")], "{point}");
        assert_eq!(self.rows("SELECT count(*) FROM marks"), ["1"], "{point}");
    }
}
