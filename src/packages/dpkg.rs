//! dpkg: `var/lib/dpkg/status` with the lists in `info/`, or, in images without a package manager
//! (distroless), one file for each package in `status.d`. Formats: deb-control(5), deb-conffiles(5),
//! dpkg(1), dpkg-divert(1).

use std::collections::HashMap;

use super::{
    Algorithm, Budget, ConfigFile, Dependency, Detail, Digest, Family, Package, PackageDatabase,
    PackageError, Relation, Status, TEXT_MAX, TooMuch, is_path, lines, names_in, number, read_file,
    relative, text,
};
use crate::source::files::{Files, join};

const STATUS: &[u8] = b"var/lib/dpkg/status";
const STATUS_DIRECTORY: &[u8] = b"var/lib/dpkg/status.d";
const INFO: &[u8] = b"var/lib/dpkg/info";
const DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";

/// Most lines of one package.
const LINES_MAX: usize = 1 << 20;

/// Fields that are kept as dependencies.
const RELATIONS: [(&[u8], Relation); 6] = [
    (b"depends", Relation::Requires),
    (b"pre-depends", Relation::PreRequires),
    (b"provides", Relation::Provides),
    (b"conflicts", Relation::Conflicts),
    (b"breaks", Relation::Conflicts),
    (b"replaces", Relation::Replaces),
];

pub(super) fn read(
    files: &dyn Files,
    detail: Detail,
) -> Result<Option<PackageDatabase>, PackageError> {
    let mut found = PackageDatabase {
        family: Family::Dpkg,
        packages: Vec::new(),
        damaged: 0,
    };
    let mut budget = Budget::default();
    let status = read_file(files, STATUS, TEXT_MAX)?;
    let is_there = status.is_some();
    parse(&status.unwrap_or_default(), detail, &mut found, &mut budget)
        .map_err(|too_much| too_much.of(STATUS))?;
    if detail == Detail::Paths {
        read_lists(files, &mut found.packages, &mut budget)?;
    }
    let parts = names_in(files, STATUS_DIRECTORY)?;
    for part in parts.iter().filter(|name| !name.ends_with(b".md5sums")) {
        read_part(files, part, detail, &mut found, &mut budget)?;
    }
    Ok((is_there || !parts.is_empty()).then_some(found))
}

/// Reads the stanzas of a status file.
fn parse(
    status: &[u8],
    detail: Detail,
    into: &mut PackageDatabase,
    budget: &mut Budget,
) -> Result<(), TooMuch> {
    let mut stanza: Vec<&[u8]> = Vec::new();
    for line in lines(status).chain([&b""[..]]) {
        if !line.trim_ascii().is_empty() {
            if stanza.len() == LINES_MAX {
                return Err(TooMuch);
            }
            stanza.push(line);
        } else if !stanza.is_empty() {
            match package(&fields(&stanza), detail) {
                Some(Some(package)) => {
                    budget.spend(size_of::<Package>())?;
                    for dependency in &package.dependencies {
                        budget.spend(dependency.on.len())?;
                    }
                    for file in &package.config_files {
                        budget.spend(file.path.len())?;
                    }
                    into.packages.push(package);
                }
                Some(None) => {}
                None => into.damaged += 1,
            }
            stanza.clear();
        }
    }
    Ok(())
}

/// The fields of a stanza: names in small letters, and lines of the value.
fn fields<'a>(stanza: &[&'a [u8]]) -> HashMap<Vec<u8>, Vec<&'a [u8]>> {
    let mut fields: HashMap<Vec<u8>, Vec<&[u8]>> = HashMap::new();
    let mut last = None;
    for line in stanza {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some(values) = last.as_ref().and_then(|name| fields.get_mut(name)) {
                values.push(line.trim_ascii());
            }
        } else if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            let (name, value) = line.split_at(colon);
            let name = name.to_ascii_lowercase();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            fields.insert(name.clone(), vec![value]);
            last = Some(name);
        }
    }
    fields
}

/// The package of a stanza; `Some(None)` for one that is not there, `None` for one that makes no
/// sense.
fn package(fields: &HashMap<Vec<u8>, Vec<&[u8]>>, detail: Detail) -> Option<Option<Package>> {
    let first = |name: &[u8]| fields.get(name).and_then(|lines| lines.first().copied());
    let name = first(b"package").filter(|name| !name.is_empty())?;
    let status = match first(b"status") {
        None => Status::Installed,
        Some(words) => match words.rsplit(|&byte| byte == b' ').next()? {
            b"not-installed" => return Some(None),
            b"installed" | b"triggers-awaited" | b"triggers-pending" => Status::Installed,
            b"config-files" => Status::Removed,
            _ => Status::Incomplete,
        },
    };
    let mut dependencies = Vec::new();
    for (field, relation) in RELATIONS {
        if let Some(lines) = fields.get(field) {
            let on = text(&lines.join(&b' '));
            dependencies.push(Dependency { relation, on });
        }
    }
    let conffiles = match detail {
        Detail::Paths => fields.get(&b"conffiles"[..]).map_or(&[][..], Vec::as_slice),
        Detail::Packages => &[],
    };
    Some(Some(Package {
        name: text(name),
        architecture: first(b"architecture").map(text).unwrap_or_default(),
        version: first(b"version").map(text).unwrap_or_default(),
        status,
        summary: first(b"description").map(text).unwrap_or_default(),
        // In units of 1024 bytes.
        size: first(b"installed-size").map_or(0, |value| number(value).saturating_mul(1024)),
        paths: Vec::new(),
        config_files: conffiles.iter().filter_map(|line| conffile(line)).collect(),
        dependencies,
    }))
}

