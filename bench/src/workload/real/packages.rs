//! `apt-get install` of 50 packages in a Debian system: apt, dpkg, their data bases and scripts, all
//! on the subject, as its programs are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Fallible;
use crate::workload::real::program::{apart, command, run};
use crate::workload::real::sources;

/// What it needs.
pub(crate) const NEEDS: &[&str] = &["dpkg-deb", "tar", "unshare", "chroot", "mount"];

/// The system that packages are installed in, a fixture of the tests.
const IMAGE: &str = "debian12-minbase.tar";

/// Files of each package.
const FILES: usize = 20;

/// The image, or why it is not there.
pub(crate) fn image() -> Result<PathBuf, String> {
    let directory = match std::env::var_os("WPAR_FIXTURES") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let home = std::env::var_os("HOME").unwrap_or_default();
            Path::new(&home).join(".cache/wpar-fixtures")
        }
    };
    let image = directory.join(IMAGE);
    match image.is_file() {
        true => Ok(image),
        false => Err(format!(
            "{IMAGE} is not there; 'tests/fixtures/make-image.sh' makes it, WPAR_FIXTURES names another directory"
        )),
    }
}

/// The system of the image, and in it `count` packages.
pub(crate) fn set_up(lower: &Path, count: usize) -> Fallible<()> {
    let image = image()?;
    let mut tar = command("tar");
    tar.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"]);
    run(tar.arg(image).arg("-C").arg(lower))?;
    let packages = lower.join("var/tmp/packages");
    fs::create_dir_all(&packages)?;
    for number in 0..count {
        make(&packages, number)?;
    }
    Ok(())
}

/// One package: a binary one of 20 files, with a script that runs when it is installed.
fn make(packages: &Path, number: usize) -> Fallible<()> {
    let name = format!("wpar-bench-{number:02}");
    let tree = packages.join("tree");
    let share = tree.join("usr/share").join(&name);
    fs::create_dir_all(&share)?;
    fs::create_dir_all(tree.join("DEBIAN"))?;
    for file in 0..FILES {
        fs::write(
            share.join(format!("file{file}")),
            sources::text(number * FILES + file, 0),
        )?;
    }
    fs::write(
        tree.join("DEBIAN/control"),
        format!(
            "Package: {name}\nVersion: 1.0\nArchitecture: all\n\
             Maintainer: Nobody <nobody@localhost>\nDescription: Package of a benchmark\n"
        ),
    )?;
    let script = tree.join("DEBIAN/postinst");
    fs::write(
        &script,
        format!("#!/bin/sh\nset -e\ntouch /var/lib/{name}.configured\n"),
    )?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut deb = command("dpkg-deb");
    deb.args(["--root-owner-group", "-Znone", "--build"])
        .arg(&tree);
    run(deb.arg(packages.join(format!("{name}.deb"))))?;
    fs::remove_dir_all(&tree)?;
    Ok(())
}

/// Goes into the root with its own `/proc` and the host's `/dev`, and runs what is asked for there.
const INSIDE: &str = "mount --bind /dev \"$1/dev\"; mount -t proc proc \"$1/proc\"; \
    exec chroot \"$1\" /bin/sh -euc \"$SCRIPT\"";

fn inside(root: &Path, script: &str) -> Fallible<(Duration, String)> {
    run(apart(INSIDE, &[root])
        .env("SCRIPT", script)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// `apt-get install` of the packages, which are removed first where they are installed.
pub(crate) fn install(root: &Path, count: usize) -> Fallible<Duration> {
    if root.join("var/lib/wpar-bench-00.configured").exists() {
        inside(
            root,
            "dpkg --purge $(dpkg-query -W -f '${Package} ' 'wpar-bench-*'); rm /var/lib/wpar-bench-*",
        )?;
    }
    // The packages are there and nothing else is asked for: no network.
    let (time, _) = inside(
        root,
        "apt-get -qq -y -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root -o Acquire::http::Proxy=http://127.0.0.1:9 \
         install /var/tmp/packages/*.deb",
    )?;
    let configured = fs::read_dir(root.join("var/lib"))?.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".configured"))
    });
    match configured.count() == count {
        true => Ok(time),
        false => Err("not all packages are configured".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::real::program::{missing, not_root};
    use crate::workload::real::skipped;

    #[test]
    fn packages_are_installed_and_again() {
        if let Some(reason) = missing(NEEDS).or_else(not_root) {
            return skipped(&reason);
        }
        if let Err(reason) = image() {
            return skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up(dir.path(), 2).unwrap();
        install(dir.path(), 2).unwrap();
        let last = dir.path().join("usr/share/wpar-bench-01/file19");
        assert_eq!(fs::read_to_string(&last).unwrap(), sources::text(39, 0));
        install(dir.path(), 2).unwrap();
        assert!(install(dir.path(), 3).is_err());
    }
}
