//! One SQLite connection. Its work is done in place: the runtime moves other tasks away first.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::{Value as SqlValue, ValueRef};

use super::{catalog, error, functions, survey, write};
use crate::db::{Access, Blocks, Image, Insert, Inserted, RowSink, RowUpdate, Sample, Session};
use crate::error::{Error, Result};
use crate::mapping::BoundLookup;
use crate::mapping::wire::Cell;
use crate::plan::OnConflict;
use crate::sql::sqlite::SQLITE;
use crate::sql::survey::{Details, TableKind};
use crate::sql::{Affinity, Bind, Column, ColumnType, Dialect, Kind, Statement, Table, TableName};
use crate::value::{Row, Value};

/// How long a statement waits for another process's lock.
const BUSY_MILLISECONDS: u64 = 10_000;

/// Statements kept prepared.
const CACHED_STATEMENTS: usize = 64;

/// One owned connection.
pub struct SqliteSession {
    pub(super) connection: Connection,
    broken: bool,
}

impl SqliteSession {
    /// Registers functions and sets what correctness needs.
    pub fn new(connection: Connection, access: Access) -> Result<Self> {
        let set_up = || -> rusqlite::Result<()> {
            connection.busy_timeout(std::time::Duration::from_millis(BUSY_MILLISECONDS))?;
            connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            if access == Access::Read {
                connection.pragma_update(None, "query_only", true)?;
            }
            functions::register(&connection)?;
            // Touches the file, so that a file that is no database says so here.
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
        };
        set_up().map_err(|failure| {
            let mut error = error::convert(&failure);
            error.kind = crate::error::Kind::Invalid;
            error
        })?;
        Ok(SqliteSession { connection, broken: false })
    }

