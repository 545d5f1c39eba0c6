//! `tablelift demo`: a legacy database, its migration, and what to try next.

use std::path::Path;

use tablelift::error::{Error, Result};

use crate::cli::args::{Color, Demo, Global, Hold, Run};
use crate::cli::ui::Ui;
use crate::cli::{exit, failed, signals};

const DATABASE: &str = "digital-health.db";

/// Makes the files, runs the plan, says what to try.
pub async fn run(demo: &Demo, ui: &Ui) -> u8 {
    let plan = demo.dir.join("plan.toml");
    if let Err(error) = prepare(demo) {
        return failed(ui, &error, &signals::Received::default());
    }
    ui.say(&format!(
        "the legacy database and its plan are in {}: 4,482 rows in five tables that must not \
         change, and dh_tool, dh_workflow and dh_task to be moved",
        demo.dir.display()
    ));
    if demo.prepare {
        ui.say(&format!("next: tablelift run {}", plan.display()));
        return exit::DONE;
    }
    let global = Global {
        json: ui.json(),
        quiet: false,
        verbose: 0,
        color: if ui.color() { Color::Always } else { Color::Never },
        log_format: None,
        log_file: None,
        source: None,
        target: None,
    };
    let hold = Hold { lease: 60 };
    let run = Run {
        plan: plan.clone(),
        dry_run: false,
        step: None,
        workers: None,
        rows_per_second: None,
        batch_rows: None,
        join: false,
        window: None,
        stop_after: None,
        metrics: None,
        hold,
    };
    let code = super::run::run(&run, &global, ui).await;
    if code == exit::DONE {
        let plan = plan.display();
        ui.say(&format!(
            "\nTry next:\n  \
             less {plan}                        the plan, with comments\n  \
             tablelift status {plan}\n  \
             tablelift verify {plan}            prove it again\n  \
             tablelift rollback {plan}          back to 4,482 rows\n  \
             tablelift run {plan} --dry-run     after that: what a run would do"
        ));
    }
    code
}

fn prepare(demo: &Demo) -> Result<()> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::invalid(format!("can't write {}: {error}", path.display()))
    };
    let database = demo.dir.join(DATABASE);
    if demo.fresh {
        for suffix in ["", "-journal", "-wal", "-shm", ".tablelift-lock"] {
            let path = demo.dir.join(format!("{DATABASE}{suffix}"));
            if path.exists() {
                std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
            }
        }
    }
    for (name, content) in tablelift::demo::files() {
        let path = demo.dir.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        // A plan that the user edited is the user's.
        if !path.exists() || demo.fresh {
            std::fs::write(&path, content).map_err(|error| failed(&path, error))?;
        }
    }
    if !database.exists() {
        tablelift::demo::write_sqlite(&database)?;
    }
    Ok(())
}
