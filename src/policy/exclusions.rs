//! Names of the running system that are not part of a copy of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use super::root_group;
use crate::model::frozen;
use crate::model::view::Part;
use crate::model::{CopyControls, View};
use crate::source::host::{HostFacts, Mount, PathKind, below_root, visible};

/// What the kernel and the boot make anew.
const VOLATILE: &[(&str, &str)] = &[
    ("/proc", "belongs to the kernel"),
    ("/sys", "belongs to the kernel"),
    ("/dev", "devices of the host"),
    ("/run", "state of this boot of the host"),
    ("/tmp", "temporary files of the running system"),
    ("/var/tmp", "temporary files of the running system"),
];

/// Where other engines keep their partitions. A second engine on copied state would start all of
/// them once more.
const ENGINE_STORES: &[&str] = &[
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/incus",
    "/var/lib/kubelet",
    "/var/lib/libvirt/images",
    "/var/lib/libvirt/qemu",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/machines",
    "/var/lib/rancher",
    "/var/snap/docker",
    "/var/snap/lxd",
];

/// The system's own places of this tool, whatever root is in use.
const SYSTEM_WPARS: &[&str] = &["/var/lib/wpar", "/wpars"];

/// Swap files by the names that distributions give them, in use or not.
const SWAP_FILES: &[&str] = &["/swapfile", "/swap.img", "/swap.file"];

/// What is left out of a copy of the running system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostExclusions {
    /// The names, sorted by path; none lies below another.
    pub hidden: Vec<HiddenName>,
    /// Mounts with data of their own among them: what a user may miss.
    pub left_out: Vec<Mount>,
}

/// Decides what is left out, besides what `view` says itself. `own` are the places of the tool itself,
/// which are never seen: otherwise the copy would contain itself. A file system that is part of the
/// copy is not left out; one that was mounted since is.
pub fn host(
    facts: &dyn HostFacts,
    controls: CopyControls,
    own: &[PathBuf],
    view: &View,
) -> HostExclusions {
    if view.frozen.is_some() {
        // What the host mounts does not matter to a snapshot, and all the rest was decided with it.
        return HostExclusions::default();
    }
    let mut names = always(facts, controls, own);
    let seen = visible(facts.mounts());
    let mut left_out = Vec::new();
    for mount in facts.mounts() {
        let is_part = |part: &Part| !part.nested && is_at(&mount.point, &part.point);
        if mount.point == Path::new("/")
            || view.parts.iter().any(is_part)
            || root_group::is_transparent(&mount.point, &seen)
        {
            continue;
        }
        let known = view.left_out.iter();
        let known = known.clone().find(|out| is_at(&mount.point, &out.point));
        let reason = known.map_or_else(
            || format!("mount point of {} on {}", mount.fs_type, mount.source),
            |out| out.reason.clone(),
        );
        if names.hide_mount(mount, &reason) && mount.is_storage() {
            left_out.push(mount.clone());
        }
    }
    // What is not mounted now must not show what lies below it.
    for out in &view.left_out {
        let point = Path::new("/").join(&out.point);
        if facts.mounts().iter().all(|mount| mount.point != point) {
            names.hide_contents(&point, &out.reason);
        }
    }
    HostExclusions {
        hidden: names.finish(),
        left_out,
    }
}

/// What is left out whatever is mounted.
pub fn always_hidden(
    facts: &dyn HostFacts,
    controls: CopyControls,
    own: &[PathBuf],
) -> Vec<HiddenName> {
    always(facts, controls, own).finish()
}

fn is_at(point: &Path, path: &str) -> bool {
    point
        .strip_prefix("/")
        .is_ok_and(|point| point == Path::new(path))
}

fn always<'a>(facts: &'a dyn HostFacts, controls: CopyControls, own: &[PathBuf]) -> Names<'a> {
    let mut names = Names {
        facts,
        hidden: BTreeMap::new(),
    };
    for (path, reason) in VOLATILE {
        names.hide_contents(Path::new(path), reason);
    }
    for path in own {
        names.hide(path, "state of wpar itself");
    }
    for mount in facts
        .mounts()
        .iter()
        .filter(|mount| mount.fs_type == "btrfs")
    {
        names.hide(&mount.point.join(frozen::DIRECTORY), "snapshots of wpar");
    }
    let swap = SWAP_FILES.iter().map(Path::new);
    for path in swap.chain(facts.swap_files().iter().map(PathBuf::as_path)) {
        names.hide(path, "swap space of the host");
    }
    if !controls.preserve_wpars {
        for path in SYSTEM_WPARS {
            names.hide(Path::new(path), "workload partitions of the host");
        }
        for path in ENGINE_STORES {
            names.hide_contents(Path::new(path), "store of another engine's partitions");
        }
    }
    names
}

