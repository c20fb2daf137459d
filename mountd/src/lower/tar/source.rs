//! Where a scan gets bytes from: stored ones anywhere, those of a stream front to back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::ScanError;
use super::window_ahead::WindowAhead;

/// Stored bytes: a range of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'f> {
    file: &'f File,
    start: u64,
    length: u64,
}

impl<'f> Stretch<'f> {
    /// `length` bytes of `file` from `start` on.
    pub(super) fn new(file: &'f File, start: u64, length: u64) -> Self {
        Self {
            file,
            start,
            length,
        }
    }

    /// The file, where the stretch begins in it, and how long it is.
    pub(super) fn place(&self) -> (&'f File, u64, u64) {
        (self.file, self.start, self.length)
    }

    /// How long it is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads from `offset` of the stretch until `buffer` is full or the stretch, or its file, ends;
    /// returns how many bytes.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.length.saturating_sub(offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        read_full(
            self.file,
            &mut buffer[..count],
            self.start.saturating_add(offset),
        )
    }
}

/// Bytes that can be read anywhere.
pub(super) trait StoredBytes: Sync {
    /// Reads from `offset` until `buffer` is full or the bytes end; returns how many.
    ///
    /// # Errors
    /// The kernel's, or that they cannot be decoded.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many there are.
    fn length(&self) -> u64;
}

impl StoredBytes for Stretch<'_> {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Stretch::read(self, buffer, offset)
    }

    fn length(&self) -> u64 {
        Stretch::length(self)
    }
}

impl StoredBytes for &dyn StoredBytes {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read(buffer, offset)
    }

    fn length(&self) -> u64 {
        (**self).length()
    }
}

/// A range of other bytes.
pub(super) struct Section<'b> {
    pub(super) bytes: &'b dyn StoredBytes,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl StoredBytes for Section<'_> {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.length.saturating_sub(offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        self.bytes
            .read(&mut buffer[..count], self.start.saturating_add(offset))
    }

    fn length(&self) -> u64 {
        self.length
    }
}

/// The uncompressed tar stream, seen through a window that only moves forward.
pub(in crate::lower) trait Source {
    /// The bytes at `offset`: `length` of them, fewer only where the stream ends. No later call
    /// may name an earlier offset.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError>;

    /// Length of the stream, as soon as it is known (it is once [`Self::bytes`] fell short).
    fn end(&self) -> Option<u64>;

    /// How far the stored bytes have been read, for progress and messages.
    fn position(&self) -> u64;
}

/// A plain archive: header after header is read where it stands, file contents are jumped over.
#[derive(Debug)]
pub(super) struct PlainSource<B> {
    stored: B,
    buffer: Box<[u8]>,
    start: u64,
    filled: usize,
    /// What reads the next window meanwhile.
    ahead: Option<WindowAhead>,
}

/// Reading on where the last window ended: small files, so the next headers are near.
const WINDOW_RUN: usize = 128 * 1024;
/// Reading after a jump over a larger file: one header and a little more.
const WINDOW_JUMP: usize = 16 * 1024;

impl<B: StoredBytes> PlainSource<B> {
    /// A source that reads all of `stored`.
    pub(super) fn new(stored: B) -> Self {
        Self {
            stored,
            buffer: vec![0; WINDOW_RUN].into(),
            start: 0,
            filled: 0,
            ahead: None,
        }
    }

    fn window(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.buffer
            .get(..self.filled)?
            .get(from..from.checked_add(length)?)
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let runs_on = offset <= self.start + self.filled as u64;
        let wanted = length.max(if runs_on { WINDOW_RUN } else { WINDOW_JUMP });
        if self.buffer.len() < wanted {
            self.buffer = vec![0; wanted].into();
        }
        if !(runs_on && self.take_ahead(offset, length)) {
            self.start = offset;
            self.filled = 0;
            self.filled = self.stored.read(&mut self.buffer[..wanted], offset)?;
        }
        if runs_on && let Some(ahead) = &mut self.ahead {
            ahead.ask(self.start + self.filled as u64);
        }
        Ok(())
    }

