//! What can be said of a new WPAR, and what is said in all: on the command line, over a specification
//! file, over an existing WPAR as a template.

use std::path::{Path, PathBuf};

use crate::cli::context::{Context, parse_name};
use crate::cli::controls::NewControlArguments;
use crate::cli::error::{CliError, CliResult};
use crate::cli::specification;
use crate::model::{SpecFile, WparName};

/// Arguments of `mkwpar`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MakeArguments {
    /// Make a system copy: of the image of -B, or of the running system
    #[arg(short = 't', long = "system-copy")]
    pub(super) system_copy: bool,

    /// Backup to make it from: an archive, the image of a file system or disk, or a directory
    #[arg(short = 'B', long = "backup", value_name = "IMAGE")]
    pub(super) image: Option<PathBuf>,

    /// Name of the WPAR: up to 25 characters
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    pub(super) name: Option<String>,

    /// Host name, if it is not to be the name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    pub(super) hostname: Option<String>,

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

    /// Copy controls: preserve_private=yes|no, preserve_wpars=yes|no, include=MOUNT, exclude=PATH, snapshot=auto|require|no, hydrate=yes|no, source=DIR
    #[arg(short = 'T', long = "copy-controls", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) copy_controls: Vec<String>,

    /// How large its file system may become: directory=/, size=SIZE, inodes=NUMBER
    #[arg(short = 'M', long = "file-system", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) file_system: Vec<String>,

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

    /// Privileges of its programs: privs=LIST, privs+=LIST, privs-=LIST
    #[arg(short = 'S', long = "security", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) security: Vec<String>,

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
