//! WPARs that share the `/usr` of their base: their root part follows its packages.
//!
//! The WPAR must be stopped: its files and records change together, and what runs would see them half
//! changed. What is on record of the base is written last, so a run that was interrupted is made good by
//! the next.

use std::collections::BTreeMap;

use wpar_mountd::spec::HiddenName;

use super::{CliError, CliResult, SyncArguments, lifecycle};
use crate::cli::context::Context;
use crate::cli::create::running_host;
use crate::cli::decisions::{self, Copied};
use crate::cli::lender::Lender;
use crate::cli::output;
use crate::launch::fault;
use crate::model::view::WrittenName;
use crate::model::{Base, Edit, Put, View, WparKind, WparName, WparRecord, WparState};
use crate::packages::Family;
use crate::policy::base;
use crate::policy::mount_spec::mount_spec;
use crate::policy::synchronize::shared::{self, Change, Plan, Question, Wish};
use crate::policy::synchronize::{shared_accounts, shared_script, shared_status};
use crate::policy::system_copy::root_part::{RootItem, RootPart, RootWhat, accounts};
use crate::policy::system_copy::{Decisions, root_part as rules};
use crate::registry::Registry;
use crate::source::files::Files;
use crate::source::tree::OfflineTree;
use crate::source::{edits, level, root_part};

/// Largest file of a data base that is read.
const RECORDS_MAX: u64 = 128 << 20;

/// Whether this can be asked of the WPAR.
pub(super) fn is_one(record: &WparRecord) -> bool {
    record.kind == WparKind::System && !record.has_private_usr()
}

/// Brings one to the level of its base. The last line of what was begun says how it went, as in AIX.
pub(super) fn run(
    context: &Context,
    registry: &Registry,
    name: &WparName,
    arguments: &SyncArguments,
) -> CliResult<()> {
    let _lock = context.lock(registry, name)?;
    let record = lifecycle::record(registry, name)?;
    let Some(base) = record.base.clone().filter(|base| !base.private) else {
        let error = CliError::new(format!("{name} has a /usr of its own"));
        return Err(match record.base {
            None => error.hint(format!(
                "bring such a copy to the level of the host with 'syncwpar -D {name}'"
            )),
            Some(_) => error.hint("its packages are upgraded inside"),
        });
    };
    if lifecycle::look(registry, &record, true).state != WparState::Defined {
        return Err(
            CliError::new(format!("{name} is not stopped")).hint(format!(
                "stop it with 'stopwpar {name}', and start it again afterwards"
            )),
        );
    }
    let sync = Sync::begin(registry, record, base)?;
    let plan = sync.plan(arguments)?;
    context.interrupts.check()?;
    tell(context, name, &plan, arguments);
    let done = match arguments.preview || plan.is_empty() && !sync.is_outdated()? {
        true => Ok(()),
        false => sync.apply(context, registry, plan),
    };
    let word = if done.is_ok() { "SUCCESS" } else { "FAILURE" };
    output::say(format_args!("{name}: Returns Status = {word}"));
    done
}

/// One WPAR and its base, looked at.
struct Sync {
    record: WparRecord,
    base: Base,
    lender: Lender,
    family: Family,
    part: RootPart,
    decisions: Decisions,
    view: View,
    own: OfflineTree,
}

impl Sync {
    fn begin(registry: &Registry, record: WparRecord, base: Base) -> CliResult<Self> {
        let layout = registry.layout();
        let host = running_host()?;
        let lender = Lender::open(layout, &host, record.copy_controls, &base)?;
        let Some(database) = lender.database() else {
            return Err(CliError::new(format!(
                "{} has no package data base that can be read",
                base.system
            ))
            .hint("what is in /usr is up to date by itself; nothing else can be done"));
        };
        let family = database.family;
        let part = lender.root_part(layout, &record)?;
        let copied = Copied {
            files: lender.tree.overlay(),
            is_running: true,
            controls: record.copy_controls,
            hostname: &record.hostname,
        };
        let decisions = decisions::with(layout, &copied, |situation| {
            rules::filesets_of(situation, Some(database))
        })?;
        let view = registry.view(&record.name)?;
        let own = OfflineTree::open(&mount_spec(&record, &view, layout, &host)?)?;
        Ok(Self {
            family,
            record,
            base,
            lender,
            part,
            decisions,
            view,
            own,
        })
    }

    fn plan(&self, arguments: &SyncArguments) -> CliResult<Plan> {
        let is_other = match self.family {
            Family::Rpm => arguments.installp,
            _ => arguments.rpm,
        };
        if is_other {
            return Ok(Plan {
                notes: vec![format!("all packages are of {}", self.family)],
                synced: self.view.synced.clone(),
                ..Plan::default()
            });
        }
        shared::plan(&Question {
            family: self.family,
            before: &self.view.synced,
            now: &self.part,
            base: self.lender.tree.overlay(),
            own: self.own.overlay(),
            wish: Wish {
                add_only: arguments.add_only,
                force: arguments.force,
            },
        })
        .map_err(decisions::unreadable)
    }

