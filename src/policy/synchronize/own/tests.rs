//! Plans for small systems with records as Debian has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::lower::rebased::Fate;
use wpar_mountd::overlay::Overlay;

use super::names::{self, Names};
use super::{Class, Plan, Situation, dpkg, plan};
use crate::model::Level;
use crate::packages::{self, Detail, PackageDatabase};

/// A system: stanzas without status and architecture, paths of packages, other files.
struct System {
    files: Overlay,
    database: PackageDatabase,
    level: Level,
}

/// `NAME VERSION#FIELD: VALUE|...`, and what it owns.
type Stanza<'a> = (&'a str, &'a [&'a str]);

fn system(release: &str, packages: &[Stanza<'_>], more: &[(&str, &str)]) -> System {
    let mut status = String::new();
    let mut builder = MemoryLower::builder()
        .symlink("lib", "usr/lib")
        .directory("usr/lib");
    for (text, paths) in packages {
        let mut parts = text.split('#');
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n\
             Version: {version}\n"
        );
        for part in parts {
            status += &format!("{}\n", part.replace(';', "\n "));
        }
        status.push('\n');
        let mut list = String::from("/.\n");
        for path in *paths {
            list += &format!("/{path}\n");
            let is_directory = paths
                .iter()
                .any(|other| other.starts_with(&format!("{path}/")));
            if !is_directory && !more.iter().any(|(other, _)| other == path) {
                let real = path
                    .strip_prefix("lib/")
                    .map(|rest| format!("usr/lib/{rest}"));
                let real = real.unwrap_or_else(|| (*path).to_owned());
                if *path != "lib" {
                    builder = builder.file(real, format!("{name} {version}"));
                }
            }
        }
        builder = builder.file(format!("var/lib/dpkg/info/{name}.list"), list);
    }
    for (path, contents) in more {
        builder = match contents.strip_prefix("-> ") {
            Some(target) => builder.symlink(path, target),
            None => builder.file(path, contents),
        };
    }
    builder = builder.file("var/lib/dpkg/status", status);
    let files = Overlay::new(Arc::new(builder.build().unwrap()), None);
    let database = packages::read(&files, Detail::Paths).unwrap().unwrap();
    let level = Level {
        id: "debian".to_owned(),
        version_id: release.to_owned(),
        architecture: "x86_64".to_owned(),
        ..Level::default()
    };
    System {
        files,
        database,
        level,
    }
}

struct Case {
    copy: System,
    host: System,
    essential: BTreeSet<String>,
    libraries: BTreeSet<String>,
    ghosts: BTreeSet<(String, String)>,
    borrowed: BTreeSet<(String, String)>,
    force: bool,
}

impl Case {
    fn new(copy: System, host: System) -> Self {
        Self {
            essential: dpkg::essential(&host.files).unwrap(),
            libraries: dpkg::libraries(&copy.files).unwrap(),
            copy,
            host,
            ghosts: BTreeSet::new(),
            borrowed: BTreeSet::new(),
            force: false,
        }
    }

    fn of(copy: &[Stanza<'_>], host: &[Stanza<'_>]) -> Self {
        Self::new(system("11", copy, &[]), system("12", host, &[]))
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            copy: &self.copy.database,
            host: &self.host.database,
            copy_level: &self.copy.level,
            host_level: &self.host.level,
            essential: &self.essential,
            ghosts: &self.ghosts,
            libraries: &self.libraries,
            borrowed: &self.borrowed,
            force: self.force,
        }
    }

    /// The plan in short: `class name` for each package.
    fn short(&self) -> Result<Vec<String>, Vec<String>> {
        let situation = self.situation();
        let plan = plan(&situation)?;
        let word = |class| match class {
            Class::Replaced => "replaced",
            Class::Added => "added",
            Class::Kept => "kept",
            Class::Dropped => "dropped",
        };
        let all = plan.packages.iter().map(|planned| {
            let package = match (planned.host, planned.copy) {
                (Some(at), _) => situation.host.packages.get(at),
                (None, at) => situation.copy.packages.get(at.unwrap()),
            };
            format!("{} {}", word(planned.class), package.unwrap().name)
        });
        Ok(all.collect())
    }

    fn plan(&self) -> Plan {
        plan(&self.situation()).unwrap()
    }

    fn names(&self) -> Names {
        let plan = self.plan();
        let (copy, host) = (&self.copy.files, &self.host.files);
        names::names(&self.situation(), &plan, copy, host).unwrap()
    }

    fn listed(&self) -> BTreeMap<String, Fate> {
        let names = self.names();
        assert_eq!(names.obstacles, [""; 0]);
        let all = names.listed.into_iter();
        all.map(|(path, fate)| (String::from_utf8(path).unwrap(), fate))
            .collect()
    }

    fn records(&self) -> BTreeMap<String, String> {
        let plan = self.plan();
        let listed = self.names().listed;
        let (copy, host) = (&self.copy.files, &self.host.files);
        let records = dpkg::records(&self.situation(), &plan, &listed, copy, host).unwrap();
        let all = records.written.into_iter().map(|file| {
            let path = String::from_utf8(file.path).unwrap();
            (path, String::from_utf8(file.contents).unwrap())
        });
        all.collect()
    }
}

