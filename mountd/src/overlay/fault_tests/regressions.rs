//! What trials, and thinking about them, brought to light, each by its name.

use std::cell::Cell;
use std::rc::Rc;

use rustix::io::Errno;

use super::trial::{Trial, die};
use super::world::{FROM, TO, Thing, World};
use super::{Act, run};
use crate::error::{FsError, FsResult};
use crate::overlay::RenameMode;
use crate::types::FileKind;
use crate::upper::calls::{Call, with_plan};

/// Lets the first call of that name fail.
fn failing<T>(name: &'static str, body: impl FnOnce() -> T) -> T {
    let failed = Rc::new(Cell::new(false));
    let seen = Rc::clone(&failed);
    let plan = move |call: &Call<'_>| {
        if call.name == name && !seen.replace(true) {
            return Err(Errno::IO);
        }
        Ok(())
    };
    let result = with_plan(plan, body);
    assert!(failed.get(), "{name} was not called");
    result
}

fn partial() -> (World, crate::types::Ino) {
    let mut world = World::new(&[(FROM, Thing::CopiedBig), (TO, Thing::Absent)], true);
    let ino = world.ino(FROM).unwrap();
    (world, ino)
}

#[test]
fn a_sync_that_failed_in_the_background_is_told_to_the_next_program_that_syncs() {
    let (mut world, ino) = partial();
    world.write(FROM, 700, b"x").unwrap();
    let opened = world.core().open_file(ino).unwrap();
    let crate::overlay::caches::OpenFile::Partial { file, .. } = &*opened else {
        panic!("{opened:?}");
    };
    let io = Err(FsError::Layer(Errno::IO));
    assert_eq!(failing("fdatasync", || file.map().settle(true)), io);
    assert_eq!(world.core().sync(ino, true), io);
    assert_eq!(world.core().sync(ino, true), Ok(()), "it is told once");
    let told: FsResult<()> = failing("fdatasync", || world.core().sync(ino, true));
    assert_eq!(told, io);
    assert_eq!(world.core().sync(ino, true), Ok(()), "to one program");
}

#[test]
fn a_file_whose_new_end_could_not_be_stored_can_be_changed_again() {
    let (mut world, _) = partial();
    let failed = failing("fsetxattr", || Act::Truncate(70).apply(&mut world));
    assert_eq!(failed, Err(FsError::Layer(Errno::IO)));
    world.write(FROM, 0, b"x").unwrap();
    Act::Truncate(5000).apply(&mut world).unwrap();
    world.die();
    world.open().unwrap();
    let ino = world.ino(FROM).unwrap();
    let mut data = vec![1; 5000];
    assert_eq!(world.core().read(ino, &mut data, 0), Ok(5000));
    assert_eq!(data[70..], [0; 4930], "nothing of the lower comes back");
}

#[test]
fn an_intent_that_cannot_be_removed_hinders_no_other() {
    run(vec![Trial::new(
        Thing::LowerFile,
        Thing::LowerFile,
        Act::Rename(RenameMode::Replace),
    )]);
}

/// The whiteout that is to change places with the directory lies where that goes; the store could not
/// be opened again.
#[test]
fn a_directory_that_is_to_be_replaced_goes_over_the_whiteout_in_its_grave() {
    for (from, to) in [
        (Thing::LowerDirectory, Thing::Emptied),
        (Thing::Merged, Thing::Emptied),
        (Thing::LowerEmpty, Thing::NewDirectory),
    ] {
        run(vec![Trial::new(from, to, Act::Rename(RenameMode::Replace))]);
    }
}

#[test]
fn a_link_that_is_interrupted_leaves_no_home_behind() {
    run(vec![Trial::new(Thing::NewFile, Thing::Absent, Act::Link)]);
}

#[test]
fn an_interrupted_unlink_counts_the_names_that_are_left() {
    run(vec![
        Trial::new(Thing::CopiedLinked, Thing::Absent, Act::Unlink),
        Trial::new(Thing::LowerLinked, Thing::Absent, Act::Unlink),
    ]);
}

#[test]
fn the_map_of_a_file_that_is_replaced_goes_with_it() {
    run(vec![Trial::new(
        Thing::NewFile,
        Thing::CopiedBig,
        Act::Rename(RenameMode::Replace),
    )]);
}

#[test]
fn what_a_crash_left_of_a_directory_is_in_no_ones_way() {
    for act in [
        Act::Create(FileKind::Regular),
        Act::Create(FileKind::Directory),
    ] {
        run(vec![Trial::new(
            Thing::DirectoryRemains,
            Thing::Absent,
            act,
        )]);
    }
    let rename = Act::Rename(RenameMode::Replace);
    run(vec![
        Trial::new(Thing::NewFile, Thing::DirectoryRemains, rename),
        Trial::new(Thing::NewFile, Thing::DirectoryRemains, Act::Link),
        Trial::new(Thing::NewDirectory, Thing::FileRemains, rename),
    ]);
}

#[test]
fn the_target_of_a_new_link_does_not_wait_in_the_page_cache() {
    let world = World::new(&[(FROM, Thing::NewSymlink)], true);
    // As a loss of power leaves it: the name and the attributes, but no data.
    let file = std::fs::File::options()
        .write(true)
        .open(world.store().join("tree").join(FROM))
        .unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(0).unwrap();
    file.set_len(length).unwrap();
    let mut world = world;
    let ino = world.ino(FROM).unwrap();
    assert_eq!(world.core().read_link(ino).unwrap(), b"some/where");
}

