//! SQLite's reader of a mapping. Values go through functions that run the same Rust code as
//! evaluation, so that both readers agree; JSON is put together as text.

use super::{join, not_sql, order_by};
use crate::mapping::bound::{BoundColumn, BoundMapping, BoundRule, Input, InputSource};
use crate::mapping::cast;
use crate::mapping::eval::uuid_of;
use crate::sql::sqlite::SQLITE;
use crate::sql::{Affinity, ColumnType, Dialect as _, Flavor, Kind, quote};
use crate::value::{Value, write_json_string};

/// The functions and how many arguments each takes (-1: any number).
pub const SQL_FUNCTIONS: &[(&str, i32)] =
    &[("tl_json", 2), ("tl_fit", 5), ("tl_text", 2), ("tl_uuid", -1)];

/// An expression and what it gives, as a letter that the functions understand.
struct Expression {
    sql: String,
    letter: char,
}

/// Letters: affinities by their initial, `J` JSON made by a rule, `N` a decimal of the plan.
fn letter(kind: &Kind) -> char {
    match kind {
        Kind::Dynamic(Affinity::Integer) => 'i',
        Kind::Dynamic(Affinity::Real) => 'r',
        Kind::Dynamic(Affinity::Numeric) => 'n',
        Kind::Dynamic(Affinity::Text) => 't',
        Kind::Dynamic(Affinity::Bool) => 'b',
        Kind::Dynamic(Affinity::Json) => 'j',
        Kind::Json | Kind::Jsonb => 'J',
        _ => 'x',
    }
}

fn affinity(letter: &str) -> Affinity {
    match letter {
        "i" => Affinity::Integer,
        "r" => Affinity::Real,
        "n" => Affinity::Numeric,
        "t" => Affinity::Text,
        "b" => Affinity::Bool,
        "j" => Affinity::Json,
        _ => Affinity::Blob,
    }
}

/// The expression of one target column.
pub fn cell(mapping: &BoundMapping, column: &BoundColumn, alias: &str) -> Result<String, String> {
    let made = expression(mapping, &column.rule, alias)?;
    let to = letter(&column.ty.kind);
    // What a column of the same affinity holds is stored unchanged.
    if made.letter == to && !matches!(to, 'b' | 'j') {
        return Ok(made.sql);
    }
    Ok(format!(
        "tl_fit({}, '{}', '{to}', {}, {})",
        made.sql,
        made.letter,
        SQLITE.text_literal(&column.ty.name),
        i32::from(mapping.lossy)
    ))
}

fn expression(mapping: &BoundMapping, rule: &BoundRule, alias: &str) -> Result<Expression, String> {
    if let Some(why) = not_sql(rule) {
        return Err(why);
    }
    match rule {
        BoundRule::Input(at) => {
            let input = &mapping.inputs[*at];
            let sql = super::input(input, Flavor::Sqlite, alias);
            Ok(Expression { sql, letter: letter(&input.kind_read()) })
        }
        BoundRule::Value(value) => constant(value),
        BoundRule::First(rules) => {
            let all = rules
                .iter()
                .map(|rule| expression(mapping, rule, alias))
                .collect::<Result<Vec<_>, _>>()?;
            if let [only] = all.as_slice() {
                return Ok(Expression { sql: only.sql.clone(), letter: only.letter });
            }
            one_of(all, |list| format!("coalesce({})", list.join(", ")))
        }
        BoundRule::Map { from, map, default: Some(default) } => {
            let from = expression(mapping, from, alias)?;
            let keys: Vec<String> = map.iter().map(|(key, _)| SQLITE.text_literal(key)).collect();
            let values =
                map.iter().map(|(_, value)| constant(value)).collect::<Result<Vec<_>, _>>()?;
            let all: Vec<Expression> = values.into_iter().chain([constant(default)?]).collect();
            one_of(all, |list| {
                let arms: Vec<String> = keys
                    .iter()
                    .zip(list)
                    .map(|(key, value)| format!("WHEN {key} THEN {value}"))
                    .collect();
                let default = list.last().cloned().unwrap_or_default();
                format!(
                    "CASE tl_text({}, '{}') {} ELSE {default} END",
                    from.sql,
                    from.letter,
                    arms.join(" ")
                )
            })
        }
        BoundRule::Json { entries, drop_nulls } => object(mapping, entries, *drop_nulls, alias),
        BoundRule::Array(rules) => {
            let items = rules
                .iter()
                .map(|rule| Ok(json(&expression(mapping, rule, alias)?)))
                .collect::<Result<Vec<_>, String>>()?;
            let inner = if items.is_empty() { "''".to_owned() } else { items.join(" || ',' || ") };
            Ok(Expression { sql: format!("('[' || {inner} || ']')"), letter: 'J' })
        }
        BoundRule::Uuid(rules) => {
            let parts = rules
                .iter()
                .map(|rule| {
                    let made = expression(mapping, rule, alias)?;
                    Ok(format!("tl_text({}, '{}')", made.sql, made.letter))
                })
                .collect::<Result<Vec<_>, String>>()?;
            Ok(Expression { sql: format!("tl_uuid({})", parts.join(", ")), letter: 'x' })
        }
        _ => Err("the rule is evaluated row by row".to_owned()),
    }
}

