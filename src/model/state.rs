//! The state of a WPAR, derived from what can be observed; never stored.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// State of a WPAR, with AIX's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WparState {
    /// `D`: made, not running.
    Defined,
    /// `A`: running.
    Active,
    /// `L`: set up and mounted, for maintenance; no process of its own.
    Loaded,
    /// `F`: all its processes are frozen.
    Frozen,
    /// `P`: frozen for a checkpoint.
    Paused,
    /// `T`: an operation on it is in progress.
    Transitional,
    /// `B`: an operation failed or something died half-way; `rmwpar -F` or `stopwpar -F` clean up.
    Broken,
}

impl WparState {
    /// All states, in the order of the documentation.
    pub const ALL: [WparState; 7] = [
        Self::Defined,
        Self::Active,
        Self::Loaded,
        Self::Frozen,
        Self::Paused,
        Self::Transitional,
        Self::Broken,
    ];

    /// AIX's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Defined => 'D',
            Self::Active => 'A',
            Self::Loaded => 'L',
            Self::Frozen => 'F',
            Self::Paused => 'P',
            Self::Transitional => 'T',
            Self::Broken => 'B',
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Defined => "Defined",
            Self::Active => "Active",
            Self::Loaded => "Loaded",
            Self::Frozen => "Frozen",
            Self::Paused => "Paused",
            Self::Transitional => "Transitional",
            Self::Broken => "Broken",
        }
    }

    /// The state of a WPAR that is on record, from what is seen of it.
    ///
    /// A file alone never makes a state: everything in [`Facts`] was asked of the kernel in this
    /// boot of the host.
    pub fn derive(facts: &Facts) -> Self {
        if facts.operation {
            Self::Transitional
        } else if facts.supervisor_alive {
            match (facts.init_alive, facts.stopping) {
                (true, false) if facts.frozen => Self::Frozen,
                (true, false) if facts.maintenance => Self::Loaded,
                (true, false) => Self::Active,
                // A supervisor without an init is between two of them, or on its way out.
                (true, true) | (false, _) => Self::Transitional,
            }
        } else if facts.init_alive || facts.mounted || facts.populated || facts.leftovers {
            Self::Broken
        } else {
            Self::Defined
        }
    }
}

impl fmt::Display for WparState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// No state has this letter.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no state; the letters are D, A, L, F, P, T and B")]
pub struct UnknownState(pub String);

impl FromStr for WparState {
    type Err = UnknownState;

    /// Reads a letter, in either case.
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| text.eq_ignore_ascii_case(&state.letter().to_string()))
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What is seen of a WPAR at one moment, in this boot of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A command holds the WPAR's lock now.
    pub operation: bool,
    /// The process that looks after it is alive.
    pub supervisor_alive: bool,
    /// Its first process is alive.
    pub init_alive: bool,
    /// Its file system is mounted.
    pub mounted: bool,
    /// Its cgroup has processes.
    pub populated: bool,
    /// It was asked to stop and has not finished.
    pub stopping: bool,
    /// All its processes stand still.
    pub frozen: bool,
    /// It has no processes of its own, only a first one that waits.
    pub maintenance: bool,
    /// Anything else of a run is still there: sockets, cgroups, a dead mount.
    pub leftovers: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts from a word of flags: o(peration) s(upervisor) i(nit) m(ounted) p(opulated)
    /// h(alting) f(rozen) w(aiting, for maintenance) l(eftovers).
    fn facts(flags: &str) -> Facts {
        Facts {
            operation: flags.contains('o'),
            supervisor_alive: flags.contains('s'),
            init_alive: flags.contains('i'),
            mounted: flags.contains('m'),
            populated: flags.contains('p'),
            stopping: flags.contains('h'),
            frozen: flags.contains('f'),
            maintenance: flags.contains('w'),
            leftovers: flags.contains('l'),
        }
    }

    #[test]
    fn states_follow_the_table() {
        for (flags, letter) in [
            ("", 'D'),
            ("simp", 'A'),
            ("si", 'A'),
            ("simpf", 'F'),
            ("simpw", 'L'),
            ("simpwf", 'F'),
            ("simphf", 'T'),
            ("simphw", 'T'),
            ("impf", 'B'),
            ("impw", 'B'),
            ("simph", 'T'),
            ("s", 'T'),
            ("sm", 'T'),
            ("smh", 'T'),
            ("o", 'T'),
            ("osimp", 'T'),
            ("om", 'T'),
            // The supervisor was killed: what it left is broken until somebody cleans up.
            ("imp", 'B'),
            ("i", 'B'),
            ("m", 'B'),
            ("p", 'B'),
            ("l", 'B'),
            ("mh", 'B'),
            // Only the word "stopping", nothing else: it has stopped.
            ("h", 'D'),
        ] {
            assert_eq!(
                WparState::derive(&facts(flags)).letter(),
                letter,
                "{flags:?}"
            );
        }
    }

    #[test]
    fn letters_are_read_back() {
        for state in WparState::ALL {
            assert_eq!(state.letter().to_string().parse(), Ok(state));
            assert_eq!(
                state.letter().to_ascii_lowercase().to_string().parse(),
                Ok(state)
            );
        }
        assert!("X".parse::<WparState>().is_err());
        assert!("".parse::<WparState>().is_err());
        assert!("DA".parse::<WparState>().is_err());
    }
}
