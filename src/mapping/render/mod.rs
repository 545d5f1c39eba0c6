//! A bound mapping as SQL: the SELECT list of an INSERT … SELECT, or the reason why it can't be
//! one. Rules that may reject a row are never SQL: the streaming route decides row by row.

mod postgres;
mod sqlite;

pub use sqlite::{SQL_FUNCTIONS, sql_function};

use super::bound::{BoundMapping, BoundRule, Form, Input, InputSource};
use crate::sql::{Flavor, quote};

/// One SQL expression for each target column, or why there is none.
pub fn render(mapping: &BoundMapping, flavor: Flavor, alias: &str) -> Result<Vec<String>, String> {
    mapping
        .columns
        .iter()
        .map(|column| {
            let made = match flavor {
                Flavor::Postgres => postgres::cell(mapping, column, alias),
                Flavor::Sqlite => sqlite::cell(mapping, column, alias),
            };
            made.map_err(|why| format!("column {}: {why}", column.name))
        })
        .collect()
}

/// The SELECT list that delivers the inputs, in order.
pub fn render_inputs(mapping: &BoundMapping, flavor: Flavor, alias: &str) -> Vec<String> {
    mapping.inputs.iter().map(|input| self::input(input, flavor, alias)).collect()
}

/// One input as SQL.
fn input(input: &Input, flavor: Flavor, alias: &str) -> String {
    let plain = match &input.source {
        InputSource::Column(name) => format!("{alias}.{}", quote(name)),
        InputSource::Sql(sql) => format!("({sql})"),
        InputSource::Children { .. } => {
            return match flavor {
                Flavor::Postgres => postgres::children(input, alias),
                Flavor::Sqlite => sqlite::children(input, alias),
            };
        }
    };
    match (input.form, flavor) {
        (Form::Json, Flavor::Postgres) => format!("to_jsonb({plain})::text"),
        _ => plain,
    }
}

/// Why a rule is never SQL, if it is one of those.
fn not_sql(rule: &BoundRule) -> Option<String> {
    let reason = match rule {
        BoundRule::Lookup(..) => "the rule `lookup` reads the target",
        BoundRule::Moved(..) => "the rule `moved` reads the ledger",
        BoundRule::Cast { .. } => "the rule `cast` may reject a row",
        BoundRule::Map { default: None, .. } => "a `map` without default may reject a row",
        BoundRule::File(_) => "the rule `file` reads the seed's file",
        _ => return None,
    };
    Some(reason.to_owned())
}

/// ` ORDER BY a, b` of a children rule; empty without one.
fn order_by(names: &[String], alias: &str) -> String {
    if names.is_empty() {
        return String::new();
    }
    let list: Vec<String> = names.iter().map(|name| format!("{alias}.{}", quote(name))).collect();
    format!(" ORDER BY {}", list.join(", "))
}

/// `c."workflow_id" = s."id" AND …`
fn join(matches: &[(String, String)], parent: &str) -> String {
    let parts: Vec<String> = matches
        .iter()
        .map(|(child, own)| format!("tl_c.{} = {parent}.{}", quote(child), quote(own)))
        .collect();
    if parts.is_empty() { "1 = 1".to_owned() } else { parts.join(" AND ") }
}
