//! Names of the lower that are hidden, in the merged tree: to the WPAR they do not exist, can be
//! made anew, and what the lower has under them never shows again.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::sync::Arc;

use wpar_mountd::error::FsError;
use wpar_mountd::filter::HiddenLower;
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::{
    CopyUp, DirectoryEntry, DirectorySink, LookedUp, NewInode, Overlay, RenameMode,
};
use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::{Attr, Caller, EntryName, FileKind, Ino};
use wpar_mountd::upper::UpperStore;

const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// A store above a lower of which names are hidden, opened as often as wanted.
struct Tree {
    store: tempfile::TempDir,
    lower: Arc<MemoryLower>,
    rules: Vec<HiddenName>,
    core: Option<Overlay>,
}

fn tree(build: impl FnOnce(Builder) -> Builder, names: &[&str], contents: &[&str]) -> Tree {
    let rule = |path: &&str, extent| HiddenName {
        path: (*path).into(),
        extent,
        reason: "a test".into(),
    };
    let names = names.iter().map(|path| rule(path, HiddenExtent::Name));
    let contents = contents
        .iter()
        .map(|path| rule(path, HiddenExtent::Contents));
    let mut tree = Tree {
        store: tempfile::tempdir().unwrap(),
        lower: Arc::new(build(MemoryLower::builder()).build().unwrap()),
        rules: names.chain(contents).collect(),
        core: None,
    };
    tree.open();
    tree
}

struct Names(Vec<String>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        self.0.push(String::from_utf8(entry.name.to_vec()).unwrap());
        true
    }
}

impl Tree {
    fn open(&mut self) {
        self.core = None;
        let lower = Arc::clone(&self.lower) as Arc<dyn LowerLayer>;
        let lower: Arc<dyn LowerLayer> = Arc::new(HiddenLower::new(lower, &self.rules).unwrap());
        let root = wpar_mountd::source::root_of(&*lower).unwrap();
        let store = UpperStore::open(self.store.path(), &root, lower.first_free()).unwrap();
        let copy_up = CopyUp {
            whole: 1000,
            whole_of_living: 1000,
            block_size: 64,
        };
        self.core = Some(Overlay::new(lower, Some(store)).with_copy_up(copy_up));
    }

    fn core(&self) -> &Overlay {
        self.core.as_ref().unwrap()
    }

