//! What a system read of its lower while it started, in order: so that the next start of the same
//! image can be ahead of it.
//!
//! The daemon only listens ([`Recorder`]) and tells when it is asked; to keep a [`Trail`], and to
//! follow it, is its starter's. A trail is a hint: whatever it says, nothing but the page cache
//! of a mount depends on it. It is made of what a guest did, so who follows it must treat its
//! paths as hostile.
//!
//! As a file: one object of JSON, `{"version":1,"touched":[{"path":"usr/lib/x.so","ranges":[[0,4096]]}]}`,
//! offsets and lengths in bytes; a directory that was listed has no ranges.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::overlay::Overlay;
use crate::types::Ino;

/// The version that is written, and the only one that is followed.
const VERSION: u32 = 1;

/// Largest trail as a file, in bytes. What reads one refuses more.
pub const LONGEST: u64 = 1 << 20;

/// Requests that are listened to; a start has some hundreds.
const MOST: usize = 8192;

/// Two ranges with no more than this between them are one: a request costs as much as reading it.
const GAP: u64 = 16 * 1024;

/// What was read of a lower, in the order of the first request for each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    version: u32,
    /// Files and directories.
    pub touched: Vec<Touched>,
}

/// A file that was read, or a directory that was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Path below the root, without a leading `/`.
    pub path: String,
    /// Offsets and lengths in bytes, ascending and apart; none of a directory.
    pub ranges: Vec<(u64, u64)>,
}

impl Trail {
    /// Reads a trail as [`Self::encode`] has written it; `None` if it is no such thing.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let trail: Self = serde_json::from_slice(text).ok()?;
        (trail.version == VERSION).then_some(trail)
    }

    /// The trail as a file.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
enum Touch {
    Read { offset: u64, length: u64 },
    List,
}

/// Listens to requests until it is asked what there was.
#[derive(Debug)]
pub(crate) struct Recorder {
    listening: AtomicBool,
    touches: Mutex<Vec<(Ino, Touch)>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            listening: AtomicBool::new(true),
            touches: Mutex::default(),
        }
    }
}

impl Recorder {
    /// Part of a file was read.
    pub(crate) fn read(&self, ino: Ino, offset: u64, length: u64) {
        self.touch(ino, Touch::Read { offset, length });
    }

    /// A directory was listed.
    pub(crate) fn list(&self, ino: Ino) {
        self.touch(ino, Touch::List);
    }

    fn touch(&self, ino: Ino, touch: Touch) {
        if !self.listening.load(Ordering::Relaxed) {
            return;
        }
        let mut touches = self.touches.lock();
        if touches.len() < MOST {
            touches.push((ino, touch));
        } else {
            self.listening.store(false, Ordering::Relaxed);
        }
    }

    /// What there was until now, as far as it is the lower's of `overlay`. Listens no more.
    pub(crate) fn finish(&self, overlay: &Overlay) -> Trail {
        self.listening.store(false, Ordering::Relaxed);
        let touches = std::mem::take(&mut *self.touches.lock());
        let mut places = HashMap::new();
        let mut files: Vec<(Ino, Vec<(u64, u64)>)> = Vec::new();
        for (ino, touch) in touches {
            let place = *places.entry(ino).or_insert_with(|| {
                files.push((ino, Vec::new()));
                files.len() - 1
            });
            if let (Touch::Read { offset, length }, Some((_, ranges))) =
                (touch, files.get_mut(place))
            {
                ranges.push((offset, length));
            }
        }
        let touched = files.into_iter().filter_map(|(ino, ranges)| {
            Some(Touched {
                path: String::from_utf8(overlay.path_in_lower(ino)?).ok()?,
                ranges: merged(ranges),
            })
        });
        Trail {
            version: VERSION,
            touched: touched.collect(),
        }
    }
}

/// The same ranges in order, those that touch or nearly do as one.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (offset, length) in ranges {
        let end = offset.saturating_add(length);
        match merged.last_mut() {
            Some((begin, so_far)) if offset <= begin.saturating_add(*so_far + GAP) => {
                *so_far = (*so_far).max(end - *begin);
            }
            _ => merged.push((offset, length)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lower::LowerLayer;
    use crate::lower::memory::MemoryLower;
    use crate::types::EntryName;

    #[test]
    fn ranges_are_merged_over_small_gaps() {
        assert_eq!(merged(vec![]), []);
        assert_eq!(merged(vec![(4096, 4096), (0, 4096)]), [(0, 8192)]);
        assert_eq!(merged(vec![(0, 9000), (100, 10)]), [(0, 9000)]);
        let far = 4096 + GAP + 1;
        assert_eq!(
            merged(vec![(0, 4096), (far, 1), (far, 2)]),
            [(0, 4096), (far, 2)]
        );
        assert_eq!(
            merged(vec![(u64::MAX, 5), (u64::MAX - 1, 1)]),
            [(u64::MAX - 1, 1)]
        );
    }

    #[test]
    fn what_was_read_is_told_in_order_once() {
        let lower = MemoryLower::builder()
            .directory("etc")
            .file("etc/passwd", b"root")
            .file("init", b"run")
            .build()
            .unwrap();
        let overlay = Overlay::new(Arc::new(lower) as Arc<dyn LowerLayer>, None);
        let find = |parent, name: &str| {
            let name = EntryName::new(name.as_bytes()).unwrap();
            overlay.lookup(parent, name).unwrap().unwrap().ino()
        };
        let (etc, init) = (find(Ino::ROOT, "etc"), find(Ino::ROOT, "init"));
        let passwd = find(etc, "passwd");
        let recorder = Recorder::default();
        recorder.read(init, 0, 4096);
        recorder.list(etc);
        recorder.read(passwd, 0, 4096);
        recorder.read(init, 4096, 4096);
        recorder.read(Ino(1 << 40), 0, 1);
        let trail = recorder.finish(&overlay);
        let told: Vec<_> = trail
            .touched
            .iter()
            .map(|touched| (touched.path.as_str(), touched.ranges.as_slice()))
            .collect();
        assert_eq!(
            told,
            [
                ("init", [(0, 8192)].as_slice()),
                ("etc", &[]),
                ("etc/passwd", &[(0, 4096)])
            ]
        );
        assert_eq!(Trail::decode(&trail.encode()), Some(trail));
        recorder.read(init, 0, 1);
        assert_eq!(recorder.finish(&overlay).touched, [], "it listens no more");
    }

    #[test]
    fn trails_of_other_versions_and_rubbish_are_no_trails() {
        for text in ["", "{}", "[]", "{\"version\":2,\"touched\":[]}"] {
            assert_eq!(Trail::decode(text.as_bytes()), None, "{text}");
        }
    }
}