#[test]
fn what_both_have_is_replaced_what_is_needed_added_and_the_rest_stays() {
    let case = Case::of(
        &[
            ("bash 5.1#Depends: libc6", &[]),
            ("libc6 2.31", &[]),
            ("ours 1#Depends: libc6", &[]),
        ],
        &[
            (
                "bash 5.2#Depends: libc6 (>= 2.36), libtinfo6 | libtinfo5",
                &[],
            ),
            ("libc6 2.36", &[]),
            ("libtinfo6 6.4", &[]),
            ("mawk 1#Essential: yes", &[]),
            ("theirs 1", &[]),
        ],
    );
    assert_eq!(
        case.short().unwrap(),
        [
            "replaced bash",
            "replaced libc6",
            "added libtinfo6",
            "added mawk",
            "kept ours"
        ]
    );
}

#[test]
fn what_is_newer_in_the_copy_is_in_the_way_unless_forced() {
    let mut case = Case::of(&[("libc6 2.41", &[])], &[("libc6 2.36", &[])]);
    let told = case.short().unwrap_err();
    assert_eq!(
        told,
        ["libc6 is newer in the copy (2.41) than on the host (2.36)"]
    );
    case.force = true;
    assert_eq!(case.short().unwrap(), ["replaced libc6"]);
}

#[test]
fn another_distribution_or_architecture_is_in_the_way() {
    let mut case = Case::of(&[("a 1", &[])], &[("a 1", &[])]);
    case.copy.level.id = "ubuntu".to_owned();
    case.copy.level.architecture = "aarch64".to_owned();
    let told = case.short().unwrap_err();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("another distribution (ubuntu)"),
        "{told:?}"
    );
}

#[test]
fn what_would_break_is_named() {
    let case = Case::of(
        &[
            ("plugin 1#Depends: server-abi-1", &[]),
            ("server 1#Provides: server-abi-1", &[]),
            ("game 1", &[]),
            ("broken 1#Depends: nothing-has-this", &[]),
        ],
        &[("server 2#Provides: server-abi-2#Breaks: game (<< 2)", &[])],
    );
    let told = case.short().unwrap_err();
    assert_eq!(
        told,
        [
            "plugin 1 (the copy's) needs server-abi-1, which would not be there",
            "server 2 (the host's) cannot be together with game 1 (the copy's)",
        ]
    );
}

/// Of Debian 11 and 12: `libsemanage1` needs the very version of a common part, and `lsb-base` is part
/// of another package now.
#[test]
fn obsolete_libraries_and_what_another_package_provides_go() {
    let case = Case::of(
        &[
            (
                "libsemanage1 3.1#Section: libs#Depends: libsemanage-common (= 3.1)",
                &[],
            ),
            ("libsemanage-common 3.1", &[]),
            ("lsb-base 11.1#Section: misc", &[]),
            ("sysvinit-utils 2", &[]),
        ],
        &[
            ("libsemanage-common 3.4", &[]),
            (
                "sysvinit-utils 3#Provides: lsb-base (= 11.6)#Replaces: lsb-base (<< 11.6)#Breaks: lsb-base (<< 11.6)",
                &[],
            ),
        ],
    );
    assert_eq!(
        case.short().unwrap(),
        [
            "replaced libsemanage-common",
            "dropped libsemanage1",
            "dropped lsb-base",
            "replaced sysvinit-utils",
        ]
    );
}

#[test]
fn a_library_that_something_needs_does_not_go() {
    let case = Case::of(
        &[
            ("libx1 1#Section: libs#Depends: libx-common (= 1)", &[]),
            ("libx-common 1", &[]),
            ("ours 1#Depends: libx1", &[]),
        ],
        &[("libx-common 2", &[])],
    );
    let told = case.short().unwrap_err();
    assert!(
        told.iter().any(|line| line.starts_with("ours 1 ")),
        "{told:?}"
    );
}

