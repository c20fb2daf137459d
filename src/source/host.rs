//! Facts about the running system: its mounts and swap files.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount, from a line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Type of the file system, with its sub-type: `ext4`, `fuse.sshfs`.
    pub fs_type: String,
    /// Device or other source, as the file system names it.
    pub source: String,
    /// Whether it shows a file system from its root on; if not, it is a bind mount of some
    /// directory or file in it.
    pub is_whole: bool,
}

impl Mount {
    /// Whether it is the kernel's own disk that answers, not a server or another process.
    pub fn answers_locally(&self) -> bool {
        const LOCAL: &[&str] = &["bcachefs", "btrfs", "ext2", "ext3", "ext4", "tmpfs", "xfs"];
        LOCAL.contains(&self.fs_type.as_str())
    }

    /// Whether files that outlive a boot of the host are kept in it.
    pub fn is_storage(&self) -> bool {
        const VOLATILE: &[&str] = &[
            "autofs",
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "configfs",
            "debugfs",
            "devpts",
            "devtmpfs",
            "efivarfs",
            "fusectl",
            "hugetlbfs",
            "mqueue",
            "nsfs",
            "proc",
            "pstore",
            "ramfs",
            "rpc_pipefs",
            "securityfs",
            "selinuxfs",
            "squashfs",
            "sysfs",
            "tmpfs",
            "tracefs",
        ];
        !VOLATILE.contains(&self.fs_type.as_str())
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What the policy needs to know of the running system.
pub trait HostFacts {
    /// All mounts, in the kernel's order.
    fn mounts(&self) -> &[Mount];

    /// Swap space in files.
    fn swap_files(&self) -> &[PathBuf];

    /// `path` without symbolic links, and what is there; `None` if there is nothing.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)>;
}

/// The system that this process runs in.
#[derive(Clone, Debug)]
pub struct RunningHost {
    mounts: Vec<Mount>,
    swap_files: Vec<PathBuf>,
}

impl RunningHost {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Those of reading `/proc/self/mountinfo`.
    pub fn read() -> io::Result<Self> {
        let mounts = parse_mountinfo(&fs::read("/proc/self/mountinfo")?);
        // A kernel without swap has no such file.
        let swap_files = parse_swaps(&fs::read("/proc/swaps").unwrap_or_default());
        Ok(Self { mounts, swap_files })
    }
}

impl HostFacts for RunningHost {
    fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    fn swap_files(&self) -> &[PathBuf] {
        &self.swap_files
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
        let path = fs::canonicalize(path).ok()?;
        let is_directory = fs::symlink_metadata(&path).ok()?.is_dir();
        Some((
            path,
            if is_directory {
                PathKind::Directory
            } else {
                PathKind::Other
            },
        ))
    }
}

/// The mounts of a mountinfo file. Lines that are not understood are left out.
fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n')
        .filter_map(parse_mount)
        .collect()
}

fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    // id, parent, device, root within the file system; then the mount point and its options.
    let root = fields.nth(3)?;
    let point = unescape(fields.next()?);
    // Any number of optional fields ends in a dash.
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = rest.next().map(unescape).unwrap_or_default();
    Some(Mount {
        point: PathBuf::from(OsString::from_vec(point)),
        fs_type,
        source: String::from_utf8_lossy(&source).into_owned(),
        is_whole: root == b"/",
    })
}

/// The swap files of `/proc/swaps`: a heading, then lines of path, type and more.
fn parse_swaps(text: &[u8]) -> Vec<PathBuf> {
    let file = |line: &[u8]| {
        let mut fields = line
            .split(|&byte| byte == b' ' || byte == b'\t')
            .filter(|field| !field.is_empty());
        let path = fields.next()?;
        (fields.next()? == b"file").then(|| PathBuf::from(OsString::from_vec(unescape(path))))
    };
    text.split(|&byte| byte == b'\n')
        .skip(1)
        .filter_map(file)
        .collect()
}

/// Undoes the kernel's escapes: `\` and three octal digits stand for a byte.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

fn octal(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"\\")?.get(..3)?;
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 8)
        .ok()
        .filter(|_| !digits.starts_with('+'))
}

/// Path below the root as a string without the leading `/`; `None` if it is not UTF-8.
pub fn below_root(path: &Path) -> Option<&str> {
    let bytes = path.as_os_str().as_bytes();
    std::str::from_utf8(bytes.strip_prefix(b"/").unwrap_or(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = br"21 1 254:0 / / rw,noatime - ext4 /dev/root rw
22 21 0:5 / /proc rw - proc proc rw
23 21 8:17 / /data\040one rw shared:1 master:2 - xfs /dev/sdb1 rw,attr2
24 21 0:44 / /mnt/x rw - fuse.sshfs host:/dir\134a rw
broken line
25 21 0:45 / /nosource rw - tmpfs  rw
";

    #[test]
    fn mounts_are_read_with_escapes_and_optional_fields() {
        let mounts = parse_mountinfo(MOUNTINFO);
        let points: Vec<_> = mounts
            .iter()
            .map(|mount| mount.point.to_str().unwrap())
            .collect();
        assert_eq!(points, ["/", "/proc", "/data one", "/mnt/x", "/nosource"]);
        assert_eq!(mounts[2].fs_type, "xfs");
        assert_eq!(mounts[2].source, "/dev/sdb1");
        assert_eq!(mounts[3].source, r"host:/dir\a");
        let storage: Vec<_> = mounts.iter().map(Mount::is_storage).collect();
        assert_eq!(storage, [true, false, true, true, false]);
    }

    #[test]
    fn swap_files_are_told_from_partitions() {
        let text = b"Filename\t\t\tType\t\tSize\tUsed\tPriority\n\
            /dev/sda2 partition 1 0 -2\n/swap\\040file   file\t\t2097148\t0\t-3\n";
        assert_eq!(parse_swaps(text), [PathBuf::from("/swap file")]);
        assert!(parse_swaps(b"").is_empty());
    }

    #[test]
    fn escapes_are_undone_and_others_left() {
        for (text, plain) in [
            (&br"a\040b"[..], &b"a b"[..]),
            (br"\134", br"\"),
            (br"\0", br"\0"),
            (br"\999x", br"\999x"),
            (br"\+12", br"\+12"),
            (br"\377", b"\xff"),
        ] {
            assert_eq!(unescape(text), plain);
        }
    }

    #[test]
    fn this_system_has_a_root() {
        let host = RunningHost::read().unwrap();
        assert!(
            host.mounts()
                .iter()
                .any(|mount| mount.point == Path::new("/"))
        );
    }
}
