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
use crate::packages::{Package, PackageDatabase};
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

/// What hidden filesets own: by directory, without links on the way to it, and name.
#[derive(Default)]
struct Table<'a>(HashMap<Rc<[u8]>, HashMap<&'a [u8], Owned>>);

impl<'a> Table<'a> {
    fn get_mut(&mut self, path: &[u8]) -> Option<&mut Owned> {
        let (directory, name) = split(path);
        self.0.get_mut(directory)?.get_mut(name)
    }

    /// Whether a directory is hidden itself.
    fn hides(&self, path: &[u8]) -> bool {
        let (directory, name) = split(path);
        let known = self.0.get(directory).and_then(|names| names.get(name));
        known.is_some_and(|known| !known.stays)
    }

    fn add(&mut self, directory: Rc<[u8]>, name: &'a [u8], owner: usize) {
        let stays = directory.is_empty() || STANDARD.contains(&&*join(&directory, name));
        let names = self.0.entry(directory).or_default();
        names.entry(name).or_insert(Owned { owner, stays });
    }
}

/// Adds the names that only `hidden` packages own to `names`. What visible packages own in places
/// where much is generated is given to `generated`.
pub(super) fn owned(
    database: &PackageDatabase,
    hidden: &BTreeSet<usize>,
    places: &mut Places<'_>,
    names: &mut Names,
    generated: &mut Generated,
) -> Result<(), FsError> {
    let mut owned = Table::default();
    for &owner in hidden {
        for path in database.packages.get(owner).into_iter().flat_map(paths) {
            let (directory, name) = split(path);
            owned.add(places.directory(directory)?, name, owner);
        }
    }
    let mut directories: HashSet<Rc<[u8]>> = HashSet::new();
    for (index, package) in database.packages.iter().enumerate() {
        if !hidden.contains(&index) {
            see_visible(package, places, &mut owned, &mut directories, generated)?;
        }
    }
    keep_above(&directories, &mut owned);
    let mut reasons: HashMap<usize, Rc<str>> = HashMap::new();
    for (directory, found) in &owned.0 {
        if owned.hides(directory) {
            continue;
        }
        for (name, known) in found.iter().filter(|(_, known)| !known.stays) {
            let reason = reasons.entry(known.owner).or_insert_with(|| {
                let package = database.packages.get(known.owner);
                let name = package.map_or("", |package| &package.name);
                format!("belongs to the private fileset {name}").into()
            });
            names.hide(join(directory, name), reason);
        }
    }
    Ok(())
}

/// What a package owns. Of one that was removed, only configuration is left.
fn paths(package: &Package) -> impl Iterator<Item = &Vec<u8>> {
    let config = package.config_files.iter().map(|file| &file.path);
    package.paths.iter().chain(config)
}

/// Notes that what a visible package owns stays, and in which directories it is.
fn see_visible(
    package: &Package,
    places: &mut Places<'_>,
    owned: &mut Table<'_>,
    directories: &mut HashSet<Rc<[u8]>>,
    generated: &mut Generated,
) -> Result<(), FsError> {
    // Lists name what is in a directory together, and in most there is nothing of ours.
    let mut last: Option<&[u8]> = None;
    let mut place: Rc<[u8]> = Rc::from(&b""[..]);
    let (mut is_shared, mut is_generated) = (false, false);
    for path in paths(package) {
        let (directory, name) = split(path);
        if last != Some(directory) {
            last = Some(directory);
            place = places.directory(directory)?;
            is_shared = owned.0.contains_key(&place);
            is_generated = generated.holds(&place);
            directories.insert(Rc::clone(&place));
        }
        if is_shared && let Some(known) = owned.0.get_mut(&place).and_then(|all| all.get_mut(name))
        {
            known.stays = true;
        }
        if is_generated {
            generated.see_visible(join(&place, name));
        }
    }
    Ok(())
}

/// Keeps the directories above those in which something visible is.
fn keep_above(directories: &HashSet<Rc<[u8]>>, owned: &mut Table<'_>) {
    let mut seen: HashSet<&[u8]> = HashSet::new();
    for directory in directories {
        for directory in std::iter::once(&**directory).chain(above(directory)) {
            if !seen.insert(directory) {
                break;
            }
            if let Some(known) = owned.get_mut(directory) {
                known.stays = true;
            }
        }
    }
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
