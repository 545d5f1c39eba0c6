//! `tablelift verify`.

use std::time::Duration;

use tablelift::run::Verify as Wanted;

use crate::cli::args::{Global, Verify};
use crate::cli::ui::{Ui, tables};
use crate::cli::{failed, runner, signals};

/// Proves counts, protected tables, checks and copied rows again.
pub async fn run(verify: &Verify, global: &Global, ui: &Ui) -> u8 {
    let (listener, summary) = ui.listener();
    let mut runner = match runner(&verify.plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    runner.settings.step.clone_from(&verify.step);
    runner.settings.workers = verify.workers;
    runner.settings.patience = Duration::from_secs(verify.hold.lease);
    let wanted = Wanted {
        content: !verify.counts_only,
        sample: verify.sample.filter(|part| *part < 1.0),
        recheck: verify.recheck,
        rebuild: verify.rebuild,
        repair: verify.repair,
    };
    let received = signals::listen(runner.settings.stop.clone());
    match runner.verify(&wanted).await {
        Ok(outcome) => {
            let proofs = summary.step_proofs();
            if !proofs.is_empty() {
                ui.say(&tables::proofs(&proofs));
                tables::not_compared(&proofs).iter().for_each(|line| ui.say(line));
                ui.say("");
            }
            super::summary(ui, &outcome, &summary, "verified");
            outcome.exit_code
        }
        Err(error) => failed(ui, &error, &received),
    }
}
