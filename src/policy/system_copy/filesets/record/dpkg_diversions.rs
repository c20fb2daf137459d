//! Diversions: three lines each, the path, where to, and for which package. Format: dpkg-divert(1).

use super::Fates;

/// Diversions that go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped<'a> {
    /// The text without them.
    pub(super) rest: Vec<u8>,
    /// Each with its path and where the other package's file is.
    pub(super) diversions: Vec<(&'a [u8], &'a [u8])>,
}

/// Takes the diversions of hidden packages away.
pub(super) fn filter<'a>(text: &'a [u8], fates: &Fates) -> Dropped<'a> {
    let mut dropped = Dropped::default();
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    while let Some(from) = lines.next() {
        let (to, by) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        if fates.hides(by.trim_ascii_end()) {
            dropped
                .diversions
                .push((from.trim_ascii_end(), to.trim_ascii_end()));
        } else {
            for line in [from, to, by] {
                dropped.rest.extend_from_slice(line);
            }
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::FilesetFate;

    #[test]
    fn those_of_hidden_packages_go() {
        let text = b"/bin/a\n/bin/a.real\nkexec-tools\n/bin/b\n/bin/b.real\n:\n";
        let key = ("kexec-tools".to_owned(), "amd64".to_owned());
        let fates = Fates::new([(key, FilesetFate::Hidden)]);
        let dropped = filter(text, &fates);
        assert_eq!(dropped.rest, b"/bin/b\n/bin/b.real\n:\n");
        assert_eq!(dropped.diversions, [(&b"/bin/a"[..], &b"/bin/a.real"[..])]);
    }
}
