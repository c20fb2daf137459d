//! Which names come from the host, and which of the copy's are gone.
//!
//! What a package of the host owns comes from there, but for its configuration; what the copy's own
//! package of that name owned and the new one does not is gone. What a package owns that stays is never
//! touched. Directories are merged; of the host's only what is listed is seen.
//!
//! Both systems have links on the way to what packages own (`/lib`), and mostly the same ones. Where the
//! copy has a link of its own and the host a directory, nothing can be taken in its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use wpar_mountd::error::FsError;
use wpar_mountd::lower::rebased::Fate;
use wpar_mountd::types::FileKind;

use super::plan::MOST_OBSTACLES;
use super::{Class, Plan, Situation};
use crate::packages::{Package, Relation};
use crate::policy::system_copy::filesets::places::{self, Places};
use crate::source::files::{Files, join, split};

/// Most names. A data base that asks for more is made to do harm.
const NAMES_MAX: usize = 2_000_000;

/// What is listed.
#[derive(Debug, Default)]
pub struct Names {
    /// What becomes of each path.
    pub listed: BTreeMap<Vec<u8>, Fate>,
    /// What is in the way, one line each.
    pub obstacles: Vec<String>,
    /// What the administrator should know.
    pub notes: Vec<String>,
}

/// A system and what its directories have in them.
struct System<'a> {
    files: &'a dyn Files,
    places: Places<'a>,
    kinds: HashMap<Rc<[u8]>, HashMap<Vec<u8>, FileKind>>,
}

impl<'a> System<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            places: Places::new(files),
            kinds: HashMap::new(),
        }
    }

    /// What `name` in a directory, which is free of links, is itself.
    fn kind(&mut self, directory: &Rc<[u8]>, name: &[u8]) -> Result<Option<FileKind>, FsError> {
        if !self.kinds.contains_key(directory) {
            // What is asked for is the directory itself, and not where a link in its place leads.
            let is_there = places::lenient(self.files.real(directory))?
                .is_some_and(|(real, _)| real == **directory);
            let names = match is_there {
                true => places::names(self.files, directory)?,
                false => Vec::new(),
            };
            let names = names.into_iter().collect();
            self.kinds.insert(Rc::clone(directory), names);
        }
        let known = self.kinds.get(directory);
        Ok(known.and_then(|names| names.get(name).copied()))
    }

    fn kind_of(&mut self, path: &[u8]) -> Result<Option<FileKind>, FsError> {
        let (directory, name) = split(path);
        self.kind(&Rc::from(directory), name)
    }
}

/// Says which names come from the host.
///
/// # Errors
/// Those of reading the two systems.
pub fn names(
    situation: &Situation<'_>,
    plan: &Plan,
    copy_files: &dyn Files,
    host_files: &dyn Files,
) -> Result<Names, FsError> {
    let mut work = Work {
        copy: System::new(copy_files),
        host: System::new(host_files),
        kept: HashMap::new(),
        links: BTreeSet::new(),
        directories: Vec::new(),
        names: Names::default(),
    };
    work.look_at_merged()?;
    for package in plan.own(situation, Class::Kept) {
        for path in owned(package) {
            let place = work.copy.places.name(path)?;
            work.kept.insert(place, package.name.clone());
        }
    }
    for (host, own) in plan.taken(situation) {
        let same = own.is_some_and(|own| own.version == host.version);
        work.take(host, same)?;
    }
    // Only now it is known what comes.
    for (host, own) in plan.taken(situation) {
        // Of the same version, what the host does not have was taken away there (documentation, say).
        if let Some(own) = own.filter(|own| own.version != host.version) {
            work.drop_old(own)?;
        }
    }
    for own in plan.own(situation, Class::Dropped) {
        work.drop_old(own)?;
    }
    work.replace_directories()?;
    work.names.obstacles.truncate(MOST_OBSTACLES);
    if work.names.listed.len() > NAMES_MAX {
        let too_many = "the packages own more names than any have";
        work.names.obstacles.push(too_many.to_owned());
    }
    Ok(work.names)
}

/// What a package owns, its configuration included, but not the directories of that: where one is a link
/// (`/lib`), it is not the package's.
fn owned(package: &Package) -> impl Iterator<Item = &Vec<u8>> {
    let config = package.config_files.iter().map(|file| &file.path);
    let above = directories(package);
    let paths = package
        .paths
        .iter()
        .filter(move |path| !above.contains(&path[..]));
    paths.chain(config)
}

/// The directories that something of a package is in.
fn directories(package: &Package) -> HashSet<&[u8]> {
    package.paths.iter().map(|path| split(path).0).collect()
}

/// The configuration files of a package.
fn configuration(package: &Package) -> HashSet<&[u8]> {
    let files = package.config_files.iter();
    files.map(|file| file.path.as_slice()).collect()
}

struct Work<'a> {
    copy: System<'a>,
    host: System<'a>,
    /// What packages own that stay, and which.
    kept: HashMap<Vec<u8>, String>,
    /// Links of the copy that stand where the host has directories, as far as they were told.
    links: BTreeSet<Vec<u8>>,
    /// Directories of the copy where the host has something else.
    directories: Vec<Vec<u8>>,
    names: Names,
}

