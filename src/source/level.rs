//! Reading the level of a system, and what this host offers to another one.
//!
//! What a system asks for is read from the C library that its shell uses, not from package data
//! bases: every system has one, whoever made it.

use std::path::Path;

use wpar_mountd::error::FsResult;
use wpar_mountd::types::FileKind;

use super::below::Below;
use super::elf;
use super::files::{Files, join, split};
use super::os_release::SystemFacts;
use crate::model::Level;
use crate::model::abi::{self, Abi, HostAbi};

/// Largest text file that is read, in bytes.
const TEXT_MAX: u64 = 64 << 10;

/// Largest program or library that is looked at, in bytes.
const LIBRARY_MAX: u64 = 32 << 20;

/// What is known of the systemd of a system whose init it is and that has no library of the name
/// that came with version 231.
const SYSTEMD_OLD: u32 = 230;

/// Files that tell distribution and release where there is no os-release, as words in them.
const RELEASE_FILES: [(&[u8], &str); 5] = [
    (b"etc/alpine-release", "alpine"),
    (b"etc/debian_version", "debian"),
    (b"etc/redhat-release", "rhel"),
    (b"etc/SuSE-release", "suse"),
    (b"etc/arch-release", "arch"),
];

/// Reads the level of a system. What is damaged or missing is not known.
///
/// # Errors
/// Those of what the files are in.
pub fn read(files: &dyn Files) -> FsResult<Level> {
    let facts = SystemFacts::read(files)?;
    let mut level = release(files, &facts)?;
    level.abi = read_abi(files, &facts)?;
    Ok(level)
}

/// The level without what its programs ask for.
fn release(files: &dyn Files, facts: &SystemFacts) -> FsResult<Level> {
    let mut level = Level {
        id: facts.id.clone(),
        version_id: facts.version_id.clone(),
        architecture: facts.architecture.unwrap_or_default().to_owned(),
        point: point(files, facts)?,
        built: built(files, facts)?,
        abi: Abi::default(),
    };
    if level.id.is_empty() {
        by_release_file(files, &mut level)?;
    }
    Ok(level.cleaned())
}

/// The level of this host, without what its programs ask for: they run.
///
/// # Errors
/// As [`read`].
pub fn host() -> FsResult<Level> {
    let files = Below::open(Path::new("/"))?;
    let mut facts = SystemFacts::names(&files)?;
    facts.architecture = super::os_release::known_architecture(&machine());
    release(&files, &facts)
}

fn machine() -> String {
    rustix::system::uname()
        .machine()
        .to_string_lossy()
        .into_owned()
}

