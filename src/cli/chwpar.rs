//! `chwpar`: changes what may be changed of a WPAR after it was made.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::connection;
use super::context::{Context, parse_name, require_fuse};
use super::controls::ControlArguments;
use super::create;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{levels, lifecycle, output, script};
use crate::model::space_limits::AttributeError;
use crate::model::{
    BaseSystem, FileSystemAttributes, Privileges, Source, WparKind, WparName, WparRecord, WparState,
};
use crate::registry::Registry;
use crate::source::identity::{self, Identity};

pub(super) const VERB: Verb = Verb::aix::<ChangeArguments>(Words {
    name: "chwpar",
    about: "Change a workload partition",
    description: "Changes settings of a WPAR. Its name, host name and base directory can be changed \
        while it is stopped; the other settings at any time. Network and resource controls hold at \
        once (procVirtMem for what is started from then on, totalPTYs from the next start on); other settings from its next start on. -N adds an address or changes it, and -I a \
        route; with -K -N address=ADDRESS, -K -N publish=PORT:PORT or -K -I rtdest=DESTINATION that one is \
        taken away. A running WPAR cannot leave the host's network (mode=shared) or enter it. \
        With -K the settings that are named go back to what they are without being set.",
    examples: &[
        ("Let a copy of another release run", "chwpar -C wpar1"),
        (
            "Give it another name and host name",
            "chwpar -n web2 -h web2 wpar1",
        ),
        (
            "Start it with the host, and no longer",
            "chwpar -A wpar1; chwpar -K -A wpar1",
        ),
        (
            "Run a script of the host at its start and stop",
            "chwpar -u /usr/local/sbin/announce wpar1",
        ),
        ("Let it write more", "chwpar -M size=20G wpar1"),
        (
            "Give it another address, at once",
            "chwpar -N address=192.0.2.11 wpar1; chwpar -K -N address=192.0.2.10 wpar1",
        ),
        (
            "Let it use less, at once, and as much as it wants again",
            "chwpar -R CPU=50% memory=2GB wpar1; chwpar -K -R CPU memory wpar1",
        ),
        ("Take its limits away", "chwpar -K -M size inodes wpar1"),
        (
            "Take the right away to open ports below 1024, and give it back",
            "chwpar -S privs-=PV_NET_PORT wpar1; chwpar -K -S privs wpar1",
        ),
    ],
    compatibility: "-A, -d, -h, -i, -I, -K, -M, -n, -N, -R, -S and -u are AIX's. In AIX -M adds file systems and -K -M removes them; here \
        they change and remove the limits of the one that there is. -C (versioned) is an addition; \
        AIX decides that when a WPAR is made. The host name is changed only while the WPAR is \
        stopped. Whether /usr is shared (-l, --shared) is decided when a WPAR is made, as in AIX. Devices cannot be changed yet.",
});

/// Arguments of `chwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME", required_unless_present_any = [
        "file_system", "security", "hostname", "directory", "network", "routes", "resources",
        "script",
    ])]
    name: Option<String>,

    /// New name
    #[arg(
        short = 'n',
        long = "new-name",
        value_name = "NEWNAME",
        conflicts_with = "remove"
    )]
    new_name: Option<String>,

    /// Host name; with -K, the WPAR's name
    #[arg(short = 'h', long = "hostname", value_name = "HOST", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    hostname: Option<String>,

    /// Base directory; with -K, the usual one
    #[arg(short = 'd', long = "directory", value_name = "DIR", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    directory: Option<String>,

    /// Mark it to be started with the host
    #[arg(short = 'A', long = "auto")]
    auto: bool,

    /// A script of the host that is run at its start and stop; with -K, none
    #[arg(short = 'u', long = "script", value_name = "FILE", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    script: Option<String>,

    /// Make it versioned: it may run at a level that is not the host's
    #[arg(short = 'C', long = "versioned")]
    versioned: bool,

    /// (Whether /usr is its own: decided when it is made)
    #[arg(short = 'l', long = "private-usr", conflicts_with = "shared")]
    private_usr: bool,

    /// (Whether /usr is shared: decided when it is made)
    #[arg(long = "shared")]
    shared: bool,

    /// How large its file system may become: size=SIZE, inodes=NUMBER; with -K, the names alone
    #[arg(short = 'M', long = "file-system", value_name = "NAME=VALUE", num_args = 1..)]
    file_system: Vec<String>,

    #[command(flatten)]
    controls: ControlArguments,
    /// Privileges of its programs: privs=LIST, privs+=LIST, privs-=LIST; with -K, privs alone
    #[arg(short = 'S', long = "security", value_name = "NAME=VALUE", num_args = 1..)]
    security: Vec<String>,

    /// Take the settings away that are named
    #[arg(short = 'K', long = "remove")]
    remove: bool,
}

