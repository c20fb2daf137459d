//! pacman: one directory for each package in `var/lib/pacman/local`, with `desc` and `files` of
//! sections that begin with `%NAME%`. Format: alpm-db-desc(5), alpm-db-files(5).

use super::{
    Algorithm, Budget, ConfigFile, Dependency, Detail, Digest, Family, Package, PackageDatabase,
    PackageError, Relation, TEXT_MAX, TooMuch, is_path, lines, names_in, number, read_file,
    relative, text,
};
use crate::source::files::{Files, join};

const LOCAL: &[u8] = b"var/lib/pacman/local";

const RELATIONS: [(&[u8], Relation); 4] = [
    (b"DEPENDS", Relation::Requires),
    (b"PROVIDES", Relation::Provides),
    (b"CONFLICTS", Relation::Conflicts),
    (b"REPLACES", Relation::Replaces),
];

pub(super) fn read(
    files: &dyn Files,
    detail: Detail,
) -> Result<Option<PackageDatabase>, PackageError> {
    let names = names_in(files, LOCAL)?;
    if names.is_empty() {
        return Ok(None);
    }
    let mut found = PackageDatabase {
        family: Family::Pacman,
        packages: Vec::new(),
        damaged: 0,
    };
    let mut budget = Budget::default();
    for name in names.iter().filter(|name| *name != b"ALPM_DB_VERSION") {
        let directory = join(LOCAL, name);
        let description = read_file(files, &join(&directory, b"desc"), TEXT_MAX)?;
        let Some(mut package) = description.as_deref().and_then(describe) else {
            found.damaged += 1;
            continue;
        };
        let cost: usize = package
            .dependencies
            .iter()
            .map(|one| one.on.len() + 64)
            .sum();
        let too_much = |error: TooMuch| error.of(&directory);
        budget
            .spend(size_of::<Package>() + cost)
            .map_err(too_much)?;
        if detail == Detail::Paths
            && let Some(list) = read_file(files, &join(&directory, b"files"), TEXT_MAX)?
        {
            list_files(&list, &mut package, &mut budget).map_err(too_much)?;
        }
        found.packages.push(package);
    }
    Ok(Some(found))
}

/// Calls `sink` with each section's name and each line in it.
fn sections<'a>(text: &'a [u8], mut sink: impl FnMut(&'a [u8], &'a [u8])) {
    let mut section = &b""[..];
    for line in lines(text) {
        match line {
            b"" => {}
            [b'%', name @ .., b'%'] => section = name,
            _ => sink(section, line),
        }
    }
}

/// The package of a file `desc`; `None` if it has no name.
fn describe(description: &[u8]) -> Option<Package> {
    let mut package = Package::default();
    sections(description, |section, line| match section {
        b"NAME" => package.name = text(line),
        b"VERSION" => package.version = text(line),
        b"ARCH" => package.architecture = text(line),
        b"DESC" => package.summary = text(line),
        b"SIZE" => package.size = number(line),
        _ => {
            if let Some((_, relation)) = RELATIONS.iter().find(|(name, _)| *name == section) {
                let (relation, on) = (*relation, text(line));
                package.dependencies.push(Dependency { relation, on });
            }
        }
    });
    (!package.name.is_empty()).then_some(package)
}

/// Reads a file `files`.
fn list_files(list: &[u8], package: &mut Package, budget: &mut Budget) -> Result<(), TooMuch> {
    let mut fits = Ok(());
    sections(list, |section, line| {
        if fits.is_ok() {
            fits = budget.spend(line.len());
        }
        match section {
            _ if fits.is_err() => {}
            _ if !is_path(line) => {}
            b"FILES" => {
                let path = relative(line.strip_suffix(b"/").unwrap_or(line));
                package.paths.push(path.to_vec());
            }
            b"BACKUP" => package.config_files.push(backup(line)),
            _ => {}
        }
    });
    fits
}

/// A line of `%BACKUP%`: a path and its digest.
fn backup(line: &[u8]) -> ConfigFile {
    let tab = line.iter().rposition(|&byte| byte == b'\t');
    let (path, digest) = line.split_at(tab.unwrap_or(line.len()));
    ConfigFile {
        path: relative(path).to_vec(),
        digest: Digest::from_hex(Algorithm::Md5, digest.trim_ascii()),
    }
}
