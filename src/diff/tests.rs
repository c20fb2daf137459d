//! Small trees in memory, and stores above them.

use std::sync::Arc;

use tempfile::TempDir;
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::{Overlay, SetAttr};
use wpar_mountd::types::{EntryName, FileKind, Ino};
use wpar_mountd::upper::UpperStore;

use super::config::ConfigState;
use super::packages_changed::PackageChangeKind;
use super::*;

fn tree(builder: Builder) -> Overlay {
    Overlay::new(Arc::new(builder.build().unwrap()), None)
}

fn options() -> Options {
    Options {
        sections: Section::ALL.to_vec(),
        times: false,
        texts: false,
        same_lower: false,
        same_numbers: false,
    }
}

fn between_with(a: Builder, b: Builder, options: &Options) -> Difference {
    compare(&tree(a), &tree(b), options, &|| true).unwrap()
}

fn between(a: Builder, b: Builder) -> Difference {
    between_with(a, b, &options())
}

/// Files as `+path`, `-path` and `~path: aspects`.
fn files(found: &Difference) -> Vec<String> {
    let show = |file: &FileChange| {
        let path = escape::bytes(&file.path);
        let aspects: Vec<_> = file.aspects.iter().map(|aspect| aspect.name()).collect();
        match (&file.before, &file.after) {
            (None, _) => format!("+{path}"),
            (_, None) => format!("-{path}"),
            _ => format!("~{path}: {}", aspects.join(" ")),
        }
    };
    found.files.iter().map(show).collect()
}

fn base() -> Builder {
    MemoryLower::builder()
        .file("etc/hostname", "one\n")
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        .file("usr/bin/tool", "tool")
        .symlink("bin", "usr/bin")
        .special("dev/null", FileKind::CharDevice, 0x103)
}

#[test]
fn a_system_is_the_same_as_itself() {
    assert_eq!(between(base(), base()), Difference::default());
}

#[test]
fn every_way_in_which_a_file_can_differ_is_told() {
    let common = || {
        MemoryLower::builder()
            .file("content", "12345")
            .file("mode", "")
            .file("owner", "")
            .file("time", "")
            .file("xattr", "")
            .file("size", "1")
            .symlink("target", "a")
            .special("device", FileKind::BlockDevice, 1)
            .file("d/type", "")
            .file("gone/x/y", "")
            .file("stays-x", "")
    };
    let a = common().xattr("xattr", "user.a", "1");
    let b = MemoryLower::builder()
        .file("content", "12346")
        .file("mode", "")
        .attributes("mode", |attr| attr.permissions = 0o600)
        .file("owner", "")
        .attributes("owner", |attr| attr.gid = 7)
        .file("time", "")
        .attributes("time", |attr| attr.mtime.seconds = 7)
        .file("xattr", "")
        .xattr("xattr", "user.a", "2")
        .file("size", "12")
        .symlink("target", "b")
        .special("device", FileKind::BlockDevice, 2)
        .directory("d/type")
        .file("d/type/inside", "")
        .file("new/x", "")
        .file("stays-x", "");
    let expected = [
        "~content: content",
        "~d/type: type mode",
        "+d/type/inside",
        "~device: device",
        "-gone",
        "-gone/x",
        "-gone/x/y",
        "~mode: mode",
        "+new",
        "+new/x",
        "~owner: owner",
        "~size: content",
        "~target: target",
        "~xattr: attributes",
    ];
    let found = between(common().xattr("xattr", "user.a", "1"), b);
    assert_eq!(files(&found), expected);
    let times = Options {
        times: true,
        ..options()
    };
    let b = common()
        .xattr("xattr", "user.a", "1")
        .attributes("time", |attr| attr.mtime.seconds = 7);
    assert_eq!(files(&between_with(a, b, &times)), ["~time: time"]);
}

#[test]
fn hard_links_are_compared_by_which_names_are_one_file() {
    let linked = || {
        MemoryLower::builder()
            .file("a", "x")
            .hard_link("a", "b")
            .file("c", "x")
    };
    let otherwise = MemoryLower::builder()
        .file("a", "x")
        .file("b", "x")
        .hard_link("b", "c");
    assert_eq!(files(&between(linked(), linked())), [""; 0]);
    assert_eq!(
        files(&between(linked(), otherwise)),
        ["~b: links", "~c: links"]
    );
    let without = MemoryLower::builder().file("b", "x").file("c", "x");
    assert_eq!(files(&between(linked(), without)), ["-a", "~b: links"]);
}

