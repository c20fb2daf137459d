//! Random system calls over a few names.

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// How many descriptors there are.
pub(crate) const SLOTS: usize = 4;

/// A system call. Paths are relative to the root of each side.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Open {
        slot: usize,
        path: String,
        flags: &'static str,
    },
    Close {
        slot: usize,
    },
    Write {
        slot: usize,
        offset: u64,
        length: usize,
        byte: u8,
    },
    Read {
        slot: usize,
        offset: u64,
        length: usize,
    },
    SetSize {
        slot: usize,
        size: u64,
    },
    Allocate {
        slot: usize,
        mode: &'static str,
        offset: u64,
        length: u64,
    },
    CopyRange {
        from: (usize, u64),
        to: (usize, u64),
        length: usize,
    },
    Status {
        slot: usize,
    },
    Sync {
        slot: usize,
    },
    MakeDirectory {
        path: String,
        mode: u32,
    },
    MakeNode {
        path: String,
        kind: &'static str,
    },
    MakeLink {
        path: String,
        target: String,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    RemoveDirectory {
        path: String,
    },
    Rename {
        from: String,
        to: String,
        mode: &'static str,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Chown {
        path: String,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    SetTimes {
        path: String,
        seconds: i64,
    },
    Truncate {
        path: String,
        size: u64,
    },
    SetXattr {
        path: String,
        name: &'static str,
        value: Vec<u8>,
        mode: &'static str,
    },
    RemoveXattr {
        path: String,
        name: &'static str,
    },
    Xattr {
        path: String,
        name: &'static str,
        room: usize,
    },
    ReadDirectory {
        path: String,
    },
    ReadLink {
        path: String,
    },
    Stat {
        path: String,
        follow: bool,
    },
    Access {
        path: String,
    },
    /// All descriptors are closed; ours is mounted anew.
    Remount,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn path(numbers: &mut Numbers) -> String {
    let depth = 1 + numbers.below(3);
    let names: Vec<_> = (0..depth).map(|_| numbers.of(&NAMES)).collect();
    match numbers.below(60) {
        0 => format!("{}/", names.join("/")),
        1 => format!("{}/.", names.join("/")),
        2 => format!("{}/..", names.join("/")),
        3 => "n".repeat(255 + numbers.below(2) as usize),
        _ => names.join("/"),
    }
}

/// Now small, now over several blocks.
fn size(numbers: &mut Numbers) -> u64 {
    match numbers.below(3) {
        0 => numbers.below(20),
        1 => numbers.below(10_000),
        _ => numbers.below(100_000),
    }
}

const XATTRS: [&str; 5] = ["user.a", "user.b", "trusted.c", "security.d", "unknown.e"];

/// Any call.
pub(crate) fn random_call(numbers: &mut Numbers) -> Call {
    if numbers.below(100) == 0 {
        return Call::Remount;
    }
    match numbers.below(9) {
        0..3 => on_descriptor(numbers),
        3..6 => on_names(numbers),
        _ => on_inode(numbers),
    }
}

fn slot(numbers: &mut Numbers) -> usize {
    numbers.below(SLOTS as u64) as usize
}

fn on_descriptor(numbers: &mut Numbers) -> Call {
    let slot_of = slot;
    let slot = slot(numbers);
    let (offset, length) = (size(numbers), size(numbers));
    match numbers.below(14) {
        0..5 => Call::Open {
            slot,
            path: path(numbers),
            flags: numbers.of(&[
                "r",
                "rw",
                "rw create",
                "w create excl",
                "rw create trunc",
                "directory",
                "w nofollow",
            ]),
        },
        5 => Call::Close { slot },
        6..8 => Call::Write {
            slot,
            offset,
            length: length as usize,
            byte: numbers.below(255) as u8 + 1,
        },
        8 => Call::Read {
            slot,
            offset,
            length: length as usize,
        },
        9 => Call::SetSize { slot, size: offset },
        10 => Call::Allocate {
            slot,
            mode: numbers.of(&["", "keep", "punch", "zero", "collapse"]),
            offset,
            length,
        },
        11 => Call::CopyRange {
            from: (slot, offset),
            to: (slot_of(numbers), size(numbers)),
            length: length as usize,
        },
        12 => Call::Status { slot },
        _ => Call::Sync { slot },
    }
}

fn on_names(numbers: &mut Numbers) -> Call {
    let one = path(numbers);
    match numbers.below(16) {
        0 | 1 => Call::MakeDirectory {
            path: one,
            mode: numbers.of(&[0o755, 0o2775, 0o1777, 0o700]),
        },
        2 => Call::MakeNode {
            path: one,
            kind: numbers.of(&["fifo", "socket", "character", "file"]),
        },
        3 => Call::MakeLink {
            path: one,
            target: path(numbers),
        },
        4 | 5 => Call::Link {
            from: one,
            to: path(numbers),
        },
        6..9 => Call::Unlink { path: one },
        9 => Call::RemoveDirectory { path: one },
        _ => Call::Rename {
            from: one,
            to: path(numbers),
            mode: numbers.of(&["", "", "noreplace", "exchange"]),
        },
    }
}

fn on_inode(numbers: &mut Numbers) -> Call {
    let path = path(numbers);
    let name = numbers.of(&XATTRS);
    match numbers.below(13) {
        0 => Call::Chmod {
            path,
            mode: numbers.of(&[0o644, 0o4755, 0o2755, 0o600, 0o1777]),
        },
        1 => Call::Chown {
            path,
            uid: numbers.of(&[None, Some(0), Some(5)]),
            gid: numbers.of(&[None, Some(0), Some(6)]),
        },
        2 => Call::SetTimes {
            path,
            seconds: numbers.below(1000) as i64 - 10,
        },
        3 => Call::Truncate {
            path,
            size: size(numbers),
        },
        4 | 5 => Call::SetXattr {
            path,
            name,
            value: vec![b'v'; numbers.below(30) as usize],
            mode: numbers.of(&["", "create", "replace"]),
        },
        6 => Call::RemoveXattr { path, name },
        7 => Call::Xattr {
            path,
            name,
            room: numbers.of(&[0, 5, 100]),
        },
        8 => Call::ReadDirectory { path },
        9 => Call::ReadLink { path },
        10 => Call::Access { path },
        _ => Call::Stat {
            path,
            follow: numbers.below(2) == 0,
        },
    }
}
