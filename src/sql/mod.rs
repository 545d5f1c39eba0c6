//! Text of SQL: identifiers, statements, dialects, key ranges. Pure, no I/O.
//!
//! Nothing else in the project makes SQL text out of a name: [`Dialect::quote`] quotes, and
//! values are bound or go through [`Dialect::literal`].

pub mod dialect;
pub mod keyset;
pub mod mysql;
pub mod postgres;
pub mod sqlite;
pub mod survey;
pub mod table;

pub use dialect::{Dialect, Flavor};
pub use table::{Affinity, Column, ColumnType, Kind, Switch, Table, TableName};

/// Quotes a name for PostgreSQL and SQLite, inside what is theirs alone; [`Dialect::quote`]
/// knows all databases.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A list of names, quoted so and separated by commas.
pub fn quote_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// A value bound to a statement. NULLs are typed, because PostgreSQL wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Bind {
    /// 64-bit integer.
    Int(Option<i64>),
    /// Text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// A list of texts, for `= ANY($1)`. PostgreSQL only.
    TextList(Vec<String>),
    /// A double, for what SQLite stores as REAL.
    Float(f64),
}

impl From<i64> for Bind {
    fn from(value: i64) -> Self {
        Bind::Int(Some(value))
    }
}

impl From<&str> for Bind {
    fn from(value: &str) -> Self {
        Bind::Text(Some(value.to_owned()))
    }
}

impl From<String> for Bind {
    fn from(value: String) -> Self {
        Bind::Text(Some(value))
    }
}

impl From<Option<String>> for Bind {
    fn from(value: Option<String>) -> Self {
        Bind::Text(value)
    }
}

impl From<Vec<u8>> for Bind {
    fn from(value: Vec<u8>) -> Self {
        Bind::Bytes(Some(value))
    }
}

/// SQL text with its values. Placeholders are `$1`, `$2`, … in every dialect.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text, with `$n` placeholders.
    pub text: String,
    /// The values, in order.
    pub binds: Vec<Bind>,
}

impl Statement {
    /// A statement without values.
    pub fn new(text: impl Into<String>) -> Self {
        Statement { text: text.into(), binds: Vec::new() }
    }

    /// Adds the value for the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::mysql::MYSQL;
    use super::*;

    #[test]
    fn a_hostile_name_is_just_a_name() {
        assert_eq!(quote("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
        assert_eq!(MYSQL.quote("a`b\"; drop table b"), "`a``b\"; drop table b`");
    }
}
