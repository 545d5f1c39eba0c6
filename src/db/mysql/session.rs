//! One connection to MySQL or MariaDB with pinned settings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use sqlx::mysql::{MySql, MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Column as _, ColumnOrigin, Executor as _, SqlSafeStr as _, Type, TypeInfo as _,
};

use super::statement::bound;
use super::watch::Watch;
use super::{catalog, error, rows, survey, write};
use crate::db::{
    Access, Blocks, Image, Insert, Inserted, RowSink, RowUpdate, Sample, Session, scalar,
};
use crate::error::{Class, Error, Result};
use crate::mapping::BoundLookup;
use crate::sql::mysql::MYSQL;
use crate::sql::survey::{Details, TableKind};
use crate::sql::{Column, Dialect, Kind, Statement, Table, TableName};
use crate::value::{Row, Value};

/// What a value may not be changed into, in silence or at all.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
                        ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION";

/// Settings that change what is read and written, pinned and read back.
const PINNED: &[(&str, &str)] = &[
    ("sql_mode", SQL_MODE),
    ("time_zone", "+00:00"),
    ("character_set_client", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("autocommit", "1"),
    ("foreign_key_checks", "1"),
    ("unique_checks", "1"),
    ("sql_auto_is_null", "0"),
    ("sql_safe_updates", "0"),
    ("sql_select_limit", "18446744073709551615"),
    ("group_concat_max_len", "1073741824"),
    ("innodb_lock_wait_timeout", "10"),
    ("lock_wait_timeout", "10"),
    ("wait_timeout", "31536000"),
    ("net_write_timeout", "3600"),
];

/// Settings that MySQL does not know.
const PINNED_MARIADB: &[(&str, &str)] =
    &[("check_constraint_checks", "1"), ("max_statement_time", "0")];

/// From here on, MariaDB has `INSERT … RETURNING`.
const MARIADB_RETURNING: (u32, u32) = (10, 5);

/// Numbers of this process's sessions, and how many of a process are looked for.
static SLOT: AtomicU32 = AtomicU32::new(0);
const SLOTS: u32 = 10_000;

/// One owned connection.
pub struct MySession {
    pub(super) connection: MySqlConnection,
    pub(super) watch: Watch,
    /// Set before anything that can leave the protocol out of step, cleared by its good end.
    pub(super) broken: bool,
    pub(super) is_mariadb: bool,
    /// Bytes of one statement at most.
    pub(super) packet: usize,
}

impl MySession {
    /// Wraps a fresh connection.
    pub fn new(connection: MySqlConnection, watch: Watch) -> Self {
        MySession { connection, watch, broken: false, is_mariadb: false, packet: 1 << 20 }
    }

    /// Pins the session's settings and reads them back.
    ///
    /// `patience`: how long this process may stand still inside a transaction before the server
    /// ends it, so that a frozen one holds no locks for ever.
    pub async fn pin(&mut self, access: Access, patience: Duration) -> Result<()> {
        let about = Statement::new("SELECT VERSION(), @@max_allowed_packet, CONNECTION_ID()");
        let about = self.rows(&about).await?;
        let Some([Value::Text(version), Value::Int(packet), Value::Int(number)]) =
            about.first().map(Vec::as_slice)
        else {
            return Err(Error::stop("the server doesn't say what it is"));
        };
        self.is_mariadb = version.to_ascii_lowercase().contains("mariadb");
        self.packet = usize::try_from(*packet).unwrap_or(self.packet);
        self.watch.number = i32::try_from(*number).unwrap_or(0);
        if access != Access::Read && !(self.is_mariadb && release(version) >= MARIADB_RETURNING) {
            return Err(Error::invalid(format!(
                "the server is {version}: it can be a source, not a target"
            ))
            .hint("A target has to be MariaDB 10.5 or newer; MySQL has no INSERT … RETURNING."));
        }
        let mariadb = if self.is_mariadb { PINNED_MARIADB } else { &[] };
        let pinned: Vec<&(&str, &str)> = PINNED.iter().chain(mariadb).collect();
        let set: Vec<String> = pinned
            .iter()
            .map(|(name, value)| match value.parse::<u64>() {
                Ok(_) => format!("SESSION {name} = {value}"),
                Err(_) => format!("SESSION {name} = '{value}'"),
            })
            .collect();
        let mut script = format!(
            "SET {}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;",
            set.join(", ")
        );
        match access {
            Access::Read | Access::Look => script.push_str("SET SESSION TRANSACTION READ ONLY;"),
            Access::Write => script.push_str(&format!(
                "SET SESSION idle_transaction_timeout = {};",
                patience.as_secs().clamp(1, 31_536_000)
            )),
        }
        self.script(&script).await?;
        let list: Vec<String> = pinned.iter().map(|(name, _)| format!("@@{name}")).collect();
        let ask = Statement::new(format!("SELECT {}", list.join(", ")));
        let rows = self.rows(&ask).await?;
        for ((name, value), seen) in pinned.into_iter().zip(rows.first().into_iter().flatten()) {
            if !same_setting(value, &seen.to_text().unwrap_or_default()) {
                return Err(Error::invalid(format!(
                    "the session setting {name} does not stay at {value}"
                ))
                .hint("Something between changes settings. Connect to the server directly."));
            }
        }
        if access == Access::Write {
            // A lock that nobody else wants names the session, so that others of ours find it.
            let slot = format!(
                "{}{}",
                slots_of(crate::db::runner()),
                SLOT.fetch_add(1, Ordering::Relaxed)
            );
            scalar(self, &Statement::new("SELECT GET_LOCK($1, 0)").bind(slot)).await?;
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, failure: &sqlx::Error) -> Error {
        if !matches!(failure, sqlx::Error::Database(_)) {
            self.broken = true;
        }
        error::convert(failure)
    }

    /// Runs one prepared statement and gives its rows.
    pub(super) async fn query(
        &mut self,
        query: Query<'static, MySql, MySqlArguments>,
    ) -> Result<Vec<MySqlRow>> {
        let answer = self.watch.answer(query.fetch_all(&mut self.connection)).await;
        answer.map_err(|failure| self.fail(&failure))
    }

    /// Numbers of the sessions that a process of ours has on this server.
    async fn end_where(&mut self, runner: &str, condition: &str) -> Result<()> {
        let find = Statement::new(format!(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {SLOTS}) \
             SELECT q.id FROM (SELECT IS_USED_LOCK(CONCAT($1, i)) AS id FROM n) q \
             WHERE q.id IS NOT NULL AND {condition}"
        ))
        .bind(slots_of(runner));
        self.script(&format!("SET SESSION max_recursive_iterations = {}", SLOTS * 2)).await?;
        for row in self.rows(&find).await? {
            let Some(Value::Int(id)) = row.first() else { continue };
            match self.script(&format!("KILL CONNECTION {id}")).await {
                // It is gone already, or another user's, whose locks are waited for like any.
                Err(error) if matches!(error.code.as_deref(), Some("1094" | "1095")) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// What the names of a process's sessions begin with.
fn slots_of(runner: &str) -> String {
    format!("tablelift session {runner} ")
}

/// `10.11.19-MariaDB-…` → (10, 11); replicas may say `5.5.5-` in front.
fn release(version: &str) -> (u32, u32) {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Lists of words come in the server's order.
fn same_setting(wanted: &str, seen: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> = text.split(',').map(str::to_owned).collect();
        words.sort();
        words
    };
    let seen: f64 = match seen.parse() {
        Ok(number) if wanted.parse::<u64>().is_ok() => number,
        _ => return words(wanted) == words(seen),
    };
    wanted.parse::<f64>() == Ok(seen)
}

#[async_trait]
impl Session for MySession {
    fn dialect(&self) -> &'static dyn Dialect {
        &MYSQL
    }

    fn broken(&self) -> bool {
        self.broken
    }

    async fn begin(&mut self) -> Result<()> {
        // The savepoint tells at the end whether the server ended the transaction on its own
        // (a deadlock does), after which statements would commit one by one.
        self.script("START TRANSACTION; SAVEPOINT alive").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.script("RELEASE SAVEPOINT alive; COMMIT").await.map_err(|mut error| {
            if error.code.as_deref() == Some("1305") {
                self.broken = true;
                error.class = Class::Retry;
                error.message = "the server had ended the transaction on its own".to_owned();
            }
            error
        })
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
            self.query(bound(statement)).await?
        };
        rows.iter().map(rows::decode).collect()
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

    async fn details(&mut self, table: &Table, scan: bool) -> Result<Details> {
        survey::details(self, table, scan).await
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
        let mut tables: HashMap<String, Option<Table>> = HashMap::new();
        let mut columns = Vec::new();
        for column in sqlx::Statement::columns(&prepared) {
            let info = column.type_info();
            let mut ty = catalog::described(info.name(), <str as Type<MySql>>::compatible(info));
            // The catalog knows more of a table's own column than an answer says.
            if let ColumnOrigin::Table(origin) = column.origin() {
                let table = origin.table.to_string();
                if !tables.contains_key(&table) {
                    let found = catalog::table(self, &TableName::bare(table.as_str())).await?;
                    tables.insert(table.clone(), found);
                }
                let known = tables.get(&table).and_then(Option::as_ref);
                if let Some(known) = known.and_then(|table| table.column(&origin.name)) {
                    ty = known.ty.clone();
                }
            }
            columns.push(Column {
                name: column.name().to_owned(),
                ty,
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
        rows::read(self, select, kinds, sink).await
    }

    async fn insert_blocks(
        &mut self,
        table: &Table,
        _columns: &[Column],
        _digest: &[String],
        _blocks: &mut Blocks,
    ) -> Result<Inserted> {
        Err(Error::stop("MySQL takes no rows in this form").in_table(&table.name.to_string()))
    }

    async fn insert(&mut self, insert: &Insert<'_>) -> Result<Inserted> {
        write::insert(self, insert).await
    }

    async fn update(
        &mut self,
        table: &Table,
        key: &[String],
        columns: &[Column],
        digest: &[String],
        updates: &[RowUpdate],
    ) -> Result<Vec<Image>> {
        write::update(self, table, key, columns, digest, updates).await
    }

    async fn look_up(
        &mut self,
        lookup: &BoundLookup,
        keys: &[Vec<Value>],
    ) -> Result<Vec<Vec<Value>>> {
        write::look_up(self, lookup, keys).await
    }

    async fn advance_sequences(&mut self, _table: &Table) -> Result<()> {
        // AUTO_INCREMENT moves on by itself when a higher value is written.
        Ok(())
    }

    async fn triggers(&mut self, table: &Table) -> Result<Vec<String>> {
        catalog::triggers(self, table).await
    }

    async fn constraint_columns(&mut self, table: &Table, name: &str) -> Result<Vec<String>> {
        catalog::constraint_columns(self, table, name).await
    }

    async fn begin_pieces(&mut self) -> Result<()> {
        Ok(())
    }

    async fn row_mark(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn number(&self) -> i32 {
        self.watch.number
    }

    async fn end_session(&mut self, number: i32) -> Result<()> {
        // The number alone could be another's by now: the server may have been started anew.
        self.end_where(crate::db::runner(), &format!("q.id = {number}")).await
    }

    async fn end_sessions_of(&mut self, runner: &str) -> Result<()> {
        self.end_where(runner, "q.id <> CONNECTION_ID()").await
    }

    async fn identity(&mut self) -> Result<String> {
        let ask = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid')";
        let server = self.rows(&Statement::new(ask)).await?;
        let server = server.first().and_then(|row| row.get(1)?.to_text()).unwrap_or_default();
        let database = scalar(self, &Statement::new("SELECT DATABASE()")).await?;
        Ok(format!("mysql:{server}/{}", database.to_text().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_settings() {
        assert_eq!(release("10.11.19-MariaDB-0+deb12u1"), (10, 11));
        assert_eq!(release("5.5.5-10.4.1-MariaDB"), (10, 4));
        assert_eq!(release("8.0.36"), (8, 0));
        assert!(same_setting("A,B", "B,A") && !same_setting("A,B", "A"));
        assert!(same_setting("0", "0.000000") && same_setting("+00:00", "+00:00"));
    }
}
