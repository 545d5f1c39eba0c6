//! The parts of the page, in the order in which a person signs them off.

use maud::{Markup, html};

use super::page::{NAME, TEXT, data, minute};
use super::text::{brief, duration, grouped};
use super::{
    CheckLine, ContentLine, Note, PlanFacts, ProtectedLine, Rejects, Report, Span, StepLine,
    TableLine, plot,
};

fn count(rows: Option<u64>) -> Markup {
    html! { @match rows { Some(rows) => (grouped(rows)), None => span.none { "–" } } }
}

/// A tick, a cross, or nothing yet.
fn mark(ok: Option<bool>) -> Markup {
    html! {
        @match ok {
            Some(true) => span.good role="img" aria-label="holds" { "✓" },
            Some(false) => span.bad role="img" aria-label="does not hold" { "✗" },
            None => span.none role="img" aria-label="not said" { "–" },
        }
    }
}

fn change(before: Option<u64>, after: Option<u64>) -> String {
    let (before, Some(after)) = (before.unwrap_or(0), after) else { return "–".to_owned() };
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => "no change".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", grouped(after - before)),
        std::cmp::Ordering::Less => format!("−{}", grouped(before - after)),
    }
}

fn expected(line: &TableLine) -> String {
    let known = |rows: Option<u64>| rows.map_or_else(|| "…".to_owned(), grouped);
    match (line.expected_before, line.expected_after) {
        (None, None) => "–".to_owned(),
        (None, Some(after)) => grouped(after),
        (before, after) if before == after => known(before),
        (before, after) => format!("{} → {}", known(before), known(after)),
    }
}

/// Expected and actual counts.
pub fn tables(report: &Report) -> Markup {
    let sum =
        |rows: fn(&TableLine) -> Option<u64>| report.tables.iter().filter_map(rows).sum::<u64>();
    let before: u64 = sum(|line| line.before);
    // A sum of some of them would be no total.
    let all = report.tables.iter().all(|line| line.after.is_some() || line.before.is_none());
    let after = all.then(|| sum(|line| line.after));
    html! {
        h2 { "Tables, before and after" }
        div.sheet { table.cards {
            thead { tr {
                th { "Table" } th.n { "Before" } th.n { "After" } th.n { "Change" }
                th.n { "Expected" } th.m {}
            } }
            tbody {
                @for line in &report.tables { tr {
                    td.name {
                        (data(&line.table, NAME))
                        @if line.protected { span.tag { "protected" } }
                        small { (sources(report, line)) }
                    }
                    td.n data-l="Before" { (count(line.before)) }
                    td.n data-l="After" { (count(line.after)) }
                    td.n data-l="Change" { (change(line.before, line.after)) }
                    td.n data-l="Expected" { (expected(line)) }
                    td.m { (mark(line.holds())) }
                } }
                @if report.tables.is_empty() { tr { td.none colspan="6" { "The ledger has no counts yet." } } }
            }
            @if report.tables.len() > 1 { tfoot { tr {
                td.name { "Total" } td.n data-l="Before" { (grouped(before)) } td.n data-l="After" { (count(after)) }
                td.n data-l="Change" { (change(Some(before), after)) } td {} td {}
            } } }
        } }
    }
}

/// Which steps brought a table's new rows.
fn sources(report: &Report, line: &TableLine) -> Markup {
    let new = |step: &StepLine| step.figures.copied.saturating_sub(step.figures.updated);
    let by: Vec<&StepLine> = report
        .steps
        .iter()
        .filter(|step| line.steps.contains(&step.figures.step) && step.figures.copied > 0)
        .collect();
    html! {
        @for (at, step) in by.iter().take(6).enumerate() {
            @if at > 0 { ", " }
            @match (step.figures.kind.as_str(), new(step)) {
                ("update", _) | (_, 0) => { (grouped(step.figures.copied)) " changed by " }
                (_, new) => { "+" (grouped(new)) " by " }
            }
            (data(&step.figures.step, 60))
        }
        @if by.len() > 6 { ", …" }
    }
}

