//! Commands that only print: schema, completions, man, and those of later versions.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::args::Arguments;
use crate::cli::exit;
use crate::cli::ui::Ui;

/// Commands that a later version has.
const LATER: &[&str] = &["rejects", "migrate", "cleanup"];

/// The JSON Schema of the plan format.
pub fn schema() -> u8 {
    let schema = tablelift::plan::schema::json_schema();
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{text}");
    exit::DONE
}

/// Completions for a shell.
pub fn completions(shell: Shell) -> u8 {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tablelift", &mut out);
    let _ = std::io::stdout().write_all(&out);
    exit::DONE
}

/// The manual page: the program, then each command.
pub fn man() -> u8 {
    let command = Arguments::command();
    let mut out = Vec::new();
    let mut render = |command: clap::Command| clap_mangen::Man::new(command).render(&mut out);
    let mut result = render(command.clone());
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("tablelift-{}", sub.get_name());
        result = result.and_then(|()| render(sub.clone().name(name)));
    }
    if result.is_err() {
        return exit::FAILED;
    }
    let _ = std::io::stdout().write_all(&out);
    exit::DONE
}

/// A command that this version doesn't have.
pub fn later(name: &str, ui: &Ui) -> u8 {
    let error = if LATER.contains(&name) {
        tablelift::error::Error::invalid(format!("`{name}` is not supported yet"))
    } else {
        tablelift::error::Error::invalid(format!("there is no command `{}`", name.escape_debug()))
    };
    ui.error(&error.hint("See `tablelift --help` for what there is."));
    exit::INVALID
}
