//! `lsmksysb`: looks into a backup, and gets files out of it.

mod packages;
mod summary;

use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

use self::summary::Summary;
use super::backup;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::prepared::Prepared;
use super::verbs::{Arguments, Verb, Words};
use crate::backup::restore;
use crate::backup::saved::Saved;
use crate::model::Source;
use crate::source::image::Purpose;

pub(super) const VERB: Verb = Verb::aix::<ListArguments>(Words {
    name: "lsmksysb",
    about: "Look into a backup, or get files out of it",
    description: "Lists what is in a backup image; with -l what it says about itself, with -L \
        what is installed in it, with -r files are restored from it. All of that for backups of \
        mksysb and savewpar, and for any other image that mkwpar takes.\n\n\
        A name to be restored is one of the list, with or without './' at the beginning; of a \
        directory, all that is in it is restored. Without names, everything is. Files go below \
        the directory of -d, never elsewhere, whatever the image says.\n\n\
        -V reads the whole image and compares its checksums.",
    examples: &[
        (
            "See what a backup is of",
            "lsmksysb -lf /backup/web1.mksysb",
        ),
        (
            "See what is installed in it",
            "lsmksysb -Lf /backup/web1.mksysb",
        ),
        (
            "Get a file out of it",
            "lsmksysb -f /backup/web1.mksysb -r -d /tmp/old ./etc/fstab",
        ),
        (
            "See whether it is whole",
            "lsmksysb -V -f /backup/web1.mksysb",
        ),
    ],
    compatibility: "-f has no default, since there are no tapes. -L shows packages in the layout of \
        lslpp. -V compares checksums; it does not read a tape again. -n leaves nothing out. --json \
        is an addition.",
});

/// Arguments of `lsmksysb`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    /// The image
    #[arg(short = 'f', long = "file", value_name = "IMAGE")]
    file: PathBuf,

    /// Say what it is: date, level, size
    #[arg(short = 'l', long = "summary")]
    summary: bool,

    /// List the packages that are installed in it
    #[arg(short = 'L', long = "packages", conflicts_with = "summary")]
    packages: bool,

    /// With -l and -L: fields divided by colons
    #[arg(short = 'c', long = "colon", conflicts_with = "json")]
    colon: bool,

    /// With -l and -L: JSON
    #[arg(long = "json")]
    json: bool,

    /// Restore files
    #[arg(short = 'r', long = "restore", conflicts_with_all = ["summary", "packages"])]
    restore: bool,

    /// Where to [default: the directory that this is called in]
    #[arg(
        short = 'd',
        long = "directory",
        value_name = "DIR",
        requires = "restore"
    )]
    directory: Option<PathBuf>,

    /// Read all of it, and compare its checksums
    #[arg(short = 'V', long = "verify", conflicts_with_all = ["summary", "packages", "restore"])]
    verify: bool,

    /// Name each file that is restored
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,

    /// Files to be restored
    #[arg(value_name = "FILES", requires = "restore")]
    names: Vec<PathBuf>,
}

impl Arguments for ListArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        if (self.colon || self.json) && !self.summary && !self.packages {
            return Err(CliError::usage("-c and --json go with -l or -L")
                .hint("add one of them, or leave these out"));
        }
        context
            .interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        if self.verify {
            backup::check(context, &self.file)?;
            return Ok(Exit::Success);
        }
        let prepared = Prepared::for_purpose(context, &self.file, Purpose::Look)?;
        let Source::Image { path, index, .. } = &prepared.source else {
            return Err(
                CliError::new(format!("{} is no archive", self.file.display())).hint(format!(
                    "look into it with 'wpar mount {} DIR'",
                    self.file.display()
                )),
            );
        };
        let saved = Saved::open(path, index).map_err(|error| CliError::new(error.to_string()))?;
        match (self.summary, self.packages, self.restore) {
            (true, _, _) => self.say_summary(&saved, path),
            (_, true, _) => self.list_packages(&saved),
            (_, _, true) => self.get(context, &saved),
            _ => list(context, &saved),
        }
    }
}

impl ListArguments {
    fn say_summary(&self, saved: &Saved, image: &Path) -> CliResult<Exit> {
        let summary = Summary::of(saved, image);
        let text = match (self.json, self.colon) {
            (true, _) => format!("{:#}\n", summary.json()),
            (_, true) => summary.colons(),
            _ => summary.paragraph(),
        };
        output::print(&text)?;
        Ok(Exit::Success)
    }

    fn list_packages(&self, saved: &Saved) -> CliResult<Exit> {
        let found = packages::of(saved.tree()).map_err(|error| CliError::new(error.to_string()))?;
        let Some(found) = found else {
            return Err(CliError::new(format!(
                "{} has no package data base that is known",
                self.file.display()
            ))
            .hint("those of dpkg, rpm, apk and pacman are"));
        };
        let text = match (self.json, self.colon) {
            (true, _) => format!("{:#}\n", packages::json(&found)),
            (_, true) => packages::colons(&found),
            _ => packages::table(&found),
        };
        output::print(&text)?;
        Ok(Exit::Success)
    }

    fn get(&self, context: &Context, saved: &Saved) -> CliResult<Exit> {
        let target = self.directory.as_deref().unwrap_or(Path::new("."));
        let names: Vec<_> = self.names.iter().map(|name| inner(name)).collect();
        let mut told = |path: &[u8], attr: &wpar_mountd::types::Attr| {
            if self.verbose {
                output::say(format_args!(
                    "x {:>12} ./{}",
                    attr.size,
                    path.escape_ascii()
                ));
            }
            !context.interrupts.pending()
        };
        let restored = restore::restore(saved.lower(), target, &names, &mut told)
            .map_err(|error| CliError::io(format!("cannot open {}", target.display()), &error))?;
        context
            .interrupts
            .check_saying("interrupted; what was restored so far stays")?;
        for trouble in &restored.troubles {
            context.note(trouble);
        }
        if restored.entries == 0 {
            return Err(CliError::new("none of these names is in the image")
                .hint(format!("'lsmksysb -f {}' lists them", self.file.display())));
        }
        output::say(format_args!("files restored: {}", restored.entries));
        Ok(match restored.troubles.is_empty() {
            true => Exit::Success,
            false => Exit::Failure,
        })
    }
}

/// `./etc/x`, `/etc/x` and `etc/x/` are all `etc/x`.
fn inner(name: &Path) -> Vec<u8> {
    let bytes = name.as_os_str().as_bytes();
    let parts = bytes
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Prints the name of each entry, a directory before what is in it.
fn list(context: &Context, saved: &Saved) -> CliResult<Exit> {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut path = b".".to_vec();
    let listed = list_directory(context, saved.lower(), LowerNode::ROOT, &mut path, &mut out);
    match listed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::io("cannot list the image", &error))
        }
        _ => {
            context.interrupts.check_saying("interrupted")?;
            Ok(Exit::Success)
        }
    }
}

fn list_directory(
    context: &Context,
    layer: &dyn LowerLayer,
    directory: LowerNode,
    path: &mut Vec<u8>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut entries = Vec::new();
    layer
        .entries(directory, &mut |entry| {
            entries.push((entry.name.to_vec(), entry.node, entry.kind));
        })
        .map_err(|error| std::io::Error::from(error.errno()))?;
    for (name, node, kind) in entries {
        if context.interrupts.pending() {
            return Ok(());
        }
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(&name);
        writeln!(out, "{}", path.escape_ascii())?;
        if kind == FileKind::Directory {
            list_directory(context, layer, node, path, out)?;
        }
        path.truncate(length);
    }
    Ok(())
}