impl Arguments for ChangeArguments {
    fn run(mut self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.take_name()?)?;
        let new_name = self.new_name.as_deref().map(parse_name).transpose()?;
        self.require_something()?;
        let limits = self.limits()?;
        let registry = context.registry()?;
        // The old name first: whoever renames the other way round waits or gives up.
        let _lock = context.lock(&registry, &name)?;
        let before = lifecycle::record(&registry, &name)?;
        self.require_usr(&before)?;
        self.require_state(&registry, &before)?;
        let mut record = before.clone();
        record.limits = limits.over(record.limits);
        record.privileges = self.privileges(record.privileges)?;
        if self.auto {
            record.auto = !self.remove;
        }
        if self.versioned {
            require_system(&record)?;
            record.versioned = !self.remove;
        }
        if let Some(asked) = &self.script {
            let path = self.value(asked)?.map(std::path::absolute).transpose();
            record.script =
                path.map_err(|error| CliError::io(format!("cannot use {asked}"), &error))?;
            record.script.as_deref().map_or(Ok(()), script::check)?;
        }
        if let Some(asked) = &self.hostname {
            let asked = self.value(asked)?;
            let own = new_name.as_ref().unwrap_or(&name);
            record.hostname = create::hostname(asked, own)?;
        }
        if self.controls.names_network() {
            let changed = self.controls.change_network(record.network, self.remove)?;
            record.network = connection::settled(context, &registry, &name, changed, false)?;
        }
        record.resources = self
            .controls
            .change_resources(record.resources, self.remove)?;
        lifecycle::limits_of(&record.resources)?;
        if record.resources != before.resources {
            connection::report(context, &record.resources);
        }
        record.version = record.needed_version();
        if lifecycle::look(&registry, &before, true).state == WparState::Active {
            connection::apply(&registry, &before, &record)?;
        }
        let record = self.place(context, &registry, record)?;
        match new_name.filter(|new| *new != name) {
            Some(new) => rename(context, &registry, &record, &new)?,
            None => output::say(format_args!("{name} was changed")),
        }
        if self.versioned
            && !self.remove
            && let Some(why) = levels::note(&record)
        {
            context.note(why);
        }
        Ok(Exit::Success)
    }
}

impl ChangeArguments {
    /// The name, which a setting with values may have taken for one of them: AIX's order is that
    /// of `chwpar -M size=1G NAME`.
    fn take_name(&mut self) -> CliResult<String> {
        let is_value = |word: &String| !self.remove && word.contains('=');
        if let Some(name) = self.name.take() {
            return Ok(name);
        }
        let is_attribute = |word: &String| matches!(word.as_str(), "size" | "inodes");
        let of_file_system = match self.file_system.last() {
            Some(last)
                if self.file_system.len() > 1
                    && !is_value(last)
                    && !(self.remove && is_attribute(last)) =>
            {
                self.file_system.pop()
            }
            None if self.security.len() > 1 && !self.security.last().is_some_and(is_value) => {
                self.security.pop()
            }
            _ => None,
        };
        let mistaken = of_file_system
            .or_else(|| self.controls.take_stray(self.remove))
            .or_else(|| match self.remove {
                true => [&mut self.hostname, &mut self.directory, &mut self.script]
                    .into_iter()
                    .flatten()
                    .find(|value| !value.is_empty())
                    .map(std::mem::take),
                false => None,
            });
        mistaken.ok_or_else(|| CliError::usage("missing <NAME>").hint("see 'chwpar --help'"))
    }

    /// What is in the store belongs to the /usr that it was written above.
    fn require_usr(&self, record: &WparRecord) -> CliResult<()> {
        if !self.private_usr && !self.shared {
            return Ok(());
        }
        let how = match record.has_private_usr() {
            true => "has a /usr of its own",
            false => "shares its /usr",
        };
        Err(CliError::new(format!(
            "{} {how}, and that cannot be changed: what it has written and has on record belongs to it",
            record.name
        ))
        .hint("make another workload partition, with -l or without, and move your files"))
    }

    fn require_something(&self) -> CliResult<()> {
        let named = self.auto
            || self.private_usr
            || self.shared
            || self.versioned
            || self.new_name.is_some()
            || self.hostname.is_some()
            || self.directory.is_some()
            || self.script.is_some()
            || !self.file_system.is_empty()
            || !self.security.is_empty()
            || !self.controls.is_empty();
        match named {
            true => Ok(()),
            false => Err(CliError::usage("nothing is to be changed").hint("see 'chwpar --help'")),
        }
    }

