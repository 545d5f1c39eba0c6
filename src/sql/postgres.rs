//! PostgreSQL's SQL.

use super::dialect::{Dialect, Flavor, LedgerTypes};
use super::{Column, Table, TableName, quote};
use crate::key::KeyPart;
use crate::value::Value;

/// The one value of this dialect.
pub static POSTGRES: Postgres = Postgres;

/// PostgreSQL.
#[derive(Debug)]
pub struct Postgres;

impl Dialect for Postgres {
    fn still_open(&self) -> Option<&'static str> {
        None
    }

    fn flavor(&self) -> Flavor {
        Flavor::Postgres
    }

    fn key_part(&self, value: &Value) -> Option<KeyPart> {
        KeyPart::from_postgres(value)
    }

    fn literal(&self, part: &KeyPart, column: &Column) -> String {
        let text = part.to_value().to_text().unwrap_or_default();
        format!("{}::{}", self.text_literal(&text), column.ty.name)
    }

    fn text_literal(&self, text: &str) -> String {
        // Sessions pin standard_conforming_strings = on, so only quotes need doubling. A NUL
        // can't stand in PostgreSQL text at all; the server would end the statement there.
        format!("'{}'", text.replace('\0', "").replace('\'', "''"))
    }

    fn ledger(&self, table: &str) -> TableName {
        TableName::within("tablelift", table)
    }

    fn now(&self) -> &'static str {
        "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    }

    fn now_millis(&self) -> &'static str {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    }

    fn epoch(&self, column: &str) -> String {
        format!("extract(epoch FROM {column}::timestamptz)::float8")
    }

    fn for_share(&self) -> &'static str {
        " FOR SHARE"
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn digest(&self, alias: &str, _table: &Table, columns: &[String]) -> String {
        let list: Vec<String> =
            columns.iter().map(|column| format!("{alias}.{}", quote(column))).collect();
        format!(
            "substring(sha256(convert_to(ROW({})::text, 'UTF8')) from 1 for 16)",
            list.join(", ")
        )
    }

    fn key_list(&self, alias: &str, columns: &[Column]) -> String {
        let list: Vec<String> =
            columns.iter().map(|column| format!("{alias}.{}::text", quote(&column.name))).collect();
        list.join(", ")
    }

    fn ledger_types(&self) -> LedgerTypes {
        LedgerTypes {
            int: "bigint",
            name: "text",
            text: "text",
            bytes: "bytea",
            float: "double precision",
            table: "",
        }
    }
}