#[test]
fn a_link_whose_target_fits_in_no_attribute_is_read_from_its_file() {
    let world = World::new(&[(FROM, Thing::NewSymlink)], true);
    let path = world.store().join("tree").join(FROM);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    rustix::fs::fremovexattr(&file, "user.wpar.target").unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"else/where", 0).unwrap();
    let mut world = world;
    let ino = world.ino(FROM).unwrap();
    assert_eq!(world.core().read_link(ino).unwrap(), b"else/where");
}

#[test]
fn what_is_copied_up_is_durable_before_it_is_named() {
    for thing in [Thing::LowerFile, Thing::LowerLinked] {
        let mut world = World::new(&[(FROM, thing), (TO, Thing::Absent)], true);
        // The draft of the file is the last thing that is renamed.
        let order = Rc::new(Cell::new(None));
        let seen = Rc::clone(&order);
        let plan = move |call: &Call<'_>| {
            match call.name {
                "pwrite" => seen.set(Some("written")),
                "fdatasync" if seen.get() == Some("written") => seen.set(Some("synced")),
                "renameat" => assert_ne!(seen.get(), Some("written"), "named before its data"),
                _ => {}
            }
            Ok(())
        };
        with_plan(plan, || Act::Chmod.apply(&mut world)).unwrap();
        assert_eq!(order.get(), Some("synced"), "{thing:?}");
    }
}

#[test]
fn what_replaces_a_file_is_on_its_way_to_the_disk_before_it_gets_the_name() {
    for there in [Thing::NewFile, Thing::NewOverWhiteout, Thing::NewLinked] {
        let mut world = World::new(&[(FROM, Thing::NewFile), (TO, there)], true);
        let begun = Rc::new(Cell::new(false));
        let seen = Rc::clone(&begun);
        let plan = move |call: &Call<'_>| {
            match call.name {
                "fadvise" => seen.set(true),
                "renameat" | "renameat_with" => assert!(seen.get(), "renamed before"),
                _ => {}
            }
            Ok(())
        };
        let rename = Act::Rename(RenameMode::Replace);
        with_plan(plan, || rename.apply(&mut world)).unwrap();
        assert!(begun.get(), "{there:?}");
    }
}

#[test]
fn a_name_goes_although_the_kernel_never_heard_of_its_inode() {
    for thing in [Thing::NewLinked, Thing::CopiedLinked, Thing::LowerLinked] {
        let mut world = World::new(&[(FROM, thing), (TO, Thing::NewFile)], false);
        world.unlink(FROM).unwrap();
        world.unlink(&format!("{FROM}-second")).unwrap();
        let mut world = World::new(&[(FROM, thing), (TO, Thing::NewFile)], false);
        world.rename(TO, FROM, RenameMode::Replace).unwrap();
        let second = world.ino(&format!("{FROM}-second")).unwrap();
        assert_eq!(world.core().attr(second).unwrap().nlink, 1, "{thing:?}");
    }
}

/// A tool that wrote into a file died between cutting it and writing it.
#[test]
fn a_file_that_is_replaced_from_outside_is_never_seen_cut_short() {
    let new = vec![b'N'; 700];
    for thing in [
        Thing::Absent,
        Thing::LowerFile,
        Thing::LowerBig,
        Thing::CopiedFile,
        Thing::NewFile,
        Thing::CopiedLinked,
    ] {
        let world = || World::new(&[(FROM, thing), (TO, Thing::Absent)], true);
        let contents = |world: &World| world.core().read_path(FROM.as_bytes()).unwrap();
        let replace = |world: &World| world.core().replace_path(FROM.as_bytes(), &new, 0o640);
        let mut undisturbed = world();
        let before = contents(&undisturbed);
        let facts = |world: &mut World| {
            let ino = world.ino(FROM).unwrap();
            let attr = world.core().attr(ino).unwrap();
            let mut names = world.core().xattr_names(ino).unwrap();
            names.sort_unstable();
            (attr.permissions, attr.uid, attr.gid, names)
        };
        let like = match before {
            Some(_) => facts(&mut undisturbed),
            None => (0o640, 0, 0, Vec::new()),
        };
        replace(&undisturbed).unwrap();
        assert_eq!(facts(&mut undisturbed), like, "{thing:?}");
        assert_eq!(contents(&undisturbed).as_ref(), Some(&new));
        for number in 0.. {
            let mut world = world();
            let died = Rc::new(Cell::new(None));
            let result = with_plan(die(number, Rc::clone(&died)), || replace(&world));
            world.die();
            world.open().unwrap();
            let seen = contents(&world);
            assert!(
                seen == before || seen.as_ref() == Some(&new),
                "{thing:?}, death at call {number}: {seen:?}"
            );
            replace(&world).unwrap();
            assert_eq!(contents(&world).as_ref(), Some(&new));
            let left = world.core().read_path(b"d1/.wpar-unfinished").unwrap();
            assert_eq!(left, None, "{thing:?}, death at call {number}");
            if died.get().is_none() {
                result.unwrap();
                break;
            }
        }
    }
}
