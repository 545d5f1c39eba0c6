//! The summary: steps, counts before and after, what failed, the verdict.

use std::collections::BTreeMap;
use std::sync::Mutex;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use tablelift::draft::DraftStep;
use tablelift::event::{CellDifference, Event, StepFigures, StepProof, What};
use tablelift::run::TableCounts;

use super::text::{clean, grouped, listed, seconds, shortened};

/// Keeps what the summary needs from the events.
#[derive(Default)]
pub struct Summary {
    state: Mutex<State>,
}

#[derive(Default, Clone)]
struct State {
    checks: u64,
    checks_failed: Vec<String>,
    slow: Vec<String>,
    /// Signal → seconds that batches waited for it, and its last reason.
    waits: BTreeMap<String, (f64, String)>,
    protected: u64,
    protected_failed: Vec<String>,
    counts_failed: Vec<String>,
    unfinished: Vec<String>,
    rows_differ: Vec<String>,
    proofs: Vec<StepProof>,
}

impl Summary {
    /// Takes one event.
    pub fn event(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match &event.what {
            What::CheckFinished { check, ok, expected, actual, slow, .. } => {
                state.checks += 1;
                if !ok {
                    state.checks_failed.push(format!(
                        "check {}: expected {}, found {}",
                        shortened(check, 200),
                        shortened(expected, 200),
                        shortened(actual, 200)
                    ));
                }
                if *slow {
                    state.slow.push(clean(check));
                }
            }
            What::Throttled { signal, reason, seconds, .. } => {
                let wait = state.waits.entry(signal.clone()).or_default();
                *wait = (wait.0 + seconds, reason.clone());
            }
            What::ProtectFinished { table, ok, differences, difference_count, .. } => {
                state.protected += 1;
                if !ok {
                    let mut keys: Vec<String> = differences
                        .iter()
                        .take(10)
                        .map(|one| match &one.key {
                            Some(serde_json::Value::String(key)) => {
                                format!("{} {}", one.kind, clean(key))
                            }
                            Some(key) => format!("{} {key}", one.kind),
                            None => one.kind.to_owned(),
                        })
                        .collect();
                    if *difference_count > 10 {
                        keys.push("…".to_owned());
                    }
                    state.protected_failed.push(format!(
                        "protected table {}: {} rows differ from the baseline: {}",
                        clean(table),
                        grouped(*difference_count),
                        keys.join(", ")
                    ));
                }
            }
            What::ExpectationFailed { step, table, what, expected, actual } => {
                state.counts_failed.push(format!(
                    "step {}, table {}: expected {what} = {}, found {}",
                    clean(step),
                    clean(table),
                    grouped(*expected),
                    grouped(*actual)
                ));
            }
            What::RowDiffers { step, class, key, columns, .. } => {
                state.rows_differ.push(row_line(step, class, key, columns));
            }
            What::StepVerified(proof) => state.proofs.push(proof.clone()),
            What::RunFinished { unfinished, .. } => state.unfinished.clone_from(unfinished),
            _ => {}
        }
    }

    /// Steps that are not done, as one line; `None`: all are.
    pub fn unfinished(&self) -> Option<String> {
        let state = self.state.lock().ok()?;
        let left = &state.unfinished;
        (!left.is_empty()).then(|| format!("not finished: {}", listed(left)))
    }

    /// What differs, one line each.
    pub fn differences(&self) -> Vec<String> {
        let Ok(state) = self.state.lock() else {
            return Vec::new();
        };
        let rows = &state.rows_differ;
        let all = [&state.counts_failed, &state.protected_failed, &state.checks_failed, rows];
        all.into_iter().flatten().cloned().collect()
    }

    /// What batches waited for, a second or more over all workers of this process.
    pub fn waits(&self) -> Vec<String> {
        let state = self.state.lock().map(|state| state.clone()).unwrap_or_default();
        let worth = state.waits.values().filter(|(waited, _)| *waited >= 1.0);
        worth.map(|(waited, reason)| format!("{}: {}", seconds(*waited), clean(reason))).collect()
    }

    /// Slow checks.
    pub fn slow(&self) -> Vec<String> {
        self.state.lock().map(|state| state.slow.clone()).unwrap_or_default()
    }

    /// What comparing rows by content has shown, step by step.
    pub fn step_proofs(&self) -> Vec<StepProof> {
        self.state.lock().map(|state| state.proofs.clone()).unwrap_or_default()
    }

    /// Checks and protected tables that were looked at.
    pub fn proofs(&self) -> (u64, u64) {
        self.state.lock().map_or((0, 0), |state| (state.checks, state.protected))
    }
}

/// `step tools, row 42 is different: name "a" is "b"`
fn row_line(
    step: &str,
    class: &str,
    key: &serde_json::Value,
    columns: &[CellDifference],
) -> String {
    let value = |text: &Option<String>| match text {
        Some(text) => format!("\"{}\"", clean(text)),
        None => "NULL".to_owned(),
    };
    let cells: Vec<String> = columns
        .iter()
        .map(|cell| {
            let (source, target) = (value(&cell.source), value(&cell.target));
            format!("{}: {source} is {target}", clean(&cell.column))
        })
        .collect();
    let row = match key {
        serde_json::Value::Null => "a row".to_owned(),
        serde_json::Value::String(key) => format!("row {}", clean(key)),
        key => format!("row {}", clean(&key.to_string())),
    };
    let what = if cells.is_empty() { String::new() } else { format!(": {}", cells.join(", ")) };
    format!("step {}: {row} is {class}{what}", clean(step))
}

