//! An archive to measure with: directories of small and larger files, always the same.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Fallible;

/// Entries of a directory, itself included.
const PER_DIRECTORY: u64 = 50;

/// Numbers that look random and are the same every time (a linear congruential generator).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// The next one below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// Name of entry `number`, which is a directory if it is the first of its group.
pub(crate) fn name(number: u64) -> String {
    let group = number / PER_DIRECTORY;
    let directory = format!("usr/share/part{:03}/group{group:05}", group % 97);
    if is_directory(number) {
        directory
    } else {
        format!("{directory}/file{number:07}")
    }
}

/// Whether entry `number` is a directory.
pub(crate) fn is_directory(number: u64) -> bool {
    number.is_multiple_of(PER_DIRECTORY)
}

/// Writes an archive of `entries` with `average` bytes in a file: most have less than that, a few
/// many times more, as in a system.
pub(crate) fn write(path: &Path, entries: u64, average: u64) -> Fallible<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let mut numbers = Numbers(1);
    let mut contents = Vec::new();
    for number in 0..entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000 + number);
        contents.clear();
        if is_directory(number) {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
        } else {
            header.set_mode(0o644);
            let most = match numbers.below(20) {
                0 => average * 20,
                _ => average,
            };
            let size = usize::try_from(numbers.below(most))?;
            while contents.len() < size {
                let word = numbers.below(20_000);
                write!(
                    contents,
                    "{word:x}{}",
                    if word.is_multiple_of(9) { '\n' } else { ' ' }
                )?;
            }
            contents.truncate(size);
        }
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name(number), &contents[..])?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// How archives are packed: the ending of the name, and the command as most people give it.
pub(crate) const FORMATS: &[(&str, &[&str])] = &[
    ("tar", &[]),
    ("tar.gz", &["gzip", "-c"]),
    ("tar.zst", &["zstd", "-q", "-c"]),
    ("tar.xz", &["xz", "-T0", "-c"]),
    ("tar.bz2", &["bzip2", "-c"]),
    ("tar.lz4", &["lz4", "-q", "-c"]),
];

/// Packs `plain` into `packed` by a command that writes to standard output.
pub(crate) fn pack(command: &[&str], plain: &Path, packed: &Path) -> Fallible<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let status = Command::new(program)
        .args(arguments)
        .arg(plain)
        .stdout(Stdio::from(File::create(packed)?))
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{program} failed: {status}").into()),
    }
}
