//! Which process did something, and whether it still lives.

use std::fs;
use std::io;

use crate::model::Owner;

/// The kernel's name of this boot of the host.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's name of this boot of the host.
///
/// # Errors
/// Those of reading `/proc`.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim_end().to_owned())
}

/// A new random UUID.
///
/// # Errors
/// Those of reading `/proc`.
pub fn new_uuid() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim_end()
        .to_owned())
}

/// This process.
///
/// # Errors
/// Those of reading `/proc`.
pub fn current() -> io::Result<Owner> {
    let pid = std::process::id();
    let started = start_time(pid)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(Owner {
        pid,
        started,
        boot: boot_id()?,
    })
}

/// Whether the process lives. Where `/proc` does not tell, it is taken to live: nothing of a
/// living process may be swept.
pub fn is_alive(owner: &Owner) -> bool {
    if boot_id().is_ok_and(|boot| boot != owner.boot) {
        return false;
    }
    match start_time(owner.pid) {
        Ok(started) => started == Some(owner.started),
        Err(_) => true,
    }
}

/// Start of a process in clock ticks since boot; `None` if there is no such process, or only a
/// dead one that was not waited for.
fn start_time(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // The process ended while the file was open.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    parse_start_time(&String::from_utf8_lossy(&stat))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Field 22 of `/proc/PID/stat`. The second one, the program's name, may contain blanks and
/// parentheses: the fields are counted from its last parenthesis.
fn parse_start_time(stat: &str) -> Option<Option<u64>> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((!matches!(state, "Z" | "X")).then_some(started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_others_do_not() {
        let me = current().unwrap();
        assert!(is_alive(&me));
        assert!(!is_alive(&Owner {
            started: me.started + 1,
            ..me.clone()
        }));
        assert!(!is_alive(&Owner {
            boot: "another".to_owned(),
            ..me.clone()
        }));
        // Larger than any process number (PID_MAX_LIMIT is 4 Mi).
        assert!(!is_alive(&Owner {
            pid: 5_000_000,
            ..me
        }));
    }

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        assert_eq!(
            parse_start_time(&format!("12 (a) b ) (c) S {rest}")),
            Some(Some(777))
        );
        assert_eq!(parse_start_time(&format!("12 (x) Z {rest}")), Some(None));
        assert_eq!(parse_start_time("12 (x) S 1 2"), None);
        assert_eq!(parse_start_time(""), None);
    }
}
