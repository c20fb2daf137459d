//! `mkwpar`: what it makes, and what it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;

use crate::support::{Root, write_archive};

fn record(root: &Root, name: &str) -> Value {
    let text = fs::read(root.state(&format!("registry/{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Makes a WPAR of `image`, which is of no known level.
#[track_caller]
fn make(root: &Root, image: &std::path::Path, name: &str) {
    root.wpar(["mkwpar", "-C", "-t", "-n", name, "-B"])
        .arg(image)
        .stdout(&format!("{name} was made\n"))
        .stderr(&format!(
            "mkwpar: 0960-390 start it with 'startwpar {name}'\n"
        ))
        .check();
}

#[test]
fn a_wpar_of_an_image_has_a_record_and_an_identity() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    make(&root, &image, "w1");
    let record = record(&root, "w1");
    assert_eq!(record["version"], 3);
    assert_eq!(record["hostname"], "w1");
    assert_eq!(record["source"]["kind"], "image");
    assert_eq!(record["source"]["path"], image.to_str().unwrap());
    assert_eq!(
        record["directory"],
        root.path().join("wpars/w1").to_str().unwrap()
    );
    assert_eq!(record["ids"]["count"], 65_536);

    let machine_id = record["uuid"].as_str().unwrap().replace('-', "");
    let tree = root.state("stores/w1/tree/etc");
    let read = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(read("hostname"), "w1\n");
    assert_eq!(read("machine-id"), format!("{machine_id}\n"));
    assert_eq!(
        read("hosts"),
        "127.0.0.1 localhost\n# wpar: begin\n127.0.1.1 w1\n# wpar: end\n"
    );
    assert!(
        !tree.join("passwd").exists(),
        "what is not changed is not copied"
    );
}

#[test]
fn only_root_gets_at_what_is_kept() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, &root.image("backup.tar"), "w1");
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for part in [
        "",
        "registry",
        "stores",
        "stores/w1",
        "images",
        "logs",
        "logs/w1",
        "locks",
        "kept",
    ] {
        assert_eq!(mode(root.state(part)), 0o700, "{part}");
    }
    assert_eq!(mode(root.state("registry/w1.json")), 0o600);
    assert_eq!(mode(root.path().join("run/wpar")), 0o700);
    assert_eq!(mode(root.path().join("wpars")), 0o700, "as in AIX");
    assert_eq!(mode(root.path().join("wpars/w1")), 0o755, "as in AIX");
}

#[test]
fn a_wpar_of_the_running_system_needs_no_image() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.wpar(["mkwpar", "-t", "-n", "w1", "-v", "-T", "preserve_wpars=yes"])
        .stdout("w1 was made\n")
        .any_stderr()
        .check();
    let record = record(&root, "w1");
    assert_eq!(record["source"]["kind"], "host");
    assert_eq!(record["copy_controls"]["preserve_wpars"], true);
    assert_eq!(
        fs::read_to_string(root.state("stores/w1/tree/etc/hostname")).unwrap(),
        "w1\n"
    );
}

#[test]
fn host_name_and_base_directory_are_as_asked() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    let base = root.beside("elsewhere");
    // A directory that exists stays when the WPAR goes; one that does not is made, and goes.
    fs::create_dir(root.beside("empty")).unwrap();
    for (name, dir) in [("w1", "elsewhere"), ("w2", "empty")] {
        root.wpar(["mkwpar", "-t", "-h", "mail.example.org", "-n", name, "-d"])
            .arg(root.beside(dir))
            .arg("-B")
            .arg(&image)
            .any_stdout()
            .any_stderr()
            .check();
    }
    assert_eq!(fs::metadata(&base).unwrap().mode() & 0o777, 0o755);
    let listed = root
        .run("lswpar -cq -a hostname,directory")
        .any_stdout()
        .check();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(
        text,
        format!(
            "mail.example.org:{}\nmail.example.org:{}\n",
            base.display(),
            root.beside("empty").display()
        )
    );
    root.run("rmwpar w1").stdout("w1 is removed\n").check();
    root.run("rmwpar w2").stdout("w2 is removed\n").check();
    assert!(!base.exists());
    assert!(root.beside("empty").exists());
}

#[test]
fn base_directories_that_will_not_do() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    make(&root, &image, "w1");
    fs::create_dir(root.beside("full")).unwrap();
    fs::write(root.beside("full/precious"), "mine").unwrap();
    fs::write(root.beside("file"), "").unwrap();
    symlink(root.beside("full"), root.beside("link")).unwrap();
    let before = root.leftovers();
    for (dir, status, part) in [
        (
            root.beside("full"),
            1,
            "is not empty; empty it, or name another one with -d",
        ),
        (root.beside("link"), 1, "is not empty"),
        (root.beside("file"), 1, "is not a directory"),
        (
            root.beside("no/parent"),
            1,
            "no such file or directory; make it with 'mkdir -p -m 700",
        ),
        (root.path().join("wpars/w1/below"), 1, "lies in that of w1"),
        (root.path().join("wpars"), 1, "contains"),
        (root.state("stores/x"), 2, "is in use by wpar itself"),
        (root.path(), 2, "is in use by wpar itself"),
        ("/".into(), 2, "is in use by wpar itself"),
    ] {
        root.wpar(["mkwpar", "-t", "-n", "w2", "-B"])
            .arg(&image)
            .arg("-d")
            .arg(&dir)
            .status(status)
            .complaint(&["mkwpar: ", "base directory", part])
            .check();
        assert_eq!(root.leftovers(), before, "{}", dir.display());
    }
    assert_eq!(
        fs::read_to_string(root.beside("full/precious")).unwrap(),
        "mine"
    );
}

