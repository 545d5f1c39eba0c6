//! Walks a TOML tree with spans: takes keys by name and type, and reports what is left over
//! with the nearest name that would have been right.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Findings, Span, nearest};
use crate::mapping::Constant;
use crate::value::write_json_string;

/// A value with its place.
pub type Node<'i> = Spanned<DeValue<'i>>;

/// Keys of later versions: refused by name, never as unknown.
pub const NOT_YET: &[&str] = &[
    "migrate",
    "backup",
    "keep",
    "gate",
    "needs",
    "swap",
    "delete",
    "preflight",
    "notify",
    "production",
    "orphans",
    "same",
    "uses_index",
    "runs",
    "p95_over",
    "max_slowdown",
    "lock_timeout",
    "tries",
];

/// Keys that have one place only: anywhere else the message says which.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tune", "a `copy` or `seed` step"),
    ("at", "a step that reads files"),
    ("format", "a step that reads files"),
    ("defer_indexes", "`tune` of a `copy` or `seed` step"),
    ("analyze", "a `copy` or `seed` step"),
    ("synchronous_commit", "`tune` of a `copy` or `seed` step"),
    ("zero_dates", "`values` of `[defaults]` or of a step"),
    ("nul", "`values` of `[defaults]` or of a step"),
    ("invalid_utf8", "`values` of `[defaults]` or of a step"),
    ("nan", "`values` of `[defaults]` or of a step"),
    ("long_time", "`values` of `[defaults]` or of a step"),
    ("tinyint1", "`values` of `[defaults]` or of a step"),
];

/// The place of a node.
pub fn span(node: &Node<'_>) -> Span {
    node.span().into()
}

/// One table being read.
pub struct Reader<'a, 'i> {
    table: &'a DeTable<'i>,
    /// Where the table stands, for keys that are missing.
    pub span: Span,
    findings: &'a Findings,
    known: Vec<&'static str>,
}

impl<'a, 'i> Reader<'a, 'i> {
    /// Reads `table`, which stands at `span`.
    pub fn new(table: &'a DeTable<'i>, span: Span, findings: &'a Findings) -> Self {
        Reader { table, span, findings, known: Vec::new() }
    }

    /// Reads a node that must be a table.
    pub fn of(node: &'a Node<'i>, findings: &'a Findings) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(Reader::new(table, span(node), findings)),
            other => {
                wrong_type(findings, span(node), "a table", other);
                None
            }
        }
    }

    /// The collector.
    pub fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// The node at `key`, if it stands there.
    pub fn take(&mut self, key: &'static str) -> Option<&'a Node<'i>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// The node at `key`, without taking it.
    pub fn peek(&self, key: &str) -> Option<&'a Node<'i>> {
        self.table.get(key)
    }

    /// Whether `key` stands there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Entries in the order of the file.
    pub fn entries(&self) -> Vec<(&'a str, Span, &'a Node<'i>)> {
        let mut all: Vec<(&str, Span, &Node<'_>)> = self
            .table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), Span::from(key.span()), value))
            .collect();
        all.sort_by_key(|(_, span, _)| span.start);
        all
    }

    /// A key that must stand there.
    pub fn required(&mut self, key: &'static str) -> Option<&'a Node<'i>> {
        let node = self.take(key);
        if node.is_none() {
            self.findings.error(self.span, format!("the key `{key}` is missing"), None);
        }
        node
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        let node = self.take(key)?;
        string(node, self.findings)
    }

    /// A string that must stand there.
    pub fn required_string(&mut self, key: &'static str) -> Option<String> {
        let node = self.required(key)?;
        string(node, self.findings)
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.take(key)?;
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => {
                wrong_type(self.findings, span(node), "true or false", other);
                None
            }
        }
    }

    /// A whole number in a range.
    pub fn number(&mut self, key: &'static str, low: u64, high: u64) -> Option<u64> {
        let node = self.take(key)?;
        let found = match node.get_ref() {
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            other => {
                wrong_type(self.findings, span(node), "a whole number", other);
                return None;
            }
        };
        match found.filter(|number| (low..=high).contains(number)) {
            Some(number) => Some(number),
            None => {
                self.findings.error(
                    span(node),
                    format!("`{key}` must be between {low} and {high}"),
                    None,
                );
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let node = self.take(key)?;
        let text = string(node, self.findings)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = nearest(&text, list.iter().copied())
            .unwrap_or_else(|| format!("write one of: {}", list.join(", ")));
        self.findings.error(span(node), format!("`{key}` does not know this word"), Some(help));
        None
    }

    /// A duration: `100ms`, `2s`, `1m`, `3h`, `7d`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let node = self.take(key)?;
        let text = string(node, self.findings)?;
        let found = parse_duration(&text);
        if found.is_none() {
            let help = "write a number and a unit, like 100ms, 2s, 1m, 3h or 7d".to_owned();
            self.findings.error(span(node), "this is not a duration", Some(help));
        }
        found
    }

    /// A size in bytes: `20MB`, `16MiB`, or a plain number.
    pub fn bytes(&mut self, key: &'static str) -> Option<u64> {
        let node = self.take(key)?;
        let found = match node.get_ref() {
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            DeValue::String(text) => parse_bytes(text),
            other => {
                wrong_type(self.findings, span(node), "a size", other);
                return None;
            }
        };
        if found.is_none_or(|bytes| bytes == 0) {
            let help = "write a number and a unit, like 500kB, 20MB or 16MiB".to_owned();
            self.findings.error(span(node), "this is not a size", Some(help));
            return None;
        }
        found
    }

    /// A string or a list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let node = self.take(key)?;
        strings(node, self.findings)
    }

    /// Reports every key that nobody took.
    pub fn finish(self) {
        for (key, span, _) in self.entries() {
            if self.known.contains(&key) {
                continue;
            }
            if NOT_YET.contains(&key) {
                self.findings.error(span, format!("`{key}` is not supported yet"), None);
                continue;
            }
            if let Some((_, place)) = ELSEWHERE.iter().find(|(name, _)| *name == key) {
                self.findings.error(span, format!("`{key}` belongs into {place}"), None);
                continue;
            }
            let help = nearest(key, self.known.iter().copied())
                .unwrap_or_else(|| format!("known keys here: {}", self.known.join(", ")));
            self.findings.error(span, format!("unknown key `{key}`"), Some(help));
        }
    }
}