    /// Whether the base has other packages than are on record, although nothing follows from it: hidden
    /// ones.
    fn is_outdated(&self) -> CliResult<bool> {
        let now = self.lender.fingerprint(&hidden(&self.decisions));
        Ok(now.is_some() && now != self.base.packages)
    }

    fn apply(self, context: &Context, registry: &Registry, plan: Plan) -> CliResult<()> {
        let Self {
            mut record,
            mut base,
            lender,
            family,
            part,
            decisions: found,
            mut view,
            own,
        } = self;
        let layout = registry.layout();
        let host = running_host()?;
        let hidden = hidden(&found);
        let files = own.overlay();
        let status = (family == Family::Dpkg)
            .then(|| status(&lender, files, &base, &found, &view, &plan))
            .transpose()?;
        let accounts = accounts_of(files, &part, &plan, context)?;
        let mut edits = found.edits;
        edits.extend(
            base::pins(&base, lender.tree.overlay(), &edits).map_err(decisions::unreadable)?,
        );
        if let Some(status) = &status {
            put_status(&mut edits, status);
        }
        let waits = match &status {
            Some(status) => shared_status::is_to_be_configured(&status.text),
            None => !plan.packages.is_empty(),
        };
        drop(own);
        view.hidden.retain(|name| !base.lends(&name.path));
        let lent = |name: &HiddenName| base.lends(&name.path);
        view = view.with(View {
            hidden: found.view.hidden.into_iter().filter(lent).collect(),
            ..View::default()
        });
        view.filesets = found.view.filesets;
        let tree = OfflineTree::open(&mount_spec(&record, &view, layout, &host)?)?;
        context.interrupts.check()?;
        let items = plan.items.iter().chain(&accounts);
        let items: BTreeMap<String, RootItem> = items
            .map(|(path, item)| (path.clone(), item.clone()))
            .collect();
        root_part::remake(lender.tree.overlay(), tree.overlay(), &items)
            .map_err(|error| CliError::new(error.to_string()))?;
        fault::point("sync-items");
        let failed = |path: &str, error: wpar_mountd::error::FsError| {
            let error = std::io::Error::from(error.errno());
            CliError::io(format!("cannot write /{path} into the store"), &error)
        };
        for path in &plan.removed {
            tree.overlay()
                .remove_path(path.as_bytes())
                .map_err(|error| failed(path, error))?;
        }
        fault::point("sync-removed");
        restore(&lender, &tree, &base, &view.written, &edits)?;
        fault::point("sync-restored");
        let written = edits::remake(tree.overlay(), edits)
            .map_err(|error| CliError::new(error.to_string()))?;
        fault::point("sync-edits");
        if waits {
            let script = shared_script::script(family);
            let path = shared_script::SCRIPT.as_bytes();
            tree.overlay()
                .make_directories(crate::source::files::split(path).0)
                .and_then(|()| tree.overlay().replace_path(path, script.as_bytes(), 0o755))
                .map_err(|error| failed(shared_script::SCRIPT, error))?;
        }
        // What is on record of it from now on is durable, so this must be before.
        tree.overlay().sync_all().map_err(decisions::unreadable)?;
        fault::point("sync-durable");
        view.written
            .retain(|old| !base.lends(&old.path) && written.iter().all(|new| new.path != old.path));
        view.written.extend(written);
        view.written.sort_by(|a, b| a.path.cmp(&b.path));
        view.synced = plan.synced;
        view.conversion.synchronization |= waits;
        base.packages = lender.fingerprint(&hidden);
        record.base = Some(base);
        let level = level::read(tree.overlay()).unwrap_or_default();
        registry.store_view(&record.name, &view)?;
        fault::point("sync-view");
        registry.store(&record.with_level(level))?;
        Ok(())
    }
}

/// The filesets that a WPAR does not see.
fn hidden(decisions: &Decisions) -> std::collections::BTreeSet<String> {
    crate::policy::system_copy::hidden_filesets(&decisions.view)
}