/// Checks with their times against their thresholds.
pub fn checks(checks: &[CheckLine]) -> Markup {
    let both = |name: &str| checks.iter().filter(|one| one.check == name).count() > 1;
    html! {
        @if !checks.is_empty() {
            h2 { "Checks" }
            div.sheet { table.cards {
                thead { tr {
                    th { "Check" } th { "Found" } th.n { "Took" } th.n { "Limit" } th.m {}
                } }
                tbody { @for one in checks { tr {
                    td.name {
                        (data(&one.check, NAME))
                        @if both(&one.check) || one.when == "before" { small { (one.when) " the run" } }
                    }
                    td.text data-l="Found" { (found(one)) }
                    td.n.look[one.slow] data-l="Took" { (one.seconds.map_or_else(|| "–".to_owned(), duration)) }
                    td.n data-l="Limit" { (limits(one)) }
                    td.m { (mark(one.ok)) }
                } } }
            } }
        }
    }
}

/// What a check found, and what it should have found where that is not the same.
fn found(check: &CheckLine) -> Markup {
    /// Characters of what is found and right.
    const FINE: usize = 160;
    html! {
        @match check.ok {
            None => span.none { "not run yet" },
            Some(true) => (data(&check.actual, FINE)),
            Some(false) => span.bad { (data(&check.actual, TEXT)) },
        }
        @if check.ok != Some(true) || check.actual != check.expected {
            small { "expected " (data(&check.expected, TEXT)) }
        }
    }
}

fn limits(check: &CheckLine) -> String {
    let limit =
        |word: &str, seconds: Option<f64>| seconds.map(|s| format!("{word} {}", duration(s)));
    let all = [limit("warns over", check.warn_over), limit("fails over", check.fail_over)];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "–".to_owned() } else { all.join(", ") }
}

/// What the last `verify` of each step found.
pub fn content(lines: &[ContentLine]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h2 { "Content, source against target" }
            p.soft { "What the last " code { "verify" } " of each step found, row by row." }
            div.sheet { table.cards {
                thead { tr {
                    th { "Step" } th.n { "Compared" } th.n { "Missing" } th.n { "Extra" } th.n { "Different" }
                    th { "When" } th.m {}
                } }
                tbody { @for line in lines { @let proof = &line.proof; tr {
                    td.name {
                        (data(&proof.step, NAME))
                        @for one in &proof.not_compared {
                            small { "not compared: " (data(&one.what, NAME)) ", because " (data(&one.because, TEXT)) }
                        }
                    }
                    td.n data-l="Compared" {
                        (grouped(proof.compared))
                        @if proof.sample.is_some() { " of a sample" }
                    }
                    td.n data-l="Missing" { (grouped(proof.missing)) }
                    td.n data-l="Extra" { (grouped(proof.extra)) }
                    td.n data-l="Different" { (grouped(proof.different)) }
                    td.text data-l="When" { (minute(&line.at)) }
                    td.m { (mark(Some(proof.ok))) }
                } } }
            } }
        }
    }
}

/// Protected tables, with what differs.
pub fn protected(tables: &[ProtectedLine]) -> Markup {
    html! {
        @if !tables.is_empty() {
            h2 { "Protected tables" }
            p.soft { "Every row was compared by content with how it was before the first step." }
            div.sheet { table.cards {
                thead { tr { th { "Table" } th.n { "Before" } th.n { "After" } th { "May change" } th.m {} } }
                tbody { @for one in tables { tr {
                    td.name { (data(&one.table, NAME)) }
                    td.n data-l="Before" { (count(one.before)) }
                    td.n data-l="After" { (count(one.rows)) }
                    td.text data-l="May change" { (may_change(one)) (differences(one)) }
                    td.m { (mark(one.ok)) }
                } } }
            } }
        }
    }
}

