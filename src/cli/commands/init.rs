//! `tablelift init`: a first plan.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tablelift::error::{Error, Result};
use tablelift::run::init::{Drafted, Wish, init};
use tablelift::run::{Finding, Level};

use crate::cli::args::{Global, Init};
use crate::cli::ui::Ui;
use crate::cli::ui::tables::{dangers, drafted_steps};
use crate::cli::ui::text::{clean, clean_lines};
use crate::cli::{exit, failed, from_here, signals};

/// Where a plan on stdout is thought to stand.
const HERE: &str = "plan.toml";

/// Drafts, checks, writes.
pub async fn run(args: &Init, global: &Global, ui: &Ui) -> u8 {
    let drafted = match draft(args, global).await {
        Ok(drafted) => drafted,
        Err(error) => {
            if ui.json() {
                ui.document(&serde_json::json!({
                    "ok": false,
                    "findings": [{ "level": "error", "message": error.to_string(), "help": error.hint }],
                }));
            }
            return failed(ui, &error, &signals::Received::default());
        }
    };
    if let Err(error) = put(args, &drafted) {
        return failed(ui, &error, &signals::Received::default());
    }
    let errors: Vec<&Finding> =
        drafted.findings.iter().filter(|one| one.level == Level::Error).collect();
    if ui.json() {
        ui.document(&serde_json::json!({
            "ok": errors.is_empty(),
            "plan": args.output,
            "text": args.output.is_none().then_some(&drafted.text),
            "draft": drafted.draft,
            "findings": drafted.findings,
            "snapshot": args.snapshot,
        }));
    } else if args.output.is_none() {
        let _ = std::io::stdout().write_all(drafted.text.as_bytes());
    }
    report(args, &drafted, &errors, ui);
    if errors.is_empty() {
        exit::DONE
    } else if errors.iter().all(|one| one.differs) {
        exit::DIFFERS
    } else {
        exit::INVALID
    }
}

async fn draft(args: &Init, global: &Global) -> Result<Drafted> {
    let (Some(source), Some(target)) = (&global.source, &global.target) else {
        return Err(Error::invalid("init needs both databases").hint(
            "Type tablelift init --source URL --target URL, or set TABLELIFT_SOURCE and \
             TABLELIFT_TARGET. A URL is postgres://…, mysql://… or sqlite:PATH.",
        ));
    };
    for path in files(args) {
        if !args.force && path.exists() {
            return Err(exists(path));
        }
        // Said before both databases are read, which may take a while.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(Error::invalid(format!("there is no folder {}", folder.display()))
                .hint(format!("Make it first, for {}.", path.display())));
        }
    }
    let (source, target) = (from_here(source), from_here(target));
    let plan = args.output.as_deref().unwrap_or(Path::new(HERE));
    let wish = Wish {
        source: &source,
        target: &target,
        plan,
        tables: &args.tables,
        counts: !args.no_counts,
    };
    init(&wish).await
}

fn files(args: &Init) -> impl Iterator<Item = &PathBuf> {
    args.output.iter().chain(&args.snapshot)
}

fn exists(path: &Path) -> Error {
    Error::invalid(format!("{} is there already", path.display()))
        .hint("Give another name, or --force to write over it.")
}

/// Writes the files that were asked for.
fn put(args: &Init, drafted: &Drafted) -> Result<()> {
    if let Some(path) = &args.output {
        write(path, &drafted.text, args.force)?;
    }
    if let Some(path) = &args.snapshot {
        let text = serde_json::to_string_pretty(&drafted.snapshot)
            .map_err(|error| Error::stop(format!("the snapshot can't be written: {error}")))?;
        write(path, &format!("{text}\n"), args.force)?;
    }
    Ok(())
}

/// A file that came meanwhile is kept too.
fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !force {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::invalid(format!("can't write {}: {error}", path.display())),
    })
}

/// What was decided, beside the plan.
fn report(args: &Init, drafted: &Drafted, errors: &[&Finding], ui: &Ui) {
    let draft = &drafted.draft;
    if !draft.steps.is_empty() {
        ui.say_aside(&drafted_steps(&draft.steps));
    }
    let all = draft.all_dangers();
    if !all.is_empty() {
        ui.say_aside(&dangers(&all));
    }
    for table in draft.unmatched.iter().filter(|table| !table.view) {
        ui.warn(&format!("{}: no step, {}", table.table, table.why));
    }
    for one in errors {
        let mark = ui.paint("✗", 31);
        let help = one.help.as_ref().map(|help| format!("\n    {}", clean(help)));
        ui.say_aside(&format!(
            "{mark} {}: {}{}",
            clean(&one.subject),
            clean_lines(&one.message),
            help.unwrap_or_default()
        ));
    }
    let place = args.output.as_deref().map(|path| path.display().to_string());
    if !errors.is_empty() {
        let where_to = place.map(|path| format!(" in {path}")).unwrap_or_default();
        ui.say_aside(&format!(
            "{} check finds {} problems in the draft: complete the plan{where_to} by its comments",
            ui.paint("✗", 31),
            errors.len()
        ));
        return;
    }
    let (save, file) = match place {
        Some(path) => ("", path),
        None => ("save it, then ", HERE.to_owned()),
    };
    let export = match drafted.variables.as_slice() {
        [] => String::new(),
        names => format!("export {} with the URLs, then ", names.join(" and ")),
    };
    ui.say_aside(&format!(
        "{} check passes; next: {save}{export}tablelift run --dry-run {file}",
        ui.paint("✓", 32)
    ));
}
