//! The stream of an open image: which part of it is stored where.

use std::fs::File;
use std::path::Path;

use crate::error::{FsError, FsResult};
use crate::lower::aix::{PackedStore, Place};

use super::chunks::ChunkStore;
use super::error::ImageError;
use super::format::{Codec, InodeRecord};
use super::image::Image;
use super::index::TarIndex;
use super::readahead::Due;
use super::source::read_full;

/// The files of an image and what was lately decoded of them.
#[derive(Debug)]
pub(super) struct Contents {
    /// By the numbers of the index.
    files: Vec<File>,
    chunks: ChunkStore,
    packed: PackedStore,
}

impl Contents {
    /// Opens the files that `index` names; keeps at most `cache` decoded bytes, and those in the file
    /// `shared` that all mounts of the image have in common.
    ///
    /// # Errors
    /// Those of [`Image::files`].
    pub(super) fn open(
        image: &Image,
        index: &TarIndex,
        cache: u64,
        shared: Option<&Path>,
    ) -> Result<Self, ImageError> {
        Ok(Self {
            files: image.files(index)?,
            chunks: match shared {
                Some(file) => ChunkStore::sharing(cache, file, index),
                None => ChunkStore::new(cache),
            },
            packed: PackedStore::default(),
        })
    }

    /// Fills `buffer` from `offset` of the stream.
    ///
    /// # Errors
    /// [`FsError::Damaged`] where it cannot be decoded, or what the kernel answers.
    pub(super) fn read(&self, index: &TarIndex, buffer: &mut [u8], offset: u64) -> FsResult<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.checked_add(filled as u64).ok_or(FsError::Damaged)?;
            let part = index.part_at(at)?;
            let file = self.files.get(part.file as usize).ok_or(FsError::Damaged)?;
            let from = at - part.stream_offset;
            let left = usize::try_from(part.stream_bytes - from).unwrap_or(usize::MAX);
            let count = left.min(buffer.len() - filled);
            let piece = &mut buffer[filled..filled + count];
            if part.codec == Codec::Plain {
                let at = part.stored_offset.checked_add(from);
                // The file was cut off after it was opened if it ends here.
                if read_full(file, piece, at.ok_or(FsError::Damaged)?)? < count {
                    return Err(FsError::Damaged);
                }
            } else {
                self.chunks.read(index, file, &part, piece, from)?;
            }
            filled += count;
        }
        Ok(())
    }

    /// A chunk that will probably be read soon: to be given to [`Self::warm`] in another thread.
    pub(super) fn due(&self) -> Option<Due> {
        self.chunks.due()
    }

    /// Decodes a chunk before it is read.
    pub(super) fn warm(&self, index: &TarIndex, due: &Due) {
        if let Some(file) = self.files.get(due.part.file as usize) {
            self.chunks.warm(index, file, due);
        }
    }

    /// Whether somebody has to call [`Self::keep_all`], in a thread that nobody waits for.
    pub(super) fn is_to_keep(&self) -> bool {
        self.chunks.is_to_keep()
    }

    /// Gives to other mounts of the image what was decoded meanwhile.
    pub(super) fn keep_all(&self, index: &TarIndex) {
        self.chunks.keep_all(index);
    }

    /// Instead of [`Self::warm`], if there can be no other thread.
    pub(super) fn cool(&self) {
        self.chunks.cool();
    }

    /// Fills `buffer` from `offset` of a packed member, which must be within its size.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_packed(
        &self,
        index: &TarIndex,
        record: &InodeRecord,
        buffer: &mut [u8],
        offset: u64,
    ) -> FsResult<()> {
        let extent = index.extent(record.data)?;
        let place = Place {
            offset: extent.data_offset,
            stored: extent.length,
            size: record.size,
        };
        let stream = |buffer: &mut [u8], at| self.read(index, buffer, at);
        self.packed.read(place, buffer, offset, &stream)
    }
}
