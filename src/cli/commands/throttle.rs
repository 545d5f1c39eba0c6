//! `tablelift throttle`.

use tablelift::run::{Change, ThrottleStatus};

use crate::cli::args::{Global, Throttle};
use crate::cli::ui::Ui;
use crate::cli::ui::text::{clean, grouped};
use crate::cli::{exit, failed, runner, signals};

/// Steers a run that goes on, here or on another machine, and shows what holds it back.
pub async fn run(throttle: &Throttle, global: &Global, ui: &Ui) -> u8 {
    let (listener, _) = ui.listener();
    let runner = match runner(&throttle.plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return code,
    };
    match runner.throttle(&change(throttle), &who()).await {
        Ok(status) => {
            if ui.json() {
                ui.document(&status);
            } else {
                show(ui, &status);
            }
            exit::DONE
        }
        Err(error) => failed(ui, &error, &signals::Received::default()),
    }
}

fn change(throttle: &Throttle) -> Change {
    let new = |asked: Option<u32>| asked.map(Some).or(throttle.reset.then_some(None));
    let paused = match (throttle.pause, throttle.resume || throttle.reset) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    Change {
        paused,
        rows_per_second: new(throttle.rows_per_second),
        batch_rows: new(throttle.batch_rows),
    }
}

/// The person, as far as the system says.
fn who() -> String {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.unwrap_or_else(|| "somebody".to_owned());
    format!("{name}, pid {}", std::process::id())
}

fn show(ui: &Ui, status: &ThrottleStatus) {
    let limit = match (status.rows_per_second, status.rows_per_second_asked) {
        (Some(rows), true) => format!("{} rows/s, as asked", grouped(u64::from(rows))),
        (Some(rows), false) => format!("{} rows/s", grouped(u64::from(rows))),
        (None, _) => "none".to_owned(),
    };
    ui.say(&format!("plan {}: limit {limit}", status.plan));
    if let Some(rows) = status.batch_rows {
        ui.say(&format!("batches of {} rows, as asked", grouped(u64::from(rows))));
    }
    if status.paused {
        let mark = ui.paint("paused", 33);
        ui.say(&format!("{mark}; `tablelift throttle --resume` lets it go on"));
    }
    if let (Some(by), Some(at)) = (&status.changed_by, &status.changed_at) {
        ui.say(&format!("last changed by {} at {at}", clean(by)));
    }
    ui.say(&format!("the last minute: {:.1} rows/s", status.rate));
    if status.processes.is_empty() {
        ui.say("no process says that it is at work");
    }
    for process in &status.processes {
        let waits = match (&process.waits_for, process.at_work) {
            (Some(reason), _) => format!("waits: {}", clean(reason)),
            (None, true) => "at work".to_owned(),
            (None, false) => "nothing to write just now".to_owned(),
        };
        ui.say(&format!("process {}: {waits}", clean(&process.process)));
        for signal in &process.signals {
            let mark = if signal.over { ui.paint("✗", 31) } else { ui.paint("✓", 32) };
            ui.say(&format!("  {mark} {}", clean(&signal.reading)));
        }
    }
}
