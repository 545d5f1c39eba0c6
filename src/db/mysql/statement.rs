//! Statements as the driver takes them.

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySql, MySqlArguments};
use sqlx::query::Query;

use crate::sql::{Bind, Statement};

/// The statement with its values. `$n` becomes the driver's `?`, and a value that is named twice
/// is sent twice; what stands between quotes is left alone.
pub fn bound(statement: &Statement) -> Query<'static, MySql, MySqlArguments> {
    let (text, order) = placeholders(&statement.text);
    let mut query = sqlx::query(AssertSqlSafe(text));
    for bind in order.iter().filter_map(|at| statement.binds.get(*at)) {
        query = match bind.clone() {
            Bind::Int(value) => query.bind(value),
            Bind::Text(value) => query.bind(value),
            Bind::Bytes(value) => query.bind(value),
            Bind::Float(value) => query.bind(value),
            Bind::TextList(list) => query.bind(serde_json::to_string(&list).unwrap_or_default()),
        };
    }
    query
}

fn placeholders(text: &str) -> (String, Vec<usize>) {
    let mut out = String::with_capacity(text.len());
    let mut order = Vec::new();
    let mut letters = text.chars().peekable();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (Some('\'' | '"'), '\\') => {
                out.push(letter);
                out.extend(letters.next());
                continue;
            }
            (None, '$') if letters.peek().is_some_and(char::is_ascii_digit) => {
                let mut number = 0_usize;
                while let Some(digit) = letters.peek().and_then(|digit| digit.to_digit(10)) {
                    number = number * 10 + digit as usize;
                    letters.next();
                }
                order.push(number.wrapping_sub(1));
                out.push('?');
                continue;
            }
            _ => {}
        }
        out.push(letter);
    }
    (out, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_outside_of_quotes_only() {
        let (text, order) = placeholders("a = $2 AND b = '$1 \\'$1' AND `$1` = $10 AND c = $2");
        assert_eq!(text, "a = ? AND b = '$1 \\'$1' AND `$1` = ? AND c = ?");
        assert_eq!(order, [1, 9, 1]);
    }
}
