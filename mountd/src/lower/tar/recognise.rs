//! What a file seems to be, from its first bytes, and how to make it usable.
//!
//! What formats are known by is in `magic` and `others`.

use std::fs::File;
use std::io;

use super::format::Codec;
use super::header::{BLOCK_LENGTH, checksum_holds};
use super::magic::{CODECS, COMPRESSIONS, Magic};
use super::others::{CONVERT, OTHERS};
use super::source::read_full;

/// How far into a file there is something to look at (btrfs has its magic at 64 KiB).
pub(super) const LOOK: usize = 72 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An archive that can be scanned, if what is inside the compression is one.
    Archive(Codec),
    /// A compression that is not read here.
    Compression {
        what: &'static str,
        remedy: &'static str,
    },
    /// Something else.
    Other {
        what: &'static str,
        remedy: &'static str,
    },
}

/// Whether `file` begins with a tar header, which goes before all that may follow in it.
///
/// # Errors
/// Those of reading.
pub fn begins_like_tar(file: &File) -> io::Result<bool> {
    let mut block = [0; BLOCK_LENGTH];
    let count = read_full(file, &mut block, 0)?;
    Ok(count == BLOCK_LENGTH && checksum_holds(&block))
}

/// Looks at the contents of `file` from `start` on, never at its name.
pub(super) fn recognise(file: &File, start: u64) -> io::Result<Found> {
    let mut buffer = vec![0; LOOK];
    let count = read_full(file, &mut buffer, start)?;
    buffer.truncate(count);
    let found = recognise_bytes(&buffer);
    if matches!(found, Found::Other { .. }) && has_vhd_footer(file)? {
        return Ok(Found::Other {
            what: "looks like a VHD disk image (Hyper-V, Azure)",
            remedy: CONVERT,
        });
    }
    Ok(found)
}

/// The compression behind skippable frames, which zstd and lz4 both have; zstd if they go on for
/// longer than was looked.
fn behind_skippable(bytes: &[u8]) -> Codec {
    let mut rest = bytes;
    while let [low, 0x2a, 0x4d, 0x18, a, b, c, d, ..] = *rest
        && low & 0xf0 == 0x50
    {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        rest = rest
            .get(8..)
            .and_then(|rest| rest.get(length..))
            .unwrap_or_default();
    }
    match CODECS.iter().find(|(magic, _)| rest.starts_with(magic)) {
        Some((_, Codec::Lz4)) => Codec::Lz4,
        _ => Codec::Zstd,
    }
}

/// A VHD of fixed size is the disk and one sector behind it.
fn has_vhd_footer(file: &File) -> io::Result<bool> {
    const FOOTER: u64 = 512;
    let mut magic = [0; 8];
    let offset = file.metadata()?.len().saturating_sub(FOOTER);
    Ok(read_full(file, &mut magic, offset)? == magic.len() && magic == *b"conectix")
}

/// What the first bytes of a file seem to be.
pub(super) fn recognise_bytes(bytes: &[u8]) -> Found {
    if let Some((_, codec)) = CODECS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Found::Archive(*codec);
    }
    let skippable = |magic: &[u8]| magic[0] & 0xf0 == 0x50 && magic[1..] == *b"\x2a\x4d\x18";
    if bytes.get(..4).is_some_and(skippable) {
        return Found::Archive(behind_skippable(bytes));
    }
    if crate::lower::aix::is_volume(bytes) {
        return Found::Archive(Codec::Plain);
    }
    // A header with a good checksum is a header, whatever its file's name looks like.
    let is_tar = bytes
        .first_chunk::<BLOCK_LENGTH>()
        .is_some_and(|block| checksum_holds(block) || block.iter().all(|byte| *byte == 0));
    let found = |table: &'static [Magic]| {
        table.iter().find(|magic| {
            bytes
                .get(magic.offset..)
                .is_some_and(|bytes| bytes.starts_with(magic.bytes))
        })
    };
    // File systems may begin with zeros, so that only an archive's checksum goes before them.
    let has_header = bytes
        .first_chunk::<BLOCK_LENGTH>()
        .is_some_and(checksum_holds);
    if !has_header {
        if let Some(&Magic { what, remedy, .. }) = found(COMPRESSIONS) {
            return Found::Compression { what, remedy };
        }
        if let Some(&Magic { what, remedy, .. }) = found(OTHERS) {
            return Found::Other { what, remedy };
        }
    }
    if is_tar {
        return Found::Archive(Codec::Plain);
    }
    Found::Other {
        what: "does not begin with a tar header",
        remedy: "check with \"file IMAGE\" what it is; a system is backed up with \
                 \"tar --one-file-system --numeric-owner --xattrs --xattrs-include='*' --acls \
                 -cpf IMAGE.tar -C / .\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_known_by_their_contents() {
        let at = |offset: usize, magic: &[u8]| {
            let mut bytes = vec![0; LOOK];
            bytes[0] = b'?';
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            bytes
        };
        for entry in COMPRESSIONS {
            let expected = Found::Compression {
                what: entry.what,
                remedy: entry.remedy,
            };
            assert_eq!(recognise_bytes(&at(entry.offset, entry.bytes)), expected);
        }
        for entry in OTHERS {
            let expected = Found::Other {
                what: entry.what,
                remedy: entry.remedy,
            };
            assert_eq!(recognise_bytes(&at(entry.offset, entry.bytes)), expected);
        }
        for (magic, codec) in CODECS {
            assert_eq!(recognise_bytes(magic), Found::Archive(*codec));
        }
        assert_eq!(
            recognise_bytes(b"\x50\x2a\x4d\x18\x01\0\0\0x\x04\x22\x4d\x18"),
            Found::Archive(Codec::Lz4)
        );
        assert_eq!(
            recognise_bytes(b"\x5e\x2a\x4d\x18"),
            Found::Archive(Codec::Zstd)
        );
        assert_eq!(recognise_bytes(&[0; 1024]), Found::Archive(Codec::Plain));
        assert!(matches!(recognise_bytes(b"hello"), Found::Other { .. }));
    }

    #[test]
    fn a_tar_header_goes_before_any_magic() {
        let mut header = ::tar::Header::new_ustar();
        header.set_path("07070/PK").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(
            recognise_bytes(header.as_bytes()),
            Found::Archive(Codec::Plain)
        );
    }
}
