//! The only floor with sockets, files and drivers. One folder per database.
//!
//! A [`Database`] knows where it is; a [`Session`] is one owned connection. Sessions are never
//! pooled: a connection after any trouble is closed, because both drivers can give silent wrong
//! answers on one that was left in the middle of something.

pub mod class;
pub mod files;
pub mod gauges;
pub mod indexes;
pub mod mysql;
pub mod postgres;
mod relay;
pub mod rows;
pub mod sqlite;
pub mod url;
mod watch;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::key::Key;
use crate::mapping::BoundLookup;
use crate::plan::{Endpoint, OnConflict};
use crate::sql::survey::{Details, TableKind};
use crate::sql::{Column, Dialect, Flavor, Kind, Statement, Switch, Table, TableName};
use crate::value::{Row, Value};

pub use rows::{Blocks, ReadRows, RowSink, collect};

/// One database of a plan.
pub enum Database {
    /// PostgreSQL.
    Postgres(Box<postgres::Server>),
    /// SQLite.
    Sqlite(sqlite::File),
    /// MySQL or MariaDB.
    Mysql(Box<mysql::Server>),
}

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only; the session refuses writes.
    Read,
    /// Reads and writes. SQLite: the file is created where it is missing.
    Write,
    /// For transactions that will be rolled back. SQLite: a missing file is an empty database
    /// in memory, so that looking at a plan makes no file.
    Look,
}

impl Database {
    /// Understands the URL of one end of the plan; connects to nothing yet. `patience`: how
    /// long this process may be silent before others take it for dead.
    ///
    /// # Errors
    /// An unknown scheme or parameter; the URL itself is never part of the message.
    pub fn open(endpoint: &Endpoint, dir: &Path, patience: Duration) -> Result<Database> {
        let url = endpoint.url.as_str();
        if url.is_empty() {
            return Ok(Database::Sqlite(sqlite::File::nothing()));
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Database::Sqlite(sqlite::File::new(path, dir)?));
        }
        if url.starts_with("mysql:") || url.starts_with("mariadb:") {
            let server = mysql::Server::new(url, endpoint.schema.as_deref(), patience)?;
            return Ok(Database::Mysql(Box::new(server)));
        }
        let server = postgres::Server::new(url, endpoint.schema.as_deref(), patience)?;
        Ok(Database::Postgres(Box::new(server)))
    }

    /// Which database it is.
    pub fn flavor(&self) -> Flavor {
        match self {
            Database::Postgres(_) => Flavor::Postgres,
            Database::Sqlite(_) => Flavor::Sqlite,
            Database::Mysql(_) => Flavor::Mysql,
        }
    }

    /// Opens an owned connection. `label` is what the server shows for it.
    pub async fn session(&self, access: Access, label: &str) -> Result<Box<dyn Session>> {
        match self {
            Database::Postgres(server) => Ok(Box::new(server.session(access, label).await?)),
            Database::Sqlite(file) => Ok(Box::new(file.session(access)?)),
            Database::Mysql(server) => Ok(Box::new(server.session(access).await?)),
        }
    }

    /// A session that writes this database and can read `source` in the same statements:
    /// the same database, or two SQLite files. `None` where that is not possible.
    pub async fn joint_session(
        &self,
        source: &Database,
        label: &str,
    ) -> Result<Option<Box<dyn Session>>> {
        match (self, source) {
            (Database::Sqlite(target), Database::Sqlite(source)) => {
                Ok(Some(Box::new(target.session_with(source)?)))
            }
            (Database::Postgres(target), Database::Postgres(other)) if target.same_as(other) => {
                Ok(Some(Box::new(target.session(Access::Write, label).await?)))
            }
            (Database::Mysql(target), Database::Mysql(other)) if target.same_as(other) => {
                Ok(Some(Box::new(target.session(Access::Write).await?)))
            }
            _ => Ok(None),
        }
    }

    /// Names the database without secrets: `host:port/name` or the file's path.
    pub fn display(&self) -> String {
        match self {
            Database::Postgres(server) => server.display(),
            Database::Sqlite(file) => file.display(),
            Database::Mysql(server) => server.display(),
        }
    }

    /// Takes the lock that keeps other conductors of `plan` out; it ends with the guard.
    /// `None`: another process has it.
    pub async fn try_lock(&self, plan: &str) -> Result<Option<RunLock>> {
        match self {
            Database::Postgres(server) => Ok(server.lock(plan).await?.map(RunLock::Session)),
            Database::Sqlite(file) => Ok(file.lock()?.map(RunLock::File)),
            Database::Mysql(server) => Ok(server.lock(plan).await?.map(RunLock::Session)),
        }
    }

    /// The same, with some patience: a process that was killed leaves its lock until the server
    /// notices the closed socket, and one that only asks who has it holds it for a moment.
    pub async fn lock(&self, plan: &str) -> Result<Option<RunLock>> {
        for _ in 1..LOCK_TRIES {
            if let Some(lock) = self.try_lock(plan).await? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(LOCK_WAIT).await;
        }
        self.try_lock(plan).await
    }
}

