//! Expressions for SQLite. What SQLite would print or convert in its own way goes through
//! functions that are this library's code, so that both readers agree by construction.

use super::{Select, Sql, concat, json_text, literal, outside, why};
use crate::mapping::bind::{BoundRule, Input, InputSource};
use crate::mapping::{cast, eval};
use crate::sql::{Affinity, ColumnType, Kind};
use crate::value::{Value, write_json_string};

/// The functions that a SQLite session needs: name and number of arguments, −1 for any. All
/// are deterministic and answer through [`sql_function`].
pub const SQL_FUNCTIONS: [(&str, i32); 5] =
    [("tl_json", 2), ("tl_json_or_mark", 2), ("tl_text", 2), ("tl_fit", 4), ("tl_uuid", -1)];

/// SQLite's own limit for the arguments of a call, with room to spare.
const ARGUMENTS: usize = 100;

/// Answers a call of one of [`SQL_FUNCTIONS`]; the arguments are values by storage class.
///
/// * `tl_json(value, from)`: the JSON text of a value; NULL for NULL
/// * `tl_json_or_mark(value, from)`: the same, and `!` for a value that has none: a SELECT
///   that reads many rows must not end at one of them, and the mark makes the row's document
///   invalid, so that the row is refused where it is evaluated
/// * `tl_text(value, from)`: its text form
/// * `tl_fit(value, from, to, lossy)`: what a column of affinity `to` stores
/// * `tl_uuid(part, …)`: a version 5 UUID
///
/// # Errors
/// The reason why the row is refused, or a wrong call.
pub fn sql_function(name: &str, args: &[Value]) -> Result<Value, String> {
    let wrong = || format!("{name}: wrong arguments");
    match (name, args) {
        ("tl_json", [value, from]) => {
            let value = meant(value, from).ok_or_else(wrong)??;
            Ok(if value.is_null() { Value::Null } else { Value::Text(json_text(&value)) })
        }
        ("tl_json_or_mark", [_, _]) => {
            Ok(sql_function("tl_json", args).unwrap_or_else(|_| Value::Text("!".to_owned())))
        }
        ("tl_text", [value, from]) => {
            let value = meant(value, from).ok_or_else(wrong)??;
            Ok(value.to_text().map_or(Value::Null, Value::Text))
        }
        ("tl_fit", [value, from, to, Value::Int(lossy)]) => {
            let value = meant(value, from).ok_or_else(wrong)??;
            let affinity = affinity(to).ok_or_else(wrong)?;
            let to = ColumnType {
                kind: Kind::Dynamic(affinity),
                name: affinity_name(affinity).to_owned(),
            };
            cast::fit(value, &to, *lossy != 0)
        }
        ("tl_uuid", parts) => match eval::uuid(parts)? {
            Value::Typed(_, text) => Ok(Value::Text(text)),
            other => Ok(other),
        },
        _ => Err(wrong()),
    }
}

/// The value with the meaning of the affinity that a letter names.
fn meant(value: &Value, letter: &Value) -> Option<Result<Value, String>> {
    Some(cast::interpret(value.clone(), &Kind::Dynamic(affinity(letter)?)))
}

fn affinity(letter: &Value) -> Option<Affinity> {
    let Value::Text(letter) = letter else {
        return None;
    };
    Some(match letter.as_str() {
        "i" => Affinity::Integer,
        "r" => Affinity::Real,
        "n" => Affinity::Numeric,
        "t" => Affinity::Text,
        "b" => Affinity::Blob,
        "o" => Affinity::Bool,
        "j" => Affinity::Json,
        _ => return None,
    })
}

fn affinity_letter(affinity: Affinity) -> char {
    match affinity {
        Affinity::Integer => 'i',
        Affinity::Real => 'r',
        Affinity::Numeric => 'n',
        Affinity::Text => 't',
        Affinity::Blob => 'b',
        Affinity::Bool => 'o',
        Affinity::Json => 'j',
    }
}

fn affinity_name(affinity: Affinity) -> &'static str {
    match affinity {
        Affinity::Integer => "INTEGER",
        Affinity::Real => "REAL",
        Affinity::Numeric => "NUMERIC",
        Affinity::Text => "TEXT",
        Affinity::Blob => "BLOB",
        Affinity::Bool => "BOOLEAN",
        Affinity::Json => "JSON",
    }
}

/// The letter of an input's affinity.
fn letter(rule: &BoundRule, input: &Input) -> Result<char, super::Why> {
    match (&input.source, &input.ty.kind) {
        (_, Kind::Dynamic(affinity)) => Ok(affinity_letter(*affinity)),
        _ => Err(why(rule, "needs PostgreSQL")),
    }
}

/// The rule's value as the target column stores it.
pub(super) fn assign(select: &Select<'_>, rule: &BoundRule, to: &ColumnType) -> Sql {
    let Kind::Dynamic(affinity) = to.kind else {
        return Err(why(rule, "needs PostgreSQL"));
    };
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            let from = letter(rule, input)?;
            let raw = select.raw(input);
            let stored = matches!(input.source, InputSource::Column(_))
                && input.ty.kind == to.kind
                && !matches!(affinity, Affinity::Bool | Affinity::Json);
            if stored {
                return Ok(raw);
            }
            let lossy = i32::from(select.lossy);
            Ok(format!("tl_fit({raw}, '{from}', '{}', {lossy})", affinity_letter(affinity)))
        }
        BoundRule::Constant(value) => constant(select, rule, value, to),
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> =
                rules.iter().map(|rule| assign(select, rule, to)).collect();
            first(rule, &made?)
        }
        BoundRule::Map { from, map, default } => {
            mapped(select, rule, from, map, default.as_ref(), |value| {
                constant(select, rule, value, to)
            })
        }
        BoundRule::Object { .. } | BoundRule::Array(_) => json(select, rule),
        BoundRule::Uuid(_) if affinity == Affinity::Json => json(select, rule),
        BoundRule::Uuid(parts) => uuid(select, rule, parts),
        rule => Err(outside(rule)),
    }
}

