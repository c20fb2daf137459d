//! The rule as a whole, on small systems of each family.

use std::sync::Arc;

use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::Overlay;
use wpar_mountd::spec::HiddenExtent;

use super::*;
use crate::model::{CopyControls, Hostname, Put};

const SQLITE: &[u8] = include_bytes!("../../../../tests/data/packages/rpm/settled.sqlite");

/// What the rules decide about the system, with these lines of the site.
fn decided(builder: Builder, site: &str) -> Decisions {
    let files = Overlay::new(Arc::new(builder.build().unwrap()), None);
    decide(&Situation {
        resolver: None,
        files: &files,
        of_running_system: false,
        controls: CopyControls::default(),
        hostname: &Hostname::new("wpar1").unwrap(),
        private_lists: &[ListFile {
            path: "/etc/wpars/private.d/site.list".to_owned(),
            contents: site.as_bytes().to_vec(),
        }],
    })
    .unwrap()
}

fn hidden(decisions: &Decisions) -> Vec<String> {
    let rules = decisions.view.hidden.iter();
    rules
        .map(|rule| match rule.extent {
            HiddenExtent::Name => rule.path.clone(),
            HiddenExtent::Contents => format!("{}/*", rule.path),
        })
        .collect()
}

/// The file that is written to `path`.
fn written(decisions: &Decisions, path: &str) -> String {
    let mut edits = decisions.edits.iter();
    let edit = edits
        .find(|edit| edit.path == path)
        .unwrap_or_else(|| panic!("{path} is not written: {:?}", decisions.edits));
    match &edit.what {
        Put::File { contents, .. } => String::from_utf8(contents.clone()).unwrap(),
        Put::Link(target) => format!("-> {target}"),
    }
}

fn fates(decisions: &Decisions) -> Vec<String> {
    let filesets = decisions.view.filesets.iter();
    filesets
        .map(|fileset| format!("{} {:?}", fileset.name, fileset.fate))
        .collect()
}

/// A stanza of dpkg's data base.
fn stanza(name: &str, further: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n{further}\n"
    )
}

fn list(paths: &[&str]) -> String {
    format!("/.\n{}\n", paths.join("\n"))
}

/// A merged `/usr`, a kernel, a boot loader in Python, and who shares directories with them.
fn debian() -> Builder {
    let status = stanza("base-files", "Essential: yes\n")
        + &stanza("linux-image-6.1", "Installed-Size: 2\n")
        + &stanza("grub-common", "Conffiles:\n /etc/default/grub.d/x 00\n")
        + &stanza("kexec-tools", "")
        + &stanza("systemd-sysv", "")
        + &stanza("unattended-upgrades", "");
    let standard = [
        "/bin",
        "/boot",
        "/etc",
        "/etc/default",
        "/lib",
        "/usr",
        "/usr/bin",
    ];
    MemoryLower::builder()
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/base-files.list", list(&standard))
        .file(
            "var/lib/dpkg/info/linux-image-6.1.list",
            list(&[
                "/boot",
                "/boot/vmlinuz-6.1",
                "/lib",
                "/lib/modules",
                "/lib/modules/6.1",
                "/lib/modules/6.1/a.ko",
            ]),
        )
        .file("var/lib/dpkg/info/linux-image-6.1.postinst", "exit 1")
        .file(
            "var/lib/dpkg/info/grub-common.list",
            list(&[
                "/etc",
                "/etc/grub.d",
                "/etc/grub.d/00_header",
                "/lib/grub",
                "/lib/grub/tool.py",
                "/lib/shared",
                "/lib/shared/ours.py",
                "/lib/shared/both",
                "/lib/systemd/grub.service",
            ]),
        )
        .file(
            "var/lib/dpkg/info/kexec-tools.list",
            list(&["/sbin/reboot", "/usr/sbin/kexec"]),
        )
        .file(
            "var/lib/dpkg/info/systemd-sysv.list",
            list(&["/sbin/reboot", "/usr/sbin/halt"]),
        )
        .file(
            "var/lib/dpkg/info/unattended-upgrades.list",
            // By another way to the same directory.
            list(&[
                "/usr/lib/shared",
                "/usr/lib/shared/both",
                "/usr/lib/shared/theirs",
                "/etc/kernel",
                "/etc/kernel/postinst.d",
                "/etc/kernel/postinst.d/unattended",
            ]),
        )
        .file(
            "var/lib/dpkg/diversions",
            "/sbin/reboot\n/sbin/reboot.real\nkexec-tools\n",
        )
        .file(
            "var/lib/dpkg/triggers/File",
            "/lib/modules linux-image-6.1/noawait\n/usr/lib/shared unattended-upgrades\n",
        )
        .file("var/lib/dpkg/triggers/make-boot", "grub-common\n")
        .file(
            "var/lib/dpkg/statoverride",
            "root root 755 /usr/sbin/kexec\nroot x 2755 /usr/bin/y\n",
        )
        .file(
            "var/lib/dpkg/alternatives/kx",
            "auto\n/usr/bin/kx\n\n/usr/sbin/kexec\n10\n\n",
        )
        .symlink("usr/bin/kx", "/etc/alternatives/kx")
        .symlink("etc/alternatives/kx", "/usr/sbin/kexec")
        .symlink("lib", "usr/lib")
        .symlink("sbin", "usr/sbin")
        .symlink("bin", "usr/bin")
        .symlink("vmlinuz", "boot/vmlinuz-6.1")
        .file("boot/vmlinuz-6.1", "kernel")
        .file("boot/initrd.img-6.1", "made")
        .file("usr/lib/modules/6.1/a.ko", "")
        .file("usr/lib/modules/6.1/modules.dep", "")
        .file("usr/lib/grub/tool.py", "")
        .file("usr/lib/shared/ours.py", "")
        .file("usr/lib/shared/both", "")
        .file("usr/lib/shared/theirs", "")
        .file("usr/lib/shared/__pycache__/ours.cpython-311.pyc", "")
        .file("usr/lib/shared/__pycache__/theirs.cpython-311.pyc", "")
        .file("usr/lib/systemd/grub.service", "")
        .file("usr/sbin/reboot", "of kexec")
        .file("usr/sbin/reboot.real", "of systemd")
        .file("usr/sbin/kexec", "")
        .file("etc/grub.d/00_header", "")
        .file("etc/grub.d/40_local", "nobody owns it")
        .file("etc/kernel/postinst.d/unattended", "")
        .file("etc/kernel/postinst.d/initramfs", "")
        .symlink(
            "etc/systemd/system/boot.target.wants/grub.service",
            "/lib/systemd/grub.service",
        )
        .symlink(
            "etc/systemd/system/boot.target.wants/other.service",
            "/lib/systemd/other.service",
        )
        .file("srv/site", "")
}

