//! The numbers of compressions and of kinds of archives.

/// Compression of a stored file or of a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// None.
    #[default]
    Plain,
    /// Gzip, one or more members.
    Gzip,
    /// Zstandard, one or more frames.
    Zstd,
    /// Xz, one or more streams.
    Xz,
    /// Bzip2, one or more streams.
    Bzip2,
    /// LZ4, one or more frames.
    Lz4,
}

/// The number of each compression in an index, and its name.
const CODECS: &[(Codec, u32, &str)] = &[
    (Codec::Plain, 0, "not"),
    (Codec::Gzip, 1, "gzip"),
    (Codec::Zstd, 2, "zstd"),
    (Codec::Xz, 3, "xz"),
    (Codec::Bzip2, 4, "bzip2"),
    (Codec::Lz4, 5, "lz4"),
];

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = CODECS.iter().find(|(codec, ..)| codec == self);
        f.write_str(found.map_or("", |(.., name)| name))
    }
}

impl Codec {
    /// Its number in an index.
    pub(in crate::lower::tar) fn code(self) -> u32 {
        let found = CODECS.iter().find(|(codec, ..)| *codec == self);
        found.map_or(u32::MAX, |(_, code, _)| *code)
    }

    /// The compression with this number.
    pub(in crate::lower::tar) fn from_code(code: u32) -> Option<Self> {
        let found = CODECS.iter().find(|(_, known, _)| *known == code);
        found.map(|(codec, ..)| *codec)
    }
}

/// What an image is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveKind {
    /// One tar archive.
    #[default]
    Tar,
    /// An AIX backup by name.
    AixBackup,
    /// Tar archives laid over one another, such as those of a container image.
    Layers,
}

impl ArchiveKind {
    /// Its number in an index.
    pub(in crate::lower::tar) fn code(self) -> u32 {
        match self {
            Self::Tar => 0,
            Self::AixBackup => 1,
            Self::Layers => 2,
        }
    }

    /// The kind with this number.
    pub(in crate::lower::tar) fn from_code(code: u32) -> Option<Self> {
        [Self::Tar, Self::AixBackup, Self::Layers]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}
