//! What is said about a plan: in words, or in JSON.

use serde::Serialize;

use super::own::Decided;
use super::{CliError, CliResult, SyncArguments};
use crate::cli::context::Context;
use crate::cli::output;
use crate::model::WparRecord;
use crate::packages::Package;
use crate::policy::synchronize::own::{Class, Planned};

/// Obstacles that are told without `-v`.
const MOST: usize = 20;

/// A plan for programs.
#[derive(Debug, Serialize)]
struct Told<'a> {
    name: &'a str,
    preview: bool,
    possible: bool,
    from: String,
    to: String,
    replaced: usize,
    added: usize,
    kept: usize,
    dropped: usize,
    names: usize,
    obstacles: &'a [String],
    notes: Vec<&'a String>,
    packages: Vec<ToldPackage<'a>>,
}

#[derive(Debug, Serialize)]
struct ToldPackage<'a> {
    name: &'a str,
    architecture: &'a str,
    class: Class,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    to: &'a str,
    reason: &'a str,
}

/// Says what would be, or is going to be, done.
///
/// # Errors
/// If something is in the way.
pub(super) fn tell(
    context: &Context,
    record: &WparRecord,
    decided: &Decided,
    arguments: &SyncArguments,
) -> CliResult<()> {
    if arguments.json {
        print_json(record, decided, arguments)?;
    } else if decided.obstacles.is_empty() && (arguments.preview || arguments.verbose) {
        print_text(decided, arguments.verbose)?;
    }
    if !decided.obstacles.is_empty() {
        return Err(refusal(context, record, decided, arguments));
    }
    if !arguments.json {
        for note in notes(decided) {
            context.note(note);
        }
        if arguments.preview {
            context.note(
                "nothing was changed; afterwards the copy needs the files of the host: when the \
                 host is upgraded, it has to be done again",
            );
        }
    }
    Ok(())
}

fn notes(decided: &Decided) -> impl Iterator<Item = &String> {
    decided.names.notes.iter().chain(&decided.records.notes)
}

fn refusal(
    context: &Context,
    record: &WparRecord,
    decided: &Decided,
    arguments: &SyncArguments,
) -> CliError {
    let name = &record.name;
    let all = &decided.obstacles;
    if !arguments.json {
        let shown = if arguments.verbose { all.len() } else { MOST };
        for obstacle in all.iter().take(shown) {
            context.note(obstacle);
        }
        if let Some(more) = all.len().checked_sub(shown).filter(|more| *more > 0) {
            context.note(format_args!("and {more} more: -v names them all"));
        }
    }
    CliError::new(format!(
        "{name} cannot be brought to the level of the host, and was not changed: {} in the way",
        match all.len() {
            1 => "one thing is".to_owned(),
            count => format!("{count} things are"),
        }
    ))
    .hint(format!(
        "make it a versioned workload partition with 'chwpar -C {name}', in which the distribution's \
         own upgrade can be run"
    ))
}

fn print_text(decided: &Decided, verbose: bool) -> CliResult<()> {
    let mut text = String::new();
    if verbose {
        for planned in &decided.plan.packages {
            if let Some(told) = told(decided, planned) {
                let change = match told.from {
                    Some(from) if from != told.to => format!("{from} -> {}", told.to),
                    _ => told.to.to_owned(),
                };
                let class = word(told.class);
                text += &format!("{class:<8} {} {change} ({})\n", told.name, told.reason);
            }
        }
    }
    let count = |class| decided.plan.count(class);
    text += &format!(
        "{} packages would be the host's, {} of the host's added, {} stay the copy's, {} go; {} names\n",
        count(Class::Replaced),
        count(Class::Added),
        count(Class::Kept),
        count(Class::Dropped),
        decided.names.listed.len()
    );
    text += &format!(
        "level {} -> {}\n",
        decided.copy_level.service_pack(),
        decided.host_level.service_pack()
    );
    output::print(&text)
}

fn word(class: Class) -> &'static str {
    match class {
        Class::Replaced => "replaced",
        Class::Added => "added",
        Class::Kept => "kept",
        Class::Dropped => "dropped",
    }
}

fn told<'a>(decided: &'a Decided, planned: &'a Planned) -> Option<ToldPackage<'a>> {
    let find = |packages: &'a [Package], at: Option<usize>| packages.get(at?);
    let own = find(&decided.copy.packages, planned.copy);
    let theirs = find(&decided.host.packages, planned.host);
    let becomes = theirs.or(own)?;
    Some(ToldPackage {
        name: &becomes.name,
        architecture: &becomes.architecture,
        class: planned.class,
        from: own.map(|own| &*own.version),
        to: &becomes.version,
        reason: &planned.reason,
    })
}

fn print_json(record: &WparRecord, decided: &Decided, arguments: &SyncArguments) -> CliResult<()> {
    let count = |class| decided.plan.count(class);
    let packages = decided.plan.packages.iter();
    let told = Told {
        name: record.name.as_str(),
        preview: arguments.preview,
        possible: decided.obstacles.is_empty(),
        from: decided.copy_level.service_pack(),
        to: decided.host_level.service_pack(),
        replaced: count(Class::Replaced),
        added: count(Class::Added),
        kept: count(Class::Kept),
        dropped: count(Class::Dropped),
        names: decided.names.listed.len(),
        obstacles: &decided.obstacles,
        notes: notes(decided).collect(),
        packages: packages.filter_map(|one| told(decided, one)).collect(),
    };
    let text = serde_json::to_string_pretty(&told)
        .map_err(|error| CliError::new(format!("cannot write the plan as JSON: {error}")))?;
    output::print(&(text + "\n"))
}
