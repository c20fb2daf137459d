//! Attacks of an image: links where something is mounted, and what the store makes of odd files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::cell::{Cell, NAME};
use crate::common::run::Run;
use crate::common::skip::need;

/// CVE-2021-30465, CVE-2025-31133, CVE-2025-52565: what is mounted for the WPAR lands where a link
/// of the image points to.
#[test]
fn a_link_in_the_image_moves_no_mount() {
    let cell = need!(Cell::without_wpar());
    let target = cell.world.scratch().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "host").unwrap();
    let up = format!("../../../../../../../../..{}", target.display());
    for (number, place) in ["proc", "sys", "dev", "run", "tmp"].iter().enumerate() {
        let name = format!("link{number}");
        let tree = need!(cell.tree(&name));
        let _ = fs::remove_dir_all(tree.join(place));
        let to = if number % 2 == 0 {
            target.display().to_string()
        } else {
            up.clone()
        };
        symlink(&to, tree.join(place)).unwrap();
        // The kernel itself follows it.
        let script = "mount -t tmpfs weak \"$1\" && mountpoint -q \"$2\"";
        Run::new("unshare", ["--mount", "sh", "-c", script, "sh"])
            .arg(tree.join(place))
            .arg(&target)
            .ok();

        cell.world.mkwpar(&tree, &name);
        let started = cell.world.wpar(["startwpar", name.as_str()]).output();
        if started.code() == 0 {
            assert_eq!(*place, "tmp", "only that is not always mounted\n{started}");
            cell.world.inside(&name, "echo inside >/tmp/file; true");
        } else {
            let complaint = started.complaint();
            assert!(complaint.contains(place), "it names the place\n{started}");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&target.display().to_string()), "{mounts}");
        assert_eq!(fs::read(target.join("file")).unwrap(), b"host");
        cell.world.ok(&format!("rmwpar -F {name}"));
    }
    cell.world.assert_empty();
}

/// CVE-2025-31133: `/dev/null` of the image as the source of masks; CVE-2025-52565: `/dev/console`
/// as a link.
#[test]
fn the_devices_of_the_image_are_not_used() {
    let cell = need!(Cell::without_wpar());
    let tree = need!(cell.tree("tree"));
    let host = cell.world.scratch().join("host-file");
    fs::write(&host, "host").unwrap();
    let _ = fs::remove_dir_all(tree.join("dev"));
    fs::create_dir(tree.join("dev")).unwrap();
    for name in ["null", "console", "ptmx", "pts"] {
        symlink("/proc/sys/kernel/core_pattern", tree.join("dev").join(name)).unwrap();
    }
    cell.world.mkwpar(&tree, NAME);
    cell.world.ok(&format!("startwpar {NAME}"));
    let found = cell.world.inside(
        NAME,
        "stat -c %F /dev/null; stat -c %F /dev/console; cat /proc/kcore | wc -c",
    );
    let device = "character special file";
    assert_eq!(found, format!("{device}\n{device}\n0"));
    cell.end();
}

/// What the test above guards against: who masks with the image's `/dev/null` shows what that leads to,
/// and who binds a console on the image's covers the host's.
#[test]
fn devices_of_the_image_as_sources_and_places_of_mounts_lead_to_the_host() {
    let cell = need!(Cell::without_wpar());
    let place = cell.world.scratch();
    fs::create_dir_all(place.join("image/dev")).unwrap();
    for (file, text) in [("secret", "host"), ("masked", "masked"), ("console", "tty")] {
        fs::write(place.join(file), text).unwrap();
    }
    for device in ["null", "console"] {
        symlink(place.join("secret"), place.join("image/dev").join(device)).unwrap();
    }
    let script = "cd \"$1\"; mount --bind image/dev/null masked; cat masked
         mount --bind console image/dev/console; cat secret";
    let seen = Run::new("unshare", ["--mount", "sh", "-c", script, "sh"])
        .arg(&place)
        .ok();
    assert_eq!(
        seen.text(),
        "hosttty",
        "masked shows the secret, which is covered"
    );
}

