//! Findings of a plan file, with a caret under the place.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tablelift::plan::{Diagnostic, Severity};

use super::text;

/// All findings, one after the other.
pub fn render(file: &Path, source: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    // Control characters of the file could move the cursor; a same-sized stand-in keeps spans.
    let source: String = source
        .chars()
        .map(|c| if c.is_ascii_control() && c != '\n' && c != '\t' { ' ' } else { c })
        .collect();
    let path = text::clean(&file.display().to_string());
    let shown: Vec<String> = diagnostics
        .iter()
        .map(|one| {
            let level = match one.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let message = text::clean_lines(&one.message);
            let help = one.help.as_deref().map(text::clean);
            let Some(span) = one.span else {
                let mut line = format!("error: {path}: {message}");
                if let Some(help) = help {
                    line.push_str(&format!("\nhelp: {help}"));
                }
                return line;
            };
            let end = span.end.min(source.len());
            let start = span.start.min(end);
            let snippet = Snippet::source(source.as_str())
                .path(path.as_str())
                .annotation(AnnotationKind::Primary.span(start..end));
            let mut group = level.primary_title(message.as_str()).element(snippet);
            if let Some(help) = &help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            renderer.render(&[group])
        })
        .collect();
    shown.join("\n\n")
}
