//! TOML shapes → column rules.

use toml::de::DeValue;

use super::diagnostic::{Findings, nearest};
use super::reader::{DEPTH_MAX, Node, Reader, constant, span, string, strings, wrong_type};
use crate::mapping::{Epoch, JsonShape, Lookup, Mapping, Missing, Rule};

/// Keys that say which rule it is.
pub const RULE_KEYS: &[&str] = &[
    "value", "first", "from", "json", "array", "lookup", "moved", "children", "uuid", "sql",
    "file", "replace", "null_if",
];

/// `[step.columns]` or `[step.set]`.
pub fn mapping(node: &Node<'_>, findings: &Findings) -> Option<Mapping> {
    let reader = Reader::of(node, findings)?;
    let columns: Vec<Option<(String, Rule)>> = reader
        .entries()
        .into_iter()
        .map(|(name, _, node)| rule(node, findings, 0).map(|rule| (name.to_owned(), rule)))
        .collect();
    columns.into_iter().collect::<Option<Vec<_>>>().map(|columns| Mapping { columns })
}

/// One rule, nested to any sensible depth.
pub fn rule(node: &Node<'_>, findings: &Findings, depth: usize) -> Option<Rule> {
    if depth > DEPTH_MAX {
        findings.error(span(node), "rules are nested too deep", None);
        return None;
    }
    match node.get_ref() {
        DeValue::String(name) => Some(Rule::Column(name.to_string())),
        DeValue::Table(_) => table(node, findings, depth),
        other => {
            wrong_type(findings, span(node), "a source column or a rule", other);
            None
        }
    }
}

fn table(node: &Node<'_>, findings: &Findings, depth: usize) -> Option<Rule> {
    let mut reader = Reader::of(node, findings)?;
    let kinds: Vec<&str> =
        ["moved", "children", "lookup", "value", "first", "array", "uuid", "sql", "file"]
            .into_iter()
            .chain(["map", "cast"])
            .filter(|key| reader.has(key))
            .collect();
    let kind = match kinds.as_slice() {
        [one] => *one,
        [] if reader.has("json") => "json",
        [] if reader.has("replace") || reader.has("null_if") => "from",
        [] => {
            let entries = reader.entries();
            let help = entries
                .iter()
                .find_map(|(key, _, _)| {
                    nearest(key, RULE_KEYS.iter().copied().chain(["map", "cast"]))
                })
                .unwrap_or_else(|| {
                    format!("a rule has one of: {}, map, cast", RULE_KEYS.join(", "))
                });
            findings.error(span(node), "this is no column rule", Some(help));
            return None;
        }
        several => {
            let list = several.join(" and ");
            findings.error(span(node), format!("{list} can't stand in one rule"), None);
            return None;
        }
    };
    let rule = match kind {
        "value" => reader.take("value").and_then(|node| constant(node, findings)).map(Rule::Value),
        "first" => list(&mut reader, "first", depth).map(Rule::First),
        "array" => list(&mut reader, "array", depth).map(Rule::Array),
        "uuid" => list(&mut reader, "uuid", depth).map(Rule::Uuid),
        "sql" => reader.string("sql").map(Rule::Sql),
        "file" => reader.string("file").map(Rule::File),
        "from" => from(&mut reader, depth),
        "map" => map(&mut reader, depth),
        "cast" => cast(&mut reader, depth),
        "moved" => {
            let from = inner(&mut reader, "from", depth);
            let step = reader.string("moved");
            from.zip(step).map(|(from, step)| Rule::Moved { step, from: Box::new(from) })
        }
        "lookup" => lookup(&mut reader, depth),
        "children" => children(&mut reader, depth),
        _ => json(&mut reader, depth),
    };
    reader.finish();
    rule
}

fn inner(reader: &mut Reader<'_, '_>, key: &'static str, depth: usize) -> Option<Rule> {
    let findings = reader.findings();
    reader.required(key).and_then(|node| rule(node, findings, depth + 1))
}

/// What a rule reads: `from`, with what `replace` and then `null_if` make of it.
fn from(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let findings = reader.findings();
    let mut rule = inner(reader, "from", depth);
    if let Some(node) = reader.take("replace") {
        let pairs: Option<Vec<(String, String)>> = Reader::of(node, findings)?
            .entries()
            .into_iter()
            .map(|(what, _, node)| string(node, findings).map(|by| (what.to_owned(), by)))
            .collect();
        let replace = pairs?;
        if replace.iter().any(|(what, _)| what.is_empty()) {
            findings.error(span(node), "`replace` can't look for an empty text", None);
        }
        rule = rule.map(|from| Rule::Replace { from: Box::new(from), replace });
    }
    if reader.has("null_if") {
        let values = reader.strings("null_if")?;
        rule = rule.map(|from| Rule::NullIf { from: Box::new(from), values });
    }
    rule
}