    /// Attaches `path`, read only, as `source`.
    pub fn attach(&mut self, path: &Path) -> Result<()> {
        let path = path.to_str().ok_or_else(|| Error::invalid("the source's path is not UTF-8"))?;
        let mut uri = String::from("file:");
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                    uri.push(char::from(byte));
                }
                _ => uri.push_str(&format!("%{byte:02X}")),
            }
        }
        uri.push_str("?mode=ro");
        self.work(|connection| connection.execute("ATTACH ?1 AS source", [&uri]).map(|_| ()))
    }

    pub(super) fn work<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let connection = &self.connection;
        let answer = tokio::task::block_in_place(|| work(connection));
        answer.map_err(|failure| error::convert(&failure))
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &SQLITE
    }

    fn broken(&self) -> bool {
        self.broken
    }

    async fn begin(&mut self) -> Result<()> {
        // IMMEDIATE: a transaction that reads first and writes later would fail with BUSY at
        // once. The savepoint tells at the end whether SQLite ended the transaction on its own
        // (a full disk does), after which statements would commit one by one.
        self.work(|connection| connection.execute_batch("BEGIN IMMEDIATE; SAVEPOINT alive"))
    }

    async fn commit(&mut self) -> Result<()> {
        self.work(|connection| connection.execute_batch("RELEASE alive; COMMIT"))
    }

    async fn rollback(&mut self) {
        let ended = self.work(|connection| {
            if connection.is_autocommit() {
                return Ok(());
            }
            connection.execute_batch("ROLLBACK")
        });
        if ended.is_err() {
            self.broken = true;
        }
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64> {
        self.work(|connection| {
            let mut prepared = connection.prepare_cached(&statement.text)?;
            bind(&mut prepared, &statement.binds)?;
            prepared.raw_execute().map(|rows| rows as u64)
        })
    }

    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>> {
        self.work(|connection| {
            let mut prepared = connection.prepare_cached(&statement.text)?;
            bind(&mut prepared, &statement.binds)?;
            let width = prepared.column_count();
            let mut rows = prepared.raw_query();
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let mut values = Vec::with_capacity(width);
                for at in 0..width {
                    values.push(functions::from_sql(row.get_ref(at)?));
                }
                out.push(values);
            }
            Ok(out)
        })
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        self.work(|connection| connection.execute_batch(sql))
    }

    async fn table(&mut self, name: &TableName) -> Result<Option<Table>> {
        let connection = &self.connection;
        tokio::task::block_in_place(|| catalog::table(connection, name))
    }

    async fn tables(&mut self) -> Result<Vec<(TableName, TableKind)>> {
        self.work(survey::tables)
    }

    async fn details(&mut self, table: &Table, _scan: bool) -> Result<Details> {
        self.work(|connection| survey::details(connection, table))
    }

    async fn estimate(&mut self, from_where: &str) -> Result<Option<u64>> {
        // The highest row number less the lowest: never too few rows, and two look-ups.
        let range = format!(
            "SELECT (SELECT max(s._rowid_) FROM {from_where}), (SELECT min(s._rowid_) FROM {from_where})"
        );
        if from_where.contains("WHERE") {
            return Ok(None);
        }
        // A query, a view or a table WITHOUT ROWID has none.
        Ok(match self.rows(&Statement::new(range)).await {
            Ok(rows) => row_range(&rows)
                .and_then(|(low, high)| u64::try_from(i128::from(high) - i128::from(low)).ok()),
            Err(_) => None,
        })
    }

    async fn sample(&mut self, table: &TableName) -> Result<Sample> {
        let found = self.table(table).await?;
        let key = found.as_ref().map(Table::primary_key).unwrap_or_default();
        let column = key.first().filter(|_| key.len() == 1);
        let Some(column) = column.and_then(|name| found.as_ref()?.column(name)) else {
            return Ok(Sample::None);
        };
        // INTEGER PRIMARY KEY is the row number itself.
        if !column.ty.name.eq_ignore_ascii_case("integer") {
            return Ok(Sample::None);
        }
        let (name, from) = (crate::sql::quote(&column.name), table.sql(&SQLITE));
        let range =
            format!("SELECT (SELECT max({name}) FROM {from}), (SELECT min({name}) FROM {from})");
        let rows = self.rows(&Statement::new(range)).await?;
        Ok(row_range(&rows).map_or(Sample::None, |(low, high)| Sample::Range(low, high)))
    }

    async fn describe(&mut self, query: &str) -> Result<Vec<Column>> {
        self.work(|connection| {
            let prepared = connection.prepare(query)?;
            let columns = prepared.columns();
            Ok(columns
                .map(|column| {
                    let declared = column.decl_type().unwrap_or_default();
                    let affinity = match column.decl_type() {
                        Some(declared) => catalog::affinity(declared),
                        None => Affinity::Blob,
                    };
                    Column {
                        name: column.name().to_owned(),
                        ty: ColumnType { kind: Kind::Dynamic(affinity), name: declared.to_owned() },
                        not_null: false,
                        has_default: false,
                        generated: false,
                        identity: false,
                        identity_always: false,
                    }
                })
                .collect())
        })
    }

    async fn read(&mut self, select: &str, kinds: &[Kind], sink: &mut dyn RowSink) -> Result<()> {
        let connection = &self.connection;
        tokio::task::block_in_place(|| read(connection, select, kinds.len(), sink))
    }

    async fn insert(&mut self, insert: &Insert<'_>) -> Result<Inserted> {
        let connection = &self.connection;
        tokio::task::block_in_place(|| write::insert(connection, insert))
    }

    async fn insert_blocks(
        &mut self,
        table: &Table,
        columns: &[Column],
        digest: &[String],
        blocks: &mut Blocks,
    ) -> Result<Inserted> {
        let insert = Insert {
            table,
            columns,
            digest,
            key: &[],
            conflict: OnConflict::Fail,
            want_keys: false,
            rows: &[],
        };
        let connection = &self.connection;
        tokio::task::block_in_place(|| write::insert_blocks(connection, &insert, blocks))
    }

    async fn update(
        &mut self,
        table: &Table,
        key: &[String],
        columns: &[Column],
        digest: &[String],
        updates: &[RowUpdate],
    ) -> Result<Vec<Image>> {
        let connection = &self.connection;
        tokio::task::block_in_place(|| {
            write::update(connection, table, key, columns, digest, updates)
        })
    }

    async fn look_up(
        &mut self,
        lookup: &BoundLookup,
        keys: &[Vec<Value>],
    ) -> Result<Vec<Vec<Value>>> {
        let connection = &self.connection;
        tokio::task::block_in_place(|| write::look_up(connection, lookup, keys))
    }

    async fn advance_sequences(&mut self, _table: &Table) -> Result<()> {
        // SQLite raises sqlite_sequence itself when a higher rowid is written.
        Ok(())
    }

    async fn triggers(&mut self, table: &Table) -> Result<Vec<String>> {
        let statement = Statement::new(
            "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = $1",
        )
        .bind(table.name.name.as_str());
        let rows = self.rows(&statement).await?;
        Ok(rows.iter().filter_map(|row| row.first().and_then(Value::to_text)).collect())
    }

    async fn constraint_columns(&mut self, table: &Table, name: &str) -> Result<Vec<String>> {
        // A check without a name is called by its text: the columns that it speaks of.
        let words = name.split(|c: char| !c.is_alphanumeric() && c != '_');
        let spoken = |column: &&Column| words.clone().any(|word| word == column.name);
        Ok(table.columns.iter().filter(spoken).map(|column| column.name.clone()).collect())
    }

    async fn begin_pieces(&mut self) -> Result<()> {
        Ok(())
    }

    async fn row_mark(&mut self) -> Result<String> {
        Ok(String::new())
    }

    async fn end_sessions_of(&mut self, _runner: &str) -> Result<()> {
        Ok(())
    }

    async fn identity(&mut self) -> Result<String> {
        // SQLite has no name of its own; the path that it was opened by must do.
        let path = self.connection.path().unwrap_or_default().to_owned();
        let path =
            std::fs::canonicalize(&path).map_or(path, |path| path.to_string_lossy().into_owned());
        Ok(format!("sqlite:{path}"))
    }
}

