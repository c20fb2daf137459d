//! The root part of a small Debian, of which people and programs have made use.

use super::*;
use crate::model::{CopyControls, Hostname};
use crate::packages::{self, Detail};
use crate::policy::system_copy::fake_tree::FakeTree;

const STATUS: &str = "Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4\n\n\
Package: cron\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0\n\
Conffiles:\n /etc/crontab 900150983cd24fb0d6963f7d28e17f72\n /etc/default/cron 900150983cd24fb0d6963f7d28e17f72\n\n\
Package: initramfs-tools\nStatus: install ok installed\nArchitecture: all\nVersion: 0.142\n\
Conffiles:\n /etc/initramfs-tools/initramfs.conf 900150983cd24fb0d6963f7d28e17f72\n\n\
Package: openssh-server\nStatus: install ok installed\nArchitecture: amd64\nVersion: 9.2\n\n\
Package: old\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\
Conffiles:\n /etc/old.conf 900150983cd24fb0d6963f7d28e17f72\n";

fn host() -> FakeTree {
    FakeTree::new(&[
        ("bin", "->usr/bin"),
        ("lib", "->usr/lib"),
        ("srv/site/index.html", "theirs"),
        ("data/", ""),
        ("usr/bin/vim", "x"),
        ("usr/local/bin/site", "x"),
        ("usr/sbin/cron", "x"),
        ("usr/lib/systemd/system/cron.service", "x"),
        ("usr/share/base-files/profile", "master"),
        ("var/lib/dpkg/status", STATUS),
        (
            "var/lib/dpkg/info/base-files.list",
            "/.\n/etc\n/var/log\n/home\n/etc/issue\n/root\n",
        ),
        (
            "var/lib/dpkg/info/cron.list",
            "/.\n/etc/crontab\n/etc/default/cron\n/etc/init.d/cron\n/usr/sbin/cron\n\
             /lib/systemd/system/cron.service\n/var/spool/cron\n/var/log/cron.log\n/etc/gone\n",
        ),
        (
            "var/lib/dpkg/info/initramfs-tools.list",
            "/.\n/etc/initramfs-tools\n/etc/initramfs-tools/initramfs.conf\n",
        ),
        (
            "var/lib/dpkg/info/openssh-server.list",
            "/.\n/etc/ssh\n/etc/ssh/ssh_host_rsa_key\n",
        ),
        ("var/lib/dpkg/info/old.list", "/etc/old.conf\n"),
        (
            "var/lib/ucf/registry",
            "openssh-server \t /etc/ssh/sshd_config\nunknown /etc/ssh/other\n",
        ),
        (
            "var/lib/ucf/hashfile",
            "900150983cd24fb0d6963f7d28e17f72  /etc/ssh/sshd_config\n",
        ),
        ("etc/issue", "Debian"),
        ("etc/crontab", "abc"),
        ("etc/default/cron", "changed here"),
        ("etc/init.d/cron", "x"),
        ("etc/old.conf", "abc"),
        ("etc/initramfs-tools/initramfs.conf", "abc"),
        ("etc/ssh/sshd_config", "changed here"),
        ("etc/ssh/other", "x"),
        ("etc/ssh/ssh_host_rsa_key", "secret"),
        ("etc/mine.conf", "custom"),
        ("etc/profile", "custom"),
        ("etc/shells", "/bin/sh\n"),
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n",
        ),
        ("etc/alternatives/editor", "->/usr/bin/vim"),
        ("etc/alternatives/site", "->/usr/local/bin/site"),
        ("etc/rc2.d/S01cron", "->../init.d/cron"),
        ("etc/rc2.d/S01mine", "->../mine.conf"),
        (
            "etc/systemd/system/multi-user.target.wants/cron.service",
            "->/lib/systemd/system/cron.service",
        ),
        ("etc/systemd/system/masked.service", "->/dev/null"),
        ("home/anna/.ssh/id", "secret"),
        ("var/log/cron.log", "log"),
        ("var/spool/cron/anna", "job"),
        ("dev/null", ""),
    ])
}

fn plan_of(files: &FakeTree) -> RootPart {
    let database = packages::read(files, Detail::Paths).unwrap();
    let situation = Situation {
        files,
        of_running_system: true,
        controls: CopyControls::default(),
        hostname: &Hostname::new("fresh").unwrap(),
        private_lists: &[],
        resolver: None,
    };
    plan(&situation, database.as_ref()).unwrap()
}

