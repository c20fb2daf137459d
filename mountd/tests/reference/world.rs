//! The core and the model side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tempfile::TempDir;
use wpar_mountd::overlay::{CopyUp, Overlay};
use wpar_mountd::types::{Attr, EntryName, FileKind, Ino, Timestamp};
use wpar_mountd::upper::UpperStore;

use crate::lower::{self, Source};
use crate::model::{Id, Inode, Model, ROOT};
use crate::operation::{Case, Name, Operation, Pick, any_name};
use crate::place;
use crate::quota;

/// What went wrong, in words.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// The core above a fresh store, the model, and what the kernel would remember.
pub(crate) struct World {
    pub(crate) model: Model,
    source: Source,
    pub(crate) store: TempDir,
    copy_up: CopyUp,
    /// Whether the store is kept within limits, none of which is reached.
    limited: bool,
    pub(crate) core: Option<Overlay>,
    /// What was done so far, in words.
    pub(crate) story: Vec<String>,
    /// Lookups that were counted and not given back, but for those that are held.
    pub(crate) lookups: BTreeMap<Ino, u64>,
    pub(crate) held: Vec<(Id, Ino)>,
    /// Places where a name went, the latest last.
    pub(crate) lost: Vec<(Id, Vec<u8>)>,
    /// The directory in which each object was looked up last.
    pub(crate) parents: HashMap<Id, Id>,
    numbers: HashMap<Id, Ino>,
    pub(crate) ids: HashMap<Ino, Id>,
    births: HashMap<Id, Timestamp>,
}

/// An object, and how the core is led to it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) id: Id,
    way: Way,
}

#[derive(Clone, Debug)]
pub(crate) enum Way {
    Path(Vec<Vec<u8>>),
    Held(Ino),
}

/// Runs a case to its end.
pub(crate) fn run(case: &Case) -> Verdict {
    let mut world = World::new(case);
    let verdict = world.live(case);
    verdict.map_err(|error| format!("{error}\n{}", world.story.join("\n")))
}

impl World {
    fn live(&mut self, case: &Case) -> Verdict {
        self.compare()
            .map_err(|error| format!("before any operation: {error}"))?;
        self.forget_all();
        for (number, operation) in case.operations.iter().enumerate() {
            let told = |error| format!("operation {number}, {operation:?}: {error}");
            self.step(operation).map_err(told)?;
            self.check_quota().map_err(told)?;
            if case.watch {
                self.compare().map_err(told)?;
            }
            if !case.keep {
                self.forget_all();
                self.check_quota().map_err(told)?;
            }
        }
        self.compare()
            .map_err(|error| format!("at the end: {error}"))?;
        self.step(&Operation::Reopen)?;
        self.check_quota()
            .map_err(|error| format!("opened again at the end: {error}"))?;
        self.compare()
            .map_err(|error| format!("opened again at the end: {error}"))?;
        self.audit().map_err(|error| format!("the store: {error}"))
    }

    fn new(case: &Case) -> Self {
        let (source, model) = lower::make(&case.lower, case.on_host, case.on_disk);
        let mut world = Self {
            model,
            source,
            store: place::directory(case.on_disk),
            copy_up: case.copy_up,
            limited: case.operations.len().is_multiple_of(2),
            core: None,
            story: Vec::new(),
            lookups: BTreeMap::new(),
            held: Vec::new(),
            lost: Vec::new(),
            parents: HashMap::new(),
            numbers: HashMap::from([(ROOT, Ino::ROOT)]),
            ids: HashMap::from([(Ino::ROOT, ROOT)]),
            births: HashMap::new(),
        };
        world.open();
        world
    }

    pub(crate) fn open(&mut self) {
        let lower = self.source.open();
        let root = wpar_mountd::source::root_of(&*lower).unwrap();
        let path = self.store.path().join("store");
        let store = UpperStore::open(&path, &root, lower.first_free()).unwrap();
        let store = match self.limited {
            true => store.limited(quota::LIMITS).unwrap(),
            false => store,
        };
        self.core = Some(Overlay::new(lower, Some(store)).with_copy_up(self.copy_up));
    }

    fn check_quota(&self) -> Verdict {
        match self.limited {
            true => quota::check(&self.store.path().join("store"), self.core().usage()),
            false => Ok(()),
        }
    }

    pub(crate) fn core(&self) -> &Overlay {
        self.core.as_ref().unwrap()
    }

    /// The kernel gives back what it does not need: it never forgets a directory while it knows
    /// something in it.
    pub(crate) fn forget_all(&mut self) {
        let mut needed = BTreeSet::new();
        for (id, _) in &self.held {
            let mut at = *id;
            while let Some(&parent) = self.parents.get(&at) {
                if !needed.insert(self.numbers[&parent]) {
                    break;
                }
                at = parent;
            }
        }
        for (ino, count) in std::mem::take(&mut self.lookups) {
            let kept = u64::from(needed.contains(&ino)).min(count);
            if kept > 0 {
                self.lookups.insert(ino, kept);
            }
            if count > kept {
                self.core().forget(ino, count - kept);
            }
        }
    }