#[test]
fn huge_holes_are_not_read() {
    let hole = |data: &[(u64, &[u8])]| MemoryLower::builder().sparse_file("f", 1 << 50, data);
    let data: &[(u64, &[u8])] = &[(1 << 40, b"here"), (1 << 49, b"there")];
    assert!(between(hole(data), hole(data)).is_empty());
    assert!(between(hole(&[]), hole(&[])).is_empty());
    let other: &[(u64, &[u8])] = &[(1 << 40, b"here"), (1 << 49, b"Where")];
    assert_eq!(files(&between(hole(data), hole(other))), ["~f: content"]);
    // A range of zeros and a hole read alike.
    let zeros: &[(u64, &[u8])] = &[(1 << 40, b"\0\0")];
    assert!(between(hole(zeros), hole(&[])).is_empty());
}

/// A store above `lower`, in its own directory.
fn above(lower: &Arc<MemoryLower>) -> (TempDir, Overlay) {
    let temp = TempDir::new().unwrap();
    let root = wpar_mountd::source::root_of(&**lower).unwrap();
    let store = UpperStore::open(temp.path(), &root, lower.first_free()).unwrap();
    let lower: Arc<dyn LowerLayer> = Arc::clone(lower) as _;
    (temp, Overlay::new(lower, Some(store)))
}

fn of_same_lower() -> Options {
    Options {
        same_lower: true,
        ..options()
    }
}

#[test]
fn a_copy_differs_from_its_source_by_what_is_in_its_store() {
    let lower = Arc::new(base().file("usr/share/doc/big", "big").build().unwrap());
    let source = Overlay::new(Arc::clone(&lower) as _, None);
    let (_temp, copy) = above(&lower);
    let changed = || {
        let found = compare(&source, &copy, &of_same_lower(), &|| true).unwrap();
        let slow = compare(&source, &copy, &options(), &|| true).unwrap();
        assert_eq!(found, slow, "what is skipped is the same");
        files(&found)
    };
    assert_eq!(changed(), [""; 0]);
    copy.write_path(b"usr/bin/tool", b"tool", 0o755).unwrap();
    assert_eq!(changed(), [""; 0], "written, and the same");
    copy.write_path(b"bin/tool", b"more", 0o755).unwrap();
    copy.write_path(b"etc/new", b"", 0o644).unwrap();
    copy.remove_path(b"usr/share/doc/big").unwrap();
    assert_eq!(
        changed(),
        ["+etc/new", "~usr/bin/tool: content", "-usr/share/doc/big"]
    );
}

#[test]
fn a_file_changed_under_its_other_name_is_not_missed() {
    let lower = MemoryLower::builder()
        .file("one/a", "x")
        .hard_link("one/a", "two/b");
    let lower = Arc::new(lower.build().unwrap());
    let source = Overlay::new(Arc::clone(&lower) as _, None);
    let (_temp, copy) = above(&lower);
    copy.write_path(b"one/a", b"y", 0o644).unwrap();
    let found = compare(&source, &copy, &of_same_lower(), &|| true).unwrap();
    assert_eq!(files(&found), ["~one/a: content", "~two/b: content"]);
}

#[test]
fn the_end_can_be_asked_for() {
    let (a, b) = (tree(base()), tree(base()));
    let ended = compare(&a, &b, &options(), &|| false);
    assert!(matches!(ended, Err(DiffError::Interrupted)));
}

#[test]
fn a_deep_tree_is_walked_without_a_stack() {
    let deep = |end: &str| {
        let path = "d/".repeat(1500) + end;
        MemoryLower::builder().file(path, "x")
    };
    let found = between(deep("a"), deep("b"));
    assert_eq!(found.files.len(), 2);
}