#[test]
fn all_of_a_private_fileset_of_debian_goes_and_nothing_else() {
    let decisions = decided(debian(), "");
    assert_eq!(
        fates(&decisions),
        [
            "grub-common Hidden",
            "kexec-tools Hidden",
            "linux-image-6.1 Hidden"
        ]
    );
    assert_eq!(
        hidden(&decisions),
        [
            "boot/*",
            "etc/alternatives/kx",
            "etc/default/grub.d/x",
            "etc/grub.d",
            "etc/kernel/postinst.d/initramfs",
            "etc/systemd/system/boot.target.wants/grub.service",
            "usr/bin/kx",
            "usr/lib/grub",
            "usr/lib/modules/*",
            "usr/lib/shared/__pycache__/ours.cpython-311.pyc",
            "usr/lib/shared/ours.py",
            "usr/lib/systemd/grub.service",
            "usr/sbin/kexec",
            "usr/sbin/reboot",
            "var/lib/dpkg/alternatives/kx",
            "var/lib/dpkg/info/grub-common.list",
            "var/lib/dpkg/info/kexec-tools.list",
            "var/lib/dpkg/info/linux-image-6.1.list",
            "var/lib/dpkg/info/linux-image-6.1.postinst",
            "var/lib/dpkg/triggers/make-boot",
            "vmlinuz",
        ]
    );
    let status = written(&decisions, "var/lib/dpkg/status");
    let names: Vec<_> = status
        .lines()
        .filter(|line| line.starts_with("Package"))
        .collect();
    assert_eq!(
        names,
        [
            "Package: base-files",
            "Package: systemd-sysv",
            "Package: unattended-upgrades"
        ]
    );
    assert_eq!(
        written(&decisions, "usr/sbin/reboot"),
        "-> /sbin/reboot.real"
    );
    assert_eq!(written(&decisions, "var/lib/dpkg/diversions"), "");
    assert_eq!(
        written(&decisions, "var/lib/dpkg/triggers/File"),
        "/usr/lib/shared unattended-upgrades\n"
    );
    assert_eq!(
        written(&decisions, "var/lib/dpkg/statoverride"),
        "root x 2755 /usr/bin/y\n"
    );
    assert!(
        written(&decisions, "etc/apt/preferences.d/00wpar-private").contains(
            "\nPackage: grub-* kexec-tools linux-image-*\nPin: release *\nPin-Priority: -1\n"
        )
    );
    let sizes: u64 = decisions
        .view
        .filesets
        .iter()
        .map(|fileset| fileset.size)
        .sum();
    assert_eq!(sizes, 2048);
    assert_eq!(decisions.view.notes, [""; 0]);
}

