//! `wpar cp`: copies files between the host and WPARs.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, BufReader, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use wpar_mountd::spec::Access;

use super::context::{Context, parse_name};
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::progress::IndexProgress;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::copy::{
    ArchiveSink, ArchiveSource, CopyError, Ids, Outcome, Place, Source, Transfer, TreeSink,
    TreeSource, Way, last_name,
};
use crate::launch::Visit;
use crate::model::{WparName, WparRecord, WparState};
use crate::mounts::{self, Keeping, MountOrder};
use crate::policy::mount_spec::{mount_spec, temporary_directories};
use crate::registry::{Lock, Registry};
use crate::snapshots::{self, RealGround};
use crate::source::image;

pub(super) const VERB: Verb = Verb::own::<CopyArguments>(Words {
    name: "cp",
    about: "Copy files between the host and workload partitions",
    description: "Copies a file, or a directory with all that is below it, as 'cp -a' does: owners, modes, times, links, \
        extended attributes, ACLs. One side or both are in a WPAR, written NAME:PATH; PATH begins at \
        its root. A WPAR that runs is reached through its own root, with what is mounted inside; one \
        that does not is mounted for the time. A path of the host with a colon in it is written with a \
        slash before the colon, as in ./a:b.\n\n\
        If DESTINATION is a directory, the copy goes into it under the name of SOURCE; SOURCE/. stands \
        for the contents of a directory. A '-' is a tar stream: on standard input, to be extracted into \
        a directory of a WPAR; on standard output, of a file or directory of a WPAR.\n\n\
        Users keep their numbers: user 0 of the host is user 0 inside. A link in a WPAR leads to where \
        it leads inside. Files are replaced as a whole, and a link in the place of one is replaced too. \
        Devices and sockets are not copied, and what leaves a WPAR leaves without set-id bits and file \
        capabilities; each of these is said. The exit status is 1 if a file could not be copied.",
    examples: &[
        ("Put a file into a WPAR", "wpar cp app.conf wpar1:/etc/app/"),
        (
            "Take a directory out of it",
            "wpar cp wpar1:/var/log ./wpar1-logs",
        ),
        (
            "Copy the contents of a directory",
            "wpar cp ./site/. wpar1:/var/www/html",
        ),
        (
            "From one WPAR to another",
            "wpar cp wpar1:/etc/nginx wpar2:/etc",
        ),
        (
            "Through a tar stream",
            "wpar cp wpar1:/home - | ssh backup 'cat > home.tar'",
        ),
        (
            "Extract an archive inside",
            "zcat app.tar.gz | wpar cp - wpar1:/opt",
        ),
    ],
    compatibility: "An addition. In AIX, the files of a WPAR are below its base directory, and cp is used there.",
});

/// Arguments of `wpar cp`.
#[derive(Debug, clap::Args)]
pub(super) struct CopyArguments {
    /// What to copy: PATH, NAME:PATH, or - for a tar stream
    #[arg(value_name = "SOURCE", value_parser = clap::value_parser!(PathBuf))]
    source: PathBuf,

    /// Where to: PATH, NAME:PATH, or - for a tar stream
    #[arg(value_name = "DESTINATION", value_parser = clap::value_parser!(PathBuf))]
    destination: PathBuf,

    /// If SOURCE is a symbolic link, copy what it leads to
    #[arg(short = 'L', long = "follow")]
    follow: bool,

    /// Name each file that is copied, and tell how much it was
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

/// One side, as it was named.
#[derive(Debug, PartialEq, Eq)]
enum Operand {
    Stream,
    Host(Vec<u8>),
    Inside(WparName, Vec<u8>),
}

/// Reads an operand: a colon before any slash ends the name of a WPAR.
fn operand(text: &OsStr) -> CliResult<Operand> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let slash = bytes.iter().position(|byte| *byte == b'/');
    match (bytes, colon) {
        (b"", _) => Err(CliError::usage("an empty path names no file")),
        (b"-", _) => Ok(Operand::Stream),
        (_, Some(colon)) if slash.is_none_or(|slash| colon < slash) => {
            let (name, path) = bytes.split_at(colon);
            let path = path.get(1..).unwrap_or_default();
            let name = parse_name(&String::from_utf8_lossy(name)).map_err(|error| {
                error.hint(format!(
                    "a file of the host is written './{}'",
                    text.display()
                ))
            })?;
            let path = if path.is_empty() { b"/" } else { path };
            Ok(Operand::Inside(name, path.to_vec()))
        }
        _ => Ok(Operand::Host(bytes.to_vec())),
    }
}

