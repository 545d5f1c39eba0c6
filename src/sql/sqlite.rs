//! SQLite's SQL, with the functions that every session registers.

use super::dialect::{Dialect, Flavor, LedgerTypes};
use super::{Column, Table, TableName, quote};
use crate::key::KeyPart;

/// The one value of this dialect.
pub static SQLITE: Sqlite = Sqlite;

/// SQLite takes 100 arguments for a function; wider rows are digested in parts.
pub(crate) const DIGEST_ARGUMENTS: usize = 90;

/// SQLite.
#[derive(Debug)]
pub struct Sqlite;

impl Dialect for Sqlite {
    fn flavor(&self) -> Flavor {
        Flavor::Sqlite
    }

    fn literal(&self, part: &KeyPart, _column: &Column) -> String {
        match part {
            KeyPart::Int(i) => i.to_string(),
            KeyPart::Text(text) => self.text_literal(text),
            KeyPart::Bytes(bytes) => hex_literal(bytes),
        }
    }

    fn text_literal(&self, text: &str) -> String {
        // A NUL would end the statement, so such text goes through its bytes.
        if text.contains('\0') {
            format!("CAST({} AS TEXT)", hex_literal(text.as_bytes()))
        } else {
            format!("'{}'", text.replace('\'', "''"))
        }
    }

    fn ledger(&self, table: &str) -> TableName {
        TableName::within("main", format!("tablelift_{table}"))
    }

    fn now(&self) -> &'static str {
        "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    }

    fn now_millis(&self) -> &'static str {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    }

    fn epoch(&self, column: &str) -> String {
        format!("(julianday({column}) - 2440587.5) * 86400")
    }

    fn for_share(&self) -> &'static str {
        ""
    }

    fn for_update(&self) -> &'static str {
        ""
    }

    fn digest(&self, alias: &str, _table: &Table, columns: &[String]) -> String {
        let list: Vec<String> =
            columns.iter().map(|column| format!("{alias}.{}", quote(column))).collect();
        if list.len() <= DIGEST_ARGUMENTS {
            return format!("tl_digest({})", list.join(", "));
        }
        let parts: Vec<String> = list
            .chunks(DIGEST_ARGUMENTS)
            .map(|part| format!("tl_digest({})", part.join(", ")))
            .collect();
        format!("tl_digest({})", parts.join(", "))
    }

    fn key_list(&self, alias: &str, columns: &[Column]) -> String {
        let list: Vec<String> =
            columns.iter().map(|column| format!("{alias}.{}", quote(&column.name))).collect();
        list.join(", ")
    }

    fn ledger_types(&self) -> LedgerTypes {
        LedgerTypes {
            int: "INTEGER",
            name: "TEXT",
            text: "TEXT",
            bytes: "BLOB",
            float: "REAL",
            table: "",
        }
    }
}

fn hex_literal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2 + 3);
    out.push_str("X'");
    for byte in bytes {
        use std::fmt::Write as _;
        let _ = write!(out, "{byte:02X}");
    }
    out.push('\'');
    out
}
