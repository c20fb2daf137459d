//! `wpar cp`: files go into a WPAR and come back as they were, and nothing else crosses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::fixtures::fixture;
use crate::common::manifest::{Manifest, Times};
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {args:?}: {status:?}"
    );
}

/// A tree with one of everything that can be copied.
fn tree(at: &Path) {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    fs::create_dir_all(at.join("deep/er/and/deeper")).unwrap();
    fs::write(at.join("file"), "contents\n").unwrap();
    fs::write(at.join("empty"), "").unwrap();
    fs::write(at.join("large"), vec![7; 300_001]).unwrap();
    fs::write(at.join("name with \n and \u{e9}"), "odd").unwrap();
    fs::hard_link(at.join("file"), at.join("deep/other-name")).unwrap();
    symlink("/etc/passwd", at.join("deep/link")).unwrap();
    symlink("nowhere", at.join("dangling")).unwrap();
    run("mkfifo", &[at.join("deep/fifo").to_str().unwrap()]);
    chown(at.join("deep/er"), Some(1000), Some(1001)).unwrap();
    mode(&at.join("deep/er"), 0o2750).unwrap();
    mode(&at.join("empty"), 0o000).unwrap();
    mode(&at.join("deep/er/and"), 0o500).unwrap();
    rustix::fs::setxattr(
        at.join("file"),
        "user.note",
        b"kept",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let sparse = fs::File::create(at.join("sparse")).unwrap();
    sparse.set_len(20 << 20).unwrap();
    run(
        "touch",
        &[
            "-hd",
            "2001-02-03 04:05:06.789",
            at.join("deep/link").to_str().unwrap(),
        ],
    );
    run(
        "touch",
        &[
            "-d",
            "2001-02-03 04:05:06.789",
            at.join("file").to_str().unwrap(),
        ],
    );
    run(
        "touch",
        &["-d", "2002-02-03", at.join("deep").to_str().unwrap()],
    );
}

/// Asserts that two trees are the same, but for what a top directory is.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    let flat = |at: &Path| {
        let mut manifest = Manifest::of(at, Times::Seconds, |_| false);
        manifest.0.remove(Path::new("."));
        // The time at which it was made.
        manifest.0.retain(|path, _| path != Path::new("sparse"));
        manifest
    };
    flat(one).assert_unchanged(&flat(other), &other.display().to_string());
    // diff thinks no two FIFOs alike.
    let words = ["-r", "--no-dereference", "-x", "fifo"];
    Run::new("diff", words).arg(one).arg(other).ok();
    let facts = |at: &Path| {
        let facts = fs::metadata(at.join("file")).unwrap();
        let mut note = [0; 16];
        let length = rustix::fs::getxattr(at.join("file"), "user.note", &mut note[..]);
        let other = fs::metadata(at.join("deep/other-name")).unwrap();
        assert_eq!(facts.ino(), other.ino(), "one file with two names");
        (facts.mtime_nsec(), length, note)
    };
    assert_eq!(facts(one), facts(other));
}

#[test]
fn a_tree_comes_back_as_it_went() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    let here = world.scratch();
    let sent = here.join("sent");
    tree(&sent);
    let path = |name: &str| here.join(name).display().to_string();

    // To one that does not run, one that does, and its temporary file system.
    world.ok(&format!("cp {} one:/var", path("sent")));
    assert_eq!(world.state("one").as_deref(), Some("D"), "as it was");
    world.ok("startwpar one");
    world.ok(&format!("cp {} one:/var/again", path("sent")));
    world.ok(&format!("cp {}/. one:/tmp/new", path("sent")));
    let own = world.inside(
        "one",
        "stat -c '%u:%g %a' /tmp/new/deep/er; cat /var/sent/file",
    );
    assert_eq!(own, "1000:1001 2750\ncontents");

    for (from, to) in [
        ("/var/sent", "stopped"),
        ("/var/again", "running"),
        ("/tmp/new/.", "temporary"),
    ] {
        world.ok(&format!("cp one:{from} {}", path(to)));
        assert_same(&sent, &here.join(to));
    }
    let blocks = fs::metadata(here.join("running/sparse")).unwrap().blocks();
    assert!(blocks < 2048, "a file with holes has holes: {blocks}");

    // From one that does not run, and from one to another.
    world.mkwpar(&image, "two");
    world.ok("cp one:/var/again two:/srv");
    world.ok("stopwpar -F one");
    world.ok(&format!("cp two:/srv {}", path("two")));
    assert_same(&sent, &here.join("two"));
    world.ok(&format!("cp one:/var/sent {}", path("cold")));
    assert_same(&sent, &here.join("cold"));
    world.remove_all();
}

