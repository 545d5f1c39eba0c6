//! What differs between the databases' SQL. One implementation per database.

use super::{Column, Table, TableName, quote};
use crate::key::KeyPart;
use crate::value::Value;

/// Which database a piece of SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// MySQL and MariaDB.
    Mysql,
}

impl Flavor {
    /// Its spelling.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Flavor::Postgres => &super::postgres::POSTGRES,
            Flavor::Sqlite => &super::sqlite::SQLITE,
            Flavor::Mysql => &super::mysql::MYSQL,
        }
    }
}

/// The spelling of one database.
pub trait Dialect: Send + Sync {
    /// Which database.
    fn flavor(&self) -> Flavor;

    /// A name, quoted.
    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    /// A list of quoted names, separated by commas.
    fn quote_list(&self, names: &mut dyn Iterator<Item = &str>) -> String {
        names.map(|name| self.quote(name)).collect::<Vec<_>>().join(", ")
    }

    /// What a key's column is ordered and compared by.
    fn key_order(&self, alias: &str, column: &Column) -> String {
        format!("{alias}.{}", self.quote(&column.name))
    }

    /// `(a, b) > (x, y)`, for columns and values of a key.
    fn compare_rows(&self, columns: &[String], operator: &str, values: &[String]) -> String {
        format!("({}) {operator} ({})", columns.join(", "), values.join(", "))
    }

    /// The clause of an INSERT that leaves a row alone whose key is there. Only for tables that
    /// have no other unique key.
    fn or_keep(&self, key: &str) -> String {
        format!(" ON CONFLICT ({key}) DO NOTHING")
    }

    /// The clause of an INSERT that changes a row whose key is there, with the same limit.
    fn or_set(&self, key: &str, set: &str) -> String {
        format!(" ON CONFLICT ({key}) DO UPDATE SET {set}")
    }

    /// In [`Dialect::or_set`], the value that was sent for a column.
    fn sent(&self, column: &str) -> String {
        format!("excluded.{column}")
    }

    /// A number as a 64-bit integer.
    fn to_integer(&self, expression: &str) -> String {
        format!("CAST({expression} AS bigint)")
    }

    /// A schema change is no part of a transaction: it ends the open one and commits by itself.
    fn ddl_commits(&self) -> bool {
        false
    }

    /// What fails where the transaction that a session began is over; `None`: its id tells.
    fn still_open(&self) -> Option<&'static str> {
        Some("RELEASE SAVEPOINT alive; SAVEPOINT alive")
    }

    /// The key form of a value that this database gave; floats and NULL can't be keys.
    fn key_part(&self, value: &Value) -> Option<KeyPart> {
        KeyPart::from_stored(value)
    }

    /// A key value as a literal of the column's type, safe inside any statement.
    fn literal(&self, part: &KeyPart, column: &Column) -> String;

    /// Text as a string literal.
    fn text_literal(&self, text: &str) -> String;

    /// The name of a table of the ledger.
    fn ledger(&self, table: &str) -> TableName;

    /// An expression for the current moment as RFC 3339 text in UTC.
    fn now(&self) -> &'static str;

    /// An expression for the current moment as milliseconds since 1970, by the server's clock.
    fn now_millis(&self) -> &'static str;

    /// Seconds since 1970 of a moment that [`Dialect::now`] wrote into `column`.
    fn epoch(&self, column: &str) -> String;

    /// Suffix that keeps the rows read from changing until commit.
    fn for_share(&self) -> &'static str;

    /// Suffix that locks the rows read until commit.
    fn for_update(&self) -> &'static str;

    /// A 16-byte digest of the named columns of `table`, called `alias`; NULL is told apart from
    /// everything.
    fn digest(&self, alias: &str, table: &Table, columns: &[String]) -> String;

    /// `alias`'s columns in the form that identifies a row: PostgreSQL text, elsewhere as stored.
    fn key_list(&self, alias: &str, columns: &[Column]) -> String;

    /// The key of a ledger table; `row_key` is the column of it that may be of any length.
    fn ledger_key(&self, key: &str, _row_key: Option<&str>) -> String {
        format!("PRIMARY KEY ({key})")
    }

    /// Types of ledger columns.
    fn ledger_types(&self) -> LedgerTypes;
}

/// Column types of the ledger's tables.
#[derive(Debug, Clone, Copy)]
pub struct LedgerTypes {
    /// 64-bit integer.
    pub int: &'static str,
    /// Text that may stand in a primary key.
    pub name: &'static str,
    /// Text.
    pub text: &'static str,
    /// Bytes.
    pub bytes: &'static str,
    /// 8-byte float.
    pub float: &'static str,
    /// What follows a table's columns.
    pub table: &'static str,
}
