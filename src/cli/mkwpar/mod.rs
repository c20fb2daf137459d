//! `mkwpar`: makes a WPAR: a system copy of an image or of the running system, or a standard one.

mod words;

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::connection;
use super::context::{Context, parse_name, require_fuse};
use super::controls::{self, NewControlArguments};
use super::create::{self, Plan};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::filesets;
use super::lender;
use super::levels::{self, Insist};
use super::lifecycle;
use super::prepared::Prepared;
use super::remove::{self, StoreFate};
use super::script;
use super::shared_copy;
use super::verbs::{Arguments, Verb};
use super::{output, specification};
use crate::launch::Payload;
use crate::model::copy_controls::Selection;
use crate::model::device_export::DeviceError;
use crate::model::privileges::PrivilegeError;
use crate::model::{
    Base, CopyControls, DeviceName, DeviceRequest, FileSystemAttributes, Network, Privileges,
    Resources, Source, SpaceLimits, SpecFile, WparKind, WparName, WparRecord,
};
use crate::registry::{Lock, Registry};
use crate::source::devices;

pub(super) const VERB: Verb = Verb::aix::<MakeArguments>(words::WORDS);

/// Arguments of `mkwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct MakeArguments {
    /// Make a system copy: of the image of -B, or of the running system
    #[arg(short = 't', long = "system-copy")]
    system_copy: bool,

    /// Backup to make it from: an archive, the image of a file system or disk, or a directory
    #[arg(short = 'B', long = "backup", value_name = "IMAGE")]
    image: Option<PathBuf>,

    /// Name of the WPAR: up to 25 characters
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,

    /// Host name, if it is not to be the name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    hostname: Option<String>,

    /// Base directory, where the WPAR is seen on the host [default: /wpars/NAME]
    #[arg(short = 'd', long = "directory", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Start it when it is made; say how long that took, on a terminal or with -v
    #[arg(short = 's', long = "start")]
    start: bool,

    /// Make it versioned: it may run at a level that is not the host's
    #[arg(short = 'C', long = "versioned")]
    versioned: bool,

    /// Have a /usr and /opt of its own to change, as a system copy has anyway
    #[arg(short = 'l', long = "private-usr", conflicts_with = "shared")]
    private_usr: bool,

    /// Share /usr and /opt, read-only, also in a system copy
    #[arg(long = "shared")]
    shared: bool,

    /// The system whose /usr and /opt it has, a directory, if that is not the running one
    #[arg(long = "usr-from", value_name = "DIR")]
    usr_from: Option<PathBuf>,

    /// Mark it to be started with the host
    #[arg(short = 'A', long = "auto")]
    auto: bool,

    /// A script of the host that is run at its start and stop
    #[arg(short = 'u', long = "script", value_name = "FILE")]
    script: Option<PathBuf>,

    /// Copy controls: preserve_private=yes|no, preserve_wpars=yes|no, include=MOUNT, exclude=PATH, snapshot=auto|require|no, hydrate=yes|no, source=DIR
    #[arg(short = 'T', long = "copy-controls", value_name = "NAME=VALUE", num_args = 1..)]
    copy_controls: Vec<String>,

    /// How large its file system may become: directory=/, size=SIZE, inodes=NUMBER
    #[arg(short = 'M', long = "file-system", value_name = "NAME=VALUE", num_args = 1..)]
    file_system: Vec<String>,

    /// Settings from a specification file; what the command line says wins
    #[arg(short = 'f', long = "specification", value_name = "FILE")]
    specification: Option<PathBuf>,

    /// Settings of an existing WPAR but for its name, host name and directory
    #[arg(short = 'e', long = "existing", value_name = "NAME")]
    existing: Option<String>,

    /// Write the settings to a specification file
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    out: Option<PathBuf>,

    /// Only write the specification file, and make nothing
    #[arg(short = 'w', long = "write-only", requires = "out")]
    write_only: bool,

    /// A device of the host to give to it: devname=DEVICE, export=yes|no
    #[arg(short = 'D', long = "device", value_name = "NAME=VALUE", num_args = 1..)]
    devices: Vec<String>,

    /// Privileges of its programs: privs=LIST, privs+=LIST, privs-=LIST
    #[arg(short = 'S', long = "security", value_name = "NAME=VALUE", num_args = 1..)]
    security: Vec<String>,

    /// The list of devices that may be exported [default: /etc/wpars/devexports]
    #[arg(short = 'b', long = "devexports", value_name = "FILE")]
    devexports: Option<PathBuf>,

    #[command(flatten)]
    more: NewControlArguments,

    /// Use the store that 'rmwpar -p' kept
    #[arg(short = 'p', long = "preserved", value_name = "NAME", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    preserved: Option<String>,

    /// Say more: what is left out of a copy, steps of the start
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

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
            network: match (&self.hostname, network.is_default()) {
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

/// Only what has the `/usr` of another system can say of which.
fn require_lender(settings: &SpecFile, is_copy: bool) -> CliResult<()> {
    let shared = settings.private_usr == Some(false) || settings.usr_from.is_some();
    if settings.usr_from.is_some() && is_copy && settings.private_usr == Some(true) {
        return Err(
            CliError::usage("a system copy with -l has /usr and /opt of its own")
                .hint("leave -l out to have those of another system, or --usr-from"),
        );
    }
    if shared && is_copy && settings.backup.is_none() {
        return Err(
            CliError::usage("a copy of the running system has all of it")
                .hint("leave -t out for a standard workload partition, which shares /usr"),
        );
    }
    Ok(())
}

/// What is said of the network, over what is so before.
fn said_network(settings: &SpecFile, before: Network) -> CliResult<Network> {
    let is_routed = settings.routing == Some(true);
    controls::network(before, &settings.network, is_routed, &settings.routes)
}

/// A plan for a new WPAR. A name that is taken is found before a long index is made, not after.
fn plan(
    context: &Context,
    registry: &Registry,
    name: WparName,
    copy_controls: CopyControls,
    is_copy: bool,
    settings: &SpecFile,
) -> CliResult<(Plan, Prepared)> {
    create::require_free(registry, &name, false)?;
    create::require_unique(registry, settings.uuid.as_deref())?;
    let hostname = create::hostname(settings.hostname.as_deref(), &name)?;
    let prepared = match is_copy {
        true => Prepared::new(context, settings.backup.as_deref())?,
        false => Prepared::fresh(),
    };
    let system = lender::system(settings.usr_from.as_deref())?;
    let base = match is_copy {
        true => shared_copy::base(context, &prepared.source, copy_controls, settings, system)?,
        false => Some(Base {
            system,
            private: settings.private_usr == Some(true),
            points: Vec::new(),
            packages: None,
        }),
    };
    let plan = Plan {
        name,
        hostname,
        kind: WparKind::System,
        directory: settings.directory.clone(),
        source: prepared.source.clone(),
        base,
        copy_controls,
        selection: Selection::default(),
        limits: SpaceLimits::default(),
        devices: Vec::new(),
        network: Network::default(),
        leave_clashes_out: false,
        copy_resolver: false,
        resources: Resources::default(),
        privileges: Privileges::default(),
        uuid: settings.uuid.clone(),
        versioned: settings.versioned == Some(true),
        auto: settings.auto == Some(true),
        script: settings.script.clone(),
        owner: None,
        kept: None,
    };
    Ok((plan, prepared))
}

impl MakeArguments {
    /// What the command line says, over the specification file, over the template.
    fn settings(&self, context: &Context) -> CliResult<SpecFile> {
        let file = match &self.specification {
            Some(path) => specification::read(path)?,
            None => SpecFile::default(),
        };
        let template = match &self.existing {
            Some(name) => specification::template(context, name)?,
            None => SpecFile::default(),
        };
        Ok(self.said()?.over(file).over(template))
    }

    /// What the command line says.
    fn said(&self) -> CliResult<SpecFile> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|error| CliError::io(format!("cannot use {}", path.display()), &error))
        };
        Ok(SpecFile {
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            directory: self.directory.as_deref().map(absolute).transpose()?,
            auto: self.auto.then_some(true),
            script: self.script.as_deref().map(absolute).transpose()?,
            uuid: None,
            system_copy: self.system_copy.then_some(true),
            backup: self.image.as_deref().map(absolute).transpose()?,
            versioned: self.versioned.then_some(true),
            private_usr: match (self.private_usr, self.shared) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            },
            usr_from: self.usr_from.as_deref().map(absolute).transpose()?,
            controls: self.copy_controls.clone(),
            file_system: self.file_system.clone(),
            network: self.more.controls.network.clone(),
            routing: self.more.controls.routing.then_some(true),
            routes: self.more.controls.routes.clone(),
            resources: self.more.controls.resources.clone(),
            security: self.security.clone(),
        })
    }

    fn name(&self, settings: &SpecFile) -> CliResult<WparName> {
        let preserved = self.preserved.as_deref().filter(|name| !name.is_empty());
        match (settings.name.as_deref(), preserved) {
            (Some(name), Some(kept)) if name != kept => Err(CliError::usage(format!(
                "the store of {kept} cannot be used as {name}"
            ))
            .hint(format!("use 'mkwpar -p -n {kept}'"))),
            (Some(name), _) | (None, Some(name)) => parse_name(name),
            (None, None) => Err(CliError::usage("missing the name")
                .hint("give one with -n NAME, or in a specification file with -f FILE")),
        }
    }

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

    /// A plan that uses a kept store again. What it was made from cannot be chosen anew.
    fn plan_from_kept(
        &self,
        context: &Context,
        registry: &Registry,
        name: WparName,
        settings: &SpecFile,
    ) -> CliResult<(Plan, Prepared)> {
        create::require_free(registry, &name, true)?;
        let kept = registry.load_kept(&name)?.ok_or_else(|| {
            CliError::new(format!("no store of a WPAR called {name} was kept"))
                .hint("'rmwpar -p' keeps one")
        })?;
        let image = kept.source.path().map(Path::to_owned);
        if self.image.is_some() || self.system_copy {
            let asked = self
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

/// Says that a WPAR was made, and what to do next.
pub(super) fn say_made(context: &Context, record: &WparRecord) {
    output::say(format_args!("{} was made", record.name));
    match levels::note(record) {
        Some(why) => context.note(why),
        None => context.note(format_args!(
            "0960-390 start it with 'startwpar {}'",
            record.name
        )),
    }
}

/// Starts what was made. A start that fails leaves a defined WPAR; one that is interrupted leaves
/// none, and of its store what `fate` says.
pub(super) fn start_new(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    lock: Lock,
    fate: StoreFate,
    (begun, verbose): (Instant, bool),
) -> CliResult<()> {
    let name = &record.name;
    let started = levels::require(context, registry, record, Insist::No)
        .and_then(|()| lifecycle::start(context, registry, record, Payload::Init, verbose));
    if let Err(interrupt) = context.interrupts.check() {
        lifecycle::end(registry, record)?;
        remove::remove(context, registry, record, fate, lock)?;
        return Err(interrupt);
    }
    let started =
        started.and_then(|started| lifecycle::announce(context, registry, record, started));
    started.map_err(|error| CliError {
        message: format!("{name} was made but did not start: {}", error.message),
        ..error
    })?;
    lifecycle::say_active_since(name, begun, verbose);
    Ok(())
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
