//! Writes AIX backups by name, for tests: all that the reader has to understand, and what it must
//! refuse. Knows nothing of the reader; `docs/aix-backup-format.md` is what both follow.

#![allow(dead_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const NAME_BYTES: usize = 64;

/// Where the target of a symbolic link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkLayout {
    /// Behind the header, nothing else.
    #[default]
    Bare,
    /// Behind the header with a zero at its end, then ACL and PCL.
    BeforeAcl,
    /// As the data of a file, behind ACL and PCL.
    AfterAcl,
}

/// An entry of an ACL: its kind (1 permits), permission bits, and (1 user, 2 group) with numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AclEntry<'a> {
    pub(crate) kind: u16,
    pub(crate) permissions: u16,
    pub(crate) ids: &'a [(u16, u32)],
}

/// An ACL of the type AIXC.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acl<'a> {
    pub(crate) mode: u32,
    /// Of owner, group and others.
    pub(crate) permissions: [u16; 3],
    pub(crate) entries: &'a [AclEntry<'a>],
}

impl Acl<'_> {
    /// As it is stored.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for entry in self.entries {
            entries.extend((4 + 8 * entry.ids.len() as u16).to_le_bytes());
            entries.extend((entry.kind << 14 | entry.permissions).to_le_bytes());
            for (kind, id) in entry.ids {
                entries.extend(8_u16.to_le_bytes());
                entries.extend(kind.to_le_bytes());
                entries.extend(id.to_be_bytes());
            }
        }
        let mut value = (16 + entries.len() as u32).to_le_bytes().to_vec();
        value.extend(self.mode.to_le_bytes());
        value.extend([0; 2]);
        for permissions in self.permissions {
            value.extend(permissions.to_le_bytes());
        }
        value.extend(entries);
        value
    }
}

/// One entry. What is left out is zero; `size` is then the length of `data`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    /// What the buffer held before, behind the zero of the name.
    pub(crate) stale: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) nlink: u16,
    pub(crate) inode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Of access, modification, change.
    pub(crate) times: [u32; 3],
    pub(crate) device: (u32, u32),
    pub(crate) rdev: (u32, u32),
    pub(crate) reserved: u32,
    /// What is claimed, if not the length of the data.
    pub(crate) size: Option<u32>,
    /// Bytes as stored, if not the length of what is stored.
    pub(crate) stored: Option<u32>,
    pub(crate) data: &'a [u8],
    pub(crate) packed: bool,
    /// `data` is packed already; `size` must be given.
    pub(crate) packed_before: bool,
    /// Not as the mode says it.
    pub(crate) acl: Option<Acl<'a>>,
    /// Two bytes in the ACL that mean nothing.
    pub(crate) garbage: u16,
    pub(crate) link_layout: LinkLayout,
    /// A name more of an earlier entry, without data.
    pub(crate) without_data: bool,
}

/// The volume's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    pub(crate) number: u16,
    pub(crate) date: u32,
    pub(crate) user: &'static [u8],
}

/// What is behind the end record, up to the next multiple of the length of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Zeros(usize),
    /// What the buffer of one cluster held before.
    Stale(usize),
}

/// An archive being written.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An archive on its first volume.
    pub(crate) fn new() -> Self {
        Self::on(Volume {
            number: 1,
            date: 1_700_000_000,
            user: b"root",
        })
    }

    /// An archive that begins with this volume.
    pub(crate) fn on(volume: Volume) -> Self {
        let mut header = prefix(9, 0, 0xea6b, volume.number);
        header.extend(volume.date.to_le_bytes());
        header.extend(volume.date.to_le_bytes());
        header.extend(0x7fff_ffff_u32.to_le_bytes());
        for text in [b"by name", b"by name", volume.user] {
            let end = header.len() + 16;
            header.extend(text);
            header.resize(end, 0);
        }
        header.extend(100_u16.to_le_bytes());
        header.resize(72, 0);
        seal(&mut header);
        Self { bytes: header }
    }

    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Adds a record of a type that is not known, with so many bytes behind its prefix.
    pub(crate) fn unknown(&mut self, kind: u8, body: &[u8]) {
        let mut header = prefix(1 + body.len().div_ceil(8) as u8, kind, 0xea6b, 0);
        header.extend(body);
        pad(&mut header);
        seal(&mut header);
        self.raw(&header);
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        let packed = (entry.packed && !entry.packed_before).then(|| pack(entry.data));
        let stored = packed.as_deref().unwrap_or(entry.data);
        let header = header(entry, stored);
        self.raw(&header);
        let is_link = entry.mode & 0o170_000 == 0o120_000;
        let layout = is_link.then_some(entry.link_layout);
        if matches!(layout, None | Some(LinkLayout::AfterAcl)) {
            self.acl(entry);
        }
        if !entry.without_data {
            self.raw(stored);
        }
        if layout == Some(LinkLayout::BeforeAcl) {
            self.raw(&[0]);
        }
        pad(&mut self.bytes);
        if layout == Some(LinkLayout::BeforeAcl) {
            self.acl(entry);
        }
    }

    fn acl(&mut self, entry: &Entry<'_>) {
        let of_mode = |shift: u32| (entry.mode >> shift) as u16 & 7;
        let base = Acl {
            mode: entry.mode & 0xe00,
            permissions: [of_mode(6), of_mode(3), of_mode(0)],
            entries: &[],
        };
        let mut value = entry.acl.unwrap_or(base).value();
        value[8..10].copy_from_slice(&entry.garbage.to_le_bytes());
        pad(&mut value);
        self.raw(&(value.len() as u32 / 8).to_le_bytes());
        self.raw(&2_u32.to_le_bytes());
        self.raw(&value);
        self.raw(&16_u32.to_le_bytes());
        self.raw(&entry.mode.to_le_bytes());
        self.raw(&[0; 8]);
    }

    /// Ends the archive with its end record and what is left of the cluster.
    pub(crate) fn finish(mut self, tail: Tail) -> Vec<u8> {
        let mut end = prefix(1, 7, 0xea6b, 1);
        seal(&mut end);
        self.raw(&end);
        let (Tail::Zeros(cluster) | Tail::Stale(cluster)) = tail;
        for at in self.bytes.len()..self.bytes.len().next_multiple_of(cluster) {
            let before = at
                .checked_sub(cluster)
                .filter(|_| tail == Tail::Stale(cluster));
            self.bytes
                .push(before.map_or(0, |before| self.bytes[before]));
        }
        self.bytes
    }

    /// Ends the archive with its end record and nothing behind it.
    pub(crate) fn finish_plain(self) -> Vec<u8> {
        self.finish(Tail::Zeros(1))
    }

    /// What was written so far, without an end.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.bytes
    }
}

