//! How far a copy of the running system is one of a moment.

use std::fmt;

use wpar_mountd::hydrate::{Progress, State};

/// What may be expected of a copy of the running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// It is the system as it was at one moment.
    Exact,
    /// Every file is one complete version of a time; nothing later shows.
    FileConsistent,
    /// It is becoming so: percent that are done.
    Hydrating(u64),
    /// It shows what the system is now, but for what the copy changed.
    Live,
}

impl Consistency {
    /// Of a copy of the running system: whether it is made of snapshots, whether it is to be hydrated,
    /// and how far that is.
    pub fn of(is_frozen: bool, is_wanted: bool, progress: Option<&Progress>) -> Self {
        match progress {
            _ if is_frozen => Self::Exact,
            Some(progress) if progress.state == State::Done => Self::FileConsistent,
            Some(Progress {
                state: State::Failed | State::Essential | State::Stopped,
                ..
            }) => Self::Live,
            progress if is_wanted => Self::Hydrating(progress.map_or(0, Progress::percent)),
            _ => Self::Live,
        }
    }

    /// What it means, for the administrator.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Exact => {
                "it is what a loss of power at that moment would have left: data bases and journals \
                 recover as after a crash; nothing that the host does later shows in it"
            }
            Self::FileConsistent => {
                "every file is one complete version of that time, but not all of one moment; nothing \
                 that the host did later shows in it"
            }
            Self::Hydrating(_) => {
                "what is not copied yet shows the host's present version until it is"
            }
            Self::Live => {
                "a file shows the host's present version until the WPAR writes it; upgrades and \
                 removals on the host show: not a copy of a moment"
            }
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::FileConsistent => f.write_str("file-consistent"),
            Self::Hydrating(percent) => write!(f, "hydrating {percent}%"),
            Self::Live => f.write_str("live"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_never_better_than_what_is() {
        let in_state = |state| Progress {
            state,
            bytes_all: 100,
            bytes_done: 62,
            ..Progress::default()
        };
        let word = |frozen, wanted, progress: Option<Progress>| {
            Consistency::of(frozen, wanted, progress.as_ref()).to_string()
        };
        assert_eq!(word(true, false, None), "exact");
        assert_eq!(word(false, false, None), "live");
        assert_eq!(word(false, true, None), "hydrating 0%");
        let running = in_state(State::Running);
        assert_eq!(word(false, true, Some(running.clone())), "hydrating 62%");
        assert_eq!(
            word(false, true, Some(in_state(State::Waiting))),
            "hydrating 62%"
        );
        assert_eq!(word(false, false, Some(running)), "live");
        for state in [State::Failed, State::Essential, State::Stopped] {
            assert_eq!(
                word(false, true, Some(in_state(state))),
                "live",
                "{state:?}"
            );
        }
        assert_eq!(
            word(false, false, Some(in_state(State::Done))),
            "file-consistent"
        );
    }
}
