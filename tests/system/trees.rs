//! Trees with something of everything in them, and the comparison of two of them.

use std::path::{Path, PathBuf};

use crate::common::fixtures::{fixture, unpack};
use crate::common::manifest::{Manifest, Times};
use crate::common::run::Run;

/// Whether a program is there.
///
/// # Errors
/// That it is not, for a skip.
pub(crate) fn needs(programs: &[&str]) -> Result<(), String> {
    let missing = |program: &&&str| {
        let look = Run::new("sh", ["-c", "command -v \"$1\"", "sh", program]);
        look.env("PATH", path()).output().code() != 0
    };
    match programs.iter().find(missing) {
        Some(program) => Err(format!("needs the program {program}")),
        None => Ok(()),
    }
}

/// Where programs of the administrator are, too.
pub(crate) fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin")
}

/// Runs a shell script, with `arguments` as `$1` and so on.
#[track_caller]
pub(crate) fn shell(script: &str, arguments: &[&Path]) -> String {
    let run = Run::new("sh", ["-ec", script, "sh"]).args(arguments);
    let output = run.env("PATH", path()).ok();
    // Names may be any bytes.
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A system in `directory`: the one of the busybox image, and files of every kind in `srv`.
///
/// # Errors
/// Why it cannot be made here.
#[track_caller]
pub(crate) fn system(directory: &Path) -> Result<PathBuf, String> {
    needs(&["setfattr", "getfattr"])?;
    let image = fixture("busybox")?;
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).expect("a directory for the tree");
    unpack(&image, &tree);
    shell(
        "cd \"$1\"; mkdir -p usr etc srv/deep/er srv/sticky
         echo 'PRETTY_NAME=\"Test System 1\"' >etc/os-release
         cd srv
         head -c 3000000 /dev/urandom >large; echo small >small; echo plain >plain; : >empty
         ln small deep/second; ln -s ../small link; ln -s /nowhere/at/all dangling
         truncate -s 5000000 sparse; printf end >>sparse
         mkfifo pipe; mknod null c 1 3; mknod disk b 8 1
         cp /bin/true set-id; chmod 6755 set-id; chmod 1777 sticky; chmod 000 empty
         chown 1000:2000 large; chown 70000:70001 small
         setfattr -n user.colour -v blue large; setfattr -n user.of.directory -v x deep
         setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 set-id
         touch -d '2001-02-03 04:05:06.789' large; touch -h -d '1999-12-31 23:59:59' link
         echo odd >\"$(printf 'new\\nline \\303\\251 \\377')\"
         touch -d '2010-10-10 10:10:10' deep/er deep sticky",
        &[&tree],
    );
    Ok(tree)
}

/// Asserts that two trees are the same: names, types, modes, owners, devices, sizes, times in
/// seconds, link counts, extended attributes, contents.
#[track_caller]
pub(crate) fn assert_same(expected: &Path, shown: &Path, what: &str) {
    let manifest = |root: &Path| {
        let skip = |path: &Path| path == Path::new("lost+found");
        let mut manifest = Manifest::of(root, Times::Seconds, skip);
        // What makes a file system makes its root.
        manifest.0.remove(Path::new("."));
        manifest
    };
    manifest(expected).assert_unchanged(&manifest(shown), what);
    for (part, script) in [
        ("link counts", "find . ! -type d -printf '%P %n\\n' | sort"),
        (
            "extended attributes",
            "find . -name lost+found -prune -o -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex",
        ),
        (
            "contents",
            "find . -type f -print0 | sort -z | xargs -0 sha256sum",
        ),
    ] {
        let of = |root| shell(&format!("cd \"$1\"; export LC_ALL=C; {script}"), &[root]);
        assert_eq!(of(shown), of(expected), "{part} of {what}");
    }
}
