//! Evaluates a bound mapping on one row.

use super::bound::{BoundMapping, BoundRule};
use super::{Missing, cast};
use crate::value::{Row, Value, write_json_string};

/// A row that can't be mapped. Never holds the row's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The target column.
    pub column: Option<String>,
    /// The value's type and the column's.
    pub ty: String,
    /// Why.
    pub reason: String,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One value for each target column.
    Cells(Row),
    /// Some answer of the context was `Unknown`: fetch and evaluate again.
    Pending,
    /// The row goes to the rejects.
    Reject(Reject),
    /// The step stops.
    Stop(String),
}

/// What the context says about a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// There is no such row.
    None,
    /// Its value.
    One(Value),
    /// More than one row.
    Many,
    /// Not asked for yet; the context remembered it.
    Unknown,
}

/// Answers what a row alone can't say.
pub trait Context {
    /// The value that the mapping's lookup `which` finds for `key`.
    fn lookup(&mut self, which: usize, key: &[Value]) -> Found;
    /// The target key that the mapping's moved step `which` gave to `key`.
    fn moved(&mut self, which: usize, key: &Value) -> Found;
    /// The value at a path of the row's file.
    fn file(&mut self, path: &str) -> Found;
}

/// Why a rule has no value.
enum Trouble {
    Pending,
    Missing(String),
    Bad(String),
    Stop(String),
}

/// Evaluates every column. Unknown keys of all columns are met before the row is `Pending`.
pub fn eval(mapping: &BoundMapping, row: &[Value], context: &mut dyn Context) -> Outcome {
    let mut cells = Vec::with_capacity(mapping.columns.len());
    let mut pending = false;
    for column in &mapping.columns {
        let reject = |reason: String, ty: String| {
            Outcome::Reject(Reject { column: Some(column.name.clone()), ty, reason })
        };
        let value = match rule(mapping, &column.rule, row, context) {
            Ok(value) => value,
            Err(Trouble::Pending) => {
                pending = true;
                continue;
            }
            Err(Trouble::Missing(reason) | Trouble::Bad(reason)) => {
                return reject(reason, column.ty.name.clone());
            }
            Err(Trouble::Stop(reason)) => return Outcome::Stop(reason),
        };
        if value.is_null() {
            if column.not_null {
                return reject("null in a NOT NULL column".to_owned(), column.ty.name.clone());
            }
            cells.push(value);
            continue;
        }
        let ty = format!("{} into {}", value.type_name(), column.ty.name);
        match cast::fit(value, &column.ty, mapping.lossy) {
            Ok(value) => cells.push(value),
            Err(reason) => return reject(reason, ty),
        }
    }
    if pending { Outcome::Pending } else { Outcome::Cells(cells) }
}

fn rule(
    mapping: &BoundMapping,
    bound: &BoundRule,
    row: &[Value],
    context: &mut dyn Context,
) -> Result<Value, Trouble> {
    match bound {
        BoundRule::Input(at) => {
            let value = row.get(*at).cloned().unwrap_or(Value::Null);
            cast::interpret(value, &mapping.inputs[*at].kind_read()).map_err(Trouble::Bad)
        }
        BoundRule::Value(value) => Ok(value.clone()),
        BoundRule::First(rules) => first(mapping, rules, row, context),
        BoundRule::Map { from, map, default } => {
            let value = rule(mapping, from, row, context)?;
            let text = value.to_text();
            let found = text.and_then(|text| map.iter().find(|(key, _)| *key == text));
            match (found, default) {
                (Some((_, value)), _) => Ok(value.clone()),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) if value.is_null() => Err(Trouble::Bad(
                    "null is not listed in the map and there is no default".into(),
                )),
                (None, None) => Err(Trouble::Bad(
                    "the value is not listed in the map and there is no default".into(),
                )),
            }
        }
        BoundRule::Cast { from, to } => {
            let value = rule(mapping, from, row, context)?;
            if value.is_null() {
                return Ok(value);
            }
            cast::cast(value, to, mapping.lossy).map_err(Trouble::Bad)
        }
        BoundRule::Json { entries, drop_nulls } => {
            object(mapping, entries, *drop_nulls, row, context)
        }
        BoundRule::Array(rules) => {
            let mut out = String::from("[");
            for (at, inner) in rules.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                rule(mapping, inner, row, context)?.write_json(&mut out);
            }
            out.push(']');
            Ok(Value::Json(out))
        }
        BoundRule::Lookup(which, rules, missing) => {
            look_up(mapping, *which, rules, *missing, row, context)
        }
        BoundRule::Moved(which, from, ty) => {
            let value = rule(mapping, from, row, context)?;
            if value.is_null() {
                return Ok(value);
            }
            match context.moved(*which, &value) {
                Found::One(value) => cast::cast(value, ty, false).map_err(Trouble::Bad),
                Found::Unknown => Err(Trouble::Pending),
                Found::None | Found::Many => Err(Trouble::Missing(format!(
                    "step {} has moved no row with this key",
                    mapping.moved[*which]
                ))),
            }
        }
        BoundRule::Uuid(rules) => uuid(mapping, rules, row, context),
        BoundRule::File(path) => match context.file(path) {
            Found::One(value) => Ok(value),
            _ => Err(Trouble::Bad(format!("the row's file says nothing at `{path}`"))),
        },
    }
}

