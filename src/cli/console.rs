//! The console of an active WPAR, on the terminal of whoever asks: `clogin -C`.
//!
//! A restart of the WPAR and the death of its supervisor end what is seen, not the looking: it goes on
//! with what comes after.

use std::thread::sleep;
use std::time::Duration;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle;
use crate::launch::{self, ConsoleEnd, LaunchError};
use crate::model::{WparRecord, WparState};
use crate::registry::Registry;

/// Between two looks at a WPAR that is on its way somewhere.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is tried to get hold of a console. A supervisor of an older version gives none.
const ATTEMPTS: u32 = 50;

/// Looks at the console of a WPAR until it is left or the WPAR has ended.
pub(super) fn look(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<Exit> {
    let name = &record.name;
    let run_dir = registry.layout().run_dir(name);
    match lifecycle::look(registry, record, false).state {
        WparState::Active => {}
        WparState::Loaded => {
            let hint = format!("only its init would write to one; log in with 'clogin {name}'");
            return Err(CliError::wrong_state(name, WparState::Loaded, hint));
        }
        state => {
            let hint = match state {
                WparState::Broken => format!("clean up with 'stopwpar -F {name}'"),
                WparState::Frozen => format!("let it go on with 'wpar resume {name}'"),
                WparState::Transitional => format!("try again, or see 'wpar logs {name}'"),
                _ => format!(
                    "start it with 'startwpar {name}'; 'wpar logs {name}' has what was printed"
                ),
            };
            return Err(CliError::wrong_state(name, state, hint));
        }
    }
    context.note(format_args!(
        "this is the console of {name}; Ctrl-] leaves it"
    ));
    let (mut past, mut attempts) = (true, ATTEMPTS);
    loop {
        match launch::look_at_console(&run_dir, past) {
            Ok(ConsoleEnd::Left) => {
                context.note(format_args!("\nleft the console of {name}"));
                return Ok(Exit::Success);
            }
            Ok(ConsoleEnd::Signal(signal)) => {
                return Ok(Exit::Signal(u8::try_from(signal).unwrap_or(0)));
            }
            Ok(ConsoleEnd::Closed) => (past, attempts) = (false, ATTEMPTS),
            // It may have ended, or its supervisor may have, which the next look tells.
            Err(LaunchError::NotActive | LaunchError::Lost(_)) if attempts > 0 => attempts -= 1,
            Err(error) => return Err(lifecycle::named(name, error)),
        }
        if !goes_on(registry, record)? {
            context.note(format_args!("{name} has ended"));
            return Ok(Exit::Success);
        }
    }
}

/// Waits until the WPAR is active again, or is not any more.
fn goes_on(registry: &Registry, record: &WparRecord) -> CliResult<bool> {
    let name = &record.name;
    loop {
        // Nobody may be there to be connected with for a moment, in whatever state it is.
        sleep(PAUSE);
        match lifecycle::look(registry, record, false).state {
            WparState::Active | WparState::Frozen => return Ok(true),
            WparState::Defined | WparState::Loaded => return Ok(false),
            WparState::Broken => {
                let hint = format!("clean up with 'stopwpar -F {name}'");
                return Err(CliError::wrong_state(name, WparState::Broken, hint));
            }
            WparState::Transitional | WparState::Paused => {}
        }
    }
}