/// Lowest and highest, of an answer that says them the other way round.
fn row_range(rows: &[Row]) -> Option<(i64, i64)> {
    match rows.first().map(Vec::as_slice) {
        Some([Value::Int(high), Value::Int(low)]) => Some((*low, *high)),
        _ => None,
    }
}

fn bind(prepared: &mut rusqlite::Statement<'_>, binds: &[Bind]) -> rusqlite::Result<()> {
    for (at, bind) in binds.iter().enumerate() {
        let value = match bind {
            Bind::Int(value) => value.map_or(SqlValue::Null, SqlValue::Integer),
            Bind::Text(value) => value.clone().map_or(SqlValue::Null, SqlValue::Text),
            Bind::Bytes(value) => value.clone().map_or(SqlValue::Null, SqlValue::Blob),
            Bind::Float(value) => SqlValue::Real(*value),
            Bind::TextList(list) => {
                SqlValue::Text(serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned()))
            }
        };
        // `$1` is a name to SQLite; a statement that repeats it binds it once.
        let name = format!("${}", at + 1);
        if let Some(position) = prepared.parameter_index(&name)? {
            prepared.raw_bind_parameter(position, value)?;
        }
    }
    Ok(())
}

fn read(
    connection: &Connection,
    select: &str,
    columns: usize,
    sink: &mut dyn RowSink,
) -> Result<()> {
    let convert = |failure: rusqlite::Error| error::convert(&failure);
    let mut prepared = connection.prepare(select).map_err(convert)?;
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(convert)? {
        let mut cells = Vec::with_capacity(columns);
        for at in 0..columns {
            cells.push(cell(row.get_ref(at).map_err(convert)?));
        }
        let bytes = cells.iter().map(Cell::size).sum();
        let due = sink.add(&cells, bytes)?;
        // The sink belongs to another task, which goes on while this thread waits.
        if due && !tokio::runtime::Handle::current().block_on(sink.hand_on()) {
            return Ok(());
        }
    }
    Ok(())
}

/// A stored value as a cell.
fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(i) => Cell::Int(i),
        ValueRef::Real(f) => Cell::Float(f),
        ValueRef::Text(bytes) => str::from_utf8(bytes).map_or(Cell::Malformed(bytes), Cell::Text),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    }
}
