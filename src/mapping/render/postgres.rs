//! PostgreSQL's reader of a mapping.

use super::{join, not_sql, order_by};
use crate::mapping::bound::{BoundColumn, BoundMapping, BoundRule, Input, InputSource};
use crate::sql::postgres::POSTGRES;
use crate::sql::{Dialect as _, Kind, quote};
use crate::value::Value;

/// `jsonb_build_object` takes 100 arguments: a key and a value for each entry.
const ENTRIES_PER_CALL: usize = 50;

/// An expression and what it gives.
struct Expression {
    sql: String,
    kind: Kind,
}

/// The expression of one target column.
pub fn cell(mapping: &BoundMapping, column: &BoundColumn, alias: &str) -> Result<String, String> {
    let made = expression(mapping, &column.rule, alias)?;
    if made.kind == Kind::Jsonb && column.ty.kind == Kind::Jsonb {
        return Ok(made.sql);
    }
    if exact(&made.kind, &column.ty.kind) {
        return Ok(format!("({})::{}", made.sql, column.ty.name));
    }
    Err(format!("a value might not fit {} exactly", column.ty.name))
}

/// Assignments that never change a value and never fail.
fn exact(from: &Kind, to: &Kind) -> bool {
    match (from, to) {
        (Kind::Opaque { .. } | Kind::Dynamic(_), _) => false,
        (Kind::Int(a), Kind::Int(b)) => a <= b,
        (Kind::Int(_), Kind::Numeric(None)) => true,
        (Kind::Numeric(_), Kind::Numeric(None)) => true,
        (Kind::Numeric(Some((p, s))), Kind::Numeric(Some((q, t)))) => {
            let room = |precision: u32, scale: i32| i64::from(precision) - i64::from(scale);
            s <= t && room(*p, *s) <= room(*q, *t)
        }
        (Kind::Float4, Kind::Float8) => true,
        (Kind::Text { max: a, padded: false }, Kind::Text { max: b, padded: false }) => {
            match (a, b) {
                (_, None) => true,
                (Some(a), Some(b)) => a <= b,
                (None, Some(_)) => false,
            }
        }
        (Kind::Time(a), Kind::Time(b))
        | (Kind::TimeTz(a), Kind::TimeTz(b))
        | (Kind::Timestamp(a), Kind::Timestamp(b))
        | (Kind::TimestampTz(a), Kind::TimestampTz(b)) => a <= b,
        (a, b) => a == b,
    }
}

fn expression(mapping: &BoundMapping, rule: &BoundRule, alias: &str) -> Result<Expression, String> {
    if let Some(why) = not_sql(rule) {
        return Err(why);
    }
    match rule {
        BoundRule::Input(at) => {
            let input = &mapping.inputs[*at];
            let sql = super::input(input, crate::sql::Flavor::Postgres, alias);
            match input.kind_read() {
                // The server's JSON form comes as text.
                Kind::Json if input.kind != Kind::Json || is_children(input) => {
                    Ok(Expression { sql: format!("({sql})::jsonb"), kind: Kind::Jsonb })
                }
                kind => Ok(Expression { sql, kind }),
            }
        }
        BoundRule::Value(value) => constant(value),
        BoundRule::First(rules) => {
            let all = rules
                .iter()
                .map(|rule| expression(mapping, rule, alias))
                .collect::<Result<Vec<_>, _>>()?;
            one_of(all, |list| format!("coalesce({})", list.join(", ")))
        }
        BoundRule::Map { from, map, default: Some(default) } => {
            let from = expression(mapping, from, alias)?;
            if !matches!(from.kind, Kind::Bool | Kind::Int(_) | Kind::Text { .. } | Kind::Uuid) {
                return Err("a `map` over this type compares its text in the program".to_owned());
            }
            let values =
                map.iter().map(|(_, value)| constant(value)).collect::<Result<Vec<_>, _>>()?;
            let keys: Vec<String> = map.iter().map(|(key, _)| POSTGRES.text_literal(key)).collect();
            let all: Vec<Expression> = values.into_iter().chain([constant(default)?]).collect();
            one_of(all, |list| {
                let arms: Vec<String> = keys
                    .iter()
                    .zip(list)
                    .map(|(key, value)| format!("WHEN {key} THEN {value}"))
                    .collect();
                let default = list.last().cloned().unwrap_or_default();
                format!("CASE ({})::text {} ELSE {default} END", from.sql, arms.join(" "))
            })
        }
        BoundRule::Json { entries, drop_nulls } => object(mapping, entries, *drop_nulls, alias),
        BoundRule::Array(rules) => {
            let items = rules
                .iter()
                .map(|rule| Ok(json(&expression(mapping, rule, alias)?)))
                .collect::<Result<Vec<_>, String>>()?;
            // A function takes 100 arguments; longer arrays are joined.
            let parts: Vec<String> = items
                .chunks(ENTRIES_PER_CALL)
                .map(|part| format!("jsonb_build_array({})", part.join(", ")))
                .collect();
            let sql = if parts.is_empty() { "'[]'::jsonb".to_owned() } else { parts.join(" || ") };
            Ok(Expression { sql: format!("({sql})"), kind: Kind::Jsonb })
        }
        BoundRule::Uuid(_) => Err("PostgreSQL has no version 5 UUID of its own".to_owned()),
        _ => Err("the rule is evaluated row by row".to_owned()),
    }
}

