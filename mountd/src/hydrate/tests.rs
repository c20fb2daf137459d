//! Hydration of a directory of this host that goes on changing.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::note::{Wish, open_store, progress, put_wish};
use super::{Ended, State, work};
use crate::lower::LowerLayer;
use crate::lower::host::HostLower;
use crate::overlay::{Hydrated, Hydrator, Overlay, RenameMode};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::UpperStore;

/// A host and a copy of it.
struct World {
    host: TempDir,
    store: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            host: TempDir::new().unwrap(),
            store: TempDir::new().unwrap(),
        };
        let host = world.host.path();
        for directory in ["etc/deep/er", "var/lib", "usr/bin", "srv", "empty"] {
            fs::create_dir_all(host.join(directory)).unwrap();
        }
        for (path, text) in [
            ("etc/hosts", "127.0.0.1"),
            ("etc/deep/er/file", "deep"),
            ("var/lib/data", "data"),
            ("usr/bin/tool", "tool"),
            ("file", "in the root"),
        ] {
            fs::write(host.join(path), text).unwrap();
        }
        fs::hard_link(host.join("usr/bin/tool"), host.join("usr/bin/alias")).unwrap();
        fs::hard_link(host.join("usr/bin/tool"), host.join("srv/elsewhere")).unwrap();
        symlink("nowhere", host.join("etc/link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            host.join("srv/pipe"),
            fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let mode = fs::Permissions::from_mode(0o4755);
        fs::set_permissions(host.join("usr/bin/tool"), mode).unwrap();
        let sparse = fs::File::create(host.join("var/lib/sparse")).unwrap();
        sparse.write_all_at(b"end", 3 << 20).unwrap();
        world
    }

    fn open(&self) -> Overlay {
        let lower: Arc<dyn LowerLayer> = Arc::new(HostLower::open(self.host.path()).unwrap());
        let root = crate::source::root_of(&*lower).unwrap();
        let store = UpperStore::open(self.store.path(), &root, lower.first_free()).unwrap();
        Overlay::new(lower, Some(store))
    }

    fn wish(&self, wanted: bool) {
        let wish = Wish {
            wanted,
            first: vec!["/var/lib/data".to_owned(), "/not/there".to_owned()],
            ..Wish::default()
        };
        put_wish(open_store(self.store.path()).unwrap(), &wish).unwrap();
    }

    fn work(&self, overlay: &Overlay, go_on: &dyn Fn() -> bool) -> Ended {
        work(overlay, open_store(self.store.path()).unwrap(), go_on).unwrap()
    }

    fn state(&self) -> State {
        progress(open_store(self.store.path()).unwrap())
            .unwrap()
            .state
    }

    /// The host becomes another one.
    fn upgrade(&self) {
        let host = self.host.path();
        fs::write(host.join("etc/hosts"), "changed on the host").unwrap();
        fs::write(host.join("etc/new"), "new on the host").unwrap();
        fs::write(host.join("new"), "new on the host").unwrap();
        fs::write(host.join("empty/new"), "new on the host").unwrap();
        fs::remove_file(host.join("usr/bin/alias")).unwrap();
        fs::remove_dir_all(host.join("var")).unwrap();
        fs::rename(host.join("srv"), host.join("moved")).unwrap();
        fs::remove_file(host.join("file")).unwrap();
        fs::create_dir(host.join("file")).unwrap();
    }
}

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

fn find(overlay: &Overlay, path: &str) -> Option<Ino> {
    let mut at = Ino::ROOT;
    for component in path.split('/') {
        at = overlay.lookup(at, name(component)).unwrap()?.hand_over().0;
    }
    Some(at)
}

/// Everything that is seen: kind, number, mode, names, contents.
type Seen = BTreeMap<String, (FileKind, u64, u16, u32, Vec<u8>)>;

