//! What is wrong with a plan file, and where. All at once, never one at a time.

use std::cell::RefCell;
use std::ops::Range;

/// A byte range of the plan's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Span { start: range.start, end: range.end }
    }
}

impl Span {
    /// 1-based line and column (in characters) of the span's start.
    pub fn line_and_column(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.start.min(text.len())).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// Where each line of a text begins, found once: a plan may have very many of them.
pub struct Lines {
    starts: Vec<usize>,
    end: usize,
}

impl Lines {
    /// Looks through the text.
    pub fn new(text: &str) -> Lines {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { starts: std::iter::once(0).chain(after).collect(), end: text.len() }
    }

    /// The 1-based line of a span's start.
    pub fn line(&self, span: Span) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }

    /// The whole of a 1-based line, without its end.
    pub fn span(&self, line: usize) -> Span {
        let start = |line: usize| self.starts.get(line).copied();
        Span {
            start: start(line.saturating_sub(1)).unwrap_or(self.end),
            end: start(line).map_or(self.end, |next| next - 1),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The plan is refused.
    Error,
    /// The plan works, but a person should know.
    Warning,
}

/// One finding in a plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where; absent when the file as a whole is meant.
    pub span: Option<Span>,
    /// What to write instead.
    pub help: Option<String>,
}

/// Collects findings while the plan is read.
#[derive(Debug, Default)]
pub struct Findings {
    all: RefCell<Vec<Diagnostic>>,
}

impl Findings {
    /// Adds an error.
    pub fn error(&self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, Some(span), message.into(), help);
    }

    /// Adds a warning.
    pub fn warning(&self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Warning, Some(span), message.into(), help);
    }

    fn push(&self, severity: Severity, span: Option<Span>, message: String, help: Option<String>) {
        self.all.borrow_mut().push(Diagnostic { severity, message, span, help });
    }

    /// Errors and warnings, in the order of the file.
    pub fn into_sorted(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut all = self.all.into_inner();
        all.sort_by_key(|diagnostic| diagnostic.span.map_or(0, |span| span.start));
        all.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// "Did you mean": the nearest of `names`, if one is near.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    names
        .into_iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| format!("did you mean `{other}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "a\nbé = 1\n";
        assert_eq!(Span { start: 0, end: 1 }.line_and_column(text), (1, 1));
        assert_eq!(Span { start: 6, end: 7 }.line_and_column(text), (2, 4));
        assert_eq!(Span { start: 999, end: 999 }.line_and_column(text), (3, 1));
        let lines = Lines::new(text);
        for start in 0..=text.len() {
            let span = Span { start, end: start };
            let before = &text.as_bytes()[..start];
            assert_eq!(lines.line(span), before.iter().filter(|byte| **byte == b'\n').count() + 1);
        }
        assert_eq!(lines.span(1), Span { start: 0, end: 1 });
        assert_eq!(lines.span(2), Span { start: 2, end: 9 });
        assert_eq!(lines.span(3), Span { start: 10, end: 10 });
        assert_eq!(lines.span(4), Span { start: 10, end: 10 });
    }
}