fn one_of(
    all: Vec<Expression>,
    join: impl FnOnce(&[String]) -> String,
) -> Result<Expression, String> {
    let letter = all.first().map(|one| one.letter).ok_or("the rule is empty")?;
    if all.iter().any(|one| one.letter != letter) {
        return Err("the alternatives have different types".to_owned());
    }
    let list: Vec<String> = all.into_iter().map(|one| one.sql).collect();
    Ok(Expression { sql: join(&list), letter })
}

fn constant(value: &Value) -> Result<Expression, String> {
    let text = value.to_text().unwrap_or_default();
    Ok(match value {
        Value::Bool(b) => Expression { sql: i32::from(*b).to_string(), letter: 'b' },
        Value::Int(i) if *i > i64::MIN => Expression { sql: format!("({i})"), letter: 'x' },
        Value::Text(_) => Expression { sql: SQLITE.text_literal(&text), letter: 'x' },
        Value::Number(_) => Expression { sql: SQLITE.text_literal(&text), letter: 'N' },
        Value::Json(_) => Expression { sql: SQLITE.text_literal(&text), letter: 'J' },
        _ => return Err("the constant is read by the target column's type".to_owned()),
    })
}

fn json(made: &Expression) -> String {
    format!("tl_json({}, '{}')", made.sql, made.letter)
}

/// `,"key":` as a literal.
fn key_literal(key: &str) -> String {
    let mut text = String::from(",");
    write_json_string(key, &mut text);
    text.push(':');
    SQLITE.text_literal(&text)
}

fn object(
    mapping: &BoundMapping,
    entries: &[(String, BoundRule)],
    drop_nulls: bool,
    alias: &str,
) -> Result<Expression, String> {
    let mut parts = Vec::with_capacity(entries.len());
    for (key, rule) in entries {
        let made = expression(mapping, rule, alias)?;
        let pair = format!("{} || {}", key_literal(key), json(&made));
        parts.push(if drop_nulls {
            format!("CASE WHEN {} IS NULL THEN '' ELSE {pair} END", made.sql)
        } else {
            pair
        });
    }
    let inner = if parts.is_empty() { "''".to_owned() } else { parts.join(" || ") };
    // Every pair begins with a comma; the first one goes.
    Ok(Expression { sql: format!("('{{' || substr({inner}, 2) || '}}')"), letter: 'J' })
}

/// The matching child rows as JSON text.
pub fn children(input: &Input, alias: &str) -> String {
    let InputSource::Children { table, matches, columns, order_by: order, .. } = &input.source
    else {
        return "NULL".to_owned();
    };
    let parts: Vec<String> = columns
        .iter()
        .map(|name| {
            let kind = table.column(name).map(|column| letter(&column.ty.kind)).unwrap_or('x');
            format!("{} || tl_json(tl_c.{}, '{kind}')", key_literal(name), quote(name))
        })
        .collect();
    let inner = if parts.is_empty() { "''".to_owned() } else { parts.join(" || ") };
    format!(
        "(SELECT '[' || coalesce(group_concat(tl_o, ','), '') || ']' FROM \
         (SELECT '{{' || substr({inner}, 2) || '}}' AS tl_o FROM {} tl_c WHERE {}{}))",
        quote(&table.name.name),
        join(matches, alias),
        order_by(order, "tl_c"),
    )
}

/// The functions' own work: arguments by their storage class, the answer the same way.
///
/// # Errors
/// Why the value is refused; the row then goes through the streaming route.
pub fn sql_function(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("tl_json", [value, letter]) => {
            let mut out = String::new();
            meant(value, letter)?.write_json(&mut out);
            Ok(Value::Text(out))
        }
        ("tl_text", [value, letter]) => {
            Ok(meant(value, letter)?.to_text().map_or(Value::Null, Value::Text))
        }
        ("tl_fit", [value, from, to, type_name, lossy]) => {
            let value = meant(value, from)?;
            let letter = to.to_text().unwrap_or_default();
            let to = ColumnType {
                kind: Kind::Dynamic(affinity(&letter)),
                name: type_name.to_text().unwrap_or_default(),
            };
            cast::fit(value, &to, *lossy == Value::Int(1))
        }
        ("tl_uuid", parts) => uuid_of(parts),
        _ => Err(format!("{name} was called with other arguments")),
    }
}

/// What a stored value means by its letter.
fn meant(value: &Value, letter: &Value) -> Result<Value, String> {
    let letter = letter.to_text().unwrap_or_default();
    match (letter.as_str(), value) {
        ("J", Value::Text(text)) => Ok(Value::Json(text.clone())),
        ("N", Value::Text(text)) => Ok(Value::Number(text.clone())),
        _ => cast::interpret(value.clone(), &Kind::Dynamic(affinity(&letter))),
    }
}
