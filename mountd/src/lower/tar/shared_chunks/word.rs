//! What the table says about one chunk, in one number that is changed at once.
//!
//! | bits | what |
//! |---|---|
//! | 0 to 1 | empty (0), being changed (1), there (2) |
//! | 2 to 31 | how often it changed between these, so that nobody mistakes a later state for his own |
//! | 32 to 63 | when it was used, in seconds since the host was started |

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// What can be said of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not in the file.
    Empty,
    /// Somebody is writing it, or punching it out.
    Changing,
    /// In the file, whole.
    There,
}

/// One number of the table, as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

const STATE: u64 = 0b11;
const CHANGES: u64 = 0xffff_fffc;
const ONE_CHANGE: u64 = 0b100;

/// Seconds since the host was started.
pub(super) fn now() -> u32 {
    u32::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(u32::MAX)
}

impl Word {
    /// What `slot` says now.
    pub(super) fn load(slot: &AtomicU64) -> Self {
        Self(slot.load(Ordering::SeqCst))
    }

    /// The state; what is not known counts as being changed, which nobody uses.
    pub(super) fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Empty,
            2 => State::There,
            _ => State::Changing,
        }
    }

    /// Whether it speaks of the same bytes as `other`, whenever either was used.
    pub(super) fn is_same_contents(self, other: Self) -> bool {
        self.0 as u32 == other.0 as u32
    }

    /// How many seconds it was not used.
    pub(super) fn unused(self, now: u32) -> u32 {
        now.saturating_sub((self.0 >> 32) as u32)
    }

    /// Notes the use, once a second at the most.
    pub(super) fn touch(self, slot: &AtomicU64, now: u32) {
        if self.unused(now) > 0 {
            let touched = self.0 & 0xffff_ffff | u64::from(now) << 32;
            // Somebody else's change is as good.
            let _ = slot.compare_exchange(self.0, touched, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// From the state `from` to being changed, by the caller alone; `None` if it is in another one, or
    /// somebody was faster.
    pub(super) fn begin(self, slot: &AtomicU64, from: State, now: u32) -> Option<Self> {
        if self.state() != from {
            return None;
        }
        let changing = self.changed(1) & 0xffff_ffff | u64::from(now) << 32;
        slot.compare_exchange(self.0, changing, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
            .then_some(Self(changing))
    }

    /// Ends the change that the caller began.
    pub(super) fn end(self, slot: &AtomicU64, to: State) {
        let state = match to {
            State::Empty => 0,
            State::Changing => 1,
            State::There => 2,
        };
        slot.store(self.changed(state), Ordering::SeqCst);
    }

    fn changed(self, state: u64) -> u64 {
        let changes = self.0.wrapping_add(ONE_CHANGE) & CHANGES;
        self.0 & !(STATE | CHANGES) | changes | state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_goes_round_and_knows_others_changes() {
        let slot = AtomicU64::new(0);
        let empty = Word::load(&slot);
        let changing = empty.begin(&slot, State::Empty, 100).unwrap();
        assert_eq!(Word::load(&slot).state(), State::Changing);
        assert_eq!(empty.begin(&slot, State::Empty, 100), None);
        changing.end(&slot, State::There);
        let there = Word::load(&slot);
        assert_eq!(there.state(), State::There);
        assert_eq!(there.begin(&slot, State::Empty, 100), None, "not empty");
        there.touch(&slot, 130);
        let used = Word::load(&slot);
        assert!(used.is_same_contents(there) && used != there);
        assert_eq!((used.unused(130), used.unused(150)), (0, 20));
        assert_eq!(
            there.begin(&slot, State::There, 140),
            None,
            "used meanwhile"
        );
        let changing = used.begin(&slot, State::There, 140).unwrap();
        changing.end(&slot, State::Empty);
        let changing = Word::load(&slot).begin(&slot, State::Empty, 150).unwrap();
        changing.end(&slot, State::There);
        assert!(!Word::load(&slot).is_same_contents(there));
    }

    #[test]
    fn changes_wrap_around_without_touching_the_rest() {
        let slot = AtomicU64::new(7 << 32 | 0xffff_fffc);
        let changing = Word::load(&slot).begin(&slot, State::Empty, 9).unwrap();
        assert_eq!(changing, Word(9 << 32 | 1));
    }
}