fn may_change(table: &ProtectedLine) -> Markup {
    html! {
        @for (at, column) in table.except.iter().enumerate() {
            @if at > 0 { ", " }
            (data(column, NAME))
        }
        @if table.allow_inserts { @if !table.except.is_empty() { ", " } "new rows" }
        @if table.except.is_empty() && !table.allow_inserts { span.none { "nothing" } }
    }
}

fn differences(table: &ProtectedLine) -> Markup {
    const SHOWN: usize = 10;
    let more = table.difference_count.saturating_sub(table.differences.len().min(SHOWN) as u64);
    html! {
        @if table.difference_count > 0 {
            small.bad {
                @for (at, (kind, key)) in table.differences.iter().take(SHOWN).enumerate() {
                    @if at > 0 { ", " }
                    (kind) " " (data(key, 60))
                }
                @if more > 0 { " and " (grouped(more)) " more" }
            }
        }
    }
}

/// Rejected rows by reason, and the first ones.
pub fn rejects(rejects: &Rejects) -> Markup {
    html! {
        h2 { "Rejected rows" }
        @if rejects.count == 0 { p.soft { "None." } }
        @else {
            p.soft { (grouped(rejects.count)) " rows of the source are not in the target. Their values are in the ledger, table " code { "rejects" } "." }
            div.sheet { table.cards {
                thead { tr { th { "Reason" } th { "Step" } th { "Column" } th.n { "Rows" } } }
                tbody { @for one in &rejects.reasons { tr {
                    td.name { (data(&one.reason, TEXT)) }
                    td data-l="Step" { (data(&one.step, NAME)) }
                    td data-l="Column" { (data(one.column.as_deref().unwrap_or("–"), NAME)) }
                    td.n data-l="Rows" { (grouped(one.count)) }
                } } }
            } }
            h3 { @if rejects.count > rejects.first.len() as u64 { "The first " (rejects.first.len()) } @else { "Each of them" } }
            div.sheet { table.cards {
                thead { tr { th { "Key" } th { "Step" } th { "Column" } th { "Reason" } } }
                tbody { @for one in &rejects.first { tr {
                    td.name { (data(&one.key, NAME)) }
                    td data-l="Step" { (data(&one.step, NAME)) }
                    td data-l="Column" { (data(one.column.as_deref().unwrap_or("–"), NAME)) }
                    td.text data-l="Reason" { (data(&one.reason, TEXT)) }
                } } }
            } }
        }
    }
}

/// Plots.
pub fn pace(report: &Report) -> Markup {
    let pace = &report.pace;
    html! {
        @if !pace.points.is_empty() {
            h2 { "Over time" }
            div.sheet { (plot::plots(pace, &report.waits)) }
        }
    }
}

/// Steps.
pub fn steps(steps: &[StepLine]) -> Markup {
    let rate = |step: &StepLine| {
        let figures = &step.figures;
        match figures.seconds > 0.0 && figures.source_rows > 0 {
            true => brief((figures.source_rows as f64 / figures.seconds).round()),
            false => String::new(),
        }
    };
    html! {
        h2 { "Steps" }
        div.sheet { table.cards {
            thead { tr {
                th { "Step" } th.n { "Read" } th.n { "Written" } th.n { "Skipped" } th.n { "Rejected" }
                th.n { "Time" } th.n.wide { "Rows/s" } th { "State" }
            } }
            tbody { @for step in steps {
                @let figures = &step.figures;
                @let moves = figures.kind != "sql";
                tr {
                    td.name {
                        (data(&figures.step, NAME))
                        small {
                            (data(&figures.kind, 20))
                            @if let Some(table) = &step.table { " into " (data(table, NAME)) }
                            @if !figures.route.is_empty() { span.wide { ", " (data(&figures.route, 160)) } }
                        }
                    }
                    td.n data-l="Read" { @if moves { (grouped(figures.source_rows)) } }
                    td.n data-l="Written" { @if moves { (grouped(figures.copied)) } }
                    td.n data-l="Skipped" { @if moves { (grouped(figures.skipped)) } }
                    td.n data-l="Rejected" { @if moves { (grouped(figures.rejected)) } }
                    td.n data-l="Time" { @if moves { (duration(figures.seconds)) } }
                    td.n.wide { (rate(step)) }
                    td.word { span.good[step.state == "done"] { (data(&step.state, 20)) } }
                }
            } }
        } }
    }
}

