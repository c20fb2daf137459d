//! What a system copy is made of: arguments of `mkwpar` and `wparexec`, told once.

use std::path::PathBuf;

/// Source, host name and limits of a new WPAR.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArguments {
    /// A system copy: of the image of -B, or of the running system
    #[arg(short = 't', long = "system-copy")]
    pub(super) system_copy: bool,

    /// Backup to make it from: an archive, the image of a file system or disk, or a directory
    #[arg(short = 'B', long = "backup", value_name = "IMAGE")]
    pub(super) image: Option<PathBuf>,

    /// Host name, if it is not to be the name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    pub(super) hostname: Option<String>,

    /// Copy controls: preserve_private=yes|no, preserve_wpars=yes|no, include=MOUNT, exclude=PATH, snapshot=auto|require|no, hydrate=yes|no, source=DIR
    #[arg(short = 'T', long = "copy-controls", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) copy_controls: Vec<String>,

    /// How large its file system may become: directory=/, size=SIZE, inodes=NUMBER
    #[arg(short = 'M', long = "file-system", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) file_system: Vec<String>,

    /// Privileges of its programs: privs=LIST, privs+=LIST, privs-=LIST
    #[arg(short = 'S', long = "security", value_name = "NAME=VALUE", num_args = 1..)]
    pub(super) security: Vec<String>,
}
