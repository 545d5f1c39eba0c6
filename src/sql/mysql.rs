//! SQL of MySQL and MariaDB.

use super::dialect::{Dialect, Flavor, LedgerTypes};
use super::{Column, ColumnType, Kind, Table, TableName};
use crate::key::{KeyPart, hex_bytes};

/// The one value of this dialect.
pub static MYSQL: Mysql = Mysql;

/// Texts and bytes up to this length go into a digest as they are.
const INLINE_LENGTH: u32 = 255;

/// Characters of a row's key that its index in the ledger holds.
const ROW_KEY_PREFIX: u32 = 250;

/// MySQL and MariaDB.
#[derive(Debug)]
pub struct Mysql;

impl Dialect for Mysql {
    fn flavor(&self) -> Flavor {
        Flavor::Mysql
    }

    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    /// The labels of ENUM and SET: such a column is ordered by their numbers, and compared with a
    /// text by its labels.
    fn key_order(&self, alias: &str, column: &Column) -> String {
        let name = format!("{alias}.{}", self.quote(&column.name));
        if is_choice(&column.ty.name) {
            format!("CAST({name} AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin")
        } else {
            name
        }
    }

    /// A comparison of rows would read the whole index; this one reads a range of it.
    fn compare_rows(&self, columns: &[String], operator: &str, values: &[String]) -> String {
        let strict = operator.trim_end_matches('=');
        let mut pairs = columns.iter().zip(values).rev();
        let Some((column, value)) = pairs.next() else {
            return "1 = 1".to_owned();
        };
        let last = format!("{column} {operator} {value}");
        pairs.fold(last, |rest, (column, value)| {
            format!("({column} {strict} {value} OR ({column} = {value} AND {rest}))")
        })
    }

    fn or_keep(&self, key: &str) -> String {
        let column = key.split(',').next().unwrap_or(key);
        format!(" ON DUPLICATE KEY UPDATE {column} = VALUES({column})")
    }

    fn or_set(&self, _key: &str, set: &str) -> String {
        format!(" ON DUPLICATE KEY UPDATE {set}")
    }

    fn sent(&self, column: &str) -> String {
        format!("VALUES({column})")
    }

    fn to_integer(&self, expression: &str) -> String {
        format!("CAST({expression} AS SIGNED)")
    }

    fn ddl_commits(&self) -> bool {
        true
    }

    fn literal(&self, part: &KeyPart, column: &Column) -> String {
        let text = match (part, &column.ty.kind) {
            // A key of another database comes as text, bytes among it.
            (KeyPart::Text(text), Kind::Bytes) => {
                match text.strip_prefix("\\x").and_then(hex_bytes) {
                    Some(bytes) => return hex_literal(&bytes),
                    None => text.clone(),
                }
            }
            (KeyPart::Bytes(bytes), _) => return hex_literal(bytes),
            (part, _) => part.to_value().to_text().unwrap_or_default(),
        };
        match &column.ty.kind {
            // Between quotes, a number would be compared as a double.
            Kind::Int(_) | Kind::Numeric(_) if is_plain_number(&text) => text,
            // Sessions are pinned to UTC.
            Kind::TimestampTz(_) => self.text_literal(text.trim_end_matches("+00")),
            _ => self.text_literal(&text),
        }
    }

    fn text_literal(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('\'');
        for letter in text.chars() {
            match letter {
                '\'' => out.push_str("''"),
                '\\' => out.push_str("\\\\"),
                '\0' => out.push_str("\\0"),
                letter => out.push(letter),
            }
        }
        out.push('\'');
        out
    }

    fn ledger(&self, table: &str) -> TableName {
        TableName::bare(format!("tablelift_{table}"))
    }

