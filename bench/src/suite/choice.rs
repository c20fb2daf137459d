//! Which workloads and subjects take part.

use super::SuiteOptions;
use super::result::{Results, Said};
use crate::Fallible;
use crate::subject::Subject;
use crate::workload::Workload;

/// The subjects that are wanted and can take part here; the results say which cannot, and why.
///
/// # Errors
/// A name that there is not.
pub(super) fn subjects(
    options: &SuiteOptions,
    all: Vec<Box<dyn Subject>>,
    results: &mut Results,
) -> Fallible<Vec<Box<dyn Subject>>> {
    let known: Vec<_> = all.iter().map(|subject| subject.name()).collect();
    check("subject", &options.subjects, &known)?;
    let mut chosen = Vec::new();
    for subject in all {
        let name = subject.name();
        if !(options.subjects.is_empty() || options.subjects.iter().any(|word| word == name)) {
            continue;
        }
        let (list, about) = match subject.missing() {
            Some(why) => (&mut results.absent, why),
            None => (&mut results.subjects, subject.about()),
        };
        let left_out = subject.missing().is_some();
        list.push(Said {
            name: name.to_owned(),
            about,
        });
        if !left_out {
            chosen.push(subject);
        }
    }
    Ok(chosen)
}

/// The workloads that are wanted and can be run here; the results say which cannot, and why.
///
/// # Errors
/// A name that there is not.
pub(super) fn workloads(
    options: &SuiteOptions,
    all: Vec<Box<dyn Workload>>,
    results: &mut Results,
) -> Fallible<Vec<Box<dyn Workload>>> {
    let known = all
        .iter()
        .flat_map(|workload| [workload.name(), workload.group()]);
    check("workload", &options.only, &known.collect::<Vec<_>>())?;
    let named = |word: &str| options.only.iter().any(|only| only == word);
    let mut chosen = Vec::new();
    for workload in all {
        let on_request = workload.needs().on_request;
        let wanted = match options.only.is_empty() {
            true => !on_request,
            false => named(workload.name()) || (named(workload.group()) && !on_request),
        };
        if !wanted {
            continue;
        }
        match workload.missing() {
            Some(why) => results.left_out(workload.name(), why),
            None => chosen.push(workload),
        }
    }
    Ok(chosen)
}

/// That every word is known.
fn check(kind: &str, words: &[String], known: &[&str]) -> Fallible<()> {
    match words.iter().find(|word| !known.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(format!("there is no {kind} {word}; --list names them all").into()),
    }
}
