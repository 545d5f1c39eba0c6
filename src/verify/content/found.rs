//! What comparing has shown so far, as it is kept in the ledger, and what people are shown of it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::CellDifference;
use crate::key::Key;
use crate::value::Value;

/// Differences of a step that are said; all are counted.
pub const LISTED: usize = 100;

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// Characters before the first that differs that are shown of a long value.
const BEFORE: usize = 16;

/// Words in the name of a column whose values are nobody's business.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "credential",
    "salt",
    "pwd",
    "pin_code",
    "card_number",
    "cvv",
];

/// A row that is not what its source says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// How it differs.
    pub class: Class,
    /// Its key, of the source for what the target lacks or has otherwise, as the ledger keeps it.
    pub key: Option<String>,
    /// The columns that differ.
    pub columns: Vec<CellDifference>,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The target lacks it.
    Missing,
    /// No step wrote it.
    Extra,
    /// Its content differs.
    Different,
}

impl Class {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Class::Missing => "missing",
            Class::Extra => "extra",
            Class::Different => "different",
        }
    }
}

/// Sums over the rows that were compared; of a chunk, or of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Source rows looked at.
    pub rows: u64,
    /// Source rows that have a row of the target.
    pub matched: u64,
    /// Of these, rows that were equal at once.
    pub equal: u64,
    /// Source rows that the target lacks.
    pub missing: u64,
    /// Target rows that no step wrote.
    pub extra: u64,
    /// Rows whose content differs.
    pub different: u64,
    /// Source rows that stand in the rejects.
    pub rejected: u64,
    /// Rows copied again.
    pub repaired: u64,
    /// Of these, rows that were missing.
    pub restored: u64,
    /// Keys that don't look equal and are looked at again, as the ledger keeps them.
    pub suspects: Vec<String>,
    /// The first differences.
    pub listed: Vec<Difference>,
    /// Sums of hashes of both sides, where rows have no key.
    pub sums: Option<(String, String)>,
    /// Rows of the target, where they were counted on the way.
    pub target_rows: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Tally {
    /// Adds what was found elsewhere.
    pub fn absorb(&mut self, more: Tally) {
        self.rows += more.rows;
        self.matched += more.matched;
        self.equal += more.equal;
        self.missing += more.missing;
        self.extra += more.extra;
        self.different += more.different;
        self.rejected += more.rejected;
        self.repaired += more.repaired;
        self.restored += more.restored;
        self.suspects.extend(more.suspects);
        self.sums = more.sums.or(self.sums.take());
        self.target_rows += more.target_rows;
        self.seconds += more.seconds;
        let room = LISTED.saturating_sub(self.listed.len());
        self.listed.extend(more.listed.into_iter().take(room));
    }

    /// Counts a difference, and lists it among the first.
    pub fn add(&mut self, difference: Difference) {
        match difference.class {
            Class::Missing => self.missing += 1,
            Class::Extra => self.extra += 1,
            Class::Different => self.different += 1,
        }
        if self.listed.len() < LISTED {
            self.listed.push(difference);
        }
    }

    /// Remembers a key that has to be looked at again.
    pub fn suspect(&mut self, key: &Key) {
        self.suspects.push(key.to_ledger());
    }

    /// The form kept in the ledger.
    pub fn to_ledger(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::stop(format!("what was found can't be written down: {error}")))
    }

    /// Reads the form kept in the ledger; empty: nothing yet.
    pub fn from_ledger(text: &str) -> Result<Tally> {
        if text.is_empty() {
            return Ok(Tally::default());
        }
        serde_json::from_str(text)
            .map_err(|_| Error::stop("the ledger holds marks of verify that can't be read"))
    }
}

/// Both values of a column, as they are shown.
pub fn shown(column: &str, source: &Value, target: &Value) -> CellDifference {
    let (one, two) = (source.to_text(), target.to_text());
    let lower = column.to_ascii_lowercase();
    if SECRETS.iter().any(|word| lower.contains(word)) {
        let hide = |text: Option<String>| {
            text.map(|text| format!("({} characters, hidden)", text.chars().count()))
        };
        return CellDifference { column: column.to_owned(), source: hide(one), target: hide(two) };
    }
    // Where the texts are alike and the types are not, the types are what differs.
    let alike = one == two && one.is_some();
    let typed = |text: String, value: &Value| match alike {
        true => format!("{text} ({})", value.type_name()),
        false => text,
    };
    let start = match (&one, &two) {
        (Some(one), Some(two)) => {
            let same = one.chars().zip(two.chars()).take_while(|(a, b)| a == b).count();
            if same > SHOWN / 2 { same - BEFORE } else { 0 }
        }
        _ => 0,
    };
    CellDifference {
        column: column.to_owned(),
        source: one.map(|text| typed(shortened(&without_passwords(&text), start), source)),
        target: two.map(|text| typed(shortened(&without_passwords(&text), start), target)),
    }
}

fn shortened(text: &str, start: usize) -> String {
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    let mut rest = text.chars().skip(start);
    out.extend(rest.by_ref().take(SHOWN));
    if rest.next().is_some() {
        out.push('…');
    }
    out
}

/// `postgres://u:hunter2@h/d` → `postgres://u:***@h/d`, wherever it stands.
fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?'));
        let (authority, after) = tail.split_at(end.unwrap_or(tail.len()));
        match authority
            .rsplit_once('@')
            .and_then(|(user, host)| Some((user.split_once(':')?.0, host)))
        {
            Some((user, host)) => out.push_str(&format!("{user}:***@{host}")),
            None => out.push_str(authority),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shortened_and_secrets_hidden() {
        let text = |text: &str| Value::Text(text.to_owned());
        let long = "x".repeat(1000);
        let cell = shown("note", &text(&format!("{long}a")), &text(&format!("{long}b")));
        assert!(cell.source.as_ref().unwrap().ends_with("xxa"), "{cell:?}");
        assert!(cell.target.as_ref().unwrap().chars().count() < 100, "{cell:?}");
        let cell = shown("user_password", &text("hunter2"), &Value::Null);
        assert!(!format!("{cell:?}").contains("hunter2") && cell.target.is_none());
        let cell = shown("dsn", &text("see postgres://u:hunter2@h/d now"), &text("x"));
        assert_eq!(cell.source.as_deref(), Some("see postgres://u:***@h/d now"));
        let cell = shown("n", &text("1"), &Value::Int(1));
        assert_eq!(cell.source.as_deref(), Some("1 (text)"));
    }
}
