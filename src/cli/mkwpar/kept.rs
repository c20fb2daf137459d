//! The plan for a WPAR with a store that `rmwpar -p` kept.

use std::path::Path;

use super::arguments::MakeArguments;
use crate::cli::context::Context;
use crate::cli::create::{self, Plan};
use crate::cli::error::{CliError, CliResult};
use crate::cli::prepared::Prepared;
use crate::model::copy_controls::Selection;
use crate::model::{Source, SpecFile, WparKind, WparName};
use crate::registry::Registry;

impl MakeArguments {
    /// A plan that uses a kept store again. What it was made from cannot be chosen anew.
    pub(super) fn plan_from_kept(
        &self,
        context: &Context,
        registry: &Registry,
        name: WparName,
        settings: &SpecFile,
    ) -> CliResult<(Plan, Prepared)> {
        create::require_free(registry, &name, true)?;
        if self.private_usr || self.shared || self.usr_from.is_some() {
            return Err(
                CliError::usage("which /usr it has was decided when its store was made")
                    .hint("leave -l, --shared and --usr-from out"),
            );
        }
        let kept = registry.load_kept(&name)?.ok_or_else(|| {
            CliError::new(format!("no store of a WPAR called {name} was kept"))
                .hint("'rmwpar -p' keeps one")
        })?;
        let image = kept.source.path().map(Path::to_owned);
        if self.source.image.is_some() || self.source.system_copy {
            let asked = self
                .source
                .image
                .as_ref()
                .map(|path| path.canonicalize().unwrap_or(path.clone()));
            if asked != image {
                let of = image.map_or("the running system".to_owned(), |p| p.display().to_string());
                return Err(
                    CliError::usage(format!("the kept store of {name} belongs to {of}"))
                        .hint("leave -t and -B out to use it with that"),
                );
            }
        }
        let prepared = match kept.source {
            Source::Fresh => Prepared::fresh(),
            _ => Prepared::new(context, image.as_deref())?,
        };
        if !prepared.source.is_same(&kept.source) {
            return Err(CliError::new(format!(
                "the image of the kept store of {name} has changed"
            ))
            .hint(format!(
                "put the old image back, or drop the store with 'rmwpar {name}'"
            )));
        }
        let hostname = match settings.hostname.as_deref() {
            Some(asked) => create::hostname(Some(asked), &name)?,
            None => kept.hostname.clone(),
        };
        let plan = Plan {
            name,
            hostname,
            kind: WparKind::System,
            directory: settings.directory.clone(),
            source: prepared.source.clone(),
            base: kept.base.clone(),
            copy_controls: kept.copy_controls,
            selection: Selection::default(),
            limits: kept.limits,
            uuid: None,
            versioned: settings.versioned.unwrap_or(kept.versioned),
            auto: settings.auto.unwrap_or(kept.auto),
            script: settings.script.clone().or_else(|| kept.script.clone()),
            devices: kept.devices.clone(),
            network: kept.network.clone(),
            leave_clashes_out: false,
            copy_resolver: false,
            resources: kept.resources.clone(),
            privileges: kept.privileges.clone(),
            owner: None,
            kept: Some(kept),
        };
        Ok((plan, prepared))
    }
}
