//! Which chunks are decoded before somebody asks for them.
//!
//! Who reads a chunk after the one before it will probably go on: whether within one large file,
//! or through many small ones in the order of the archive. Several may do so at once. Nothing is
//! decoded ahead that the cache has no room for.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::format::{ChunkRecord, PartRecord};

/// Chunks whose numbers are remembered: as many readers may go on side by side.
const REMEMBERED: usize = 16;
/// Most chunks that are decoded ahead at a time.
const MOST: usize = 4;
/// Share of the cache that may be filled ahead of a reader.
const SHARE: u64 = 4;

/// A chunk to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) part: PartRecord,
    /// Its number in the index.
    pub(super) chunk: u64,
}

/// What is decoded ahead of the readers of an image.
#[derive(Debug)]
pub(super) struct ReadAhead {
    room: u64,
    threads: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The chunks read last, the latest one in front.
    read: VecDeque<u64>,
    /// Those given out last to be decoded.
    given: VecDeque<u64>,
    due: VecDeque<Due>,
    running: usize,
}

impl ReadAhead {
    /// For a cache of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Self {
            room: limit / SHARE,
            threads: threads.min(MOST),
            state: Mutex::default(),
        }
    }

    /// Hears that a chunk of a part is being read.
    pub(super) fn note(&self, number: u64, part: &PartRecord, chunk: &ChunkRecord) {
        let mut state = self.state.lock();
        if state.read.front() == Some(&number) {
            return;
        }
        let goes_on = number > 0 && state.read.contains(&(number - 1));
        let known = state.read.contains(&number);
        remember(&mut state.read, number);
        if !goes_on || known {
            return;
        }
        let fit = self.room / u64::from(chunk.length).max(1);
        let end = part.first_chunk.saturating_add(part.chunks);
        let last = number.saturating_add(fit.min(self.threads as u64));
        for next in number + 1..=last {
            if next < end && !state.given.contains(&next) {
                remember(&mut state.given, next);
                state.due.push_back(Due {
                    part: *part,
                    chunk: next,
                });
            }
        }
        let late = state.due.len().saturating_sub(MOST);
        state.due.drain(..late);
    }

    /// A chunk to be decoded now; [`Self::done`] must follow.
    pub(super) fn due(&self) -> Option<Due> {
        let mut state = self.state.lock();
        if state.running >= self.threads {
            return None;
        }
        let due = state.due.pop_front()?;
        state.running += 1;
        Some(due)
    }

    /// A chunk that was due is decoded, or cannot be.
    pub(super) fn done(&self) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
    }
}

fn remember(numbers: &mut VecDeque<u64>, number: u64) {
    numbers.retain(|known| *known != number);
    numbers.push_front(number);
    numbers.truncate(REMEMBERED);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(limit: u64, numbers: &[u64]) -> Vec<u64> {
        let ahead = ReadAhead {
            threads: 2,
            ..ReadAhead::new(limit)
        };
        let part = PartRecord {
            chunks: 20,
            ..Default::default()
        };
        let chunk = ChunkRecord {
            length: 100,
            ..Default::default()
        };
        let mut due = Vec::new();
        for number in numbers {
            ahead.note(*number, &part, &chunk);
            while let Some(next) = ahead.due() {
                due.push(next.chunk);
                ahead.done();
            }
        }
        due
    }

    #[test]
    fn who_goes_on_finds_chunks_decoded() {
        assert_eq!(ahead(10_000, &[3, 3, 4, 4, 5, 6]), [5, 6, 7, 8]);
        // Two readers side by side.
        assert_eq!(ahead(10_000, &[3, 10, 4, 11]), [5, 6, 12, 13]);
        // The end of the part.
        assert_eq!(ahead(10_000, &[17, 18, 19]), [19]);
    }

    #[test]
    fn who_jumps_about_gets_nothing_decoded() {
        assert!(ahead(10_000, &[9, 4, 1, 6, 3, 12]).is_empty());
        assert!(ahead(399, &[3, 4, 5]).is_empty(), "no room");
        assert_eq!(ahead(400, &[3, 4, 5]), [5, 6], "room for one");
    }

    #[test]
    fn no_more_run_than_may() {
        let ahead = ReadAhead {
            threads: 1,
            ..ReadAhead::new(10_000)
        };
        let part = PartRecord {
            chunks: 20,
            ..Default::default()
        };
        for number in [1, 2, 3] {
            ahead.note(number, &part, &ChunkRecord::default());
        }
        assert!(ahead.due().is_some());
        assert_eq!(ahead.due(), None);
        ahead.done();
        assert!(ahead.due().is_some());
    }
}
