//! One PostgreSQL connection with pinned settings.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, PgValueFormat};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Column as _, Executor as _, Postgres, Row as _, SqlSafeStr as _, TypeInfo as _,
    ValueRef as _,
};

use super::watch::Watch;
use super::{catalog, copy_out, copy_text, error, survey, triggers, write};
use crate::db::{Access, Blocks, Image, Insert, Inserted, RowSink, RowUpdate, Sample, Session};
use crate::error::{Error, Result};
use crate::mapping::BoundLookup;
use crate::sql::postgres::POSTGRES;
use crate::sql::survey::{Details, TableKind};
use crate::sql::{
    Bind, Column, ColumnType, Dialect, Kind, Statement, Switch, Table, TableName, quote,
};
use crate::value::{Row, Value};

/// Settings that change what values look like, pinned and read back (correctness first: a
/// pooler may drop what was set).
const PINNED: &[(&str, &str)] = &[
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("row_security", "off"),
    ("standard_conforming_strings", "on"),
    ("lc_monetary", "C"),
    ("client_encoding", "UTF8"),
    ("statement_timeout", "0"),
    ("lock_timeout", "10s"),
];

/// One owned connection.
pub struct PgSession {
    pub(super) connection: PgConnection,
    pub(super) watch: Watch,
    /// Set before anything that can leave the protocol out of step, cleared by its good end.
    pub(super) broken: bool,
}

impl PgSession {
    /// Wraps a fresh connection.
    pub fn new(connection: PgConnection, watch: Watch) -> Self {
        PgSession { connection, watch, broken: false }
    }