/// One side, opened.
struct Side {
    place: Place,
    path: Vec<u8>,
    shown: String,
    ids: Ids,
    visit: Option<Visit>,
    /// In this order: the mount goes before the lock.
    mount: Option<Mount>,
    _lock: Option<Lock>,
}

/// A WPAR that does not run, mounted for the time.
struct Mount {
    keeping: Option<Keeping>,
    point: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            // What is wrong with it the daemon has said already.
            let _ = keeping.attend(&|| true);
        }
        let _ = fs::remove_dir(&self.point);
    }
}

/// How long the stream is waited for before it is asked again whether anybody wants it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Standard input, waited for only as long as somebody wants what is in it: no signal ends a `read`.
struct Awaited<'a> {
    unwanted: &'a dyn Fn() -> bool,
}

impl Read for Awaited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        loop {
            if (self.unwanted)() {
                return Err(io::Error::other("interrupted"));
            }
            let mut ready = [PollFd::new(&input, PollFlags::IN)];
            match poll(&mut ready, Some(&PATIENCE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&input, buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Arguments for CopyArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let from = operand(self.source.as_os_str())?;
        let to = operand(self.destination.as_os_str())?;
        let inside = |side: &Operand| matches!(side, Operand::Inside(..));
        if !inside(&from) && !inside(&to) {
            return Err(CliError::usage("neither side is in a workload partition")
                .hint("write NAME:PATH for a file of a WPAR"));
        }
        let way = match (&from, &to) {
            (Operand::Inside(one, _), Operand::Inside(other, _)) if one != other => Way::Between,
            (_, Operand::Inside(..)) => Way::In,
            _ => Way::Out,
        };
        let registry = context.registry()?;
        if to == Operand::Stream && io::stdout().is_terminal() {
            return Err(CliError::usage(
                "standard output is a terminal, not a place for an archive",
            )
            .hint("write it to a file with '> FILE.tar'"));
        }
        if from == Operand::Stream && io::stdin().is_terminal() {
            return Err(
                CliError::usage("standard input is a terminal, not an archive")
                    .hint("read it from a file with '< FILE.tar'"),
            );
        }
        let to = Side::open(context, &registry, to, None)?;
        let from = Side::open(context, &registry, from, to.as_ref())?;
        let outcome = self.copy(context, way, from.as_ref(), to.as_ref())?;
        if self.verbose {
            output::complain(
                context.verb,
                format_args!("{} files, {} bytes", outcome.files, outcome.bytes),
            );
        }
        Ok(match outcome.failures {
            0 => Exit::Success,
            _ => Exit::Failure,
        })
    }
}

impl CopyArguments {
    fn copy(
        &self,
        context: &Context,
        way: Way,
        from: Option<&Side>,
        to: Option<&Side>,
    ) -> CliResult<Outcome> {
        let over = |side: Option<&Side>| {
            side.and_then(|side| side.visit.as_ref())
                .is_some_and(Visit::is_over)
        };
        let unwanted = || context.interrupts.pending() || over(from) || over(to);
        let mut transfer = Transfer {
            way,
            ids: to.map_or(Ids::PLAIN, |to| to.ids),
            say: &mut |text| context.note(text),
            copied: &mut |path| {
                if self.verbose {
                    context.note(path.escape_ascii());
                }
            },
            unwanted: &unwanted,
        };
        let result = match (from, to) {
            (None, Some(to)) => {
                let target = to.place.target(&to.path, None, true);
                let target = target.and_then(|target| match target.is_directory() {
                    Ok(true) => Ok(target),
                    _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
                });
                let target = target.map_err(|error| to.cannot("extract into", &error))?;
                let mut sink = TreeSink::new(&target).map_err(|error| to.cannot("use", &error))?;
                let stream = Awaited {
                    unwanted: &unwanted,
                };
                let stream = BufReader::with_capacity(128 * 1024, stream);
                transfer.run(&mut ArchiveSource::new(stream), &mut sink)
            }
            (Some(from), None) => {
                let mut sink = ArchiveSink::new(io::BufWriter::new(io::stdout().lock()));
                let top = last_name(&from.path).unwrap_or_default().to_vec();
                transfer.run(&mut self.tree(from, &top, None)?, &mut sink)
            }
            (Some(from), Some(to)) => {
                let found = from.place.file(&from.path, self.follow);
                let is_directory = found
                    .and_then(|found| found.is_directory())
                    .map_err(|error| from.cannot("copy", &error))?;
                let target = to
                    .place
                    .target(&to.path, last_name(&from.path), is_directory)
                    .map_err(|error| to.cannot("copy to", &error))?;
                let mut sink = TreeSink::new(&target).map_err(|error| to.cannot("use", &error))?;
                let top = target.name().to_vec();
                let avoid = sink.identity(b"");
                transfer.run(&mut self.tree(from, &top, avoid)?, &mut sink)
            }
            (None, None) => return Err(CliError::usage("a stream cannot be copied to a stream")),
        };
        let result = match result {
            // While a stream was read.
            Err(CopyError::Stream(_)) if unwanted() => Err(CopyError::Unwanted),
            result => result,
        };
        let over = [from, to]
            .into_iter()
            .flatten()
            .find(|side| over(Some(side)));
        match (result, over) {
            (Err(CopyError::Unwanted), Some(side)) if !context.interrupts.pending() => {
                Err(CliError::new(format!("{} has ended meanwhile", side.shown)))
            }
            (Err(CopyError::Unwanted), _) => {
                context
                    .interrupts
                    .check_saying("interrupted; what was copied before is there")?;
                Err(CliError::new("interrupted"))
            }
            (result, _) => result.map_err(|error| CliError::new(error.to_string())),
        }
    }

