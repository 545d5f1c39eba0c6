//! `tablelift status`.

use std::path::Path;
use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use tablelift::run::Status;

use crate::cli::args::Global;
use crate::cli::ui::Ui;
use crate::cli::ui::text::{clean, grouped};
use crate::cli::{exit, failed, runner, signals};

/// Shows the state, once or until the run ends.
pub async fn run(plan: &Path, watch: bool, global: &Global, ui: &Ui) -> u8 {
    let (listener, _) = ui.listener();
    let runner = match runner(plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    loop {
        let status = match runner.status().await {
            Ok(status) => status,
            Err(error) => return failed(ui, &error, &signals::Received::default()),
        };
        if ui.json() {
            ui.document(&status);
        } else {
            if watch && ui.color() {
                ui.say("\u{1b}[2J\u{1b}[H");
            }
            show(ui, &status);
        }
        if !watch || !status.held {
            return exit::DONE;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn show(ui: &Ui, status: &Status) {
    let held = if status.held { ", a process holds it" } else { "" };
    ui.say(&format!("plan {}: {}{held}", status.plan, status.state));
    if let (Some(run), Some(started)) = (&status.run, &status.started_at) {
        let ended = status.finished_at.as_ref().map(|at| format!(", ended {at}"));
        ui.say(&format!("run {run}, started {started}{}", ended.unwrap_or_default()));
    }
    if let Some(error) = &status.error {
        ui.say(&format!("last error: {}", clean(error)));
    }
    if let Some(reason) = &status.waits_for {
        ui.say(&format!("throttled: {}", clean(reason)));
    }
    if !status.deferred.is_empty() {
        ui.say(&format!(
            "indexes dropped until the step's end, the next run or a rollback: {}",
            clean(&status.deferred.join(", "))
        ));
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_header(["step", "state", "read", "of", "written", "skipped", "rejected", "chunks"]);
    for step in &status.steps {
        let chunks = if step.chunks == 0 {
            String::new()
        } else {
            format!("{}/{}", step.chunks_done, step.chunks)
        };
        table.add_row([
            clean(&step.figures.step),
            step.state.clone(),
            grouped(step.figures.source_rows),
            step.expected_rows.map(grouped).unwrap_or_default(),
            grouped(step.figures.copied),
            grouped(step.figures.skipped),
            grouped(step.figures.rejected),
            chunks,
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    ui.say(&table.to_string());
    let next = match status.state.as_str() {
        "done" => "next: tablelift verify, or tablelift rollback",
        "differs" => "next: tablelift verify shows what differs; tablelift rollback takes it back",
        "running" => "next: tablelift status --watch",
        "rolling back" => "next: tablelift rollback goes on",
        _ => "next: tablelift run",
    };
    ui.say(next);
}
