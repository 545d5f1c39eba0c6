//! JSON documents as text: validity and what a target can't hold, without recursion and
//! without ever making a number of the digits.

use crate::value::write_json_string;

/// Nesting that PostgreSQL parses with its default stack, with room to spare.
const DEEPEST: usize = 6_000;
/// jsonb refuses more bytes than this inside one container.
const LONGEST: usize = 268_435_455;
/// Digits that a PostgreSQL numeric has before and after the point.
const WHOLE_DIGITS: i64 = 131_072;
const FRACTION_DIGITS: i64 = 16_383;

/// What a document contains that some target refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// `\u0000` is in it.
    pub nul: bool,
    /// Half of a surrogate pair is in it.
    pub lone_surrogate: bool,
    /// A number is in it that is outside a numeric's range.
    pub huge_number: bool,
}

/// Looks through a document; `None` when it is not JSON (RFC 8259).
pub fn scan(text: &str) -> Option<Facts> {
    Scanner { bytes: text.as_bytes(), at: 0, open: Vec::new(), facts: Facts::default() }.document()
}

/// Why jsonb (or, with `binary` false, json) can't hold the document.
pub fn refusal(text: &str, binary: bool) -> Option<String> {
    let name = if binary { "jsonb" } else { "json" };
    let Some(facts) = scan(text) else {
        return Some(format!("text into {name}: not a JSON document"));
    };
    if facts.depth > DEEPEST {
        return Some(format!(
            "json into {name}: nested {} levels deep, at most {DEEPEST} fit",
            facts.depth
        ));
    }
    if !binary {
        return None;
    }
    if text.len() > LONGEST {
        Some(format!("json into jsonb: {} bytes, at most {LONGEST} fit", text.len()))
    } else if facts.nul {
        Some("json into jsonb: the character \\u0000 doesn't fit".to_owned())
    } else if facts.lone_surrogate {
        Some("json into jsonb: half of a surrogate pair doesn't fit".to_owned())
    } else if facts.huge_number {
        Some("json into jsonb: a number is out of range".to_owned())
    } else {
        None
    }
}

/// The document with each of its strings, keys included, as `change` makes it. What is no JSON,
/// or half of a surrogate pair, stays as it is.
pub fn map_strings(text: &str, change: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let mut escaped = false;
        let inside = &rest[start + 1..];
        let end = inside.bytes().position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        });
        let Some(end) = end else {
            break;
        };
        let (literal, after) = rest[start..].split_at(end + 2);
        out.push_str(&rest[..start]);
        match serde_json::from_str::<String>(literal) {
            Ok(string) => write_json_string(&change(&string), &mut out),
            Err(_) => out.push_str(literal),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Open containers: true for an object.
    open: Vec<bool>,
    facts: Facts,
}

impl Scanner<'_> {
    fn document(mut self) -> Option<Facts> {
        loop {
            // A value is due.
            self.blanks();
            let opened = match self.peek()? {
                b'{' => self.enter(true, b'}'),
                b'[' => self.enter(false, b']'),
                _ => {
                    self.scalar()?;
                    false
                }
            };
            if opened {
                if self.open.last() == Some(&true) {
                    self.key()?;
                }
                continue;
            }
            // A value is complete: close containers until one goes on.
            loop {
                self.blanks();
                let Some(&object) = self.open.last() else {
                    return (self.at == self.bytes.len()).then_some(self.facts);
                };
                match (self.next()?, object) {
                    (b',', true) => {
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => {
                        self.open.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Steps into a container; false when it is empty and therefore closed again.
    fn enter(&mut self, object: bool, close: u8) -> bool {
        self.at += 1;
        self.facts.depth = self.facts.depth.max(self.open.len() + 1);
        self.blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return false;
        }
        self.open.push(object);
        true
    }

    fn key(&mut self) -> Option<()> {
        self.blanks();
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        self.blanks();
        (self.next()? == b':').then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        // A high surrogate that waits for its low half.
        let mut high = false;
        loop {
            let byte = self.next()?;
            let unit;
            match byte {
                b'"' => {
                    self.facts.lone_surrogate |= high;
                    return Some(());
                }
                0..=0x1f => return None,
                b'\\' => match self.next()? {
                    b'u' => unit = self.unit()?,
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => unit = 1,
                    _ => return None,
                },
                _ => unit = 1,
            }
            self.facts.nul |= unit == 0;
            let low = (0xdc00..0xe000).contains(&unit);
            self.facts.lone_surrogate |= high != low;
            high = (0xd800..0xdc00).contains(&unit);
        }
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + (*digit as char).to_digit(16)?))
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let start = self.at;
        let whole = self.digits();
        if whole == 0 || whole > 1 && self.bytes[start] == b'0' {
            return None;
        }
        let zero = self.bytes[start] == b'0';
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.digits();
            if fraction == 0 {
                return None;
            }
        }
        let mut exponent = 0;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let negative = self.peek() == Some(b'-');
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let start = self.at;
            if self.digits() == 0 {
                return None;
            }
            // More digits than fit are far out of range in any case.
            let text = str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
            exponent = text.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
            if negative {
                exponent = -exponent;
            }
        }
        let whole = if zero { 0 } else { whole };
        self.facts.huge_number |=
            whole + exponent > WHOLE_DIGITS || fraction - exponent > FRACTION_DIGITS;
        Some(())
    }

    fn digits(&mut self) -> i64 {
        let mut count = 0;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            count += 1;
        }
        count
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_is_what_the_rfc_says() {
        for text in [
            "1",
            "-0",
            "1.10",
            "1E5",
            "1e400",
            "18446744073709551616",
            "\"\"",
            " [ ] ",
            "{}",
            "null",
            "{\"a\":[1,{\"b\":true}],\"a\":null}",
            "[[],{},\"\\ud83d\\ude00\"]",
            "\"a\\\\\\\"b\"",
        ] {
            assert!(scan(text).is_some(), "{text}");
            assert!(serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "tru",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "[1",
            "1 2",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "{\"a\":1,}",
            "]",
            "[}",
            "'a'",
            "NaN",
            "-",
            "\"",
        ] {
            assert!(scan(text).is_none(), "{text}");
        }
    }

    #[test]
    fn depth_is_no_recursion() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(scan(&deep(100_000)).map(|facts| facts.depth), Some(100_000));
        assert_eq!(refusal(&deep(6_000), true), None);
        assert!(refusal(&deep(20_000), true).is_some());
    }

    #[test]
    fn what_jsonb_refuses_is_found() {
        for text in
            ["\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800a\"", "1e400000", "1e-20000"]
        {
            assert!(refusal(text, true).is_some(), "{text}");
            assert_eq!(refusal(text, false), None, "{text}");
        }
        for text in ["\"\\ud83d\\ude00\"", "1e400", "0e1", "\"\\\\u0000\"", "1.5e131071"] {
            assert_eq!(refusal(text, true), None, "{text}");
        }
    }
}
