//! A copy between two databases that tests break, and what must hold in the end.

pub use crate::common::Db;
use crate::common::{Mariadb, Postgres, World, mariadb, psql};

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

/// A pair: world, source URL, target URL, and how to ask the target.
pub struct Pair {
    pub world: World,
    pub source: String,
    pub target: String,
    _source: Option<Postgres>,
    pub postgres: Option<Postgres>,
    _mariadb: Option<Mariadb>,
    pub mariadb: Option<Mariadb>,
}

impl Pair {
    /// PostgreSQL and SQLite to themselves and to each other, and one of them from or to MariaDB.
    pub fn all(rows: u32) -> Vec<Pair> {
        use Db::{Mariadb, Postgres, Sqlite};
        [
            (Postgres, Postgres),
            (Sqlite, Sqlite),
            (Sqlite, Postgres),
            (Postgres, Sqlite),
            (Mariadb, Postgres),
            (Sqlite, Mariadb),
        ]
        .map(|(source, target)| Pair::new(rows, source, target))
        .into()
    }

    pub fn new(rows: u32, source: impl Into<Db>, target: impl Into<Db>) -> Pair {
        let (source, target) = (source.into(), target.into());
        let world = World::new();
        let postgres = |db: Db| (db == Db::Postgres).then(Postgres::new);
        let mariadb = |db: Db| (db == Db::Mariadb).then(Mariadb::new);
        let from = (postgres(source), mariadb(source));
        let to = (postgres(target), mariadb(target));
        let url = |end: &(Option<Postgres>, Option<Mariadb>), file: &str| match end {
            (Some(database), _) => database.url.clone(),
            (_, Some(database)) => database.url.clone(),
            _ => format!("sqlite:{file}"),
        };
        let pair = Pair {
            source: url(&from, "s.db"),
            target: url(&to, "t.db"),
            world,
            _source: from.0,
            postgres: to.0,
            _mariadb: from.1,
            mariadb: to.1,
        };
        pair.sql(&pair.source, &source_sql(rows));
        pair.sql(&pair.target, TABLES);
        pair
    }

    /// Runs SQL on the database of a URL.
    pub fn sql(&self, url: &str, sql: &str) {
        match url.strip_prefix("sqlite:") {
            Some(file) => self.world.sqlite(file, sql),
            None if url.starts_with("mysql:") => drop(mariadb(url, sql)),
            None => drop(psql(url, sql)),
        }
    }

    pub fn rows(&self, sql: &str) -> Vec<String> {
        match (&self.postgres, &self.mariadb) {
            (Some(database), _) => database.rows(sql),
            (_, Some(database)) => database.rows(sql),
            _ => self.world.sqlite_rows("t.db", sql),
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