fn prefix(units: u8, kind: u8, magic: u16, number: u16) -> Vec<u8> {
    let mut bytes = vec![units, kind];
    bytes.extend(magic.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(number.to_le_bytes());
    bytes
}

fn header(entry: &Entry<'_>, stored: &[u8]) -> Vec<u8> {
    let room = (entry.name.len() + 1).max(entry.name.len() + 1 + entry.stale.len());
    let units = (NAME_BYTES + room).div_ceil(8) as u8;
    let magic = if entry.packed { 0xea6c } else { 0xea6b };
    let mut bytes = prefix(units, 11, magic, entry.nlink);
    let size = entry.size.unwrap_or(entry.data.len() as u32);
    for word in [entry.inode, entry.mode, entry.uid, entry.gid, size] {
        bytes.extend(word.to_le_bytes());
    }
    for word in entry.times {
        bytes.extend(word.to_le_bytes());
    }
    let stored = entry.stored.unwrap_or(stored.len() as u32);
    let (device, rdev) = (entry.device, entry.rdev);
    for word in [device.0, device.1, rdev.0, rdev.1, stored, entry.reserved] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(entry.name);
    bytes.push(0);
    bytes.extend(entry.stale);
    pad(&mut bytes);
    seal(&mut bytes);
    bytes
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// Gives a header its checksum.
pub(crate) fn seal(header: &mut [u8]) {
    header[4..6].fill(0);
    let sum = header.iter().fold(0_u32, |sum, byte| {
        sum + (u32::from(*byte) << (byte & 7) & 0xffff)
    });
    header[4..6].copy_from_slice(&(sum as u16).to_le_bytes());
}

/// Packs `data`, which must not be empty.
pub(crate) fn pack(data: &[u8]) -> Vec<u8> {
    let lengths = code_lengths(data);
    let levels = lengths.iter().copied().max().unwrap_or(1);
    // Symbol 256, the end, comes last on the last level.
    let on_level = |level| (0..257_usize).filter(move |symbol| lengths[*symbol] == level);
    let mut packed = vec![levels as u8];
    for level in 1..=levels {
        let count = on_level(level).count();
        packed.push((count - if level == levels { 2 } else { 0 }) as u8);
    }
    let mut codes = vec![(0, 0); 257];
    let mut inner = 0;
    for level in (1..=levels).rev() {
        let count = on_level(level).count() as u32;
        for (number, symbol) in on_level(level).enumerate() {
            codes[symbol] = (inner + number as u32, level);
        }
        inner = (inner + count) / 2;
    }
    for level in 1..=levels {
        packed.extend(
            on_level(level)
                .filter(|symbol| *symbol < 256)
                .map(|symbol| symbol as u8),
        );
    }
    let symbols = data.iter().map(|byte| usize::from(*byte)).chain([256]);
    let (mut bits, mut used) = (0_u64, 0);
    for (code, length) in symbols.map(|symbol| codes[symbol]) {
        bits |= u64::from(code) << (64 - used - length);
        used += length;
        while used >= 8 {
            packed.push((bits >> 56) as u8);
            (bits, used) = (bits << 8, used - 8);
        }
    }
    if used > 0 {
        packed.push((bits >> 56) as u8);
    }
    packed
}

/// Length of each symbol's code, 0 if it does not occur; at most 24, that of the end the longest.
fn code_lengths(data: &[u8]) -> [u32; 257] {
    let mut counts = [0_u64; 257];
    for byte in data {
        counts[usize::from(*byte)] += 1;
    }
    loop {
        let lengths = huffman(&counts);
        if lengths.iter().all(|length| *length <= 24) {
            return lengths;
        }
        for count in counts.iter_mut().filter(|count| **count > 1) {
            *count = count.div_ceil(2);
        }
    }
}

fn huffman(counts: &[u64; 257]) -> [u32; 257] {
    // The end weighs nothing, so that nothing lies deeper.
    let used = (0..257_usize).filter(|symbol| *symbol == 256 || counts[*symbol] > 0);
    let mut parents = vec![usize::MAX; 257];
    let mut heap: BinaryHeap<_> = used
        .clone()
        .map(|symbol| Reverse((counts[symbol], symbol)))
        .collect();
    while heap.len() > 1 {
        let (Some(Reverse(one)), Some(Reverse(two))) = (heap.pop(), heap.pop()) else {
            break;
        };
        let parent = parents.len();
        parents.push(usize::MAX);
        (parents[one.1], parents[two.1]) = (parent, parent);
        heap.push(Reverse((one.0 + two.0, parent)));
    }
    let mut lengths = [0; 257];
    for symbol in used {
        let mut at = symbol;
        while parents[at] != usize::MAX {
            at = parents[at];
            lengths[symbol] += 1;
        }
    }
    lengths
}
