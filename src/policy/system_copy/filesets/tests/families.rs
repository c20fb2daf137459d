//! Alpine, Arch, and systems with rpm.

use wpar_mountd::lower::memory::MemoryLower;

use super::*;

const SQLITE: &[u8] = include_bytes!("../../../../../tests/data/packages/rpm/settled.sqlite");

#[test]
fn alpine_forgets_its_kernel_and_does_not_want_it_any_more() {
    let installed = "C:Q1a=\nP:alpine-baselayout\nV:3\nA:x86_64\nF:boot\nF:lib/modules\n\n\
        C:Q1b=\nP:linux-lts\nV:6.6\nA:x86_64\nI:100\nD:mkinitfs\nF:boot\nR:vmlinuz-lts\nF:lib\nF:lib/modules\n\
        F:lib/modules/6.6\nR:a.ko.gz\n\n\
        C:Q1c=\nP:mkinitfs\nV:3\nA:x86_64\nF:sbin\nR:mkinitfs\n\n\
        C:Q1d=\nP:server\nV:1\nA:x86_64\nD:mdadm\n\n\
        C:Q1e=\nP:mdadm\nV:4\nA:x86_64\nD:so:libc\nF:sbin\nR:mdadm\nF:etc\nF:etc/runlevels\n\n";
    let builder = MemoryLower::builder()
        .file("lib/apk/db/installed", installed)
        .file("lib/apk/db/triggers", "Q1c= /lib/modules\nQ1a= /usr\n")
        .file("etc/apk/world", "alpine-base linux-lts\nserver\n")
        .file("boot/vmlinuz-lts", "")
        .file("lib/modules/6.6/a.ko.gz", "")
        .file("sbin/mkinitfs", "")
        .file("sbin/mdadm", "")
        .file("etc/init.d/mdadm", "");
    let decisions = decided(builder, "");
    assert_eq!(
        fates(&decisions),
        ["linux-lts Hidden", "mdadm Ghost", "mkinitfs Hidden"]
    );
    assert_eq!(
        hidden(&decisions),
        ["boot/*", "lib/modules/*", "sbin/mdadm", "sbin/mkinitfs"]
    );
    assert_eq!(
        written(&decisions, "lib/apk/db/installed"),
        "C:Q1a=\nP:alpine-baselayout\nV:3\nA:x86_64\nF:boot\nF:lib/modules\n\n\
         C:Q1d=\nP:server\nV:1\nA:x86_64\nD:mdadm\n\n\
         C:Q1e=\nP:mdadm\nV:4\nA:x86_64\n\n"
    );
    assert_eq!(written(&decisions, "lib/apk/db/triggers"), "Q1a= /usr\n");
    assert_eq!(
        written(&decisions, "etc/apk/world"),
        "alpine-base !linux-lts\nserver\n"
    );
}

/// The directory of a package of Arch.
fn arch(builder: Builder, name: &str, needs: &str, files: &[&str]) -> Builder {
    let at = format!("var/lib/pacman/local/{name}-1-1");
    builder
        .file(
            format!("{at}/desc"),
            format!("%NAME%\n{name}\n\n%VERSION%\n1-1\n\n%ARCH%\nx86_64\n\n%DEPENDS%\n{needs}\n\n"),
        )
        .file(
            format!("{at}/files"),
            format!("%FILES%\n{}\n", files.join("\n")),
        )
        .file(format!("{at}/mtree"), "")
}

#[test]
fn arch_forgets_its_kernel_and_ignores_it() {
    let mut builder = MemoryLower::builder()
        .file("var/lib/pacman/local/ALPM_DB_VERSION", "9\n")
        .file("etc/pacman.conf", "# x\n[options]\nArchitecture = auto\n")
        .file("usr/lib/modules/6.6/vmlinuz", "")
        .file("usr/bin/mkinitcpio", "");
    builder = arch(
        builder,
        "linux",
        "mkinitcpio",
        &[
            "usr/",
            "usr/lib/",
            "usr/lib/modules/",
            "usr/lib/modules/6.6/",
            "usr/lib/modules/6.6/vmlinuz",
        ],
    );
    builder = arch(
        builder,
        "mkinitcpio",
        "",
        &["usr/", "usr/bin/", "usr/bin/mkinitcpio"],
    );
    builder = arch(builder, "server", "mdadm", &[]);
    builder = arch(
        builder,
        "mdadm",
        "glibc",
        &["usr/", "usr/bin/", "usr/bin/mdadm"],
    );
    let decisions = decided(builder, "");
    assert_eq!(
        fates(&decisions),
        ["linux Hidden", "mdadm Ghost", "mkinitcpio Hidden"]
    );
    assert_eq!(
        hidden(&decisions),
        [
            "usr/bin/mdadm",
            "usr/bin/mkinitcpio",
            "usr/lib/modules/*",
            "var/lib/pacman/local/linux-1-1",
            "var/lib/pacman/local/mdadm-1-1/install",
            "var/lib/pacman/local/mdadm-1-1/mtree",
            "var/lib/pacman/local/mkinitcpio-1-1",
        ]
    );
    let ghost = "var/lib/pacman/local/mdadm-1-1";
    assert_eq!(written(&decisions, &format!("{ghost}/files")), "%FILES%\n");
    assert!(!written(&decisions, &format!("{ghost}/desc")).contains("glibc"));
    let configuration = written(&decisions, "etc/pacman.conf");
    assert!(
        configuration.contains("\nIgnorePkg = linux mdadm mkinitcpio*\n")
            && configuration.ends_with("Architecture = auto\n"),
        "{configuration}"
    );
}

#[test]
fn rpm_is_told_at_the_first_start() {
    let system = || {
        MemoryLower::builder()
            .file("var/lib/rpm/rpmdb.sqlite", SQLITE)
            .file("etc/dnf/dnf.conf", "[main]\ngpgcheck=1\n")
            .directory("etc/zypp")
            .file("usr/share/alpha/file-with-a-long-name-1", "")
    };
    // alpha needs beta.
    let decisions = decided(system(), "beta\n");
    assert_eq!(fates(&decisions), ["beta Kept"]);
    assert!(decisions.view.hidden.is_empty() && decisions.edits.is_empty());
    let decisions = decided(system(), "alpha\nbeta\n");
    assert_eq!(fates(&decisions), ["alpha Hidden", "beta Hidden"]);
    let hidden = hidden(&decisions);
    assert!(hidden.contains(&"usr/bin/beta".to_owned()), "{hidden:?}");
    assert!(
        hidden.contains(&"etc/alpha/alpha.conf".to_owned()),
        "{hidden:?}"
    );
    let script = "usr/lib/wpars/wparconvert.d/root/00wpar-private-filesets";
    assert!(written(&decisions, script).contains("    alpha-1.5~rc1-3.test.noarch \\\n    beta-"));
    assert_eq!(decisions.view.notes.len(), 1);
    assert!(
        written(&decisions, "etc/dnf/dnf.conf").contains("\nexcludepkgs=alpha,beta\ngpgcheck=1\n")
    );
    assert!(written(&decisions, "etc/zypp/locks").ends_with("solvable_name: beta\n"));
}
