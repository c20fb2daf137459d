//! Images that the kernel shows: a file system in a file, or a disk with partitions.
//!
//! Which partition, and which sub-volume of a btrfs, is the system is found by looking: each is
//! mounted for a moment, attached nowhere.

use std::fs::File;
use std::path::Path;

use wpar_mountd::lower::filesystem::{
    self, FileSystemError, FileSystemImage, FileSystemKind, Journal, Partition, Region, Superblock,
};

use super::image::ImageProblem;
use super::system::{is_system_at, name_at};

/// Names that installers give to the sub-volume of the root.
const SUBVOLUMES: &[&str] = &["@", "root", "@rootfs", "rootfs"];

/// What of an image is to be shown, and what to say about it.
#[derive(Debug)]
pub(super) struct Choice {
    /// The file system.
    pub(super) image: FileSystemImage,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

/// The file system that the file `path` is or, as a disk, has; `None` if it is neither.
///
/// # Errors
/// If nothing in it can be shown, or it has no system, or several, and one is to be started.
pub(super) fn choose(
    path: &Path,
    file: &File,
    must_be_system: bool,
) -> Result<Option<Choice>, ImageProblem> {
    let failed = |error| ImageProblem::open(path, error);
    let whole = Region::default();
    if let Some(found) = filesystem::examine(file, whole).map_err(failed)? {
        require_privileges(path, Some(found.kind))?;
        let image = FileSystemImage::of(path, found.kind, whole).map_err(failed)?;
        let look = look(image)?;
        if must_be_system && !look.is_system {
            return Err(not_usable(
                path,
                format!(
                    "a file system ({}) without etc and usr, which is no system",
                    found.kind.name()
                ),
                "name the image of the root file system; 'wpar mount' shows any",
            ));
        }
        let notes = journal_note(found).into_iter().collect();
        return Ok(Some(Choice {
            image: look.image,
            notes,
        }));
    }
    match filesystem::partitions(file).map_err(failed)? {
        Some(partitions) => of_disk(path, file, &partitions, must_be_system).map(Some),
        None => Ok(None),
    }
}

/// One partition, as it was found.
struct Part {
    partition: Partition,
    superblock: Option<Superblock>,
    look: Option<Look>,
    /// What it is in words.
    what: String,
}

impl Part {
    fn of(path: &Path, file: &File, partition: Partition) -> Result<Self, ImageProblem> {
        let failed = |error| ImageProblem::open(path, error);
        let superblock = filesystem::examine(file, partition.region).map_err(failed)?;
        let mut look_at = None;
        let what = match superblock {
            None => other_contents(file, partition.region).to_owned(),
            Some(found) => {
                let image = FileSystemImage::of(path, found.kind, partition.region);
                match look(image.map_err(failed)?) {
                    Err(error) => {
                        format!("{}, which cannot be mounted: {error}", found.kind.name())
                    }
                    Ok(look) => {
                        let what = match &look.name {
                            Some(name) => format!("{}, {name}", found.kind.name()),
                            None => found.kind.name().to_owned(),
                        };
                        look_at = Some(look);
                        what
                    }
                }
            }
        };
        Ok(Self {
            partition,
            superblock,
            look: look_at,
            what,
        })
    }
}

fn of_disk(
    path: &Path,
    file: &File,
    partitions: &[Partition],
    must_be_system: bool,
) -> Result<Choice, ImageProblem> {
    require_privileges(path, None)?;
    let parts: Vec<Part> = partitions
        .iter()
        .map(|partition| Part::of(path, file, *partition))
        .collect::<Result<_, _>>()?;
    let list = parts
        .iter()
        .map(|part| format!("{}: {}", part.partition.number, part.what))
        .collect::<Vec<_>>()
        .join("; ");
    let systems = |part: &&Part| part.look.as_ref().is_some_and(|look| look.is_system);
    let shown = |part: &&Part| part.look.is_some();
    let several = parts.iter().filter(systems).count() > 1;
    let only = parts.iter().filter(shown).count() == 1 && !must_be_system;
    let chosen = match parts.iter().find(systems) {
        Some(part) if !several => Some(part),
        None if only => parts.iter().find(shown),
        _ => None,
    };
    let Some(part) = chosen else {
        let what = match (several, parts.is_empty()) {
            (true, _) => format!("a disk with more than one system ({list})"),
            (_, true) => "a disk without partitions".to_owned(),
            _ => format!("a disk without a system in a file system that can be shown ({list})"),
        };
        return Err(not_usable(path, what, remedy(&parts)));
    };
    let mut notes = vec![format!(
        "partition {} of the disk is shown ({})",
        part.partition.number, part.what
    )];
    notes.extend(part.superblock.and_then(journal_note));
    match &part.look {
        Some(look) => Ok(Choice {
            image: look.image.clone(),
            notes,
        }),
        None => Err(not_usable(path, "a disk".to_owned(), remedy(&parts))),
    }
}

/// The one command that helps with a disk of which no partition can be chosen.
fn remedy(parts: &[Part]) -> &'static str {
    if parts.iter().any(|part| part.what == LVM) {
        "activate its volumes with \"losetup -fP IMAGE && vgchange -ay\", mount the root \
         read-only and use that directory"
    } else if parts.iter().any(|part| part.what == LUKS) {
        "open it with \"losetup -fP --show IMAGE\" and \"cryptsetup open --readonly /dev/loopNpM \
         NAME\", mount the root read-only and use that directory"
    } else {
        "make the device of each partition with \"losetup -rfP --show IMAGE\", mount the one that \
         you mean read-only and use that directory"
    }
}

