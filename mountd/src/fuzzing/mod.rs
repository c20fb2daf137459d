//! What must hold whatever the bytes are: everything in this crate that reads what others wrote,
//! as functions that take any bytes and fail only by a panic.
//!
//! `mountd/fuzz` drives them with libFuzzer; [`pass`] does so without, in `cargo test`. Nothing of
//! this is in a build that is neither. An input that once went wrong lies in
//! `tests/data/fuzz/TARGET` and is tried first for ever.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod pass;
pub(crate) mod scratch;
mod store;
mod texts;

/// One thing that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// Panics if something does not hold for these bytes.
    pub run: fn(&[u8]),
    /// Bytes that mean something, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Brings changed bytes over the first hurdle: checksums, a magic number.
    pub mend: fn(&mut [u8]),
}

fn as_it_is(_: &mut [u8]) {}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "archive",
        run: crate::lower::tar::fuzzing::archive,
        seeds: crate::lower::tar::fuzzing::archives,
        mend: crate::lower::tar::fuzzing::mend_archive,
    },
    Target {
        name: "index",
        run: crate::lower::tar::fuzzing::index,
        seeds: crate::lower::tar::fuzzing::indexes,
        mend: crate::lower::tar::fuzzing::mend_index,
    },
    Target {
        name: "embedded",
        run: crate::lower::tar::save::fuzzing::embedded,
        seeds: crate::lower::tar::save::fuzzing::indexes,
        mend: crate::lower::tar::save::fuzzing::mend,
    },
    Target {
        name: "aix",
        run: crate::lower::aix::fuzzing::backup,
        seeds: crate::lower::aix::fuzzing::backups,
        mend: crate::lower::aix::fuzzing::mend,
    },
    Target {
        name: "packed",
        run: crate::lower::aix::fuzzing::packed,
        seeds: crate::lower::aix::fuzzing::members,
        mend: as_it_is,
    },
    Target {
        name: "disk",
        run: crate::lower::filesystem::fuzzing::disk,
        seeds: crate::lower::filesystem::fuzzing::disks,
        mend: crate::lower::filesystem::fuzzing::mend_disk,
    },
    Target {
        name: "gzip",
        run: crate::lower::tar::codec_fuzzing::gzip,
        seeds: crate::lower::tar::codec_fuzzing::gzips,
        mend: as_it_is,
    },
    Target {
        name: "zstd",
        run: crate::lower::tar::codec_fuzzing::zstd,
        seeds: crate::lower::tar::codec_fuzzing::zstds,
        mend: as_it_is,
    },
    Target {
        name: "xz",
        run: crate::lower::tar::codec_fuzzing::xz,
        seeds: crate::lower::tar::codec_fuzzing::xzs,
        mend: as_it_is,
    },
    Target {
        name: "bzip2",
        run: crate::lower::tar::codec_fuzzing::bzip2,
        seeds: crate::lower::tar::codec_fuzzing::bzip2s,
        mend: as_it_is,
    },
    Target {
        name: "lz4",
        run: crate::lower::tar::codec_fuzzing::lz4,
        seeds: crate::lower::tar::codec_fuzzing::lz4s,
        mend: as_it_is,
    },
    Target {
        name: "record",
        run: texts::record,
        seeds: texts::records,
        mend: as_it_is,
    },
    Target {
        name: "spec",
        run: texts::spec,
        seeds: texts::specs,
        mend: as_it_is,
    },
    Target {
        name: "trail",
        run: texts::trail,
        seeds: texts::trails,
        mend: as_it_is,
    },
    Target {
        name: "block_map",
        run: crate::upper::blocks::fuzzing::map,
        seeds: crate::upper::blocks::fuzzing::maps,
        mend: as_it_is,
    },
    Target {
        name: "intent",
        run: store::intent,
        seeds: store::intents,
        mend: as_it_is,
    },
    Target {
        name: "store",
        run: store::tampered,
        seeds: store::tamperings,
        mend: as_it_is,
    },
    Target {
        name: "requests",
        run: crate::wire::fuzzing::requests,
        seeds: crate::wire::fuzzing::conversations,
        mend: as_it_is,
    },
];

/// Runs the target of this name; for the programs in `mountd/fuzz`.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(data);
}

/// Cuts input into pieces; what is not there is zero or empty.
#[derive(Debug)]
pub(crate) struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> &'i [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        (0..4).fold(0, |value, _| value << 8 | u32::from(self.byte()))
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }

    /// A short piece that says itself how long it is.
    pub(crate) fn piece(&mut self) -> &'i [u8] {
        let length = self.byte();
        self.bytes(length.into())
    }
}
