//! The command line: sees only the library's public API.

mod args;
mod commands;
mod exit;
mod signals;
mod ui;
mod watch;

use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use tablelift::error::Error;
use tablelift::event::Listener;
use tablelift::plan::Plan;
use tablelift::plan::resolve::{LoadOptions, load};
use tablelift::run::{Runner, Settings};

use self::args::{Arguments, Command, Global};
use self::ui::Ui;

/// Runs the command that was typed; its exit code.
pub async fn run() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { exit::INVALID } else { exit::DONE };
            let _ = error.print();
            return code;
        }
    };
    #[cfg(debug_assertions)]
    if let Ok(point) = std::env::var("TABLELIFT_FAIL_POINT") {
        tablelift::fail::arm(&point);
    }
    let mut ui = Ui::new(&arguments.global);
    if let Err(error) = ui.log(&arguments.global) {
        return failed(&ui, &error, &signals::Received::default());
    }
    if let Some(name) = typed_password(&arguments.global) {
        ui.warn(&format!(
            "{name} holds a password that other users of this machine can see; \
             use the variable TABLELIFT_{} or ${{VAR}} in the plan",
            name.trim_start_matches("--").to_uppercase()
        ));
    }
    dispatch(&arguments, &ui).await
}

async fn dispatch(arguments: &Arguments, ui: &Ui) -> u8 {
    let global = &arguments.global;
    match &arguments.command {
        Command::Demo(demo) => commands::demo::run(demo, ui).await,
        Command::Init(init) => commands::init::run(init, global, ui).await,
        Command::Check(check) => commands::check::run(check, global, ui).await,
        Command::Run(run) | Command::Resume(run) => commands::run::run(run, global, ui).await,
        Command::Plan(run) => {
            let run = args::Run { dry_run: true, ..run.clone() };
            commands::run::run(&run, global, ui).await
        }
        Command::Status { plan, watch } => commands::status::run(plan, *watch, global, ui).await,
        Command::Verify(verify) => commands::verify::run(verify, global, ui).await,
        Command::Throttle(throttle) => commands::throttle::run(throttle, global, ui).await,
        Command::Report(report) => commands::report::run(report, global, ui).await,
        Command::Rollback(rollback) => commands::rollback::run(rollback, global, ui).await,
        Command::Schema => commands::texts::schema(),
        Command::Completions { shell } => commands::texts::completions(*shell),
        Command::Man => commands::texts::man(),
        Command::Later(words) => {
            let name = words.first().cloned().unwrap_or_default();
            commands::texts::later(&name, ui)
        }
    }
}

/// The flag that was typed with a password in its URL, if one was.
fn typed_password(global: &Global) -> Option<&'static str> {
    let typed = |flag: &str| std::env::args().any(|word| word.starts_with(flag));
    let secret = |url: &Option<String>| {
        url.as_deref().and_then(|url| url.split_once("://")).is_some_and(|(_, rest)| {
            rest.split('@').next().is_some_and(|user| rest.contains('@') && user.contains(':'))
        })
    };
    [("--source", &global.source), ("--target", &global.target)]
        .into_iter()
        .find(|(flag, url)| secret(url) && typed(flag))
        .map(|(flag, _)| flag)
}

/// Loads the plan and makes its runner; on failure everything is said and the code returned.
async fn runner(
    plan: &Path,
    global: &Global,
    ui: &Ui,
    listener: Arc<dyn Listener>,
) -> Result<Runner, u8> {
    let plan = loaded(plan, global, ui)?;
    let opened = Runner::open(plan, Settings::new(listener)).await;
    opened.map_err(|error| failed(ui, &error, &signals::Received::default()))
}

/// Loads the plan; on failure everything is said and the code returned.
fn loaded(plan: &Path, global: &Global, ui: &Ui) -> Result<Plan, u8> {
    let vars = |name: &str| std::env::var(name).ok();
    let options = LoadOptions {
        vars: &vars,
        source: global.source.as_deref().map(from_here),
        target: global.target.as_deref().map(from_here),
    };
    match load(plan, &options) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() && !ui.json() {
                ui.say_aside(&ui::diagnostic::render(
                    plan,
                    &loaded.plan.text,
                    &loaded.warnings,
                    ui.color(),
                ));
            }
            Ok(loaded.plan)
        }
        Err(error) => {
            ui.plan_error(&error);
            Err(exit::INVALID)
        }
    }
}

/// A URL that was typed: a relative path starts where the person stands, not at the plan.
fn from_here(url: &str) -> String {
    let path = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    match (path, std::env::current_dir()) {
        (Some(path), Ok(here)) if !path.is_empty() => {
            format!("sqlite:{}", here.join(path).display())
        }
        _ => url.to_owned(),
    }
}

/// Says an error; its exit code.
fn failed(ui: &Ui, error: &Error, signals: &signals::Received) -> u8 {
    let code = signals.code().filter(|_| error.exit_code() > 128).unwrap_or(error.exit_code());
    ui.error(error);
    code
}