    /// The inode at `path`, looked up as the kernel does and never given back.
    fn find(&self, path: &str) -> Result<(Ino, Attr), FsError> {
        let mut at = (Ino::ROOT, self.core().attr(Ino::ROOT)?);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let name = EntryName::new(name.as_bytes())?;
            let found = self.core().lookup(at.0, name)?.ok_or(FsError::NotFound)?;
            at = found.hand_over();
        }
        Ok(at)
    }

    fn ino(&self, path: &str) -> Ino {
        self.find(path).unwrap().0
    }

    fn nlink(&self, path: &str) -> u32 {
        let ino = self.ino(path);
        self.core().attr(ino).unwrap().nlink
    }

    fn place<'p>(&self, path: &'p str) -> (Ino, EntryName<'p>) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.ino(parent), EntryName::new(name.as_bytes()).unwrap())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let mut names = Names(Vec::new());
        self.core()
            .read_directory(self.ino(path), 0, false, &mut names)
            .unwrap();
        let mut names = names.0.split_off(2);
        names.sort();
        names
    }

    fn read(&self, path: &str) -> String {
        let (ino, attr) = self.find(path).unwrap();
        let mut text = vec![0; attr.size as usize];
        let read = self.core().read(ino, &mut text, 0).unwrap();
        String::from_utf8(text[..read].to_vec()).unwrap()
    }

    fn make(&self, path: &str, kind: FileKind) -> Result<Ino, FsError> {
        let new = NewInode {
            kind,
            permissions: 0o755,
            umask: 0,
            rdev: 0,
            target: b"",
            caller: CALLER,
        };
        let (parent, name) = self.place(path);
        Ok(self.core().create(parent, name, &new)?.hand_over().0)
    }

    fn write(&self, path: &str, text: &str) {
        let ino = self
            .make(path, FileKind::Regular)
            .unwrap_or_else(|_| self.ino(path));
        self.core().write(ino, text.as_bytes(), 0, false).unwrap();
    }

    fn rename(&self, from: &str, to: &str, mode: RenameMode) -> Result<(), FsError> {
        self.core().rename(self.place(from), self.place(to), mode)
    }

    fn link(&self, existing: &str, path: &str) -> Result<(), FsError> {
        let (parent, name) = self.place(path);
        let linked = self.core().link(self.ino(existing), parent, name)?;
        linked.hand_over();
        Ok(())
    }

    fn unlink(&self, path: &str) -> Result<(), FsError> {
        let (parent, name) = self.place(path);
        self.core().unlink(parent, name)
    }

    fn remove_directory(&self, path: &str) -> Result<(), FsError> {
        let (parent, name) = self.place(path);
        self.core().remove_directory(parent, name)
    }

    fn stored(&self, path: &str) -> Vec<String> {
        let directory = std::fs::read_dir(self.store.path().join(path)).unwrap();
        let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

const WHITEOUT: RenameMode = RenameMode::Whiteout {
    caller: CALLER,
    replace: true,
};
const WHITEOUT_NO_REPLACE: RenameMode = RenameMode::Whiteout {
    caller: CALLER,
    replace: false,
};

fn simple() -> Tree {
    tree(
        |tree| {
            tree.file("d/hidden", "of the lower")
                .file("d/hiddendir/inside", "of the lower")
                .file("d/file", "file")
                .file("d/dir/x", "x")
        },
        &["d/hidden", "d/hiddendir"],
        &[],
    )
}

#[test]
fn a_hidden_name_is_not_there_for_any_call() {
    let tree = simple();
    assert_eq!(tree.names("d"), ["dir", "file"]);
    for hidden in ["d/hidden", "d/hiddendir"] {
        assert_eq!(tree.find(hidden).unwrap_err(), FsError::NotFound);
        assert_eq!(tree.unlink(hidden), Err(FsError::NotFound));
        assert_eq!(tree.remove_directory(hidden), Err(FsError::NotFound));
        for mode in [RenameMode::Replace, RenameMode::NoReplace, WHITEOUT] {
            assert_eq!(tree.rename(hidden, "d/new", mode), Err(FsError::NotFound));
        }
        for (from, to) in [(hidden, "d/file"), ("d/file", hidden), ("d/dir", hidden)] {
            let exchanged = tree.rename(from, to, RenameMode::Exchange);
            assert_eq!(exchanged, Err(FsError::NotFound), "{from} {to}");
        }
    }
    assert_eq!(tree.names("d"), ["dir", "file"]);
}

/// Puts something at a hidden name, takes it away again, and looks before and after each time,
/// also after the store was opened again.
fn comes_and_goes(name: &str, put: impl Fn(&mut Tree), remove: impl Fn(&Tree), below: &[&str]) {
    let path = format!("d/{name}");
    let mut tree = simple();
    put(&mut tree);
    for _ in 0..2 {
        assert!(tree.names("d").contains(&name.to_owned()));
        if below.is_empty() {
            assert_ne!(tree.read(&path), "of the lower");
        } else {
            assert_eq!(tree.names(&path), *below);
            let inside = tree.find(&format!("{path}/inside"));
            assert_eq!(inside.unwrap_err(), FsError::NotFound);
        }
        tree.open();
    }
    remove(&tree);
    for _ in 0..2 {
        assert_eq!(tree.find(&path).unwrap_err(), FsError::NotFound);
        assert!(!tree.names("d").contains(&name.to_owned()));
        tree.open();
    }
    // And once more, now that it was there.
    tree.make(&path, FileKind::Directory).unwrap();
    assert_eq!(tree.names(&path), [""; 0]);
    tree.open();
    assert_eq!(tree.names(&path), [""; 0]);
}

#[test]
fn a_hidden_name_is_made_anew_in_every_way() {
    let all_modes = [
        RenameMode::Replace,
        RenameMode::NoReplace,
        WHITEOUT,
        WHITEOUT_NO_REPLACE,
    ];
    for name in ["hidden", "hiddendir"] {
        let path = format!("d/{name}");
        let unlink = |tree: &Tree| tree.unlink(&path).unwrap();
        let remove = |tree: &Tree| tree.remove_directory(&path).unwrap();
        comes_and_goes(name, |tree| tree.write(&path, "new"), unlink, &[]);
        let make = |tree: &mut Tree| {
            tree.make(&path, FileKind::Directory).unwrap();
        };
        comes_and_goes_empty(name, make, remove);
        comes_and_goes(
            name,
            |tree| tree.link("d/file", &path).unwrap(),
            unlink,
            &[],
        );
        for mode in all_modes {
            let file = |tree: &mut Tree| tree.rename("d/file", &path, mode).unwrap();
            comes_and_goes(name, file, unlink, &[]);
            let dir = |tree: &mut Tree| tree.rename("d/dir", &path, mode).unwrap();
            let remove_all = |tree: &Tree| {
                tree.unlink(&format!("{path}/x")).unwrap();
                tree.remove_directory(&path).unwrap();
            };
            comes_and_goes(name, dir, remove_all, &["x"]);
        }
        let unnamed = |tree: &mut Tree| {
            let new = NewInode {
                kind: FileKind::Regular,
                permissions: 0o600,
                umask: 0,
                rdev: 0,
                target: b"",
                caller: CALLER,
            };
            let (parent, name) = tree.place(&path);
            let made = tree.core().create_unnamed(parent, &new).unwrap();
            let linked = tree.core().link(made.hand_over().0, parent, name);
            assert_eq!(linked.unwrap().attr().nlink, 1);
        };
        comes_and_goes(name, unnamed, unlink, &[]);
    }
}

fn comes_and_goes_empty(name: &str, put: impl Fn(&mut Tree), remove: impl Fn(&Tree)) {
    let file = format!("d/{name}/own");
    let put = |tree: &mut Tree| {
        put(tree);
        tree.write(&file, "own");
    };
    let remove = |tree: &Tree| {
        tree.unlink(&file).unwrap();
        remove(tree);
    };
    comes_and_goes(name, put, remove, &["own"]);
}

#[test]
fn a_directory_with_hidden_names_only_is_empty() {
    let build = |tree: Builder| {
        tree.file("a/one", "1")
            .file("a/two/three", "3")
            .file("b/four", "4")
            .file("c/five", "5")
            .directory("other/empty")
    };
    let mut tree = tree(build, &["a/one", "a/two", "c/five"], &["b"]);
    assert_eq!(tree.names("a"), [""; 0]);
    tree.remove_directory("a").unwrap();
    assert_eq!(tree.find("a").unwrap_err(), FsError::NotFound);
    // Such a directory may also be replaced by one, whatever that one contains.
    tree.write("other/file", "f");
    tree.rename("other", "b", RenameMode::Replace).unwrap();
    // Changed, it is as empty as before.
    let set = wpar_mountd::overlay::SetAttr {
        permissions: Some(0o700),
        ..Default::default()
    };
    tree.core().set_attr(tree.ino("c"), &set).unwrap();
    tree.open();
    assert_eq!(tree.names(""), ["b", "c"]);
    assert_eq!(tree.names("b"), ["empty", "file"]);
    tree.remove_directory("c").unwrap();
    for name in ["a", "c"] {
        tree.make(name, FileKind::Directory).unwrap();
    }
    tree.open();
    assert_eq!(tree.names("a"), [""; 0]);
    assert_eq!(tree.names("c"), [""; 0]);
    assert_eq!(tree.find("c/five").unwrap_err(), FsError::NotFound);
}

#[test]
fn a_moved_directory_goes_on_hiding() {
    let mut tree = tree(
        |tree| {
            tree.file("etc/ssh/key", "secret")
                .file("etc/ssh/config", "config")
        },
        &["etc/ssh/key"],
        &[],
    );
    tree.rename("etc/ssh", "moved", RenameMode::Replace)
        .unwrap();
    tree.rename("etc", "moved/etc", RenameMode::Replace)
        .unwrap();
    for _ in 0..2 {
        assert_eq!(tree.names("moved"), ["config", "etc"]);
        assert_eq!(tree.find("moved/key").unwrap_err(), FsError::NotFound);
        tree.open();
    }
    tree.write("moved/key", "own");
    tree.open();
    assert_eq!(tree.read("moved/key"), "own");
    tree.unlink("moved/key").unwrap();
    tree.open();
    assert_eq!(tree.find("moved/key").unwrap_err(), FsError::NotFound);
}

/// Large enough to be copied block by block.
fn large() -> String {
    (0..3000)
        .map(|at| (b'a' + (at % 26) as u8) as char)
        .collect()
}

#[test]
fn an_inode_with_hidden_names_is_whole_under_the_others() {
    for (hidden, size) in [("a", 5), ("b", 5), ("a", 3000), ("b", 3000)] {
        let shown = if hidden == "a" { "b" } else { "a" };
        let text = large()[..size].to_owned();
        let mut tree = tree(
            |tree| tree.file("a", &text).hard_link("a", "b").file("c", ""),
            &[hidden],
            &[],
        );
        assert_eq!(tree.names(""), [shown, "c"].map(str::to_owned));
        assert_eq!(tree.nlink(shown), 2, "the hidden name is counted");
        // Changed, it is the same inode, now the store's.
        let ino = tree.ino(shown);
        tree.core().write(ino, b"!", 1, false).unwrap();
        let expected = format!("{}!{}", &text[..1], &text[2..]);
        for _ in 0..2 {
            assert_eq!(tree.ino(shown), ino);
            assert_eq!(tree.read(shown), expected, "{hidden} hidden, {size} bytes");
            assert_eq!(tree.nlink(shown), 2);
            assert_eq!(tree.find(hidden).unwrap_err(), FsError::NotFound);
            tree.open();
        }
        // A new file under the hidden name is another one.
        tree.write(hidden, "own");
        tree.open();
        assert_ne!(tree.ino(hidden), ino);
        assert_eq!((tree.nlink(hidden), tree.nlink(shown)), (1, 2));
        tree.link(shown, "d").unwrap();
        assert_eq!((tree.nlink("d"), tree.nlink(hidden)), (3, 1));
        tree.unlink(shown).unwrap();
        tree.open();
        assert_eq!(tree.read("d"), expected);
        assert_eq!(tree.read(hidden), "own");
        assert_eq!(tree.nlink("d"), 2);
        // Its last name that is seen: nobody can reach it any more.
        tree.unlink("d").unwrap();
        tree.open();
        assert_eq!(tree.names(""), [hidden, "c"].map(str::to_owned));
        assert_eq!(tree.read(hidden), "own");
        // The lower still counts a name, so the store keeps it.
        assert_eq!(tree.stored("links"), [ino.0.to_string()]);
    }
}
