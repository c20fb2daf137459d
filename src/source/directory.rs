//! A directory as a source: what it is, by its contents.
//!
//! A plain tree (of rsync, debootstrap, a btrfs snapshot, an unpacked backup) is used as it is.
//! The stores of backup programs look like directories too: these are answered with the command
//! that makes a tree of them.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use wpar_mountd::lower::tar::{ImageError, main_file};

use super::image::ImageProblem;
use super::system::is_system_at;
use crate::model::Source;
use crate::model::record::TreeMark;

/// What makes a directory something else than a tree.
struct Store {
    /// Names that must all be there.
    names: &'static [&'static str],
    /// A file and what it must contain, to be sure.
    contains: Option<(&'static str, &'static str)>,
    what: &'static str,
    /// The one command; `IMAGE` stands for the directory.
    remedy: &'static str,
}

const fn store(names: &'static [&'static str], what: &'static str, remedy: &'static str) -> Store {
    Store {
        names,
        contains: None,
        what,
        remedy,
    }
}

const STORES: &[Store] = &[
    Store {
        contains: Some(("config", "[repository]")),
        ..store(
            &["config", "data"],
            "a Borg repository",
            "mount an archive of it with \"borg mount IMAGE::ARCHIVE DIR\" and use DIR",
        )
    },
    store(
        &["config", "keys", "data", "snapshots"],
        "a restic repository",
        "write a snapshot of it to a file with \"restic -r IMAGE dump latest / >NEW.tar\" and use that",
    ),
    store(
        &["kopia.repository.f"],
        "a Kopia repository",
        "restore a snapshot with \"kopia snapshot restore ID DIR\" and use DIR",
    ),
    store(
        &[".chunks"],
        "a data store of the Proxmox Backup Server",
        "restore with \"proxmox-backup-client restore SNAPSHOT root.pxar DIR\" and use DIR",
    ),
    store(
        &["rdiff-backup-data", "rdiff-backup-data/increments"],
        "an rdiff-backup store, whose files have the owners of the one who made it",
        "restore it with \"rdiff-backup restore IMAGE DIR\" as root and use DIR",
    ),
    store(
        &["parts", "disk", "blkid.list"],
        "a Clonezilla image",
        "write a partition of it to a file with \"cat IMAGE/PART.*-ptcl-img.* | zstd -dc | \
         partclone.restore -C -s - -O NEW.img\" and use that",
    ),
    store(
        &["metadata.yaml", "rootfs"],
        "an unpacked LXD or Incus image",
        "use the directory IMAGE/rootfs",
    ),
];

/// What a directory is as a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Archives that belong together, such as the layers of an image for containers.
    Layers,
    /// A plain tree.
    Tree,
}

/// Recognises the directory `path`.
///
/// # Errors
/// [`ImageProblem::NotUsable`] with the command that makes it usable.
pub(super) fn recognise(path: &Path) -> Result<Kind, ImageProblem> {
    // A system may have anything beside its directories.
    if File::open(path).is_ok_and(|directory| is_system_at(&directory)) {
        return Ok(Kind::Tree);
    }
    match main_file(path) {
        Ok(_) => return Ok(Kind::Layers),
        Err(ImageError::Directory { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    let matches = |store: &&Store| {
        store.names.iter().all(|name| has(name))
            && store
                .contains
                .is_none_or(|(file, text)| begins_with(&path.join(file), text))
    };
    match STORES.iter().find(matches) {
        Some(store) => Err(ImageProblem::NotUsable {
            path: path.to_owned(),
            what: store.what.to_owned(),
            remedy: store.remedy.replace("IMAGE", &path.display().to_string()),
        }),
        None => Ok(Kind::Tree),
    }
}

/// Whether `text` is among the first bytes of the file.
fn begins_with(file: &Path, text: &str) -> bool {
    let mut head = Vec::new();
    let read = File::open(file).and_then(|file| file.take(4096).read_to_end(&mut head));
    read.is_ok() && String::from_utf8_lossy(&head).contains(text)
}

/// The tree `path` as a source; it must look like a system if it is to be started.
///
/// # Errors
/// If it cannot be looked at, or is none.
pub(super) fn source(path: &Path, must_be_system: bool) -> Result<Source, ImageProblem> {
    if must_be_system {
        let directory = File::open(path).map_err(|error| ImageProblem::open(path, error))?;
        if !is_system_at(&directory) {
            return Err(ImageProblem::NotUsable {
                path: path.to_owned(),
                what: "a directory without etc and usr, which is no system".to_owned(),
                remedy: "name the directory that has them; 'wpar mount' shows any directory"
                    .to_owned(),
            });
        }
    }
    Ok(Source::Tree {
        path: path.to_owned(),
        root: mark(path)?,
    })
}

/// By what a directory that was made anew is known.
///
/// # Errors
/// Those of looking at it.
pub(super) fn mark(path: &Path) -> Result<TreeMark, ImageProblem> {
    let failed = |error| ImageProblem::open(path, error);
    let mask = StatxFlags::INO | StatxFlags::BTIME;
    let stat =
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, mask).map_err(|errno| failed(errno.into()))?;
    let metadata = path.symlink_metadata().map_err(failed)?;
    if !metadata.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    Ok(TreeMark {
        inode: metadata.ino(),
        born: has_birth.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !path.exists() {
                fs::create_dir(&path).unwrap();
            }
        }
    }

    #[test]
    fn each_store_is_answered_with_its_command() {
        for store in STORES {
            let temp = tempfile::tempdir().unwrap();
            make(temp.path(), store.names);
            if let Some((file, text)) = store.contains {
                let file = temp.path().join(file);
                fs::remove_dir(&file).unwrap();
                fs::write(&file, "[other]\n").unwrap();
                assert!(matches!(recognise(temp.path()), Ok(Kind::Tree)));
                fs::write(&file, format!("{text}\nversion = 1\n")).unwrap();
            }
            let error = recognise(temp.path()).unwrap_err().to_string();
            assert!(error.contains(store.what), "{error}");
            assert!(
                error.contains(&temp.path().display().to_string()),
                "{error}"
            );
            assert!(!error.contains("IMAGE"), "{error}");
        }
    }

    #[test]
    fn layers_and_trees_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        make(temp.path(), &["blobs"]);
        for name in ["oci-layout", "index.json"] {
            fs::write(temp.path().join(name), "{}").unwrap();
        }
        assert!(matches!(recognise(temp.path()), Ok(Kind::Layers)));
        // A system with such a file in its root is a system.
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("backup.tar.gz"), "x").unwrap();
        assert!(matches!(recognise(temp.path()), Ok(Kind::Layers)));
        make(temp.path(), &["etc", "usr"]);
        assert!(matches!(recognise(temp.path()), Ok(Kind::Tree)));
        let temp = tempfile::tempdir().unwrap();
        make(temp.path(), &["data", "config", "etc"]);
        assert!(matches!(recognise(temp.path()), Ok(Kind::Tree)));
    }

    #[test]
    fn only_what_has_etc_and_usr_is_started() {
        let temp = tempfile::tempdir().unwrap();
        assert!(source(temp.path(), false).is_ok());
        let error = source(temp.path(), true).unwrap_err().to_string();
        assert!(error.contains("without etc and usr"), "{error}");
        make(temp.path(), &["etc", "usr"]);
        let first = source(temp.path(), true).unwrap();
        assert!(first.is_same(&source(temp.path(), true).unwrap()));
    }
}
