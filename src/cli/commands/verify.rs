//! `tablelift verify`.

use std::path::Path;

use crate::cli::args::Global;
use crate::cli::ui::Ui;
use crate::cli::{failed, runner, signals};

/// Proves counts, protected tables and checks again.
pub async fn run(plan: &Path, global: &Global, ui: &Ui) -> u8 {
    let (listener, summary) = ui.listener();
    let runner = match runner(plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    match runner.verify().await {
        Ok(outcome) => {
            super::summary(ui, &outcome, &summary, "verified");
            outcome.exit_code
        }
        Err(error) => failed(ui, &error, &signals::Received::default()),
    }
}
