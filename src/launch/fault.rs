//! Places at which a test lets the supervisor, or a command, die, to see that the state stays true.
//!
//! Only programs that are not optimised have them.

/// Environment variable that names the place.
#[cfg(debug_assertions)]
const VARIABLE: &str = "WPAR_DIE_AT";

/// What a supervisor is started with for this.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    #[cfg(debug_assertions)]
    let named = std::env::var_os(VARIABLE).map(|value| (VARIABLE, value));
    #[cfg(not(debug_assertions))]
    let named = None;
    named.into_iter()
}

/// Ends this process as `kill -9` does, if a test asks for it at the place `name`.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        let this = rustix::process::getpid();
        let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
