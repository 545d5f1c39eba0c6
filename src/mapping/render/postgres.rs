//! Expressions for PostgreSQL, in a session pinned to UTC, ISO and hex.

use super::{Select, Sql, concat, json_text, literal, outside, why};
use crate::mapping::bind::{BoundRule, Form, InputSource};
use crate::mapping::cast::{self, exact_in_sql};
use crate::sql::{ColumnType, Kind};
use crate::value::Value;

/// `jsonb_build_object` takes 100 arguments.
const KEYS_A_CALL: usize = 50;

/// The rule's value as the target column takes it, exact for every row.
pub(super) fn assign(select: &Select<'_>, rule: &BoundRule, to: &ColumnType) -> Sql {
    if matches!(to.kind, Kind::Dynamic(_)) {
        return Err(why(rule, "needs SQLite"));
    }
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            let is_json =
                input.form == Form::Json || matches!(input.source, InputSource::Children(_));
            if is_json && to.kind == Kind::Jsonb {
                return json(select, rule);
            }
            if input.form == Form::Json || !exact_in_sql(&input.ty, to) {
                return Err(why(
                    rule,
                    format!("can lose something: {} into {}", input.ty.name, to.name),
                ));
            }
            if matches!(input.source, InputSource::Children(_)) {
                return Err(why(
                    rule,
                    format!("makes jsonb, which prints differently in {}", to.name),
                ));
            }
            plain(select, rule)
        }
        BoundRule::Constant(value) => constant(select, rule, value, to),
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules
                .iter()
                .map(|rule| {
                    unread(rule, to)?;
                    Ok(format!("CAST({} AS {})", assign(select, rule, to)?, to.name))
                })
                .collect();
            Ok(match made?.as_slice() {
                [] => format!("CAST(NULL AS {})", to.name),
                list => format!("coalesce({})", list.join(", ")),
            })
        }
        BoundRule::Map { from, map, default } => {
            mapped(select, rule, from, map, default.as_ref(), to)
        }
        BoundRule::Cast { to: middle, .. } => {
            if !exact_in_sql(middle, to) {
                return Err(why(
                    rule,
                    format!("can lose something: {} into {}", middle.name, to.name),
                ));
            }
            plain(select, rule)
        }
        BoundRule::Object { .. } | BoundRule::Array(_) if to.kind == Kind::Jsonb => {
            json(select, rule)
        }
        BoundRule::Object { .. } | BoundRule::Array(_) => {
            Err(why(rule, format!("makes jsonb, which prints differently in {}", to.name)))
        }
        rule => Err(no_sql(rule)),
    }
}

/// A translation; each constant in the column's type.
fn mapped(
    select: &Select<'_>,
    rule: &BoundRule,
    from: &BoundRule,
    map: &[(String, Value)],
    default: Option<&Value>,
    to: &ColumnType,
) -> Sql {
    let Some(default) = default else {
        return Err(why(rule, "has no default and can refuse a row"));
    };
    let from = text(select, from)?;
    let mut out = format!("CASE {from}");
    for (key, value) in map {
        unread(&BoundRule::Constant(value.clone()), to)?;
        // A text with this character is no value of the source.
        if !key.contains('\0') {
            let value = constant(select, rule, value, to)?;
            out.push_str(&format!(" WHEN {}::text THEN {value}", literal(rule, key)?));
        }
    }
    if map.is_empty() {
        return constant(select, rule, default, to);
    }
    unread(&BoundRule::Constant(default.clone()), to)?;
    Ok(format!("{out} ELSE {} END", constant(select, rule, default, to)?))
}

fn no_sql(rule: &BoundRule) -> super::Why {
    match rule {
        BoundRule::Uuid(_) => why(rule, "needs version 5 UUIDs, which PostgreSQL can't make"),
        rule => outside(rule),
    }
}

/// A constant in the type of its column.
fn constant(select: &Select<'_>, rule: &BoundRule, value: &Value, to: &ColumnType) -> Sql {
    let fitted = cast::fit(value.clone(), to, select.lossy).map_err(|reason| why(rule, reason))?;
    Ok(match fitted.to_text() {
        None => format!("CAST(NULL AS {})", to.name),
        Some(text) => format!("CAST({} AS {})", literal(rule, &text)?, to.name),
    })
}

/// Refuses a constant that only the server can read: it would do so for each row, also where
/// another branch is taken.
fn unread(rule: &BoundRule, to: &ColumnType) -> Result<(), super::Why> {
    match (rule, &to.kind) {
        (BoundRule::Constant(_), Kind::Opaque { .. } | Kind::Interval) => {
            Err(why(rule, format!("is a text that only {} can read", to.name)))
        }
        _ => Ok(()),
    }
}

