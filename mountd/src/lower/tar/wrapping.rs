//! What some programs put around the archive of a system, and what of it is told to the user.

use std::fs::File;

use super::entries::Scan;
use super::error::ScanError;
use super::source::read_full;
use super::tree::Tree;

/// Length of the header of an Amanda dump (`DISK_BLOCK_BYTES` of its `fileheader.h`).
const AMANDA_BYTES: u64 = 32 * 1024;

/// Bytes in front of an archive.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// How many there are.
    pub(super) bytes: u64,
    /// What they say.
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// The header of an Amanda dump, if `file` begins with one: a line of text (see amanda(8)),
/// `AMANDA: FILE 20261127010000 host /disk lev 0 comp .gz program /bin/tar`, in 32 KiB.
///
/// # Errors
/// Those of reading; [`ScanError::Unusable`] for a piece of a dump.
pub(super) fn header(file: &File) -> Result<Header, ScanError> {
    let mut buffer = [0; 512];
    let count = read_full(file, &mut buffer, 0).map_err(ScanError::Read)?;
    let line = buffer[..count].split(|byte| *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let Some(text) = line.strip_prefix("AMANDA: ") else {
        return Ok(Header::default());
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.first() != Some(&"FILE") {
        return Err(ScanError::Unusable {
            what: "it is a piece of an Amanda dump that was split".to_owned(),
            remedy: "put it together with \"amfetchdump\"".to_owned(),
        });
    }
    let mut header = Header {
        bytes: AMANDA_BYTES,
        ..Default::default()
    };
    let shown: Vec<String> = words
        .iter()
        .skip(1)
        .take(3)
        .map(|word| word.escape_default().take(100).collect())
        .collect();
    header
        .notes
        .push(format!("Amanda dump of {}", shown.join(" ")));
    let level = words.iter().skip_while(|word| **word != "lev").nth(1);
    if let Some(level) = level.filter(|level| **level != "0") {
        let level: String = level.escape_default().take(10).collect();
        header.warnings.push(format!(
            "this is a dump of level {level}: what did not change since the one before is not in it"
        ));
    }
    Ok(header)
}

/// Refuses an archive with a single entry that is the image of a disk.
///
/// # Errors
/// [`ScanError::Unusable`].
pub(super) fn refuse_disk(scan: &Scan, entries: u64) -> Result<(), ScanError> {
    match &scan.lone {
        Some((name, what)) if entries == 1 => Err(ScanError::Unusable {
            what: format!("all that is in it is {name}, which {what}"),
            remedy: "unpack that with \"tar -xf IMAGE\" and use the file".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// How a system lies in an archive that has more than it.
struct Wrapping {
    /// A file that tells so.
    mark: &'static [u8],
    /// The directory of the system.
    top: &'static [u8],
    /// All names that may be in the archive's root.
    names: &'static [&'static [u8]],
}

/// LXD and Incus: a unified image (`doc/reference/image_format.md`), and what `export` writes.
const WRAPPINGS: &[Wrapping] = &[
    Wrapping {
        mark: b"metadata.yaml",
        top: b"rootfs",
        names: &[b"metadata.yaml", b"rootfs", b"templates"],
    },
    Wrapping {
        mark: b"backup/index.yaml",
        top: b"backup/container/rootfs",
        names: &[b"backup"],
    },
];

impl Wrapping {
    fn top_in(&self, tree: &Tree) -> Option<u32> {
        tree.find_file(self.mark)?;
        let known = |name| self.names.contains(&name);
        let top = tree.directory_at(self.top)?;
        tree.root_names().all(known).then_some(top)
    }
}

/// Makes the system the root where it lies in a directory of the archive; answers what the image
/// is.
pub(super) fn unwrap(tree: &mut Tree) -> Vec<String> {
    for wrapping in WRAPPINGS {
        if let Some(top) = wrapping.top_in(tree) {
            tree.set_root(top);
            return vec!["container image of LXD or Incus".to_owned()];
        }
    }
    let mut notes = Vec::new();
    if tree.find_file(b"etc/vzdump/pct.conf").is_some() {
        notes.push("backup of a container by Proxmox vzdump".to_owned());
    }
    notes
}