/// Says that a value has the wrong type.
pub fn wrong_type(findings: &Findings, span: Span, wanted: &str, found: &DeValue<'_>) {
    findings.error(span, format!("expected {wanted}, found {}", a(found.type_str())), None);
}

fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// The node as a string.
pub fn string(node: &Node<'_>, findings: &Findings) -> Option<String> {
    match node.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        other => {
            wrong_type(findings, span(node), "a string", other);
            None
        }
    }
}

/// The node as a list of strings; one string is a list of one.
pub fn strings(node: &Node<'_>, findings: &Findings) -> Option<Vec<String>> {
    match node.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| string(item, findings)).collect(),
        DeValue::String(text) => Some(vec![text.to_string()]),
        other => {
            wrong_type(findings, span(node), "a string or a list of strings", other);
            None
        }
    }
}

/// A constant: scalars as written, tables and arrays as JSON.
pub fn constant(node: &Node<'_>, findings: &Findings) -> Option<Constant> {
    Some(match node.get_ref() {
        DeValue::String(text) => Constant::Text(text.to_string()),
        DeValue::Boolean(value) => Constant::Bool(*value),
        DeValue::Datetime(time) => Constant::Time(time.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Constant::Int(value),
            // The digits say what the number is only where they are decimal.
            Err(_) if integer.radix() == 10 => {
                Constant::Number(integer.as_str().trim_start_matches('+').to_owned())
            }
            Err(_) => {
                let help = "write it with decimal digits".to_owned();
                findings.error(span(node), "this is more than 64 bits hold", Some(help));
                return None;
            }
        },
        DeValue::Float(float) => {
            let text = float.as_str().trim_start_matches('+').to_owned();
            if text.contains(['i', 'n']) {
                findings.error(span(node), "inf and nan can't be constants", None);
                return None;
            }
            Constant::Number(text)
        }
        DeValue::Array(_) | DeValue::Table(_) => {
            let mut out = String::new();
            json(node, &mut out, findings, 0)?;
            Constant::Json(out)
        }
    })
}

/// Nesting beyond this is a mistake.
pub const DEPTH_MAX: usize = 64;

fn json(node: &Node<'_>, out: &mut String, findings: &Findings, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        findings.error(span(node), "nested too deep", None);
        return None;
    }
    match node.get_ref() {
        DeValue::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json(item, out, findings, depth + 1)?;
            }
            out.push(']');
        }
        DeValue::Table(_) => {
            let reader = Reader::of(node, findings)?;
            out.push('{');
            for (at, (key, _, value)) in reader.entries().into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json_string(key, out);
                out.push(':');
                json(value, out, findings, depth + 1)?;
            }
            out.push('}');
        }
        _ => constant(node, findings)?.value().write_json(out),
    }
    Some(())
}

/// `100ms`, `2s`, `1m`, `3h`, `7d`; `None`: it is no duration.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].trim().parse().ok()?;
    let unit = match &text[at..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

fn parse_bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..at].trim().parse().ok()?;
    let unit = match text[at..].trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * unit;
    (bytes.is_finite() && (0.0..1e18).contains(&bytes)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("7"), None);
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_bytes("20MB"), Some(20_000_000));
        assert_eq!(parse_bytes("1KiB"), Some(1024));
        assert_eq!(parse_bytes("x"), None);
    }
}
