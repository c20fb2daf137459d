//! Stored bytes as a decoder takes them: front to back, through a buffer.

use super::error::ScanError;
use super::source::Stretch;

/// Stored bytes, read front to back.
#[derive(Debug)]
pub(super) struct Input<'f> {
    stored: Stretch<'f>,
    buffer: Box<[u8]>,
    filled: usize,
    at: usize,
    offset: u64,
}

impl<'f> Input<'f> {
    /// A reader from the first byte on.
    pub(super) fn new(stored: Stretch<'f>) -> Self {
        Self {
            stored,
            buffer: vec![0; 256 * 1024].into(),
            filled: 0,
            at: 0,
            offset: 0,
        }
    }

    /// What is left in the buffer, after reading more if it was empty; empty only at the end.
    pub(super) fn available(&mut self) -> Result<&[u8], ScanError> {
        if self.at == self.filled {
            self.offset += self.filled as u64;
            (self.at, self.filled) = (0, 0);
            let read = self.stored.read(&mut self.buffer, self.offset);
            self.filled = read.map_err(ScanError::Read)?;
        }
        Ok(&self.buffer[self.at..self.filled])
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, ScanError> {
        let byte = self.available()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Takes `count` bytes of [`Self::available`].
    pub(super) fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.filled);
    }

    /// Takes `count` bytes and appends them to `into`; false if the file ends before.
    pub(super) fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Result<bool, ScanError> {
        let mut left = count;
        while left > 0 {
            let available = self.available()?;
            if available.is_empty() {
                return Ok(false);
            }
            let taken = left.min(available.len());
            into.extend_from_slice(&available[..taken]);
            self.consume(taken);
            left -= taken;
        }
        Ok(true)
    }

    /// Steps over `count` bytes; false if the file ends before.
    pub(super) fn skip(&mut self, count: u64) -> Result<bool, ScanError> {
        let held = (self.filled - self.at) as u64;
        if count <= held {
            self.at += count as usize;
            return Ok(true);
        }
        self.offset = self.position().saturating_add(count);
        (self.at, self.filled) = (0, 0);
        let whole = self.offset <= self.stored.length();
        self.offset = self.offset.min(self.stored.length());
        Ok(whole)
    }

    /// Offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.at as u64
    }
}