/// The first that is not null; a lookup that finds nothing counts as null until the last.
fn first(
    mapping: &BoundMapping,
    rules: &[BoundRule],
    row: &[Value],
    context: &mut dyn Context,
) -> Result<Value, Trouble> {
    let mut missing = None;
    for inner in rules {
        match rule(mapping, inner, row, context) {
            Ok(Value::Null) => {}
            Ok(value) => return Ok(value),
            Err(Trouble::Missing(reason)) => missing = Some(reason),
            Err(trouble) => return Err(trouble),
        }
    }
    missing.map_or(Ok(Value::Null), |reason| Err(Trouble::Missing(reason)))
}

fn object(
    mapping: &BoundMapping,
    entries: &[(String, BoundRule)],
    drop_nulls: bool,
    row: &[Value],
    context: &mut dyn Context,
) -> Result<Value, Trouble> {
    let mut out = String::from("{");
    for (key, inner) in entries {
        let value = rule(mapping, inner, row, context)?;
        if drop_nulls && value.is_null() {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        write_json_string(key, &mut out);
        out.push(':');
        value.write_json(&mut out);
    }
    out.push('}');
    Ok(Value::Json(out))
}

fn look_up(
    mapping: &BoundMapping,
    which: usize,
    rules: &[BoundRule],
    missing: Missing,
    row: &[Value],
    context: &mut dyn Context,
) -> Result<Value, Trouble> {
    let mut key = Vec::with_capacity(rules.len());
    for inner in rules {
        key.push(rule(mapping, inner, row, context)?);
    }
    let table = &mapping.lookups[which].table.name.name;
    let found =
        if key.iter().any(Value::is_null) { Found::None } else { context.lookup(which, &key) };
    match (found, missing) {
        (Found::One(value), _) => Ok(value),
        (Found::Unknown, _) => Err(Trouble::Pending),
        (Found::Many, _) => {
            Err(Trouble::Bad(format!("the lookup in {table} is ambiguous: two rows match")))
        }
        (Found::None, Missing::Null) => Ok(Value::Null),
        (Found::None, Missing::Reject) => {
            Err(Trouble::Missing(format!("the lookup in {table} finds no row")))
        }
        (Found::None, Missing::Fail) => {
            Err(Trouble::Stop(format!("the lookup in {table} finds no row and missing = \"fail\"")))
        }
    }
}

fn uuid(
    mapping: &BoundMapping,
    rules: &[BoundRule],
    row: &[Value],
    context: &mut dyn Context,
) -> Result<Value, Trouble> {
    let mut parts = Vec::with_capacity(rules.len());
    for inner in rules {
        parts.push(rule(mapping, inner, row, context)?);
    }
    uuid_of(&parts).map_err(Trouble::Bad)
}

/// A version 5 UUID of the parts' text forms, each with its length before it, so that
/// `("ab", "c")` and `("a", "bc")` differ.
pub fn uuid_of(parts: &[Value]) -> Result<Value, String> {
    let namespace = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"tablelift");
    let mut name = String::new();
    for part in parts {
        let text = part.to_text().ok_or("null can't be part of a uuid")?;
        name.push_str(&format!("{}:{text}", text.len()));
    }
    let id = uuid::Uuid::new_v5(&namespace, name.as_bytes());
    Ok(Value::Typed(crate::value::Scalar::Uuid, id.to_string()))
}
