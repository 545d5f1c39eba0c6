//! When two names mean the same thing.

use std::collections::BTreeMap;

/// Words that only say that a table is the old one.
const OLD: &[&str] = &["dh", "legacy", "old", "orig", "original", "tbl", "tb", "prev"];

/// Words that only say that a table is the new one.
const NEW: &[&str] = &["new", "v2", "v3", "v4", "v5"];

/// Prefixes of this length at most are nobody's meaning, if several tables share them.
const SHORT: usize = 3;

/// What an affix says of a table's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Its name says that it is an old one.
    Old,
    /// Its name says nothing.
    Plain,
    /// Its name says that it is a new one.
    New,
}

/// A name without what only dresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stem {
    /// The rest, normalised.
    pub stem: String,
    /// The word that was taken off, if one was.
    pub affix: Option<String>,
    /// What it says.
    pub age: Age,
}

/// `dhTool_Items` → `dh`, `tool`, `items`.
pub fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before: Option<char> = None;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let follows_small = before.is_some_and(|b| b.is_lowercase() || b.is_numeric());
        let ends_capitals = before.is_some_and(char::is_uppercase)
            && chars.peek().is_some_and(|next| next.is_lowercase());
        if !c.is_alphanumeric() || c.is_uppercase() && (follows_small || ends_capitals) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a column's name, joined: equal but for case and word breaks. A name without any
/// letter or digit is only itself.
pub fn column_key(name: &str) -> String {
    match words(name).concat() {
        key if key.is_empty() => name.to_owned(),
        key => key,
    }
}

/// The same for a table's name, its last word in the singular.
pub fn table_key(name: &str) -> String {
    match key_of(&words(name)) {
        key if key.is_empty() => name.to_owned(),
        key => key,
    }
}

fn key_of(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) => format!("{}{}", rest.concat(), singular(last)),
        None => String::new(),
    }
}

/// Short first words that at least two of the names share.
pub fn shared_prefixes<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let words = words(name);
        if let [first, _, ..] = words.as_slice()
            && first.chars().count() <= SHORT
        {
            *seen.entry(first.clone()).or_default() += 1;
        }
    }
    seen.into_iter().filter(|(_, count)| *count > 1).map(|(word, _)| word).collect()
}

/// A table's name without its affix; `prefixes`: further words that may be taken off in front.
pub fn stem(name: &str, prefixes: &[String]) -> Stem {
    let words = words(name);
    let known = |list: &[&str], word: &String| list.contains(&word.as_str());
    if let [first, rest @ ..] = words.as_slice()
        && !rest.is_empty()
    {
        let age = if known(OLD, first) {
            Some(Age::Old)
        } else if known(NEW, first) {
            Some(Age::New)
        } else {
            prefixes.contains(first).then_some(Age::Plain)
        };
        if let Some(age) = age {
            return Stem { stem: key_of(rest), affix: Some(format!("{first}_")), age };
        }
    }
    if let [rest @ .., last] = words.as_slice()
        && !rest.is_empty()
    {
        let age = match (known(OLD, last), known(NEW, last)) {
            (true, _) => Some(Age::Old),
            (_, true) => Some(Age::New),
            _ => None,
        };
        if let Some(age) = age {
            return Stem { stem: key_of(rest), affix: Some(format!("_{last}")), age };
        }
    }
    Stem { stem: table_key(name), affix: None, age: Age::Plain }
}

/// English plurals, as far as rules go.
fn singular(word: &str) -> String {
    let cut = |ending: &str, instead: &str| {
        word.strip_suffix(ending)
            .filter(|rest| rest.chars().count() > 1)
            .map(|rest| format!("{rest}{instead}"))
    };
    let irregular = match word {
        "people" => Some("person".to_owned()),
        "children" => Some("child".to_owned()),
        "data" | "news" | "series" => Some(word.to_owned()),
        _ => None,
    };
    irregular
        .or_else(|| cut("ies", "y"))
        .or_else(|| {
            ["sses", "shes", "ches", "xes", "zes"]
                .iter()
                .find_map(|es| cut(es, &es[..es.len() - 2]))
        })
        .or_else(|| {
            ["ss", "us", "is"].iter().any(|end| word.ends_with(end)).then(|| word.to_owned())
        })
        .or_else(|| cut("s", ""))
        .unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_break_at_case_and_signs() {
        assert_eq!(words("dhTool_Items"), ["dh", "tool", "items"]);
        assert_eq!(words("HTMLPage2Body"), ["html", "page2", "body"]);
        assert_eq!(words("a\"; drop table b"), ["a", "drop", "table", "b"]);
        assert_eq!(column_key("createdAt"), column_key("CREATED_AT"));
        assert_eq!(column_key("--"), "--");
    }

    #[test]
    fn plurals_and_affixes_are_only_dress() {
        for (one, other) in [
            ("category", "Categories"),
            ("address", "addresses"),
            ("box", "boxes"),
            ("orderItem", "order_items"),
            ("status", "status"),
        ] {
            assert_eq!(table_key(one), table_key(other));
        }
        let none = &[];
        assert_eq!(stem("legacy_users", none).stem, "user");
        assert_eq!(stem("users_v2", none).age, Age::New);
        assert_eq!(stem("crm_users", none).affix, None);
        assert_eq!(stem("crm_users", &["crm".to_owned()]).stem, "user");
        assert_eq!(
            shared_prefixes(["wp_a", "wp_b", "xy_a", "user_a", "user_b"].into_iter()),
            ["wp"]
        );
    }
}
