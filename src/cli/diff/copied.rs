//! The source of a WPAR as a copy made of it now would show it: what the rules of a system copy decide
//! is no difference between a WPAR and what it was made of.
//!
//! Nothing of it is kept: what the rules write goes into a store that ends with the comparison.

use tempfile::TempDir;
use wpar_mountd::spec::MountSpec;

use crate::cli::context::Context;
use crate::cli::create::running_host;
use crate::cli::decisions::{self, Copied};
use crate::cli::error::{CliError, CliResult};
use crate::model::record::WparKind;
use crate::model::{Edit, Source, View, WparRecord};
use crate::policy::mount_spec::mount_spec;
use crate::source::edits;
use crate::source::tree::OfflineTree;

/// A WPAR whose source is asked for.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) record: WparRecord,
    pub(super) view: View,
}

/// An open source.
#[derive(Debug)]
pub(super) struct OpenSource {
    pub(super) spec: MountSpec,
    pub(super) tree: OfflineTree,
    /// Where its store lies, if it has one.
    pub(super) scratch: Option<TempDir>,
}

impl OpenSource {
    /// Opens what has no store.
    pub(super) fn open(spec: MountSpec) -> CliResult<Self> {
        Ok(Self {
            tree: OfflineTree::open(&spec)?,
            spec,
            scratch: None,
        })
    }
}

impl Copy {
    /// Whether its source can be shown so. What `syncwpar -D` has made of a WPAR is not its source.
    pub(super) fn has_source(&self) -> bool {
        self.view.generations.is_empty()
    }

    /// Opens its source, with what the WPAR hides hidden and what the rules write written.
    pub(super) fn open_source(&self, context: &Context) -> CliResult<OpenSource> {
        let scratch = self.scratch(context)?;
        let host = running_host()?;
        let as_of = |view: &View| -> CliResult<MountSpec> {
            let spec = mount_spec(&self.record, view, &context.layout, &host)?;
            let store = Some(scratch.path().join("store"));
            Ok(MountSpec { store, ..spec })
        };
        let edits = match self.record.kind {
            WparKind::System => {
                let undecided = View {
                    hidden: Vec::new(),
                    ..self.view.clone()
                };
                self.edits(context, &as_of(&undecided)?)?
            }
            WparKind::Application => Vec::new(),
        };
        let spec = as_of(&self.view)?;
        let tree = OfflineTree::open(&spec)?;
        edits::make(tree.overlay(), edits).map_err(|error| CliError::new(error.to_string()))?;
        Ok(OpenSource {
            spec,
            tree,
            scratch: Some(scratch),
        })
    }

    /// A directory among those of this boot: no name of a WPAR has a dot, and no copy shows it.
    fn scratch(&self, context: &Context) -> CliResult<TempDir> {
        let parent = context.layout.run_parent();
        std::fs::create_dir_all(&parent)
            .and_then(|()| tempfile::Builder::new().prefix("diff.").tempdir_in(&parent))
            .map_err(|error| {
                let what = format!("cannot make a directory in {}", parent.display());
                CliError::io(what, &error)
            })
    }

    /// What the rules write into a copy of what `spec` shows.
    fn edits(&self, context: &Context, spec: &MountSpec) -> CliResult<Vec<Edit>> {
        let tree = OfflineTree::open(spec)?;
        let copied = Copied {
            files: tree.overlay(),
            is_running: self.record.source == Source::Host,
            controls: self.record.copy_controls,
            hostname: &self.record.hostname,
        };
        Ok(decisions::decide(&context.layout, &copied)?.edits)
    }
}