#[test]
fn a_tar_stream_is_written_and_extracted() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let here = world.scratch();
    let sent = here.join("sent");
    tree(&sent);
    // What GNU tar has written, and what it makes of what was written.
    let tar = ["--xattrs", "--format=posix", "-cf", "-", "-C"];
    let archive = Run::new("tar", tar).arg(&sent).arg(".").ok().stdout;
    world
        .wpar(["cp", "-", "one:/nowhere/"])
        .stdin(archive.clone())
        .refused(&["one:/nowhere"]);
    world.inside("one", "mkdir -p /mnt");
    world.wpar(["cp", "-", "one:/mnt"]).stdin(archive).ok();
    let written = world.wpar(["cp", "one:/mnt/.", "-"]).ok().stdout;
    let back = here.join("back");
    fs::create_dir(&back).unwrap();
    Run::new("tar", ["--xattrs", "--numeric-owner", "-xpf", "-", "-C"])
        .arg(&back)
        .stdin(written)
        .ok();
    assert_same(&sent, &back);
    world.remove_all();
}

#[test]
fn a_tar_stream_stays_in_the_directory_it_is_extracted_to() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    world.inside(
        "one",
        "mkdir -p /in/here; echo original > /in/above; ln -s /in /in/here/way",
    );
    let mut archive = tar::Builder::new(Vec::new());
    let mut file = |name: &str| {
        let mut header = tar::Header::new_gnu();
        // The crate, too, keeps such names out; hostile archives do not.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(4);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, &b"evil"[..]).unwrap();
    };
    file("../above");
    file("way/above");
    file("/absolute");
    file("good");
    let archive = archive.into_inner().unwrap();
    let output = world
        .wpar(["cp", "-", "one:/in/here"])
        .stdin(archive)
        .output();
    output.ended_with(1);
    let found = world.inside(
        "one",
        "cat /in/above; cat /in/here/good /in/here/absolute; ls /absolute 2>&1 | tail -c 27",
    );
    assert_eq!(found, "original\nevilevil No such file or directory");
    world.remove_all();
}

#[test]
fn nothing_of_a_wpar_becomes_real_on_the_host() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let here = world.scratch();
    world.inside(
        "one",
        "mkdir /x; cp /bin/busybox /x/su; chown 1000:1000 /x/su; chmod 6755 /x/su",
    );
    let out = world.ok(&format!("cp one:/x {}", here.join("x").display()));
    assert!(out.complaint().contains("without its set-id bits"), "{out}");
    let facts = fs::metadata(here.join("x/su")).unwrap();
    assert_eq!((facts.mode() & 0o7777, facts.uid()), (0o755, 1000));
    let out = world.ok(&format!("cp one:/dev/null {}", here.join("null").display()));
    assert!(out.complaint().contains("not made real"), "{out}");
    assert!(!here.join("null").exists());
    let listed = world.wpar(["cp", "one:/x", "-"]).ok();
    let mut archive = tar::Archive::new(listed.stdout.as_slice());
    for entry in archive.entries().unwrap() {
        let header = entry.unwrap();
        assert_eq!(header.header().mode().unwrap() & 0o6000, 0);
    }

    // Into it they may go, but no device.
    let host = here.join("host");
    fs::create_dir(&host).unwrap();
    fs::copy("/bin/true", host.join("su")).unwrap();
    fs::set_permissions(host.join("su"), fs::Permissions::from_mode(0o4755)).unwrap();
    run(
        "mknod",
        &[host.join("null").to_str().unwrap(), "c", "1", "3"],
    );
    let output = world.ok(&format!("cp {} one:/y", host.display()));
    assert!(output.complaint().contains("chwpar -D"), "{output}");
    let found = world.inside("one", "stat -c '%u %a' /y/su; ls /y");
    assert_eq!(found, "0 4755\nsu");
    world.remove_all();
}

