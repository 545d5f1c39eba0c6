//! JSON documents as jsonb understands them: blanks, the order of keys, repeated keys and the
//! spelling of numbers and characters mean nothing; every digit and every letter does.

use std::borrow::Cow;

use crate::mapping::numeric_form;
use crate::value::write_json_string;

/// Deeper documents are compared as they are spelled, without blanks.
const DEEPEST: usize = 400;

/// Whether two documents are one to jsonb.
pub fn same(one: &str, two: &str) -> bool {
    if one == two {
        return true;
    }
    // What jsonb prints is in its one order already: most often one side is enough.
    let first = canonical(one);
    first == two || first == canonical(two)
}

/// The document in the order and spelling in which jsonb prints it. What is no JSON stays.
pub fn canonical(text: &str) -> String {
    let mut parser = Parser { text, at: 0 };
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    match parser.value(&mut out, 0) {
        Some(()) => out,
        None => without_blanks(text),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(out, depth),
            b'[' => {
                self.at += 1;
                out.push('[');
                let mut first = true;
                while !self.take(b']') {
                    if !first {
                        self.take(b',').then_some(())?;
                        out.push_str(", ");
                    }
                    first = false;
                    self.value(out, depth + 1)?;
                }
                out.push(']');
                Some(())
            }
            b'"' => {
                let string = self.string()?;
                write_json_string(&string, out);
                Some(())
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                let word = &rest[..end];
                self.at += end;
                let plain = word.bytes().all(|byte| byte.is_ascii_digit())
                    && word.len() < 18
                    && (word.len() == 1 || !word.starts_with('0'));
                match word {
                    "true" | "false" | "null" => out.push_str(word),
                    _ if plain && !word.is_empty() => out.push_str(word),
                    _ => out.push_str(&number(word)?),
                }
                Some(())
            }
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Option<()> {
        self.at += 1;
        let mut entries: Vec<(Cow<'a, str>, String)> = Vec::new();
        let mut sorted = true;
        while !self.take(b'}') {
            if !entries.is_empty() {
                self.take(b',').then_some(())?;
            }
            (self.peek()? == b'"').then_some(())?;
            let key = self.string()?;
            self.take(b':').then_some(())?;
            let mut value = String::new();
            self.value(&mut value, depth + 1)?;
            sorted &= entries.last().is_none_or(|(last, _)| order(last) < order(&key));
            entries.push((key, value));
        }
        if !sorted {
            // Stable, so that of equal keys the last one stands last.
            entries.sort_by(|one, two| order(&one.0).cmp(&order(&two.0)));
        }
        out.push('{');
        let mut first = true;
        for (at, (key, value)) in entries.iter().enumerate() {
            if entries.get(at + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if !first {
                out.push_str(", ");
            }
            first = false;
            write_json_string(key, out);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
        Some(())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at + 1;
        if !escaped {
            return self.text.get(start + 1..at).map(Cow::Borrowed);
        }
        let literal = self.text.get(start..=at)?;
        serde_json::from_str::<String>(literal).ok().map(Cow::Owned)
    }
}

/// jsonb's order of keys.
fn order(key: &str) -> (usize, &[u8]) {
    (key.len(), key.as_bytes())
}

fn number(word: &str) -> Option<String> {
    let starts = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let number = numeric_form(word).filter(|_| starts)?;
    // A numeric has no zero with a sign.
    let zero = number.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    Some(if zero { number.trim_start_matches('-').to_owned() } else { number })
}

fn without_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        if inside || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_the_same() {
        let pairs = [
            (r#"{"bb":1,"a":[1,2]}"#, r#"{"a": [1, 2], "bb": 1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            (r#"{"é":"\u00e9\/"}"#, r#"{"é": "é/"}"#),
            ("[1e2,-0,1.50,0.1e1]", "[100, 0, 1.50, 1]"),
            ("{ }", "{}"),
        ];
        for (one, two) in pairs {
            assert!(same(one, two), "{one} {two}: {} {}", canonical(one), canonical(two));
        }
        assert_eq!(canonical(r#"{"bb":1,"a":[1,2]}"#), r#"{"a": [1, 2], "bb": 1}"#);
    }

    #[test]
    fn what_differs_in_a_letter_is_not() {
        let pairs = [
            (r#"{"a":1}"#, r#"{"a": "1"}"#),
            (r#"{"a":1.0}"#, r#"{"a": 1.00}"#),
            (r#"{"a":null}"#, "{}"),
            ("[1,2]", "[2, 1]"),
            (r#"["a "]"#, r#"["a"]"#),
            ("[9007199254740993]", "[9007199254740992]"),
        ];
        for (one, two) in pairs {
            assert!(!same(one, two), "{one} {two}");
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[ ".repeat(1000), "]".repeat(1000));
        assert!(same(&deep("1"), &deep("1").replace(' ', "")) && !same(&deep("1"), &deep("2")));
    }
}