/// Directories that distributions have moved into `/usr`, leaving links.
const MERGED: [&[u8]; 6] = [b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"];

impl Work<'_> {
    /// Programs that are called by `/bin/sh` must be found under that name.
    fn look_at_merged(&mut self) -> Result<(), FsError> {
        for name in MERGED {
            let is_link = self.host.kind_of(name)? == Some(FileKind::Symlink);
            if is_link && self.copy.kind_of(name)? == Some(FileKind::Directory) {
                self.names.obstacles.push(format!(
                    "/{} is a directory in the copy, and leads into /usr on the host; install \
                     usrmerge in the copy",
                    name.escape_ascii()
                ));
            }
        }
        Ok(())
    }

    /// What a package of the host owns comes from there.
    fn take(&mut self, package: &Package, same: bool) -> Result<(), FsError> {
        let config = configuration(package);
        let above = directories(package);
        let paths = package.paths.iter().map(Vec::as_slice);
        for path in paths.filter(|path| !config.contains(path)) {
            let (directory, name) = split(path);
            if name.is_empty() {
                continue;
            }
            let directory = self.host.places.directory(directory)?;
            let place = join(&directory, name);
            let Some(kind) = self.host.kind(&directory, name)? else {
                // Taken away from the host.
                continue;
            };
            if kind != FileKind::Directory && above.contains(path) {
                continue;
            }
            if !self.leads_there(&directory)? {
                continue;
            }
            let own = self.copy.kind(&directory, name)?;
            if kind == FileKind::Directory {
                self.take_directory(place, own);
            } else if own == Some(FileKind::Directory) {
                if !same && self.may_take(package, &place) {
                    self.directories.push(place);
                }
            } else if self.may_take(package, &place) {
                self.names.listed.insert(place, Fate::Taken);
            }
        }
        Ok(())
    }

    fn take_directory(&mut self, place: Vec<u8>, own: Option<FileKind>) {
        let fate = match own {
            // It is merged by itself if something in it is taken.
            Some(FileKind::Directory) => return,
            // A link to a directory is followed, as when it is unpacked.
            Some(FileKind::Symlink) => return,
            Some(_) | None => Fate::Directory,
        };
        self.names.listed.entry(place).or_insert(fate);
    }

    /// Where the host has something else than a directory, the copy's goes if nothing is left in it.
    fn replace_directories(&mut self) -> Result<(), FsError> {
        for place in std::mem::take(&mut self.directories) {
            if self.is_left_empty(&place)? {
                let below = [&place[..], b"/"].concat();
                self.names
                    .listed
                    .retain(|path, _| !path.starts_with(&below));
                self.names.listed.insert(place, Fate::Taken);
            } else {
                self.names.notes.push(format!(
                    "/{} stays a directory, although it is none on the host",
                    place.escape_ascii()
                ));
            }
        }
        Ok(())
    }

    /// Whether all that is in a directory of the copy goes.
    fn is_left_empty(&mut self, place: &[u8]) -> Result<bool, FsError> {
        let mut to_do = vec![place.to_vec()];
        while let Some(directory) = to_do.pop() {
            for (name, kind) in places::names(self.copy.files, &directory)? {
                let path = join(&directory, &name);
                if kind == FileKind::Directory {
                    to_do.push(path);
                } else if self.names.listed.get(&path) != Some(&Fate::Gone) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a package of the host may put something there.
    fn may_take(&mut self, package: &Package, place: &[u8]) -> bool {
        let Some(owner) = self.kept.get(place) else {
            return true;
        };
        let replaces = package.dependencies.iter().any(|dependency| {
            let mut names = dependency.on.split([',', '|']);
            dependency.relation == Relation::Replaces
                && names.any(|name| name.split_whitespace().next() == Some(owner))
        });
        if !replaces && *owner != package.name {
            self.names.obstacles.push(format!(
                "/{} is of {owner} in the copy, and of {} on the host",
                place.escape_ascii(),
                package.name
            ));
        }
        replaces
    }

    /// Whether the directory, free of links on the host, is that in the copy too, if it is there.
    fn leads_there(&mut self, directory: &Rc<[u8]>) -> Result<bool, FsError> {
        let here = self.copy.places.directory(directory)?;
        if here == *directory {
            return Ok(true);
        }
        let mut end = 0;
        let mut link = &directory[..];
        for component in directory.split(|&byte| byte == b'/') {
            end += component.len();
            let above = directory.get(..end).unwrap_or(directory);
            if self.copy.kind_of(above)? == Some(FileKind::Symlink) {
                link = above;
                break;
            }
            end += 1;
        }
        if self.links.insert(link.to_vec()) {
            self.names.obstacles.push(format!(
                "/{} is a link in the copy, and a directory on the host",
                link.escape_ascii()
            ));
        }
        Ok(false)
    }

    /// What a package owned that does not own it any more is gone.
    fn drop_old(&mut self, package: &Package) -> Result<(), FsError> {
        let config = configuration(package);
        let above = directories(package);
        for path in package.paths.iter().map(Vec::as_slice) {
            if config.contains(path) || above.contains(path) {
                continue;
            }
            let (directory, name) = split(path);
            let directory = self.copy.places.directory(directory)?;
            let place = join(&directory, name);
            let kind = self.copy.kind(&directory, name)?;
            let is_file = kind.is_some_and(|kind| kind != FileKind::Directory);
            if is_file && !self.kept.contains_key(&place) {
                self.names.listed.entry(place).or_insert(Fate::Gone);
            }
        }
        Ok(())
    }
}
