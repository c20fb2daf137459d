//! A source that is ready, and what is to be said about it: once, when it is first used.

use std::path::Path;

use indicatif::HumanBytes;
use wpar_mountd::lower::tar::IndexReport;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::progress::IndexProgress;
use crate::model::view::{LeftOut, Part};
use crate::model::{CopyControls, Source, View};
use crate::policy::exclusions;
use crate::policy::mount_spec::{describe, own_places};
use crate::source::host::RunningHost;
use crate::source::image::{self, Purpose, Ready};

/// A source that is ready to be used, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) source: Source,
    notes: Vec<String>,
    report: Option<IndexReport>,
}

/// How many warnings about an image are shown without `-v`.
const WARNINGS_SHOWN: usize = 3;

impl Prepared {
    /// The image with its index, or the running system.
    pub(super) fn new(context: &Context, image: Option<&Path>) -> CliResult<Self> {
        let Some(image) = image else {
            return Ok(Self {
                source: Source::Host,
                notes: Vec::new(),
                report: None,
            });
        };
        let this = Self::for_purpose(context, image, Purpose::Start)?;
        require_apart(context, &this.source)?;
        Ok(this)
    }

    /// Nothing: for a WPAR that is made from the packages of another system.
    pub(super) fn fresh() -> Self {
        Self {
            source: Source::Fresh,
            notes: Vec::new(),
            report: None,
        }
    }

    /// The image for any purpose, with its index.
    pub(super) fn for_purpose(
        context: &Context,
        image: &Path,
        purpose: Purpose,
    ) -> CliResult<Self> {
        let mut progress = IndexProgress::new(context);
        let prepared = image::prepare(&context.index_cache()?, image, purpose, &mut progress);
        // A signal explains the end of the work better than the error that it caused.
        context.interrupts.check()?;
        let Ready {
            source,
            report,
            notes,
        } = prepared?;
        progress.report();
        Ok(Self {
            source,
            notes,
            report,
        })
    }

    /// About the index, if the image has one.
    pub(super) fn into_report(self) -> Option<IndexReport> {
        self.report
    }

    /// Says what the administrator should know about the source of the WPAR that was made.
    pub(super) fn report(
        &self,
        context: &Context,
        controls: CopyControls,
        view: &View,
        verbose: bool,
    ) {
        if self.source == Source::Host {
            report_parts(context, view, verbose);
            report_snapshots(context, view, verbose);
            report_exclusions(context, controls, view, verbose);
        } else if controls.preserve_wpars && self.source != Source::Fresh {
            context.note("preserve_wpars means nothing for a backup: what is in it is in the copy");
        }
        self.report_image(context, verbose);
    }

    /// Says what the user should know about the image.
    pub(super) fn report_image(&self, context: &Context, verbose: bool) {
        for note in &self.notes {
            context.note(note);
        }
        // What is known of an index that was there has been said when it was made.
        if let Some(report) = self.report.as_ref().filter(|report| report.built) {
            report_index(context, report, verbose);
        }
    }
}

/// Says once what the user should know about an archive that was indexed.
fn report_index(context: &Context, report: &IndexReport, verbose: bool) {
    for note in report.notes.iter().cloned().chain(index_notes(report)) {
        context.note(note);
    }
    if let Some(bytes) = report.seekable_copy {
        context.note(format_args!(
            "a seekable copy of {} was made beside the index: this compression can be read only from \
             its beginning",
            HumanBytes(bytes)
        ));
    }
    let warnings = &report.warnings;
    let shown = if verbose {
        warnings.len()
    } else {
        WARNINGS_SHOWN
    };
    for warning in warnings.iter().take(shown) {
        context.note(format_args!("warning: {warning}"));
    }
    if warnings.len() > shown {
        let rest = warnings.len() - shown;
        context.note(format_args!("warning: and {rest} more about the image"));
    }
}

/// What an archive does not carry, or what was needed for it.
pub(super) fn index_notes(report: &IndexReport) -> Vec<String> {
    let mut notes = Vec::new();
    if !report.carries_xattrs {
        let what = match report.carries_devices {
            true => "no extended attributes",
            false => "no extended attributes and no device nodes",
        };
        notes.push(format!(
            "the image carries {what}; file capabilities, as ping needs, and ACLs are not in it"
        ));
    }
    notes
}

/// A directory that is a source must not hold what is made of it.
fn require_apart(context: &Context, source: &Source) -> CliResult<()> {
    let Source::Tree { path, .. } = source else {
        return Ok(());
    };
    let shown = path.display();
    if path == Path::new("/") {
        return Err(
            CliError::usage("/ is the running system").hint("leave -B out to make a copy of that")
        );
    }
    let state = context.layout.state_dir();
    if state.starts_with(path) {
        return Err(CliError::usage(format!(
            "the directory {shown} contains the stores of wpar itself ({})",
            state.display()
        ))
        .hint("use --root with a directory outside of it, or a copy without that"));
    }
    Ok(())
}

/// Says which file systems of the running system are in the copy.
fn report_parts(context: &Context, view: &View, verbose: bool) {
    let shown = |part: &Part| format!("/{} ({})", part.point, part.reason);
    if verbose {
        for part in &view.parts {
            context.note(format_args!("in the copy: {}", shown(part)));
        }
    }
    if !verbose && !view.left_out.is_empty() {
        let shown = |out: &LeftOut| format!("/{} ({})", out.point, out.reason);
        let mounts: Vec<_> = view.left_out.iter().map(shown).collect();
        context.note(format_args!(
            "other file systems are not in the copy: {}",
            mounts.join("; ")
        ));
    }
}

/// Says of what moment the copy is, if it is of one.
fn report_snapshots(context: &Context, view: &View, verbose: bool) {
    let Some(frozen) = &view.frozen else { return };
    if verbose {
        for snapshot in &frozen.snapshots {
            context.note(format_args!(
                "snapshot of /{}: {} ({})",
                snapshot.point,
                snapshot.path.display(),
                snapshot.kind.word()
            ));
        }
    }
    let spread = match frozen.snapshots.len() {
        1 => String::new(),
        number => format!(": {number} file systems within {} ms", frozen.spread),
    };
    context.note(format_args!(
        "the copy is exact{spread}; nothing that this system does from now on shows in it"
    ));
}

/// Says what of the running system is left out, one by one.
fn report_exclusions(context: &Context, controls: CopyControls, view: &View, verbose: bool) {
    // The copy is made; only what is said about it could be missing.
    let Ok(host) = RunningHost::read() else {
        return;
    };
    if verbose {
        let found = exclusions::host(&host, controls, &own_places(&context.layout), view);
        for name in &found.hidden {
            context.note(format_args!("not in the copy: {}", describe(name)));
        }
    }
}