#[test]
fn what_packages_brought_is_taken_and_nothing_else() {
    let part = plan_of(&host());
    let is = |path: &str, what: RootWhat| {
        assert_eq!(
            part.items.get(path).map(|item| &item.what),
            Some(&what),
            "{path}"
        );
    };
    for path in [
        "bin",
        "lib",
        "etc/issue",
        "etc/crontab",
        "etc/default/cron",
        "etc/init.d/cron",
        "etc/ssh/sshd_config",
        "etc/shells",
        "etc/alternatives/editor",
        "etc/rc2.d/S01cron",
        "etc/systemd/system/multi-user.target.wants/cron.service",
    ] {
        is(path, RootWhat::Same);
    }
    for path in [
        "etc",
        "home",
        "root",
        "srv",
        "tmp",
        "var/log",
        "var/spool/cron",
        "etc/rc2.d",
        "etc/systemd/system/multi-user.target.wants",
        "etc/ssh",
    ] {
        is(path, RootWhat::Directory);
    }
    is(
        "etc/profile",
        RootWhat::Other("usr/share/base-files/profile".to_owned()),
    );
    is(
        "etc/passwd",
        RootWhat::File(b"root:x:0:0::/root:/bin/sh\n".to_vec()),
    );
    for path in [
        "data",
        "home/anna",
        "srv/site",
        "etc/mine.conf",
        "etc/old.conf",
        "etc/gone",
        "etc/ssh/ssh_host_rsa_key",
        "etc/ssh/other",
        "etc/alternatives/site",
        "etc/rc2.d/S01mine",
        "etc/systemd/system/masked.service",
        "var/log/cron.log",
        "var/spool/cron/anna",
        "etc/initramfs-tools",
        "usr",
        "lib/systemd/system/cron.service",
    ] {
        assert_eq!(part.items.get(path), None, "{path}");
    }
}

#[test]
fn a_directory_comes_before_what_is_in_it() {
    let part = plan_of(&host());
    for path in part.items.keys() {
        if let Some((above, _)) = path.rsplit_once('/') {
            assert!(part.items.contains_key(above), "{path}");
        }
    }
}

#[test]
fn changed_configuration_is_taken_with_a_note() {
    let part = plan_of(&host());
    assert!(
        part.notes
            .iter()
            .any(|note| note.ends_with(": /etc/default/cron")),
        "{:?}",
        part.notes
    );
    assert!(
        part.notes
            .iter()
            .any(|note| note.ends_with(": /etc/ssh/sshd_config")),
        "{:?}",
        part.notes
    );
    assert_eq!(part.notes.len(), 2, "{:?}", part.notes);
}

#[test]
fn what_is_on_record_is_what_is_visible() {
    let part = plan_of(&host());
    let names: Vec<_> = part
        .synced
        .packages
        .iter()
        .map(SyncedPackage::key)
        .collect();
    assert_eq!(
        names,
        ["base-files:amd64", "cron:amd64", "openssh-server:amd64"]
    );
    let cron = &part.synced.packages[1];
    assert_eq!(
        cron.config["etc/crontab"],
        "md5:900150983cd24fb0d6963f7d28e17f72"
    );
    let ssh = &part.synced.packages[2];
    let changed = Digest::sha256(b"changed here").to_string();
    assert_eq!(ssh.config["etc/ssh/sshd_config"], changed);
    assert_eq!(
        cron.config["etc/default/cron"], changed,
        "what the WPAR got"
    );
    assert!(
        part.synced
            .made
            .contains(&"etc/alternatives/editor".to_owned())
    );
    assert!(!part.synced.made.contains(&"etc/issue".to_owned()));
}

#[test]
fn without_packages_there_is_what_every_system_has() {
    let files = FakeTree::new(&[("usr/bin/sh", "x"), ("bin", "->usr/bin"), ("etc/mine", "x")]);
    let part = plan_of(&files);
    assert!(part.items.contains_key("bin") && part.items.contains_key("var/tmp"));
    assert!(!part.items.contains_key("etc/mine") && part.notes.len() == 1);
}