    /// The value of a setting, or none with `-K`.
    fn value<'a>(&self, value: &'a str) -> CliResult<Option<&'a str>> {
        match (self.remove, value.is_empty()) {
            (false, false) => Ok(Some(value)),
            (true, true) => Ok(None),
            (false, true) => {
                Err(CliError::usage("a value is missing").hint("or take it away with -K"))
            }
            (true, false) => Err(CliError::usage(format!(
                "-K takes no value, and '{value}' is one"
            ))
            .hint("leave it out")),
        }
    }

    fn limits(&self) -> CliResult<FileSystemAttributes> {
        let usage = |error: AttributeError| CliError::usage(error.to_string());
        if !self.remove {
            return FileSystemAttributes::parse(&self.file_system).map_err(usage);
        }
        let pairs: Vec<_> = self
            .file_system
            .iter()
            .map(|name| format!("{name}=unlimited"))
            .collect();
        let with_value = self.file_system.iter().find(|name| name.contains('='));
        match with_value {
            Some(pair) => Err(CliError::usage(format!("-K takes names, not '{pair}'"))),
            None => FileSystemAttributes::parse(&pairs).map_err(usage),
        }
    }

    /// The privileges that it gets.
    fn privileges(&self, before: Privileges) -> CliResult<Privileges> {
        if self.remove && !self.security.is_empty() {
            return match self.security.iter().all(|name| name == "privs") {
                true => Ok(Privileges::default()),
                false => Err(CliError::usage("-K -S takes the name alone: privs")),
            };
        }
        before
            .with(&self.security)
            .map_err(|error| CliError::usage(error.to_string()))
    }

    /// What is written into a store, or is a mount point, changes only while nothing runs.
    fn require_state(&self, registry: &Registry, record: &WparRecord) -> CliResult<()> {
        let needs_stop =
            self.new_name.is_some() || self.hostname.is_some() || self.directory.is_some();
        let name = &record.name;
        if record.owner.is_some() {
            return Err(
                CliError::new(format!("{name} is a throw-away workload partition"))
                    .hint("it goes with the command that it runs"),
            );
        }
        match lifecycle::look(registry, record, true).state {
            WparState::Defined => Ok(()),
            _ if !needs_stop => Ok(()),
            state => Err(CliError::wrong_state(
                name,
                state,
                format!("stop it with 'stopwpar {name}' first"),
            )),
        }
    }

    /// Writes the record, and what of it is in the store and the file system.
    fn place(
        &self,
        context: &Context,
        registry: &Registry,
        mut record: WparRecord,
    ) -> CliResult<WparRecord> {
        let before = lifecycle::record(registry, &record.name)?;
        if let Some(asked) = &self.directory {
            let asked = self.value(asked)?.map(Path::new);
            let (path, exists) = create::base_directory(registry, &record.name, asked)?;
            if path != before.directory {
                record.directory = path;
                record.directory_created = !exists;
            }
        }
        if record.hostname != before.hostname {
            require_fuse()?;
            identify(context, registry, &record)?;
        }
        registry.store(&record)?;
        if record.directory != before.directory {
            move_base(&before, &record)?;
        }
        Ok(record)
    }
}

/// A versioned WPAR is a copy of an image.
fn require_system(record: &WparRecord) -> CliResult<()> {
    let name = &record.name;
    if record.kind != WparKind::System
        || record.source == Source::Host
        || record
            .base
            .as_ref()
            .is_some_and(|base| base.system == BaseSystem::Host)
    {
        return Err(CliError::new(format!("{name} is no copy of an image"))
            .hint("a copy of the running system is at its level, always"));
    }
    Ok(())
}

/// Writes host name and machine-id into the store, as when the WPAR was made.
pub(super) fn identify(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
) -> CliResult<()> {
    let mut tree = levels::offline(context, registry, record)?.kept();
    let identity = Identity {
        hostname: record.hostname.clone(),
        machine_id: record.machine_id(),
    };
    let written = identity::apply(&mut tree, &identity);
    // The record, which is next, is durable.
    let written = written.and_then(|()| tree.overlay().sync_all());
    written.map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io(
            format!("cannot write to the store of {}", record.name),
            &error,
        )
    })
}

/// Makes the new base directory and takes the old one away if it was made for the WPAR.
fn move_base(before: &WparRecord, record: &WparRecord) -> CliResult<()> {
    let path = &record.directory;
    if record.directory_created {
        let made = DirBuilder::new().mode(0o755).create(path);
        made.map_err(|error| {
            CliError::io(
                format!("cannot make the base directory {}", path.display()),
                &error,
            )
            .hint("startwpar tries again")
        })?;
    }
    if before.directory_created {
        // Only ever an empty one: what others put there is theirs.
        let _ = fs::remove_dir(&before.directory);
    }
    Ok(())
}

fn rename(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    new: &WparName,
) -> CliResult<()> {
    let lock = context.lock(registry, new)?;
    create::require_free(registry, new, false)?;
    if let Err(error) = registry.rename(record, new, context.verb) {
        lock.remove();
        return Err(error.into());
    }
    output::say(format_args!("{} is called {new} now", record.name));
    let old = registry.layout().wpar_lock(&record.name);
    // The lock of a name that is no more; whoever waits for it makes a new one.
    let _ = fs::remove_file::<&Path>(&old);
    Ok(())
}