/// CVE-2025-52881: what the one who enters writes to `/proc/self/...` goes where a `/proc` of the WPAR's
/// making leads it, to `sysrq-trigger` for one.
#[test]
fn who_enters_writes_nothing_below_a_proc_of_the_wpars_making() {
    let cell = need!(Cell::new());
    let make = "mkdir -p $D/self/attr $D/thread-self/attr $D/sys/kernel $D/1
         for f in self/oom_score_adj self/attr/exec self/attr/current thread-self/attr/exec \
             self/uid_map self/gid_map self/setgroups self/loginuid self/comm sys/kernel/domainname \
             sys/kernel/hostname 1/oom_score_adj; do : >$D/$f; done";
    cell.world.inside(NAME, &format!("D=/fake; {make}"));
    // In the namespace of its first process, into which all others come.
    let run = cell
        .world
        .root()
        .join("run/wpar")
        .join(NAME)
        .join("run.json");
    let state: serde_json::Value = serde_json::from_slice(&fs::read(run).unwrap()).unwrap();
    let init = state["init"]["pid"].to_string();
    let root = format!("/proc/{init}/root");
    Run::new("nsenter", ["-t", &init, "-m", "-U", "-r", "/bin/mount"])
        .args(["--bind", "/fake", "/proc"])
        .ok();
    // That nobody can enter any more would be as good.
    let _ = cell.world.wpar(["clogin", NAME, "/bin/true"]).output();
    let _ = cell
        .world
        .wpar(["clogin", "-l", "root", NAME, "/bin/true"])
        .output();
    fn written(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => written(&path, found),
                false if fs::metadata(&path).unwrap().len() > 0 => {
                    found.push(path.display().to_string());
                }
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    written(&Path::new(&root).join("fake"), &mut found);
    assert!(found.is_empty(), "{found:?}");
    cell.end();

    // Who does write there is led.
    let cell = need!(Cell::without_wpar());
    let place = cell.world.scratch().join("fake");
    let script = format!(
        "D={}; {make}; mount --bind \"$D\" /proc && echo 0 >/proc/self/oom_score_adj",
        place.display()
    );
    Run::new("unshare", ["--mount", "sh", "-c", &script]).ok();
    assert_eq!(fs::read(place.join("self/oom_score_adj")).unwrap(), b"0\n");
}

/// A daemon that kept a set-user-ID file as one would lend root to every user of the host.
#[test]
fn what_the_store_keeps_is_no_danger_to_the_host() {
    let cell = need!(Cell::new());
    cell.world.inside(
        NAME,
        "cp /probe /set-id; chmod 6755 /set-id; mkfifo /pipe
         mknod /whiteout c 0 0 2>/dev/null; ln -s /etc/shadow /link; chmod 4755 /probe
         mkdir -p /new/deep; echo x >/new/.wh.file; echo y >/new/file; echo z >/new/.wh..wh..opq
         cp /node /copied 2>/dev/null; true",
    );
    fn walk(directory: &Path, found: &mut usize) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let file = fs::symlink_metadata(&path).unwrap();
            let kind = file.file_type();
            assert!(
                !kind.is_char_device() && !kind.is_block_device() && !kind.is_fifo(),
                "{} is a {kind:?}",
                path.display()
            );
            if kind.is_file() {
                *found += 1;
                assert_eq!(
                    file.permissions().mode() & 0o6011,
                    0,
                    "{} can be run",
                    path.display()
                );
                assert_eq!(file.uid(), 0, "{}", path.display());
            } else if kind.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = 0;
    let root = cell.world.root();
    walk(&root.join("var/lib"), &mut found);
    assert!(found > 3, "the store is not in {}", root.display());

    // Names with a meaning to other daemons are names like any other, also after the next start.
    cell.world.ok(&format!("stopwpar -F {NAME}"));
    cell.world.ok(&format!("startwpar {NAME}"));
    let names = cell
        .world
        .inside(NAME, "ls -A /new; cat /new/file; ls -d /etc/passwd");
    assert_eq!(names, ".wh..wh..opq\n.wh.file\ndeep\nfile\ny\n/etc/passwd");
    cell.end();
}
