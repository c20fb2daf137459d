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

/// Makes the system the root where it lies in a directory of the archive; answers what the image
/// is.
pub(super) fn unwrap(tree: &mut Tree) -> Vec<String> {
    let has = |tree: &Tree, path: &[u8]| tree.find_file(path).is_some();
    let mut notes = Vec::new();
    // LXD and Incus: a unified image, and what `export` writes.
    let wrappings: [(&[u8], &[u8], &[&[u8]]); 3] = [
        (b"metadata.yaml", b"rootfs", &[b"templates"]),
        (b"backup/index.yaml", b"backup/container/rootfs", &[]),
        (b"backup/index.yaml", b"backup/instance/rootfs", &[]),
    ];
    for (mark, top, others) in wrappings {
        let first = |path: &[u8]| path.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
        let mut known = vec![first(mark), first(top)];
        known.extend(others.iter().map(|other| Some(other.to_vec())));
        let only = tree
            .root_names()
            .all(|name| known.iter().flatten().any(|known| known == name));
        if has(tree, mark)
            && only
            && let Some(top) = tree.directory_at(top)
        {
            tree.set_root(top);
            notes.push("container image of LXD or Incus".to_owned());
            return notes;
        }
    }
    if has(tree, b"etc/vzdump/pct.conf") {
        notes.push("backup of a container by Proxmox vzdump".to_owned());
    }
    notes
}
