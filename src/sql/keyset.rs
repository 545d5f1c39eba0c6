//! Reading in key order without OFFSET: conditions and orders over the columns of a key.

use super::{Column, Dialect};
use crate::key::{Key, KeyRange};

/// The key that a step reads by, in the source's own order.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyColumns(pub Vec<Column>);

impl KeyColumns {
    /// Names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|column| column.name.clone()).collect()
    }

    /// `alias."a", alias."b"`: the columns themselves.
    pub fn columns(&self, dialect: &dyn Dialect, alias: &str) -> String {
        self.each(|column| format!("{alias}.{}", dialect.quote(&column.name)))
    }

    /// What rows are ordered by, the lowest key first.
    pub fn ascending(&self, dialect: &dyn Dialect, alias: &str) -> String {
        self.each(|column| dialect.key_order(alias, column))
    }

    /// What rows are ordered by, the highest key first.
    pub fn descending(&self, dialect: &dyn Dialect, alias: &str) -> String {
        self.each(|column| format!("{} DESC", dialect.key_order(alias, column)))
    }

    fn each(&self, text: impl Fn(&Column) -> String) -> String {
        self.0.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    /// The condition that a row's key lies in `range`; `TRUE`-like when unbounded.
    pub fn within(&self, dialect: &dyn Dialect, alias: &str, range: &KeyRange) -> String {
        let mut conditions = Vec::new();
        if let Some(after) = &range.after {
            conditions.push(self.compare(dialect, alias, ">", after));
        }
        if let Some(upto) = &range.upto {
            conditions.push(self.compare(dialect, alias, "<=", upto));
        }
        if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") }
    }

    /// `(a, b) > (x, y)`, in the database's own order.
    fn compare(&self, dialect: &dyn Dialect, alias: &str, operator: &str, key: &Key) -> String {
        let columns: Vec<String> =
            self.0.iter().map(|column| dialect.key_order(alias, column)).collect();
        let values: Vec<String> =
            self.0.iter().zip(&key.0).map(|(column, part)| dialect.literal(part, column)).collect();
        match (columns.as_slice(), values.as_slice()) {
            ([column], [value]) => format!("{column} {operator} {value}"),
            _ => dialect.compare_rows(&columns, operator, &values),
        }
    }

    /// The condition that a row's key is `key`.
    pub fn equals(&self, dialect: &dyn Dialect, alias: &str, key: &Key) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .zip(&key.0)
            .map(|(column, part)| {
                let name = dialect.key_order(alias, column);
                format!("{name} = {}", dialect.literal(part, column))
            })
            .collect();
        parts.join(" AND ")
    }

    /// The condition that a row's key is one of these.
    pub fn any_of(&self, dialect: &dyn Dialect, alias: &str, keys: &[Key]) -> String {
        if let [column] = self.0.as_slice() {
            let literals: Vec<String> = keys
                .iter()
                .filter_map(|key| key.0.first())
                .map(|part| dialect.literal(part, column))
                .collect();
            return format!("{} IN ({})", dialect.key_order(alias, column), literals.join(", "));
        }
        let each: Vec<String> =
            keys.iter().map(|key| format!("({})", self.equals(dialect, alias, key))).collect();
        format!("({})", each.join(" OR "))
    }

    /// Some part of the key is NULL; such rows are read apart, because no range holds them.
    pub fn any_null(&self, dialect: &dyn Dialect, alias: &str) -> Option<String> {
        let parts: Vec<String> = self
            .0
            .iter()
            .filter(|column| !column.not_null)
            .map(|column| format!("{alias}.{} IS NULL", dialect.quote(&column.name)))
            .collect();
        (!parts.is_empty()).then(|| format!("({})", parts.join(" OR ")))
    }

    /// No part of the key is NULL; empty when the columns say so themselves.
    pub fn no_null(&self, dialect: &dyn Dialect, alias: &str) -> Option<String> {
        self.any_null(dialect, alias).map(|condition| format!("NOT {condition}"))
    }
}