/// Waits, locks and retries.
pub fn trouble(report: &Report) -> Markup {
    html! {
        @if !report.waits.is_empty() {
            h2 { "What held it back" }
            (spans(&report.waits, "Throttle"))
        }
        @if !report.retries.is_empty() {
            h2 { "Locks and retries" }
            p.soft { "Batches that were done again after trouble that passes. What was rolled back left nothing." }
            (spans(&report.retries, "Trouble"))
        }
        @if !report.warnings.is_empty() {
            h2 { "Warnings" }
            (notes(&report.warnings))
        }
    }
}

/// One line for each kind and step.
fn spans(spans: &[Span], kind: &str) -> Markup {
    let mut lines: Vec<Span> = Vec::new();
    for span in spans {
        match lines.iter_mut().find(|one| one.name == span.name && one.step == span.step) {
            Some(line) => {
                line.seconds += span.seconds;
                line.times += span.times;
                line.reason.clone_from(&span.reason);
            }
            None => lines.push(span.clone()),
        }
    }
    html! {
        div.sheet { table.cards {
            thead { tr { th { (kind) } th { "Step" } th { "Last reason" } th.n { "Times" } th.n { "Waited" } } }
            tbody { @for line in &lines { tr {
                td.name { (data(&line.name, NAME)) }
                td data-l="Step" { (data(&line.step, NAME)) }
                td.text data-l="Last reason" { (data(&line.reason, TEXT)) }
                td.n data-l="Times" { (grouped(line.times)) }
                td.n data-l="Waited" { (duration(line.seconds)) }
            } } }
        } }
        p.soft { small { "Waits are summed over workers." } }
    }
}

fn notes(notes: &[Note]) -> Markup {
    const SHOWN: usize = 200;
    let more = notes.len().saturating_sub(SHOWN);
    html! {
        div.sheet { table { tbody {
            @for note in notes.iter().take(SHOWN) { tr {
                td.when { (minute(&note.at)) }
                td.text { (data(&note.text, 700)) }
            } }
            @if more > 0 { tr { td {} td { "and " (grouped(more as u64)) " more" } } }
        } } }
    }
}

/// The run itself.
pub fn run(report: &Report) -> Markup {
    let run = &report.run;
    let line = |name: &str, value: &str| html! { dt { (name) } dd { (data(value, TEXT)) } };
    html! {
        h2 { "The run" }
        div.sheet { dl.facts {
            (line("Run", &run.id))
            (line("State", &run.state))
            (line("Began", &minute(&run.started_at)))
            @if let Some(at) = &run.finished_at { (line("Ended", &minute(at))) }
            (line("Source", &run.source))
            (line("Target", &run.target))
            (line("tablelift", &run.tool_version))
            dt { "Plan, SHA-256" }
            dd { code { (data(&report.plan.checksum, NAME)) } }
        } }
        @if !report.history.is_empty() { h3 { "History" } (notes(&report.history)) }
    }
}

/// The plan that ran.
pub fn plan(plan: &PlanFacts) -> Markup {
    html! {
        h2 { "The plan" }
        @if plan.changed_since { p.look { "The plan file has changed since; this is the plan that ran." } }
        @match &plan.text {
            Some(text) => div.sheet { pre { bdi { (lines(text)) } } },
            None => p.soft { "The ledger does not have it: an earlier version began the run." },
        }
    }
}

/// A text of many lines, without anything that misleads.
fn lines(text: &str) -> Markup {
    html! { @for line in text.split('\n') { (super::text::clean(&line.replace('\t', "    "))) "\n" } }
}
