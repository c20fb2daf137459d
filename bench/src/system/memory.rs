//! What processes and the machine have of memory.

use std::fs;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    /// Its part of what it has with others and all that it has alone (PSS).
    pub(super) proportional: u64,
    /// What would be free if it ended (USS).
    pub(super) private: u64,
}

/// That of a process, by `/proc/PID/smaps_rollup`; nothing if it has ended.
pub(super) fn of(pid: u32) -> Share {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    parse(&text.unwrap_or_default())
}

fn parse(text: &str) -> Share {
    let field = |name| kilobytes(text, name) * 1024;
    Share {
        proportional: field("Pss:"),
        private: field("Private_Clean:") + field("Private_Dirty:"),
    }
}

/// State of the machine, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// What programs could still get.
    pub(super) available: u64,
    /// Pages of files.
    pub(super) cached: u64,
}

/// Of this moment.
pub(super) fn machine() -> Machine {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        available: kilobytes(&text, "MemAvailable:") * 1024,
        cached: kilobytes(&text, "Cached:") * 1024,
    }
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_kernel_are_found() {
        let text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  5000 kB\nPss:  1024 kB\n\
            Pss_Dirty:  9 kB\nPrivate_Clean:  3 kB\nPrivate_Dirty:  4 kB\n";
        assert_eq!(
            parse(text),
            Share {
                proportional: 1024 * 1024,
                private: 7 * 1024
            }
        );
        assert!(of(std::process::id()).private > 0);
        assert!(machine().available > 0 && machine().cached > 0);
    }
}
