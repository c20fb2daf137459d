//! What kind of system a tree of files is: its distribution and level, its architecture, its init.

use wpar_mountd::error::FsResult;
use wpar_mountd::types::FileKind;

use super::files::Files;

/// Where os-release(5) is, the first one that is there.
pub(super) const OS_RELEASE: [&[u8]; 2] = [b"etc/os-release", b"usr/lib/os-release"];

/// Largest os-release that is read, in bytes.
const OS_RELEASE_MAX: u64 = 64 << 10;

/// Programs whose ELF header tells the architecture: what every system has one of.
const PROGRAMS: [&[u8]; 5] = [
    b"bin/sh",
    b"sbin/init",
    b"usr/bin/env",
    b"bin/busybox",
    b"usr/bin/bash",
];

/// Largest program that is looked at, in bytes.
const PROGRAM_MAX: u64 = 64 << 20;

/// Where inits are, in the kernel's own order.
const INITS: [&[u8]; 3] = [b"sbin/init", b"etc/init", b"bin/init"];

/// Facts about a system. Text is empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFacts {
    /// Distribution (`ID`), such as `debian`.
    pub id: String,
    /// Its release (`VERSION_ID`), such as `12`.
    pub version_id: String,
    /// The release in words (`VERSION`), such as `12 (bookworm)`.
    pub version: String,
    /// The build of a system without releases (`BUILD_ID`).
    pub build_id: String,
    /// Distribution and release in words (`PRETTY_NAME`).
    pub pretty_name: String,
    /// Architecture as `uname -m` names it.
    pub architecture: Option<&'static str>,
    /// What runs as process 1: `systemd`, `sysvinit`, `openrc`, `busybox` or `other`.
    pub init: Option<&'static str>,
}

impl SystemFacts {
    /// Looks at a system.
    ///
    /// # Errors
    /// Those of what its files are in. What is not there is not known.
    pub fn read(files: &dyn Files) -> FsResult<Self> {
        let mut facts = Self {
            architecture: architecture(files)?,
            init: init(files)?,
            ..Self::default()
        };
        facts.read_names(files)?;
        Ok(facts)
    }

    /// Only what os-release says.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn names(files: &dyn Files) -> FsResult<Self> {
        let mut facts = Self::default();
        facts.read_names(files)?;
        Ok(facts)
    }

    fn read_names(&mut self, files: &dyn Files) -> FsResult<()> {
        for place in OS_RELEASE {
            if let Some(text) = files.read(place, OS_RELEASE_MAX)? {
                self.read_os_release(&text);
                break;
            }
        }
        Ok(())
    }

    /// The system in a few words, such as `Debian GNU/Linux 12 (bookworm), x86_64, systemd`.
    pub fn describe(&self) -> String {
        let name = match (self.pretty_name.as_str(), self.id.as_str()) {
            ("", "") => "unknown system".to_owned(),
            ("", id) => format!("{id} {}", self.version_id).trim_end().to_owned(),
            (pretty, _) => pretty.to_owned(),
        };
        let rest = [self.architecture, self.init];
        let words = rest.into_iter().flatten().map(str::to_owned);
        std::iter::once(name)
            .chain(words)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn read_os_release(&mut self, text: &[u8]) {
        for (key, value) in assignments(text) {
            let field = match key.as_str() {
                "ID" => &mut self.id,
                "VERSION_ID" => &mut self.version_id,
                "VERSION" => &mut self.version,
                "BUILD_ID" => &mut self.build_id,
                "PRETTY_NAME" => &mut self.pretty_name,
                _ => continue,
            };
            *field = value;
        }
    }
}

/// The lines `KEY=value` of a file of os-release's form, values without quotes.
fn assignments(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (key, value) = line.trim().split_once('=')?;
        Some((key.to_owned(), unquote(value)))
    })
}

/// The first value of `key` in such a file that is not empty.
pub(crate) fn value(text: &[u8], key: &str) -> Option<String> {
    let mut all = assignments(text);
    let found = all.find(|(known, value)| known == key && !value.is_empty());
    found.map(|(_, value)| value)
}

/// A value of os-release without the shell's quotes.
fn unquote(value: &str) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => plain.extend(letters.next()),
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (letter, _) => plain.push(letter),
        }
    }
    plain
}

fn architecture(files: &dyn Files) -> FsResult<Option<&'static str>> {
    for program in PROGRAMS {
        // A file that is no program, or a damaged one, says nothing; the next one may.
        if let Ok(Some(contents)) = files.read(program, PROGRAM_MAX)
            && let Some(machine) = elf_machine(&contents)
        {
            return Ok(Some(machine));
        }
    }
    Ok(None)
}

