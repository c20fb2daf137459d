//! A system as a directory for a launcher that cannot map ids: what `mkwpar` would show of an image,
//! its owners in the range of the ids that it will run with.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::process::Command;

use super::world::{World, time};
use crate::Fallible;
use crate::launcher::IDS;

/// The WPAR that is looked at.
const NAME: &str = "tree";

/// Copies the files of a WPAR of `image`, as it would start, to `to`. So both sides of a comparison
/// have the same services, and the same ones masked.
pub(super) fn unpack(world: &World, image: &Path, to: &Path) -> Fallible<()> {
    world.create(image, NAME)?;
    let copied = world.wpar(&["startwpar", "-m", NAME]).and_then(|_| {
        fs::create_dir_all(to)?;
        let shown = world.root().join("wpars").join(NAME);
        let mut copy = Command::new("cp");
        copy.args(["-a", "--one-file-system", "-T"]);
        time(copy.arg(shown).arg(to))
    });
    world.wpar(&["rmwpar", "-F", NAME])?;
    copied.map(drop)
}

/// Adds the first id of the range to every owner below `dir` and to its own.
pub(super) fn shift(dir: &Path) -> Fallible<()> {
    let meta = fs::symlink_metadata(dir)?;
    // A file with several names comes here once for each.
    let shifted = |id| Some(if id < IDS.first { id + IDS.first } else { id });
    if meta.is_dir() {
        for entry in fs::read_dir(dir)? {
            shift(&entry?.path())?;
        }
    }
    lchown(dir, shifted(meta.uid()), shifted(meta.gid()))?;
    // A change of owners takes set-user-id bits away.
    if !meta.is_symlink() && meta.mode() & 0o6000 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_shifted_and_modes_stay() {
        if !rustix::process::geteuid().is_root() {
            return crate::workload::real::skipped("not root");
        }
        let dir = tempfile::tempdir().unwrap();
        let (inner, link) = (dir.path().join("d/su"), dir.path().join("d/link"));
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(&inner, "").unwrap();
        lchown(&inner, Some(0), Some(42)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        shift(dir.path()).unwrap();
        let meta = fs::metadata(&inner).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid(), meta.mode() & 0o7777),
            (IDS.first, IDS.first + 42, 0o4755)
        );
        assert_eq!(fs::symlink_metadata(&link).unwrap().uid(), IDS.first);
        assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
    }
}
