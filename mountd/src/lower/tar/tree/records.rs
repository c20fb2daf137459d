//! Inodes and names while the tree grows, as bytes of a fixed length in scratch files: a tree of
//! millions takes hardly more memory than one of thousands.

use std::path::Path;

use crate::lower::tar::format::{INODE_BYTES, InodeRecord};
use crate::sys::scratch::Scratch;

/// Inodes by number, from 1 on, as the index has them.
#[derive(Debug)]
pub(in crate::lower::tar) struct Inodes(Scratch);

impl Inodes {
    /// None yet; their file is made in `scratch`.
    pub(super) fn new(scratch: Option<&Path>) -> Self {
        Self(Scratch::new(scratch))
    }

    /// How many there are.
    pub(in crate::lower::tar) fn len(&self) -> usize {
        self.0.len() / INODE_BYTES
    }

    fn bytes(&self, number: u32) -> Option<&[u8; INODE_BYTES]> {
        let at = (number as usize).checked_sub(1)?.checked_mul(INODE_BYTES)?;
        self.0.get(at, INODE_BYTES)?.first_chunk()
    }

    /// An inode.
    pub(in crate::lower::tar) fn get(&self, number: u32) -> Option<InodeRecord> {
        self.bytes(number).map(InodeRecord::decode)
    }

    /// Its type and permissions.
    pub(in crate::lower::tar) fn mode(&self, number: u32) -> Option<u16> {
        self.bytes(number).map(InodeRecord::mode_in)
    }

    /// Changes an inode, if there is one with this number.
    pub(in crate::lower::tar) fn change(
        &mut self,
        number: u32,
        change: impl FnOnce(&mut InodeRecord),
    ) {
        if let Some(mut record) = self.get(number)
            && let Some(bytes) = self
                .0
                .get_mut((number as usize - 1) * INODE_BYTES, INODE_BYTES)
        {
            change(&mut record);
            bytes.copy_from_slice(&record.encode());
        }
    }

    /// Adds an inode; its number is that of all so far and one.
    pub(super) fn push(&mut self, record: &InodeRecord) {
        self.0.push(&record.encode());
    }
}

/// A name, while the tree grows.
#[derive(Clone, Copy, Debug)]
pub(in crate::lower::tar) struct Name {
    /// Where its bytes begin.
    pub(in crate::lower::tar) at: u64,
    pub(in crate::lower::tar) parent: u32,
    /// 0 if it is a name of nothing any more.
    pub(in crate::lower::tar) inode: u32,
    pub(in crate::lower::tar) bytes: u8,
}

/// Length of a name's record.
const NAME_BYTES: usize = 17;

impl Name {
    fn encode(&self) -> [u8; NAME_BYTES] {
        let mut out = [0; NAME_BYTES];
        let parts = [
            &self.at.to_le_bytes()[..],
            &self.parent.to_le_bytes(),
            &self.inode.to_le_bytes(),
            &[self.bytes],
        ];
        for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (parent, rest) = rest.split_first_chunk()?;
        let (inode, rest) = rest.split_first_chunk()?;
        Some(Self {
            at: u64::from_le_bytes(*at),
            parent: u32::from_le_bytes(*parent),
            inode: u32::from_le_bytes(*inode),
            bytes: *rest.first()?,
        })
    }
}

/// Names in the order in which they came; one that is given to another inode stays in place.
#[derive(Debug)]
pub(in crate::lower::tar) struct Names {
    records: Scratch,
    text: Scratch,
    count: usize,
}

impl Names {
    /// None yet; their files are made in `scratch`.
    pub(super) fn new(scratch: Option<&Path>) -> Self {
        Self {
            records: Scratch::new(scratch),
            text: Scratch::new(scratch),
            count: 0,
        }
    }

    /// How many there are.
    pub(in crate::lower::tar) fn len(&self) -> usize {
        self.count
    }

    /// Length of all of them together, also of those that were dropped.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// A name by its place.
    pub(in crate::lower::tar) fn get(&self, place: u32) -> Option<Name> {
        let at = (place as usize).checked_mul(NAME_BYTES)?;
        Name::decode(self.records.get(at, NAME_BYTES)?).filter(|_| (place as usize) < self.count)
    }

    /// All of them, each with its place.
    pub(in crate::lower::tar) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, Name)> {
        (0..self.count as u32).filter_map(|place| Some((place, self.get(place)?)))
    }

    /// Bytes of a name.
    pub(in crate::lower::tar) fn text(&self, name: &Name) -> &[u8] {
        let text = self.text.get(name.at as usize, usize::from(name.bytes));
        text.unwrap_or_default()
    }

    /// Changes what is known of a name.
    pub(super) fn set(&mut self, place: u32, name: &Name) {
        if let Some(at) = (place as usize).checked_mul(NAME_BYTES)
            && let Some(bytes) = self.records.get_mut(at, NAME_BYTES)
        {
            bytes.copy_from_slice(&name.encode());
        }
    }

    /// Adds a name, which has at most 255 bytes; answers its place.
    pub(super) fn push(&mut self, parent: u32, text: &[u8], inode: u32) -> u32 {
        let name = Name {
            at: self.text.len() as u64,
            parent,
            inode,
            bytes: text.len() as u8,
        };
        self.text.push(text);
        self.records.push(&name.encode());
        self.count += 1;
        self.count as u32 - 1
    }

    /// Keeps only those that `keep` is true for, which is asked in their order. Nothing can be added
    /// after that.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Name) -> bool) {
        let mut kept = 0;
        for place in 0..self.count as u32 {
            if let Some(name) = self.get(place).filter(&mut keep) {
                self.set(kept, &name);
                kept += 1;
            }
        }
        self.count = kept as usize;
    }
}

/// Numbers of 32 bits by their place.
#[derive(Debug)]
pub(in crate::lower::tar) struct Numbers(Scratch);

impl Numbers {
    /// `count` zeros, in a file in `scratch` if they are many.
    pub(in crate::lower::tar) fn zeros(scratch: Option<&Path>, count: usize) -> Self {
        let mut bytes = Scratch::new(scratch);
        bytes.push_zeros(count * size_of::<u32>());
        Self(bytes)
    }

    /// A number.
    pub(in crate::lower::tar) fn get(&self, place: usize) -> Option<u32> {
        let bytes = self.0.get(place * size_of::<u32>(), size_of::<u32>())?;
        bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Sets a number.
    pub(in crate::lower::tar) fn set(&mut self, place: usize, number: u32) {
        let at = place * size_of::<u32>();
        if let Some(bytes) = self.0.get_mut(at, size_of::<u32>()) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    }
}
