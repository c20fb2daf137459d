//! The one binary: `wpar`, its verbs, and the roles that it takes under other names.

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match name.to_str() {
        Some(wpar::launch::SUPERVISOR) => wpar::launch::supervisor_main(),
        Some(wpar::launch::SESSION) => wpar::launch::session_main(),
        _ => ExitCode::FAILURE,
    }
}
