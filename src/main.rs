//! The `tablelift` program: starts the runtime, calls the command line, exits with its code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run());
            // Not through the runtime's own end: a task that sits in a call to SQLite would come
            // back to a runtime that is no more, and panic.
            std::process::exit(i32::from(code))
        }
        Err(error) => {
            eprintln!("error: can't start: {error}");
            ExitCode::from(1)
        }
    }
}
