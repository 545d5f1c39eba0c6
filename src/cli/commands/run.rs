//! `tablelift run`.

use std::time::Duration;

use tablelift::error::Kind;
use tablelift::run::{Preview, Runner};

use crate::cli::args::{Global, Run};
use crate::cli::ui::Ui;
use crate::cli::ui::tables;
use crate::cli::ui::text::{clean, clean_lines, grouped, listed};
use crate::cli::{exit, failed, runner, signals, watch};

/// Runs or resumes the plan, or shows what it would do.
pub async fn run(run: &Run, global: &Global, ui: &Ui) -> u8 {
    let (listener, summary) = ui.listener();
    // Before anything is touched.
    let watched = match watch::Watched::bind(run.metrics.as_deref(), ui).await {
        Ok(watched) => watched,
        Err(error) => return failed(ui, &error, &signals::Received::default()),
    };
    let listener = watched.also(listener);
    let mut runner = match runner(&run.plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    runner.settings.step.clone_from(&run.step);
    runner.limit(run.rows_per_second, run.batch_rows);
    runner.settings.workers = run.workers;
    runner.settings.window.clone_from(&run.window);
    runner.settings.stop_after = run.stop_after;
    runner.settings.patience = Duration::from_secs(run.hold.lease);
    if run.dry_run {
        return preview(&runner, ui).await;
    }
    let received = signals::listen(runner.settings.stop.clone());
    let serving = watched.serve(&runner);
    let ran = if run.join { runner.join().await } else { runner.run().await };
    if let Some(serving) = serving {
        serving.end().await;
    }
    match ran {
        Ok(outcome) => {
            let left = &outcome.unfinished;
            let verb = match left.len() {
                0 => "done".to_owned(),
                many => format!("done so far, {many} steps left ({})", listed(left)),
            };
            super::summary(ui, &outcome, &summary, &verb);
            outcome.exit_code
        }
        Err(error) if error.kind == Kind::Asked => {
            ui.say(&format!("{error}; {}", error.hint.as_deref().unwrap_or_default()));
            error.exit_code()
        }
        Err(error) => {
            for line in summary.differences() {
                ui.say_aside(&format!("{} {line}", ui.paint("✗", 31)));
            }
            let code = failed(ui, &error, &received);
            if let Some(line) = summary.unfinished() {
                ui.say_aside(&line);
            }
            code
        }
    }
}

async fn preview(runner: &Runner, ui: &Ui) -> u8 {
    match runner.dry_run().await {
        Ok(previews) => {
            if ui.json() {
                ui.document(&serde_json::json!({ "plan": runner.plan.name, "steps": previews }));
            }
            previews.iter().for_each(|preview| show(ui, preview));
            if previews.is_empty() {
                ui.say("every step is done or begun; `tablelift status` shows them");
            }
            ui.say("nothing was changed; `tablelift run` does it");
            exit::DONE
        }
        Err(error) => failed(ui, &error, &signals::Received::default()),
    }
}

fn show(ui: &Ui, preview: &Preview) {
    let rows = preview.source_rows.map(|rows| format!(", {} rows", grouped(rows)));
    let before = preview.before.map(|rows| format!(", target has {}", grouped(rows)));
    ui.say(&format!(
        "{} ({}{}{})",
        ui.paint(&format!("step {}", clean(&preview.step)), 36),
        preview.kind,
        rows.unwrap_or_default(),
        before.unwrap_or_default()
    ));
    if !preview.route.is_empty() {
        ui.say(&format!("  route {}", clean(&preview.route)));
    }
    for line in &preview.tune {
        ui.say(&format!("  {}", clean(line)));
    }
    for note in &preview.notes {
        ui.say(&format!("  {} {}", ui.paint("!", 33), clean(note)));
    }
    for sql in &preview.sql {
        ui.say(&format!("  {}", clean_lines(sql).replace('\n', "\n  ")));
    }
    if preview.kind != "sql" {
        ui.say(&tables::samples(&preview.samples));
    }
    ui.say("");
}
