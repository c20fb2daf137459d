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
}

/// The number of each compression in an index. 3 is for xz, 4 for bzip2, 5 for lz4.
const CODECS: &[(Codec, u32)] = &[(Codec::Plain, 0), (Codec::Gzip, 1), (Codec::Zstd, 2)];

impl Codec {
    /// Its number in an index.
    pub(in crate::lower::tar) fn code(self) -> u32 {
        let found = CODECS.iter().find(|(codec, _)| *codec == self);
        found.map_or(u32::MAX, |(_, code)| *code)
    }

    /// The compression with this number.
    pub(in crate::lower::tar) fn from_code(code: u32) -> Option<Self> {
        let found = CODECS.iter().find(|(_, known)| *known == code);
        found.map(|(codec, _)| *codec)
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