fn see(overlay: &Overlay) -> Seen {
    let mut seen = Seen::new();
    let mut left = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = left.pop() {
        for (below, _) in super::walk::names_of(overlay, ino).unwrap() {
            let below = std::str::from_utf8(&below).unwrap();
            let (child, attr) = overlay
                .lookup(ino, name(below))
                .unwrap()
                .unwrap()
                .hand_over();
            let path = format!("{path}/{below}");
            let mut nlink = attr.nlink;
            let contents = match attr.kind {
                FileKind::Directory => {
                    left.push((path.clone(), child));
                    // Of a merged one it is not known.
                    nlink = 0;
                    Vec::new()
                }
                FileKind::Regular => {
                    let mut contents = vec![0; usize::try_from(attr.size).unwrap() + 1];
                    let length = overlay.read(child, &mut contents, 0).unwrap();
                    contents.truncate(length);
                    contents
                }
                FileKind::Symlink => overlay.read_link(child).unwrap(),
                _ => Vec::new(),
            };
            seen.insert(
                path,
                (attr.kind, child.0, attr.permissions, nlink, contents),
            );
        }
    }
    seen
}

#[test]
fn what_was_hydrated_is_seen_whatever_the_host_does() {
    let world = World::new();
    let overlay = world.open();
    let before = see(&overlay);
    assert_eq!(world.work(&overlay, &|| true), Ended::Unwanted);
    assert_eq!(see(&overlay), before, "nobody asked");
    world.wish(true);
    assert_eq!(world.work(&overlay, &|| true), Ended::Over);
    assert_eq!(world.state(), State::Done);
    assert_eq!(see(&overlay), before);
    world.upgrade();
    assert_eq!(see(&overlay), before);
    assert!(find(&overlay, "etc/new").is_none() && find(&overlay, "empty/new").is_none());
    drop(overlay);
    fs::remove_dir_all(world.host.path().join("usr")).unwrap();
    let again = world.open();
    assert!(again.is_immutable());
    assert_eq!(see(&again), before, "opened again");
    let links = ["/usr/bin/tool", "/usr/bin/alias", "/srv/elsewhere"];
    let [tool, alias, elsewhere] = links.map(|path| &before[path]);
    assert!(tool == alias && alias == elsewhere && tool.3 == 3 && tool.2 == 0o4755);
    let end = find(&again, "var/lib/sparse").unwrap();
    let space = again.attr(end).unwrap().blocks * 512;
    assert!(space < 1 << 20, "{space} bytes: holes stay holes");
}

#[test]
fn what_the_wpar_did_before_and_meanwhile_stays() {
    let world = World::new();
    let overlay = world.open();
    let root = Ino::ROOT;
    let etc = find(&overlay, "etc").unwrap();
    let usr = find(&overlay, "usr").unwrap();
    let bin = find(&overlay, "usr/bin").unwrap();
    overlay.unlink(bin, name("alias")).unwrap();
    overlay
        .rename(
            (etc, name("deep")),
            (usr, name("moved")),
            RenameMode::Replace,
        )
        .unwrap();
    overlay.write_path(b"/etc/hosts", b"ours", 0o644).unwrap();
    overlay.remove_directory(root, name("empty")).unwrap();
    let before = see(&overlay);
    world.wish(true);
    assert_eq!(world.work(&overlay, &|| true), Ended::Over);
    assert_eq!(world.state(), State::Done);
    assert_eq!(see(&overlay), before);
    world.upgrade();
    fs::create_dir_all(world.host.path().join("etc/deep/again")).unwrap();
    assert_eq!(see(&overlay), before);
    drop(overlay);
    assert_eq!(see(&world.open()), before);
}

#[test]
fn it_goes_on_where_it_was_interrupted_at_any_step() {
    let world = World::new();
    let before = see(&world.open());
    world.wish(true);
    let mut steps = 0;
    loop {
        let overlay = world.open();
        let left = Cell::new(steps);
        let ended = world.work(&overlay, &|| {
            left.set(left.get() - 1);
            left.get() >= 0
        });
        assert_eq!(see(&overlay), before, "after {steps} steps");
        if ended == Ended::Over {
            break;
        }
        assert_eq!((ended, world.state()), (Ended::Interrupted, State::Waiting));
        steps += 7;
    }
    assert!(steps > 50, "only {steps}");
    assert_eq!(world.state(), State::Done);
    world.upgrade();
    assert_eq!(see(&world.open()), before);
}

