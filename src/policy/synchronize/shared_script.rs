//! What runs inside a WPAR that shares `/usr`, once, before its next init: the scripts of packages that are
//! new or have changed.
//!
//! They were written to change `/usr`, too, where what they make is already: the base's own scripts have
//! made it. So they get a `/usr` and `/opt` on which all can be written and that are thrown away; where
//! the kernel gives none, the read-only ones, and a script that fails there is told of and keeps no
//! other from being run.

use crate::model::generation;
use crate::packages::Family;

/// Where it is, as a path without a leading `/`.
pub const SCRIPT: &str = generation::PROGRAM;

const HEAD: &str = r#"#!/bin/sh
# Written by syncwpar: sets up packages that are new in /usr, which this workload partition shares.
if [ "$1" != apart ] && unshare --mount true 2>/dev/null; then
    exec unshare --mount --propagation private "$0" apart
fi
if [ "$1" = apart ] && mkdir -p /run/wpar-sync && mount -t tmpfs wpar-sync /run/wpar-sync; then
    for part in usr opt; do
        mkdir -p /run/wpar-sync/$part/upper /run/wpar-sync/$part/work
        mount -t overlay -o "userxattr,lowerdir=/$part,upperdir=/run/wpar-sync/$part/upper,workdir=/run/wpar-sync/$part/work" \
            wpar-sync /$part || echo "/$part stays read-only"
    done
fi
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
"#;

const DPKG: &str = "exec dpkg --configure --pending --force-confold </dev/null\n";

/// Where no scripts can be run again: what they would do in most cases.
const OTHERS: &str = r#"failed=0
for program in ldconfig systemd-sysusers "systemd-tmpfiles --create" update-ca-trust update-ca-certificates; do
    if command -v ${program%% *} >/dev/null 2>&1; then
        $program || failed=1
    fi
done
exit $failed
"#;

/// The script for packages of this family.
pub fn script(family: Family) -> String {
    let rest = match family {
        Family::Dpkg => DPKG,
        Family::Rpm | Family::Apk | Family::Pacman => OTHERS,
    };
    format!("{HEAD}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_a_script_that_a_shell_reads() {
        for family in [Family::Dpkg, Family::Rpm, Family::Apk, Family::Pacman] {
            let temp = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(temp.path(), script(family)).unwrap();
            let shell = std::process::Command::new("sh")
                .arg("-n")
                .arg(temp.path())
                .status();
            assert!(shell.unwrap().success(), "{family}");
        }
        assert!(script(Family::Dpkg).contains("dpkg --configure"));
    }
}
