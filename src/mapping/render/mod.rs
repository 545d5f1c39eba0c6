//! A bound mapping as SQL: the reader that leaves the rows in the database.
//!
//! Only rules that can't refuse a row by themselves become SQL; for any other the reason is
//! returned, and the rows are evaluated one by one instead.

mod mysql;
mod postgres;
mod sqlite;

pub use sqlite::{SQL_FUNCTIONS, sql_function};

use super::ValueOptions;
use super::bind::{BoundChildren, BoundMapping, BoundRule, Form, Input, InputSource};
pub use crate::sql::Flavor;
use crate::sql::Kind;
use crate::sql::mysql::readable;
use crate::value::Value;

/// The SELECT list of an INSERT … SELECT inside one database: one expression per written
/// column. `alias` names the source in the query.
///
/// # Errors
/// Why it can't be SQL: `rule lookup of column x reads the target`.
pub fn render(mapping: &BoundMapping, to: Flavor, alias: &str) -> Result<Vec<String>, String> {
    let select = Select::new(mapping, to, alias);
    mapping
        .columns
        .iter()
        .map(|column| {
            let made = match to {
                Flavor::Postgres => postgres::assign(&select, &column.rule, &column.ty),
                Flavor::Sqlite => sqlite::assign(&select, &column.rule, &column.ty),
                Flavor::Mysql => mysql::assign(&select, &column.rule, &column.ty),
            };
            made.map_err(|Why { rule, what }| {
                format!("rule {rule} of column {} {what}", column.name)
            })
        })
        .collect()
}

/// The SELECT list that delivers the inputs to the other readers. Those that are `unread` (by
/// position; missing ones are not) come in their own binary form, whatever it is.
pub fn render_inputs(
    mapping: &BoundMapping,
    flavor: Flavor,
    alias: &str,
    unread: &[bool],
) -> Vec<String> {
    let select = Select::new(mapping, flavor, alias);
    let form = |(at, input): (usize, &Input)| {
        let raw = select.raw(input);
        if flavor == Flavor::Mysql && !matches!(input.source, InputSource::Children(_)) {
            return readable(&raw, &input.ty);
        }
        if flavor != Flavor::Postgres || unread.get(at) == Some(&true) {
            return raw;
        }
        match (&input.source, input.form, input.kind()) {
            (InputSource::Children(_), _, _) => format!("({raw})::text"),
            (_, Form::Json, _) => format!("to_jsonb({raw})::text"),
            (_, _, Kind::Interval | Kind::TimeTz(_)) => format!("({raw})::text"),
            // By the type's own output: a cast may make something else of it (inet gets a /32).
            // `IS NULL` would be true for a row of NULLs.
            (InputSource::Column(_), _, Kind::Opaque { .. }) => output(&raw),
            (_, _, Kind::Opaque { .. }) => {
                format!("(SELECT {} FROM (SELECT {raw} AS v) q)", output("q.v"))
            }
            // A query's answer says so of oid too, which is not sent like a bigint.
            (_, _, Kind::Int(8)) if input.ty.name == "oid" => format!("({raw})::bigint"),
            _ => raw,
        }
    };
    mapping.inputs.iter().enumerate().map(form).collect()
}

/// What PostgreSQL prints for a value.
fn output(value: &str) -> String {
    format!("CASE WHEN num_nulls({value}) = 0 THEN format('%s', {value}) END")
}

/// What the expressions of one SELECT share.
struct Select<'a> {
    inputs: &'a [Input],
    lossy: bool,
    values: ValueOptions,
    flavor: Flavor,
    alias: &'a str,
    /// The rows of a `children` rule are read.
    child: bool,
}

impl<'a> Select<'a> {
    fn new(mapping: &'a BoundMapping, flavor: Flavor, alias: &'a str) -> Self {
        let BoundMapping { inputs, lossy, values, .. } = mapping;
        Select { inputs, lossy: *lossy, values: *values, flavor, alias, child: false }
    }

    /// A column of a table by its alias.
    fn name(&self, alias: &str, column: &str) -> String {
        let dialect = self.flavor.dialect();
        format!("{}.{}", dialect.quote(alias), dialect.quote(column))
    }

