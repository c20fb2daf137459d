//! The two systems of `diff`: which they are, and how they are opened to be read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wpar_mountd::overlay::Overlay;
use wpar_mountd::spec::{Access, LowerSpec, MountSpec, SpaceLimits};

use super::copied::{Copy, OpenSource};
use crate::cli::context::Context;
use crate::cli::create::running_host;
use crate::cli::error::{CliError, CliResult};
use crate::cli::lifecycle;
use crate::cli::progress::IndexProgress;
use crate::diff::escape;
use crate::model::copy_controls::Selection;
use crate::model::{CopyControls, Source, WparName, WparRecord, WparState};
use crate::policy::mount_spec::{host_lower, lower_spec, mount_spec, own_places};
use crate::policy::{exclusions, root_group};
use crate::registry::{Lock, Registry};
use crate::source::image::{self, Purpose};
use crate::source::os_release::SystemFacts;
use crate::source::tree::OfflineTree;

/// What an argument means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Host,
    Wpar(WparName),
    Path(PathBuf),
}

/// A system that is open, and stays as it is as far as this tool can see to it.
#[derive(Debug)]
pub(super) struct Opened {
    name: String,
    kind: &'static str,
    runs: bool,
    spec: MountSpec,
    tree: OfflineTree,
    /// Of a WPAR that is open: no command starts, stops or removes it meanwhile.
    _lock: Option<Lock>,
    /// Of a source that is open as a copy of it would show it.
    scratch: Option<TempDir>,
}

/// What is said about a system.
#[derive(Debug)]
pub(super) struct System {
    /// As it was named, safe to be shown.
    pub(super) name: String,
    /// `host`, `wpar`, `image` or `directory`.
    pub(super) kind: &'static str,
    /// A WPAR that runs.
    pub(super) runs: bool,
    /// What it is.
    pub(super) facts: SystemFacts,
}

impl Opened {
    fn source(name: String, kind: &'static str, source: OpenSource) -> Self {
        Self {
            name,
            kind,
            runs: kind == "host",
            spec: source.spec,
            tree: source.tree,
            _lock: None,
            scratch: source.scratch,
        }
    }

    pub(super) fn tree(&self) -> &Overlay {
        self.tree.overlay()
    }

    /// Whether both show the same source with the same names hidden, with or without a store above.
    pub(super) fn has_lower_of(&self, other: &Self) -> bool {
        self.spec.lower == other.spec.lower && self.spec.hidden == other.spec.hidden
    }

    /// Whether one of them is what the other, which runs, was made of.
    pub(super) fn has_numbers_of(&self, other: &Self) -> bool {
        let is_copy_of = |copy: &Self, source: &Self| {
            copy.kind == "wpar" && copy.runs && source.scratch.is_some()
        };
        is_copy_of(self, other) || is_copy_of(other, self)
    }

    pub(super) fn describe(&self) -> CliResult<System> {
        let facts = SystemFacts::read(self.tree())
            .map_err(|error| CliError::new(format!("cannot read {}: {error}", self.name)))?;
        Ok(System {
            name: self.name.clone(),
            kind: self.kind,
            runs: self.runs,
            facts,
        })
    }
}

/// Opens both; `None` if they are one and the same.
pub(super) fn open(context: &Context, a: &OsStr, b: &OsStr) -> CliResult<Option<(Opened, Opened)>> {
    let [a, b] = [a, b].map(|text| Operand::parse(context, text));
    let (a, b) = (a?, b?);
    // What a copy was made of is compared with it as the copy would show it.
    let mut copy = None;
    let mut records = Vec::new();
    for operand in [&a, &b] {
        if let Operand::Wpar(name) = operand {
            let registry = context.registry()?;
            let record = lifecycle::record(&registry, name)?;
            let view = registry.view(name)?;
            copy = Some(Copy {
                record: record.clone(),
                view,
            })
            .filter(Copy::has_source);
            records.push((registry, record));
        }
    }
    if a == b {
        return Ok(None);
    }
    // Always in one order: two commands must not wait for each other.
    records.sort_by(|(_, a), (_, b)| a.name.as_str().cmp(b.name.as_str()));
    let mut opened = records
        .into_iter()
        .map(|(registry, record)| wpar(context, &registry, record))
        .collect::<CliResult<Vec<_>>>()?;
    let mut open_one = |operand: Operand| match operand {
        Operand::Host => host(context, copy.as_ref()),
        Operand::Path(path) => at_path(context, &path, copy.as_ref()),
        Operand::Wpar(name) => {
            let at = opened.iter().position(|wpar| wpar.name == name.as_str());
            match at {
                Some(at) => Ok(opened.remove(at)),
                None => Err(CliError::no_such_wpar(&name)),
            }
        }
    };
    Ok(Some((open_one(a)?, open_one(b)?)))
}

