//! `tablelift rollback`.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use crate::cli::args::{Global, Rollback};
use crate::cli::ui::{Ui, tables};
use crate::cli::{exit, failed, runner, signals};

/// Asks, then takes the run back.
pub async fn run(rollback: &Rollback, global: &Global, ui: &Ui) -> u8 {
    let (listener, _) = ui.listener();
    let mut runner = match runner(&rollback.plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    runner.settings.step.clone_from(&rollback.step);
    runner.settings.patience = Duration::from_secs(rollback.hold.lease);
    if !rollback.dry_run && !rollback.yes && !confirmed(&runner.plan.name, ui) {
        return exit::INVALID;
    }
    let received = signals::listen(runner.settings.stop.clone());
    match runner.rollback(rollback.dry_run).await {
        Ok(outcome) => {
            ui.say(&tables::counts(&outcome.tables));
            let line = match (rollback.dry_run, outcome.exit_code) {
                (true, _) => "nothing was changed; this is what a rollback would take back",
                (false, exit::DONE) => "rolled back: everything the run wrote is taken back",
                (false, _) => {
                    "rolled back, less rows that somebody changed since and what has no undo"
                }
            };
            let mark = if outcome.exit_code == exit::DONE {
                ui.paint("✓", 32)
            } else {
                ui.paint("!", 33)
            };
            ui.say(&format!("{mark} {line}"));
            outcome.exit_code
        }
        Err(error) => failed(ui, &error, &received),
    }
}

/// The plan's name, typed; without a terminal nobody can type it.
fn confirmed(plan: &str, ui: &Ui) -> bool {
    if !std::io::stdin().is_terminal() {
        ui.error(
            &tablelift::error::Error::invalid("rollback asks, and there is no terminal to ask on")
                .hint("Add --yes to take the run back without asking, or --dry-run to look first."),
        );
        return false;
    }
    eprint!("This takes back everything that the plan `{plan}` wrote. Type its name to go on: ");
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    if read.is_ok() && typed.trim() == plan {
        return true;
    }
    eprintln!("not taken back");
    false
}
