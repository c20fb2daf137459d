//! The system that lends a WPAR its `/usr` and `/opt`, opened to look at: for what makes and
//! synchronizes such a WPAR.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use wpar_mountd::spec::{Access, MountSpec, SpaceLimits};

use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use crate::model::copy_controls::Selection;
use crate::model::{Base, BaseSystem, CopyControls, PackageFingerprint, View, WparRecord};
use crate::packages::{self, Detail, PackageDatabase, fingerprint};
use crate::policy::mount_spec::own_places;
use crate::policy::system_copy::root_part::{self, RootPart};
use crate::policy::{base, root_group};
use crate::registry::Layout;
use crate::source::host::{HostFacts, RunningHost};
use crate::source::tree::OfflineTree;

/// A system that lends.
pub(super) struct Lender {
    /// Its files, none of which can be changed.
    pub(super) tree: OfflineTree,
    /// Its file systems, if it is the running one.
    pub(super) view: View,
    /// Its packages, once they are asked for.
    database: OnceCell<Option<PackageDatabase>>,
}

impl Lender {
    /// Opens the base of a WPAR.
    pub(super) fn open(
        layout: &Layout,
        host: &dyn HostFacts,
        controls: CopyControls,
        base: &Base,
    ) -> CliResult<Self> {
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
            database: OnceCell::new(),
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
        decisions::with(layout, &copied, |situation| {
            root_part::plan(situation, self.database())
        })
    }

    /// Its packages, with paths, read once; `None` if there is no data base of them that can be read.
    pub(super) fn database(&self) -> Option<&PackageDatabase> {
        let read = || {
            packages::read(self.tree.overlay(), Detail::Paths)
                .ok()
                .flatten()
        };
        self.database.get_or_init(read).as_ref()
    }

    /// The fingerprint of its packages of which a WPAR does not see these.
    pub(super) fn fingerprint(&self, hidden: &BTreeSet<String>) -> Option<PackageFingerprint> {
        Some(fingerprint_of(self.database()?, hidden))
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

/// The shared WPARs among these whose base has other packages than when their root part was made or
/// synchronized, as far as that can be told. Each base is looked at once.
pub(super) fn behind<'a>(
    layout: &Layout,
    records: impl Iterator<Item = &'a WparRecord>,
) -> Vec<&'a WparRecord> {
    let mut known: HashMap<PathBuf, Option<String>> = HashMap::new();
    let mut host = None;
    let mut found = Vec::new();
    for record in records {
        let Some(base) = record.base.as_ref().filter(|base| !base.private) else {
            continue;
        };
        let mut look = || {
            if host.is_none() {
                host = Some(RunningHost::read().ok()?);
            }
            let lender = Lender::open(layout, host.as_ref()?, record.copy_controls, base).ok()?;
            let packages = packages::read(lender.tree.overlay(), Detail::Packages);
            Some(fingerprint::of_all(&packages.ok()??))
        };
        let root = base.system.root();
        let now = match known.get(root) {
            Some(now) => now.clone(),
            None => {
                let now = look();
                known.insert(root.to_owned(), now.clone());
                now
            }
        };
        if let (Some(synced), Some(now)) = (&base.packages, now)
            && synced.all != now
        {
            found.push(record);
        }
    }
    found
}

/// What to say of one that is behind.
pub(super) fn behind_note(record: &WparRecord) -> String {
    let base = record.base.as_ref().map(|base| base.system.to_string());
    format!(
        "the root part of {} is behind {}, whose packages have changed: run 'syncwpar {}' while it is \
         stopped",
        record.name,
        base.unwrap_or_default(),
        record.name
    )
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