/// Tries to get a lock, and the wait between them.
const LOCK_TRIES: u32 = 5;
const LOCK_WAIT: Duration = Duration::from_millis(150);

/// This process, as the ledger and the server's list of sessions call it.
pub fn runner() -> &'static str {
    static RUNNER: OnceLock<String> = OnceLock::new();
    RUNNER.get_or_init(|| {
        // The last 48 bits of a version 7 id are random.
        let id = uuid::Uuid::now_v7().simple().to_string();
        id[20..].to_owned()
    })
}

/// Held while a command runs; the quick exit for a second runner. Safety comes from the
/// ledger's epoch, not from this.
pub enum RunLock {
    /// A connection that holds an advisory lock.
    Session(Box<dyn Session>),
    /// A locked file beside the database.
    File(sqlite::FileLock),
}

/// Where keys that part a large table come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sample {
    /// From a clause after the table's name and alias that leaves a sample of its rows.
    Clause(String),
    /// From the lowest and highest value of its key, an integer whose values may have gaps.
    Range(i64, i64),
    /// From all of its keys.
    None,
}

/// Rows to write into one table.
pub struct Insert<'a> {
    /// The target table.
    pub table: &'a Table,
    /// The columns written, in the order of the cells.
    pub columns: &'a [Column],
    /// The target's key: primary key, or the columns that a conflict is about. May be empty.
    pub key: &'a [String],
    /// What happens when the key is there.
    pub conflict: OnConflict,
    /// Columns that the digest of a written row covers (elsewhere than in PostgreSQL).
    pub digest: &'a [String],
    /// The caller wants the target's keys.
    pub want_keys: bool,
    /// The rows.
    pub rows: &'a [Row],
}

/// What an insert did. `affected = sent` has been compared.
#[derive(Debug, Default)]
pub struct Inserted {
    /// New rows.
    pub inserted: u64,
    /// Rows that were there and stayed.
    pub skipped: u64,
    /// 16 bytes for each new row, by which rollback knows our unchanged rows.
    /// PostgreSQL needs none: there a row's `xmin` says which transaction wrote it.
    pub digests: Vec<u8>,
    /// If wanted: target keys, in the order of the rows. A skipped row's key is the one sent.
    pub keys: Vec<Key>,
    /// Before-images of rows that were there and were updated.
    pub images: Vec<Image>,
}

/// A target row before an update.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its key.
    pub key: Key,
    /// The written columns' values before.
    pub before: Row,
    /// How rollback knows that nobody changed the row since: its digest after the update;
    /// PostgreSQL, its `xmin` before the update (its `xmin` after is the batch's).
    pub mark: Vec<u8>,
}

/// One update of a target row.
pub struct RowUpdate {
    /// Its key.
    pub key: Key,
    /// New values of the columns.
    pub cells: Row,
}

/// One owned connection. Every method may fail with a classified error; after an error of the
/// class retry, or when [`Session::broken`] says so, it can only be dropped.
#[async_trait]
pub trait Session: Send {
    /// The SQL that it speaks.
    fn dialect(&self) -> &'static dyn Dialect;

    /// The connection is out of step with the server and must be dropped.
    fn broken(&self) -> bool;

    /// Begins a transaction (READ COMMITTED; SQLite: IMMEDIATE).
    async fn begin(&mut self) -> Result<()>;

    /// Commits. `Ok` means that the server said COMMIT, not ROLLBACK.
    async fn commit(&mut self) -> Result<()>;

    /// Rolls back; on failure the session is broken.
    async fn rollback(&mut self);

    /// Runs one statement; the rows affected.
    async fn execute(&mut self, statement: &Statement) -> Result<u64>;

    /// Runs one query whose answer is small. Without binds, values of every type come in their
    /// text form, typed by the server's type.
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>>;

    /// Runs statements of the plan, as they are.
    async fn script(&mut self, sql: &str) -> Result<()>;

    /// The table as the catalog describes it; `None` if there is none.
    async fn table(&mut self, name: &TableName) -> Result<Option<Table>>;

    /// Tables and views that a bare name of a plan can mean, in a stable order: nothing of the
    /// system, no partitions, nothing of the ledger.
    async fn tables(&mut self) -> Result<Vec<(TableName, TableKind)>>;

    /// What a plan's author wants to know of a table besides. `scan`: reading all of it is
    /// worth an answer (MySQL's dates with zeros).
    async fn details(&mut self, table: &Table, scan: bool) -> Result<Details>;