    /// Looks a name up as the kernel does and counts it; `None` if there is none.
    pub(crate) fn look_up(&mut self, dir: Ino, name: &[u8]) -> Verdict<Option<(Ino, Attr)>> {
        let name = EntryName::new(name).unwrap();
        let found = self.core().lookup(dir, name);
        let found = found.map_err(|error| format!("lookup of {name:?} in {dir}: {error}"))?;
        let found = found.map(|found| found.hand_over());
        if let Some((ino, _)) = found {
            *self.lookups.entry(ino).or_default() += 1;
        }
        Ok(found)
    }

    /// Checks that an inode has the number that it always had, and no other inode ever had.
    pub(crate) fn same(&mut self, id: Id, ino: Ino) -> Verdict {
        let number = *self.numbers.entry(id).or_insert(ino);
        let owner = *self.ids.entry(ino).or_insert(id);
        if number != ino {
            return Err(format!("inode {id} was {number} and is {ino}"));
        }
        if owner != id {
            return Err(format!("{ino} was inode {owner} and is inode {id}"));
        }
        Ok(())
    }

    /// Checks that an inode was born when it always was.
    pub(crate) fn same_birth(&mut self, id: Id, ino: Ino) -> Verdict {
        let told = self.core().birth(ino).map_err(|error| error.to_string())?;
        let birth = *self.births.entry(id).or_insert(told);
        if birth == told {
            Ok(())
        } else {
            Err(format!("was born {birth:?} and now {told:?}"))
        }
    }

    fn choose(&self, pick: Pick, wanted: impl Fn(&Inode) -> bool) -> Option<Chosen> {
        self.choose_where(pick, |chosen| wanted(&self.model.inodes[chosen.id]))
    }

    fn choose_where(&self, pick: Pick, wanted: impl Fn(&Chosen) -> bool) -> Option<Chosen> {
        let mut all = vec![Chosen {
            id: ROOT,
            way: Way::Path(Vec::new()),
        }];
        let mut next = 0;
        while let Some(Chosen {
            id,
            way: Way::Path(path),
        }) = all.get(next).cloned()
        {
            for (name, &id) in &self.model.inodes[id].entries {
                let path = path.iter().chain([name]).cloned().collect();
                all.push(Chosen {
                    id,
                    way: Way::Path(path),
                });
            }
            next += 1;
        }
        let held = self.held.iter().map(|&(id, ino)| Chosen {
            id,
            way: Way::Held(ino),
        });
        all.extend(held);
        all.retain(wanted);
        let count = all.len().max(1);
        all.into_iter().nth(usize::from(pick) % count)
    }

    pub(crate) fn any(&mut self, pick: Pick) -> Verdict<(Id, Ino)> {
        let chosen = self.choose(pick, |_| true).unwrap();
        Ok((chosen.id, self.lead(&chosen)?))
    }

    pub(crate) fn regular(&mut self, pick: Pick) -> Verdict<Option<(Id, Ino)>> {
        match self.choose(pick, |inode| inode.kind == FileKind::Regular) {
            Some(chosen) => Ok(Some((chosen.id, self.lead(&chosen)?))),
            None => Ok(None),
        }
    }

    pub(crate) fn lead(&mut self, chosen: &Chosen) -> Verdict<Ino> {
        let path = match &chosen.way {
            Way::Path(path) => path,
            Way::Held(ino) => {
                self.tell(format!("held {ino}"));
                return Ok(*ino);
            }
        };
        self.tell(format!("/{}", path.join(&b'/').escape_ascii()));
        let (mut id, mut at) = (ROOT, Ino::ROOT);
        for name in path {
            let name_told = name.escape_ascii().to_string();
            let found = self.look_up(at, name)?;
            at = found
                .ok_or_else(|| format!("{name_told} in {at} is not there"))?
                .0;
            let parent = id;
            id = self.model.inodes[parent].entries[name];
            self.parents.insert(id, parent);
            self.same(id, at)?;
        }
        Ok(at)
    }

    /// Adds to the story of the operation that is being done.
    pub(crate) fn tell(&mut self, words: String) {
        if let Some(last) = self.story.last_mut() {
            last.push(' ');
            last.push_str(&words);
        }
    }

    /// A directory and a name in it, which may be taken or not.
    pub(crate) fn end(&mut self, dir: Pick, name: Name) -> (Chosen, Vec<u8>) {
        let chosen = self.choose(dir, Inode::is_directory).unwrap();
        let entries = &self.model.inodes[chosen.id].entries;
        let (chosen, name) = match name {
            Name::There(number) if !entries.is_empty() => {
                let at = usize::from(number) % entries.len();
                let name = entries.keys().nth(at).unwrap().clone();
                (chosen, name)
            }
            Name::Lost(number) if !self.lost.is_empty() => {
                let at = usize::from(number) % self.lost.len();
                let (id, name) = self.lost[at].clone();
                // The directory may be out of reach by now.
                let again = self.choose_where(0, |chosen| chosen.id == id);
                (again.unwrap_or(chosen), name)
            }
            Name::There(number) | Name::Lost(number) | Name::Any(number) => {
                (chosen, any_name(number))
            }
        };
        (chosen, name)
    }

    /// The same, with the core led to the directory.
    pub(crate) fn place(&mut self, dir: Pick, name: Name) -> Verdict<(Id, Ino, Vec<u8>)> {
        let (chosen, name) = self.end(dir, name);
        let ino = self.lead(&chosen)?;
        self.tell(name.escape_ascii().to_string());
        Ok((chosen.id, ino, name))
    }
}
