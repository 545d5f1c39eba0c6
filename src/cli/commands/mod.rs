//! One file for each command.

pub mod check;
pub mod demo;
pub mod init;
pub mod report;
pub mod rollback;
pub mod run;
pub mod status;
pub mod texts;
pub mod throttle;
pub mod verify;

use tablelift::run::Outcome;

use super::exit;
use super::ui::tables::{self, Summary};
use super::ui::{Ui, text};

/// The summary of a command that ran: steps, tables, what differs, the verdict.
fn summary(ui: &Ui, outcome: &Outcome, summary: &Summary, verb: &str) {
    if !outcome.steps.is_empty() {
        ui.say(&tables::steps(&outcome.steps));
        ui.say("");
    }
    ui.say(&tables::counts(&outcome.tables));
    for wait in summary.waits() {
        ui.say(&format!("waited {wait}"));
    }
    for slow in summary.slow() {
        ui.warn(&format!("the check {slow} is slower than its warn_over"));
    }
    let rejected: u64 = outcome.steps.iter().map(|step| step.rejected).sum();
    if rejected > 0 {
        ui.say(&format!(
            "{} {} rows are in the rejects, with key, column and reason: table rejects of the ledger",
            ui.paint("!", 33),
            text::grouped(rejected)
        ));
    }
    let differences = summary.differences();
    for line in &differences {
        ui.say(&format!("{} {line}", ui.paint("✗", 31)));
    }
    let (checks, protected) = summary.proofs();
    let rows: u64 = outcome.tables.iter().filter_map(|table| table.after).sum();
    if outcome.exit_code == exit::DONE {
        ui.say(&format!(
            "{} {verb}: {} rows in {} tables; {checks} checks and {protected} protected tables hold",
            ui.paint("✓", 32),
            text::grouped(rows),
            outcome.tables.len(),
        ));
    } else {
        let cross = ui.paint("✗", 31);
        if !outcome.unfinished.is_empty() {
            ui.say(&format!("{cross} not finished: {}", text::listed(&outcome.unfinished)));
        }
        if !differences.is_empty() || outcome.unfinished.is_empty() {
            ui.say(&format!("{cross} {verb}, but {} things differ", differences.len()));
        }
    }
}
