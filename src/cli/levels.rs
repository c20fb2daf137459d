//! Whether a WPAR may start at the level that it is at: for `startwpar`, `mkwpar -s` and the like.
//!
//! A copy of an image is a system of the host's level, or a versioned WPAR. What was recorded when it
//! was made is looked at anew before anything is refused, because a system can be upgraded inside.
//! `wparexec` and `wpar mount` ask nothing of this: one command may well run where a system does not.

use super::context::Context;
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::progress::IndexProgress;
use super::{generations, lifecycle};
use crate::model::abi::{Finding, check};
use crate::model::{Level, Source, WparName, WparRecord, WparState};
use crate::policy::mount_spec::mount_spec;
use crate::registry::Registry;
use crate::source::tree::OfflineTree;
use crate::source::{image, level};

/// How a start is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insist {
    /// As usual.
    No,
    /// Also if it is not known whether it works.
    Yes,
}

/// Refuses the start of a WPAR that is at another level and not versioned, or whose programs cannot
/// run on this host. The WPAR's lock is held.
pub(super) fn require(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    insist: Insist,
) -> CliResult<()> {
    let Some(recorded) = record
        .level
        .as_ref()
        .filter(|_| record.source != Source::Host)
    else {
        return Ok(());
    };
    // Of what runs already others have more to say.
    if lifecycle::look(registry, record, true).state != WparState::Defined {
        return Ok(());
    }
    require_level(context, registry, (record, recorded), insist)?;
    generations::require_current(registry, &record.name, insist)
}

fn require_level(
    context: &Context,
    registry: &Registry,
    (record, recorded): (&WparRecord, &Level),
    insist: Insist,
) -> CliResult<()> {
    let host = host_level()?;
    let offered = level::host_abi();
    let verdict = |level: &Level| {
        let findings = check(&level.architecture, &level.abi, &offered);
        judge(
            &record.name,
            record.versioned,
            level,
            &host,
            findings,
            insist,
        )
    };
    if verdict(recorded).is_ok() {
        return Ok(());
    }
    let now = look_again(context, registry, record)?;
    if now != *recorded {
        registry.store(&record.with_level(now.clone()))?;
    }
    verdict(&now)
}

/// The host's own level.
pub(super) fn host_level() -> CliResult<Level> {
    level::host().map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io("cannot read the level of this host", &error)
    })
}

/// What to say when a WPAR was made that cannot start as it is.
pub(super) fn note(record: &WparRecord) -> Option<String> {
    let level = record.level.as_ref()?;
    if record.source == Source::Host {
        return None;
    }
    let host = host_level().ok()?;
    let findings = check(&level.architecture, &level.abi, &level::host_abi());
    let insist = Insist::No;
    let refused = judge(
        &record.name,
        record.versioned,
        level,
        &host,
        findings,
        insist,
    )
    .err()?;
    Some(format!("it cannot be started as it is: {refused}"))
}

fn judge(
    name: &WparName,
    versioned: bool,
    level: &Level,
    host: &Level,
    mut findings: Vec<Finding>,
    insist: Insist,
) -> CliResult<()> {
    // What refuses always comes first: no way out should be named that ends at it.
    findings.sort_by_key(|finding| finding.may_work);
    let finding = findings
        .into_iter()
        .find(|finding| !finding.may_work || insist == Insist::No);
    if let Some(finding) = finding.as_ref().filter(|finding| !finding.may_work) {
        return Err(
            CliError::new(format!("{name} cannot run on this host: {}", finding.what))
                .hint(&finding.fix),
        );
    }
    if !versioned && !level.is_same(host) {
        return Err(CliError::new(format!(
            "{name} is at level {}, the host is at {}",
            level.beside(host),
            host.beside(host)
        ))
        .hint(match level.id == host.id {
            true => format!(
                "bring it to the level of the host with 'syncwpar -D {name}', or make it a versioned \
                 workload partition with 'chwpar -C {name}'"
            ),
            false => {
                format!("make it a versioned workload partition with 'chwpar -C {name}'")
            }
        }));
    }
    match finding {
        None => Ok(()),
        Some(finding) => {
            Err(
                CliError::new(format!("{name} may not run on this host: {}", finding.what)).hint(
                    format!("{}; or try it with 'startwpar -F {name}'", finding.fix),
                ),
            )
        }
    }
}

/// The level that the WPAR is at now, with what it has changed.
fn look_again(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<Level> {
    let tree = offline(context, registry, record)?;
    level::read(tree.overlay()).map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io(format!("cannot read the level of {}", record.name), &error)
    })
}

/// The source of a WPAR, which is there and unchanged, and its index too.
pub(super) fn ready_source(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
) -> CliResult<Source> {
    let cache = registry.layout().images_dir();
    let mut progress = IndexProgress::new(context);
    let owner = record.name.as_str();
    Ok(image::prepare_again(
        &cache,
        &record.source,
        owner,
        &mut progress,
    )?)
}

/// The files of a stopped WPAR, whose lock is held.
pub(super) fn offline(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
) -> CliResult<OfflineTree> {
    let layout = registry.layout();
    let record = WparRecord {
        source: ready_source(context, registry, record)?,
        ..record.clone()
    };
    let view = registry.view(&record.name)?;
    let spec = mount_spec(&record, &view, layout, &running_host()?)?;
    Ok(OfflineTree::open(&spec)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(version: &str) -> Level {
        Level {
            id: "debian".to_owned(),
            version_id: version.to_owned(),
            architecture: "x86_64".to_owned(),
            ..Level::default()
        }
    }

    fn finding(may_work: bool) -> Vec<Finding> {
        vec![Finding {
            what: "what".to_owned(),
            fix: "fix".to_owned(),
            may_work,
        }]
    }

    fn refusal(
        versioned: bool,
        version: &str,
        findings: Vec<Finding>,
        insist: Insist,
    ) -> Option<String> {
        let name = WparName::new("wpar1").unwrap();
        let judged = judge(
            &name,
            versioned,
            &level(version),
            &level("12"),
            findings,
            insist,
        );
        judged.err().map(|error| error.to_string())
    }

    #[test]
    fn another_level_is_refused_with_the_way_out() {
        assert_eq!(refusal(false, "12", vec![], Insist::No), None);
        assert_eq!(refusal(true, "11", vec![], Insist::No), None);
        let text = "wpar1 is at level debian 11, the host is at debian 12; bring it to the level of \
                    the host with 'syncwpar -D wpar1', or make it a versioned workload partition \
                    with 'chwpar -C wpar1'";
        for insist in [Insist::No, Insist::Yes] {
            assert_eq!(refusal(false, "11", vec![], insist).as_deref(), Some(text));
            assert_eq!(
                refusal(false, "11", finding(true), insist).as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn only_what_may_work_can_be_insisted_on() {
        let text = refusal(true, "11", finding(true), Insist::No).unwrap();
        assert_eq!(
            text,
            "wpar1 may not run on this host: what; fix; or try it with 'startwpar -F wpar1'"
        );
        assert_eq!(refusal(true, "11", finding(true), Insist::Yes), None);
        for (versioned, insist) in [(false, Insist::No), (true, Insist::No), (true, Insist::Yes)] {
            let text = refusal(versioned, "11", finding(false), insist).unwrap();
            assert_eq!(text, "wpar1 cannot run on this host: what; fix");
        }
    }
}
