//! Which packages of one system are older or newer than those of another.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::packages::{Package, PackageDatabase, Status};

/// The packages of `there` whose version compares like that with the newest of the same name on
/// the host, and both versions.
pub(super) fn compare<'a>(
    there: &'a PackageDatabase,
    here: &'a PackageDatabase,
    wanted: Ordering,
) -> Vec<(&'a Package, &'a Package)> {
    let is_there = |package: &&Package| package.status != Status::Removed;
    let order = |a: &str, b: &str| there.family.compare(a, b);
    let mut newest: BTreeMap<(&str, &str), &Package> = BTreeMap::new();
    for package in here.packages.iter().filter(is_there) {
        let at = newest
            .entry((&package.name, &package.architecture))
            .or_insert(package);
        if order(&package.version, &at.version) == Ordering::Greater {
            *at = package;
        }
    }
    let pair = |package: &'a Package| {
        let other = newest.get(&(package.name.as_str(), package.architecture.as_str()))?;
        (order(&package.version, &other.version) == wanted).then_some((package, *other))
    };
    there
        .packages
        .iter()
        .filter(is_there)
        .filter_map(pair)
        .collect()
}

/// As a table, with nothing for no pairs.
pub(super) fn table(pairs: &[(&Package, &Package)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let shown = |text: &str| -> String {
        let plain = |letter: char| if letter.is_control() { '?' } else { letter };
        text.chars().map(plain).collect()
    };
    let mut rows = vec![[
        "Fileset".to_owned(),
        "Actual Level".to_owned(),
        "Host Level".to_owned(),
    ]];
    rows.extend(pairs.iter().map(|(there, here)| {
        [
            shown(&there.name),
            shown(&there.version),
            shown(&here.version),
        ]
    }));
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(column));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let rule = "-".repeat(first + second + width(2) + 4);
    let mut lines = rows
        .iter()
        .map(|[name, actual, host]| format!("{name:first$}  {actual:second$}  {host}\n"));
    let heading = lines.next().unwrap_or_default();
    format!("{heading}{rule}\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{Family, fingerprint};

    fn installed(packages: &[(&str, &str)]) -> PackageDatabase {
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            ..Package::default()
        };
        PackageDatabase {
            family: Family::Dpkg,
            packages: packages.iter().map(package).collect(),
            damaged: 0,
        }
    }

    #[test]
    fn older_and_newer_go_by_the_rules_of_the_family() {
        let host = installed(&[("a", "1.10"), ("b", "2:1"), ("c", "1~rc1"), ("h", "1")]);
        let there = installed(&[("a", "1.9"), ("b", "3"), ("c", "1"), ("o", "1")]);
        let names = |wanted| -> Vec<&str> {
            let found = compare(&there, &host, wanted);
            found
                .into_iter()
                .map(|(package, _)| package.name.as_str())
                .collect()
        };
        assert_eq!(names(Ordering::Less), ["a", "b"]);
        assert_eq!(names(Ordering::Greater), ["c"]);
        assert_eq!(
            table(&compare(&there, &host, Ordering::Greater)),
            "Fileset  Actual Level  Host Level\n---------------------------------\n\
             c        1             1~rc1\n"
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn the_fingerprint_is_of_names_and_versions_in_any_order() {
        let one = fingerprint::of_all(&installed(&[("a", "1"), ("b", "2")]));
        assert_eq!(one.len(), 64);
        assert_eq!(
            one,
            fingerprint::of_all(&installed(&[("b", "2"), ("a", "1")]))
        );
        assert_ne!(
            one,
            fingerprint::of_all(&installed(&[("a", "1"), ("b", "3")]))
        );
    }
}