const LVM: &str = "LVM";
const LUKS: &str = "encrypted (LUKS)";

/// What else is to be found in partitions, for the list in an error.
fn other_contents(file: &File, region: Region) -> &'static str {
    use std::os::unix::fs::FileExt;
    let has = |offset: u64, magic: &[u8]| {
        let mut found = vec![0; magic.len()];
        let read = file.read_exact_at(&mut found, region.offset.saturating_add(offset));
        read.is_ok() && found == magic
    };
    if has(512, b"LABELONE") {
        LVM
    } else if has(0, b"LUKS\xba\xbe") {
        LUKS
    } else if has(54, b"FAT") || has(82, b"FAT32") {
        "FAT"
    } else if has(3, b"NTFS    ") {
        "NTFS"
    } else if has(4086, b"SWAPSPACE2") {
        "swap space"
    } else {
        "unknown"
    }
}

/// A file system that was looked at.
struct Look {
    /// With its sub-volume.
    image: FileSystemImage,
    is_system: bool,
    name: Option<String>,
}

fn look(image: FileSystemImage) -> Result<Look, FileSystemError> {
    let root = filesystem::attach(&image)?;
    if is_system_at(&root) || image.format != FileSystemKind::Btrfs {
        return Ok(Look {
            is_system: is_system_at(&root),
            name: name_at(&root),
            image,
        });
    }
    // Another mount of it must not meet this one.
    drop(root);
    for subvolume in SUBVOLUMES {
        let image = FileSystemImage {
            subvolume: Some((*subvolume).to_owned()),
            ..image.clone()
        };
        if let Ok(root) = filesystem::attach(&image)
            && is_system_at(&root)
        {
            return Ok(Look {
                is_system: true,
                name: name_at(&root),
                image,
            });
        }
    }
    Ok(Look {
        image,
        is_system: false,
        name: None,
    })
}

/// What must be known of a file system that was in use when it was copied.
fn journal_note(found: Superblock) -> Option<String> {
    let name = found.kind.name();
    match found.journal {
        Journal::Empty => None,
        Journal::Pending => Some(format!(
            "warning: the {name} file system was not unmounted; its journal is not replayed, so the \
             last changes are missing"
        )),
        Journal::Unknown => Some(format!(
            "the journal of the {name} file system is not replayed; if it was not unmounted, the last \
             changes are missing"
        )),
    }
}

/// Only root can have file systems mounted from a file.
fn require_privileges(path: &Path, kind: Option<FileSystemKind>) -> Result<(), ImageProblem> {
    if super::privilege::is_host_root() {
        return Ok(());
    }
    let (what, helper) = match kind {
        Some(FileSystemKind::Squashfs) => ("a squashfs file system", "squashfuse IMAGE DIR"),
        Some(FileSystemKind::Erofs) => ("an EROFS file system", "erofsfuse IMAGE DIR"),
        Some(FileSystemKind::Ext4) => ("an ext4 file system", "fuse2fs -o ro IMAGE DIR"),
        Some(_) | None => {
            let what = kind.map_or("a disk".to_owned(), |kind| {
                format!("a file system ({})", kind.name())
            });
            return Err(not_usable(
                path,
                format!("{what}, which only root can have mounted"),
                "run this with sudo",
            ));
        }
    };
    let what = format!("{what}, which only root can have mounted");
    let remedy = format!("run this with sudo, or use \"{helper}\"");
    Err(not_usable(path, what, &remedy))
}

fn not_usable(path: &Path, what: String, remedy: &str) -> ImageProblem {
    ImageProblem::NotUsable {
        path: path.to_owned(),
        what,
        remedy: remedy.replace("IMAGE", &path.display().to_string()),
    }
}
