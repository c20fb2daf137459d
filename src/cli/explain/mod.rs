//! `wpar explain`: what a path is in a WPAR, and why.
//!
//! Looks into the layers as they are, also while the WPAR runs. Changes nothing.

mod told;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wpar_mountd::filter::HiddenNames;
use wpar_mountd::lower::rebased::{Fate, NameList};
use wpar_mountd::overlay::Overlay;
use wpar_mountd::overlay::trace::{Layers, Origin, Traced, trace};
use wpar_mountd::spec::{Access, Graft, LowerSpec, MountSpec, SpaceLimits};

use self::told::{Owner, Told};
use super::context::{Context, parse_name};
use super::create::running_host;
use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::generations;
use super::lifecycle;
use super::output;
use super::prepared::Prepared;
use super::progress::IndexProgress;
use super::syncwpar::host_files;
use super::verbs::{Arguments, Verb, Words};
use crate::model::copy_controls::Selection;
use crate::model::generation::HostPackage;
use crate::model::{CopyControls, Hostname, Source, View, WparRecord, WparState};
use crate::packages::{self, Detail, PackageDatabase, owner};
use crate::policy::mount_spec::{host_lower, lower_spec, mount_spec, own_places};
use crate::policy::{exclusions, root_group};
use crate::source::below::Below;
use crate::source::image::{self, Purpose};

pub(super) const VERB: Verb = Verb::own::<ExplainArguments>(Words {
    name: "explain",
    about: "Say what a path is in a workload partition, and why",
    description: "Says of each path whether the WPAR sees it; if it does not, by which rule, or that it \
        was removed in the WPAR; and if it does, from which layer: from the source, or from the \
        WPAR's own store, as something new, as a copy that was changed, or as something that mkwpar wrote \
        there. With that goes where it is in the source and in the store, and the fileset (package) of \
        the source that owns it. Links on the way are followed as in the WPAR, one at the end is not.\n\n\
        It can be asked of a WPAR in any state. With -B or -t it is asked before there is a WPAR: what a \
        system copy of that backup, or of the running system, would have.",
    examples: &[
        (
            "See why a program is not there",
            "wpar explain web1 /usr/sbin/grub-install",
        ),
        (
            "See whether a file was changed, as JSON",
            "wpar explain --json web1 /etc/fstab",
        ),
        (
            "See what a copy of the running system would have",
            "wpar explain -t /home /boot",
        ),
    ],
    compatibility: "An addition.",
});

/// Arguments of `wpar explain`.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArguments {
    /// Of a system copy of this backup that would be made now
    #[arg(
        short = 'B',
        long = "backup",
        value_name = "IMAGE",
        conflicts_with = "system_copy"
    )]
    image: Option<PathBuf>,

    /// Of a copy of the running system that would be made now
    #[arg(short = 't', long = "system-copy")]
    system_copy: bool,

    /// JSON
    #[arg(long = "json")]
    json: bool,

    /// The WPAR (not with -B or -t), and paths in it
    #[arg(value_name = "NAME PATH", required = true)]
    operands: Vec<OsString>,
}

/// What is asked about.
struct Asked {
    /// The source, with nothing hidden and no store.
    lower: Overlay,
    /// The mount that the WPAR has.
    spec: MountSpec,
    view: View,
    source: Source,
    /// Packages that a synchronized WPAR has from the host.
    borrowed: Vec<HostPackage>,
    /// The host's packages and files, once they are asked for.
    host: OnceCell<Option<(Below, PackageDatabase)>>,
}