fn cast(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let from = from(reader, depth);
    let to = reader.string("cast");
    let zone = reader.string("zone");
    let counts = [("s", Epoch::Seconds), ("ms", Epoch::Milliseconds), ("us", Epoch::Microseconds)];
    let epoch = reader.word("epoch", &counts);
    let (from, to) = from.zip(to)?;
    Some(Rule::Cast { from: Box::new(from), to, zone, epoch })
}

fn list(reader: &mut Reader<'_, '_>, key: &'static str, depth: usize) -> Option<Vec<Rule>> {
    let findings = reader.findings();
    let node = reader.take(key)?;
    match node.get_ref() {
        DeValue::Array(items) if !items.is_empty() => {
            let rules: Vec<Option<Rule>> =
                items.iter().map(|item| rule(item, findings, depth + 1)).collect();
            rules.into_iter().collect()
        }
        DeValue::Array(_) => {
            findings.error(span(node), format!("`{key}` needs at least one entry"), None);
            None
        }
        other => {
            wrong_type(findings, span(node), "a list of rules", other);
            None
        }
    }
}

fn entries(node: &Node<'_>, findings: &Findings, depth: usize) -> Option<Vec<(String, Rule)>> {
    let reader = Reader::of(node, findings)?;
    let all: Vec<Option<(String, Rule)>> = reader
        .entries()
        .into_iter()
        .map(|(key, _, node)| rule(node, findings, depth + 1).map(|rule| (key.to_owned(), rule)))
        .collect();
    all.into_iter().collect()
}

fn map(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let findings = reader.findings();
    let from = from(reader, depth);
    let default = reader.take("default");
    let default = match default {
        Some(node) => Some(constant(node, findings)?),
        None => None,
    };
    let table = Reader::of(reader.take("map")?, findings)?;
    let map: Option<Vec<_>> = table
        .entries()
        .into_iter()
        .map(|(key, _, node)| constant(node, findings).map(|value| (key.to_owned(), value)))
        .collect();
    let (from, map) = from.zip(map)?;
    Some(Rule::Map { from: Box::new(from), map, default })
}

fn lookup(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let findings = reader.findings();
    let table = reader.string("lookup");
    let matches = reader.required("match").and_then(|node| entries(node, findings, depth));
    let take = reader.required_string("take");
    let words = [("reject", Missing::Reject), ("null", Missing::Null), ("fail", Missing::Fail)];
    let missing = reader.word("missing", &words).unwrap_or(Missing::Reject);
    let (table, (matches, take)) = table.zip(matches.zip(take))?;
    if matches.is_empty() {
        findings.error(reader.span, "`match` needs at least one column", None);
        return None;
    }
    Some(Rule::Lookup(Lookup { table, matches, take, missing }))
}

fn children(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let findings = reader.findings();
    let table = reader.string("children");
    let pairs = reader.required("match").and_then(|node| Reader::of(node, findings));
    let matches: Option<Vec<(String, String)>> = pairs.and_then(|pairs| {
        pairs
            .entries()
            .into_iter()
            .map(|(child, _, node)| string(node, findings).map(|own| (child.to_owned(), own)))
            .collect()
    });
    let order_by = match reader.has("order_by") {
        true => reader.strings("order_by"),
        false => Some(Vec::new()),
    };
    let shape = match reader.has("json") {
        true => shape(reader, depth),
        false => Some(JsonShape::Rest { except: Vec::new(), with: Vec::new() }),
    };
    let ((table, matches), (order_by, shape)) = table.zip(matches).zip(order_by.zip(shape))?;
    Some(Rule::Children { table, matches, shape, order_by })
}

fn json(reader: &mut Reader<'_, '_>, depth: usize) -> Option<Rule> {
    let drop_nulls = reader.word("nulls", &[("keep", false), ("drop", true)]).unwrap_or(false);
    shape(reader, depth).map(|shape| Rule::Json { shape, drop_nulls })
}

fn shape(reader: &mut Reader<'_, '_>, depth: usize) -> Option<JsonShape> {
    let findings = reader.findings();
    let except = match reader.has("except") {
        true => reader.strings("except")?,
        false => Vec::new(),
    };
    let with = match reader.take("with") {
        Some(node) => entries(node, findings, depth)?,
        None => Vec::new(),
    };
    let node = reader.take("json")?;
    match node.get_ref() {
        DeValue::String(star) if star == "*" => Some(JsonShape::Rest { except, with }),
        DeValue::Array(_) => {
            strings(node, findings).map(|columns| JsonShape::Columns { columns, with })
        }
        DeValue::Table(_) => {
            if !except.is_empty() || !with.is_empty() {
                findings.error(span(node), "`except` and `with` go with \"*\" or a list", None);
            }
            entries(node, findings, depth).map(JsonShape::Object)
        }
        _ => {
            let help =
                "write \"*\" for all remaining columns, a list of columns, or a table of rules";
            findings.error(span(node), "`json` does not know this", Some(help.to_owned()));
            None
        }
    }
}
