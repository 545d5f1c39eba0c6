//! Small things about text for people.

/// Text without anything that could steer a terminal or mislead an eye: control characters,
/// escapes and bidirectional marks become visible.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// `4482` → `4,482`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Clean text of at most so many characters; the end is left out.
pub fn shortened(text: &str, most: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= most {
        return clean;
    }
    let kept: String = clean.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `0.4 s`, `12 s`, `3 min 05 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {:02} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64)
    }
}

/// A duration of any size, in at most two units: `0.4 ms`, `35 ms`, `1.2 s`, `3 min 05 s`, `2 h 10 min`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "0 s".to_owned(),
        s if s < 0.000_05 => "< 0.1 ms".to_owned(),
        s if s < 0.001 => format!("{:.1} ms", s * 1000.0),
        s if s < 0.9995 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {:02} min", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}

/// A number with three digits or so: `0.25`, `12`, `3.4k`, `1.2M`.
pub fn brief(number: f64) -> String {
    let (by, unit) = match number.abs() {
        n if n >= 1e9 => (1e9, "G"),
        n if n >= 1e6 => (1e6, "M"),
        n if n >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let number = number / by;
    let text = match number.abs() {
        n if n >= 100.0 || n.fract() < 1e-9 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    };
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{unit}")
}

/// What stands in a password's place.
const MASK: &str = "•••";

/// A text in which every URL's password is masked, wherever it stands. Names of variables stay.
pub fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (front, tail) = rest.split_at(at + 3);
        out.push_str(front);
        let (url, after) = tail.split_at(end_of_url(tail));
        match (url.find(':'), url.rfind('@')) {
            (Some(colon), Some(at)) if colon < at => {
                let secret = &url[colon + 1..at];
                out.push_str(&url[..=colon]);
                out.push_str(if is_variable(secret) { secret } else { MASK });
                out.push_str(&masked_parameter(&url[at..]));
            }
            _ => out.push_str(&masked_parameter(url)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where a URL inside a text ends: at a blank or a quote that is not escaped.
fn end_of_url(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && (c.is_whitespace() || c == '"' || c == '\'') {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// `${NAME}`, without a default.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

fn masked_parameter(url: &str) -> String {
    const NAME: &str = "password=";
    let Some(at) = url.find(NAME) else { return url.to_owned() };
    let (front, value) = url.split_at(at + NAME.len());
    let end = value.find('&').unwrap_or(value.len());
    let shown = if is_variable(&value[..end]) { &value[..end] } else { MASK };
    format!("{front}{shown}{}", &value[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}]52\rb\u{202e}"), "a\\u{1b}]52\\u{d}b\\u{202e}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(5209), "5,209");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }

    #[test]
    fn durations_and_numbers_are_brief() {
        let durations =
            [(0.00001, "< 0.1 ms"), (0.0004, "0.4 ms"), (0.0351, "35 ms"), (1.24, "1.2 s")];
        let more = [(185.0, "3 min 05 s"), (7860.0, "2 h 11 min"), (0.9999, "1.0 s")];
        for (seconds, text) in durations.into_iter().chain(more) {
            assert_eq!(duration(seconds), text);
        }
        let numbers = [(0.25, "0.25"), (12.0, "12"), (5000.0, "5000"), (34_000.0, "34k")];
        for (number, text) in numbers.into_iter().chain([(1_250_000.0, "1.25M"), (100.0, "100")]) {
            assert_eq!(brief(number), text);
        }
    }

    #[test]
    fn passwords_are_masked_and_variables_stay() {
        let table = [
            ("url = \"postgres://u:secret@h/d\" # x", "url = \"postgres://u:•••@h/d\" # x"),
            ("postgres://u:p@ss@h:5432/d", "postgres://u:•••@h:5432/d"),
            ("postgres://u:${PW}@h/d", "postgres://u:${PW}@h/d"),
            ("postgres://u:${PW:-a/b}@h/d", "postgres://u:•••@h/d"),
            ("${U:-mysql://u:pw@h/d}", "${U:-mysql://u:•••@h/d}"),
            ("postgres://h/d?user=u&password=pw&x=1", "postgres://h/d?user=u&password=•••&x=1"),
            ("postgres://u:a\\\"b@h/d\" y", "postgres://u:•••@h/d\" y"),
            ("http://a:1/x http://b", "http://a:1/x http://b"),
            ("sqlite:x.db", "sqlite:x.db"),
        ];
        for (text, masked) in table {
            assert_eq!(without_passwords(text), masked);
        }
    }
}
