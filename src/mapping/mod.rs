//! What becomes of a row: the closed set of column rules, one tree with two readers.
//!
//! [`Rule`] is what a plan says. [`bind()`] ties it to a source and a target table and finds
//! everything that can't work. The bound tree then has two readers that a property test holds
//! equal: [`render()`] makes SQL text of it, [`eval()`] evaluates it on a row.

pub mod bind;
pub mod cast;
pub mod eval;
pub mod program;
pub mod render;
mod values;
pub mod wire;

pub use bind::{
    BoundChildren, BoundColumn, BoundLookup, BoundMapping, BoundRule, Finding, Form, Input,
    InputSource, Scope, bind, same_names,
};
pub use eval::{Context, Found, Outcome, Reject, eval};
pub use render::{render, render_inputs, sql_function};
pub use values::ValueOptions;

pub use cast::{Clock, Epoch};

/// A number's text as PostgreSQL's numeric prints it: `+1.5e3` becomes `1500`. `None`: it is none.
pub fn numeric_form(text: &str) -> Option<String> {
    cast::numeric_text(text)
}

/// The value as one of this type, read generously; `None`: it is none.
pub fn read_as(value: Value, to: &ColumnType) -> Option<Value> {
    cast::cast(value, to, false).ok()
}

use crate::sql::ColumnType;
use crate::value::Value;

/// The rules of one step: target column = rule, in the plan's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    /// Target column and its rule.
    pub columns: Vec<(String, Rule)>,
}

/// A constant of the plan: a TOML scalar, or a TOML table or array as JSON.
/// Numbers are kept as the plan spells them.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// TOML boolean.
    Bool(bool),
    /// TOML integer.
    Int(i64),
    /// TOML float in its source text, without underscores.
    Number(String),
    /// TOML string.
    Text(String),
    /// TOML date or time, as written.
    Time(String),
    /// TOML table or array, as JSON text.
    Json(String),
}

impl Constant {
    /// The constant as a value.
    pub fn value(&self) -> Value {
        match self {
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(i) => Value::Int(*i),
            Constant::Number(text) => Value::Number(text.clone()),
            Constant::Text(text) | Constant::Time(text) => Value::Text(text.clone()),
            Constant::Json(text) => Value::Json(text.clone()),
        }
    }
}

/// One column rule; see the table in the plan format.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// `"col"`: a source column.
    Column(String),
    /// `{ value = X }`
    Value(Constant),
    /// `{ first = [RULE, …] }`: the first that is not null. A lookup inside that finds
    /// nothing counts as null until the last alternative.
    First(Vec<Rule>),
    /// `{ from = RULE, map = { … }, default = X }`
    Map {
        /// What is translated.
        from: Box<Rule>,
        /// Text form of the value → constant, in the plan's order.
        map: Vec<(String, Constant)>,
        /// For values that are not listed; without it such a row is a reject.
        default: Option<Constant>,
    },
    /// `{ from = RULE, cast = "type", zone = "Europe/Berlin", epoch = "ms" }`
    Cast {
        /// What is converted.
        from: Box<Rule>,
        /// A PostgreSQL type name such as `timestamptz` or `numeric(10,2)`.
        to: String,
        /// The zone of times that have none: an IANA name. Without it they are UTC.
        zone: Option<String>,
        /// What an integer counts since 1970.
        epoch: Option<Epoch>,
    },
    /// `{ from = RULE, replace = { "\u0000" = "" } }`: in texts and in the strings of JSON.
    Replace {
        /// What is changed.
        from: Box<Rule>,
        /// What is replaced by what, one after the other in the plan's order.
        replace: Vec<(String, String)>,
    },
    /// `{ from = RULE, null_if = ["", "0000-00-00"] }`
    NullIf {
        /// What is looked at.
        from: Box<Rule>,
        /// Text forms that become NULL.
        values: Vec<String>,
    },
    /// `{ json = … }`: one JSON object.
    Json {
        /// Which keys.
        shape: JsonShape,
        /// `nulls = "drop"`: leave out keys whose value is NULL.
        drop_nulls: bool,
    },
    /// `{ array = [RULE, …] }`
    Array(Vec<Rule>),
    /// `{ lookup = "table", match = { col = RULE }, take = "id", missing = "reject" }`
    Lookup(Lookup),
    /// `{ moved = "step", from = RULE }`
    Moved {
        /// The earlier step, by name or by its target table.
        step: String,
        /// The source key that the earlier step read.
        from: Box<Rule>,
    },
    /// `{ children = "dh_step", match = { workflow_id = "id" }, json = "*", order_by = "position" }`
    Children {
        /// Another table of the source.
        table: String,
        /// Child column = parent column.
        matches: Vec<(String, String)>,
        /// Keys of each element: all of the child's columns, some, or all but some.
        /// `Object` is not possible here.
        shape: JsonShape,
        /// Child columns that give the order.
        order_by: Vec<String>,
    },
    /// `{ uuid = ["dh_tool", "id"] }`: strings that name a source column stand for its value,
    /// other strings for themselves.
    Uuid(Vec<Rule>),
    /// `{ sql = "…" }`: an expression in the source's own SQL.
    Sql(String),
    /// `{ file = "library.name" }`: seeds only; the value at a path of the file's document,
    /// outside its rows.
    File(String),
}

/// Which keys a `json` rule has.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonShape {
    /// `"*"`: every source column that no other rule of the step takes, less `except`.
    Rest {
        /// Columns left out.
        except: Vec<String>,
        /// Extra keys, after the columns.
        with: Vec<(String, Rule)>,
    },
    /// `["a", "b"]`: these source columns, plus extra keys.
    Columns {
        /// The columns.
        columns: Vec<String>,
        /// Extra keys, after the columns.
        with: Vec<(String, Rule)>,
    },
    /// `{ theme = RULE, … }`
    Object(Vec<(String, Rule)>),
}

/// A value of another table of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The table.
    pub table: String,
    /// Its column = the value to find.
    pub matches: Vec<(String, Rule)>,
    /// The column whose value is taken.
    pub take: String,
    /// What happens when no row matches.
    pub missing: Missing,
}

/// What a lookup without a match does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The row goes to the rejects.
    Reject,
    /// The value is NULL.
    Null,
    /// The step stops.
    Fail,
}

impl Rule {
    /// Calls `visit` on each rule directly inside this one.
    pub fn nested<'a>(&'a self, visit: &mut dyn FnMut(&'a Rule)) {
        match self {
            Rule::First(rules) | Rule::Array(rules) | Rule::Uuid(rules) => {
                rules.iter().for_each(visit);
            }
            Rule::Map { from, .. }
            | Rule::Cast { from, .. }
            | Rule::Replace { from, .. }
            | Rule::NullIf { from, .. }
            | Rule::Moved { from, .. } => visit(from),
            Rule::Json { shape, .. } | Rule::Children { shape, .. } => match shape {
                JsonShape::Rest { with, .. } | JsonShape::Columns { with, .. } => {
                    with.iter().for_each(|(_, rule)| visit(rule));
                }
                JsonShape::Object(entries) => entries.iter().for_each(|(_, rule)| visit(rule)),
            },
            Rule::Lookup(lookup) => lookup.matches.iter().for_each(|(_, rule)| visit(rule)),
            Rule::Column(_) | Rule::Value(_) | Rule::Sql(_) | Rule::File(_) => {}
        }
    }
}

/// Every rule of a tree, the nested ones included, in depth-first order.
pub fn each_rule<'a>(rule: &'a Rule, visit: &mut dyn FnMut(&'a Rule)) {
    visit(rule);
    rule.nested(&mut |inner| each_rule(inner, visit));
}
