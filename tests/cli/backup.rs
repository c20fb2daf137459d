//! `mksysb`, `mkszfile`, `savewpar`, `restwpar`, `lsmksysb`: what they say, write and leave behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PROGRAM, Root, write_archive};

/// Leaves out of a backup of this host everything but `/etc`.
fn only_etc(root: &Root) -> PathBuf {
    only(root, &["etc"])
}

fn only(root: &Root, kept: &[&str]) -> PathBuf {
    let names = fs::read_dir("/").unwrap().map(|entry| entry.unwrap());
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let list: String = names
        .filter(|name| !kept.contains(&name.as_str()))
        .map(|name| format!("/{name}\n"))
        .collect();
    let path = root.beside("left-out");
    fs::write(&path, list).unwrap();
    path
}

#[test]
fn a_backup_of_this_host_is_an_archive_and_lists() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (list, image) = (only_etc(&root), root.beside("etc.mksysb"));
    let made = root
        .wpar(["mksysb", "-i", "-V", "-x"])
        .arg(&list)
        .arg(&image)
        .any_stdout()
        .any_stderr()
        .check();
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        said.contains("0512-038 mksysb: Backup Completed Successfully."),
        "{said}"
    );
    assert!(said.contains("frames are as they were written"), "{said}");
    assert_eq!(
        fs::metadata(&image).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(root.path().join("image.data").exists());

    let listed = root
        .wpar(["lsmksysb", "-f"])
        .arg(&image)
        .any_stdout()
        .check();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<_> = listed.lines().collect();
    for name in [
        "./image.data",
        "./wpar.data",
        "./etc/passwd",
        "./usr",
        "./proc",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!names.iter().any(|name| name.starts_with("./usr/")));
    let tar = Command::new("tar")
        .args(["--zstd", "-tf"])
        .arg(&image)
        .output()
        .unwrap();
    let tar = String::from_utf8(tar.stdout).unwrap();
    assert!(
        tar.starts_with("./image.data\n./wpar.data\n./\n"),
        "{}",
        &tar[..80]
    );
    // tar's list has the root too.
    assert_eq!(tar.lines().count(), names.len() + 1);

    let target = root.beside("restored");
    fs::create_dir(&target).unwrap();
    root.wpar(["lsmksysb", "-r", "-d"])
        .arg(&target)
        .arg("-f")
        .arg(&image)
        .arg("./etc/passwd")
        .stdout("files restored: 1\n")
        .check();
    assert_eq!(
        fs::read(target.join("etc/passwd")).unwrap(),
        fs::read("/etc/passwd").unwrap()
    );
}

#[test]
fn patterns_of_the_exclude_file_are_grep_s_and_a_loose_one_is_told() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (list, image) = (only_etc(&root), root.beside("image"));
    let excludes = root.path().join("etc/exclude.rootvg");
    fs::create_dir_all(excludes.parent().unwrap()).unwrap();
    fs::write(&excludes, "^./etc/passwd$\n/ssl\n\\.conf$\n").unwrap();
    let made = root
        .wpar(["mksysb", "-ie", "-x"])
        .arg(&list)
        .arg(&image)
        .any_stdout()
        .any_stderr()
        .check();
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        said.contains("pattern '\\\\.conf$' is not anchored"),
        "{said}"
    );
    let listed = root
        .wpar(["lsmksysb", "-f"])
        .arg(&image)
        .any_stdout()
        .check();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in listed.lines() {
        assert!(
            line != "./etc/passwd" && !line.contains("/ssl") && !line.ends_with(".conf"),
            "{line}"
        );
    }
    assert!(listed.contains("./etc/group\n"));

    fs::write(&excludes, "good\n[bad\n").unwrap();
    root.wpar(["mksysb", "-ie"])
        .arg(&image)
        .status(1)
        .complaint(&[
            "exclude.rootvg: line 2, '[bad': a '[' has no ']'",
            "of grep",
        ])
        .check();
    fs::remove_file(&excludes).unwrap();
    root.wpar(["mksysb", "-ie"])
        .arg(&image)
        .status(1)
        .complaint(&["cannot read the exclude file ", "no such file"])
        .check();
}

#[test]
fn a_preview_writes_nothing() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (list, image) = (only_etc(&root), root.beside("image"));
    fs::create_dir_all(root.path()).unwrap();
    let said = root
        .wpar(["mksysb", "-i", "-P", "-x"])
        .arg(&list)
        .arg(&image)
        .any_stdout()
        .any_stderr()
        .check();
    assert!(
        String::from_utf8(said.stdout)
            .unwrap()
            .contains("would be saved")
    );
    assert!(!image.exists());
    assert!(!root.path().join("image.data").exists());
}

