//! `tablelift report`.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use tablelift::error::{Error, Result};
use tablelift::report::page::{GENERATOR, page};

use crate::cli::args::{Global, Report};
use crate::cli::ui::Ui;
use crate::cli::{exit, failed, runner, signals};

/// Makes the page of the plan's newest run.
pub async fn run(args: &Report, global: &Global, ui: &Ui) -> u8 {
    match make(args, global, ui).await {
        Ok(code) => code,
        Err(error) => failed(ui, &error, &signals::Received::default()),
    }
}

async fn make(args: &Report, global: &Global, ui: &Ui) -> Result<u8> {
    if let Some(path) = args.output.as_deref().filter(|_| !args.force) {
        may_write(path)?;
    }
    if args.output.is_none() && !ui.json() && std::io::stdout().is_terminal() {
        return Err(Error::invalid("a report is a page of HTML, not for a terminal")
            .hint("Say where it should go: tablelift report PLAN -o report.html"));
    }
    let (listener, _) = ui.listener();
    let runner = match runner(&args.plan, global, ui, listener).await {
        Ok(runner) => runner,
        Err(code) => return Ok(code),
    };
    let report = runner.report().await?;
    if ui.json() {
        ui.document(&report);
    }
    match &args.output {
        Some(path) => {
            write(path, &page(&report, None))?;
            ui.say(&format!("{}: {}", path.display(), report.verdict.title));
        }
        // A closed pipe ends quietly.
        None if !ui.json() => {
            let _ = std::io::stdout().write_all(page(&report, None).as_bytes());
        }
        None => {}
    }
    Ok(exit::DONE)
}

/// A report that is there is written over, anything else is not.
fn may_write(path: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let mut begins = Vec::new();
    if found.is_file()
        && let Ok(file) = std::fs::File::open(path)
    {
        let _ = file.take(GENERATOR.len() as u64).read_to_end(&mut begins);
    }
    match begins == GENERATOR.as_bytes() {
        true => Ok(()),
        false => Err(Error::invalid(format!("{} is there, and is no report", path.display()))
            .hint("Give another name, or --force to write over it.")),
    }
}

/// All of it or nothing; for its owner alone, since a report names keys and tables.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::invalid(format!("can't write {}: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| failed(&error.kind()))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}