#[test]
fn a_name_is_given_once() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    make(&root, &image, "w1");
    let before = (root.leftovers(), record(&root, "w1"));
    root.wpar(["mkwpar", "-t", "-n", "w1", "-B"])
        .arg(&image)
        .status(1)
        .stderr(
            "mkwpar: there is a workload partition called w1 already; choose another name, or \
             remove it with 'rmwpar w1'\n",
        )
        .check();
    assert_eq!((root.leftovers(), record(&root, "w1")), before);
}

#[test]
fn images_that_are_none() {
    let Some(root) = Root::privileged() else {
        return;
    };
    fs::create_dir(root.beside("dir.tar")).unwrap();
    fs::write(root.beside("letter.tar"), "Dear reader,\n".repeat(1000)).unwrap();
    fs::write(root.beside("empty.tar"), "").unwrap();
    let whole = fs::read(root.image("whole.tar")).unwrap();
    fs::write(root.beside("cut.tar"), &whole[..whole.len() / 2 - 100]).unwrap();
    for name in ["none.tar", "dir.tar", "letter.tar", "empty.tar", "cut.tar"] {
        root.wpar(["mkwpar", "-t", "-n", "w1", "-B"])
            .arg(root.beside(name))
            .status(1)
            .complaint(&["mkwpar: ", name, "; "])
            .check();
        assert!(
            root.leftovers().is_empty(),
            "{name}: {:?}",
            root.leftovers()
        );
        assert!(!root.beside(&format!("{name}.wparidx")).exists());
    }
}

#[test]
fn an_image_without_etc_is_taken_as_it_is() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.beside("tool.tar");
    write_archive(&image, &[("bin/tool", "x")]);
    make(&root, &image, "w1");
    assert!(!root.state("stores/w1/tree/etc").exists());
}

#[test]
fn the_image_is_never_written() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    let look = || {
        let metadata = fs::metadata(&image).unwrap();
        (
            fs::read(&image).unwrap(),
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
            metadata.mode(),
        )
    };
    let before = look();
    make(&root, &image, "w1");
    assert_eq!(look(), before);
}

#[test]
fn a_changed_image_is_not_started() {
    let Some(root) = Root::privileged() else {
        return;
    };
    if !std::path::Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED: a_changed_image_is_not_started: starting needs /dev/fuse");
        return;
    }
    let image = root.image("backup.tar");
    make(&root, &image, "w1");
    write_archive(&image, &[("etc/passwd", "root:x:0:0::/:/bin/sh\n")]);
    let refused = || {
        root.run("startwpar w1")
            .status(1)
            .complaint(&[
                "startwpar: the image ",
                "backup.tar has changed since w1 was made",
            ])
            .check();
    };
    refused();
    // The index of what the archive is now does not make the old WPAR fit again.
    make(&root, &image, "w2");
    refused();
    fs::remove_file(&image).unwrap();
    root.run("startwpar w1")
        .status(1)
        .complaint(&["backup.tar", "no such file"])
        .check();
    root.run("rmwpar w1").stdout("w1 is removed\n").check();
    root.run("rmwpar w2").stdout("w2 is removed\n").check();
    assert!(
        !root.beside("backup.tar.wparidx").exists(),
        "the index goes with its image"
    );
}

#[test]
fn a_backup_of_aix_is_told_and_not_started() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.beside("host1.mksysb");
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/mountd/tests/data/aix/golden.bff"
    );
    fs::copy(golden, &image).unwrap();
    let before = root.leftovers();
    for command in [
        &["mkwpar", "-t", "-n", "w1", "-B"][..],
        &["wparexec", "-t", "-B"],
    ] {
        let run = root.wpar(command).arg(&image);
        let (run, status) = match command[0] {
            "wparexec" => (run.arg("--").arg("true"), 125),
            _ => (run, 1),
        };
        run.status(status)
            .complaint(&[
                "is a backup of AIX 7.1.2.0 (AIX host1 1 7 00F60FEF4C00) and cannot be started",
                "for POWER under AIX",
                "'wpar mount ",
                "'lsmksysb -lf ",
            ])
            .check();
        assert_eq!(root.leftovers(), before);
    }
    assert!(!root.beside("host1.mksysb.wparidx").exists());
}
