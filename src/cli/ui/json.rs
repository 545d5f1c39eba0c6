//! `--json`: one event a line.

use std::io::Write as _;

use tablelift::event::{Event, Listener};

/// Writes every event to stdout at once.
pub struct Ndjson;

impl Listener for Ndjson {
    fn event(&self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            let mut out = std::io::stdout().lock();
            // A reader that went away doesn't stop the run.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    }
}