fn text(files: &dyn Files, path: &[u8]) -> Option<String> {
    let bytes = files.read(path, TEXT_MAX).ok().flatten()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The release with its point level: what begins with the release's own numbers.
fn point(files: &dyn Files, facts: &SystemFacts) -> FsResult<String> {
    let release = facts.version_id.as_str();
    let candidates = [
        text(files, b"etc/debian_version"),
        first_version(&facts.version),
        text(files, b"etc/alpine-release"),
    ];
    let more = |text: &String| {
        let rest = text.strip_prefix(release);
        !release.is_empty() && rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let found = candidates.into_iter().flatten().find(more);
    Ok(found.unwrap_or_else(|| release.to_owned()))
}

/// The first word of `text` that is a version.
fn first_version(text: &str) -> Option<String> {
    let version = |word: &&str| {
        word.starts_with(|letter: char| letter.is_ascii_digit())
            && word
                .chars()
                .all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    text.split_whitespace().find(version).map(str::to_owned)
}

/// When the release was built. A rolling one names a day, or nothing of use.
fn built(files: &dyn Files, facts: &SystemFacts) -> FsResult<Option<i64>> {
    if facts.version_id.is_empty()
        && let Some(day) = day(&facts.build_id)
    {
        return Ok(Some(day));
    }
    for path in super::os_release::OS_RELEASE {
        if let Some(time) = files.modified(path)? {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// Seconds since 1970 of a day that is written as `20260131` or `2026-01-31`.
fn day(text: &str) -> Option<i64> {
    let digits: String = text
        .chars()
        .filter(|letter| *letter != '-')
        .take(8)
        .collect();
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = digits.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let written = format!("{year}-{month}-{day}T00:00:00Z");
    let time = humantime::parse_rfc3339(&written).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn by_release_file(files: &dyn Files, level: &mut Level) -> FsResult<()> {
    for (path, id) in RELEASE_FILES {
        if files.real(path)?.is_none() {
            continue;
        }
        let version = text(files, path)
            .and_then(|text| first_version(&text))
            .unwrap_or_default();
        // Debian and Red Hat count releases by the first number; there was no os-release when
        // others did.
        let parts = if id == "alpine" { 3 } else { 1 };
        let release: Vec<_> = version.split('.').take(parts).collect();
        level.id = id.to_owned();
        level.version_id = release.join(".");
        level.point = version;
        level.built = files.modified(path)?;
        break;
    }
    Ok(())
}

/// What the programs of a system ask for.
fn read_abi(files: &dyn Files, facts: &SystemFacts) -> FsResult<Abi> {
    let mut abi = Abi::default();
    // A shell that cannot be read says nothing; the rest of the level is worth knowing.
    let shell = files
        .read(b"bin/sh", LIBRARY_MAX)
        .ok()
        .flatten()
        .unwrap_or_default();
    let shell = elf::facts(&shell);
    (abi.kernel, abi.isa) = (shell.kernel, shell.isa);
    let mut libraries = None;
    if let Some(interpreter) = shell.interpreter
        && let Some((loader, FileKind::Regular)) = files.real(&interpreter)?
    {
        let (dir, name) = split(&loader);
        abi.musl = name.starts_with(b"ld-musl") || split(&interpreter).1.starts_with(b"ld-musl");
        let library = join(dir, b"libc.so.6");
        if !abi.musl
            && let Ok(Some(library)) = files.read(&library, LIBRARY_MAX)
        {
            let said = elf::facts(&library);
            abi.glibc = elf::glibc_version(&library);
            abi.kernel = said.kernel.max(abi.kernel);
            abi.isa = said.isa.max(abi.isa);
        }
        libraries = Some(dir.to_vec());
    }
    if facts.init == Some("systemd") {
        abi.systemd = Some(systemd(files, libraries.as_deref())?);
    }
    Ok(abi)
}

/// The version of systemd, from the name of the library that only its own programs use.
fn systemd(files: &dyn Files, libraries: Option<&[u8]>) -> FsResult<u32> {
    let beside = libraries.map(|dir| join(dir, b"systemd"));
    let usual: [&[u8]; 3] = [b"usr/lib/systemd", b"lib/systemd", b"usr/lib64/systemd"];
    for dir in beside.iter().map(Vec::as_slice).chain(usual) {
        for (name, _) in files.names(dir)? {
            let name = String::from_utf8_lossy(&name);
            let version = name.strip_prefix("libsystemd-shared-").and_then(|rest| {
                let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
                digits.parse().ok()
            });
            if let Some(version) = version {
                return Ok(version);
            }
        }
    }
    Ok(SYSTEMD_OLD)
}

/// What this host offers.
pub fn host_abi() -> HostAbi {
    let kernel = rustix::system::uname();
    let architecture = machine();
    let exists = |path: &str| Path::new(path).exists();
    let mut also = Vec::new();
    // Only a kernel that runs programs of 32 bits has this switch (arch/x86/entry/vdso).
    if architecture == "x86_64" && exists("/proc/sys/abi/vsyscall32") {
        also.push("i686".to_owned());
    }
    HostAbi {
        emulated: emulated(Path::new("/proc/sys/fs/binfmt_misc")),
        kernel: abi::release(&kernel.release().to_string_lossy()),
        isa: isa(),
        vsyscall: std::fs::read_to_string("/proc/self/maps")
            .ok()
            .map(|maps| maps.contains("[vsyscall]")),
        also,
        architecture,
    }
}

/// Architectures that QEMU is registered for so that it works in every root.
fn emulated(registered: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(registered)
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let architecture = name.strip_prefix("qemu-")?;
            let said = std::fs::read_to_string(entry.path()).ok()?;
            let flags = said.lines().find_map(|line| line.strip_prefix("flags: "))?;
            (said.starts_with("enabled") && flags.contains('F')).then(|| architecture.to_owned())
        })
        .collect()
}

/// Level of x86-64 of this processor (psABI, table "Micro-Architecture Levels").
#[cfg(target_arch = "x86_64")]
fn isa() -> Option<u8> {
    macro_rules! has {
        ($($feature:tt)*) => { $(is_x86_feature_detected!($feature))&&* };
    }
    let second = has!("cmpxchg16b" "popcnt" "sse3" "sse4.1" "sse4.2" "ssse3");
    let third = second && has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe");
    let fourth = third && has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    Some(1 + u8::from(second) + u8::from(third) + u8::from(fourth))
}

/// As on x86-64; others have no such levels.
#[cfg(not(target_arch = "x86_64"))]
fn isa() -> Option<u8> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wpar_mountd::lower::memory::{Builder, MemoryLower};
    use wpar_mountd::overlay::Overlay;

    use super::*;

    fn level(builder: Builder) -> Level {
        let tree = Overlay::new(Arc::new(builder.build().unwrap()), None);
        read(&tree).unwrap()
    }

    #[test]
    fn the_point_level_is_found_where_each_distribution_has_it() {
        for (os_release, path, contents, dotted) in [
            (
                "ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n",
                "etc/debian_version",
                "12.11\n",
                "12.11.0.0",
            ),
            (
                "ID=ubuntu\nVERSION_ID=\"22.04\"\nVERSION=\"22.04.5 LTS (Jammy Jellyfish)\"\n",
                "etc/debian_version",
                "bookworm/sid\n",
                "22.04.5.0",
            ),
            (
                "ID=\"rhel\"\nVERSION_ID=\"9.4\"\nVERSION=\"9.4 (Plow)\"\n",
                "etc/redhat-release",
                "Red Hat Enterprise Linux release 9.4 (Plow)\n",
                "9.4.0.0",
            ),
            (
                "ID=alpine\nVERSION_ID=3.20.3\n",
                "etc/alpine-release",
                "3.20.3\n",
                "3.20.3.0",
            ),
            (
                "ID=debian\nVERSION_ID=\"12\"\n",
                "etc/debian_version",
                "123.4\n",
                "12.0.0.0",
            ),
        ] {
            let level = level(
                MemoryLower::builder()
                    .file("etc/os-release", os_release)
                    .file(path, contents),
            );
            assert_eq!(level.dotted(), dotted, "{os_release}");
        }
    }

    #[test]
    fn systems_older_than_os_release_have_a_level() {
        let centos = level(
            MemoryLower::builder().file("etc/redhat-release", "CentOS release 5.11 (Final)\n"),
        );
        assert_eq!(
            (&*centos.id, &*centos.version_id, &*centos.dotted()),
            ("rhel", "5", "5.11.0.0")
        );
        let lenny = level(MemoryLower::builder().file("etc/debian_version", "5.0.10\n"));
        assert_eq!(
            (lenny.to_string(), lenny.technology_level()),
            ("debian-5".into(), "0500-00".into())
        );
        assert_eq!(level(MemoryLower::builder()).to_string(), "unknown-0");
    }

    #[test]
    fn rolling_releases_have_the_week_of_their_build() {
        let text = "ID=arch\nBUILD_ID=20250509\n";
        assert_eq!(
            level(MemoryLower::builder().file("etc/os-release", text)).service_pack(),
            "0000-00-00-2519"
        );
        assert_eq!(
            (day("rolling"), day("20251399"), day("2025-05-09")),
            (None, None, Some(1_746_748_800))
        );
    }

    #[test]
    fn systemd_says_its_version_in_the_name_of_a_library() {
        let with = |path: &str| {
            let builder = MemoryLower::builder()
                .symlink("sbin/init", "/lib/systemd/systemd")
                .file("lib/systemd/systemd", "x")
                .file(path, "");
            level(builder).abi.systemd
        };
        assert_eq!(with("lib/systemd/libsystemd-shared-252.so"), Some(252));
        assert_eq!(
            with("usr/lib/systemd/libsystemd-shared-255.4-1ubuntu8.so"),
            Some(255)
        );
        assert_eq!(with("etc/x"), Some(SYSTEMD_OLD));
        assert_eq!(
            level(MemoryLower::builder().file("sbin/init", "x"))
                .abi
                .systemd,
            None
        );
    }

    #[test]
    fn this_host_has_a_level_and_can_run_itself() {
        let level = read(&Below::open(Path::new("/")).unwrap()).unwrap();
        assert!(
            level.is_known() && level.is_same(&host().unwrap()),
            "{level:?}"
        );
        let offered = host_abi();
        assert_eq!(level.architecture, offered.architecture);
        assert_eq!(abi::check(&level.architecture, &level.abi, &offered), []);
        assert!(
            level.abi.musl || level.abi.glibc.is_some_and(|version| version > [2, 2]),
            "{level:?}"
        );
    }

    #[test]
    fn only_emulators_that_work_in_every_root_count() {
        let temp = tempfile::tempdir().unwrap();
        let entry = |name: &str, text: &str| std::fs::write(temp.path().join(name), text).unwrap();
        entry(
            "qemu-aarch64",
            "enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n",
        );
        entry(
            "qemu-arm",
            "enabled\ninterpreter /usr/bin/qemu\nflags: OC\n",
        );
        entry(
            "qemu-riscv64",
            "disabled\ninterpreter /usr/bin/qemu\nflags: F\n",
        );
        entry("status", "enabled\n");
        assert_eq!(emulated(temp.path()), ["aarch64"]);
    }
}
