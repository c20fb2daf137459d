//! Planning, taking and removing, on ground that only remembers.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use wpar_mountd::spec::RootMark;

use super::{Ground, Planned, Wanted, given, plan, remove, take};
use crate::model::Frozen;
use crate::model::frozen::SnapshotKind;
use crate::model::view::Part;
use crate::source::host::{Disks, HostFacts, Mount, PathKind};

/// What was done, and what is to fail.
#[derive(Default)]
struct Fake {
    done: RefCell<Vec<String>>,
    there: RefCell<BTreeSet<String>>,
    fails: Option<(&'static str, i32)>,
}

impl Fake {
    fn act(&self, what: String) -> io::Result<()> {
        if let Some((part, number)) = self.fails
            && what.contains(part)
        {
            return Err(io::Error::from_raw_os_error(number));
        }
        self.done.borrow_mut().push(what);
        Ok(())
    }
}

impl Ground for Fake {
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        if (program, arguments.first()) == ("lvs", Some(&"--noheadings")) {
            return match arguments.last() {
                Some(&"/dev/mapper/vg0-root") => Ok("  vg0/root/thin\n".to_owned()),
                Some(&"/dev/mapper/vg0-thick") => Ok("  vg0/thick/linear\n".to_owned()),
                _ if self.fails.is_some_and(|(part, _)| part == "lvs") => {
                    Err(io::Error::other("lvs: Cannot process volume group vg0"))
                }
                Some(which) => {
                    let there = self.there.borrow();
                    let found = there
                        .iter()
                        .find(|name| which.contains(&format!("\"{name}\"")));
                    Ok(found.cloned().unwrap_or_default())
                }
                None => Ok(String::new()),
            };
        }
        self.act(format!("{program} {}", arguments.join(" ")))?;
        let mut there = self.there.borrow_mut();
        match (program, arguments) {
            ("lvcreate", [.., name, _]) => drop(there.insert(format!("vg0/{name}"))),
            ("mount", [.., point]) => drop(there.insert((*point).to_owned())),
            ("umount", [point]) => drop(there.remove(*point)),
            ("lvremove", [_, name]) => drop(there.remove(*name)),
            ("zfs", ["snapshot", name]) => drop(there.insert((*name).to_owned())),
            ("zfs", ["list", .., name]) if !there.contains(*name) => {
                return Err(io::Error::other("zfs: cannot open: dataset does not exist"));
            }
            ("zfs", ["destroy", name]) => drop(there.remove(*name)),
            _ => {}
        }
        Ok(String::new())
    }

    fn snapshot_btrfs(&self, of: &Path, to: &Path) -> io::Result<()> {
        self.act(format!("snapshot {} {}", of.display(), to.display()))?;
        self.there.borrow_mut().insert(to.display().to_string());
        Ok(())
    }

