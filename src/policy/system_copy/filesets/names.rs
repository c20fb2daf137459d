//! The names that are hidden, while they are found.

use std::collections::BTreeMap;
use std::rc::Rc;

use wpar_mountd::spec::{HiddenExtent, HiddenName};

/// Names without links on the way to them, each with what of it is hidden, and why.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<Vec<u8>, (HiddenExtent, Rc<str>)>,
    /// How many were passed over, because no path of a rule can name them.
    unspeakable: usize,
}

impl Names {
    /// Hides a name, with everything below it. The first reason stays.
    pub(super) fn hide(&mut self, path: Vec<u8>, reason: &Rc<str>) {
        self.insert(path, HiddenExtent::Name, reason);
    }

    /// Hides what is in a directory, which stays.
    pub(super) fn hide_contents(&mut self, path: Vec<u8>, reason: &Rc<str>) {
        self.insert(path, HiddenExtent::Contents, reason);
    }

    fn insert(&mut self, path: Vec<u8>, extent: HiddenExtent, reason: &Rc<str>) {
        if !is_sayable(&path) {
            self.unspeakable += 1;
            return;
        }
        let known = self.known.entry(path);
        let known = known.or_insert_with(|| (extent, Rc::clone(reason)));
        if extent == HiddenExtent::Name {
            known.0 = extent;
        }
    }

    /// Whether `path`, without links, is hidden itself or lies in what is.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        matches!(self.known.get(path), Some((HiddenExtent::Name, _)))
            || above(path).any(|above| self.known.contains_key(above))
    }

    /// The reason for which `path` is hidden.
    pub(super) fn reason(&self, path: &[u8]) -> Option<Rc<str>> {
        let mut all = std::iter::once(path).chain(above(path));
        all.find_map(|path| self.known.get(path))
            .map(|(_, reason)| Rc::clone(reason))
    }

    /// The names that are hidden, not those in contents of others.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.known.keys().map(Vec::as_slice)
    }

    /// The rules, sorted by path, none below another, and how many could not be made.
    pub(super) fn finish(&self) -> (Vec<HiddenName>, usize) {
        let uncovered = self
            .known
            .iter()
            .filter(|(path, _)| !above(path).any(|above| self.known.contains_key(above)));
        let rules = uncovered.filter_map(|(path, (extent, reason))| {
            Some(HiddenName {
                path: String::from_utf8(path.clone()).ok()?,
                extent: *extent,
                reason: reason.to_string(),
            })
        });
        (rules.collect(), self.unspeakable)
    }
}

/// The directories above a path, the nearest first, without the root.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let at = rest.iter().rposition(|&byte| byte == b'/')?;
        rest = rest.get(..at)?;
        Some(rest)
    })
}

/// Whether a rule can name the path: UTF-8, and only components that a directory can hold.
fn is_sayable(path: &[u8]) -> bool {
    str::from_utf8(path).is_ok()
        && path.len() < 4096
        && path.split(|&byte| byte == b'/').all(|name| {
            !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_compact_and_can_be_said() {
        let mut names = Names::default();
        let reason: Rc<str> = "grub".into();
        for path in [
            "etc/grub.d/00_header",
            "etc/grub.d",
            "etc/grub.d-old",
            "a/../b",
            "a//b",
            "",
            "x/.",
        ] {
            names.hide(path.as_bytes().to_vec(), &reason);
        }
        names.hide(b"latin-\xe9".to_vec(), &reason);
        names.hide_contents(b"boot".to_vec(), &reason);
        names.hide(b"boot/vmlinuz".to_vec(), &reason);
        assert!(names.covers(b"etc/grub.d/00_header/x") && names.covers(b"boot/x"));
        assert!(!names.covers(b"boot") && !names.covers(b"etc/grub.dx"));
        let (rules, unspeakable) = names.finish();
        let paths: Vec<_> = rules.iter().map(|rule| &*rule.path).collect();
        assert_eq!(paths, ["boot", "etc/grub.d", "etc/grub.d-old"]);
        assert_eq!(unspeakable, 5);
    }
}