    /// About how many rows there are, without looking at them; `None`: it has to be counted.
    async fn estimate(&mut self, from_where: &str) -> Result<Option<u64>>;

    /// How keys that part the table can be found without reading all of it.
    async fn sample(&mut self, table: &TableName) -> Result<Sample>;

    /// The columns of a query, without running it.
    async fn describe(&mut self, query: &str) -> Result<Vec<Column>>;

    /// Reads the rows of `select`, whose values have `kinds`, into `sink`. PostgreSQL sends
    /// binary forms: what has none that is known here is asked for as text.
    async fn read(&mut self, select: &str, kinds: &[Kind], sink: &mut dyn RowSink) -> Result<()>;

    /// Writes rows inside the open transaction.
    async fn insert(&mut self, insert: &Insert<'_>) -> Result<Inserted>;

    /// Writes rows that are encoded for this database (see [`crate::mapping::wire::encode`])
    /// inside the open transaction, block after block. `digest`: as in [`Insert`]. Any row that
    /// is there already is an error.
    async fn insert_blocks(
        &mut self,
        table: &Table,
        columns: &[Column],
        digest: &[String],
        blocks: &mut Blocks,
    ) -> Result<Inserted>;

    /// Updates rows by key inside the open transaction. Each image holds the values before and
    /// the digest after. Rows whose values are already so are not written and get no image.
    async fn update(
        &mut self,
        table: &Table,
        key: &[String],
        columns: &[Column],
        digest: &[String],
        updates: &[RowUpdate],
    ) -> Result<Vec<Image>>;

    /// Values of `lookup.take` for each key; at most two for a key (two mean ambiguous).
    async fn look_up(
        &mut self,
        lookup: &BoundLookup,
        keys: &[Vec<Value>],
    ) -> Result<Vec<Vec<Value>>>;

    /// Moves the sequences of identity columns above the highest value; never back.
    async fn advance_sequences(&mut self, table: &Table) -> Result<()>;

    /// Names of what would write besides us: enabled row triggers and rules on `table`.
    async fn triggers(&mut self, table: &Table) -> Result<Vec<String>>;

    /// What switches the triggers and rules of `table` off and on inside a transaction, those of
    /// foreign keys excepted; `None`: this database can't.
    ///
    /// # Errors
    /// Invalid: the table is another role's.
    async fn trigger_switch(&mut self, _table: &Table) -> Result<Option<Switch>> {
        Ok(None)
    }

    /// The columns that a constraint or unique index of `table` is about; none if unknown.
    async fn constraint_columns(&mut self, table: &Table, name: &str) -> Result<Vec<String>>;

    /// Makes the open transaction ready for pieces of a batch: constraints speak up with the
    /// statement that breaks them, and [`Session::row_mark`] can be asked.
    async fn begin_pieces(&mut self) -> Result<()>;

    /// The id that rows written now will show, where rollback knows rows by it (PostgreSQL's
    /// `xmin`; it differs inside a savepoint). Empty elsewhere.
    async fn row_mark(&mut self) -> Result<String>;

    /// The server's number of this session; 0 where there is no server.
    fn number(&self) -> i32 {
        0
    }

    /// Ends another session of this process by its [`Session::number`]: a connection that was
    /// given up may live on at the server, with its locks.
    async fn end_session(&mut self, _number: i32) -> Result<()> {
        Ok(())
    }

    /// Ends what another process of ours (see [`runner`]) still has open, so that it can't
    /// hold locks while it stands still. Does nothing where sessions can't be ended.
    async fn end_sessions_of(&mut self, runner: &str) -> Result<()>;

    /// A text that tells this database from every other one.
    async fn identity(&mut self) -> Result<String>;
}

/// One value of a query that must give one.
pub async fn scalar(session: &mut dyn Session, statement: &Statement) -> Result<Value> {
    let rows = session.rows(statement).await?;
    let row = rows.into_iter().next();
    row.and_then(|row| row.into_iter().next())
        .ok_or_else(|| Error::stop("a query that must give one value gave no row"))
}

/// The rows of a table.
pub async fn count_table(session: &mut dyn Session, table: &TableName) -> Result<u64> {
    let from = table.sql(session.dialect());
    count(session, &from).await
}

/// `SELECT count(*)` of `from` as a number.
pub async fn count(session: &mut dyn Session, from: &str) -> Result<u64> {
    let value = scalar(session, &Statement::new(format!("SELECT count(*) FROM {from}"))).await?;
    match value {
        Value::Int(i) => Ok(u64::try_from(i).unwrap_or(0)),
        other => Err(Error::stop(format!("count(*) came as {}", other.type_name()))),
    }
}
