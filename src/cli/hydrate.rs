//! `wpar hydrate`: makes a live copy of the running system independent of it.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use indicatif::HumanBytes;
use serde::Serialize;
use wpar_mountd::hydrate::note::{self, Paths, Wish, open_store};
use wpar_mountd::hydrate::{Progress, State, work};

use super::context::{Context, parse_name};
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::model::{Consistency, Source, View, WparRecord, WparState};
use crate::policy::mount_spec::mount_spec;
use crate::registry::Registry;
use crate::source::host::open_for_writing;

pub(super) const VERB: Verb = Verb::own::<HydrateArguments>(Words {
    name: "hydrate",
    about: "Make a live copy of the running system independent of it",
    description: "A copy of the running system that is not made of snapshots is live: a file shows the \
        host's present version until the WPAR writes it. This copies every file that can be seen in \
        the WPAR into its own store: what the host has open for writing first, then /etc, /var, /root, \
        /srv, /home, /usr, /opt and the rest. Then the copy is file-consistent: every file is one \
        complete version from between beginning and end, and nothing that the host does later shows.\n\n\
        While the WPAR is active that is done in the background, only with what nobody else wants of \
        disk and processor; it goes on after a restart, and after a kill of whatever does it. Of a \
        WPAR that is not active it is done at once, and can be interrupted. The space that is needed is \
        what the copied files take; if there is too little, only /etc, /var and /root are copied. \
        'wpar diff' and 'savewpar --difference' do not take a file for changed because it was copied.\n\n\
        --status tells how far it is, the time from beginning to end, which files the host changed \
        meanwhile, and which it changed all the time, so that the copy of them may be damaged.",
    examples: &[
        ("Begin, or go on", "wpar hydrate clone1"),
        ("See how far it is", "wpar hydrate --status clone1"),
        ("Leave it as it is for now", "wpar hydrate --stop clone1"),
    ],
    compatibility: "An addition. A system copy WPAR of AIX is copied before it can be used.",
});

/// Arguments of `wpar hydrate`.
#[derive(Debug, clap::Args)]
pub(super) struct HydrateArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// Only tell how far it is
    #[arg(long = "status", conflicts_with = "stop")]
    status: bool,

    /// Stop; what is copied stays
    #[arg(long = "stop")]
    stop: bool,

    /// The status as JSON
    #[arg(long = "json", requires = "status")]
    json: bool,
}

impl Arguments for HydrateArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        if self.status {
            context.require_root()?;
            let registry = context.registry_to_read();
            let record = lifecycle::record(&registry, &name)?;
            let told = Told::of(&registry, &record)?;
            output::print(&if self.json { told.json()? } else { told.text() })?;
            return Ok(Exit::Success);
        }
        let registry = context.registry()?;
        let record = lifecycle::record(&registry, &name)?;
        let view = registry.view(&name)?;
        if record.source != Source::Host || view.frozen.is_some() {
            return Err(CliError::new(format!(
                "{name} does not depend on what the running system does"
            ))
            .hint("only a live copy of it can be hydrated"));
        }
        let store = registry.layout().store(&name);
        ask(&store, !self.stop)?;
        let state = lifecycle::look(&registry, &record, false).state;
        if self.stop {
            output::say(format_args!("{name} is left as it is"));
        } else if state == WparState::Defined {
            offline(context, &registry, &record)?;
        } else {
            output::say(format_args!(
                "{name} is hydrated in the background; 'wpar hydrate --status {name}' tells how far it is"
            ));
        }
        Ok(Exit::Success)
    }
}

/// Notes in a store that its WPAR is to be hydrated, or not.
pub(super) fn ask(store: &Path, wanted: bool) -> CliResult<()> {
    let failed = |error| {
        CliError::io(
            format!("cannot write to the store {}", store.display()),
            &error,
        )
    };
    let mut first: Vec<String> = Vec::new();
    if wanted {
        let open = open_for_writing().into_iter();
        first.extend(open.filter_map(|file| file.path.to_str().map(str::to_owned)));
        first.sort();
        first.dedup();
    }
    let wish = Wish {
        wanted,
        first,
        ..Wish::default()
    };
    let directory = open_store(store).map_err(|error| failed(error.into()))?;
    note::put_wish(directory, &wish).map_err(failed)
}