    fn tree(&self, from: &Side, top: &[u8], avoid: Option<(u64, u64)>) -> CliResult<impl Source> {
        let found = from.place.file(&from.path, self.follow);
        let found = found.map_err(|error| from.cannot("copy", &error))?;
        Ok(TreeSource::new(found, top, avoid))
    }
}

impl Side {
    /// Opens what `operand` names; `None` is a stream. `other` is open already.
    fn open(
        context: &Context,
        registry: &Registry,
        operand: Operand,
        other: Option<&Self>,
    ) -> CliResult<Option<Self>> {
        let (name, path) = match operand {
            Operand::Stream => return Ok(None),
            Operand::Host(path) => {
                return Ok(Some(Self {
                    place: Place::host(),
                    shown: path.escape_ascii().to_string(),
                    path,
                    ids: Ids::PLAIN,
                    visit: None,
                    mount: None,
                    _lock: None,
                }));
            }
            Operand::Inside(name, path) => (name, path),
        };
        let record = lifecycle::record(registry, &name)?;
        // Both sides may be in one WPAR that is mounted for the time.
        let mounted = other
            .filter(|other| other.shown == name.as_str())
            .and_then(|other| other.mount.as_ref());
        if let Some(mount) = mounted {
            let ids = Ids::bounded(record.ids.count);
            return Self::below(&mount.point, path, name, ids).map(Some);
        }
        match lifecycle::look(registry, &record, false).state {
            WparState::Active | WparState::Loaded | WparState::Frozen => {
                Self::visit(registry, &record, path).map(Some)
            }
            WparState::Defined => {
                let lock = context.lock(registry, &name)?;
                Self::mounted(context, registry, &record, path, lock).map(Some)
            }
            WparState::Broken => Err(CliError::wrong_state(
                &name,
                WparState::Broken,
                format!("clean up with 'stopwpar -F {name}'"),
            )),
            state => Err(CliError::wrong_state(
                &name,
                state,
                "try again when the command that works on it has finished",
            )),
        }
    }

    fn visit(registry: &Registry, record: &WparRecord, path: Vec<u8>) -> CliResult<Self> {
        let run_dir = registry.layout().run_dir(&record.name);
        let (visit, root) =
            Visit::begin(&run_dir).map_err(|error| lifecycle::named(&record.name, error))?;
        let ids = Ids::shifted(record.ids.first, record.ids.count);
        Ok(Self {
            place: Place::inside(root, ids),
            path,
            shown: record.name.to_string(),
            ids,
            visit: Some(visit),
            mount: None,
            _lock: None,
        })
    }

