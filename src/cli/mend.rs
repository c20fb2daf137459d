//! Putting a WPAR right whose supervisor died, on the way to whatever a command was asked for.
//!
//! Only root does it, only with the WPAR's lock, and never what could lose anything: a WPAR that
//! runs gets another supervisor; of one that does not, what is left of the run goes. What needs
//! force is left to `stopwpar -F` and `rmwpar -F`.

use super::lifecycle::{self, Sight};
use crate::launch::{self, LaunchError, Remedy, remedy};
use crate::model::WparRecord;
use crate::registry::Registry;

/// What the lock says of this.
const VERB: &str = "repair";

/// Does what can be done about `sight`; whether anything was. `ours` says that this command itself
/// holds the lock.
pub(super) fn mend(registry: &Registry, record: &WparRecord, sight: &Sight, ours: bool) -> bool {
    if !is_for_us(sight) || !rustix::process::geteuid().is_root() {
        return false;
    }
    if ours {
        return try_mend(registry, record, sight);
    }
    let Ok(lock) = registry.try_lock_wpar(&record.name, VERB) else {
        // Somebody is at work on it, maybe on this.
        return false;
    };
    let again = lifecycle::glance(registry, record, true);
    let mended = is_for_us(&again) && try_mend(registry, record, &again);
    drop(lock);
    mended || !is_for_us(&again)
}

fn is_for_us(sight: &Sight) -> bool {
    matches!(remedy(&sight.observation), Remedy::Adopt | Remedy::CleanUp)
}

fn try_mend(registry: &Registry, record: &WparRecord, sight: &Sight) -> bool {
    match remedy(&sight.observation) {
        Remedy::CleanUp => {
            let seen = &sight.observation;
            let what = if seen.executed {
                "its supervisor had died and its init had ended; what was left was taken away"
            } else {
                "its start was cut off; what was left was taken away"
            };
            let mended = lifecycle::clean_up(registry, record).is_ok();
            let log = launch::error_log(&registry.layout().console_log(&record.name));
            // To know it later is worth no failure now.
            let _ = launch::keep_error(&log, what);
            mended
        }
        Remedy::Adopt => matches!(
            launch::adopt(&registry.layout().run_dir(&record.name)),
            Ok(()) | Err(LaunchError::AlreadyActive(_))
        ),
        Remedy::Nothing | Remedy::Force => false,
    }
}
