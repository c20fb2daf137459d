//! Whether a stored file is still the one that was indexed.
//!
//! Size, time of modification and the hashes of a few stretches: the head, the tail (where a
//! compressed file has its checksums) and some in between. This finds a backup that was replaced
//! or rewritten; it is no defence against somebody who wants to deceive.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::MetadataExt;

use twox_hash::XxHash3_64;

use crate::types::Timestamp;

use super::format::{Fingerprint, hash};
use super::source::read_full;

/// Length of head and tail that are hashed.
const EDGE: usize = 16 * 1024;
/// Length of each sample between them.
const SAMPLE: usize = 4096;
/// Number of samples between them, at equal distances.
const SAMPLES: u64 = 6;

impl Fingerprint {
    /// The fingerprint of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let size = metadata.len();
        let mtime = Timestamp {
            seconds: metadata.mtime(),
            nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        };
        Self::of_bytes(file, size, mtime)
    }

    /// The fingerprint of the first `size` bytes of a file, as if they were an archive of their
    /// own that has no time.
    pub(super) fn of_prefix(file: &File, size: u64) -> io::Result<Self> {
        Self::of_bytes(file, size, Timestamp::default())
    }

    fn of_bytes(file: &File, size: u64, mtime: Timestamp) -> io::Result<Self> {
        let mut buffer = [0; EDGE];
        let mut stretch = |offset: u64, length: usize| {
            let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(length);
            let count = read_full(file, &mut buffer[..length.min(left)], offset)?;
            Ok::<_, io::Error>(hash(&buffer[..count]))
        };
        let head = stretch(0, EDGE)?;
        let tail = stretch(size.saturating_sub(EDGE as u64), EDGE)?;
        let mut samples = XxHash3_64::new();
        for number in 1..=SAMPLES {
            let offset = size / (SAMPLES + 1) * number;
            samples.write(&stretch(offset, SAMPLE)?.to_le_bytes());
        }
        Ok(Self {
            size,
            mtime,
            head,
            tail,
            samples: samples.finish(),
        })
    }

    /// What differs between the archive that was indexed (`self`) and `now`, if anything does.
    pub(super) fn difference(&self, now: &Self) -> Option<&'static str> {
        if self.size != now.size {
            Some("its size is another one")
        } else if self.mtime != now.mtime {
            Some("its time of modification is another one")
        } else if (self.head, self.tail, self.samples) != (now.head, now.tail, now.samples) {
            Some("its contents are others, under the same size and time")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn changes_are_told_apart() {
        let file = tempfile::tempfile().unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
        file.set_modified(time).unwrap();
        let before = Fingerprint::of(&file).unwrap();
        assert_eq!(
            before.mtime,
            Timestamp {
                seconds: 1_700_000_000,
                nanoseconds: 123_456_789
            }
        );
        assert_eq!(before.difference(&Fingerprint::of(&file).unwrap()), None);
        for offset in [0, (1 << 20) / 7 * 3 + 5, (1 << 20) - 1] {
            file.write_all_at(&[8], offset).unwrap();
            file.set_modified(time).unwrap();
            let now = Fingerprint::of(&file).unwrap();
            assert!(
                before.difference(&now).unwrap().contains("contents"),
                "{offset}"
            );
            file.write_all_at(&[7], offset).unwrap();
        }
        file.set_modified(time + Duration::from_nanos(1)).unwrap();
        let now = Fingerprint::of(&file).unwrap();
        assert!(before.difference(&now).unwrap().contains("time"));
        file.set_len(5).unwrap();
        let now = Fingerprint::of(&file).unwrap();
        assert!(before.difference(&now).unwrap().contains("size"));
    }
}
