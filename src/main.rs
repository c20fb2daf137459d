//! The one binary: `wpar`, its verbs, and the roles that it takes under other names.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some(wpar::launch::SUPERVISOR) => wpar::launch::supervisor_main(),
        Some(wpar::launch::SESSION) => wpar::launch::session_main(),
        Some(wpar::mounts::KEEPER) => wpar::mounts::keeper_main(),
        Some(wpar::mountd_client::DAEMON) => wpar_mountd::daemon::main(arguments),
        _ => wpar::cli::main(std::env::args_os().collect()),
    }
}