/// `coalesce` wants two arguments at least.
fn first(rule: &BoundRule, made: &[String]) -> Sql {
    match made {
        [] => Ok("NULL".to_owned()),
        [one] => Ok(one.clone()),
        list if list.len() > ARGUMENTS => Err(why(rule, "has too many parts for one call")),
        list => Ok(format!("coalesce({})", list.join(", "))),
    }
}

fn mapped(
    select: &Select<'_>,
    rule: &BoundRule,
    from: &BoundRule,
    map: &[(String, Value)],
    default: Option<&Value>,
    item: impl Fn(&Value) -> Sql,
) -> Sql {
    let Some(default) = default else {
        return Err(why(rule, "has no default and can refuse a row"));
    };
    let default = item(default)?;
    let from = text(select, from)?;
    if map.is_empty() {
        return Ok(default);
    }
    let mut out = format!("CASE {from}");
    for (key, value) in map {
        out.push_str(&format!(" WHEN {} THEN {}", literal(rule, key)?, item(value)?));
    }
    Ok(format!("{out} ELSE {default} END"))
}

/// A constant as the target column stores it.
fn constant(select: &Select<'_>, rule: &BoundRule, value: &Value, to: &ColumnType) -> Sql {
    match cast::fit(value.clone(), to, select.lossy).map_err(|reason| why(rule, reason))? {
        Value::Null => Ok("NULL".to_owned()),
        Value::Int(i) if i > i64::MIN => Ok(i.to_string()),
        Value::Text(text) => literal(rule, &text),
        other => Err(why(rule, format!("is a constant of type {}", other.type_name()))),
    }
}

/// The rule's text form.
fn text(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            Ok(format!("tl_text({}, '{}')", select.raw(input), letter(rule, input)?))
        }
        BoundRule::Constant(value) => match value.to_text() {
            None => Ok("NULL".to_owned()),
            Some(text) => literal(rule, &text),
        },
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| text(select, rule)).collect();
            first(rule, &made?)
        }
        BoundRule::Object { .. } | BoundRule::Array(_) => json(select, rule),
        BoundRule::Uuid(parts) => uuid(select, rule, parts),
        BoundRule::Map { from, map, default } => {
            mapped(select, rule, from, map, default.as_ref(), |value| {
                text(select, &BoundRule::Constant(value.clone()))
            })
        }
        rule => Err(outside(rule)),
    }
}

fn uuid(select: &Select<'_>, rule: &BoundRule, parts: &[BoundRule]) -> Sql {
    if parts.len() > ARGUMENTS {
        return Err(why(rule, "has too many parts for one call"));
    }
    let made: Result<Vec<_>, _> = parts.iter().map(|part| text(select, part)).collect();
    Ok(format!("tl_uuid({})", made?.join(", ")))
}

/// The rule's JSON text; SQL NULL for NULL.
pub(super) fn json(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            let from = letter(rule, input)?;
            let raw = select.raw(input);
            Ok(match input.source {
                // Its text was made with marks: look whether it is a document.
                InputSource::Children(_) => format!("tl_json({raw}, 'j')"),
                _ if select.child => format!("tl_json_or_mark({raw}, '{from}')"),
                _ => format!("tl_json({raw}, '{from}')"),
            })
        }
        BoundRule::Constant(Value::Null) => Ok("NULL".to_owned()),
        BoundRule::Constant(value) => literal(rule, &json_text(value)),
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| json(select, rule)).collect();
            first(rule, &made?)
        }
        BoundRule::Map { from, map, default } => {
            mapped(select, rule, from, map, default.as_ref(), |value| {
                json(select, &BoundRule::Constant(value.clone()))
            })
        }
        BoundRule::Uuid(parts) => Ok(format!("tl_json({}, 'b')", uuid(select, rule, parts)?)),
        BoundRule::Object { entries, drop_nulls } => {
            let mut items = Vec::with_capacity(entries.len());
            for (key, entry) in entries {
                let mut name = String::from(",");
                write_json_string(key, &mut name);
                name.push(':');
                let name = literal(rule, &name)?;
                let value = json(select, entry)?;
                items.push(match entry {
                    // NULL || text is NULL, and NULL leaves the key out.
                    _ if *drop_nulls => format!("coalesce({name} || {value}, '')"),
                    entry => format!("{name} || {}", never_null(entry, value)),
                });
            }
            Ok(enclosed('{', &items, '}'))
        }
        BoundRule::Array(rules) => {
            let mut items = Vec::with_capacity(rules.len());
            for entry in rules {
                items.push(format!("',' || {}", never_null(entry, json(select, entry)?)));
            }
            Ok(enclosed('[', &items, ']'))
        }
        rule => Err(outside(rule)),
    }
}

fn never_null(rule: &BoundRule, value: String) -> String {
    match rule {
        BoundRule::Object { .. } | BoundRule::Array(_) => value,
        _ => format!("coalesce({value}, 'null')"),
    }
}

/// Items with a comma before each, without the first comma.
fn enclosed(open: char, items: &[String], close: char) -> String {
    match items {
        [] => format!("'{open}{close}'"),
        items => format!("('{open}' || substr({}, 2) || '{close}')", concat(items)),
    }
}
