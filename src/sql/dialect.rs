//! What differs between the databases' SQL. One implementation per database.

use super::{Column, TableName};
use crate::key::KeyPart;

/// Which database a piece of SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Flavor {
    /// Its spelling.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Flavor::Postgres => &super::postgres::POSTGRES,
            Flavor::Sqlite => &super::sqlite::SQLITE,
        }
    }
}

/// The spelling of one database.
pub trait Dialect: Send + Sync {
    /// Which database.
    fn flavor(&self) -> Flavor;

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

    /// Suffixes for `SELECT … FROM lease l, chunks c` that keep both rows from changing until
    /// commit.
    fn lock_guard(&self) -> &'static str;

    /// Suffix that locks the rows read until commit.
    fn for_update(&self) -> &'static str;

    /// A 16-byte digest of the named columns of `alias`, NULL told apart from everything.
    fn digest(&self, alias: &str, columns: &[String]) -> String;

    /// `alias`'s columns in the form that identifies a row: PostgreSQL text, SQLite as stored.
    fn key_list(&self, alias: &str, columns: &[String]) -> String;

    /// Types of ledger columns: integer, text, bytes.
    fn ledger_types(&self) -> LedgerTypes;
}

/// Column types of the ledger's tables.
#[derive(Debug, Clone, Copy)]
pub struct LedgerTypes {
    /// 64-bit integer.
    pub int: &'static str,
    /// Text.
    pub text: &'static str,
    /// Bytes.
    pub bytes: &'static str,
    /// 8-byte float.
    pub float: &'static str,
}
