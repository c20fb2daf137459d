//! The words of dependencies: names, alternatives and versions, of each family.

use std::cmp::Ordering;

use crate::packages::Family;

/// Something that is asked for: a name, and what its version must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Wanted<'a> {
    pub(in crate::policy) name: &'a str,
    /// An operator, and the version behind it.
    pub(in crate::policy) version: Option<(&'a str, &'a str)>,
}

/// What one dependency asks for: all of several things, each of them as one of several.
pub(in crate::policy) fn alternatives(
    family: Family,
    text: &str,
) -> impl Iterator<Item = Vec<Wanted<'_>>> {
    let separator = match family {
        Family::Dpkg => ',',
        // One item each.
        Family::Rpm | Family::Apk | Family::Pacman => '\n',
    };
    let is_dpkg = family == Family::Dpkg;
    text.split(separator).filter_map(move |part| {
        let part = part.trim();
        let wanted: Vec<_> = if is_dpkg {
            part.split('|').filter_map(dpkg).collect()
        } else if family == Family::Rpm && part.starts_with('(') {
            rich(part)
        } else {
            compact(part).into_iter().collect()
        };
        (!wanted.is_empty()).then_some(wanted)
    })
}

/// `NAME[:ARCHITECTURE] [(OPERATOR VERSION)]`.
fn dpkg(text: &str) -> Option<Wanted<'_>> {
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.split(')').next()),
        None => (text, None),
    };
    let name = name.split('[').next()?.trim();
    let name = name.split(':').next()?;
    let version = rest.and_then(|rest| {
        let rest = rest.trim();
        let end = rest.find(|byte: char| !"<>=".contains(byte))?;
        Some((rest.get(..end)?, rest.get(end..)?.trim()))
    });
    (!name.is_empty()).then_some(Wanted { name, version })
}

/// `NAME[ ]OPERATOR[ ]VERSION`, or a name alone. Names of rpm may hold anything in parentheses.
fn compact(text: &str) -> Option<Wanted<'_>> {
    let text = text.trim();
    let mut depth = 0usize;
    let at = text.char_indices().find_map(|(at, letter)| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '<' | '>' | '=' | '~' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    });
    let Some(at) = at else {
        return (!text.is_empty()).then_some(Wanted {
            name: text,
            version: None,
        });
    };
    let (name, rest) = (text.get(..at)?.trim(), text.get(at..)?);
    let end = rest.find(|letter: char| !"<>=~".contains(letter))?;
    Some(Wanted {
        name,
        version: Some((rest.get(..end)?, rest.get(end..)?.trim())),
    })
}

/// A boolean dependency of rpm. Only `(A or B)` binds: what is under a condition (`if`, `unless`) asks
/// for nothing when that is away, and what else there is has no name in common with ours.
fn rich(text: &str) -> Vec<Wanted<'_>> {
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .unwrap_or_default();
    let conditions = [" if ", " unless ", " with ", " without ", " and "];
    if conditions.iter().any(|word| inner.contains(word)) {
        return Vec::new();
    }
    inner.split(" or ").filter_map(compact).collect()
}

/// Whether a version that is given is what is wanted.
pub(in crate::policy) fn holds(family: Family, given: &str, operator: &str, wanted: &str) -> bool {
    // A release that is not asked for is of no matter.
    let is_short = matches!(family, Family::Rpm | Family::Pacman) && !wanted.contains('-');
    let given = match given.rsplit_once('-') {
        Some((version, _)) if is_short => version,
        _ => given,
    };
    let order = family.compare(given, wanted);
    match operator {
        "<<" => order == Ordering::Less,
        "<" if family != Family::Dpkg => order == Ordering::Less,
        "<=" | "<" => order != Ordering::Greater,
        "=" | "==" => order == Ordering::Equal,
        ">>" => order == Ordering::Greater,
        ">" if family != Family::Dpkg => order == Ordering::Greater,
        ">=" | ">" => order != Ordering::Less,
        // `~` of apk: begins with.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(name: &'a str, version: Option<(&'a str, &'a str)>) -> Wanted<'a> {
        Wanted { name, version }
    }

    #[test]
    fn dependencies_are_understood_in_the_words_of_each_family() {
        let all = |family, text: &'static str| alternatives(family, text).collect::<Vec<_>>();
        assert_eq!(
            all(
                Family::Dpkg,
                "libc6 (>= 2.36), grub2 | grub-pc (<< 3) | lilo, python3:any (>=3.9)"
            ),
            [
                vec![wanted("libc6", Some((">=", "2.36")))],
                vec![
                    wanted("grub2", None),
                    wanted("grub-pc", Some(("<<", "3"))),
                    wanted("lilo", None)
                ],
                vec![wanted("python3", Some((">=", "3.9")))],
            ]
        );
        assert_eq!(
            all(Family::Rpm, "libcrypto.so.3(OPENSSL_3.0.0)(64bit)"),
            [vec![wanted("libcrypto.so.3(OPENSSL_3.0.0)(64bit)", None)]]
        );
        assert_eq!(
            all(Family::Rpm, "kernel >= 6.1-2"),
            [vec![wanted("kernel", Some((">=", "6.1-2")))]]
        );
        assert_eq!(
            all(Family::Rpm, "(dracut or mkinitrd >= 2)"),
            [vec![
                wanted("dracut", None),
                wanted("mkinitrd", Some((">=", "2")))
            ]]
        );
        assert!(all(Family::Rpm, "(dracut if kernel)").is_empty());
        assert_eq!(
            all(Family::Apk, "so:libc.musl-x86_64.so.1"),
            [vec![wanted("so:libc.musl-x86_64.so.1", None)]]
        );
        assert_eq!(
            all(Family::Apk, "mkinitfs~3.8"),
            [vec![wanted("mkinitfs", Some(("~", "3.8")))]]
        );
        assert_eq!(
            all(Family::Pacman, "libdevmapper.so=1.02-64"),
            [vec![wanted("libdevmapper.so", Some(("=", "1.02-64")))]]
        );
    }

    #[test]
    fn nonsense_asks_for_nothing() {
        for family in [Family::Dpkg, Family::Rpm, Family::Apk, Family::Pacman] {
            for text in [
                "", ",", "|", "(", "((", ">=", "a (", "a (>=", ": (= 1)", "(or)",
            ] {
                let _ = alternatives(family, text).count();
            }
        }
    }

    #[test]
    fn releases_count_only_where_they_are_asked_for() {
        assert!(holds(Family::Rpm, "6.1-2", "=", "6.1"));
        assert!(!holds(Family::Rpm, "6.1-2", "=", "6.1-1"));
        assert!(!holds(Family::Dpkg, "6.1-2", "=", "6.1"));
        assert!(holds(Family::Dpkg, "6.1-2", ">>", "6.1-1"));
    }
}
