//! The legacy row made again from the target's columns and documents, and compared with the
//! source: whether a column got lost is measured, not believed.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::canonical::same;
use super::documents;
use super::found::shown;
use super::terms::Terms;
use crate::event::{CellDifference, NotCompared};
use crate::job::Job;
use crate::mapping::{BoundRule, Form, InputSource, read_as};
use crate::sql::{Column, ColumnType, Flavor};
use crate::value::{Row, Value};

/// How the source's columns are made again.
pub struct Rebuild {
    flavor: Flavor,
    columns: Vec<Made>,
}

/// One column of the source, and where the target keeps it.
struct Made {
    name: String,
    /// Its position among the mapping's inputs.
    input: usize,
    ty: ColumnType,
    /// The source gave its JSON.
    is_json: bool,
    /// The target's column.
    target: String,
    /// Keys and positions on the way into its document; none: the column itself.
    path: Vec<Place>,
}

/// A step into a document.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Key(String),
    At(usize),
}

impl Rebuild {
    /// Finds where the target keeps each column of the source; what it doesn't keep as it is is
    /// said.
    pub fn new(job: &Job, terms: &Terms, flavor: Flavor) -> (Rebuild, Vec<NotCompared>) {
        let mut columns: Vec<Made> = Vec::new();
        for at in &terms.compared {
            let column = &job.mapping.columns[*at];
            let mut found = Vec::new();
            places(&column.rule, &mut Vec::new(), &mut found);
            for (input, path) in found {
                let bound = &job.mapping.inputs[input];
                let InputSource::Column(name) = &bound.source else { continue };
                if columns.iter().any(|made| made.name == *name) {
                    continue;
                }
                columns.push(Made {
                    name: name.clone(),
                    input,
                    ty: bound.ty.clone(),
                    is_json: bound.form == Form::Json,
                    target: column.name.clone(),
                    path,
                });
            }
        }
        let all = job.marks.source.iter().map(|(name, _)| name);
        let lost = all.filter(|name| !columns.iter().any(|made| made.name == **name));
        let lost = lost.map(|name| {
            let read = job.mapping.inputs.iter().any(
                |input| matches!(&input.source, InputSource::Column(column) if column == name),
            );
            let because = match read {
                true => "its rules change it, and can't be turned round",
                false => "no rule reads it: it is not in the target",
            };
            NotCompared { what: format!("source column {name}"), because: because.to_owned() }
        });
        let lost = lost.collect();
        (Rebuild { flavor, columns }, lost)
    }

    /// The columns that are made again.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|made| made.name.clone()).collect()
    }

    /// The source's columns that the target's row doesn't hold.
    pub fn differences(
        &self,
        source: &Row,
        columns: &[Column],
        target: &Row,
    ) -> Vec<CellDifference> {
        let mut out = Vec::new();
        for made in &self.columns {
            let at = columns.iter().position(|column| column.name == made.target);
            let (Some(value), Some(held)) =
                (source.get(made.input), at.and_then(|at| target.get(at)))
            else {
                continue;
            };
            let again = held_at(held, &made.path);
            if !is_again(value, &again, made, self.flavor) {
                out.push(shown(&made.name, value, &again));
            }
        }
        out
    }
}

/// Inputs that a rule keeps as they are, and where in its document.
fn places(rule: &BoundRule, path: &mut Vec<Place>, out: &mut Vec<(usize, Vec<Place>)>) {
    match rule {
        BoundRule::Input(at) => out.push((*at, path.clone())),
        BoundRule::Object { entries, .. } => {
            for (key, rule) in entries {
                path.push(Place::Key(key.clone()));
                places(rule, path, out);
                path.pop();
            }
        }
        BoundRule::Array(rules) => {
            for (at, rule) in rules.iter().enumerate() {
                path.push(Place::At(at));
                places(rule, path, out);
                path.pop();
            }
        }
        _ => {}
    }
}

/// What stands at a place of a document; NULL where nothing does.
fn held_at(held: &Value, path: &[Place]) -> Value {
    if path.is_empty() {
        return held.clone();
    }
    let Some(mut text) = held.to_text() else { return Value::Null };
    for place in path {
        let next = match place {
            Place::Key(key) => serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&text)
                .ok()
                .and_then(|object| object.get(key).map(|raw| raw.get().to_owned())),
            Place::At(at) => serde_json::from_str::<Vec<Box<RawValue>>>(&text)
                .ok()
                .and_then(|array| array.get(*at).map(|raw| raw.get().to_owned())),
        };
        match next {
            Some(next) => text = next,
            None => return Value::Null,
        }
    }
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(&text).map_or(Value::Json(text), Value::Text),
        Some(b'{' | b'[') => Value::Json(text),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        _ => Value::Number(text),
    }
}

/// Whether what was made again is the source's value.
fn is_again(source: &Value, again: &Value, made: &Made, flavor: Flavor) -> bool {
    let (Some(one), Some(two)) = (source.to_text(), again.to_text()) else {
        // JSON's own null is no SQL NULL, and looks like one from here.
        let nothing =
            |value: &Value| value.is_null() || matches!(value, Value::Json(text) if text == "null");
        return nothing(source) && nothing(again);
    };
    if one == two {
        return true;
    }
    let number = |text: &str| match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse::<f64>().ok(),
    };
    match source {
        Value::Float(f) => {
            return number(&two).is_some_and(|again| again == *f || again.is_nan() && f.is_nan());
        }
        Value::Real(f) => {
            return number(&two)
                .is_some_and(|again| again as f32 == *f || again.is_nan() && f.is_nan());
        }
        Value::Json(document) => {
            let mut json = String::new();
            again.write_json(&mut json);
            return documents::same(document, &json);
        }
        _ => {}
    }
    let truth = |text: &str| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    if matches!(again, Value::Bool(_)) || matches!(source, Value::Bool(_)) {
        return truth(&one).is_some() && truth(&one) == truth(&two);
    }
    if made.is_json {
        let mut json = String::new();
        again.write_json(&mut json);
        return documents::same(&one, &json);
    }
    // A document in a column of texts.
    if matches!(again, Value::Json(_)) && documents::same(&one, &two) {
        return true;
    }
    read_as(again.clone(), &made.ty).is_some_and(|again| same(source, &again, &made.ty, flavor))
}
