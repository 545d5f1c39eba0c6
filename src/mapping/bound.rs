//! A mapping whose names are resolved: what [`super::render`] and [`super::eval()`] read.

use super::{Finding, Missing};
use crate::sql::{ColumnType, Kind, Table};
use crate::value::Value;

/// In which form the source delivers an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As itself.
    Value,
    /// As the JSON text that the source's server makes of it.
    Json,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum InputSource {
    /// A column.
    Column(String),
    /// An expression in the source's SQL.
    Sql(String),
    /// Rows of another source table as a JSON array.
    Children {
        /// The table.
        table: Table,
        /// Child column = parent column.
        matches: Vec<(String, String)>,
        /// Keys of each element.
        columns: Vec<String>,
        /// Child columns that give the order.
        order_by: Vec<String>,
        /// Keys whose value is NULL are left out.
        drop_nulls: bool,
    },
}

/// One value that a source row brings.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Where it comes from.
    pub source: InputSource,
    /// In which form.
    pub form: Form,
    /// The source's type.
    pub kind: Kind,
    /// Name, for messages and rejects.
    pub name: String,
}

impl Input {
    /// The kind in which the value is read.
    pub fn kind_read(&self) -> Kind {
        match (&self.form, &self.source) {
            (Form::Json, _) | (_, InputSource::Children { .. }) => Kind::Json,
            _ => self.kind.clone(),
        }
    }
}

/// A lookup with its table.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundLookup {
    /// The table.
    pub table: Table,
    /// Its columns that are compared, with their types.
    pub matches: Vec<(String, ColumnType)>,
    /// The column whose value is taken.
    pub take: String,
    /// That column's type.
    pub take_type: ColumnType,
}

/// A rule whose names are resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundRule {
    /// The input with this index.
    Input(usize),
    /// A constant.
    Value(Value),
    /// The first that is not null.
    First(Vec<BoundRule>),
    /// Translate by text form.
    Map {
        /// What is translated.
        from: Box<BoundRule>,
        /// Text form → value.
        map: Vec<(String, Value)>,
        /// For all others.
        default: Option<Value>,
    },
    /// Convert.
    Cast {
        /// What is converted.
        from: Box<BoundRule>,
        /// To which type.
        to: ColumnType,
    },
    /// A JSON object.
    Json {
        /// Keys, in order.
        entries: Vec<(String, BoundRule)>,
        /// Keys whose value is NULL are left out.
        drop_nulls: bool,
    },
    /// A JSON array.
    Array(Vec<BoundRule>),
    /// A value of the target: index into the mapping's lookups, key values.
    Lookup(usize, Vec<BoundRule>, Missing),
    /// A key that an earlier step gave: index into the mapping's moved steps.
    Moved(usize, Box<BoundRule>, ColumnType),
    /// A UUID of the parts.
    Uuid(Vec<BoundRule>),
    /// A value of the row's file.
    File(String),
}

/// One target column with its rule.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundColumn {
    /// The target column.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// NULL is refused.
    pub not_null: bool,
    /// Its rule.
    pub rule: BoundRule,
}

/// A mapping that can be rendered and evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundMapping {
    /// What a source row brings, in order.
    pub inputs: Vec<Input>,
    /// Target columns, in the plan's order.
    pub columns: Vec<BoundColumn>,
    /// Lookups, by index.
    pub lookups: Vec<BoundLookup>,
    /// Steps that `moved` rules ask, by index.
    pub moved: Vec<String>,
    /// Values may be changed to fit.
    pub lossy: bool,
    /// What a person should know.
    pub warnings: Vec<Finding>,
}
