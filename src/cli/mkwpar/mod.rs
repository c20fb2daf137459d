//! `mkwpar`: makes a WPAR: a system copy of an image or of the running system, or a standard one.
//!
//! What is asked for comes from the command line, a specification file and a template (`arguments`);
//! out of it a plan is made, for a new store (`plan`) or a kept one (`kept`), and carried out by
//! `create`.

mod arguments;
mod kept;
mod plan;
mod start;
mod words;

use std::time::Instant;

use super::connection;
use super::context::{Context, require_fuse};
use super::controls;
use super::create::{self, Plan};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::filesets;
use super::lifecycle;
use super::remove::StoreFate;
use super::script;
use super::verbs::{Arguments, Verb};
use super::{output, specification};
use crate::model::copy_controls::Selection;
use crate::model::device_export::DeviceError;
use crate::model::privileges::PrivilegeError;
use crate::model::{
    CopyControls, DeviceName, DeviceRequest, FileSystemAttributes, Network, Privileges, Resources,
    SpecFile,
};
use crate::source::devices;
use arguments::MakeArguments;
use plan::{plan, require_lender, said_network};
pub(super) use start::{say_made, start_new};

pub(super) const VERB: Verb = Verb::aix::<MakeArguments>(words::WORDS);

impl Arguments for MakeArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let begun = Instant::now();
        let settings = self.settings(context)?;
        let name = self.name(&settings)?;
        let settings = SpecFile {
            name: Some(name.to_string()),
            ..settings
        };
        let hostname = settings.hostname.as_deref();
        if hostname.is_some() {
            create::hostname(hostname, &name)?;
        }
        let (copy_controls, selection) = CopyControls::parse_with_selection(&settings.controls)
            .map_err(|error| CliError::usage(error.to_string()))?;
        let attributes = FileSystemAttributes::parse(&settings.file_system)
            .map_err(|error| CliError::usage(error.to_string()))?;
        let network = said_network(&settings, Network::default())?;
        let resources = controls::resources(Resources::default(), &settings.resources)?;
        let requests = DeviceRequest::parse(&self.devices)
            .map_err(|error| CliError::usage(error.to_string()))?;
        if let Some(script) = &settings.script {
            script::check(script)?;
        }
        let refused = |error: PrivilegeError| CliError::usage(error.to_string());
        Privileges::default()
            .with(&settings.security)
            .map_err(refused)?;
        // As in AIX, a versioned WPAR is always a copy of a whole system.
        let is_copy = settings.system_copy == Some(true) || settings.versioned == Some(true);
        let is_standard = !is_copy && self.preserved.is_none();
        if is_standard && settings.backup.is_some() {
            return Err(
                CliError::usage("a standard workload partition has no backup")
                    .hint("add -t to make a system copy of it, or leave -B out"),
            );
        }
        if is_standard && selection != Selection::default() {
            return Err(CliError::usage("include and exclude are for system copies")
                .hint("leave them away, or add -t"));
        }
        require_lender(&settings, is_copy)?;
        let is_versioned = settings.versioned == Some(true);
        if is_versioned && settings.backup.is_none() && self.preserved.is_none() {
            return Err(CliError::usage("-C goes with a backup")
                .hint("name one with -B IMAGE; the running system is at its own level"));
        }
        if let Some(out) = self.write_only.then_some(self.out.as_deref()).flatten() {
            specification::write(out, &settings)?;
            output::say(format_args!("{} was written", out.display()));
            return Ok(Exit::Success);
        }
        let registry = context.registry()?;
        self.check_fuse(context)?;
        let lock = context.lock(&registry, &name)?;
        let (plan, prepared) = match &self.preserved {
            Some(_) => self.plan_from_kept(context, &registry, name, &settings)?,
            None => plan(context, &registry, name, copy_controls, is_copy, &settings)?,
        };
        if self.preserved.is_some() && selection != Selection::default() {
            return Err(
                CliError::usage("what is in a copy was decided when its store was made")
                    .hint("leave include and exclude away"),
            );
        }
        let devices = match &plan.kept {
            Some(kept) if requests.is_empty() => kept.devices.clone(),
            _ => self.grant(context, &requests)?,
        };
        let (network, resources) = match &plan.kept {
            Some(kept) => (
                said_network(&settings, kept.network.clone())?,
                controls::resources(kept.resources.clone(), &settings.resources)?,
            ),
            None => (network, resources),
        };
        lifecycle::limits_of(&resources)?;
        connection::report(context, &resources);
        let plan = Plan {
            limits: attributes.over(plan.limits),
            selection,
            devices,
            network: match (&self.source.hostname, network.is_default()) {
                (Some(hostname), true) => connection::of_hostname(hostname)?,
                _ => network,
            },
            leave_clashes_out: self.more.controls.resolve_clashes,
            copy_resolver: self.more.controls.resolver,
            resources,
            privileges: plan.privileges.with(&settings.security).map_err(refused)?,
            ..plan
        };
        let copy_controls = plan.copy_controls;
        let is_new = plan.kept.is_none();
        let record = create::create(context, &registry, plan)?;
        let view = registry.view(&record.name)?;
        prepared.report(context, copy_controls, &view, self.verbose);
        if is_new {
            filesets::report(context, &record.name, &view, self.verbose);
        }
        if let Some(out) = &self.out
            && let Err(error) = specification::write(out, &settings)
        {
            // The WPAR is made, and can be made the template of another one.
            context.note(format_args!("warning: {error}"));
        }
        if self.start {
            let fate = match self.preserved {
                Some(_) => StoreFate::Kept,
                None => StoreFate::Removed,
            };
            let how = (begun, self.verbose);
            start_new(context, &registry, &record, lock, fate, how)?;
        } else {
            say_made(context, &record);
        }
        Ok(Exit::Success)
    }
}

impl MakeArguments {
    /// The devices that a new WPAR gets.
    fn grant(&self, context: &Context, requests: &[DeviceRequest]) -> CliResult<Vec<DeviceName>> {
        let file = match &self.devexports {
            Some(file) => file.clone(),
            None => context.layout.devexports(),
        };
        let shown = file.display().to_string();
        let exports = devices::exports(&file).map_err(|error| {
            CliError::io(format!("cannot use the list of devices {shown}"), &error)
        })?;
        if requests.is_empty() && !exports.has_automatic() {
            return Ok(Vec::new());
        }
        let granted = exports.grant(requests, &devices::present(), &shown);
        granted.map_err(|error| match error {
            DeviceError::NotExportable(..) => CliError::new(error.to_string())
                .hint(format!("add it to {shown}, if any WPAR may have it")),
            error => CliError::new(error.to_string()),
        })
    }

    /// Without `/dev/fuse` nothing can be started: an error if that is asked for, else worth a
    /// word.
    fn check_fuse(&self, context: &Context) -> CliResult<()> {
        match require_fuse() {
            Err(error) if self.start => Err(error),
            Err(error) => {
                context.note(format_args!(
                    "warning: the WPAR cannot be started yet: {error}"
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::privileges;

    #[test]
    fn the_manual_names_every_privilege() {
        let description = VERB.description;
        for (name, _) in privileges::known() {
            assert!(description.contains(name), "{name}");
        }
    }
}