#[test]
fn accounts_are_told_and_passwords_are_not() {
    let a = MemoryLower::builder()
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n\
             old:x:9:9::/:/bin/false\nsame:x:5:5::/:\n# comment\n\nbroken\n",
        )
        .file("etc/group", "wheel:x:10:ann\nold:x:9:\n")
        .file(
            "etc/shadow",
            "root:$6$secretA:1::::::\nann:!:1::::::\nsame:$6$x:::::::\n",
        );
    let b = MemoryLower::builder()
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n\
             new:x:9:9:N \x1b[2J:/:/bin/false\nsame:x:5:5::/:\nbroken\n",
        )
        .file("etc/group", "wheel:x:10:ann,bob\n")
        .file(
            "etc/shadow",
            "root:$6$secretB:1::::::\nann:$6$open:1::::::\nsame:$6$x:::::::\n",
        );
    let found = between(a, b);
    let shown: Vec<_> = found
        .users
        .iter()
        .map(|user| {
            let name = escape::bytes(&user.name);
            let fields: Vec<_> = user.fields.iter().map(|field| field.name).collect();
            let password = user.password.map(|password| password.describe());
            let there = (user.before, user.after);
            format!(
                "{} {name} {there:?} {} {password:?}",
                user.kind,
                fields.join(",")
            )
        })
        .collect();
    let expected = [
        "user ann (true, true)  Some(\"password unlocked\")",
        "user new (false, true) uid,gid,comment,home,shell None",
        "user old (true, false) uid,gid,comment,home,shell None",
        "user root (true, true) shell Some(\"password changed\")",
        "group old (true, false) gid,members None",
        "group wheel (true, true) members None",
    ];
    assert_eq!(shown, expected);
    assert!(!format!("{found:?}").contains("secret"), "a hash is told");
}

#[test]
fn services_of_three_managers_are_told() {
    let systemd = || {
        MemoryLower::builder()
            .symlink("sbin/init", "/lib/systemd/systemd")
            .file("lib/systemd/systemd", "")
            .symlink("etc/rc2.d/S01ignored", "../init.d/ignored")
    };
    let wants = "etc/systemd/system/multi-user.target.wants";
    let a = systemd()
        .symlink(
            format!("{wants}/cron.service"),
            "/lib/systemd/system/cron.service",
        )
        .symlink(
            format!("{wants}/ssh.service"),
            "/lib/systemd/system/ssh.service",
        )
        .symlink(
            "etc/systemd/system/default.target",
            "/lib/systemd/system/graphical.target",
        );
    let b = MemoryLower::builder()
        .symlink("sbin/init", "/lib/systemd/systemd")
        .file("lib/systemd/systemd", "")
        .symlink(
            format!("{wants}/ssh.service"),
            "/lib/systemd/system/ssh.service",
        )
        .symlink("etc/systemd/system/cron.service", "/dev/null")
        .symlink("etc/systemd/system/sockets.target.wants/x.socket", "x")
        .symlink("etc/systemd/system/default.target", "../multi-user.target");
    let shown = |found: &Difference| -> Vec<_> {
        let show = |service: &ServiceChange| {
            let state = |side: &Option<String>| side.clone().unwrap_or("-".to_owned());
            let name = escape::bytes(&service.name);
            let (before, after) = (state(&service.before), state(&service.after));
            format!("{} {name}: {before} > {after}", service.manager)
        };
        found.services.iter().map(show).collect()
    };
    assert_eq!(
        shown(&between(a, b)),
        [
            "systemd cron.service: enabled (multi-user.target) > masked",
            "systemd default.target: graphical.target > multi-user.target",
            "systemd x.socket: - > enabled (sockets.target)",
        ]
    );
    let a = MemoryLower::builder()
        .file("sbin/init", "")
        .symlink("etc/rc2.d/S01cron", "../init.d/cron")
        .symlink("etc/rc3.d/S01cron", "../init.d/cron")
        .symlink("etc/runlevels/default/sshd", "/etc/init.d/sshd");
    let b = MemoryLower::builder()
        .file("sbin/init", "")
        .symlink("etc/rc2.d/K01cron", "../init.d/cron")
        .symlink("etc/rc3.d/S20cron", "../init.d/cron");
    assert_eq!(
        shown(&between(a, b)),
        [
            "openrc sshd: enabled (default) > -",
            "sysvinit cron: enabled (2, 3) > enabled (3)",
        ]
    );
}

