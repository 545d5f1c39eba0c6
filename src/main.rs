//! The `tablelift` program: starts the runtime, calls the command line, exits with its code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run());
            // Readers that were abandoned half-way must not keep the process alive.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            ExitCode::from(code)
        }
        Err(error) => {
            eprintln!("error: can't start: {error}");
            ExitCode::from(1)
        }
    }
}