#[test]
fn links_of_a_wpar_lead_nowhere_but_inside() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    let here = world.scratch();
    let host = here.join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("secret"), "of the host").unwrap();
    fs::write(here.join("new"), "new").unwrap();
    let host = host.display().to_string();
    let up = "../".repeat(30);
    for running in [false, true] {
        if running {
            world.ok("startwpar one");
        } else {
            world.ok("startwpar -m one");
        }
        let script = format!(
            "mkdir -p /l /inside; cd /l; ln -sfn {host} absolute; ln -sfn {up}{host} up; \
             ln -sfn {host}/secret file; ln -sfn /proc/1/root{host} magic; ln -sfn /inside good"
        );
        world.inside("one", &script);
        if !running {
            world.ok("stopwpar -F one");
        }
        for link in ["absolute", "up", "magic"] {
            let output = world.wpar(["cp", &format!("one:/l/{link}/secret")]);
            output.arg(here.join("got")).output().ended_with(1);
            let output = world.wpar(["cp"]).arg(here.join("new"));
            output
                .arg(format!("one:/l/{link}/new"))
                .output()
                .ended_with(1);
        }
        let output = world.wpar(["cp", "-L", "one:/l/file"]);
        output.arg(here.join("got")).output().ended_with(1);
        assert!(!here.join("got").exists());
        assert!(!Path::new(&host).join("new").exists());
        world.ok(&format!("cp {} one:/l/good", here.join("new").display()));
        world.ok(&format!(
            "cp one:/inside/new {}",
            here.join("got").display()
        ));
        assert_eq!(fs::read(here.join("got")).unwrap(), b"new");
        fs::remove_file(here.join("got")).unwrap();
    }
    world.remove_all();
}

#[test]
fn a_wpar_that_swaps_directories_for_links_gains_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let here = world.scratch();
    let host = here.join("host");
    fs::create_dir_all(host.join("sub")).unwrap();
    for name in ["secret", "sub/secret"] {
        fs::write(host.join(name), "of the host").unwrap();
    }
    let before = Manifest::of(&host, Times::Seconds, |_| false);
    let host = host.display().to_string();
    world.inside(
        "one",
        &format!(
            "mkdir -p /s/real/sub /s/d/sub; echo inside > /s/d/secret; echo inside > /s/d/sub/secret; \
             ln -s {host} /s/link; ln -s /proc/1/root{host} /s/magic"
        ),
    );
    // Begins when it is asked to and ends when the file is gone.
    world.inside(
        "one",
        "touch /s/go; (cd /s; while test -e go; do mv -T d x; mv -T link d; mv -T d link; \
         mv -T magic d; mv -T d magic; mv -T x d; done) >/dev/null 2>&1 &",
    );
    let sent = here.join("sent");
    fs::create_dir_all(sent.join("sub")).unwrap();
    fs::write(sent.join("sub/new"), "new").unwrap();
    for turn in 0..60 {
        let out = here.join(format!("out{turn}"));
        let _ = world.wpar(["cp", "one:/s/d"]).arg(&out).output();
        let single = here.join(format!("single{turn}"));
        let _ = world.wpar(["cp", "one:/s/d/secret"]).arg(&single).output();
        // A link is copied as what it is, a link.
        let is_link = fs::symlink_metadata(&out).is_ok_and(|facts| facts.is_symlink());
        for found in [out.join("secret"), out.join("sub/secret"), single] {
            if is_link && found.starts_with(&out) {
                continue;
            }
            if let Ok(text) = fs::read_to_string(&found) {
                assert_eq!(text, "inside\n", "{}", found.display());
            }
        }
        let _ = world
            .wpar(["cp"])
            .arg(sent.join("."))
            .arg("one:/s/d")
            .output();
    }
    world.inside("one", "rm /s/go");
    let after = Manifest::of(Path::new(&host), Times::Seconds, |_| false);
    before.assert_unchanged(&after, "the host's directory");
    world.remove_all();
}

#[test]
fn a_copy_that_is_wrong_says_so_and_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    let here = world.scratch();
    fs::write(here.join("file"), "x").unwrap();
    let file = here.join("file").display().to_string();
    for (line, says) in [
        (format!("cp {file} {file}2"), "neither side"),
        (format!("cp {file} none:/etc"), "none"),
        (format!("cp {file} one:/no/where"), "one:/no/where"),
        (format!("cp one:/no/where {file}2"), "one:/no/where"),
        (
            format!("cp {} one:/etc/passwd", here.display()),
            "one:/etc/passwd",
        ),
        ("cp - -".to_owned(), "neither side"),
    ] {
        world.refused(&line, &[says]);
    }
    assert_eq!(world.state("one").as_deref(), Some("D"));
    world.remove_all();
}
