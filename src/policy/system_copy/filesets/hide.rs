//! Which names go with the hidden filesets.
//!
//! A name is hidden if it has owners and all of them are hidden; its configuration, too: that of
//! private filesets *is* settings of devices, and it stays in the source. A directory goes with
//! everything below it, unless something that is visible owns something below it, or it is one of the
//! standard directories. What nobody owns stays, if it is not in such a directory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use wpar_mountd::error::FsError;

use super::generated::Places as Generated;
use super::names::{Names, above};
use super::places::Places;
use crate::packages::PackageDatabase;
use crate::source::files::{join, split};

/// Directories that stay even if only hidden filesets own them.
const STANDARD: &[&[u8]] = &[
    b"boot/efi",
    b"etc/default",
    b"etc/init.d",
    b"etc/kernel",
    b"etc/modprobe.d",
    b"etc/modules-load.d",
    b"etc/rc.d",
    b"etc/runlevels",
    b"etc/sysconfig",
    b"etc/systemd",
    b"etc/udev",
    b"lib/modules",
    b"usr/bin",
    b"usr/lib",
    b"usr/lib/modules",
    b"usr/sbin",
    b"usr/share",
    b"usr/share/doc",
    b"usr/share/man",
    b"usr/src",
    b"var/lib",
    b"var/log",
];

/// A path that hidden filesets own.
struct Owned {
    /// One of the owners, by its place in the data base.
    owner: usize,
    /// Whether it must stay.
    stays: bool,
}

/// Adds the names that only `hidden` packages own to `names`. What visible packages own in places
/// where much is generated is given to `generated`.
pub(super) fn owned(
    database: &PackageDatabase,
    hidden: &HashSet<usize>,
    places: &mut Places<'_>,
    names: &mut Names,
    generated: &mut Generated,
) -> Result<(), FsError> {
    let mut owned: HashMap<Vec<u8>, Owned> = HashMap::new();
    for &owner in hidden {
        let package = database.packages.get(owner);
        for path in package.map_or(&[][..], |package| &package.paths) {
            let path = places.name(path)?;
            let stays = !path.contains(&b'/') || STANDARD.contains(&&*path);
            owned.entry(path).or_insert(Owned { owner, stays });
        }
        // Of a package that was removed, only these are left.
        for file in package.map_or(&[][..], |package| &package.config_files) {
            let path = places.name(&file.path)?;
            owned.entry(path).or_insert(Owned {
                owner,
                stays: false,
            });
        }
    }
    let mut directories: HashSet<Rc<[u8]>> = HashSet::new();
    let mut path = Vec::new();
    for (index, package) in database.packages.iter().enumerate() {
        if hidden.contains(&index) {
            continue;
        }
        let config = package.config_files.iter().map(|file| &file.path);
        for written in package.paths.iter().chain(config) {
            let (directory, name) = split(written);
            let directory = places.directory(directory)?;
            path.clear();
            path.extend_from_slice(&directory);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if let Some(known) = owned.get_mut(&path) {
                known.stays = true;
            }
            generated.see_visible(&path);
            if !directories.contains(&directory) {
                directories.insert(directory);
            }
        }
    }
    for directory in &directories {
        for directory in std::iter::once(&**directory).chain(above(directory)) {
            if let Some(known) = owned.get_mut(directory) {
                known.stays = true;
            }
        }
    }
    let mut reasons: HashMap<usize, Rc<str>> = HashMap::new();
    for (path, known) in owned.into_iter().filter(|(_, known)| !known.stays) {
        let reason = reasons.entry(known.owner).or_insert_with(|| {
            let package = database.packages.get(known.owner);
            package
                .map_or(String::new(), |package| {
                    format!("belongs to the private fileset {}", package.name)
                })
                .into()
        });
        names.hide(path, reason);
    }
    Ok(())
}

/// Adds what Python made of hidden modules.
pub(super) fn compiled(places: &Places<'_>, names: &mut Names) -> Result<(), FsError> {
    let mut modules: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for path in names.paths() {
        let (directory, name) = split(path);
        if let Some(stem) = name.strip_suffix(b".py")
            && !names.covers(directory)
        {
            let stems = modules.entry(directory.to_vec()).or_default();
            stems.insert(stem.to_vec());
        }
    }
    for (directory, stems) in modules {
        let cache = join(&directory, b"__pycache__");
        for (name, _) in places.names(&cache)? {
            let stem = name.split(|&byte| byte == b'.').next().unwrap_or_default();
            if name.ends_with(b".pyc") && stems.contains(stem) {
                let module = join(&directory, &[stem, b".py"].concat());
                if let Some(reason) = names.reason(&module) {
                    names.hide(join(&cache, &name), &reason);
                }
            }
        }
    }
    Ok(())
}
