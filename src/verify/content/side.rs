//! The target's side: how its rows are read, by a range of keys or one by one, and what they are
//! called.

use crate::db::{Session, collect};
use crate::engine::chunker::key_of;
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::mapping::{BoundMapping, Form, Input, InputSource, ValueOptions, render_inputs};
use crate::sql::keyset::KeyColumns;
use crate::sql::{Column, Dialect, Flavor, Kind, Table};
use crate::value::{Row, Value};

use super::canonical;

/// Keys that one query asks for.
const ASKED: usize = 500;

/// What a row is called: its key in one spelling, so that both sides call it the same.
pub type Name = Vec<u8>;

/// How rows of the target are read.
pub struct Side {
    /// The table.
    pub table: Table,
    /// The columns read: those compared, then those of the key that are not among them.
    pub columns: Vec<Column>,
    /// The target's key; none: rows have no name.
    pub key: KeyColumns,
    /// Where its parts stand in a row.
    key_at: Vec<usize>,
    flavor: Flavor,
    list: String,
    kinds: Vec<Kind>,
}

impl Side {
    /// Reads these columns, in this order, and the key.
    pub fn new(table: &Table, key: &[String], compared: &[Column], flavor: Flavor) -> Side {
        let mut columns = compared.to_vec();
        let mut key_at = Vec::new();
        let mut parts = Vec::new();
        for column in key.iter().filter_map(|name| table.column(name)) {
            let at = columns.iter().position(|one| one.name == column.name);
            key_at.push(at.unwrap_or(columns.len()));
            if at.is_none() {
                columns.push(column.clone());
            }
            parts.push(column.clone());
        }
        let inputs = columns.iter().map(|column| Input {
            source: InputSource::Column(column.name.clone()),
            form: Form::Value,
            ty: column.ty.clone(),
            name: column.name.clone(),
        });
        let mapping = BoundMapping {
            inputs: inputs.collect(),
            columns: Vec::new(),
            lookups: Vec::new(),
            moved: Vec::new(),
            lossy: false,
            values: ValueOptions::default(),
            flavor,
            warnings: Vec::new(),
        };
        let list = render_inputs(&mapping, flavor, "t", &[]);
        let kinds = mapping.inputs.iter().map(Input::kind_read).collect();
        Side {
            table: table.clone(),
            columns,
            key: KeyColumns(parts),
            key_at,
            flavor,
            list: list.join(", "),
            kinds,
        }
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.flavor.dialect()
    }

    /// `"schema"."table" t`
    pub fn from(&self) -> String {
        format!("{} t", self.table.name.sql(self.dialect()))
    }

    /// The query that reads all rows, and the kinds of its columns.
    pub fn everything(&self) -> (String, &[Kind]) {
        (format!("SELECT {} FROM {}", self.list, self.from()), &self.kinds)
    }

    /// At most `most` rows of a range, in the order of their keys.
    pub async fn range(
        &self,
        session: &mut dyn Session,
        range: &KeyRange,
        most: usize,
    ) -> Result<Vec<Row>> {
        let dialect = self.dialect();
        let select = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {most}",
            self.list,
            self.from(),
            self.key.within(dialect, "t", range),
            self.key.ascending(dialect, "t"),
        );
        Ok(collect(session, &select, &self.kinds).await?.rows)
    }

    /// The rows with these keys: those that are there.
    pub async fn rows_of(&self, session: &mut dyn Session, keys: &[Key]) -> Result<Vec<Row>> {
        let mut out = Vec::new();
        for part in keys.chunks(ASKED) {
            let condition = self.key.any_of(self.dialect(), "t", part);
            let select = format!("SELECT {} FROM {} WHERE {condition}", self.list, self.from());
            out.extend(collect(session, &select, &self.kinds).await?.rows);
        }
        Ok(out)
    }

    /// What a row of this side is called.
    pub fn name(&self, row: &[Value]) -> Name {
        self.name_of(self.key_at.iter().map(|at| row.get(*at).unwrap_or(&Value::Null)))
    }

    /// What a row is called that has this key.
    pub fn name_of_key(&self, key: &Key) -> Name {
        let values: Vec<Value> = key.0.iter().map(|part| part.to_value()).collect();
        self.name_of(values.iter())
    }

    /// What a row is called whose key has these values.
    pub fn name_of<'v>(&self, values: impl Iterator<Item = &'v Value>) -> Name {
        let mut name = Vec::with_capacity(16);
        for (value, column) in values.zip(&self.key.0) {
            let start = name.len();
            name.extend([0; 4]);
            canonical::write(value, &column.ty, self.flavor, &mut name);
            let length = (name.len() - start - 4) as u32;
            name[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        name
    }

    /// The key of a row of this side.
    pub fn key_of(&self, row: &[Value]) -> Result<Key> {
        let parts: Vec<Value> =
            self.key_at.iter().map(|at| row.get(*at).cloned().unwrap_or(Value::Null)).collect();
        key_of(self.flavor, &parts, &self.table.name.name)
    }
}