#[test]
fn it_stops_when_it_is_not_wanted_any_more() {
    let world = World::new();
    let overlay = world.open();
    world.wish(true);
    let steps = Cell::new(0);
    let ended = world.work(&overlay, &|| {
        steps.set(steps.get() + 1);
        if steps.get() == 30 {
            world.wish(false);
        }
        // The note is looked at now and then only.
        steps.get() < 31
    });
    assert_eq!((ended, world.state()), (Ended::Unwanted, State::Stopped));
    world.wish(true);
    assert_eq!(world.work(&overlay, &|| true), Ended::Over);
    assert_eq!(world.state(), State::Done);
}

#[test]
fn who_writes_while_a_file_is_copied_wins() {
    let world = World::new();
    let overlay = world.open();
    let etc = find(&overlay, "etc").unwrap();
    let mut hydrator = Hydrator::new(&overlay);
    let added = hydrator.add(etc, name("hosts"), &|| true).unwrap();
    assert!(
        matches!(added, Hydrated::Ready { torn: false, .. }),
        "{added:?}"
    );
    let hosts = find(&overlay, "etc/hosts").unwrap();
    overlay.write(hosts, b"OURS", 0, false).unwrap();
    hydrator.publish(false).unwrap();
    let read = overlay.read_path(b"/etc/hosts").unwrap().unwrap();
    assert_eq!(read, b"OURS0.0.1");
    assert_eq!(
        overlay.lookup(etc, name("hosts")).unwrap().unwrap().ino(),
        hosts
    );
    assert!(!overlay.is_untouched(hosts).unwrap());
}

#[test]
fn a_copy_is_untouched_until_somebody_changes_it_here_or_there() {
    type Change<'a> = &'a dyn Fn(&World, &Overlay, Ino);
    let change: [Change<'_>; 5] = [
        &|_, overlay, ino| assert_eq!(overlay.write(ino, b"x", 0, false), Ok(1)),
        &|_, overlay, ino| {
            let set = crate::overlay::SetAttr {
                permissions: Some(0o600),
                ..Default::default()
            };
            overlay.set_attr(ino, &set).unwrap();
        },
        &|_, overlay, ino| {
            let attr = overlay.attr(ino).unwrap();
            let set = crate::overlay::SetAttr {
                mtime: Some(crate::overlay::SetTime::To(attr.mtime)),
                ..Default::default()
            };
            overlay.set_attr(ino, &set).unwrap();
        },
        &|_, overlay, ino| {
            let flags = crate::upper::calls::XattrFlags::empty();
            overlay.set_xattr(ino, b"user.x", b"y", flags).unwrap();
        },
        &|world, _, _| {
            fs::write(world.host.path().join("etc/hosts"), "longer than it was").unwrap()
        },
    ];
    for (number, change) in change.into_iter().enumerate() {
        let world = World::new();
        let overlay = world.open();
        world.wish(true);
        assert_eq!(world.work(&overlay, &|| true), Ended::Over);
        let hosts = find(&overlay, "etc/hosts").unwrap();
        // The lower knows what was looked up in it.
        let node = crate::lower::LowerNode(find(&overlay, "etc").unwrap().0);
        let root = crate::lower::LowerNode::ROOT;
        overlay.lower().lookup(root, name("etc")).unwrap();
        overlay.lower().lookup(node, name("hosts")).unwrap();
        let mut buffer = [0; 4];
        overlay.read(hosts, &mut buffer, 0).unwrap();
        assert!(overlay.is_untouched(hosts).unwrap(), "{number}");
        assert!(overlay.is_of_lower(hosts).unwrap(), "{number}");
        change(&world, &overlay, hosts);
        assert!(!overlay.is_untouched(hosts).unwrap(), "{number}");
        assert!(!overlay.is_of_lower(hosts).unwrap(), "{number}");
    }
}