struct Names<'a> {
    facts: &'a dyn HostFacts,
    hidden: BTreeMap<PathBuf, (HiddenExtent, String)>,
}

impl Names<'_> {
    /// Hides what `path` leads to, if there is something.
    fn hide(&mut self, path: &Path, reason: &str) -> bool {
        match self.facts.resolve(path) {
            Some((real, _)) => self.insert(real, HiddenExtent::Name, reason),
            None => false,
        }
    }

    /// Hides what is in the directory that `path` leads to; another object is hidden itself.
    fn hide_contents(&mut self, path: &Path, reason: &str) -> bool {
        let Some((real, kind)) = self.facts.resolve(path) else {
            return false;
        };
        let extent = match kind {
            PathKind::Directory => HiddenExtent::Contents,
            PathKind::Other => HiddenExtent::Name,
        };
        self.insert(real, extent, reason)
    }

    /// Hides what is mounted. A mount point is never asked for anything: a file system that does
    /// not answer (a dead server, a dead FUSE daemon) must not stop the making of a copy.
    fn hide_mount(&mut self, mount: &Mount, reason: &str) -> bool {
        if mount.is_whole || !mount.answers_locally() {
            return self.insert(mount.point.clone(), HiddenExtent::Contents, reason);
        }
        self.hide_contents(&mount.point, reason)
    }

    /// Notes a name. The first reason for it stays, but the larger extent wins. False if it, or
    /// something above it, was hidden before.
    fn insert(&mut self, path: PathBuf, extent: HiddenExtent, reason: &str) -> bool {
        if path == Path::new("/") || self.covered(&path) {
            return false;
        }
        match self.hidden.get_mut(&path) {
            Some((known, _)) => {
                if extent == HiddenExtent::Name {
                    *known = extent;
                }
                false
            }
            None => {
                self.hidden.insert(path, (extent, reason.to_owned()));
                true
            }
        }
    }

    fn covered(&self, path: &Path) -> bool {
        path.ancestors()
            .skip(1)
            .any(|above| self.hidden.contains_key(above))
    }

    fn finish(self) -> Vec<HiddenName> {
        let name = |path: &PathBuf, extent: HiddenExtent, reason: &str| {
            // A mount whose name is not UTF-8 is not entered by the lower either way.
            let path = below_root(path)?.to_owned();
            Some(HiddenName {
                path,
                extent,
                reason: reason.to_owned(),
            })
        };
        self.hidden
            .iter()
            .filter(|(path, _)| !self.covered(path))
            .filter_map(|(path, (extent, reason))| name(path, *extent, reason))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use wpar_mountd::spec::RootMark;

    use super::*;
    use crate::source::host::Disks;

    #[derive(Default)]
    struct Host {
        mounts: Vec<Mount>,
        swap: Vec<PathBuf>,
        /// Directories, and with a `:` at the end files, and `from>to` links.
        paths: Vec<&'static str>,
    }

    impl HostFacts for Host {
        fn mounts(&self) -> &[Mount] {
            &self.mounts
        }

        fn swap_files(&self) -> &[PathBuf] {
            &self.swap
        }

        fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
            let path = path.to_str().unwrap();
            self.paths
                .iter()
                .find_map(|known| match known.split_once('>') {
                    Some((from, to)) => (from == path).then(|| (to.into(), PathKind::Directory)),
                    None if *known == path => Some((path.into(), PathKind::Directory)),
                    None if known.strip_suffix(':') == Some(path) => {
                        Some((path.into(), PathKind::Other))
                    }
                    None => None,
                })
        }

        fn disks(&self, _mount: &Mount) -> Disks {
            Disks::default()
        }

        fn mark(&self, _point: &Path) -> Option<RootMark> {
            None
        }

        fn subvolumes(&self, _mount: &Mount) -> Vec<PathBuf> {
            Vec::new()
        }
    }

    fn mount(point: &str, fs_type: &str, source: &str) -> Mount {
        Mount {
            point: point.into(),
            fs_type: fs_type.into(),
            source: source.into(),
            is_whole: true,
            ..Mount::default()
        }
    }

    fn paths(exclusions: &HostExclusions) -> Vec<String> {
        let text = |name: &HiddenName| match name.extent {
            HiddenExtent::Name => name.path.clone(),
            HiddenExtent::Contents => format!("{}/*", name.path),
        };
        exclusions.hidden.iter().map(text).collect()
    }

    #[test]
    fn regression_a_mount_that_does_not_answer_is_not_asked() {
        let silent = Mount {
            is_whole: false,
            ..mount("/srv/silent", "fuse.sshfs", "server:/")
        };
        let facts = Host {
            mounts: vec![mount("/srv/dead", "nfs4", "server:/"), silent],
            swap: vec![],
            // Nothing is there for whoever asks.
            paths: vec![],
        };
        let found = host(&facts, CopyControls::default(), &[], &View::default());
        assert_eq!(paths(&found), ["srv/dead/*", "srv/silent/*"]);
    }

    #[test]
    fn a_usual_host() {
        let facts = Host {
            mounts: vec![
                mount("/", "ext4", "/dev/sda1"),
                mount("/proc", "proc", "proc"),
                mount("/proc/sys/fs/binfmt_misc", "autofs", "systemd-1"),
                mount("/data", "xfs", "/dev/sdb1"),
                mount("/data/deep", "xfs", "/dev/sdb2"),
                mount("/srv/cache", "tmpfs", "tmpfs"),
                Mount {
                    is_whole: false,
                    ..mount("/etc/hosts", "ext4", "/dev/sda1")
                },
            ],
            swap: vec!["/swap/one".into()],
            paths: vec![
                "/proc",
                "/sys",
                "/dev",
                "/run",
                "/tmp",
                "/var/tmp",
                "/data",
                "/data/deep",
                "/srv/cache",
                "/etc/hosts:",
                "/swap/one:",
                "/swapfile:",
                "/var/lib/docker",
                "/scratch/r/var/lib/wpar",
                "/proc/sys/fs/binfmt_misc",
                "/var/lib/wpar",
            ],
        };
        let own = [
            PathBuf::from("/scratch/r/var/lib/wpar"),
            PathBuf::from("/scratch/r/wpars"),
        ];
        let found = host(&facts, CopyControls::default(), &own, &View::default());
        assert_eq!(
            paths(&found),
            [
                "data/*",
                "dev/*",
                "etc/hosts",
                "proc/*",
                "run/*",
                "scratch/r/var/lib/wpar",
                "srv/cache/*",
                "swap/one",
                "swapfile",
                "sys/*",
                "tmp/*",
                "var/lib/docker/*",
                "var/lib/wpar",
                "var/tmp/*",
            ]
        );
        let missed: Vec<_> = found
            .left_out
            .iter()
            .map(|m| m.point.to_str().unwrap())
            .collect();
        assert_eq!(missed, ["/data", "/etc/hosts"]);
        let data = found
            .hidden
            .iter()
            .find(|name| name.path == "data")
            .unwrap();
        assert_eq!(data.reason, "mount point of xfs on /dev/sdb1");
    }

    #[test]
    fn partitions_of_others_are_kept_on_request_but_never_our_own_state() {
        let facts = Host {
            paths: vec!["/var/lib/docker", "/var/lib/wpar", "/wpars"],
            ..Host::default()
        };
        let keep = CopyControls {
            preserve_wpars: true,
            ..CopyControls::default()
        };
        let own = [PathBuf::from("/var/lib/wpar")];
        assert_eq!(
            paths(&host(&facts, keep, &own, &View::default())),
            ["var/lib/wpar"]
        );
        let all = host(&facts, CopyControls::default(), &own, &View::default());
        assert_eq!(paths(&all), ["var/lib/docker/*", "var/lib/wpar", "wpars"]);
    }

    #[test]
    fn links_are_followed_to_what_is_hidden() {
        let facts = Host {
            paths: vec!["/var/lib/docker>/srv/docker"],
            ..Host::default()
        };
        let found = host(&facts, CopyControls::default(), &[], &View::default());
        assert_eq!(paths(&found), ["srv/docker/*"]);
    }

    #[test]
    fn a_name_below_one_hidden_later_is_dropped() {
        let facts = Host {
            mounts: vec![mount("/data/deep", "xfs", "b"), mount("/data", "xfs", "a")],
            paths: vec!["/data", "/data/deep"],
            ..Host::default()
        };
        let found = host(&facts, CopyControls::default(), &[], &View::default());
        assert_eq!(paths(&found), ["data/*"]);
    }

    #[test]
    fn parts_are_seen_and_what_was_left_out_stays_so() {
        let facts = Host {
            mounts: vec![
                mount("/var", "ext4", "/dev/vg/var"),
                mount("/var/new", "ext4", "/dev/sdz1"),
            ],
            paths: vec!["/var", "/var/new", "/data"],
            ..Host::default()
        };
        let part = Part {
            point: "var".to_owned(),
            fs_type: "ext4".to_owned(),
            source: "/dev/vg/var".to_owned(),
            mark: None,
            nested: false,
            reason: String::new(),
        };
        let out = crate::model::view::LeftOut {
            point: "data".to_owned(),
            reason: "xfs on /dev/sdb1, not in the root volume group".to_owned(),
        };
        let view = View {
            parts: vec![part],
            left_out: vec![out],
            ..View::default()
        };
        let found = host(&facts, CopyControls::default(), &[], &view);
        assert_eq!(paths(&found), ["data/*", "var/new/*"]);
        assert!(found.hidden[0].reason.ends_with("root volume group"));
    }
}
