//! The stanzas of `status`, `available` and `extended_states`. Format: deb-control(5).

use super::Fates;
use crate::model::view::FilesetFate;

/// Fields that a ghost does not have: what it needs, and files that are not there.
const NOT_IN_GHOSTS: &[&[u8]] = &[
    b"depends",
    b"pre-depends",
    b"recommends",
    b"suggests",
    b"conffiles",
    b"triggers-pending",
    b"triggers-awaited",
];

/// The text without stanzas of hidden packages, and with ghosts made of those that ghosts are of.
pub(super) fn filter(text: &[u8], fates: &Fates) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    for stanza in stanzas(text) {
        let name = field(stanza, b"package").unwrap_or_default();
        let architecture = field(stanza, b"architecture").unwrap_or_default();
        match fates.get(name, architecture) {
            Some(FilesetFate::Ghost) => kept.extend(ghost(stanza)),
            Some(_) => {}
            None => kept.extend_from_slice(stanza),
        }
    }
    kept
}

/// The stanzas, each with the blank lines behind it.
pub(in crate::policy) fn stanzas(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        let mut is_ending = false;
        for line in rest.split_inclusive(|&byte| byte == b'\n') {
            let is_blank = line.trim_ascii().is_empty();
            if is_ending && !is_blank {
                break;
            }
            is_ending |= is_blank && end > 0;
            end += line.len();
        }
        let (stanza, after) = rest.split_at(end);
        rest = after;
        Some(stanza)
    })
}

/// The first line of a field.
pub(in crate::policy) fn field<'a>(stanza: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    stanza
        .split(|&byte| byte == b'\n')
        .find_map(|line| value(line, wanted))
}

fn value<'a>(line: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = line.split_at_checked(wanted.len())?;
    let rest = rest.strip_prefix(b":")?;
    name.eq_ignore_ascii_case(wanted).then(|| rest.trim_ascii())
}

/// The stanza of a package that is on record, held, and has nothing and needs nothing.
fn ghost(stanza: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(stanza.len());
    let mut is_in = true;
    for line in stanza.split_inclusive(|&byte| byte == b'\n') {
        if value(line, b"status").is_some() {
            kept.extend_from_slice(b"Status: hold ok installed\n");
            is_in = false;
            continue;
        }
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        if !goes_on {
            is_in = !NOT_IN_GHOSTS.iter().any(|name| value(line, name).is_some());
        }
        if is_in {
            kept.extend_from_slice(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: cron\nStatus: install ok installed\nArchitecture: amd64\n\n\
        Package: mdadm\nStatus: install ok installed\nArchitecture: amd64\nDepends: udev,\n libc6\n\
        Conffiles:\n /etc/x 0123\n /etc/y 4567\nDescription: arrays\n of disks\n\n\n\
        Package: grub-common\nArchitecture: amd64\nStatus: install ok installed\n\n\
        Package: last\nStatus: install ok installed\nArchitecture: amd64\n";

    fn fates(all: &[(&str, FilesetFate)]) -> Fates {
        let key = |name: &str| (name.to_owned(), "amd64".to_owned());
        Fates::new(all.iter().map(|(name, fate)| (key(name), *fate)))
    }

    #[test]
    fn hidden_stanzas_are_dropped_and_ghosts_need_nothing() {
        let fates = fates(&[
            ("mdadm", FilesetFate::Ghost),
            ("grub-common", FilesetFate::Hidden),
        ]);
        let filtered = String::from_utf8(filter(STATUS.as_bytes(), &fates)).unwrap();
        assert_eq!(
            filtered,
            "Package: cron\nStatus: install ok installed\nArchitecture: amd64\n\n\
             Package: mdadm\nStatus: hold ok installed\nArchitecture: amd64\n\
             Description: arrays\n of disks\n\n\n\
             Package: last\nStatus: install ok installed\nArchitecture: amd64\n"
        );
    }

    #[test]
    fn the_same_name_of_another_architecture_stays() {
        let other = Fates::new([(("cron".to_owned(), "i386".to_owned()), FilesetFate::Hidden)]);
        assert_eq!(filter(STATUS.as_bytes(), &other), STATUS.as_bytes());
        for text in ["", "\n\n", "\n\nPackage: x", "nonsense"] {
            assert_eq!(filter(text.as_bytes(), &other), text.as_bytes());
        }
    }
}