/// What comparing rows by content has shown: one line for each step.
pub fn proofs(proofs: &[StepProof]) -> String {
    let mut out =
        table(&["step", "by", "compared", "missing", "extra", "different", "repaired", "time"]);
    for one in proofs {
        let count = |count: u64| if one.how.is_empty() { "-".to_owned() } else { grouped(count) };
        out.add_row([
            clean(&one.step),
            if one.how.is_empty() { "not compared" } else { &one.how }.to_owned(),
            count(one.compared),
            count(one.missing),
            count(one.extra),
            count(one.different),
            count(one.repaired),
            if one.how.is_empty() { String::new() } else { seconds(one.seconds) },
        ]);
    }
    right_aligned(out, 2)
}

/// What could not be compared, and rows that are no difference: a line each.
pub fn not_compared(proofs: &[StepProof]) -> Vec<String> {
    let mut out = Vec::new();
    for one in proofs {
        let step = clean(&one.step);
        for not in &one.not_compared {
            out.push(format!(
                "not compared, step {step}: {}, because {}",
                clean(&not.what),
                clean(&not.because)
            ));
        }
        let counts = [
            (one.rejected, "stand in the rejects"),
            (one.later, "came to the source after the step began"),
        ];
        for (rows, what) in counts.into_iter().filter(|(rows, _)| *rows > 0) {
            out.push(format!("step {step}: {} rows {what}", grouped(rows)));
        }
        if !one.rebuilt.is_empty() {
            let columns = one.rebuilt.len();
            out.push(format!(
                "step {step}: {columns} legacy columns were made again from the target"
            ));
        }
    }
    out
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header.iter().copied());
    table
}

fn right_aligned(mut table: Table, from: usize) -> String {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// One line for each step.
pub fn steps(figures: &[StepFigures]) -> String {
    let mut out = table(&[
        "step", "kind", "read", "before", "written", "skipped", "rejected", "after", "time",
    ]);
    let optional = |count: Option<u64>| count.map(grouped).unwrap_or_default();
    for one in figures {
        out.add_row([
            clean(&one.step),
            one.kind.clone(),
            grouped(one.source_rows),
            optional(one.before),
            grouped(one.copied),
            grouped(one.skipped),
            grouped(one.rejected),
            optional(one.after),
            seconds(one.seconds),
        ]);
    }
    right_aligned(out, 2)
}

/// Every table before and after, with the sum.
pub fn counts(tables: &[TableCounts]) -> String {
    let mut out = table(&["table", "before", "after", "change", ""]);
    let change = |before: u64, after: u64| match after.cmp(&before) {
        std::cmp::Ordering::Equal => "no change".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", grouped(after - before)),
        std::cmp::Ordering::Less => format!("-{}", grouped(before - after)),
    };
    let (mut all_before, mut all_after) = (0, 0);
    for one in tables {
        let (before, after) = (one.before.unwrap_or(0), one.after.unwrap_or(0));
        all_before += before;
        all_after += after;
        out.add_row([
            clean(&one.table),
            one.before.map_or("-".to_owned(), grouped),
            one.after.map_or("-".to_owned(), grouped),
            change(before, after),
            if one.protected { "protected" } else { "" }.to_owned(),
        ]);
    }
    out.add_row([
        "TOTAL".to_owned(),
        grouped(all_before),
        grouped(all_after),
        change(all_before, all_after),
        String::new(),
    ]);
    for column in out.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    out.to_string()
}

/// What `init` makes of each pair of tables.
pub fn drafted_steps(steps: &[DraftStep]) -> String {
    let mut out = table(&["source", "target", "rows", "columns", "dangers", "step"]);
    for step in steps {
        out.add_row([
            clean(&step.source),
            clean(&step.target),
            step.rows.map_or("-".to_owned(), |(rows, _)| grouped(rows)),
            step.columns.len().to_string(),
            step.dangers.len().to_string(),
            if step.is_active() { clean(&step.name) } else { "commented out".to_owned() },
        ]);
    }
    for column in out.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    out.to_string()
}

/// Characters in a line of [`dangers`], wherever it goes.
const DANGERS_WIDTH: u16 = 110;

/// Dangers that `init` saw: table and text.
pub fn dangers(all: &[(String, String)]) -> String {
    let mut out = table(&["table", "danger"]);
    out.set_content_arrangement(ContentArrangement::Dynamic).set_width(DANGERS_WIDTH);
    for (subject, text) in all {
        out.add_row([clean(subject), shortened(text, 240)]);
    }
    out.to_string()
}

/// Mapped sample rows: column and three values.
pub fn samples(rows: &[Vec<(String, Option<String>)>]) -> String {
    let Some(first) = rows.first() else {
        return "  (no rows)".to_owned();
    };
    let mut out = Table::new();
    out.load_style(UTF8_HORIZONTAL_ONLY);
    for (at, (name, _)) in first.iter().enumerate() {
        let values = rows.iter().map(|row| match row.get(at) {
            Some((_, Some(value))) => shortened(value, 60),
            Some((_, None)) => "NULL".to_owned(),
            None => String::new(),
        });
        out.add_row(std::iter::once(clean(name)).chain(values));
    }
    out.to_string()
}
