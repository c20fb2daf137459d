//! Magic numbers of compressions, and what a table of them is made of.
//!
//! They are those of the formats' own descriptions and of `file(1)`.

use super::format::Codec;

/// Bytes that a format is known by.
pub(super) struct Magic {
    /// Where they are.
    pub(super) offset: usize,
    pub(super) bytes: &'static [u8],
    /// What it is, in words that follow "it".
    pub(super) what: &'static str,
    /// What makes it usable.
    pub(super) remedy: &'static str,
}

/// An entry of a table.
pub(super) const fn magic(
    offset: usize,
    bytes: &'static [u8],
    what: &'static str,
    remedy: &'static str,
) -> Magic {
    Magic {
        offset,
        bytes,
        what,
        remedy,
    }
}

/// Compressions that are read, by their first bytes.
pub(super) const CODECS: &[(&[u8], Codec)] = &[
    (b"\x1f\x8b", Codec::Gzip),
    (b"\x28\xb5\x2f\xfd", Codec::Zstd),
    (b"\xfd7zXZ\0", Codec::Xz),
    (b"BZh", Codec::Bzip2),
    (b"\x04\x22\x4d\x18", Codec::Lz4),
    (b"\x02\x21\x4c\x18", Codec::Lz4),
];

/// Compressions that are not read here.
pub(super) const COMPRESSIONS: &[Magic] = &[
    magic(
        0,
        b"\x89LZO\0\r\n\x1a\n",
        "it is lzop-compressed",
        "run \"lzop -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"LZIP",
        "it is lzip-compressed",
        "run \"lzip -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"LRZI",
        "it is lrzip-compressed",
        "run \"lrzip -q -d -o - IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"\x5d\0\0\x80\0",
        "it is lzma-compressed",
        "run \"xz -dc --format=lzma IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"\x1f\x9d",
        "it is packed with compress",
        "run \"gzip -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"Salted__",
        "it is encrypted by openssl",
        "decrypt it with \"openssl enc -d -CIPHER -pbkdf2 -in IMAGE -out NEW\" (ReaR: the cipher \
         of BACKUP_PROG_CRYPT_OPTIONS) and use that",
    ),
    magic(
        0,
        b"age-encryption.org",
        "it is encrypted by age",
        "decrypt it with \"age -d -o NEW IMAGE\" and use that",
    ),
    magic(
        0,
        b"-----BEGIN AGE ENCRYPTED FILE",
        "it is encrypted by age",
        "decrypt it with \"age -d -o NEW IMAGE\" and use that",
    ),
    magic(
        0,
        b"-----BEGIN PGP",
        "it is encrypted by PGP",
        "decrypt it with \"gpg -o NEW -d IMAGE\" and use that",
    ),
];