    fn now(&self) -> &'static str {
        "DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')"
    }

    fn now_millis(&self) -> &'static str {
        "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000 AS SIGNED)"
    }

    fn epoch(&self, column: &str) -> String {
        format!("UNIX_TIMESTAMP(STR_TO_DATE({column}, '%Y-%m-%dT%H:%i:%s.%fZ'))")
    }

    fn for_share(&self) -> &'static str {
        " LOCK IN SHARE MODE"
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn digest(&self, alias: &str, table: &Table, columns: &[String]) -> String {
        let parts: Vec<String> = columns
            .iter()
            .map(|name| {
                let column = format!("{alias}.{}", self.quote(name));
                let exact = match table.column(name).map(|column| &column.ty.kind) {
                    // A FLOAT prints six digits only; as a double it prints what it is.
                    Some(Kind::Float4) => format!("CAST({column} + 0E0 AS CHAR)"),
                    // What is longer than a packet would be NULL.
                    Some(kind) if is_long(kind) => format!("SHA2({column}, 256)"),
                    _ => format!("CAST({column} AS BINARY)"),
                };
                format!("COALESCE(CONCAT(LENGTH({exact}), ':', {exact}), 'n')")
            })
            .collect();
        format!("UNHEX(LEFT(SHA2(CONCAT('', {}), 256), 32))", parts.join(", "))
    }

    fn key_list(&self, alias: &str, columns: &[Column]) -> String {
        let list: Vec<String> = columns
            .iter()
            .map(|column| readable(&format!("{alias}.{}", self.quote(&column.name)), &column.ty))
            .collect();
        list.join(", ")
    }

    /// A row's key is compared whole; its index holds the beginning.
    fn ledger_key(&self, key: &str, row_key: Option<&str>) -> String {
        match row_key {
            None => format!("PRIMARY KEY ({key})"),
            Some(row_key) => {
                format!("KEY ({})", key.replace(row_key, &format!("{row_key}({ROW_KEY_PREFIX})")))
            }
        }
    }

    fn ledger_types(&self) -> LedgerTypes {
        LedgerTypes {
            int: "BIGINT",
            name: "VARCHAR(190)",
            text: "LONGTEXT",
            bytes: "LONGBLOB",
            float: "DOUBLE",
            table: " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin \
                    ROW_FORMAT=DYNAMIC",
        }
    }
}

/// The value in the form in which it is read: what the driver's own form could change, or hide,
/// comes as text.
pub fn readable(value: &str, ty: &ColumnType) -> String {
    let name = ty.name.as_str();
    match ty.kind {
        Kind::Int(_) if name.starts_with("bit") => format!("CAST({value} AS UNSIGNED)"),
        Kind::Numeric(_) if name.starts_with("bit") => {
            format!("CAST(CAST({value} AS UNSIGNED) AS CHAR)")
        }
        // Its zeros in front are no part of a number.
        Kind::Numeric(_) if name.contains("zerofill") => format!("CAST({value} + 0 AS CHAR)"),
        Kind::Int(_) | Kind::Float4 | Kind::Float8 | Kind::Bytes | Kind::Json | Kind::Bool => {
            value.to_owned()
        }
        Kind::Text { .. } if !name.starts_with("inet") => value.to_owned(),
        _ => format!("CAST({value} AS CHAR)"),
    }
}

/// ENUM and SET: numbers that show as labels.
pub fn is_choice(type_name: &str) -> bool {
    type_name.starts_with("enum(") || type_name.starts_with("set(")
}

fn is_long(kind: &Kind) -> bool {
    match kind {
        Kind::Text { max, .. } => max.is_none_or(|max| max > INLINE_LENGTH),
        Kind::Bytes | Kind::Json => true,
        _ => false,
    }
}

/// `-12.50`: digits that can stand in SQL as they are.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction)
}

fn hex_literal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2 + 3);
    out.push_str("X'");
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, name: &str) -> Column {
        Column {
            name: "k".to_owned(),
            ty: ColumnType { kind, name: name.to_owned() },
            not_null: true,
            has_default: false,
            generated: false,
            identity: false,
            identity_always: false,
        }
    }

    #[test]
    fn rows_are_compared_column_by_column() {
        let list = |names: [&str; 3]| names.map(str::to_owned);
        assert_eq!(
            MYSQL.compare_rows(&list(["a", "b", "c"]), "<=", &list(["1", "2", "3"])),
            "(a < 1 OR (a = 1 AND (b < 2 OR (b = 2 AND c <= 3))))"
        );
    }

    #[test]
    fn literals_are_what_the_column_compares_with() {
        let text = |text: &str| KeyPart::Text(text.to_owned());
        let int = column(Kind::Int(8), "bigint(20)");
        assert_eq!(MYSQL.literal(&text("-12"), &int), "-12");
        assert_eq!(MYSQL.literal(&text("1; drop"), &int), "'1; drop'");
        let varchar = column(Kind::Text { max: Some(3), padded: false }, "varchar(3)");
        assert_eq!(MYSQL.literal(&KeyPart::Int(5), &varchar), "'5'");
        assert_eq!(MYSQL.literal(&text("a'\\\0"), &varchar), "'a''\\\\\\0'");
        let bytes = column(Kind::Bytes, "binary(2)");
        assert_eq!(MYSQL.literal(&text("\\x00ff"), &bytes), "X'00FF'");
        let moment = column(Kind::TimestampTz(0), "timestamp");
        assert_eq!(
            MYSQL.literal(&text("2024-01-31 10:00:00+00"), &moment),
            "'2024-01-31 10:00:00'"
        );
    }
}