    /// The input's own value.
    fn raw(&self, input: &Input) -> String {
        match &input.source {
            InputSource::Column(name) => self.name(self.alias, name),
            // The line break ends a comment at the end of the expression.
            InputSource::Sql(sql) if sql.contains("--") => format!("({sql}\n)"),
            InputSource::Sql(sql) => format!("({sql})"),
            InputSource::Children(children) => self.children(children),
        }
    }

    /// The matching rows of another table as one JSON array.
    fn children(&self, children: &BoundChildren) -> String {
        let alias = format!("{}_child", self.alias);
        let inner = Select {
            inputs: &children.inputs,
            lossy: self.lossy,
            values: self.values,
            flavor: self.flavor,
            alias: &alias,
            child: true,
        };
        let name = |column: &str| self.name(&alias, column);
        let matches: Vec<_> = children
            .matches
            .iter()
            .map(|(child, parent)| format!("{} = {}", name(child), self.name(self.alias, parent)))
            .collect();
        let order: Vec<_> = children.order_by.iter().map(|column| name(column)).collect();
        let order = if order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", order.join(", "))
        };
        let from = format!(
            "{} AS {} WHERE {}",
            children.table.name.sql(self.flavor.dialect()),
            self.flavor.dialect().quote(&alias),
            matches.join(" AND ")
        );
        match self.flavor {
            Flavor::Postgres => {
                let element =
                    postgres::json(&inner, &children.element).unwrap_or_else(|_| "NULL".to_owned());
                format!("(SELECT coalesce(jsonb_agg({element}{order}), '[]'::jsonb) FROM {from})")
            }
            Flavor::Mysql => {
                let element =
                    mysql::json(&inner, &children.element).unwrap_or_else(|_| "NULL".to_owned());
                mysql::array(&element, &order, &from)
            }
            Flavor::Sqlite => {
                let element =
                    sqlite::json(&inner, &children.element).unwrap_or_else(|_| "NULL".to_owned());
                format!(
                    "(SELECT '[' || coalesce(group_concat(\"j\", ','), '') || ']' \
                     FROM (SELECT {element} AS \"j\" FROM {from}{order}))"
                )
            }
        }
    }
}

/// Why a rule can't be SQL.
struct Why {
    rule: &'static str,
    what: String,
}

type Sql = Result<String, Why>;

fn why(rule: &BoundRule, what: impl Into<String>) -> Why {
    let name = match rule {
        BoundRule::Input(_) => "column",
        BoundRule::Constant(_) => "value",
        BoundRule::First(_) => "first",
        BoundRule::Map { .. } => "map",
        BoundRule::Cast { .. } => "cast",
        BoundRule::Replace { .. } => "replace",
        BoundRule::NullIf { .. } => "null_if",
        BoundRule::Object { .. } => "json",
        BoundRule::Array(_) => "array",
        BoundRule::Lookup { .. } => "lookup",
        BoundRule::Moved { .. } => "moved",
        BoundRule::Uuid(_) => "uuid",
        BoundRule::File(_) => "file",
    };
    Why { rule: name, what: what.into() }
}

/// Rules that no SQL can be made of, whatever the dialect.
fn outside(rule: &BoundRule) -> Why {
    why(
        rule,
        match rule {
            BoundRule::Lookup { .. } => "reads the target",
            BoundRule::Moved { .. } => "reads the ledger",
            BoundRule::File(_) => "reads the seed file",
            _ => "can refuse a row",
        },
    )
}

/// A string literal; needs standard_conforming_strings, PostgreSQL's default.
fn literal(rule: &BoundRule, text: &str) -> Sql {
    if text.contains('\0') {
        return Err(why(rule, "has the character \\u0000"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// A constant as JSON text.
fn json_text(value: &Value) -> String {
    let mut out = String::new();
    value.write_json(&mut out);
    out
}

/// `a || b || …` as a balanced tree: a chain of 1,600 would be too deep for a parser.
fn concat(parts: &[String]) -> String {
    match parts {
        [] => "''".to_owned(),
        [part] => part.clone(),
        parts => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} || {})", concat(left), concat(right))
        }
    }
}
