//! What a backup of the running system takes: its file systems and what of them is left out.
//!
//! What a *copy* of the running system leaves out ([`exclusions`]), a backup leaves out too; but
//! it takes the other file systems of the root volume group along.

use std::path::{Path, PathBuf};

use wpar_mountd::spec::{HiddenExtent, HiddenName, RootMark};

use super::volume_group::VolumeGroup;
use crate::model::{CopyControls, View};
use crate::policy::PolicyError;
use crate::policy::exclusions;
use crate::source::host::{Disks, HostFacts, Mount, PathKind};

/// What is taken.
#[derive(Clone, Debug, Default)]
pub struct SystemPlan {
    /// File systems, `/` among them.
    pub members: Vec<Mount>,
    /// File systems with data of their own that are not taken, but for those in directories of
    /// which nothing is.
    pub others: Vec<Mount>,
    /// Mount points of which nothing is asked, since nobody may answer.
    pub silent: Vec<PathBuf>,
    /// Names that are left out.
    pub hidden: Vec<HiddenName>,
}

/// Decides it. `own` are the places of the tool itself, `directories` those that the
/// administrator leaves out (paths without a leading `/`), `group_of` tells the disks of a mount.
///
/// # Errors
/// Those of [`exclusions::host`].
pub fn system(
    host: &dyn HostFacts,
    controls: CopyControls,
    own: &[PathBuf],
    directories: &[String],
    group_of: &dyn Fn(&Mount) -> Option<String>,
) -> Result<SystemPlan, PolicyError> {
    let group = VolumeGroup::divide(host.mounts(), group_of);
    let is_member = |mount: &Mount| group.members.contains(mount);
    let others: Vec<_> = host
        .mounts()
        .iter()
        .filter(|m| !is_member(m))
        .cloned()
        .collect();
    let silent = others
        .iter()
        .filter(|mount| {
            (mount.is_storage() && !mount.answers_locally()) || mount.fs_type == "autofs"
        })
        .map(|mount| mount.point.clone())
        .collect();
    let others = Others { host, others };
    let found = exclusions::host(&others, controls, own, &View::default());
    let left_out = found.left_out;
    let mut hidden = found.hidden;
    for path in directories {
        // An administrator's word counts for more than ours, also where both say something.
        hidden.retain(|name| name.path != *path);
        hidden.push(HiddenName {
            path: path.clone(),
            extent: HiddenExtent::Contents,
            reason: "left out by the administrator".to_owned(),
        });
    }
    let is_hidden = |mount: &Mount| {
        let point = mount.point.strip_prefix("/").unwrap_or(&mount.point);
        let covers = |name: &HiddenName| point.starts_with(Path::new(&name.path));
        hidden.iter().any(covers)
    };
    Ok(SystemPlan {
        members: group
            .members
            .into_iter()
            .filter(|mount| !is_hidden(mount))
            .collect(),
        others: left_out,
        silent,
        hidden,
    })
}

/// The running system as if only these mounts were in the way.
struct Others<'h> {
    host: &'h dyn HostFacts,
    others: Vec<Mount>,
}

impl HostFacts for Others<'_> {
    fn mounts(&self) -> &[Mount] {
        &self.others
    }

    fn swap_files(&self) -> &[PathBuf] {
        self.host.swap_files()
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
        self.host.resolve(path)
    }

    fn disks(&self, mount: &Mount) -> Disks {
        self.host.disks(mount)
    }

    fn mark(&self, point: &Path) -> Option<RootMark> {
        self.host.mark(point)
    }

    fn subvolumes(&self, mount: &Mount) -> Vec<PathBuf> {
        self.host.subvolumes(mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host(Vec<Mount>);

    impl HostFacts for Host {
        fn mounts(&self) -> &[Mount] {
            &self.0
        }

        fn swap_files(&self) -> &[PathBuf] {
            &[]
        }

        fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
            Some((path.to_owned(), PathKind::Directory))
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

    fn plan(directories: &[String]) -> SystemPlan {
        let host = Host(vec![
            mount("/", "ext4", "/dev/sda"),
            mount("/proc", "proc", "proc"),
            mount("/var", "ext4", "/dev/sda"),
            mount("/home", "xfs", "/dev/sda"),
            mount("/data", "xfs", "/dev/sdb"),
            mount("/net", "nfs4", "server:/"),
        ]);
        let own = [PathBuf::from("/var/lib/wpar"), PathBuf::from("/wpars")];
        let disk = |mount: &Mount| Some(mount.source.clone());
        system(&host, CopyControls::default(), &own, directories, &disk).unwrap()
    }

    #[test]
    fn file_systems_of_the_root_volume_group_are_taken() {
        let plan = plan(&[]);
        let points: Vec<_> = plan
            .members
            .iter()
            .map(|m| m.point.display().to_string())
            .collect();
        assert_eq!(points, ["/", "/home", "/var"]);
        assert_eq!(plan.silent, [PathBuf::from("/net")]);
        let hidden: Vec<_> = plan.hidden.iter().map(|name| name.path.as_str()).collect();
        for path in [
            "proc",
            "tmp",
            "data",
            "net",
            "var/lib/wpar",
            "wpars",
            "var/lib/docker",
        ] {
            assert!(hidden.contains(&path), "{path} in {hidden:?}");
        }
        assert!(!hidden.contains(&"home") && !hidden.contains(&"var"));
    }

    #[test]
    fn the_administrator_leaves_out_more() {
        let plan = plan(&["home".to_owned(), "usr".to_owned()]);
        assert!(
            plan.members
                .iter()
                .all(|mount| mount.point != Path::new("/home"))
        );
        for path in ["home", "usr"] {
            let name = plan.hidden.iter().find(|name| name.path == path).unwrap();
            assert_eq!(name.extent, HiddenExtent::Contents);
        }
    }
}