    fn delete_btrfs(&self, path: &Path) -> io::Result<()> {
        match self.there.borrow_mut().remove(&path.display().to_string()) {
            true => self.act(format!("delete {}", path.display())),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn make_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn is_mounted(&self, path: &Path) -> bool {
        self.there.borrow().contains(&path.display().to_string())
    }

    fn mark(&self, _path: &Path) -> Option<RootMark> {
        Some(RootMark {
            inode: 256,
            born: None,
            id: None,
        })
    }
}

struct Host(Vec<Mount>);

impl HostFacts for Host {
    fn mounts(&self) -> &[Mount] {
        &self.0
    }

    fn swap_files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
        Some((path.to_owned(), PathKind::Directory)).filter(|_| !path.ends_with("missing"))
    }

    fn disks(&self, _mount: &Mount) -> Disks {
        Disks::default()
    }

    fn mark(&self, point: &Path) -> Option<RootMark> {
        Fake::default().mark(point)
    }

    fn subvolumes(&self, _mount: &Mount) -> Vec<PathBuf> {
        Vec::new()
    }
}

fn mount(id: u64, point: &str, fs_type: &str, source: &str) -> Mount {
    Mount {
        id,
        parent: u64::from(point != "/"),
        point: point.into(),
        root: "/".into(),
        fs_type: fs_type.to_owned(),
        source: source.to_owned(),
        is_whole: true,
        ..Mount::default()
    }
}

fn part(point: &str, nested: bool) -> Part {
    Part {
        point: point.to_owned(),
        fs_type: String::new(),
        source: String::new(),
        mark: None,
        nested,
        reason: String::new(),
    }
}

fn planned(fake: &Fake, host: &Host, parts: &[Part]) -> Planned {
    let wanted = Wanted {
        name: "clone1",
        parts,
        place: Path::new("/var/lib/wpar/snapshots"),
        now: 1_700_000_000,
    };
    plan(fake, host, &wanted)
}

fn all(planned: Planned) -> Frozen {
    match planned {
        Planned::All(frozen) => frozen,
        Planned::Impossible(why) => panic!("{why}"),
    }
}

/// As openSUSE has it: one btrfs with many subvolumes, and a second one.
fn suse() -> (Host, Vec<Part>) {
    let host = Host(vec![
        mount(1, "/", "btrfs", "/dev/vda2"),
        mount(2, "/home", "btrfs", "/dev/vda2"),
        mount(3, "/srv", "btrfs", "/dev/vdb1"),
    ]);
    let parts = vec![
        part("home", false),
        part("srv", false),
        part("var/lib/portables", true),
    ];
    (host, parts)
}

#[test]
fn every_subvolume_gets_a_snapshot_on_its_own_file_system_and_none_is_left() {
    let fake = Fake::default();
    let (host, parts) = suse();
    let mut frozen = all(planned(&fake, &host, &parts));
    take(&fake, &mut frozen).unwrap();
    let place = "/var/lib/wpar/snapshots/wpar-clone1-1700000000";
    assert_eq!(
        *fake.done.borrow(),
        [
            format!("snapshot / {place}"),
            format!("snapshot /home {place}.1"),
            "snapshot /srv /srv/.wpar-snapshots/wpar-clone1-1700000000.2".to_owned(),
            format!("snapshot /var/lib/portables {place}.3"),
        ]
    );
    assert!(frozen.snapshots.iter().all(|one| one.mark.is_some()));
    remove(&fake, &frozen).unwrap();
    assert!(fake.there.borrow().is_empty());
    remove(&fake, &frozen).expect("nothing to remove is no error");
}

#[test]
fn after_a_failure_nothing_is_left_and_swap_files_are_explained() {
    let (host, parts) = suse();
    let fake = Fake {
        fails: Some(("snapshot /srv", libc::ETXTBSY)),
        ..Fake::default()
    };
    let mut frozen = all(planned(&fake, &host, &parts));
    let error = take(&fake, &mut frozen).unwrap_err().to_string();
    assert!(
        error.contains("of /srv") && error.contains("swap file"),
        "{error}"
    );
    assert!(fake.there.borrow().is_empty(), "{:?}", fake.there);
}

#[test]
fn thin_volumes_are_mounted_where_they_are_to_be_seen() {
    let fake = Fake::default();
    let host = Host(vec![mount(1, "/", "xfs", "/dev/mapper/vg0-root")]);
    let mut frozen = all(planned(&fake, &host, &[]));
    take(&fake, &mut frozen).unwrap();
    let place = "/var/lib/wpar/snapshots/wpar-clone1-1700000000";
    assert_eq!(
        *fake.done.borrow(),
        [
            "lvcreate -s -kn -pr -n wpar-clone1-1700000000 vg0/root".to_owned(),
            "lvchange -ay -K vg0/wpar-clone1-1700000000".to_owned(),
            format!("mount -t xfs -o ro,nouuid,norecovery /dev/vg0/wpar-clone1-1700000000 {place}"),
        ]
    );
    remove(&fake, &frozen).unwrap();
    assert!(fake.there.borrow().is_empty());
}

#[test]
fn data_sets_of_zfs_are_read_where_they_are_mounted() {
    let fake = Fake::default();
    let host = Host(vec![
        mount(1, "/", "zfs", "rpool/ROOT/debian"),
        mount(2, "/var", "zfs", "rpool/var"),
    ]);
    let mut frozen = all(planned(&fake, &host, &[part("var", false)]));
    take(&fake, &mut frozen).unwrap();
    let paths: Vec<_> = frozen
        .snapshots
        .iter()
        .map(|one| one.path.clone())
        .collect();
    assert_eq!(
        paths,
        [
            Path::new("/.zfs/snapshot/wpar-clone1-1700000000"),
            Path::new("/var/.zfs/snapshot/wpar-clone1-1700000000.1")
        ]
    );
    remove(&fake, &frozen).unwrap();
    assert!(fake.there.borrow().is_empty());
}

#[test]
fn one_file_system_without_snapshots_is_one_too_many() {
    for (fs_type, source) in [("ext4", "/dev/vda1"), ("xfs", "/dev/mapper/vg0-thick")] {
        let host = Host(vec![
            mount(1, "/", "btrfs", "/dev/vda2"),
            mount(2, "/home", fs_type, source),
        ]);
        let found = planned(&Fake::default(), &host, &[part("home", false)]);
        let Planned::Impossible(why) = found else {
            panic!("{found:?}")
        };
        assert!(why.starts_with("/home: ") && why.contains(source), "{why}");
    }
}

#[test]
fn a_given_snapshot_has_what_is_mounted_in_it_and_is_never_removed() {
    let fake = Fake::default();
    let host = Host(vec![
        mount(1, "/", "ext4", "/dev/vda1"),
        mount(2, "/snap", "ext4", "/dev/mapper/s"),
        Mount {
            parent: 2,
            ..mount(3, "/snap/home", "xfs", "/dev/mapper/h")
        },
        Mount {
            parent: 2,
            ..mount(4, "/snap/proc", "proc", "proc")
        },
        mount(5, "/snapshot2", "xfs", "/dev/mapper/x"),
    ]);
    let (parts, mut frozen) = given(&fake, &host, Path::new("/snap"), 5).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].point, "home");
    let kinds: Vec<_> = frozen.snapshots.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [SnapshotKind::Given, SnapshotKind::Given]);
    take(&fake, &mut frozen).unwrap();
    remove(&fake, &frozen).unwrap();
    assert!(fake.done.borrow().is_empty());
    for bad in ["/", "/missing"] {
        assert!(given(&fake, &host, Path::new(bad), 5).is_err(), "{bad}");
    }
}
