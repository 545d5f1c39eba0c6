//! `tablelift check`.

use std::path::Path;

use tablelift::error::Result;
use tablelift::plan::Plan;
use tablelift::run::{Finding, Level, Runner, Settings};

use crate::cli::args::{Check, Global};
use crate::cli::ui::Ui;
use crate::cli::ui::text::{clean, clean_lines};
use crate::cli::{exit, failed, loaded, signals};

/// Shows what was found, with ticks.
pub async fn run(check: &Check, global: &Global, ui: &Ui) -> u8 {
    let plan = check.plan.as_path();
    let loaded = match loaded(plan, global, ui) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if check.offline {
        if ui.json() {
            ui.document(&serde_json::json!({ "ok": true, "findings": [] }));
        }
        ui.say(&format!("{} the plan file is valid; no database was asked", ui.paint("✓", 32)));
        return exit::DONE;
    }
    let settings = Settings::new(ui.listener().0);
    let received = signals::listen(settings.stop.clone());
    let findings = match look(check, loaded, settings).await {
        Ok(findings) => findings,
        Err(error) => {
            if ui.json() {
                ui.document(&serde_json::json!({
                    "ok": false,
                    "findings": [{ "level": "error", "message": error.to_string(), "help": error.hint }],
                }));
            }
            return failed(ui, &error, &received);
        }
    };
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.level == Level::Error).collect();
    if ui.json() {
        ui.document(&serde_json::json!({ "ok": errors.is_empty(), "findings": findings }));
    }
    for finding in &findings {
        show(ui, plan, finding);
    }
    if errors.is_empty() {
        ui.say(&format!("{} the plan can run; nothing was changed", ui.paint("✓", 32)));
        return exit::DONE;
    }
    ui.say(&format!("{} {} problems; nothing was changed", ui.paint("✗", 31), errors.len()));
    if errors.iter().all(|finding| finding.differs) { exit::DIFFERS } else { exit::INVALID }
}

async fn look(check: &Check, plan: Plan, settings: Settings) -> Result<Vec<Finding>> {
    let runner = Runner::open(plan, settings).await?;
    if check.scan { runner.scan().await } else { runner.check().await }
}

fn show(ui: &Ui, plan: &Path, finding: &Finding) {
    let mark = match finding.level {
        Level::Ok => ui.paint("✓", 32),
        Level::Warning => ui.paint("!", 33),
        Level::Error => ui.paint("✗", 31),
    };
    let place = finding
        .line
        .filter(|_| finding.level != Level::Ok)
        .map(|line| format!(" ({}:{line})", clean(&plan.display().to_string())));
    ui.say(&format!(
        "{mark} {}: {}{}",
        clean(&finding.subject),
        clean_lines(&finding.message),
        place.unwrap_or_default()
    ));
    if let Some(help) = &finding.help {
        ui.say(&format!("    {}", clean(help)));
    }
}
