//! Expressions for MySQL and MariaDB: columns that a column of the same type takes as they are,
//! and the JSON of `children`. What the server would print or convert in its own way is left to
//! the program.

use super::{Select, Sql, json_text, outside, why};
use crate::mapping::bind::{BoundRule, Input, InputSource};
use crate::mapping::cast::exact_in_sql;
use crate::mapping::values::{is_date, is_year};
use crate::sql::mysql::MYSQL;
use crate::sql::{ColumnType, Dialect as _, Kind};
use crate::value::{Value, write_json_string};

/// The rule's value as the target column stores it.
pub(super) fn assign(select: &Select<'_>, rule: &BoundRule, to: &ColumnType) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            if !matches!(input.source, InputSource::Column(_)) {
                return Err(why(rule, "is an expression whose values are looked at"));
            }
            if select.values.zero_dates_are_null && is_date(input.kind()) {
                return Err(why(rule, "may be a date with zeros, which `values` makes null"));
            }
            if is_year(&input.ty) {
                return Err(why(rule, "may be the year 0000, which is none"));
            }
            if input.ty.kind == Kind::Bool {
                return Err(why(rule, "is a boolean to `values`, and may be none"));
            }
            if input.ty.name != to.name && !widens(&input.ty, to) {
                return Err(why(rule, format!("goes from {} into {}", input.ty.name, to.name)));
            }
            Ok(select.raw(input))
        }
        BoundRule::Constant(Value::Null) => Ok("NULL".to_owned()),
        BoundRule::Constant(Value::Int(i)) if matches!(to.kind, Kind::Int(_)) => Ok(i.to_string()),
        rule => Err(outside(rule)),
    }
}

/// Every value of the one type is one of the other, and comes out the same.
fn widens(from: &ColumnType, to: &ColumnType) -> bool {
    let plain = |ty: &ColumnType| match &ty.kind {
        Kind::Int(_) => ty.name.contains("int") && !ty.name.contains("unsigned"),
        Kind::Numeric(_) => ty.name.starts_with("decimal") && !ty.name.contains("unsigned"),
        Kind::Text { padded: false, .. } => {
            ty.name.starts_with("varchar") || ty.name.ends_with("text")
        }
        Kind::Timestamp(_) | Kind::TimestampTz(_) | Kind::Time(_) => true,
        _ => false,
    };
    plain(from) && plain(to) && exact_in_sql(from, to)
}

/// The rule's JSON text; SQL NULL for NULL.
pub(super) fn json(select: &Select<'_>, rule: &BoundRule) -> Sql {
    match rule {
        BoundRule::Input(which) => {
            let input = &select.inputs[*which];
            Ok(input_json(&select.raw(input), input))
        }
        BoundRule::Constant(Value::Null) => Ok("NULL".to_owned()),
        BoundRule::Constant(value) => Ok(MYSQL.text_literal(&json_text(value))),
        BoundRule::First(rules) => {
            let made: Result<Vec<_>, _> = rules.iter().map(|rule| json(select, rule)).collect();
            Ok(match made?.as_slice() {
                [] => "NULL".to_owned(),
                list => format!("COALESCE({})", list.join(", ")),
            })
        }
        BoundRule::Object { entries, drop_nulls } => {
            let mut items = Vec::with_capacity(entries.len());
            for (key, entry) in entries {
                let mut name = String::from(",");
                write_json_string(key, &mut name);
                name.push(':');
                let (name, value) = (MYSQL.text_literal(&name), json(select, entry)?);
                // NULL in a CONCAT is NULL, and NULL leaves the key out.
                items.push(match drop_nulls {
                    true => format!("COALESCE(CONCAT({name}, {value}), '')"),
                    false => format!("{name}, COALESCE({value}, 'null')"),
                });
            }
            Ok(enclosed('{', &items, '}'))
        }
        BoundRule::Array(rules) => {
            let mut items = Vec::with_capacity(rules.len());
            for entry in rules {
                items.push(format!("',', COALESCE({}, 'null')", json(select, entry)?));
            }
            Ok(enclosed('[', &items, ']'))
        }
        rule => Err(outside(rule)),
    }
}

/// Items with a comma before each, without the first comma.
fn enclosed(open: char, items: &[String], close: char) -> String {
    match items {
        [] => format!("'{open}{close}'"),
        items => {
            format!("CONCAT('{open}', SUBSTRING(CONCAT({}), 2), '{close}')", items.join(", "))
        }
    }
}

/// A column's JSON. What has none becomes `!`, which makes the row's document invalid, so that
/// the row is refused where it is evaluated.
fn input_json(raw: &str, input: &Input) -> String {
    let name = input.ty.name.as_str();
    let text = format!("CAST({raw} AS CHAR)");
    let quoted = |text: &str| format!("CONCAT('\"', {text}, '\"')");
    let clock = |digits: u8| match digits {
        0 => text.clone(),
        _ => format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"),
    };
    let dated = |text: String| {
        let zero = format!("MONTH({raw}) = 0 OR DAYOFMONTH({raw}) = 0");
        format!("IF({zero}, '!', {})", quoted(&text))
    };
    match &input.ty.kind {
        Kind::Int(_) if name.starts_with("bit") => {
            format!("CAST(CAST({raw} AS UNSIGNED) AS CHAR)")
        }
        Kind::Numeric(_) if name.starts_with("bit") => {
            format!("CAST(CAST({raw} AS UNSIGNED) AS CHAR)")
        }
        Kind::Bool => format!(
            "CASE {raw} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE IF({raw} IS NULL, NULL, '!') END"
        ),
        Kind::Int(_) if is_year(&input.ty) => format!("IF({raw} = 0, '!', CAST({raw} AS CHAR))"),
        Kind::Int(_) | Kind::Numeric(_) => format!("CAST({raw} + 0 AS CHAR)"),
        Kind::Float8 => text,
        // Printed with six digits.
        Kind::Float4 => format!("IF(CAST({text} AS FLOAT) <> {raw}, '!', {text})"),
        Kind::Json => text,
        Kind::Bytes => format!("CONCAT('\"\\\\\\\\x', LOWER(HEX({raw})), '\"')"),
        Kind::Date => dated(text.clone()),
        Kind::Time(digits) => quoted(&clock(*digits)),
        Kind::Timestamp(digits) => dated(format!("REPLACE({}, ' ', 'T')", clock(*digits))),
        Kind::TimestampTz(digits) => {
            dated(format!("REPLACE({}, ' ', 'T'), '+00:00'", clock(*digits)))
        }
        _ => format!("JSON_QUOTE({text})"),
    }
}

/// The elements as one array. One that was cut off by a limit of the server is no document.
pub(super) fn array(element: &str, order: &str, from: &str) -> String {
    format!(
        "(SELECT IF(COALESCE(LENGTH(GROUP_CONCAT({element}{order} SEPARATOR ',')) = \
         SUM(LENGTH({element}) + 1) - 1, TRUE), \
         CONCAT('[', COALESCE(GROUP_CONCAT({element}{order} SEPARATOR ','), ''), ']'), '!') \
         FROM {from})"
    )
}