impl Operand {
    fn parse(context: &Context, text: &OsStr) -> CliResult<Self> {
        let bytes = text.as_bytes();
        let path = Path::new(text);
        if bytes == b"host" || bytes == b"/" {
            return Ok(Self::Host);
        }
        if bytes.contains(&b'/') {
            return Ok(Self::Path(path.to_owned()));
        }
        let Some(name) = text.to_str().and_then(|text| WparName::new(text).ok()) else {
            return Ok(Self::Path(path.to_owned()));
        };
        match context.registry_to_read().load(&name) {
            Ok(None) if path.exists() => Ok(Self::Path(path.to_owned())),
            // Who may not look has no WPARs.
            Err(_) if path.exists() && !rustix::process::geteuid().is_root() => {
                Ok(Self::Path(path.to_owned()))
            }
            Ok(None) => {
                let error = CliError::no_such_wpar(&name);
                Err(error.hint("'lswpar' lists them; an image is named by its path"))
            }
            Ok(Some(_)) | Err(_) => Ok(Self::Wpar(name)),
        }
    }
}

/// The running system, without what no copy of it has. `copy` is what it is compared with.
fn host(context: &Context, copy: Option<&Copy>) -> CliResult<Opened> {
    let source = match copy.filter(|copy| copy.record.source == Source::Host) {
        Some(copy) => copy.open_source(context)?,
        None => {
            let places = own_places(&context.layout);
            let facts = running_host()?;
            let controls = CopyControls::default();
            let view = root_group::new_view(&facts, controls, &places, &Selection::default())?;
            let hidden = exclusions::host(&facts, controls, &places, &view).hidden;
            OpenSource::open(MountSpec {
                hidden,
                ..read_only(host_lower(&view, &facts)?)
            })?
        }
    };
    Ok(Opened::source("host".to_owned(), "host", source))
}

/// An image or a directory. `copy` is what it is compared with.
fn at_path(context: &Context, path: &Path, copy: Option<&Copy>) -> CliResult<Opened> {
    let name = escape::bytes(path.as_os_str().as_bytes());
    let real = fs::canonicalize(path)
        .map_err(|error| CliError::io(format!("cannot open {name}"), &error))?;
    if real == Path::new("/") {
        return host(context, copy);
    }
    let mut progress = IndexProgress::new(context);
    let cache = context.index_cache()?;
    let prepared = image::prepare(&cache, path, Purpose::Look, &mut progress);
    context.interrupts.check()?;
    let source = prepared?.source;
    progress.report();
    let kind = match source {
        Source::Tree { .. } => "directory",
        _ => "image",
    };
    let lower = lower_spec(&source);
    let is_source = |copy: &&Copy| lower_spec(&copy.record.source) == lower;
    let source = match copy.filter(is_source) {
        Some(copy) => copy.open_source(context)?,
        None => OpenSource::open(read_only(lower))?,
    };
    Ok(Opened::source(name, kind, source))
}

fn read_only(lower: LowerSpec) -> MountSpec {
    MountSpec {
        lower,
        store: None,
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Access::Checked,
    }
}

fn wpar(context: &Context, registry: &Registry, mut record: WparRecord) -> CliResult<Opened> {
    let name = record.name.clone();
    let lock = context.lock(registry, &name)?;
    // Another command may have ended meanwhile.
    record = lifecycle::record(registry, &name)?;
    let state = lifecycle::glance(registry, &record, true).state;
    let spec = match state {
        WparState::Defined => offline(context, registry, &mut record)?,
        // Its daemon has the store. What it shows is what the WPAR has written, to the last byte;
        // the numbers of users in it are the WPAR's own.
        WparState::Active | WparState::Frozen | WparState::Loaded => {
            read_only(LowerSpec::Directory {
                path: record.directory.clone(),
            })
        }
        state => {
            return Err(CliError::wrong_state(
                &name,
                state,
                format!("wait until it runs or has stopped, or stop it with 'stopwpar -F {name}'"),
            ));
        }
    };
    Ok(Opened {
        name: name.as_str().to_owned(),
        kind: "wpar",
        runs: state == WparState::Active,
        tree: OfflineTree::open(&spec)?,
        spec,
        _lock: Some(lock),
        scratch: None,
    })
}

/// The mount that a stopped WPAR would have.
fn offline(
    context: &Context,
    registry: &Registry,
    record: &mut WparRecord,
) -> CliResult<MountSpec> {
    let mut progress = IndexProgress::new(context);
    let layout = registry.layout();
    let cache = layout.images_dir();
    let source = image::prepare_again(&cache, &record.source, record.name.as_str(), &mut progress);
    context.interrupts.check()?;
    record.source = source?;
    progress.report();
    Ok(mount_spec(
        record,
        &registry.view(&record.name)?,
        layout,
        &running_host()?,
    )?)
}