#[test]
fn what_cannot_be_saved_to_is_refused() {
    let Some(root) = Root::privileged() else {
        return;
    };
    fs::create_dir_all(root.path()).unwrap();
    for (line, parts) in [
        ("mksysb /tmp", &["/tmp is not a regular file"][..]),
        (
            "mksysb -i /dev/null",
            &["/dev/null is not a regular file", "read at random"],
        ),
        (
            "mksysb -i /nowhere/x",
            &["cannot use the directory of /nowhere/x"],
        ),
        ("mksysb /var/tmp/x", &["image.data: no such file", "add -i"]),
        ("savewpar -f /var/tmp/x none", &["0960-419", "none"]),
    ] {
        root.run(line).status(1).complaint(parts).check();
    }
    root.run("mksysb -T -i /var/tmp/x")
        .status(2)
        .complaint(&["snapshots are not made yet", "leave -T out"])
        .check();
}

#[test]
fn an_interrupted_backup_leaves_nothing() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let list = only(&root, &["usr"]);
    let dir = root.beside("target");
    fs::create_dir(&dir).unwrap();
    fs::create_dir_all(root.path()).unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("--root")
        .arg(root.path())
        .args(["mksysb", "-i", "-v", "-x"])
        .arg(&list)
        .arg(dir.join("image"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Well into it: the first hundred entries are written.
    assert_eq!(lines.by_ref().take(100).filter_map(Result::ok).count(), 100);
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let rest = std::thread::spawn(move || lines.count());
    let ended = child.wait().unwrap();
    rest.join().unwrap();
    assert_eq!(ended.code(), Some(130));
    let left: Vec<_> = fs::read_dir(&dir).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn mkszfile_describes_the_system() {
    let Some(root) = Root::privileged() else {
        return;
    };
    fs::create_dir_all(root.path()).unwrap();
    root.run("mkszfile -m").any_stdout().check();
    let text = fs::read_to_string(root.path().join("image.data")).unwrap();
    for part in [
        "image_data:\n\tIMAGE_TYPE= tar\n",
        "\tFS_NAME= /\n",
        "source_disk_data:\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

const IMAGE_DATA: &str = "image_data:\n\tIMAGE_TYPE= tar\n\tDATE_TIME= Fri Nov 27 10:00:00 UTC 2026\n\
    \tUNAME_INFO= Linux web1 6.12.1 #1 SMP x86_64\n\tOSLEVEL= debian 12\n\tOSLEVEL_R= debian 12.5\n\n\
    vg_data:\n\tVGNAME= rootvg\n\nfs_data:\n\tFS_NAME= /\n\tFS_SIZE= 20971520\n\tFS_MIN_SIZE= 4194304\n\n\
    fs_data:\n\tFS_NAME= /home\n\tFS_SIZE= 2048\n\tFS_MIN_SIZE= 1024\n";

const STATUS: &str = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\n\
    Description: a shell\n more\n\nPackage: zlib1g\nStatus: install ok installed\nArchitecture: amd64\n\
    Version: 1:1.3\nDescription: compression\n";

#[test]
fn lsmksysb_has_the_layout_of_aix() {
    let root = Root::new();
    let image = root.beside("image.tar");
    write_archive(
        &image,
        &[("image.data", IMAGE_DATA), ("var/lib/dpkg/status", STATUS)],
    );
    let golden = "VOLUME GROUP:           rootvg\n\
        BACKUP DATE/TIME:       Fri Nov 27 10:00:00 UTC 2026\n\
        UNAME INFO:             Linux web1 6.12.1 #1 SMP x86_64\n\
        BACKUP OSLEVEL:         debian 12\n\
        MAINTENANCE LEVEL:      debian 12.5\n\
        BACKUP SIZE (MB):       10241\n\
        SHRINK SIZE (MB):       2048\n\
        VG DATA ONLY:           no\n";
    let image = image.to_str().unwrap();
    root.run(&format!("lsmksysb -lf {image}"))
        .stdout(golden)
        .check();
    let colons = "#volume_group:date:uname:oslevel:maintenance_level:size_mb:shrink_size_mb:vg_data_only\n\
        rootvg:Fri Nov 27 10:00:00 UTC 2026:Linux web1 6.12.1 #1 SMP x86_64:debian 12:debian 12.5:10241:2048:no\n";
    root.run(&format!("lsmksysb -lcf {image}"))
        .stdout(colons)
        .check();
    let packages = "Package  Level  State      Description\n\
        ----------------------------------------------------\n\
        bash     5.2-1  COMMITTED  a shell\n\
        zlib1g   1:1.3  COMMITTED  compression\n";
    root.run(&format!("lsmksysb -Lf {image}"))
        .stdout(packages)
        .check();
    let json = root
        .run(&format!("lsmksysb -l --json -f {image}"))
        .any_stdout()
        .check();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["oslevel"], "debian 12");
    root.run(&format!("lsmksysb -V -f {image}"))
        .status(1)
        .complaint(&["it is incomplete, or mksysb did not make it", "tar -t"])
        .check();
    root.run(&format!("lsmksysb -cf {image}"))
        .status(2)
        .complaint(&["-c and --json go with"])
        .check();
    root.run(&format!(
        "lsmksysb -rf {image} -d {} no/such",
        root.beside("").display()
    ))
    .status(1)
    .complaint(&["none of these names is in the image"])
    .check();
}

/// A WPAR is saved and made again; what it changed alone is saved too.
#[test]
fn a_wpar_is_saved_and_made_again() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("image.tar");
    root.wpar([
        "mkwpar", "-t", "-n", "w1", "-h", "host1", "-M", "size=1G", "-B",
    ])
    .arg(&image)
    .any_stdout()
    .any_stderr()
    .check();
    let (whole, difference) = (root.beside("whole"), root.beside("difference"));
    for (file, option) in [(&whole, None), (&difference, Some("--difference"))] {
        root.wpar(["savewpar", "-f"])
            .arg(file)
            .args(option)
            .arg("w1")
            .any_stdout()
            .check();
    }
    let list = |file: &PathBuf| {
        let listed = root.wpar(["lsmksysb", "-f"]).arg(file).any_stdout().check();
        String::from_utf8(listed.stdout).unwrap()
    };
    assert!(list(&whole).contains("./etc/passwd\n"));
    let changed = list(&difference);
    // Making the WPAR gave it a host name of its own, and nothing else of this.
    assert!(changed.contains("./etc/hostname\n"), "{changed}");
    assert!(!changed.contains("./etc/passwd\n"), "{changed}");

    root.wpar(["restwpar", "-f"])
        .arg(&whole)
        .status(1)
        .complaint(&["there is a workload partition called w1"])
        .check();
    root.wpar(["restwpar", "-n", "w2", "-f"])
        .arg(&whole)
        .any_stdout()
        .any_stderr()
        .check();
    root.run("rmwpar -F w1").any_stdout().check();
    root.wpar(["restwpar", "-f"])
        .arg(&whole)
        .any_stdout()
        .any_stderr()
        .check();
    let record = fs::read_to_string(root.state("registry/w1.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["hostname"], "host1");
    assert_eq!(record["limits"]["size"], 1_u64 << 30);
    root.wpar(["restwpar", "-n", "w4", "-f"])
        .arg(&difference)
        .any_stdout()
        .any_stderr()
        .check();
    let moved = root.beside("moved.tar");
    fs::rename(&image, &moved).unwrap();
    root.wpar(["restwpar", "-n", "w5", "-f"])
        .arg(&difference)
        .status(1)
        .complaint(&["cannot open the image ", "with -B IMAGE"])
        .check();
    root.wpar(["restwpar", "-n", "w5", "-B"])
        .arg(&whole)
        .arg("-f")
        .arg(&difference)
        .status(1)
        .complaint(&["is not the image that ", "another size"])
        .check();
    root.wpar(["restwpar", "-n", "w5", "-B"])
        .arg(&moved)
        .arg("-f")
        .arg(&difference)
        .any_stdout()
        .any_stderr()
        .check();
    root.wpar(["restwpar", "-n", "w3", "-f"])
        .arg(&moved)
        .status(1)
        .complaint(&["is no backup of a WPAR", "mkwpar -t -B"])
        .check();
}

#[test]
fn a_versioned_wpar_that_starts_with_the_host_is_one_again() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let file = root.beside("saved");
    root.wpar(["mkwpar", "-C", "-A", "-t", "-n", "w1", "-B"])
        .arg(root.image("backup.tar"))
        .any_stdout()
        .any_stderr()
        .check();
    let save = || {
        root.wpar(["savewpar", "-f"])
            .arg(&file)
            .arg("w1")
            .any_stdout()
    };
    let restored = |name: &str, flags: &[&str]| {
        root.wpar(["restwpar", "-n", name])
            .args(flags)
            .arg("-f")
            .arg(&file)
            .any_stdout()
            .any_stderr()
            .check();
        let shown = root
            .wpar(["lswpar", "-qc", "-a", "type,auto", name])
            .any_stdout();
        String::from_utf8(shown.check().stdout).unwrap()
    };
    save().check();
    assert_eq!(restored("w2", &[]), "L:yes\n");
    root.run("chwpar -K -A -C w1").any_stdout().check();
    fs::remove_file(&file).unwrap();
    save().check();
    assert_eq!(restored("w3", &[]), "S:no\n");
    assert_eq!(restored("w4", &["-C"]), "L:no\n");
}