#[test]
fn names_that_come_all_the_time_do_not_keep_it_from_its_end() {
    let world = World::new();
    let overlay = world.open();
    world.wish(true);
    let number = Cell::new(0);
    let host = world.host.path();
    let replace = |path: &str, text: &str| {
        fs::write(host.join("etc/draft"), text).unwrap();
        fs::rename(host.join("etc/draft"), host.join(path)).unwrap();
    };
    let ended = world.work(&overlay, &|| {
        number.set(number.get() + 1);
        let spool = world
            .host
            .path()
            .join("var/lib")
            .join(number.get().to_string());
        fs::write(spool, "").unwrap();
        // Always another one between its copy and the moment in which that is seen.
        replace("var/lib/data", "data");
        replace("etc/hosts", "127.0.0.1");
        if number.get() > 20 {
            let _ = fs::remove_dir_all(host.join("etc/deep"));
        }
        number.get() < 100_000
    });
    assert_eq!((ended, world.state()), (Ended::Over, State::Done));
    let lib = find(&overlay, "var/lib").unwrap();
    assert!(overlay.is_closed_directory(lib).unwrap());
    let deep = find(&overlay, "etc/deep");
    assert!(deep.is_none_or(|deep| overlay.is_closed_directory(deep).unwrap()));
    world.upgrade();
    for (path, text) in [("/var/lib/data", "data"), ("/etc/hosts", "127.0.0.1")] {
        let read = overlay.read_path(path.as_bytes()).unwrap();
        assert_eq!(
            read.as_deref(),
            Some(text.as_bytes()),
            "{path} was replaced all the time"
        );
    }
}

#[test]
fn what_cannot_be_copied_is_told_and_stays_the_hosts() {
    let world = World::new();
    let overlay = world.open();
    world.wish(true);
    // No copy can be made.
    fs::remove_dir(world.store.path().join("work")).unwrap();
    assert_eq!(world.work(&overlay, &|| true), Ended::Over);
    let told = progress(open_store(world.store.path()).unwrap()).unwrap();
    assert_eq!(told.state, State::Failed);
    assert!(told.failed.count > 0 && told.reason.is_some(), "{told:?}");
    fs::write(world.host.path().join("file"), "live").unwrap();
    assert_eq!(overlay.read_path(b"/file").unwrap().unwrap(), b"live");
    assert!(Path::new(&told.failed.paths[0]).starts_with("/"));
}

#[test]
fn a_number_that_the_host_uses_again_is_not_that_of_two_files() {
    let world = World::new();
    let overlay = world.open();
    let host = world.host.path();
    overlay.write_path(b"/etc/hosts", b"ours", 0o644).unwrap();
    let ours = find(&overlay, "etc/hosts").unwrap();
    // The same inode under another name is as good as another one of the same number.
    fs::rename(host.join("etc/hosts"), host.join("etc/moved")).unwrap();
    fs::create_dir(host.join("etc/new")).unwrap();
    fs::rename(host.join("etc/moved"), host.join("etc/new/moved")).unwrap();
    let moved = find(&overlay, "etc/new/moved").unwrap();
    assert_ne!(moved, ours);
    let read = |overlay: &Overlay, path: &str| overlay.read_path(path.as_bytes()).unwrap().unwrap();
    assert_eq!(read(&overlay, "/etc/new/moved"), b"127.0.0.1");
    assert_eq!(read(&overlay, "/etc/hosts"), b"ours");
    drop(overlay);
    fs::rename(host.join("etc/new/moved"), host.join("usr/again")).unwrap();
    let overlay = world.open();
    let seen = see(&overlay);
    assert_eq!(seen["/etc/new/moved"].1, moved.0);
    assert_eq!(seen["/usr/again"].4, b"127.0.0.1");
    let numbers: std::collections::HashSet<_> = ["/etc/hosts", "/etc/new/moved", "/usr/again"]
        .map(|path| seen[path].1)
        .into();
    assert_eq!(numbers.len(), 3);
}