impl Arguments for ExplainArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context.require_root()?;
        let is_new = self.system_copy || self.image.is_some();
        let (name, paths) = match (is_new, self.operands.split_first()) {
            (false, Some((name, paths))) => (Some(name), paths),
            _ => (None, &*self.operands),
        };
        if paths.is_empty() {
            return Err(
                CliError::usage("missing the path").hint("name one or more behind the WPAR")
            );
        }
        let asked = match name {
            Some(name) => of_wpar(context, &name.to_string_lossy())?,
            None => of_new(context, self.image.as_deref())?,
        };
        let told = asked.explain(context, paths)?;
        if self.json {
            let text = serde_json::to_string_pretty(&told).map_err(|error| {
                CliError::new(format!("cannot write the explanation as JSON: {error}"))
            })?;
            output::print(&(text + "\n"))?;
        } else {
            let texts: Vec<_> = told.iter().map(told::paragraph).collect();
            output::print(&texts.join("\n"))?;
        }
        Ok(Exit::Success)
    }
}

/// The system that lends a path, if one does.
fn lender_of(grafts: &[Graft], path: &[u8]) -> Option<String> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let covering = grafts.iter().filter(|graft| path.starts_with(&graft.point));
    let graft = covering.max_by_key(|graft| graft.point.len())?;
    let depth = graft.point.split('/').count();
    let root = graft.from.as_ref()?.ancestors().nth(depth)?;
    Some(match root == Path::new("/") {
        true => "the running system".to_owned(),
        false => root.display().to_string(),
    })
}

/// An existing WPAR, whatever state it is in.
fn of_wpar(context: &Context, name: &str) -> CliResult<Asked> {
    let registry = context.registry()?;
    let name = parse_name(name)?;
    let record = lifecycle::record(&registry, &name)?;
    let layout = registry.layout();
    let mut progress = IndexProgress::new(context);
    let cache = layout.images_dir();
    let source = image::prepare_again(&cache, &record.source, name.as_str(), &mut progress);
    let record = WparRecord {
        source: source?,
        ..record
    };
    progress.report();
    let view = registry.view(&name)?;
    // The store below is a part of the source, and its daemon's alone.
    let state = lifecycle::look(&registry, &record, false).state;
    if !view.generations.is_empty() && state != WparState::Defined {
        let hint =
            format!("stop it with 'stopwpar {name}': it was brought to the level of the host");
        return Err(CliError::wrong_state(&name, state, hint));
    }
    let spec = mount_spec(&record, &view, layout, &running_host()?)?;
    let borrowed = generations::borrowed(&registry, &name, &view)?;
    Ok(Asked {
        borrowed,
        ..Asked::open(spec, view, record.source)?
    })
}

/// The packages of the host, and its files.
fn host_packages() -> Option<(Below, PackageDatabase)> {
    let files = host_files().ok()?;
    let database = packages::read(&files, Detail::Paths).ok()??;
    Some((files, database))
}

/// A system copy that would be made now.
fn of_new(context: &Context, image: Option<&Path>) -> CliResult<Asked> {
    let controls = CopyControls::default();
    let facts = running_host()?;
    let places = own_places(&context.layout);
    let (source, mut view) = match image {
        Some(image) => {
            let prepared = Prepared::for_purpose(context, image, Purpose::Look)?;
            (prepared.source, View::default())
        }
        None => {
            let view = root_group::new_view(&facts, controls, &places, &Selection::default())?;
            (Source::Host, view)
        }
    };
    let (lower, hidden) = match &source {
        Source::Host => (
            host_lower(&view, &facts)?,
            exclusions::host(&facts, controls, &places, &view).hidden,
        ),
        source => (lower_spec(source), Vec::new()),
    };
    let mut spec = MountSpec {
        lower,
        store: None,
        hidden,
        limits: SpaceLimits::default(),
        access: Access::Checked,
    };
    let hostname = Hostname::new("copy").map_err(|error| CliError::new(error.to_string()))?;
    let copied = Copied {
        files: &wpar_mountd::source::open(&spec)?,
        is_running: source == Source::Host,
        controls,
        hostname: &hostname,
    };
    view = view.with(decisions::decide(&context.layout, &copied)?.view);
    spec.hidden.extend(view.hidden.iter().cloned());
    Asked::open(spec, view, source)
}

