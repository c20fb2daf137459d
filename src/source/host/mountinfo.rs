//! `/proc/PID/mountinfo` and `/proc/swaps`, as proc_pid_mountinfo(5) and proc_swaps(5) have them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::Mount;

/// The mounts of a mountinfo file. Lines that are not understood are left out.
pub(crate) fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n')
        .filter_map(parse_mount)
        .collect()
}

fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let (major, minor) = (device.get(..colon)?, device.get(colon + 1..)?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Its options and any number of optional fields end in a dash.
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = rest.next().map(unescape).unwrap_or_default();
    let options = rest.next().map(unescape).unwrap_or_default();
    // What a mount of btrfs shows from its root on is a subvolume.
    let whole = options
        .split(|&byte| byte == b',')
        .find_map(|option| option.strip_prefix(b"subvol="))
        .unwrap_or(b"/");
    let whole = if fs_type == "btrfs" { whole } else { b"/" };
    let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
    Some(Mount {
        id,
        parent,
        device: (number(major)?, number(minor)?),
        is_whole: root == whole,
        root: path(root),
        point: path(point),
        fs_type,
        source: String::from_utf8_lossy(&source).into_owned(),
    })
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The swap files of `/proc/swaps`: a heading, then lines of path, type and more.
pub(super) fn parse_swaps(text: &[u8]) -> Vec<PathBuf> {
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

/// The mounts that a path leads to: not those that something else is mounted on, or on a directory
/// above. In the order of their points.
pub fn visible(mounts: &[Mount]) -> Vec<&Mount> {
    let is_listed = |id: u64| mounts.iter().any(|mount| mount.id == id);
    // Mounted in the same mount further up, or on its root: what is there is in the way.
    let covers = |other: &Mount, mount: &Mount| {
        other.id != mount.id
            && (other.parent == mount.id && other.point == mount.point
                || other.parent == mount.parent
                    && other.point != mount.point
                    && is_listed(other.parent)
                    && mount.point.starts_with(&other.point))
    };
    let mut hidden: BTreeSet<u64> = mounts
        .iter()
        .filter(|mount| mounts.iter().any(|other| covers(other, mount)))
        .map(|mount| mount.id)
        .collect();
    // What is mounted in something that is covered is as well, but for what covers it.
    for _ in 0..mounts.len() {
        let before = hidden.len();
        for mount in mounts {
            let parent = mounts.iter().find(|other| other.id == mount.parent);
            if let Some(parent) = parent
                && parent.id != mount.id
                && hidden.contains(&parent.id)
                && parent.point != mount.point
            {
                hidden.insert(mount.id);
            }
        }
        if hidden.len() == before {
            break;
        }
    }
    let mut seen: Vec<&Mount> = mounts
        .iter()
        .filter(|mount| !hidden.contains(&mount.id))
        .collect();
    seen.sort_by(|a, b| a.point.cmp(&b.point));
    seen
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

    fn seen(text: &[u8]) -> Vec<(String, String)> {
        let mounts = parse_mountinfo(text);
        let pair = |mount: &&Mount| (mount.point.display().to_string(), mount.source.clone());
        visible(&mounts).iter().map(pair).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn what_is_covered_is_not_seen() {
        let text = b"1 1 0:2 / / rw - rootfs rootfs rw
20 1 8:1 / / rw - ext4 root rw
21 20 8:2 / /home rw - ext4 first rw
22 21 8:3 / /home rw - ext4 second rw
23 20 8:4 / /data/deep rw - ext4 deep rw
24 20 8:5 / /data rw - ext4 data rw
25 23 8:6 / /data/deep/er rw - ext4 deeper rw
26 24 8:7 / /data/on rw - ext4 on rw
27 21 8:8 / /home/old rw - ext4 old rw
";
        assert_eq!(
            seen(text),
            pairs(&[
                ("/", "root"),
                ("/data", "data"),
                ("/data/on", "on"),
                ("/home", "second")
            ])
        );
    }

    #[test]
    fn in_a_namespace_of_its_own_the_parent_of_the_root_is_not_listed() {
        let text = b"500 400 8:1 / / rw - ext4 root rw
501 500 8:2 / /a rw - ext4 a rw
502 500 8:2 / /a/b rw - ext4 under rw
";
        assert_eq!(seen(text), pairs(&[("/", "root"), ("/a", "a")]));
    }

    #[test]
    fn subvolumes_are_whole_and_directories_of_them_are_not() {
        let text = br"1 0 0:30 /@ / rw - btrfs /dev/sda2 rw,subvolid=256,subvol=/@
2 1 0:30 /@home /home rw - btrfs /dev/sda2 rw,subvolid=257,subvol=/@home
3 1 0:30 /@/srv/x /x rw - btrfs /dev/sda2 rw,subvolid=256,subvol=/@
4 1 8:1 /dir /y rw - ext4 /dev/sda1 rw,subvol=/dir
";
        let whole: Vec<_> = parse_mountinfo(text).iter().map(|m| m.is_whole).collect();
        assert_eq!(whole, [true, true, false, false]);
    }
}