const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn privileges_gained_lost_and_abused_are_told() {
    let mode = |builder: Builder, path: &str, mode: u16| {
        builder.attributes(path, move |attr| attr.permissions = mode)
    };
    let a = MemoryLower::builder()
        .file("bin/gains", "x")
        .file("bin/loses", "x")
        .file("bin/same", "x")
        .file("bin/trojan", "good")
        .file("bin/cap", "x")
        .directory("spool");
    let a = mode(
        mode(mode(a, "bin/loses", 0o2755), "bin/same", 0o4755),
        "bin/trojan",
        0o4755,
    );
    let b = MemoryLower::builder()
        .file("bin/gains", "x")
        .file("bin/loses", "x")
        .file("bin/same", "x")
        .file("bin/trojan", "evil")
        .file("bin/cap", "x")
        .xattr("bin/cap", "security.capability", NET_RAW)
        .file("bin/new", "x")
        .directory("spool");
    let b = mode(
        mode(mode(b, "bin/gains", 0o4755), "bin/same", 0o4755),
        "bin/trojan",
        0o4755,
    );
    let b = mode(mode(b, "bin/new", 0o6755), "spool", 0o2775);
    let found = between(a, b);
    let shown: Vec<_> = found
        .privileges
        .iter()
        .map(|change| {
            let path = escape::bytes(&change.path);
            (
                path,
                change.before.as_deref(),
                change.after.as_deref(),
                change.contents,
            )
        })
        .collect();
    let (user, group) = (Some("set-user-ID 0"), Some("set-group-ID 0"));
    assert_eq!(
        shown,
        [
            ("bin/cap".to_owned(), None, Some("cap_net_raw=ep"), false),
            ("bin/gains".to_owned(), None, user, false),
            ("bin/loses".to_owned(), group, None, false),
            (
                "bin/new".to_owned(),
                None,
                Some("set-user-ID 0, set-group-ID 0"),
                false
            ),
            ("bin/trojan".to_owned(), user, user, true),
        ]
    );
}

/// A Debian system with one package.
fn debian(version: &str, conffile: &str, digest_of: &str) -> Builder {
    use md5::{Digest as _, Md5};
    let digest: String = Md5::digest(digest_of)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let status = format!(
        "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\
         Conffiles:\n /etc/tool.conf {digest}\n"
    );
    MemoryLower::builder()
        .file("var/lib/dpkg/status", status)
        .file(
            "var/lib/dpkg/info/tool.list",
            "/.\n/bin\n/bin/tool\n/etc/tool.conf\n",
        )
        .symlink("bin", "usr/bin")
        .file("usr/bin/tool", version)
        .file("etc/tool.conf", conffile)
}

#[test]
fn what_a_package_explains_is_told_apart() {
    let a = debian("1.0", "a=1\n", "a=1\n").file("srv/x", "1");
    let b = debian("1.1", "a=1\nb=2\n", "a=1\nb=2\n").file("srv/x", "2");
    let texts = Options {
        texts: true,
        ..options()
    };
    let found = between_with(a, b, &texts);
    assert_eq!(found.packages.len(), 1);
    assert_eq!(found.packages[0].kind, PackageChangeKind::Upgraded);
    let explained: Vec<_> = found
        .files
        .iter()
        .map(|file| {
            (
                escape::bytes(&file.path),
                file.package.as_deref(),
                file.explained,
            )
        })
        .collect();
    assert_eq!(
        explained,
        [
            ("etc/tool.conf".to_owned(), Some("tool"), true),
            ("srv/x".to_owned(), None, false),
            ("usr/bin/tool".to_owned(), Some("tool"), true),
            ("var/lib/dpkg/status".to_owned(), None, true),
        ]
    );
    assert_eq!(found.config.len(), 1);
    let config = &found.config[0];
    let states = (config.before, config.after);
    assert_eq!(
        states,
        (Some(ConfigState::Packaged), Some(ConfigState::Packaged))
    );
    assert_eq!(config.text.as_deref(), Some("@@ -1 +1,2 @@\n a=1\n+b=2"));
}

#[test]
fn a_local_edit_is_no_package_change() {
    let a = debian("1.0", "a=1\n", "a=1\n");
    let b = debian("1.0", "a=2\n", "a=1\n");
    let found = between(a, b);
    assert!(found.packages.is_empty());
    let config = &found.config[0];
    let states = (config.before, config.after);
    assert_eq!(
        states,
        (Some(ConfigState::Packaged), Some(ConfigState::Edited))
    );
    assert_eq!(config.package.as_deref(), Some("tool"));
    assert_eq!(config.text, None, "not asked for");
    assert!(!found.files[0].explained);
}

