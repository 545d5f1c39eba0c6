//! Everything of a plan that is not a step: ends, protected tables, checks.

use toml::de::DeValue;

use super::diagnostic::{Findings, Lines};
use super::reader::{Node, Reader, constant, span, wrong_type};
use super::{Check, CheckValue, Consistency, Protect, When};

/// `[source]` or `[target]` as written.
pub struct WrittenEnd<'a, 'i> {
    /// The URL's node, before variables are filled in.
    pub url: Option<&'a Node<'i>>,
    /// Schema.
    pub schema: Option<String>,
    /// Source only.
    pub consistency: Consistency,
}

/// Reads `[source]` or `[target]`.
pub fn end<'a, 'i>(
    node: &'a Node<'i>,
    is_source: bool,
    url_is_given: bool,
    findings: &'a Findings,
) -> Option<WrittenEnd<'a, 'i>> {
    let mut reader = Reader::of(node, findings)?;
    let url = if url_is_given { reader.take("url") } else { reader.required("url") };
    let schema = reader.string("schema");
    let words = [("batch", Consistency::Batch), ("snapshot", Consistency::Snapshot)];
    let consistency = match is_source {
        true => reader.word("consistency", &words),
        false => None,
    };
    reader.finish();
    Some(WrittenEnd { url, schema, consistency: consistency.unwrap_or(Consistency::Batch) })
}

/// Tables of an array of tables.
pub fn list<'a, 'i>(node: &'a Node<'i>, findings: &'a Findings) -> Vec<Reader<'a, 'i>> {
    match node.get_ref() {
        DeValue::Array(items) => {
            items.iter().filter_map(|item| Reader::of(item, findings)).collect()
        }
        other => {
            wrong_type(findings, span(node), "an array of tables, like [[step]]", other);
            Vec::new()
        }
    }
}

/// Reads one `[[protect]]`.
pub fn protect(mut reader: Reader<'_, '_>, lines: &Lines) -> Option<Protect> {
    let place = reader.span;
    let table = reader.required_string("table");
    let rows = reader.number("rows", 0, i64::MAX as u64);
    let except = match reader.has("except") {
        true => reader.strings("except").unwrap_or_default(),
        false => Vec::new(),
    };
    let allow_inserts = reader.boolean("allow_inserts").unwrap_or(false);
    reader.finish();
    let line = lines.line(place);
    Some(Protect { table: table?, rows, except, allow_inserts, line })
}

/// Reads one `[[check]]`.
pub fn check(mut reader: Reader<'_, '_>, lines: &Lines) -> Option<Check> {
    let place = reader.span;
    let findings = reader.findings();
    let name = reader.required_string("name");
    let later = ["orphans", "uses_index", "same", "runs", "max_slowdown"];
    let sql = match later.iter().any(|key| reader.has(key)) {
        true => reader.string("sql"),
        false => reader.required_string("sql"),
    };
    let expected = expected(&mut reader);
    let words = [("before", When::Before), ("after", When::After), ("both", When::Both)];
    let when = reader.word("when", &words).unwrap_or(When::After);
    let warn_over = reader.duration("warn_over");
    let fail_over = reader.duration("fail_over");
    if warn_over.zip(fail_over).is_some_and(|(warn, fail)| warn > fail) {
        findings.warning(place, "`warn_over` is above `fail_over` and never warns", None);
    }
    reader.finish();
    let line = lines.line(place);
    let (name, (sql, expected)) = name.zip(sql.zip(expected))?;
    Some(Check { name, sql, expected, when, warn_over, fail_over, line })
}

fn expected(reader: &mut Reader<'_, '_>) -> Option<CheckValue> {
    let findings = reader.findings();
    let value = reader.take("value");
    let rows = reader.take("rows");
    let empty = reader.boolean("empty");
    match (value, rows, empty) {
        (Some(node), None, None) => constant(node, findings).map(CheckValue::Scalar),
        (None, Some(node), None) => rows_of(node, findings).map(CheckValue::Rows),
        (None, None, Some(empty)) => Some(CheckValue::Empty(empty)),
        _ => {
            let help = "value = 150, rows = [[\"a\", 1]], or empty = true";
            findings.error(
                reader.span,
                "a check says what it expects exactly once",
                Some(help.to_owned()),
            );
            None
        }
    }
}

fn rows_of(node: &Node<'_>, findings: &Findings) -> Option<Vec<Vec<crate::mapping::Constant>>> {
    let DeValue::Array(rows) = node.get_ref() else {
        wrong_type(findings, span(node), "a list of rows", node.get_ref());
        return None;
    };
    let mut out = Vec::new();
    for row in rows.iter() {
        let DeValue::Array(cells) = row.get_ref() else {
            wrong_type(findings, span(row), "a row, like [\"a\", 1]", row.get_ref());
            return None;
        };
        let cells: Option<Vec<_>> = cells.iter().map(|cell| constant(cell, findings)).collect();
        out.push(cells?);
    }
    Some(out)
}
