//! Debian: a merged `/usr`, and every file of dpkg that names a package.

use wpar_mountd::lower::memory::MemoryLower;

use super::*;

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
