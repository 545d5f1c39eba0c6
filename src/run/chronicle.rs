//! What of a process's events the ledger keeps, so that a report can be made at any time and on
//! any machine: what was proved, warnings, how it ended. Waits and retries, of which there may be
//! millions, are kept as spans of time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::db::Session;
use crate::error::Result;
use crate::event::{Event, Listener, Reading, What};
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::report::text::without_passwords;

/// A span ends when nothing of its kind came for so long …
const QUIET: Duration = Duration::from_secs(15);
/// … or when it is this long, so that a crash loses no more.
const LONGEST: Duration = Duration::from_secs(20);

/// Entries that wait for the ledger at most; later ones are left out.
const WAITING_MOST: usize = 10_000;
/// Warnings that one process writes at most.
const WARNINGS_MOST: u32 = 1000;
/// Another process may write the same number at the same moment.
const TRIES: u32 = 5;

/// Passes events on, and keeps what the ledger should know.
pub struct Chronicle {
    inner: Arc<dyn Listener>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: Vec<(String, Json)>,
    spans: BTreeMap<SpanKey, Span>,
    closed: Vec<(SpanKey, Span)>,
    warnings: u32,
    /// Rows are compared, not copied.
    compares: bool,
}

/// waits or retries, the step, the signal or the class of trouble.
type SpanKey = (&'static str, String, String);

/// Several waits, or retries, of one kind.
struct Span {
    begun: Instant,
    ended: Instant,
    /// Sum over all workers; may be more than the span is long.
    seconds: f64,
    times: u64,
    /// The last one's own fields.
    last: Json,
}

impl Chronicle {
    /// Passes every event on to `inner`.
    pub fn before(inner: Arc<dyn Listener>) -> Chronicle {
        Chronicle { inner, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an entry that is no event.
    pub fn note(&self, name: &str, body: Json) {
        self.kept().add(name, body);
    }

    /// Writes what is due into the ledger; with `all`, spans that go on too.
    pub async fn write(&self, ledger: &Ledger, session: &mut dyn Session, all: bool) -> Result<()> {
        let entries = self.kept().due(all);
        let mut left = entries.into_iter();
        while let Some((name, body)) = left.next() {
            let text = body.to_string();
            let mut tries = 1;
            while let Err(error) = ledger.log(session, &name, &text).await {
                tries += 1;
                if tries > TRIES || session.broken() {
                    let mut kept = self.kept();
                    let newer = std::mem::take(&mut kept.entries);
                    kept.entries = std::iter::once((name, body)).chain(left).chain(newer).collect();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Kept {
    fn add(&mut self, name: &str, body: Json) {
        if self.entries.len() < WAITING_MOST {
            self.entries.push((name.to_owned(), body));
        }
    }

    fn span(&mut self, key: SpanKey, seconds: f64, last: Json) {
        let now = Instant::now();
        let begun = Duration::try_from_secs_f64(seconds).ok().and_then(|ago| now.checked_sub(ago));
        let new = Span { begun: begun.unwrap_or(now), ended: now, seconds, times: 1, last };
        match self.spans.get_mut(&key) {
            Some(span) if new.begun.saturating_duration_since(span.ended) < QUIET => {
                span.begun = span.begun.min(new.begun);
                span.ended = now;
                span.seconds += seconds;
                span.times += 1;
                span.last = new.last;
            }
            _ => {
                let old = self.spans.insert(key.clone(), new);
                self.closed.extend(old.map(|span| (key, span)));
            }
        }
    }

    fn due(&mut self, all: bool) -> Vec<(String, Json)> {
        let now = Instant::now();
        let is_due = |span: &Span| {
            all || now.duration_since(span.ended) > QUIET
                || span.ended.duration_since(span.begun) > LONGEST
        };
        let spans = std::mem::take(&mut self.spans);
        let (due, open) = spans.into_iter().partition(|(_, span)| is_due(span));
        self.spans = open;
        let due: BTreeMap<SpanKey, Span> = due;
        let mut out = std::mem::take(&mut self.entries);
        let spans = std::mem::take(&mut self.closed).into_iter().chain(due);
        out.extend(spans.map(|((name, ..), span)| (name.to_owned(), span.body(now))));
        out
    }
}

impl Span {
    /// Times are said as seconds before the entry is written: the ledger knows the server's clock
    /// and no other.
    fn body(self, now: Instant) -> Json {
        let mut body = self.last;
        if let Json::Object(fields) = &mut body {
            let millis = |seconds: f64| json!((seconds * 1000.0).round() / 1000.0);
            let ago = |at: Instant| millis(now.duration_since(at).as_secs_f64());
            fields.insert("times".to_owned(), json!(self.times));
            fields.insert("seconds".to_owned(), millis(self.seconds));
            fields.insert("began_ago".to_owned(), ago(self.begun));
            fields.insert("ended_ago".to_owned(), ago(self.ended));
        }
        body
    }
}

impl Listener for Chronicle {
    fn event(&self, event: &Event) {
        self.keep(&event.what);
        self.inner.event(event);
    }

    fn readings(&self, readings: &[Reading]) {
        self.inner.readings(readings);
    }
}

impl Chronicle {
    fn keep(&self, what: &What) {
        let name = match what {
            What::RowsCompared { .. } => {
                self.kept().compares = true;
                return;
            }
            // What holds a later `verify` back is no wait of the run.
            What::Throttled { .. } if self.kept().compares => return,
            What::Throttled { step, signal, value, limit, reason, seconds } => {
                let key = ("waits", step.clone(), signal.clone());
                let last = json!({ "step": step, "signal": signal, "value": value,
                    "limit": limit, "reason": reason });
                return self.kept().span(key, *seconds, last);
            }
            What::BatchRetried { step, class, reason, seconds, .. } => {
                let key = ("retries", step.clone(), class.clone());
                let last = json!({ "step": step, "class": class, "reason": reason });
                return self.kept().span(key, *seconds, last);
            }
            What::CheckFinished { .. } => "check_finished",
            What::ProtectFinished { .. } => "protect_finished",
            What::ExpectationFailed { .. } => "expectation_failed",
            What::StepVerified(_) => "step_verified",
            What::IndexRebuilt { .. } => "index_rebuilt",
            What::StepUndone { .. } => "step_undone",
            What::RunFinished { ok, exit_code, error, hint, unfinished, seconds, .. } => {
                // The steps' figures stand in the ledger's own tables.
                let body = json!({ "ok": ok, "exit_code": exit_code, "error": error,
                    "hint": hint, "unfinished": unfinished, "seconds": seconds });
                return self.kept().add("run_finished", body);
            }
            What::Warning { .. } => {
                let mut kept = self.kept();
                kept.warnings += 1;
                if kept.warnings > WARNINGS_MOST {
                    return;
                }
                "warning"
            }
            _ => return,
        };
        if let Ok(mut body) = serde_json::to_value(what) {
            if let Json::Object(fields) = &mut body {
                fields.shift_remove("event");
            }
            self.kept().add(name, body);
        }
    }
}

/// SHA-256 of the plan's text, in hex.
pub fn checksum(plan: &Plan) -> String {
    let digest = Sha256::digest(plan.text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the plan's text into the ledger, unless it stands there already: whoever reads a report
/// wants the plan that ran, not the file as it is by then.
pub async fn keep_plan(plan: &Plan, ledger: &Ledger, session: &mut dyn Session) -> Result<()> {
    let body = json!({ "checksum": checksum(plan), "text": without_passwords(&plan.text) });
    let body = body.to_string();
    match ledger.logged(session, "plan").await? {
        Some(found) if found == body => Ok(()),
        _ => ledger.log(session, "plan", &body).await,
    }
}
