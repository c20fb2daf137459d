//! The table of file systems (fstab(5)) without what a WPAR cannot mount: pure.
//!
//! A WPAR has no disks, and the kernel mounts network file systems for the host only. A line that
//! fails would stop the boot, so it is taken out: it stays as a comment, to be read.

use super::TAKEN_OUT;

/// Stands above the first line that was taken out.
const HEADER: &str = "\
# wpar: lines that begin with #wpar# are those of the system that was copied. This one has none of
# its disks, and only the host can mount file systems of the network.
";

/// Types that root of a WPAR can mount without a device.
const MOUNTABLE: [&str; 9] = [
    "tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "cgroup2", "cgroup", "none",
];

/// Types whose device is elsewhere on the network.
const OF_THE_NETWORK: [&str; 11] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "gfs2",
    "ocfs2",
];

/// What became of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The new table; `None` if the old one is as good.
    pub(super) text: Option<Vec<u8>>,
    /// Files, without a leading `/`, that were used as swap space.
    pub(super) swap_files: Vec<String>,
    /// Mount points of network file systems that were taken out.
    pub(super) network: Vec<String>,
}

/// One line that names a file system.
pub(super) struct Entry<'a> {
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    pub(super) kind: &'a str,
    pub(super) options: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let source = fields.next().filter(|field| !field.starts_with('#'))?;
        Some(Self {
            source,
            target: fields.next()?,
            kind: fields.next()?,
            options: fields.next().unwrap_or("defaults"),
        })
    }

    fn has_option(&self, wanted: &[&str]) -> bool {
        let mut options = self.options.split(',');
        options.any(|option| wanted.contains(&option))
    }

    fn is_bind(&self) -> bool {
        self.has_option(&["bind", "rbind"])
    }

    pub(super) fn is_swap(&self) -> bool {
        self.kind == "swap"
    }

    /// Whether it is on a disk of the source.
    fn is_of_a_device(&self) -> bool {
        let tagged = self.source.split_once('=').is_some_and(|(tag, _)| {
            matches!(tag, "UUID" | "LABEL" | "PARTUUID" | "PARTLABEL" | "ID")
        });
        tagged
            || self.is_swap()
            || self.source.starts_with("/dev/")
            || !self.is_bind() && matches!(self.kind, "zfs" | "9p" | "virtiofs" | "auto")
    }

    /// Whether root of a WPAR can mount it, as far as its own line tells.
    pub(super) fn can_be_mounted(&self) -> bool {
        let first = self.kind.split(',').next().unwrap_or_default();
        !self.is_of_a_device()
            && self.target != "/"
            && (self.is_bind() || MOUNTABLE.contains(&first))
    }

    /// Whether nobody asks for it at the start.
    fn waits_to_be_asked(&self) -> bool {
        self.has_option(&["noauto"]) && !self.has_option(&["x-systemd.automount"])
    }

    pub(super) fn is_of_the_network(&self) -> bool {
        OF_THE_NETWORK.contains(&self.kind) || self.has_option(&["_netdev"])
    }
}

/// `text` without the lines that cannot be mounted. `exists` tells whether a path, with a leading
/// `/`, leads to something.
pub(super) fn without_devices(text: &str, mut exists: impl FnMut(&str) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut absent: Vec<&str> = Vec::new();
    for entry in text.lines().filter_map(Entry::parse) {
        if !entry.can_be_mounted() && entry.target.starts_with('/') && entry.target != "/" {
            absent.push(entry.target);
        }
    }
    let mut new = String::with_capacity(text.len() + 512);
    let mut changed = false;
    for line in text.split_inclusive('\n') {
        let taken_out = Entry::parse(line).is_some_and(|entry| {
            if entry.is_swap()
                && entry.source.starts_with('/')
                && !entry.source.starts_with("/dev/")
            {
                outcome
                    .swap_files
                    .push(entry.source.trim_start_matches('/').to_owned());
            }
            if entry.is_of_a_device() || !entry.can_be_mounted() && !entry.waits_to_be_asked() {
                if entry.is_of_the_network() {
                    outcome.network.push(entry.target.to_owned());
                }
                return true;
            }
            // What is bound must be there: it may lie on a disk that is not.
            entry.is_bind()
                && !entry.waits_to_be_asked()
                && (absent
                    .iter()
                    .any(|point| is_at_or_below(entry.source, point))
                    || !exists(entry.source))
        });
        if taken_out {
            if !changed && !text.contains(HEADER) {
                new.push_str(HEADER);
            }
            changed = true;
            new.push_str(TAKEN_OUT);
        }
        new.push_str(line);
    }
    outcome.text = changed.then(|| new.into_bytes());
    outcome
}

fn is_at_or_below(path: &str, point: &str) -> bool {
    path.strip_prefix(point.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "\
# /etc/fstab: static file system information.
UUID=0a1b /               ext4    errors=remount-ro 0       1
/dev/mapper/vg-home /home xfs defaults 0 2
LABEL=DATA\t/data\text4\tdefaults\t0 2
/swap/one none swap sw 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
tmpfs /var/cache/app tmpfs size=16m 0 0
/srv/www /var/www none bind 0 0
/data/www /srv/old none bind 0 0
/missing /mnt none bind 0 0
files:/export /exports nfs defaults,_netdev 0 0
files:/other /other nfs noauto 0 0
";

    #[test]
    fn devices_and_what_lies_on_them_are_taken_out_and_the_rest_is_kept() {
        let outcome = without_devices(DEBIAN, |path| path == "/srv/www");
        let text = String::from_utf8(outcome.text.unwrap()).unwrap();
        let kept: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            kept,
            [
                "tmpfs /var/cache/app tmpfs size=16m 0 0",
                "/srv/www /var/www none bind 0 0",
                "files:/other /other nfs noauto 0 0",
            ]
        );
        let taken_out = text.lines().filter(|line| line.starts_with(TAKEN_OUT));
        assert_eq!(taken_out.count(), 8, "{text}");
        assert!(
            text.contains("\n#wpar# UUID=0a1b /               ext4"),
            "as it was"
        );
        assert_eq!(text.matches(HEADER).count(), 1);
        assert_eq!(outcome.swap_files, ["swap/one"]);
        assert_eq!(outcome.network, ["/exports"]);
    }

    #[test]
    fn a_table_is_treated_once() {
        let once = without_devices(DEBIAN, |_| true).text.unwrap();
        let again = String::from_utf8(once).unwrap();
        assert_eq!(without_devices(&again, |_| true).text, None);
        let more = format!("{again}/dev/sdz1 /z ext4 defaults 0 0\n");
        let text = String::from_utf8(without_devices(&more, |_| true).text.unwrap()).unwrap();
        assert_eq!(text.matches(HEADER).count(), 1, "{text}");
    }

    #[test]
    fn nonsense_is_kept() {
        for text in [
            "",
            "\n\n",
            "one two\n",
            "# UUID=x / ext4\n",
            "\0\0\0 \u{1b}",
        ] {
            assert_eq!(
                without_devices(text, |_| true),
                Outcome::default(),
                "{text:?}"
            );
        }
    }
}