/// The records of dpkg.
fn status(
    lender: &Lender,
    own: &dyn Files,
    base: &Base,
    found: &Decisions,
    view: &View,
    plan: &Plan,
) -> CliResult<shared_status::Status> {
    let path = shared_status::STATUS;
    let read = |files: &dyn Files| {
        let text = files.read(path.as_bytes(), RECORDS_MAX);
        text.map(Option::unwrap_or_default)
            .map_err(decisions::unreadable)
    };
    let filtered = found.edits.iter().find_map(|edit| match &edit.what {
        Put::File { contents, .. } if edit.path == path && base.lends(path) => {
            Some(contents.clone())
        }
        _ => None,
    });
    let of_base = match filtered {
        Some(text) => text,
        None => read(lender.tree.overlay())?,
    };
    let is_there = |path: &str| matches!(own.real(path.as_bytes()), Ok(Some(_)));
    Ok(shared_status::status(
        &of_base,
        &read(own)?,
        &view.synced,
        plan,
        is_there,
    ))
}

/// Puts the records in place of those that were to be written.
fn put_status(edits: &mut Vec<Edit>, status: &shared_status::Status) {
    let mut put = |path: String, contents: Vec<u8>| {
        edits.retain(|edit| edit.path != path);
        edits.push(Edit {
            path,
            what: Put::File {
                contents,
                permissions: 0o644,
            },
            reason: "the packages that the root part was synchronized with".to_owned(),
        });
    };
    put(shared_status::STATUS.to_owned(), status.text.clone());
    for (name, list) in &status.lists {
        put(format!("{}/{name}", shared_status::INFO), list.clone());
    }
}

/// Accounts that packages of the base have and the WPAR lacks.
fn accounts_of(
    own: &dyn Files,
    part: &RootPart,
    plan: &Plan,
    context: &Context,
) -> CliResult<BTreeMap<String, RootItem>> {
    let mut items = BTreeMap::new();
    if plan.packages.is_empty() {
        return Ok(items);
    }
    for path in accounts::FILES {
        let Some(RootItem {
            what: RootWhat::File(of_base),
            ..
        }) = part.items.get(path)
        else {
            continue;
        };
        let text = own.read(path.as_bytes(), RECORDS_MAX);
        let Some(text) = text.map_err(decisions::unreadable)? else {
            continue;
        };
        let number = matches!(path, "etc/passwd" | "etc/group").then_some(2);
        let (merged, refused) = shared_accounts::merged(&text, of_base, number);
        for name in refused {
            context.note(format_args!(
                "warning: /{path} does not get {name}: its number is another's in the WPAR"
            ));
        }
        if let Some(text) = merged {
            let item = RootItem {
                what: RootWhat::File(text),
                package: None,
            };
            items.insert(path.to_owned(), item);
        }
    }
    Ok(items)
}

/// What was written over the base's data base and is not to be any more is as the base has it.
fn restore(
    lender: &Lender,
    tree: &OfflineTree,
    base: &Base,
    written: &[WrittenName],
    edits: &[Edit],
) -> CliResult<()> {
    let stale = written
        .iter()
        .map(|name| &name.path)
        .filter(|path| base.lends(path) && edits.iter().all(|edit| edit.path != **path));
    for path in stale {
        let of_base = Files::read(lender.tree.overlay(), path.as_bytes(), RECORDS_MAX);
        // What the base has not is of a package that the WPAR alone has on record.
        let Some(contents) = of_base.map_err(decisions::unreadable)? else {
            continue;
        };
        let restored = tree
            .overlay()
            .replace_path(path.as_bytes(), &contents, 0o644);
        restored.map_err(|error| {
            let error = std::io::Error::from(error.errno());
            CliError::io(format!("cannot write /{path} into the store"), &error)
        })?;
    }
    Ok(())
}

/// Says what is to be done.
fn tell(context: &Context, name: &WparName, plan: &Plan, arguments: &SyncArguments) {
    let count = |wanted: fn(&Change) -> bool| {
        plan.packages
            .values()
            .filter(|change| wanted(change))
            .count()
    };
    if arguments.preview || arguments.verbose {
        for (key, change) in &plan.packages {
            let package = key.trim_end_matches(':');
            output::say(match change {
                Change::New(version) => format!("new: {package} {version}"),
                Change::Changed(from, to) => format!("changed: {package} {from} -> {to}"),
                Change::Gone(version) => format!("gone: {package} {version}"),
            });
        }
        for key in &plan.skipped {
            output::say(format_args!("left on record: {key}"));
        }
        for (path, item) in &plan.items {
            if item.what != RootWhat::Directory {
                output::say(format_args!("write: /{path}"));
            }
        }
        for path in &plan.removed {
            output::say(format_args!("remove: /{path}"));
        }
    }
    for note in &plan.notes {
        context.note(note);
    }
    let verb = if arguments.preview { "would be" } else { "are" };
    output::say(format_args!(
        "{name}: {} packages {verb} new, {} changed, {} gone",
        count(|change| matches!(change, Change::New(_))),
        count(|change| matches!(change, Change::Changed(..))),
        count(|change| matches!(change, Change::Gone(_))),
    ));
}
