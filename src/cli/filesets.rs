//! What is said about private filesets: once when a WPAR is made, and by `lswpar --filesets`.

use indicatif::HumanBytes;

use super::context::Context;
use crate::model::view::{Fileset, FilesetFate};
use crate::model::{View, WparName};

/// The word for what became of a fileset.
pub(super) fn fate(fate: FilesetFate) -> &'static str {
    match fate {
        FilesetFate::Hidden => "hidden",
        FilesetFate::Ghost => "ghost",
        FilesetFate::Kept => "kept",
    }
}

/// Says what the rules decided about a WPAR that was made.
pub(super) fn report(context: &Context, name: &WparName, view: &View, verbose: bool) {
    if let Some(summary) = summary(&view.filesets) {
        context.note(format_args!(
            "{summary}; 'lswpar --filesets {name}' lists them"
        ));
    }
    if verbose {
        for fileset in &view.filesets {
            let words = match fileset.fate {
                FilesetFate::Hidden | FilesetFate::Ghost => "not visible",
                FilesetFate::Kept => "kept",
            };
            context.note(format_args!(
                "{words}: {} {} ({})",
                fileset.name, fileset.version, fileset.reason
            ));
        }
    }
}

/// How many filesets are not visible and how many are kept; `None` if none is private.
fn summary(filesets: &[Fileset]) -> Option<String> {
    let (kept, hidden): (Vec<&Fileset>, Vec<&Fileset>) = filesets
        .iter()
        .partition(|fileset| fileset.fate == FilesetFate::Kept);
    let counted = |number: usize| match number {
        1 => "1 fileset".to_owned(),
        number => format!("{number} filesets"),
    };
    let verb = |number: usize| if number == 1 { "is" } else { "are" };
    let mut parts = Vec::new();
    if !hidden.is_empty() {
        let bytes = hidden
            .iter()
            .fold(0, |sum: u64, fileset| sum.saturating_add(fileset.size));
        let size = match bytes {
            0 => String::new(),
            bytes => format!(" ({})", HumanBytes(bytes)),
        };
        let count = hidden.len();
        parts.push(format!(
            "{} {} not visible{size}",
            counted(count),
            verb(count)
        ));
    }
    if !kept.is_empty() {
        let count = kept.len();
        parts.push(format!(
            "{} {} kept because needed",
            counted(count),
            verb(count)
        ));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_there_is() {
        let fileset = |fate, size| Fileset {
            name: "x".to_owned(),
            architecture: String::new(),
            version: "1".to_owned(),
            size,
            fate,
            reason: String::new(),
        };
        assert_eq!(summary(&[]), None);
        let some = [
            fileset(FilesetFate::Hidden, 1 << 20),
            fileset(FilesetFate::Ghost, 1 << 20),
            fileset(FilesetFate::Kept, 1 << 30),
        ];
        assert_eq!(
            summary(&some).unwrap(),
            "2 filesets are not visible (2.00 MiB), 1 fileset is kept because needed"
        );
        let kept = [fileset(FilesetFate::Kept, 5)];
        assert_eq!(summary(&kept).unwrap(), "1 fileset is kept because needed");
        let unsized_one = [fileset(FilesetFate::Hidden, 0)];
        assert_eq!(summary(&unsized_one).unwrap(), "1 fileset is not visible");
    }
}