fn is_children(input: &Input) -> bool {
    matches!(input.source, InputSource::Children { .. })
}

/// Joins expressions of one kind into one.
fn one_of(
    all: Vec<Expression>,
    join: impl FnOnce(&[String]) -> String,
) -> Result<Expression, String> {
    let kind = all.first().map(|one| one.kind.clone()).ok_or("the rule is empty")?;
    if all.iter().any(|one| one.kind != kind) || matches!(kind, Kind::Opaque { .. }) {
        return Err("the alternatives have different types".to_owned());
    }
    let list: Vec<String> = all.into_iter().map(|one| one.sql).collect();
    Ok(Expression { sql: join(&list), kind })
}

fn constant(value: &Value) -> Result<Expression, String> {
    let text = value.to_text().unwrap_or_default();
    if text.contains('\0') || text.contains("\\u0000") {
        return Err("a constant holds a NUL".to_owned());
    }
    let quoted = POSTGRES.text_literal(&text);
    Ok(match value {
        Value::Bool(b) => Expression { sql: b.to_string(), kind: Kind::Bool },
        Value::Int(i) => Expression { sql: format!("'{i}'::bigint"), kind: Kind::Int(8) },
        Value::Number(_) => {
            Expression { sql: format!("{quoted}::numeric"), kind: Kind::Numeric(None) }
        }
        Value::Json(_) => Expression { sql: format!("{quoted}::jsonb"), kind: Kind::Jsonb },
        Value::Text(_) => Expression {
            sql: format!("{quoted}::text"),
            kind: Kind::Text { max: u32::try_from(text.chars().count()).ok(), padded: false },
        },
        _ => return Err("the constant is read by the target column's type".to_owned()),
    })
}

/// The JSON of an expression, with JSON null for SQL NULL.
fn json(made: &Expression) -> String {
    format!("coalesce(to_jsonb({}), 'null'::jsonb)", made.sql)
}

fn object(
    mapping: &BoundMapping,
    entries: &[(String, BoundRule)],
    drop_nulls: bool,
    alias: &str,
) -> Result<Expression, String> {
    let mut pairs = Vec::with_capacity(entries.len());
    for (key, rule) in entries {
        if key.contains('\0') {
            return Err("a key holds a NUL".to_owned());
        }
        pairs.push((
            format!("{}::text", POSTGRES.text_literal(key)),
            expression(mapping, rule, alias)?,
        ));
    }
    let parts: Vec<String> = if drop_nulls {
        pairs
            .iter()
            .map(|(key, made)| {
                format!(
                    "CASE WHEN {0} IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object({key}, to_jsonb({0})) END",
                    made.sql
                )
            })
            .collect()
    } else {
        pairs
            .chunks(ENTRIES_PER_CALL)
            .map(|part| {
                let list: Vec<String> =
                    part.iter().map(|(key, made)| format!("{key}, {}", json(made))).collect();
                format!("jsonb_build_object({})", list.join(", "))
            })
            .collect()
    };
    let sql = if parts.is_empty() { "'{}'::jsonb".to_owned() } else { parts.join(" || ") };
    Ok(Expression { sql: format!("({sql})"), kind: Kind::Jsonb })
}

/// The matching child rows as JSON text.
pub fn children(input: &Input, alias: &str) -> String {
    let InputSource::Children { table, matches, columns, order_by: order, .. } = &input.source
    else {
        return "NULL".to_owned();
    };
    let pairs: Vec<String> = columns
        .iter()
        .map(|name| {
            format!(
                "{}::text, coalesce(to_jsonb(tl_c.{}), 'null'::jsonb)",
                POSTGRES.text_literal(name),
                quote(name)
            )
        })
        .collect();
    let objects: Vec<String> = pairs
        .chunks(ENTRIES_PER_CALL)
        .map(|part| format!("jsonb_build_object({})", part.join(", ")))
        .collect();
    let object = if objects.is_empty() { "'{}'::jsonb".to_owned() } else { objects.join(" || ") };
    format!(
        "(SELECT coalesce(jsonb_agg(({object}){}), '[]'::jsonb)::text FROM {} tl_c WHERE {})",
        order_by(order, "tl_c"),
        table.name.sql(),
        join(matches, alias),
    )
}
