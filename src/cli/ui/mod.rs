//! What people see: decided once, here.

pub mod bars;
pub mod diagnostic;
pub mod json;
pub mod lines;
pub mod logs;
pub mod tables;
pub mod text;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use tablelift::error::{Error, Result};
use tablelift::event::{Event, Listener};
use tablelift::plan::resolve::PlanError;

use super::args::{Color, Global};

/// Where things are shown, and how.
pub struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    color: bool,
    bars: bool,
    /// Log lines, and whether they go to a file.
    logs: Option<(Arc<logs::Logs>, bool)>,
}

impl Ui {
    /// Decides from flags, environment and terminal.
    pub fn new(global: &Global) -> Ui {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let terminal = std::io::stderr().is_terminal();
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                !set("NO_COLOR")
                    && (set("CLICOLOR_FORCE")
                        || (terminal && std::io::stdout().is_terminal() && !dumb))
            }
        };
        Ui {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            color,
            bars: terminal && !dumb && !set("CI") && !global.json && !global.quiet,
            logs: None,
        }
    }

    /// Begins to log, if the flags ask for it.
    ///
    /// # Errors
    /// Invalid: the log can't be written.
    pub fn log(&mut self, global: &Global) -> Result<()> {
        let logs = logs::Logs::new(global)?;
        self.logs = logs.map(|logs| (Arc::new(logs), global.log_file.is_some()));
        Ok(())
    }

    /// JSON was asked for.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Colour may be used.
    pub fn color(&self) -> bool {
        self.color
    }

    /// The listener of a command that runs steps.
    pub fn listener(&self) -> (Arc<dyn Listener>, Arc<tables::Summary>) {
        let summary = Arc::new(tables::Summary::default());
        // Log lines on stderr stand for what people see there otherwise.
        let logs_only = self.logs.as_ref().is_some_and(|(_, to_file)| !to_file);
        let inner: Option<Box<dyn Listener>> = if self.json {
            Some(Box::new(json::Ndjson))
        } else if logs_only {
            None
        } else if self.bars {
            Some(Box::new(bars::Bars::new()))
        } else if self.quiet {
            None
        } else {
            Some(Box::new(lines::Lines::new(self.verbose)))
        };
        let logs = self.logs.as_ref().map(|(logs, _)| Arc::clone(logs));
        (Arc::new(Both { inner, logs, summary: Arc::clone(&summary) }), summary)
    }

    /// A line of the result, on stdout. A closed pipe ends quietly.
    pub fn say(&self, line: &str) {
        if !self.json {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// A JSON document, on stdout.
    pub fn document(&self, value: &impl serde::Serialize) {
        let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// A line beside the result, on stderr.
    pub fn say_aside(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// A warning.
    pub fn warn(&self, message: &str) {
        self.say_aside(&format!("{} {}", self.paint("warning:", 33), text::clean(message)));
    }

    /// An error with its hint.
    pub fn error(&self, error: &Error) {
        let mut out =
            format!("{} {}", self.paint("error:", 31), text::clean_lines(&error.to_string()));
        if let Some(hint) = &error.hint {
            out.push_str(&format!("\n{} {}", self.paint("hint:", 36), text::clean(hint)));
        }
        let _ = writeln!(std::io::stderr(), "{out}");
    }

    /// Everything that is wrong with a plan file.
    pub fn plan_error(&self, error: &PlanError) {
        if self.json {
            let findings: Vec<serde_json::Value> = error
                .diagnostics
                .iter()
                .map(|one| {
                    let place = one.span.map(|span| span.line_and_column(&error.text));
                    serde_json::json!({
                        "level": "error",
                        "file": error.file.display().to_string(),
                        "line": place.map(|place| place.0),
                        "column": place.map(|place| place.1),
                        "message": one.message,
                        "help": one.help,
                    })
                })
                .collect();
            self.document(&serde_json::json!({ "ok": false, "findings": findings }));
        }
        let shown = diagnostic::render(&error.file, &error.text, &error.diagnostics, self.color);
        let _ = writeln!(std::io::stderr(), "{shown}");
    }

    /// Text in an ANSI colour, where colour may be used.
    pub fn paint(&self, text: &str, code: u8) -> String {
        if self.color { format!("\u{1b}[1;{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Shows events and keeps what the summary needs.
struct Both {
    inner: Option<Box<dyn Listener>>,
    logs: Option<Arc<logs::Logs>>,
    summary: Arc<tables::Summary>,
}

impl Listener for Both {
    fn event(&self, event: &Event) {
        self.summary.event(event);
        if let Some(logs) = &self.logs {
            logs.event(event);
        }
        if let Some(inner) = &self.inner {
            inner.event(event);
        }
    }
}
