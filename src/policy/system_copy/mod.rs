//! What a system copy sees otherwise than its source is: the rules, applied once, when it is made.
//!
//! Pure but for reading the source through [`Files`]: the rules say what is hidden and what is to be
//! written ([`Decisions`]); who makes the WPAR writes it and keeps the [`View`]. What of a running
//! system is left out because it belongs to the host's present state is not decided here but at each
//! start, by [`super::exclusions`].

use std::collections::BTreeSet;
use std::fmt;

use wpar_mountd::error::FsError;

use crate::model::view::FilesetFate;
use crate::model::{CopyControls, Edit, Hostname, ImageData, View};
use crate::source::files::Files;

mod devices;
mod draft;
#[cfg(test)]
pub(in crate::policy) mod fake_tree;
pub(in crate::policy) mod filesets;
pub mod hot_files;
pub mod root_part;
mod warnings;

pub use filesets::ListFile;

/// What the rules look at.
pub struct Situation<'a> {
    /// The source, without what [`super::exclusions`] hides.
    pub files: &'a dyn Files,
    /// Whether the source is the running system rather than a backup.
    pub of_running_system: bool,
    /// What is to be kept.
    pub controls: CopyControls,
    /// The WPAR's host name.
    pub hostname: &'a Hostname,
    /// The host's files `etc/wpars/private.d/*.list`.
    pub private_lists: &'a [ListFile],
    /// A resolv.conf of the host's that names no server on the host itself, if it has such.
    pub resolver: Option<&'a [u8]>,
}

impl fmt::Debug for Situation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Situation")
            .field("of_running_system", &self.of_running_system)
            .field("controls", &self.controls)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// What the rules decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// What is kept about it. `written` is filled from the edits when they are made.
    pub view: View,
    /// What is to be written, in this order, into a view in which everything of `view.hidden` is
    /// hidden already.
    pub edits: Vec<Edit>,
}

/// Applies all rules.
///
/// # Errors
/// Those of reading the source.
pub fn decide(situation: &Situation<'_>) -> Result<Decisions, FsError> {
    // A WPAR has no filesets and devices of another machine, and what its administrator has set up
    // since it was made stays.
    if is_backup_of_a_wpar(situation)? {
        return Ok(Decisions::default());
    }
    let mut decisions = filesets::decide(situation)?;
    devices::decide(situation, &mut decisions)?;
    warnings::decide(situation, &mut decisions)?;
    decisions.view.conversion.programs = true;
    Ok(decisions)
}

/// The filesets that a view hides, as in [`crate::model::view::SyncedPackage::key`].
pub fn hidden_filesets(view: &View) -> BTreeSet<String> {
    let hidden = view
        .filesets
        .iter()
        .filter(|set| set.fate != FilesetFate::Kept);
    hidden
        .map(|set| format!("{}:{}", set.name, set.architecture))
        .collect()
}

/// Whether the source is what `savewpar` wrote, by what that says about itself.
fn is_backup_of_a_wpar(situation: &Situation<'_>) -> Result<bool, FsError> {
    if situation.of_running_system {
        return Ok(false);
    }
    let mut draft = draft::Draft::new(situation.files, Decisions::default());
    let data = draft.text("wpar.data")?.unwrap_or_default();
    Ok(ImageData::parse(&data).get("wpar_data", "KIND") == Some("wpar"))
}