impl Asked {
    fn open(spec: MountSpec, view: View, source: Source) -> CliResult<Self> {
        let bare = MountSpec {
            store: None,
            hidden: Vec::new(),
            ..spec.clone()
        };
        Ok(Self {
            lower: wpar_mountd::source::open(&bare)?,
            spec,
            view,
            source,
            borrowed: Vec::new(),
            host: OnceCell::new(),
        })
    }

    fn explain(&self, context: &Context, paths: &[OsString]) -> CliResult<Vec<Told>> {
        let hidden = HiddenNames::new(&self.spec.hidden, self.lower.lower())
            .map_err(|error| CliError::new(error.to_string()))?;
        let layers = Layers {
            lower: self.lower.lower(),
            hidden: &hidden,
            store: self.spec.store.as_deref(),
        };
        let database = packages::read(&self.lower, Detail::Paths).unwrap_or_else(|error| {
            context.note(format_args!(
                "warning: whose the files are is not known: {error}"
            ));
            None
        });
        let mut all = Vec::with_capacity(paths.len());
        for path in paths {
            let traced = trace(&layers, path.as_bytes()).map_err(|error| {
                let error = std::io::Error::from(error.errno());
                CliError::io(format!("cannot look at {}", path.display()), &error)
            })?;
            let owners = self.owners(&traced, database.as_ref());
            all.push(told::told(
                path.as_bytes(),
                &traced,
                owners,
                &self.view,
                &self.source,
                &|path| self.lower_of(path),
            ));
        }
        Ok(all)
    }

    /// Whose a path of the lower is, if the WPAR was synchronized or has the `/usr` of another system.
    fn lower_of(&self, path: &[u8]) -> Option<String> {
        let lower = &self.spec.lower;
        if let LowerSpec::Joined { grafts, .. } = lower {
            return lender_of(grafts, path);
        }
        let LowerSpec::Rebased { .. } = lower else {
            return None;
        };
        if self.decided(path) == Some(Fate::Taken) {
            return Some("the running system".to_owned());
        }
        let source = self.source.path()?.display();
        Some(format!(
            "{source}, as the workload partition had changed it before 'syncwpar -D'"
        ))
    }

    /// Whether a path is the host's, or gone, since the WPAR was synchronized.
    fn decided(&self, path: &[u8]) -> Option<Fate> {
        let mut lower = &self.spec.lower;
        while let LowerSpec::Rebased { below, list, .. } = lower {
            match NameList::open(list).ok()?.fate(path) {
                Some(Fate::Directory) | None => lower = &below.lower,
                fate => return fate,
            }
        }
        None
    }

    /// The filesets that have it: of the host, if it is the host's, else of the source. What a WPAR has
    /// from the host has the host's version.
    fn owners(&self, traced: &Traced, database: Option<&PackageDatabase>) -> Vec<Owner> {
        let path = match &traced.origin {
            Origin::Lower { path }
            | Origin::Merged { path, .. }
            | Origin::Removed { path }
            | Origin::Hidden { path, .. }
            | Origin::Copied {
                path: Some(path), ..
            } => path,
            Origin::Copied { path: None, .. } | Origin::Own { .. } | Origin::Absent => &traced.path,
        };
        let Some(database) = database.filter(|_| traced.complete) else {
            return Vec::new();
        };
        let found = match (self.decided(path), &traced.origin) {
            (Some(Fate::Taken), _) => match self.host.get_or_init(host_packages) {
                Some((files, database)) => owner::owners(files, database, path),
                None => return Vec::new(),
            },
            // It was in a version that is no more.
            (Some(Fate::Gone), Origin::Absent) => return Vec::new(),
            _ => owner::owners(&self.lower, database, path),
        };
        // What cannot be read is nobody's.
        let found = found.unwrap_or_default();
        let owner = |package: &&packages::Package| Owner::new(package, &self.view);
        let mut owners: Vec<_> = found.iter().map(owner).collect();
        owners
            .iter_mut()
            .for_each(|owner| owner.follow(&self.borrowed));
        owners
    }
}