/// An architecture that `uname -m` names, if it is one of those that are told apart here.
pub(super) fn known_architecture(machine: &str) -> Option<&'static str> {
    const KNOWN: [&str; 12] = [
        "i686",
        "mips64",
        "mips",
        "ppc",
        "ppc64le",
        "ppc64",
        "s390x",
        "arm",
        "x86_64",
        "aarch64",
        "riscv64",
        "loongarch64",
    ];
    // The kernel tells the kinds of these processors apart.
    let machine = match machine {
        "i386" | "i486" | "i586" => "i686",
        machine if machine.starts_with("armv") => "arm",
        machine => machine,
    };
    KNOWN.into_iter().find(|known| *known == machine)
}

/// The machine of an ELF header (elf(5): `e_ident`, `e_machine`).
fn elf_machine(program: &[u8]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = program else {
        return None;
    };
    let machine: [u8; 2] = program.get(18..20)?.try_into().ok()?;
    let is_little = *order == 1;
    let machine = if is_little {
        u16::from_le_bytes(machine)
    } else {
        u16::from_be_bytes(machine)
    };
    Some(match (machine, class, is_little) {
        (3, ..) => "i686",
        (8, 2, _) => "mips64",
        (8, ..) => "mips",
        (20, ..) => "ppc",
        (21, _, true) => "ppc64le",
        (21, ..) => "ppc64",
        (22, 2, _) => "s390x",
        (40, ..) => "arm",
        (62, ..) => "x86_64",
        (183, ..) => "aarch64",
        (243, 2, _) => "riscv64",
        (258, ..) => "loongarch64",
        _ => return None,
    })
}

fn init(files: &dyn Files) -> FsResult<Option<&'static str>> {
    for place in INITS {
        let Some((path, FileKind::Regular)) = files.real(place)? else {
            continue;
        };
        let name = super::files::split(&path).1;
        let is_there = |path: &[u8]| files.real(path).map(|found| found.is_some());
        return Ok(Some(match name {
            b"systemd" => "systemd",
            b"busybox" | b"busybox.static" => "busybox",
            b"openrc-init" => "openrc",
            b"init" if is_there(b"sbin/openrc")? => "openrc",
            b"init" if is_there(b"etc/inittab")? => "sysvinit",
            _ => "other",
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wpar_mountd::lower::memory::{Builder, MemoryLower};
    use wpar_mountd::overlay::Overlay;

    use super::*;

    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01";

    fn facts(builder: Builder) -> SystemFacts {
        let tree = Overlay::new(Arc::new(builder.build().unwrap()), None);
        SystemFacts::read(&tree).unwrap()
    }

    #[test]
    fn values_of_shell_files() {
        let text = b"# X\nA=1\nNAME=\"a b\"\nEMPTY=\n";
        assert_eq!(value(text, "NAME").as_deref(), Some("a b"));
        assert_eq!(value(text, "A").as_deref(), Some("1"));
        assert_eq!(value(text, "EMPTY"), None);
        assert_eq!(value(text, "X"), None);
    }

    #[test]
    fn a_debian_system_is_known() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        let facts = facts(
            MemoryLower::builder()
                .file("usr/lib/os-release", text)
                .symlink("etc/os-release", "../usr/lib/os-release")
                .symlink("bin", "usr/bin")
                .symlink("sbin", "usr/sbin")
                .symlink("usr/bin/sh", "dash")
                .file("usr/bin/dash", ELF)
                .symlink("usr/sbin/init", "/lib/systemd/systemd")
                .file("lib/systemd/systemd", ELF),
        );
        assert_eq!((&*facts.id, &*facts.version_id), ("debian", "12"));
        assert_eq!(
            facts.describe(),
            "Debian GNU/Linux 12 (bookworm), x86_64, systemd"
        );
    }

    #[test]
    fn a_tree_that_is_no_system_is_unknown() {
        let facts = facts(MemoryLower::builder().file("bin/sh", "#!/bin/true"));
        assert_eq!(facts.describe(), "unknown system");
    }

    #[test]
    fn quotes_are_those_of_the_shell() {
        for (value, plain) in [
            ("plain", "plain"),
            ("\"a b\"", "a b"),
            ("'a \"b\"'", "a \"b\""),
            ("\"a \\\"b\\\" \\$c\"", "a \"b\" $c"),
            ("'open", "open"),
            ("\\", ""),
        ] {
            assert_eq!(unquote(value), plain, "{value}");
        }
    }

    #[test]
    fn inits_are_told_apart() {
        let init = |builder: Builder| facts(builder).init;
        let with = |path: &str| MemoryLower::builder().file("sbin/init", "x").file(path, "");
        assert_eq!(init(with("etc/inittab")), Some("sysvinit"));
        assert_eq!(init(with("sbin/openrc")), Some("openrc"));
        assert_eq!(init(with("etc/x")), Some("other"));
        assert_eq!(init(MemoryLower::builder()), None);
    }
}