#[test]
fn ghosts_stay_and_what_the_host_has_lost_is_in_the_way() {
    let mut case = Case::of(
        &[("mdadm 4.1", &[]), ("a 1", &[])],
        &[("mdadm 4.2", &[]), ("b 1", &[])],
    );
    case.ghosts.insert(("mdadm".to_owned(), "amd64".to_owned()));
    assert_eq!(case.short().unwrap(), ["kept a", "kept mdadm"]);
    case.borrowed.insert(("a".to_owned(), "amd64".to_owned()));
    let told = case.short().unwrap_err();
    assert!(
        told[0].starts_with("a came from the host, which does not have it"),
        "{told:?}"
    );
}

#[test]
fn names_come_and_go_with_their_packages() {
    let case = Case::of(
        &[
            (
                "libz1 1#Conffiles:; /etc/z.conf 11",
                &["lib", "lib/libz.so.1.1", "usr/share/doc/z", "etc/z.conf"],
            ),
            ("ours 1", &["usr/bin/ours"]),
        ],
        &[
            (
                "libz1 2#Conffiles:; /etc/z.conf 22",
                &["lib", "lib/libz.so.1.2", "usr/share/doc/z", "etc/z.conf"],
            ),
            ("theirs 1", &["usr/bin/theirs"]),
        ],
    );
    let expected = [
        ("usr/lib/libz.so.1.1", Fate::Gone),
        ("usr/lib/libz.so.1.2", Fate::Taken),
        ("usr/share/doc/z", Fate::Taken),
    ];
    let expected = expected.map(|(path, fate)| (path.to_owned(), fate));
    assert_eq!(
        case.listed(),
        BTreeMap::from(expected),
        "no configuration, and not the link /lib"
    );
}

/// In Debian 12 the directories of `zoneinfo/posix` are links: nothing of the old ones is left.
#[test]
fn a_link_takes_the_place_of_a_directory_that_is_left_empty() {
    let zone = |more: &[(&str, &str)]| {
        Case::new(
            system(
                "11",
                &[("tzdata 1", &["posix/Africa", "posix/Africa/Abidjan"])],
                &[&[("posix/Africa/Abidjan", "tz")][..], more].concat(),
            ),
            system(
                "12",
                &[("tzdata 2", &["Africa/Abidjan", "posix/Africa"])],
                &[("posix/Africa", "-> ../Africa")],
            ),
        )
    };
    let case = zone(&[]);
    let expected = [
        ("Africa/Abidjan", Fate::Taken),
        ("posix/Africa", Fate::Taken),
    ];
    let expected = expected.map(|(path, fate)| (path.to_owned(), fate));
    assert_eq!(case.listed(), BTreeMap::from(expected));
    let case = zone(&[("posix/Africa/Ours", "tz")]);
    let names = case.names();
    assert_eq!(names.listed.get(&b"posix/Africa"[..]), None);
    assert_eq!(names.notes.len(), 1, "{:?}", names.notes);
}

#[test]
fn a_file_of_what_stays_is_not_taken_over() {
    let case = Case::of(
        &[("a 1", &[]), ("ours 1", &["usr/bin/tool"])],
        &[("a 2", &["usr/bin/tool"])],
    );
    let told = case.names().obstacles;
    assert_eq!(
        told,
        ["/usr/bin/tool is of ours in the copy, and of a on the host"]
    );
}

#[test]
fn a_system_without_merged_usr_is_told() {
    let copy = MemoryLower::builder().file("bin/sh", "").file(
        "var/lib/dpkg/status",
        "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
    );
    let files = Overlay::new(Arc::new(copy.build().unwrap()), None);
    let database = packages::read(&files, Detail::Paths).unwrap().unwrap();
    let mut case = Case::new(
        system("11", &[], &[]),
        system(
            "12",
            &[("a 2", &[])],
            &[("bin", "-> usr/bin"), ("usr/bin/sh", "")],
        ),
    );
    case.copy.files = files;
    case.copy.database = database;
    let told = case.names().obstacles;
    assert!(told[0].contains("install usrmerge"), "{told:?}");
}

/// Digests of `one` and `two`, by md5sum.
const ONE: &str = "f97c5d29941bfb1b2fdab0874906ab82";
const TWO: &str = "b8a9f715dbb64fd5c56e7783c6820a61";