    /// Takes the window that was read ahead, if it has these bytes.
    fn take_ahead(&mut self, offset: u64, length: usize) -> bool {
        let Some(ahead) = &mut self.ahead else {
            return false;
        };
        let Some(window) = ahead.take(offset) else {
            return false;
        };
        let (start, buffer) = (window.start, window.buffer);
        let Ok(filled) = window.filled else {
            ahead.recycle(buffer);
            return false;
        };
        let left = usize::try_from(start + filled as u64 - offset).unwrap_or(0);
        if length > left {
            ahead.recycle(buffer);
            return false;
        }
        ahead.recycle(std::mem::replace(&mut self.buffer, buffer));
        self.start = start;
        self.filled = filled;
        true
    }
}

impl<'f> PlainSource<Stretch<'f>> {
    /// The same, with the next window read meanwhile by a thread: for archives of some size.
    pub(super) fn reading_ahead(stored: Stretch<'f>) -> Self {
        /// Below this a thread costs more than it saves.
        const WORTH: u64 = 4 << 20;
        let ahead = match stored.length() >= WORTH {
            // Without it all goes on, only slower.
            true => WindowAhead::start(stored, WINDOW_RUN).ok(),
            false => None,
        };
        Self {
            ahead,
            ..Self::new(stored)
        }
    }
}

impl<B: StoredBytes> Source for PlainSource<B> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        let left =
            usize::try_from(self.stored.length().saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        if self.window(offset, length).is_none() {
            self.fill(offset, length).map_err(ScanError::Read)?;
        }
        // A file that shrinks while it is read looks cut off where it ends now.
        let length = length.min(self.filled.saturating_sub((offset - self.start) as usize));
        Ok(self.window(offset, length).unwrap_or_default())
    }

    fn end(&self) -> Option<u64> {
        Some(self.stored.length())
    }

    fn position(&self) -> u64 {
        self.start
    }
}

/// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes.
pub(crate) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn windows_move_forward_and_end_with_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..WINDOW_RUN * 3 + 77).map(|at| (at / 7) as u8).collect();
        file.write_all(&contents).unwrap();
        let mut source = PlainSource::new(Stretch::new(&file, 0, contents.len() as u64));
        let mut offset = 0;
        for step in [
            0,
            1,
            511,
            512,
            5000,
            WINDOW_JUMP,
            WINDOW_RUN,
            3,
            WINDOW_RUN + 100,
            512,
        ] {
            offset += step;
            for length in [0, 1, 512, 40_000] {
                let end = (offset + length).min(contents.len());
                assert_eq!(
                    source.bytes(offset as u64, length).unwrap(),
                    &contents[offset..end]
                );
            }
        }
        let at_end = contents.len() as u64;
        assert!(source.bytes(at_end + 1000, 512).unwrap().is_empty());
        assert_eq!(source.end(), Some(at_end));
    }

    #[test]
    fn windows_read_ahead_are_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..5 << 20).map(|at: u32| (at / 7 % 251) as u8).collect();
        file.write_all(&contents).unwrap();
        // Begins somewhere in the file, and ends before it does.
        let stretch = Stretch::new(&file, 1000, (5 << 20) - 3000);
        let contents = &contents[1000..(5 << 20) - 2000];
        for (step, length) in [
            (512, 512),
            (2560, 512),
            (700, 1500),
            (300_000, 512),
            (4099, 300_000),
        ] {
            let mut source = PlainSource::reading_ahead(stretch);
            assert!(source.ahead.is_some());
            for offset in (0..contents.len() + 2 * step).step_by(step) {
                let from = offset.min(contents.len());
                let end = (offset + length).min(contents.len());
                assert_eq!(
                    source.bytes(offset as u64, length).unwrap(),
                    &contents[from..end],
                    "{length} bytes at {offset}, steps of {step}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_shrank_falls_short() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 700]).unwrap();
        let mut source = PlainSource::new(Stretch::new(&file, 0, 2000));
        assert_eq!(source.bytes(512, 512).unwrap().len(), 188);
        assert_eq!(source.bytes(1024, 512).unwrap().len(), 0);
    }
}