/// Does it here, because nobody else has the store open.
fn offline(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<()> {
    let name = &record.name;
    let _lock = context.lock(registry, name)?;
    let view = registry.view(name)?;
    let spec = mount_spec(record, &view, registry.layout(), &running_host()?)?;
    let overlay = wpar_mountd::source::open(&spec)
        .map_err(|error| CliError::new(format!("cannot open the WPAR: {error}")))?;
    let store = open_store(&registry.layout().store(name))
        .map_err(|error| CliError::io("cannot open the store", &error.into()))?;
    let go_on = || !context.interrupts.pending();
    work(&overlay, store, &go_on)
        .map_err(|error| CliError::io("cannot note how far it is", &error))?;
    drop(overlay);
    context
        .interrupts
        .check_saying("interrupted; what is copied stays, and the rest comes next time")?;
    let told = Told::of(registry, record)?;
    output::print(&told.text())?;
    match told.progress {
        Some(progress) if progress.state == State::Failed => Err(CliError::new(format!(
            "{name} stays live: {}",
            progress.reason.unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}

/// How consistent a WPAR is, for lists; `None` for a copy of a backup.
pub(super) fn consistency(
    registry: &Registry,
    record: &WparRecord,
    view: &View,
) -> Option<Consistency> {
    if record.source != Source::Host {
        return None;
    }
    let store = open_store(&registry.layout().store(&record.name)).ok();
    let wish = store.as_ref().and_then(note::wish);
    let progress = store.as_ref().and_then(note::progress);
    Some(Consistency::of(
        view.frozen.is_some(),
        wish.is_some_and(|wish| wish.wanted),
        progress.as_ref(),
    ))
}

/// All that there is to say.
struct Told {
    consistency: Consistency,
    view: View,
    progress: Option<Progress>,
}

impl Told {
    fn of(registry: &Registry, record: &WparRecord) -> CliResult<Self> {
        let view = registry.view(&record.name)?;
        let Some(consistency) = consistency(registry, record, &view) else {
            return Err(
                CliError::new(format!("{} is a copy of a backup", record.name))
                    .hint("only copies of the running system can be more or less consistent"),
            );
        };
        let store = open_store(&registry.layout().store(&record.name)).ok();
        Ok(Self {
            consistency,
            progress: store.as_ref().and_then(note::progress),
            view,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("Consistency: {}", self.consistency);
        if let Some(frozen) = &self.view.frozen {
            let _ = write!(text, ", as of {}", time(frozen.taken.cast_signed()));
            if frozen.snapshots.len() > 1 {
                let _ = write!(text, " (all file systems within {} ms)", frozen.spread);
            }
        }
        if let (Consistency::FileConsistent, Some(progress)) = (self.consistency, &self.progress) {
            let end = progress.ended.unwrap_or(progress.begun);
            let _ = write!(text, ", of {} to {}", time(progress.begun), time(end));
        }
        let _ = write!(text, "\n{}\n", self.consistency.meaning());
        if let Some(progress) = &self.progress {
            told_progress(&mut text, progress);
        }
        text
    }

    fn json(&self) -> CliResult<String> {
        #[derive(Serialize)]
        struct Json<'a> {
            consistency: String,
            hydration: Option<&'a Progress>,
            frozen: Option<&'a crate::model::Frozen>,
        }
        let json = Json {
            consistency: self.consistency.to_string(),
            hydration: self.progress.as_ref(),
            frozen: self.view.frozen.as_ref(),
        };
        let text = serde_json::to_string_pretty(&json)
            .map_err(|error| CliError::new(format!("cannot write the status as JSON: {error}")))?;
        Ok(text + "\n")
    }
}

fn told_progress(text: &mut String, progress: &Progress) {
    let state = match progress.state {
        State::Waiting => "waiting until the WPAR is started",
        State::Running => "running",
        State::Stopped => "stopped",
        State::Done => "done",
        State::Essential => "done as far as there was room",
        State::Failed => "failed",
    };
    let _ = writeln!(text, "Hydration:   {state}, begun {}", time(progress.begun));
    let (files, bytes) = (progress.files_done, HumanBytes(progress.bytes_done));
    let _ = match progress.state {
        State::Done => writeln!(text, "Copied:      {files} files, {bytes}"),
        _ => writeln!(
            text,
            "Copied:      {files} of {} files, {bytes} of {}",
            progress.files_all,
            HumanBytes(progress.bytes_all)
        ),
    };
    if let Some(reason) = &progress.reason {
        let _ = writeln!(text, "Reason:      {reason}");
    }
    for (what, paths) in [
        (
            "changed by the host before they were copied",
            &progress.changed,
        ),
        ("changed all the time, and may be damaged", &progress.torn),
        ("not copied", &progress.failed),
    ] {
        told_paths(text, what, paths);
    }
}

fn told_paths(text: &mut String, what: &str, paths: &Paths) {
    if paths.count == 0 {
        return;
    }
    let _ = writeln!(text, "Files {what}: {}", paths.count);
    for path in &paths.paths {
        let _ = writeln!(text, "    {}", path.escape_debug());
    }
}

fn time(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string())
        .unwrap_or_default()
}