/// A line of the field `Conffiles`: path, digest, and words about it.
fn conffile(line: &[u8]) -> Option<ConfigFile> {
    let mut words = line.rsplit(|&byte| byte == b' ').peekable();
    let mut rest = line;
    while let Some(mark) = words.next_if(|&word| matches!(word, b"obsolete" | b"remove-on-upgrade"))
    {
        rest = rest.strip_suffix(mark)?.trim_ascii_end();
    }
    let digest = words.next()?;
    let path = rest.strip_suffix(digest)?.trim_ascii_end();
    (!path.is_empty() && is_path(path)).then(|| ConfigFile {
        path: relative(path).to_vec(),
        digest: Digest::from_hex(Algorithm::Md5, digest),
    })
}

/// Reads what the packages own.
fn read_lists(
    files: &dyn Files,
    packages: &mut [Package],
    budget: &mut Budget,
) -> Result<(), PackageError> {
    let diverted = read_file(files, DIVERSIONS, TEXT_MAX)?.unwrap_or_default();
    let diverted = diversions(&diverted);
    for package in packages {
        let plain = format!("{}.list", package.name);
        let of_architecture = format!("{}:{}.list", package.name, package.architecture);
        for name in [plain, of_architecture] {
            let path = join(INFO, name.as_bytes());
            if let Some(list) = read_file(files, &path, TEXT_MAX)? {
                package.paths = list_paths(&list, &package.name, &diverted, budget)
                    .map_err(|too_much| too_much.of(&path))?;
                break;
            }
        }
    }
    Ok(())
}

/// The paths of a list, where they really are.
fn list_paths(
    list: &[u8],
    package: &str,
    diverted: &HashMap<&[u8], (&[u8], &[u8])>,
    budget: &mut Budget,
) -> Result<Vec<Vec<u8>>, TooMuch> {
    let mut paths = Vec::new();
    for line in lines(list).filter(|line| !line.is_empty() && *line != b"/.") {
        let path = match diverted.get(line) {
            Some((to, by)) if *by != package.as_bytes() => to,
            _ => line,
        };
        if !is_path(path) {
            continue;
        }
        budget.spend(path.len())?;
        paths.push(relative(path).to_vec());
    }
    Ok(paths)
}

/// Diversions: where a path is to, and the package that has it there; three lines each.
fn diversions(text: &[u8]) -> HashMap<&[u8], (&[u8], &[u8])> {
    let mut lines = lines(text);
    let mut found = HashMap::new();
    while let (Some(from), Some(to), Some(by)) = (lines.next(), lines.next(), lines.next()) {
        found.insert(from, (to, by));
    }
    found
}

/// Reads one file of `status.d`, whose paths are in the file of digests beside it.
fn read_part(
    files: &dyn Files,
    name: &[u8],
    detail: Detail,
    into: &mut PackageDatabase,
    budget: &mut Budget,
) -> Result<(), PackageError> {
    let path = join(STATUS_DIRECTORY, name);
    let Some(status) = read_file(files, &path, TEXT_MAX)? else {
        return Ok(());
    };
    let before = into.packages.len();
    parse(&status, detail, into, budget).map_err(|too_much| too_much.of(&path))?;
    if detail == Detail::Paths
        && let Some(package) = into.packages.get_mut(before)
        && let Some(sums) = read_file(files, &[&path, &b".md5sums"[..]].concat(), TEXT_MAX)?
    {
        package.paths = sums_paths(&sums, budget).map_err(|too_much| too_much.of(&path))?;
    }
    Ok(())
}

/// Paths of lines of `md5sum`: 32 digits, two characters, a path.
fn sums_paths(sums: &[u8], budget: &mut Budget) -> Result<Vec<Vec<u8>>, TooMuch> {
    let mut paths = Vec::new();
    let found = lines(sums).filter_map(|line| line.get(34..));
    for path in found.filter(|path| is_path(path)) {
        budget.spend(path.len())?;
        paths.push(relative(path).to_vec());
    }
    Ok(paths)
}
