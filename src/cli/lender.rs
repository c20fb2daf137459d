//! The system that lends a WPAR its `/usr` and `/opt`, opened to look at: for what makes and
//! synchronizes such a WPAR.

use std::collections::BTreeSet;

use wpar_mountd::spec::{Access, MountSpec, SpaceLimits};

use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use crate::model::copy_controls::Selection;
use crate::model::{Base, BaseSystem, PackageFingerprint, View, WparRecord};
use crate::packages::{self, Detail, PackageDatabase, fingerprint};
use crate::policy::mount_spec::own_places;
use crate::policy::system_copy::root_part::{self, RootPart};
use crate::policy::{base, root_group};
use crate::registry::Layout;
use crate::source::host::HostFacts;
use crate::source::tree::OfflineTree;

/// A system that lends.
pub(super) struct Lender {
    /// Its files, none of which can be changed.
    pub(super) tree: OfflineTree,
    /// Its file systems, if it is the running one.
    pub(super) view: View,
}

impl Lender {
    /// Opens the base of a WPAR.
    pub(super) fn open(
        layout: &Layout,
        host: &dyn HostFacts,
        record: &WparRecord,
        base: &Base,
    ) -> CliResult<Self> {
        let controls = record.copy_controls;
        let view = match base.system {
            BaseSystem::Host => {
                let places = own_places(layout);
                root_group::new_view(host, controls, &places, &Selection::default())?
            }
            BaseSystem::Tree { .. } => View::default(),
        };
        let (lower, hidden) = base::whole(base, controls, &view, layout, host)?;
        let spec = MountSpec {
            lower,
            store: None,
            hidden,
            limits: SpaceLimits::default(),
            access: Access::Checked,
        };
        Ok(Self {
            tree: OfflineTree::open(&spec)?,
            view,
        })
    }

    /// The root part of a fresh system of its packages.
    pub(super) fn root_part(&self, layout: &Layout, record: &WparRecord) -> CliResult<RootPart> {
        let copied = Copied {
            files: self.tree.overlay(),
            is_running: true,
            controls: record.copy_controls,
            hostname: &record.hostname,
        };
        decisions::with(layout, &copied, |situation| root_part::plan(situation))
    }

    /// Its packages; `None` if there is no data base of them that can be read.
    pub(super) fn packages(&self, detail: Detail) -> Option<PackageDatabase> {
        packages::read(self.tree.overlay(), detail).ok().flatten()
    }

    /// The fingerprint of its packages of which a WPAR does not see these.
    pub(super) fn fingerprint(&self, hidden: &BTreeSet<String>) -> Option<PackageFingerprint> {
        Some(fingerprint_of(&self.packages(Detail::Paths)?, hidden))
    }
}

/// The fingerprint of packages of which a WPAR does not see these.
pub(super) fn fingerprint_of(
    database: &PackageDatabase,
    hidden: &BTreeSet<String>,
) -> PackageFingerprint {
    fingerprint::fingerprint(database, |package| {
        !hidden.contains(&format!("{}:{}", package.name, package.architecture))
    })
}

/// Whether the base of a WPAR has other packages than when the WPAR was made or synchronized; `false`
/// if that cannot be told.
pub(super) fn is_behind(layout: &Layout, host: &dyn HostFacts, record: &WparRecord) -> bool {
    let now = || -> Option<String> {
        let base = record.base.as_ref()?;
        let lender = Lender::open(layout, host, record, base).ok()?;
        Some(fingerprint::of_all(&lender.packages(Detail::Packages)?))
    };
    let synced = record.base.as_ref().and_then(|base| base.packages.as_ref());
    match (synced, now()) {
        (Some(synced), Some(now)) => synced.all != now,
        _ => false,
    }
}

/// The base that a directory is, or the host.
pub(super) fn system(asked: Option<&std::path::Path>) -> CliResult<BaseSystem> {
    let Some(path) = asked else {
        return Ok(BaseSystem::Host);
    };
    let shown = path.display();
    let path = std::fs::canonicalize(path)
        .map_err(|error| CliError::io(format!("cannot use {shown}"), &error))?;
    if path == std::path::Path::new("/") {
        return Ok(BaseSystem::Host);
    }
    let root = crate::source::image::tree_mark(&path)?;
    Ok(BaseSystem::Tree { path, root })
}