/// The rule's own value; `character(n)` without its padding.
fn plain(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            let raw = select.raw(input);
            Ok(match input.ty.kind {
                Kind::Text { padded: true, .. } => format!("({raw})::text"),
                _ => raw,
            })
        }
        BoundRule::Cast { clock, .. } if !clock.is_plain() => {
            Err(why(rule, "reads times by a zone or a count"))
        }
        BoundRule::Cast { from, to, .. } => {
            let BoundRule::Input(which) = **from else {
                return Err(why(rule, "can refuse a row"));
            };
            let input = &select.inputs[which];
            let raw = plain(select, from)?;
            match (&input.ty.kind, &to.kind) {
                (Kind::TimestampTz(p), Kind::Timestamp(q)) if p <= q => {
                    Ok(format!("CAST({raw} AT TIME ZONE 'UTC' AS {})", to.name))
                }
                (Kind::Bytes | Kind::Opaque { .. } | Kind::Json, _) => {
                    Err(why(rule, "can refuse a row"))
                }
                (_, Kind::Text { max: None, .. }) => Ok(format!("CAST({raw} AS text)")),
                _ if exact_in_sql(&input.ty, to) => Ok(format!("CAST({raw} AS {})", to.name)),
                _ => Err(why(rule, "can refuse a row")),
            }
        }
        rule => Err(no_sql(rule)),
    }
}

/// The rule's text form.
fn text(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            if matches!(input.ty.kind, Kind::Opaque { .. } | Kind::Dynamic(_))
                || matches!(input.source, InputSource::Children(_))
            {
                return Err(why(rule, format!("has a text form of its own: {}", input.ty.name)));
            }
            Ok(format!("({})::text", plain(select, rule)?))
        }
        BoundRule::Cast { .. } => Ok(format!("({})::text", plain(select, rule)?)),
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| text(select, rule)).collect();
            Ok(match made?.as_slice() {
                [] => "NULL::text".to_owned(),
                list => format!("coalesce({})", list.join(", ")),
            })
        }
        BoundRule::Constant(value) => Ok(match value.to_text() {
            None => "NULL::text".to_owned(),
            Some(text) => format!("{}::text", literal(rule, &text)?),
        }),
        rule => Err(why(rule, "is no plain value")),
    }
}

/// The rule's value as jsonb; SQL NULL for NULL.
pub(super) fn json(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            Ok(match input.source {
                InputSource::Children(_) => select.raw(input),
                _ if input.ty.kind == Kind::Jsonb => select.raw(input),
                _ => format!("to_jsonb({})", select.raw(input)),
            })
        }
        BoundRule::Constant(Value::Null) => Ok("NULL::jsonb".to_owned()),
        BoundRule::Constant(value) => {
            let text = json_text(value);
            if let Some(reason) = cast::json::refusal(&text, true) {
                return Err(why(rule, reason));
            }
            Ok(format!("{}::jsonb", literal(rule, &text)?))
        }
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| json(select, rule)).collect();
            Ok(match made?.as_slice() {
                [] => "NULL::jsonb".to_owned(),
                list => format!("coalesce({})", list.join(", ")),
            })
        }
        BoundRule::Map { from, map, default: Some(default) } => {
            let from = text(select, from)?;
            let item = |value: &Value| json(select, &BoundRule::Constant(value.clone()));
            if map.is_empty() {
                return item(default);
            }
            let mut out = format!("CASE {from}");
            for (key, value) in map.iter().filter(|(key, _)| !key.contains('\0')) {
                out.push_str(&format!(" WHEN {}::text THEN {}", literal(rule, key)?, item(value)?));
            }
            Ok(format!("{out} ELSE {} END", item(default)?))
        }
        BoundRule::Cast { .. } => Ok(format!("to_jsonb({})", plain(select, rule)?)),
        BoundRule::Object { entries, drop_nulls } => object(select, rule, entries, *drop_nulls),
        BoundRule::Array(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| argument(select, rule)).collect();
            let calls: Vec<_> = made?
                .chunks(KEYS_A_CALL)
                .map(|items| format!("jsonb_build_array({})", items.join(", ")))
                .collect();
            Ok(if calls.is_empty() { "'[]'::jsonb".to_owned() } else { concat(&calls) })
        }
        rule => Err(no_sql(rule)),
    }
}

/// What `jsonb_build_…` makes the rule's JSON of: of a column, what `to_jsonb` would, without
/// making a document of each in between.
fn argument(select: &Select<'_>, rule: &BoundRule) -> Sql {
    if let BoundRule::Input(which) = rule
        && matches!(select.inputs[*which].source, InputSource::Column(_))
    {
        return Ok(select.raw(&select.inputs[*which]));
    }
    json(select, rule)
}

fn object(
    select: &Select<'_>,
    rule: &BoundRule,
    entries: &[(String, BoundRule)],
    drop_nulls: bool,
) -> Sql {
    let mut pairs = Vec::with_capacity(entries.len());
    for (key, entry) in entries {
        let value = if drop_nulls { json(select, entry)? } else { argument(select, entry)? };
        let sure = matches!(entry, BoundRule::Object { .. } | BoundRule::Array(_));
        pairs.push((format!("{}::text", literal(rule, key)?), value, sure));
    }
    let calls: Vec<_> = if drop_nulls {
        pairs
            .iter()
            .map(|(key, value, sure)| {
                if *sure {
                    return format!("jsonb_build_object({key}, {value})");
                }
                format!("CASE WHEN {value} IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object({key}, {value}) END")
            })
            .collect()
    } else {
        pairs
            .chunks(KEYS_A_CALL)
            .map(|pairs| {
                let list: Vec<_> =
                    pairs.iter().map(|(key, value, _)| format!("{key}, {value}")).collect();
                format!("jsonb_build_object({})", list.join(", "))
            })
            .collect()
    };
    Ok(if calls.is_empty() { "'{}'::jsonb".to_owned() } else { concat(&calls) })
}
