//! Decoded chunks on their way into the file that mounts share: who waits for a byte of one is answered
//! first, and the copy is made afterwards, by a thread that lives as long as there is something to do.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Most chunks that wait, each of 16 MiB at most and mostly of 2: who decodes another one copies it
/// himself.
const MOST: usize = 4;

/// A chunk that waits: its number, and its bytes.
pub(super) type Waiting = (u64, Arc<Vec<u8>>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    has_thread: bool,
}

impl Keeping {
    /// Puts a chunk aside; gives it back if too many wait.
    pub(super) fn put(&self, chunk: Waiting) -> Option<Waiting> {
        let mut state = self.state.lock();
        if state.waiting.len() >= MOST {
            return Some(chunk);
        }
        state.waiting.push_back(chunk);
        None
    }

    /// Whether the caller has to see to it that a thread takes chunks until there are none.
    pub(super) fn needs_thread(&self) -> bool {
        let mut state = self.state.lock();
        let needs = !state.waiting.is_empty() && !state.has_thread;
        state.has_thread |= needs;
        needs
    }

    /// The next chunk; `None`, with which the caller's duty ends, if none waits.
    pub(super) fn next(&self) -> Option<Waiting> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        state.has_thread = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_takes_all_that_waits() {
        let keeping = Keeping::default();
        assert!(!keeping.needs_thread());
        let chunk = |number| (number, Arc::new(vec![number as u8]));
        for number in 0..MOST as u64 {
            assert_eq!(keeping.put(chunk(number)), None);
        }
        assert_eq!(keeping.put(chunk(99)), Some(chunk(99)), "too many wait");
        assert!(keeping.needs_thread());
        assert!(!keeping.needs_thread(), "there is one");
        for number in 0..MOST as u64 {
            assert_eq!(keeping.next(), Some(chunk(number)));
        }
        assert_eq!(keeping.put(chunk(7)), None);
        assert!(!keeping.needs_thread(), "it has not ended yet");
        assert_eq!(keeping.next(), Some(chunk(7)));
        assert_eq!(keeping.next(), None);
        assert_eq!(keeping.put(chunk(8)), None);
        assert!(keeping.needs_thread(), "it has ended");
    }
}
