//! A small world for each test: a folder, databases, a plan, the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value as Json;
use tempfile::TempDir;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tablelift");

/// One test's folder, and what it runs.
pub struct World {
    pub dir: TempDir,
}

/// What a run of the program gave.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Events of `--json`.
    pub fn events(&self, name: &str) -> Vec<Json> {
        self.out
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok())
            .filter(|event| event["event"] == name)
            .collect()
    }

    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn code(self, expected: i32) -> Ran {
        assert_eq!(self.code, expected, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

impl World {
    pub fn new() -> World {
        World { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with arguments, in this folder, with nothing of ours in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.dir.path());
        for (name, _) in std::env::vars() {
            if name.starts_with("TABLELIFT") || name.starts_with("PG") || name == "CI" {
                command.env_remove(name);
            }
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// Runs SQL on a SQLite file of this folder.
    pub fn sqlite(&self, file: &str, sql: &str) {
        let connection = rusqlite::Connection::open(self.path(file)).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Rows of a query, each as text joined by `|`, NULL as `∅`.
    pub fn sqlite_rows(&self, file: &str, sql: &str) -> Vec<String> {
        sqlite_rows(&self.path(file), sql)
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn sqlite_rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut out = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells: Vec<String> = (0..width)
            .map(|at| match row.get_ref(at).unwrap() {
                rusqlite::types::ValueRef::Null => "∅".to_owned(),
                rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                rusqlite::types::ValueRef::Real(f) => format!("{f:?}"),
                rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
            })
            .collect();
        out.push(cells.join("|"));
    }
    out
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Db {
    Postgres,
    Sqlite,
    Mariadb,
}

impl Db {
    pub const ALL: [Db; 3] = [Db::Sqlite, Db::Postgres, Db::Mariadb];
}

impl From<bool> for Db {
    /// `true` is PostgreSQL, `false` SQLite.
    fn from(postgres: bool) -> Db {
        if postgres { Db::Postgres } else { Db::Sqlite }
    }
}

/// A database of a test: of a server, or the file `t.db` of a world.
pub enum Store {
    Postgres(Postgres),
    Sqlite(PathBuf),
    Mariadb(Mariadb),
}

impl Store {
    pub fn new(db: Db, world: &World) -> Store {
        match db {
            Db::Postgres => Store::Postgres(Postgres::new()),
            Db::Mariadb => Store::Mariadb(Mariadb::new()),
            Db::Sqlite => Store::Sqlite(world.path("t.db")),
        }
    }

    pub fn url(&self) -> String {
        match self {
            Store::Postgres(database) => database.url.clone(),
            Store::Mariadb(database) => database.url.clone(),
            Store::Sqlite(path) => format!("sqlite:{}", path.display()),
        }
    }

    /// Runs SQL.
    pub fn sql(&self, sql: &str) {
        match self {
            Store::Postgres(database) => database.sql(sql),
            Store::Mariadb(database) => database.sql(sql),
            Store::Sqlite(path) => {
                rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
            }
        }
    }

    /// Rows of a query, columns joined by `|`, NULL as `∅`.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        match self {
            Store::Postgres(database) => database.rows(sql),
            Store::Mariadb(database) => database.rows(sql),
            Store::Sqlite(path) => sqlite_rows(path, sql),
        }
    }
}

/// A database of its own on the test server.
pub struct Postgres {
    pub url: String,
    name: String,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// A new, empty database.
    ///
    /// # Panics
    /// There is no test server: `scripts/test` starts one.
    pub fn new() -> Postgres {
        let server = server();
        let number = DATABASES.fetch_add(1, Ordering::SeqCst);
        let name = format!("t{}_{number}", std::process::id());
        psql(&server, &format!("CREATE DATABASE {name}"));
        let (front, _) = server.rsplit_once('/').unwrap();
        Postgres { url: format!("{front}/{name}"), name }
    }

    /// Runs SQL through psql, as an oracle that knows nothing of our code.
    pub fn sql(&self, sql: &str) {
        psql(&self.url, sql);
    }

    /// Rows of a query, columns joined by `|`, NULL as `∅`.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        psql(&self.url, sql).lines().map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = Command::new("psql").args(["-q", "-c", &drop, &server()]).output();
    }
}

/// A database of its own on the MariaDB test server.
pub struct Mariadb {
    pub url: String,
    name: String,
}

impl Mariadb {
    /// A new, empty database.
    ///
    /// # Panics
    /// There is no test server: `scripts/test` starts one.
    pub fn new() -> Mariadb {
        let server = mariadb_server();
        let number = DATABASES.fetch_add(1, Ordering::SeqCst);
        let name = format!("t{}_{number}", std::process::id());
        mariadb(&server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        let (front, _) = server.rsplit_once('/').unwrap();
        Mariadb { url: format!("{front}/{name}"), name }
    }

    /// Runs SQL through the server's own client, as an oracle that knows nothing of our code.
    pub fn sql(&self, sql: &str) {
        mariadb(&self.url, sql);
    }

    /// Rows of a query, columns joined by `|`, NULL (and the text `NULL`) as `∅`.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let answer = mariadb(&self.url, sql);
        let cell = |cell: &str| if cell == "NULL" { "∅".to_owned() } else { cell.to_owned() };
        let row = |line: &str| line.split('\t').map(cell).collect::<Vec<_>>().join("|");
        answer.lines().map(row).collect()
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // A table that somebody still locks is left to the server's own end.
        let drop = format!("SET lock_wait_timeout = 1; DROP DATABASE IF EXISTS {}", self.name);
        let _ = mariadb_client(&mariadb_server()).args(["-e", &drop]).output();
    }
}

fn mariadb_server() -> String {
    std::env::var("TABLELIFT_TEST_MARIADB")
        .expect("TABLELIFT_TEST_MARIADB is not set; run the tests with scripts/test")
}

fn mariadb_client(url: &str) -> Command {
    let rest = url.strip_prefix("mysql://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (host, rest) = rest.split_once(':').unwrap();
    let (port, database) = rest.split_once('/').unwrap();
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "--protocol=tcp", "--default-character-set=utf8mb4"]);
    command.args(["--batch", "--raw", "--skip-column-names"]);
    command.args(["-h", host, "-P", port, "-u", user, database]);
    command
}

pub fn mariadb(url: &str, sql: &str) -> String {
    // Another zone than UTC, and a mode that forgives, are the server's defaults.
    let sql = format!("SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; {sql}");
    fed(mariadb_client(url), sql)
}

/// Whether the server does as it is told; what is to be ended may be gone already.
pub fn mariadb_tries(url: &str, sql: &str) -> bool {
    mariadb_client(url).args(["-e", sql]).output().unwrap().status.success()
}

/// The output of a client that reads SQL.
fn fed(mut client: Command, sql: String) -> String {
    use std::io::Write as _;
    let mut child = client
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the client is installed with the server");
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(sql.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn server() -> String {
    std::env::var("TABLELIFT_TEST_POSTGRES")
        .expect("TABLELIFT_TEST_POSTGRES is not set; run the tests with scripts/test")
}

pub fn psql(url: &str, sql: &str) -> String {
    let mut client = Command::new("psql");
    client.args(["-q", "-A", "-t", "-X", "-v", "ON_ERROR_STOP=1", "-P", "null=∅", url]);
    fed(client, sql.to_owned())
}