#[test]
fn nothing_happens_without_private_filesets_or_if_they_are_to_be_kept() {
    let files = Overlay::new(Arc::new(debian().build().unwrap()), None);
    let hostname = Hostname::new("wpar1").unwrap();
    let kept = decide(&Situation {
        resolver: None,
        files: &files,
        of_running_system: false,
        controls: CopyControls {
            preserve_private: true,
            ..CopyControls::default()
        },
        hostname: &hostname,
        private_lists: &[],
    });
    assert_eq!(kept.unwrap(), Decisions::default());
    let never = decided(debian(), "!*\n");
    assert_eq!(never, Decisions::default());
    let none = decided(MemoryLower::builder().file("boot/vmlinuz", ""), "");
    assert_eq!(none, Decisions::default());
}

#[test]
fn boot_stays_if_only_what_is_not_of_the_boot_is_hidden() {
    let decisions = decided(debian(), "!linux-*\n!grub-*\n");
    let hidden = hidden(&decisions);
    assert!(hidden.contains(&"usr/sbin/kexec".to_owned()), "{hidden:?}");
    let of_boot = hidden
        .iter()
        .any(|path| path.starts_with("boot") || path.contains("modules"));
    assert!(!of_boot, "{hidden:?}");
}

#[test]
fn a_pattern_that_matches_something_visible_pins_only_names() {
    let builder = MemoryLower::builder().file(
        "var/lib/dpkg/status",
        stanza("grub-common", "") + &stanza("grub-doc", ""),
    );
    let decisions = decided(builder, "!grub-doc\n");
    let text = written(&decisions, "etc/apt/preferences.d/00wpar-private");
    assert!(text.contains("\nPackage: grub-common\n"), "{text}");
}

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

#[test]
fn a_hostile_image_hides_no_more_than_names() {
    let long = "x".repeat(300);
    let paths = [
        "/",
        "/..",
        "/../../etc/shadow",
        "/a/../b",
        "//",
        "/a//b",
        "/usr",
        "/etc",
        "/var",
        &long,
        "/\u{fffd}",
    ];
    let builder = MemoryLower::builder()
        .file(
            "var/lib/dpkg/status",
            stanza("grub-pc", "") + &stanza("a/b", "") + &stanza("kexec-tools", ""),
        )
        .file("var/lib/dpkg/info/grub-pc.list", list(&paths))
        .file("var/lib/dpkg/diversions", "/x\n/y\n")
        .file("var/lib/dpkg/alternatives/x", "auto\n")
        .file("etc/apt", "in the way")
        .symlink("etc/rc2.d", "rc2.d")
        .symlink("etc/systemd", "../../../../../etc/systemd")
        .symlink("boot", "/boot")
        .directory("usr")
        .file("etc/shadow", "");
    let decisions = decided(builder, "a?b\n");
    let hidden = hidden(&decisions);
    for path in ["usr", "etc", "var", "etc/shadow", "boot"] {
        assert!(!hidden.iter().any(|hidden| hidden == path), "{hidden:?}");
    }
    let notes = &decisions.view.notes;
    assert!(
        notes.iter().any(|note| note.contains("stay visible")),
        "{notes:?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("/etc/apt stands in the way")),
        "{notes:?}"
    );
}

#[test]
fn regression_a_link_that_leads_nowhere_is_no_directory_to_write_in() {
    let builder = MemoryLower::builder()
        .file("var/lib/dpkg/status", stanza("kexec-tools", ""))
        .symlink("etc/apt", "/nowhere");
    let decisions = decided(builder, "");
    assert_eq!(
        decisions.view.notes,
        ["/etc/apt stands in the way of what would be written"]
    );
}

#[test]
fn a_data_base_that_cannot_be_read_hides_nothing() {
    let builder = MemoryLower::builder().file("var/lib/rpm/rpmdb.sqlite", "no data base");
    let decisions = decided(builder, "*\n");
    assert!(decisions.view.hidden.is_empty());
    assert!(
        decisions.view.notes[0].starts_with("all filesets stay visible: "),
        "{:?}",
        decisions.view.notes
    );
}
