//! What a program or library says in its ELF header and notes about who can run it.
//!
//! Formats: elf(5), the generic ABI; notes: "Linux Extensions to gABI" (`NT_GNU_ABI_TAG`,
//! `NT_GNU_PROPERTY_TYPE_0`) and the x86-64 psABI (`GNU_PROPERTY_X86_ISA_1_NEEDED`). The bytes are
//! an image's: whatever makes no sense says nothing.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use regex::bytes::Regex;

/// What was found; `None` for what it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ElfFacts {
    /// Path of the loader of a program.
    pub(super) interpreter: Option<Vec<u8>>,
    /// Oldest kernel.
    pub(super) kernel: Option<[u32; 3]>,
    /// Level of x86-64, 1 to 4.
    pub(super) isa: Option<u8>,
}

/// Reads a file; one that is not ELF says nothing.
pub(super) fn facts(data: &[u8]) -> ElfFacts {
    let mut facts = ElfFacts::default();
    // A note that is damaged ends the reading; what was found before stays.
    let _ = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(data, &mut facts),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(data, &mut facts),
        _ => Ok(()),
    };
    facts
}

fn read<E: FileHeader<Endian = Endianness>>(
    data: &[u8],
    facts: &mut ElfFacts,
) -> object::Result<()> {
    let header = E::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Ok(Some(path)) = segment.interpreter(endian, data) {
            facts.interpreter = Some(path.to_vec());
        }
        let Ok(Some(mut notes)) = segment.notes(endian, data) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() != b"GNU" {
                continue;
            }
            if note.n_type(endian) == elf::NT_GNU_ABI_TAG {
                facts.kernel = abi_tag(note.desc(), endian).or(facts.kernel);
            }
            if let Some(mut properties) = note.gnu_properties(endian) {
                while let Ok(Some(property)) = properties.next() {
                    if property.pr_type() == elf::GNU_PROPERTY_X86_ISA_1_NEEDED {
                        let bits = property.data_u32(endian)?;
                        facts.isa = (1..=4).rev().find(|level| bits & (1 << (level - 1)) != 0);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Four words: the system, 0 for Linux, and three numbers of its release.
fn abi_tag(desc: &[u8], endian: Endianness) -> Option<[u32; 3]> {
    let mut words = desc
        .chunks_exact(4)
        .filter_map(|word| <[u8; 4]>::try_from(word).ok())
        .map(|word| match endian {
            Endianness::Little => u32::from_le_bytes(word),
            Endianness::Big => u32::from_be_bytes(word),
        });
    let system = words.next()?;
    let release = [words.next()?, words.next()?, words.next()?];
    (system == 0).then_some(release)
}

/// The version in the text that glibc has in itself: `GNU C Library ... release version 2.36.`
pub(super) fn glibc_version(library: &[u8]) -> Option<[u32; 2]> {
    let banner = r"(?-u)GNU C Library[^\n]{0,160}?release version ([0-9]{1,5})\.([0-9]{1,5})\b";
    let found = Regex::new(banner).ok()?.captures(library)?;
    let number = |group: usize| {
        std::str::from_utf8(found.get(group)?.as_bytes())
            .ok()?
            .parse()
            .ok()
    };
    Some([number(1)?, number(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of 64 bits with one PT_NOTE segment that holds these notes.
    pub(crate) fn with_notes(notes: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, desc) in notes {
            body.extend(4u32.to_le_bytes());
            body.extend((desc.len() as u32).to_le_bytes());
            body.extend(kind.to_le_bytes());
            body.extend(b"GNU\0");
            body.extend(desc);
        }
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
        file.extend([0; 8]); // entry
        file.extend(64u64.to_le_bytes()); // program headers
        file.extend([0; 8 + 4]); // section headers, flags
        file.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(4u32.to_le_bytes()); // PT_NOTE
        file.extend(4u32.to_le_bytes());
        file.extend(120u64.to_le_bytes());
        file.extend([0; 16]);
        file.extend((body.len() as u64).to_le_bytes());
        file.extend((body.len() as u64).to_le_bytes());
        file.extend(8u64.to_le_bytes());
        file.extend(body);
        file
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn notes_tell_kernel_and_processor() {
        let notes = [
            (1, words(&[0, 4, 18, 0])),
            (5, words(&[0xc000_8002, 4, 0b11, 0])),
        ];
        let found = facts(&with_notes(&notes[..1]));
        assert_eq!((found.kernel, found.isa), (Some([4, 18, 0]), None));
        let found = facts(&with_notes(&notes[1..]));
        assert_eq!((found.kernel, found.isa), (None, Some(2)));
        let hurd = facts(&with_notes(&[(1, words(&[1, 4, 18, 0]))]));
        assert_eq!(hurd.kernel, None);
    }

    #[test]
    fn nonsense_says_nothing() {
        let whole = with_notes(&[
            (1, words(&[0, 4, 18, 0])),
            (5, words(&[0xc000_8002, 4, 3, 0])),
        ]);
        for end in 0..whole.len() {
            facts(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            facts(&damaged);
        }
        assert_eq!(facts(b"#!/bin/sh\n"), ElfFacts::default());
    }

    #[test]
    fn the_c_library_says_its_version() {
        let banner = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright";
        assert_eq!(glibc_version(banner), Some([2, 36]));
        assert_eq!(
            glibc_version(b"GNU C Library stable release version 2."),
            None
        );
        assert_eq!(glibc_version(b"musl libc"), None);
    }
}
