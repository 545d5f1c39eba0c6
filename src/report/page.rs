//! The page: one HTML document that needs nothing else. All text goes through `maud`, which
//! escapes it; data stands in `<bdi>`, so that its direction stays its own.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::csp::{STYLE, policy};
use super::text::{duration, grouped, shortened};
use super::{Level, Report, Span, sections};

/// Characters of a name that are shown.
pub const NAME: usize = 120;
/// Characters of a text that are shown.
pub const TEXT: usize = 400;

/// Begins every report; `tablelift report` writes over files that begin so.
pub const GENERATOR: &str = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"generator\" content=\"tablelift";

/// What a page adds for people who watch a run.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    /// Where its script is; same origin.
    pub script: &'static str,
}

/// The whole page. Without `live`, it has no script and needs no network.
pub fn page(report: &Report, live: Option<Live>) -> String {
    let state = if live.is_some() { "live" } else { &report.run.state };
    let title = format!("{}: {state}", shortened(&report.plan.name, NAME));
    document(&title, &heading(report, live), &body(report), live)
}

/// The page of a run that nothing is known of yet.
pub fn waiting(why: &str, live: Option<Live>) -> String {
    let name = Report::default();
    document("tablelift: live", &heading(&name, live), &nothing(why), live)
}

/// What stands there instead of a report.
pub fn nothing(why: &str) -> Markup {
    html! { p.soft { "There is nothing to show yet: " (data(why, TEXT)) } }
}

fn document(title: &str, heading: &Markup, body: &Markup, live: Option<Live>) -> String {
    let generator = format!("tablelift {}", env!("CARGO_PKG_VERSION"));
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(generator);
                @if live.is_none() {
                    meta http-equiv="Content-Security-Policy" content=(policy(""));
                }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
                @if let Some(live) = live {
                    script src=(live.script) defer {}
                    noscript { meta http-equiv="refresh" content="5"; }
                }
            }
            body {
                header { (heading) }
                main id="report" { (body) }
                footer {
                    @if live.is_none() {
                        div.sign { div { "Name" } div { "Signature" } div { "Date" } }
                    }
                    p { "Made by " (generator) " from the ledger in the target. Times are UTC." }
                }
            }
        }
    };
    document.into_string()
}

/// A text of the databases or the plan.
pub fn data(text: &str, most: usize) -> Markup {
    html! { bdi { (shortened(text, most)) } }
}

fn heading(report: &Report, live: Option<Live>) -> Markup {
    html! {
        p.kicker {
            span { @if live.is_some() { "tablelift, live" } @else { "tablelift, report of a run" } }
        }
        h1 { (data(&report.plan.name, NAME)) }
        @if let Some(text) = &report.plan.description { p.lead { (data(text, TEXT)) } }
        @if live.is_some() {
            p.gone id="gone" role="status" {
                "The process that showed this page has ended, or can't be reached. What stands here is the \
                 last that it said; " code { "tablelift report" } " tells how the run ended."
            }
        }
    }
}

/// Everything below the heading; the live page asks for it again and again.
pub fn body(report: &Report) -> Markup {
    html! {
        (verdict(report))
        (tiles(report))
        (sections::tables(report))
        (sections::checks(&report.checks))
        (sections::content(&report.content))
        (sections::protected(&report.protected))
        (sections::rejects(&report.rejects))
        (sections::pace(report))
        (sections::steps(&report.steps))
        (sections::trouble(report))
        (sections::run(report))
        (sections::plan(&report.plan))
    }
}

fn verdict(report: &Report) -> Markup {
    /// Reasons that stand there; all are in the JSON.
    const SHOWN: usize = 12;
    let verdict = &report.verdict;
    let (class, sign) = match verdict.level {
        Level::Good => ("good", "M7 12.5l3.4 3.4L17.2 8.8"),
        Level::Bad => ("bad", "M8.2 8.2l7.6 7.6M15.8 8.2l-7.6 7.6"),
        Level::Attention => ("attention", "M12 6.8v6.4M12 16.8v.1"),
        Level::Open => ("open", "M12 6.8V12l3.4 2.2"),
    };
    let more = verdict.reasons.len().saturating_sub(SHOWN);
    html! {
        section class={ "verdict " (class) } {
            svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"
                stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
                circle cx="12" cy="12" r="10.5" {}
                path d=(sign) {}
            }
            div {
                strong { (verdict.title) }
                p { (when(report)) }
                @if let Some(reason) = &report.run.waits_for {
                    p { "Waits just now: " (data(reason, TEXT)) }
                }
                @if !verdict.reasons.is_empty() {
                    ul {
                        @for reason in verdict.reasons.iter().take(SHOWN) { li { (data(reason, 700)) } }
                        @if more > 0 { li { "and " (grouped(more as u64)) " more, below" } }
                    }
                }
                @if let Some(hint) = &report.run.hint { p { (data(hint, TEXT)) } }
            }
        }
    }
}

/// When it ran, in one line.
fn when(report: &Report) -> String {
    let run = &report.run;
    let begun = minute(&run.started_at);
    match (&run.finished_at, &run.as_of) {
        (Some(at), _) => format!("{begun} to {}, {}", minute(at), duration(run.seconds)),
        (None, Some(at)) => format!("since {begun}; this is how it stood at {}", minute(at)),
        (None, None) => format!("since {begun}"),
    }
}

/// `2026-11-21 14:03:22`, of an RFC 3339 time.
pub fn minute(at: &str) -> String {
    let at = at.split('.').next().unwrap_or(at).trim_end_matches('Z');
    shortened(at, 40).replace('T', " ")
}

/// Seconds in which at least one worker waited for the throttle.
fn held_back(waits: &[Span]) -> f64 {
    let mut spans: Vec<(f64, f64)> = waits.iter().map(|wait| (wait.from, wait.to)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut until) = (0.0, f64::MIN);
    for (from, to) in spans {
        sum += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    sum
}

fn tiles(report: &Report) -> Markup {
    let sum = |of: fn(&crate::event::StepFigures) -> u64| -> u64 {
        report.steps.iter().map(|step| of(&step.figures)).sum()
    };
    let written = sum(|step| step.copied);
    let working: f64 = report.steps.iter().map(|step| step.figures.seconds).sum();
    let rate = if working > 0.0 { sum(|step| step.source_rows) as f64 / working } else { 0.0 };
    let waited = held_back(&report.waits);
    let retries: u64 = report.retries.iter().map(|retry| retry.times).sum();
    let tile = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.tiles {
            (tile("Rows written", grouped(written)))
            (tile("Rows rejected", grouped(report.rejects.count)))
            (tile("Time at work", duration(working)))
            (tile("Rows/s, at work", super::text::brief(rate.round())))
            (tile("Held back", duration(waited)))
            (tile("Retries", grouped(retries)))
        }
    }
}