#[test]
fn configuration_that_nobody_changed_is_renewed_and_the_rest_is_left_to_dpkg() {
    let stanza = |version, digest| {
        format!(
            "a {version}#Conffiles:; /etc/plain {digest}; /etc/ours {digest}; /etc/away {digest}"
        )
    };
    let own = stanza("1", ONE);
    let theirs = stanza("2", TWO) + &format!("; /etc/new {TWO}");
    let case = Case::new(
        system(
            "11",
            &[(&own, &[])],
            &[("etc/plain", "one"), ("etc/ours", "changed")],
        ),
        system(
            "12",
            &[(&theirs, &[])],
            &[
                ("etc/plain", "two"),
                ("etc/ours", "two"),
                ("etc/away", "two"),
                ("etc/new", "two"),
            ],
        ),
    );
    let records = case.records();
    assert_eq!(records["etc/plain"], "two");
    assert_eq!(records["etc/new"], "two");
    assert_eq!(records["etc/ours.dpkg-new"], "two");
    assert!(!records.contains_key("etc/ours") && !records.contains_key("etc/away"));
    let status = &records["var/lib/dpkg/status"];
    assert!(status.contains("Status: install ok unpacked\n"), "{status}");
    assert!(status.contains("Config-Version: 1\n"), "{status}");
    for line in [
        format!(" /etc/plain {TWO}\n"),
        format!(" /etc/ours {ONE}\n"),
        format!(" /etc/away {TWO}\n"),
    ] {
        assert!(status.contains(&line), "no {line} in {status}");
    }
}

/// `/etc/login.defs` is of `login` in Debian 12, and of a package of its own in 13.
#[test]
fn a_configuration_file_that_moves_to_another_package_is_still_unchanged() {
    let own = format!("login 1#Conffiles:; /etc/login.defs {ONE}");
    let new = format!("login.defs 2#Conffiles:; /etc/login.defs {TWO}");
    let case = Case::new(
        system("12", &[(&own, &[])], &[("etc/login.defs", "one")]),
        system(
            "13",
            &[("login 2#Depends: login.defs", &[]), (&new, &[])],
            &[("etc/login.defs", "two")],
        ),
    );
    let records = case.records();
    assert_eq!(records["etc/login.defs"], "two");
    let status = &records["var/lib/dpkg/status"];
    assert!(
        status.contains(&format!(" /etc/login.defs {TWO}\n")),
        "{status}"
    );
    assert!(!status.contains("obsolete"), "{status}");
}

#[test]
fn what_the_host_changed_is_not_given_away_as_the_packages() {
    let own = format!("a 1#Conffiles:; /etc/plain {ONE}");
    let theirs = format!("a 2#Conffiles:; /etc/plain {TWO}");
    let case = Case::new(
        system("11", &[(&own, &[])], &[("etc/plain", "one")]),
        system(
            "12",
            &[(&theirs, &[])],
            &[("etc/plain", "a secret of the host")],
        ),
    );
    let records = case.records();
    assert!(!records.contains_key("etc/plain") && !records.contains_key("etc/plain.dpkg-new"));
    assert!(records["var/lib/dpkg/status"].contains(&format!(" /etc/plain {ONE}\n")));
}

#[test]
fn records_of_what_is_the_same_stay_as_they_are() {
    let case = Case::of(
        &[("a 1", &["usr/bin/a"]), ("b 1", &[])],
        &[("a 1", &["usr/bin/a"]), ("b 2", &[])],
    );
    let status = case.records()["var/lib/dpkg/status"].clone();
    let own = case
        .copy
        .files
        .read_path(b"var/lib/dpkg/status")
        .unwrap()
        .unwrap();
    let first = |text: &str| text.split("\n\n").next().unwrap().to_owned();
    assert_eq!(first(&status), first(&String::from_utf8(own).unwrap()));
    assert!(
        status.contains("Package: b\nStatus: install ok unpacked\n"),
        "{status}"
    );
    assert!(!case.records().contains_key("var/lib/dpkg/info/a.list"));
}

/// A first start that was killed left its `policy-rc.d`, and no service was ever started again by an
/// installation.
#[test]
fn what_keeps_services_from_starting_goes_with_the_run_after_a_killed_one() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    let place = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let policy = place.path().join("policy-rc.d");
    let is_there = format!("#!/bin/sh\n[ -x {} ]\n", policy.display());
    for (name, text) in [("dpkg", &is_there[..]), ("ldconfig", "#!/bin/sh\n")] {
        program(name, text);
    }
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    let run = |killed: bool| {
        let mut text = dpkg::SCRIPT.replace("/usr/sbin/policy-rc.d", policy.to_str().unwrap());
        if killed {
            text = text.replace("dpkg --configure", "kill -9 $$; dpkg --configure");
        }
        let script = program("script", &text);
        let status = Command::new("sh").arg(&script).env("PATH", &path).status();
        assert_eq!(status.unwrap().success(), !killed);
        assert_eq!(script.exists(), killed, "it runs once");
    };
    run(true);
    assert!(policy.exists());
    run(false);
    assert!(!policy.exists());
    fs::write(&policy, "#!/bin/sh\nexit 104\n").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).unwrap();
    run(false);
    assert!(policy.exists(), "the administrator's own stays");
}
