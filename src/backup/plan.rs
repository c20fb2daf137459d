//! What a backup of the running system takes: its file systems and what of them is left out.
//!
//! The same as a copy of the running system has ([`root_group`]), less what the administrator leaves
//! out.

use std::path::{Path, PathBuf};

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use crate::model::CopyControls;
use crate::model::copy_controls::Selection;
use crate::model::view::LeftOut;
use crate::policy::{PolicyError, exclusions, root_group};
use crate::source::host::{HostFacts, Mount, visible};

/// What is taken.
#[derive(Clone, Debug, Default)]
pub struct SystemPlan {
    /// Mounted file systems, `/` among them, sorted by mount point.
    pub members: Vec<Mount>,
    /// Subvolumes that are taken although they are not mounted.
    pub nested: Vec<PathBuf>,
    /// File systems with data of their own that are not taken, but for those in directories of
    /// which nothing is.
    pub others: Vec<LeftOut>,
    /// Mount points of which nothing is asked, since nobody may answer.
    pub silent: Vec<PathBuf>,
    /// Names that are left out.
    pub hidden: Vec<HiddenName>,
}

/// Decides it. `own` are the places of the tool itself, `directories` those that the
/// administrator leaves out (paths without a leading `/`).
///
/// # Errors
/// Those of [`root_group::divide`].
pub fn system(
    host: &dyn HostFacts,
    controls: CopyControls,
    own: &[PathBuf],
    directories: &[String],
) -> Result<SystemPlan, PolicyError> {
    let view = root_group::new_view(host, controls, own, &Selection::default())?;
    let mut hidden = exclusions::host(host, controls, own, &view).hidden;
    for path in directories {
        // An administrator's word counts for more than ours, also where both say something.
        hidden.retain(|name| name.path != *path);
        hidden.push(HiddenName {
            path: path.clone(),
            extent: HiddenExtent::Contents,
            reason: "left out by the administrator".to_owned(),
        });
    }
    let is_hidden = |point: &Path| {
        let point = point.strip_prefix("/").unwrap_or(point);
        let covers = |name: &HiddenName| point.starts_with(Path::new(&name.path));
        hidden.iter().any(covers)
    };
    let parts = view.parts.iter().filter(|part| !part.nested);
    let parts: Vec<_> = parts.map(|part| Path::new("/").join(&part.point)).collect();
    let is_part = |mount: &Mount| mount.point == Path::new("/") || parts.contains(&mount.point);
    let (members, others): (Vec<&Mount>, Vec<_>) =
        visible(host.mounts()).into_iter().partition(|m| is_part(m));
    let silent = others.iter().filter(|mount| {
        (mount.is_storage() && !mount.answers_locally()) || mount.fs_type == "autofs"
    });
    let nested = view.parts.iter().filter(|part| part.nested);
    let nested = nested.map(|part| Path::new("/").join(&part.point));
    let seen_members = members.iter().filter(|mount| !is_hidden(&mount.point));
    Ok(SystemPlan {
        members: seen_members.map(|mount| (*mount).clone()).collect(),
        nested: nested.filter(|point| !is_hidden(point)).collect(),
        silent: silent.map(|mount| mount.point.clone()).collect(),
        others: view.left_out,
        hidden,
    })
}

#[cfg(test)]
mod tests {
    use wpar_mountd::spec::RootMark;

    use super::*;
    use crate::source::host::{Disks, PathKind};

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

        fn disks(&self, mount: &Mount) -> Disks {
            Disks {
                volume: None,
                disks: [mount.source.trim_end_matches(char::is_numeric).to_owned()].into(),
            }
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
            device: (8, point.len() as u32),
            source: source.into(),
            is_whole: true,
            ..Mount::default()
        }
    }

    fn plan(directories: &[String]) -> SystemPlan {
        let host = Host(vec![
            mount("/", "ext4", "/dev/sda1"),
            mount("/proc", "proc", "proc"),
            mount("/var", "ext4", "/dev/sdc1"),
            mount("/home", "xfs", "/dev/sda2"),
            mount("/data", "xfs", "/dev/sdb1"),
            mount("/net", "nfs4", "server:/"),
        ]);
        let own = [PathBuf::from("/var/lib/wpar"), PathBuf::from("/wpars")];
        system(&host, CopyControls::default(), &own, directories).unwrap()
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
        let others: Vec<_> = plan.others.iter().map(|out| out.point.as_str()).collect();
        assert_eq!(others, ["data", "net"]);
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
