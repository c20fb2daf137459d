//! What can be said of a new WPAR, and what is said in all: on the command line, over a specification
//! file, over an existing WPAR as a template.

use std::path::{Path, PathBuf};

use crate::cli::context::{Context, parse_name};
use crate::cli::controls::NewControlArguments;
use crate::cli::error::{CliError, CliResult};
use crate::cli::source_arguments::SourceArguments;
use crate::cli::specification;
use crate::model::{SpecFile, WparName};

/// Arguments of `mkwpar`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MakeArguments {
    #[command(flatten)]
    pub(super) source: SourceArguments,

    /// Name of the WPAR: up to 25 characters
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    pub(super) name: Option<String>,

    /// Base directory, where the WPAR is seen on the host [default: /wpars/NAME]
    #[arg(short = 'd', long = "directory", value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,

    /// Start it when it is made; say how long that took, on a terminal or with -v
    #[arg(short = 's', long = "start")]
    pub(super) start: bool,

    /// Make it versioned: it may run at a level that is not the host's
    #[arg(short = 'C', long = "versioned")]
    pub(super) versioned: bool,

    /// Have a /usr and /opt of its own to change, as a system copy has anyway
    #[arg(short = 'l', long = "private-usr", conflicts_with = "shared")]
    pub(super) private_usr: bool,

    /// Share /usr and /opt, read-only, also in a system copy
    #[arg(long = "shared")]
    pub(super) shared: bool,

    /// The system whose /usr and /opt it has, a directory, if that is not the running one
    #[arg(long = "usr-from", value_name = "DIR")]
    pub(super) usr_from: Option<PathBuf>,

    /// Mark it to be started with the host
    #[arg(short = 'A', long = "auto")]
    pub(super) auto: bool,

    /// A script of the host that is run at its start and stop
    #[arg(short = 'u', long = "script", value_name = "FILE")]
    pub(super) script: Option<PathBuf>,

    /// Settings from a specification file; what the command line says wins
    #[arg(short = 'f', long = "specification", value_name = "FILE")]
    pub(super) specification: Option<PathBuf>,

    /// Settings of an existing WPAR but for its name, host name and directory
    #[arg(short = 'e', long = "existing", value_name = "NAME")]
    pub(super) existing: Option<String>,

    /// Write the settings to a specification file
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Only write the specification file, and make nothing
    #[arg(short = 'w', long = "write-only", requires = "out")]
    pub(super) write_only: bool,

    /// A device of the host to give to it: devname=DEVICE, export=yes|no
    #[arg(short = 'D', long = "device", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) devices: Vec<String>,

    /// The list of devices that may be exported [default: /etc/wpars/devexports]
    #[arg(short = 'b', long = "devexports", value_name = "FILE")]
    pub(super) devexports: Option<PathBuf>,

    #[command(flatten)]
    pub(super) more: NewControlArguments,

    /// Use the store that 'rmwpar -p' kept
    #[arg(short = 'p', long = "preserved", value_name = "NAME", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    pub(super) preserved: Option<String>,

    /// Say more: what is left out of a copy, steps of the start
    #[arg(short = 'v', long = "verbose")]
    pub(super) verbose: bool,
}

impl MakeArguments {
    /// What the command line says, over the specification file, over the template.
    pub(super) fn settings(&self, context: &Context) -> CliResult<SpecFile> {
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
            hostname: self.source.hostname.clone(),
            directory: self.directory.as_deref().map(absolute).transpose()?,
            auto: self.auto.then_some(true),
            script: self.script.as_deref().map(absolute).transpose()?,
            uuid: None,
            system_copy: self.source.system_copy.then_some(true),
            backup: self.source.image.as_deref().map(absolute).transpose()?,
            versioned: self.versioned.then_some(true),
            private_usr: match (self.private_usr, self.shared) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            },
            usr_from: self.usr_from.as_deref().map(absolute).transpose()?,
            controls: self.source.copy_controls.clone(),
            file_system: self.source.file_system.clone(),
            network: self.more.controls.network.clone(),
            routing: self.more.controls.routing.then_some(true),
            routes: self.more.controls.routes.clone(),
            resources: self.more.controls.resources.clone(),
            security: self.source.security.clone(),
        })
    }

    pub(super) fn name(&self, settings: &SpecFile) -> CliResult<WparName> {
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
}
