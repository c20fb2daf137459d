//! `wpar index`: an index before it is needed, and one that is made with its archive.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::fixtures::fixture;
use crate::common::run::{Run, eventually};
use crate::common::skip::need;
use crate::common::world::World;
use crate::trees::{assert_same, shell, system};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A directory of the test's for archives.
fn shelf(world: &World) -> PathBuf {
    let shelf = world.scratch().join("shelf");
    fs::create_dir(&shelf).unwrap();
    shelf
}

/// `tar TREE | wpar index - -o IMAGE`.
fn pack(world: &World, tree: &Path, image: &Path) -> Run {
    let script = "tar --numeric-owner --xattrs --xattrs-include='*' -C \"$2\" -cf - . | \
                  \"$1\" index - -o \"$3\"";
    Run::new("sh", ["-c", script, "sh", env!("CARGO_BIN_EXE_wpar")])
        .arg(tree)
        .arg(image)
        .env("WPAR_ROOT", world.root())
}

#[test]
fn an_archive_that_is_indexed_while_it_is_made_is_shown_at_once() {
    let world = need!(World::new());
    let tree = need!(system(&world.scratch()));
    let (shelf, point) = (shelf(&world), world.scratch().join("mnt"));
    fs::create_dir(&point).unwrap();
    for name in ["plain.tar", "packed.tar.zst"] {
        let image = shelf.join(name);
        let output = pack(&world, &tree, &image).ok();
        assert!(output.text().contains("made in"), "{output}");
        assert_eq!(fs::metadata(&image).unwrap().mode() & 0o777, 0o600);
        let index = shelf.join(format!("{name}.wparidx"));
        let made = fs::metadata(&index).unwrap().mtime_nsec();
        world.wpar(["mount"]).arg(&image).arg(&point).ok();
        assert_same(&tree, &point, name);
        world.wpar(["umount"]).arg(&point).ok();
        assert_eq!(
            fs::metadata(&index).unwrap().mtime_nsec(),
            made,
            "not again"
        );
        // The tool that everybody has reads it too.
        let unpacked = world.scratch().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        let script = "tar --numeric-owner --xattrs --xattrs-include='*' -xpf \"$1\" -C \"$2\"";
        shell(script, &[&image, &unpacked]);
        assert_same(&tree, &unpacked, name);
        fs::remove_dir_all(&unpacked).unwrap();
        // An existing backup is not written over by accident.
        pack(&world, &tree, &image).refused(&["exists already"]);
    }
    world.assert_empty();
}

#[test]
fn a_backup_that_breaks_off_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let shelf = shelf(&world);
    let whole = fs::read(&image).unwrap();
    let gzip = shell("gzip <\"$1\" | head -c 10000 | base64 -w0", &[&image]);
    for (input, says) in [
        (Vec::new(), "nothing came in"),
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (
            b"tar: cannot open".to_vec(),
            "does not begin with a tar header",
        ),
        (b"\x1f\x8b\x08\0".to_vec(), "compressed already"),
    ] {
        for name in ["out.tar", "out.tar.zst"] {
            let run = world.wpar(["index", "-", "-o"]).arg(shelf.join(name));
            run.stdin(input.clone()).refused(&[says]);
            assert_eq!(names(&shelf), [""; 0], "{says}");
        }
    }
    assert!(!gzip.is_empty());
}

#[test]
fn an_interrupted_backup_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let shelf = shelf(&world);
    let fifo = world.scratch().join("fifo");
    shell("mkfifo \"$1\"", &[&fifo]);
    let script = "exec \"$1\" index - -o \"$3\" <\"$2\"";
    let running = Run::new("sh", ["-c", script, "sh", env!("CARGO_BIN_EXE_wpar")])
        .arg(&fifo)
        .arg(shelf.join("out.tar"))
        .env("WPAR_ROOT", world.root())
        .start();
    // Half of it comes, and then nothing more.
    let mut writer = fs::File::options().write(true).open(&fifo).unwrap();
    let half = fs::read(&image).unwrap();
    std::io::Write::write_all(&mut writer, &half[..half.len() / 2]).unwrap();
    running.signal(Signal::TERM);
    let output = running.wait().ended_with(143);
    assert!(output.complaint().contains("interrupted"), "{output}");
    eventually("an empty shelf", Duration::from_secs(10), || {
        names(&shelf).is_empty()
    });
    drop(writer);
}

#[test]
fn a_damaged_index_is_found_and_made_again() {
    let world = need!(World::new());
    let fixture = need!(fixture("busybox"));
    let shelf = shelf(&world);
    let image = shelf.join("image.tar");
    fs::copy(&fixture, &image).unwrap();
    let first = world.wpar(["index", "--json"]).arg(&image).ok();
    let told: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(told[0]["built"], true);
    let expected = shell("tar -tf \"$1\" | wc -l", &[&image]);
    assert_eq!(told[0]["entries"].to_string(), expected.trim());
    let index = shelf.join("image.tar.wparidx");
    let good = fs::read(&index).unwrap();
    let run = |words: &[&str]| world.wpar(words).arg(&image).ok();
    assert!(run(&["index", "-c"]).text().contains("checked, whole"));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::set_permissions(&index, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&index, &bad).unwrap();
    let output = run(&["index", "-c"]);
    assert!(output.complaint().contains("is made again"), "{output}");
    assert_eq!(fs::read(&index).unwrap(), good);
}

#[test]
fn what_needs_no_index_is_told_and_what_fails_does_not_hide_the_rest() {
    let world = need!(World::new());
    let fixture = need!(fixture("busybox"));
    let shelf = shelf(&world);
    let image = shelf.join("image.tar");
    fs::copy(&fixture, &image).unwrap();
    let run = world
        .wpar(["index"])
        .arg(&shelf)
        .arg("/nonexistent")
        .arg(&image);
    let output = run.output().ended_with(1);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("needs no index"), "{said}");
    assert!(
        said.contains("cannot open the image /nonexistent"),
        "{said}"
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("image.tar.wparidx"), "{text}");
    world.assert_empty();
}