    fn mounted(
        context: &Context,
        registry: &Registry,
        record: &WparRecord,
        path: Vec<u8>,
        lock: Lock,
    ) -> CliResult<Self> {
        // It may have been changed, or removed, before the lock was taken; or started.
        let record = &lifecycle::record(registry, &record.name)?;
        let state = lifecycle::look(registry, record, true).state;
        if state != WparState::Defined {
            drop(lock);
            return Self::visit(registry, record, path);
        }
        if let Some(directory) = temporary_directories(&record.source)
            .iter()
            .map(|directory| directory.trim_matches('/'))
            .chain(["run", "dev", "proc", "sys"])
            .find(|directory| is_below(&path, directory.as_bytes()))
        {
            context.note(format_args!(
                "warning: {} does not run; whenever it does, another file system is on /{directory}",
                record.name
            ));
        }
        let mount = mount(context, registry, record)?;
        let ids = Ids::bounded(record.ids.count);
        let mut side = Self::below(&mount.point, path, record.name.clone(), ids)?;
        side.mount = Some(mount);
        side._lock = Some(lock);
        Ok(side)
    }

    fn below(point: &std::path::Path, path: Vec<u8>, name: WparName, ids: Ids) -> CliResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(point, flags, Mode::empty()).map_err(|error| {
            CliError::io(format!("cannot open {}", point.display()), &error.into())
        })?;
        Ok(Self {
            place: Place::inside(root, ids),
            path,
            shown: name.to_string(),
            ids,
            visit: None,
            mount: None,
            _lock: None,
        })
    }

    fn cannot(&self, doing: &str, error: &io::Error) -> CliError {
        let path = self.path.escape_ascii();
        let whole = match self.ids == Ids::PLAIN {
            true => path.to_string(),
            false => format!("{}:{path}", self.shown),
        };
        CliError::io(format!("cannot {doing} {whole}"), error)
    }
}

/// Whether the path that a user gave lies in the directory `directory` below the root.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(0);
    let rest = path.get(start..).unwrap_or_default();
    rest.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Mounts a WPAR that does not run where only root sees it.
fn mount(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<Mount> {
    let layout = registry.layout();
    let mut progress = IndexProgress::new(context);
    let images = layout.images_dir();
    let source = image::prepare_again(&images, &record.source, record.name.as_str(), &mut progress);
    context.interrupts.check()?;
    let record = &WparRecord {
        source: source?,
        ..record.clone()
    };
    let view = registry.view(&record.name)?;
    if let Some(frozen) = &view.frozen {
        snapshots::attach(&RealGround, frozen)?;
    }
    let mut spec = mount_spec(record, &view, layout, &running_host()?)?;
    spec.access = Access::Checked;
    // No name of a WPAR begins with a dot.
    let point = layout.run_parent().join(format!(".{}.cp", record.name));
    let made = DirBuilder::new().mode(0o700).recursive(true).create(&point);
    made.map_err(|error| CliError::io(format!("cannot make {}", point.display()), &error))?;
    let mut mount = Mount {
        keeping: None,
        point,
    };
    let order = MountOrder {
        source: record.name.to_string(),
        point: mount.point.clone(),
        spec,
        foreground: true,
    };
    let interrupted = || context.interrupts.pending();
    let keeping = mounts::start(&order, Stdio::inherit(), &interrupted);
    context.interrupts.check()?;
    let keeping = keeping
        .map_err(|reason| CliError::new(format!("cannot mount {}: {reason}", record.name)))?;
    mount.keeping = Some(keeping);
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_any_slash_ends_a_name() {
        let name = WparName::new("web1").unwrap();
        for (text, expected) in [
            ("-", Operand::Stream),
            ("a/b", Operand::Host(b"a/b".to_vec())),
            ("./a:b", Operand::Host(b"./a:b".to_vec())),
            ("/srv/a:b", Operand::Host(b"/srv/a:b".to_vec())),
            ("web1:/etc", Operand::Inside(name.clone(), b"/etc".to_vec())),
            ("web1:etc", Operand::Inside(name.clone(), b"etc".to_vec())),
            ("web1:", Operand::Inside(name, b"/".to_vec())),
        ] {
            assert_eq!(operand(OsStr::new(text)).unwrap(), expected, "{text}");
        }
        for text in ["", ":/etc", "a b:/x"] {
            assert!(operand(OsStr::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_below_a_directory_are_told() {
        for (path, expected) in [
            ("/tmp", true),
            ("tmp/x", true),
            ("//tmp/", true),
            ("/tmpfiles", false),
            ("/var/tmp", false),
        ] {
            assert_eq!(is_below(path.as_bytes(), b"tmp"), expected, "{path}");
        }
    }
}