    /// Pins the session's settings and reads them back.
    ///
    /// `patience`: how long this process may stand still inside a transaction before the server
    /// ends it, so that a frozen one holds no locks for ever.
    pub async fn pin(
        &mut self,
        schema: Option<&str>,
        access: Access,
        patience: Duration,
    ) -> Result<()> {
        let mut script = String::new();
        for (name, value) in PINNED {
            script.push_str(&format!("SET {name} = '{value}';"));
        }
        // The search path becomes explicit, without the ledger's schema: for a role that is called
        // `tablelift`, `"$user"` would let the ledger's tables stand before the user's own.
        match schema {
            Some(schema) => script.push_str(&format!("SET search_path = {};", quote(schema))),
            None => script.push_str(
                "SELECT set_config('search_path', coalesce((SELECT string_agg(quote_ident(s), ', ') \
                 FROM unnest(current_schemas(false)) s WHERE s <> 'tablelift'), ''), false);",
            ),
        }
        match access {
            // A reader may hold a snapshot open for as long as the run takes.
            Access::Read => script.push_str("SET default_transaction_read_only = on;"),
            // Looks at the plan's steps in one transaction, while the source counts its rows.
            Access::Look => {}
            Access::Write => script.push_str(&format!(
                "SET idle_in_transaction_session_timeout = {};",
                patience.as_millis().min(i32::MAX as u128)
            )),
        }
        self.script(&script).await?;
        let list: Vec<String> =
            PINNED.iter().map(|(name, _)| format!("current_setting('{name}')")).collect();
        let ask = format!("SELECT {}, pg_backend_pid()", list.join(", "));
        let rows = self.rows(&Statement::new(ask)).await?;
        if let Some(Value::Int(pid)) = rows.first().and_then(|row| row.last()) {
            self.watch.pid = i32::try_from(*pid).unwrap_or(0);
        }
        for ((name, value), seen) in PINNED.iter().zip(rows.first().into_iter().flatten()) {
            if seen.to_text().as_deref() != Some(*value) {
                return Err(Error::invalid(format!(
                    "the session setting {name} does not stay at {value}"
                ))
                .hint(
                    "A pooler in transaction mode forgets settings. Connect to the server \
                     directly, or to the pooler's session-mode port.",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, failure: &sqlx::Error) -> Error {
        if !matches!(failure, sqlx::Error::Database(_)) {
            self.broken = true;
        }
        error::convert(failure)
    }

    /// Runs one statement with binds and gives its rows.
    pub(super) async fn query(&mut self, statement: &Statement) -> Result<Vec<PgRow>> {
        let answer = self.watch.answer(bound(statement).fetch_all(&mut self.connection)).await;
        answer.map_err(|failure| self.fail(&failure))
    }
}

/// The statement with its values.
fn bound(statement: &Statement) -> Query<'static, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.text.clone()));
    for bind in &statement.binds {
        query = match bind.clone() {
            Bind::Int(value) => query.bind(value),
            Bind::Text(value) => query.bind(value),
            Bind::Bytes(value) => query.bind(value),
            Bind::TextList(value) => query.bind(value),
            Bind::Float(value) => query.bind(value),
        };
    }
    query
}

#[async_trait]
impl Session for PgSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &POSTGRES
    }

    fn broken(&self) -> bool {
        self.broken
    }

    async fn begin(&mut self) -> Result<()> {
        self.script("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    async fn commit(&mut self) -> Result<()> {
        // An answer that never comes leaves the outcome unknown: the caller reads the ledger.
        self.script("COMMIT").await
    }

    async fn rollback(&mut self) {
        if !self.broken && self.script("ROLLBACK").await.is_err() {
            self.broken = true;
        }
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64> {
        let answer = if statement.binds.is_empty() {
            // Each such text is run once: not worth preparing.
            let text = AssertSqlSafe(statement.text.clone());
            self.watch.answer(sqlx::raw_sql(text).execute(&mut self.connection)).await
        } else {
            self.watch.answer(bound(statement).execute(&mut self.connection)).await
        };
        answer.map(|done| done.rows_affected()).map_err(|failure| self.fail(&failure))
    }

    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>> {
        let rows = if statement.binds.is_empty() {
            let text = AssertSqlSafe(statement.text.clone());
            let fetch = sqlx::raw_sql(text).fetch_all(&mut self.connection);
            let answer = self.watch.answer(fetch).await;
            answer.map_err(|failure| self.fail(&failure))?
        } else {
            self.query(statement).await?
        };
        rows.iter().map(decode_row).collect()
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection);
        let answer = self.watch.answer(run).await;
        answer.map(|_| ()).map_err(|failure| self.fail(&failure))
    }

    async fn table(&mut self, name: &TableName) -> Result<Option<Table>> {
        catalog::table(self, name).await
    }

    async fn tables(&mut self) -> Result<Vec<(TableName, TableKind)>> {
        survey::tables(self).await
    }

    async fn details(&mut self, table: &Table, _scan: bool) -> Result<Details> {
        survey::details(self, table).await
    }

    async fn estimate(&mut self, from_where: &str) -> Result<Option<u64>> {
        catalog::estimate(self, from_where).await
    }

    async fn sample(&mut self, table: &TableName) -> Result<Sample> {
        catalog::sample(self, table).await
    }

    async fn describe(&mut self, query: &str) -> Result<Vec<Column>> {
        let prepared =
            self.connection.prepare(AssertSqlSafe(query.to_owned()).into_sql_str()).await;
        let prepared = prepared.map_err(|failure| self.fail(&failure))?;
        let mut columns = Vec::new();
        for column in sqlx::Statement::columns(&prepared) {
            let info = column.type_info();
            let oid = info.oid().map_or(0, |oid| oid.0);
            columns.push(Column {
                name: column.name().to_owned(),
                ty: ColumnType {
                    kind: catalog::kind_of_oid(oid),
                    name: info.name().to_ascii_lowercase(),
                },
                not_null: false,
                has_default: false,
                generated: false,
                identity: false,
                identity_always: false,
            });
        }
        Ok(columns)
    }

    async fn read(&mut self, select: &str, kinds: &[Kind], sink: &mut dyn RowSink) -> Result<()> {
        copy_out::read(self, select, kinds.len(), sink).await
    }

    async fn insert_blocks(
        &mut self,
        table: &Table,
        columns: &[Column],
        _digest: &[String],
        blocks: &mut Blocks,
    ) -> Result<Inserted> {
        let inserted = write::copy_blocks(self, table, columns, blocks).await?;
        Ok(Inserted { inserted, ..Inserted::default() })
    }

    async fn insert(&mut self, insert: &Insert<'_>) -> Result<Inserted> {
        write::insert(self, insert).await
    }

    async fn update(
        &mut self,
        table: &Table,
        key: &[String],
        columns: &[Column],
        _digest: &[String],
        updates: &[RowUpdate],
    ) -> Result<Vec<Image>> {
        write::update(self, table, key, columns, updates).await
    }

    async fn look_up(
        &mut self,
        lookup: &BoundLookup,
        keys: &[Vec<Value>],
    ) -> Result<Vec<Vec<Value>>> {
        write::look_up(self, lookup, keys).await
    }

    async fn advance_sequences(&mut self, table: &Table) -> Result<()> {
        for column in table.columns.iter().filter(|column| column.identity) {
            let text = format!(
                "SELECT CASE WHEN m.high IS NOT NULL AND m.high >= coalesce(s.last, 0) \
                 THEN setval(s.name::regclass, m.high) END::bigint FROM \
                 (SELECT max({})::bigint AS high FROM {}) m, \
                 (SELECT q.name, pg_sequence_last_value(q.name::regclass) AS last \
                  FROM (SELECT pg_get_serial_sequence($1, $2) AS name) q) s \
                 WHERE s.name IS NOT NULL",
                quote(&column.name),
                table.name.sql(&POSTGRES)
            );
            let statement =
                Statement::new(text).bind(table.name.sql(&POSTGRES)).bind(column.name.as_str());
            self.rows(&statement).await?;
        }
        Ok(())
    }

    async fn triggers(&mut self, table: &Table) -> Result<Vec<String>> {
        catalog::triggers(self, table).await
    }

    async fn trigger_switch(&mut self, table: &Table) -> Result<Option<Switch>> {
        triggers::switch(self, table).await.map(Some)
    }

    async fn constraint_columns(&mut self, table: &Table, name: &str) -> Result<Vec<String>> {
        catalog::constraint_columns(self, table, name).await
    }

    async fn begin_pieces(&mut self) -> Result<()> {
        self.script(
            "SET CONSTRAINTS ALL IMMEDIATE; SET client_min_messages = warning; \
             CREATE TEMP TABLE IF NOT EXISTS tablelift_mark (n int) ON COMMIT DELETE ROWS",
        )
        .await
    }

    async fn row_mark(&mut self) -> Result<String> {
        // No function tells the id of a savepoint's own transaction, but every row does.
        let mark = "INSERT INTO pg_temp.tablelift_mark VALUES (1) RETURNING xmin::text";
        let mark = crate::db::scalar(self, &Statement::new(mark)).await?;
        Ok(mark.to_text().unwrap_or_default())
    }

    fn number(&self) -> i32 {
        self.watch.pid
    }

    async fn end_session(&mut self, number: i32) -> Result<()> {
        let end = Statement::new(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE pid = $1 AND starts_with(application_name, 'tablelift/' || $2 || '/')",
        )
        .bind(i64::from(number))
        .bind(crate::db::runner());
        self.rows(&end).await.map(|_| ())
    }

    async fn end_sessions_of(&mut self, runner: &str) -> Result<()> {
        // Sessions of another role can't be seen, and then not ended: what they hold is waited
        // for like any lock.
        let end = Statement::new(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE starts_with(application_name, 'tablelift/' || $1 || '/') \
             AND pid <> pg_backend_pid() AND usename = current_user",
        )
        .bind(runner);
        self.rows(&end).await.map(|_| ())
    }

    async fn identity(&mut self) -> Result<String> {
        // An ordinary role may not read pg_control_system everywhere; the database's oid and
        // name tell most restores apart even then.
        let database = "SELECT current_database()::text || '/' || oid::text FROM pg_catalog.pg_database \
                        WHERE datname = current_database()";
        let name = crate::db::scalar(self, &Statement::new(database)).await?;
        let allowed = "SELECT has_function_privilege('pg_control_system()', 'execute')";
        let name = name.to_text().unwrap_or_default();
        if crate::db::scalar(self, &Statement::new(allowed)).await? != Value::Bool(true) {
            return Ok(format!("postgres:{name}"));
        }
        let system = Statement::new("SELECT system_identifier::text FROM pg_control_system()");
        let system = crate::db::scalar(self, &system).await?.to_text().unwrap_or_default();
        Ok(format!("postgres:{system}/{name}"))
    }
}

/// The values of one answer row.
pub(super) fn decode_row(row: &PgRow) -> Result<Row> {
    (0..row.columns().len()).map(|at| decode_value(row, at)).collect()
}

fn decode_value(row: &PgRow, at: usize) -> Result<Value> {
    let name = row.columns()[at].name();
    let raw = row.try_get_raw(at).map_err(|failure| error::convert(&failure))?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = catalog::kind_of_oid(raw.type_info().oid().map_or(0, |oid| oid.0));
    let unreadable = || Error::stop(format!("column {name} of an answer can't be read"));
    if raw.format() == PgValueFormat::Text {
        let text = raw.as_str().map_err(|_| unreadable())?;
        return copy_text::typed(&kind, text.to_owned());
    }
    let bytes = raw.as_bytes().map_err(|_| unreadable())?;
    Ok(match (&kind, bytes) {
        (Kind::Bool, [byte]) => Value::Bool(*byte != 0),
        (Kind::Int(_), bytes) => Value::Int(big_endian(bytes).ok_or_else(unreadable)?),
        (Kind::Float8, bytes) => {
            let eight: [u8; 8] = bytes.try_into().map_err(|_| unreadable())?;
            Value::Float(f64::from_be_bytes(eight))
        }
        (Kind::Bytes, bytes) => Value::Bytes(bytes.to_vec()),
        (Kind::Text { .. }, bytes) => {
            Value::Text(std::str::from_utf8(bytes).map_err(|_| unreadable())?.to_owned())
        }
        _ => return Err(unreadable()),
    })
}

fn big_endian(bytes: &[u8]) -> Option<i64> {
    match bytes.len() {
        2 => Some(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}