#[test]
fn texts_that_are_not_for_all_are_not_shown() {
    let with = |path: &'static str, text: &str, mode: u16| {
        let builder = MemoryLower::builder().file(path, text);
        builder.attributes(path, move |attr| attr.permissions = mode)
    };
    let texts = Options {
        texts: true,
        ..options()
    };
    for (path, before, after, modes, is_shown) in [
        ("etc/open.conf", "a\n", "b\n", (0o644, 0o644), true),
        ("etc/secret", "a\n", "b\n", (0o600, 0o600), false),
        ("etc/opened", "a\n", "b\n", (0o600, 0o644), false),
        ("etc/binary", "a\0\n", "b\n", (0o644, 0o644), false),
    ] {
        let found = between_with(
            with(path, before, modes.0),
            with(path, after, modes.1),
            &texts,
        );
        assert_eq!(found.config.len(), 1, "{path}");
        assert_eq!(found.config[0].text.is_some(), is_shown, "{path}");
    }
    let evil = between_with(
        with("etc/x", "a\n", 0o644),
        with("etc/x", "\x1b]0;evil\x07\n", 0o644),
        &texts,
    );
    let text = evil.config[0].text.clone().unwrap();
    assert_eq!(text, "@@ -1 +1 @@\n-a\n+\\u{1b}]0;evil\\u{7}");
}

#[test]
fn what_a_system_is_known_by_is_told_without_secrets() {
    let a = MemoryLower::builder()
        .file("etc/hostname", "one\n")
        .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .symlink("etc/localtime", "/usr/share/zoneinfo/Europe/Vienna")
        .file("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAA")
        .file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
    let b = MemoryLower::builder()
        .file("etc/hostname", "two\n")
        .file("etc/machine-id", "fedcba9876543210fedcba9876543210\n")
        .symlink("etc/localtime", "../usr/share/zoneinfo/UTC")
        .file("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAA")
        .file("etc/os-release", "ID=debian\nVERSION_ID=13\n");
    let found = between(a, b).identity;
    let shown: Vec<_> = found
        .iter()
        .map(|change| {
            (
                &*change.what,
                change.before.as_deref(),
                change.after.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("system", Some("debian 12"), Some("debian 13")),
            ("hostname", Some("one"), Some("two")),
            ("machine-id", Some("set"), Some("set")),
            ("timezone", Some("Europe/Vienna"), Some("UTC")),
            ("ssh_host_ed25519_key.pub", None, Some("set")),
            ("ssh_host_rsa_key.pub", Some("set"), None),
        ]
    );
}

#[test]
fn kernels_are_counted() {
    let a = MemoryLower::builder()
        .file("boot/vmlinuz-6.1", "")
        .directory("usr/lib/modules/6.1")
        .symlink("lib", "usr/lib");
    let found = between(a, MemoryLower::builder()).kernels.unwrap();
    assert_eq!((found.before.kernels, found.before.modules), (1, 1));
    assert_eq!((found.after.kernels, found.after.modules), (0, 0));
}

#[test]
fn only_what_is_asked_for_is_told() {
    let only = |section| Options {
        sections: vec![section],
        ..options()
    };
    let (a, b) = (debian("1.0", "a\n", "a\n"), debian("1.1", "b\n", "a\n"));
    let (a, b) = (tree(a), tree(b));
    for section in Section::ALL {
        let found = compare(&a, &b, &only(section), &|| true).unwrap();
        let told = [
            (Section::Packages, !found.packages.is_empty()),
            (Section::Config, !found.config.is_empty()),
            (Section::Files, !found.files.is_empty()),
        ];
        for (told, is_there) in told {
            assert_eq!(
                is_there,
                told == section,
                "{told:?} when {section:?} was asked for"
            );
        }
    }
}

#[test]
fn a_damaged_file_is_a_problem_and_the_rest_is_compared() {
    let lower = Arc::new(base().build().unwrap());
    let (temp, copy) = above(&lower);
    copy.write_path(b"etc/x", b"x", 0o644).unwrap();
    let root = copy.root().unwrap();
    let set = SetAttr {
        permissions: Some(0o700),
        ..SetAttr::default()
    };
    copy.set_attr(root.ino(), &set).unwrap();
    // What the store holds of a file is gone bad.
    let path = temp.path().join("tree/etc/x");
    let record = [0u8; 48];
    rustix::fs::setxattr(&path, "user.wpar", &record, rustix::fs::XattrFlags::empty()).unwrap();
    let source = Overlay::new(lower as _, None);
    let found = compare(&source, &copy, &of_same_lower(), &|| true).unwrap();
    assert_eq!(files(&found), ["~: mode"]);
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    assert!(
        copy.lookup(Ino::ROOT, EntryName::new(b"etc").unwrap())
            .is_ok()
    );
}
