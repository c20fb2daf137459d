//! One package of rpm: a header as data bases hold it.
//!
//! Format (rpm's manual, "RPM V4 Package format", and `rpmtag.h`): number of entries and of bytes of data,
//! big-endian; entries of tag, type, offset and count; data. Strings end in NUL.

use std::collections::HashMap;

use super::super::{
    Algorithm, Budget, ConfigFile, Dependency, Detail, Digest, PATH_MAX, Package, Relation,
    TooMuch, is_path, relative, text,
};
use super::bytes::{array, be16, be32, place, slice};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const SUMMARY: u32 = 1004;
const SIZE: u32 = 1009;
const ARCHITECTURE: u32 = 1022;
const OLD_FILE_NAMES: u32 = 1027;
const FILE_STATES: u32 = 1029;
const FILE_DIGESTS: u32 = 1035;
const FILE_FLAGS: u32 = 1037;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;
const FILE_DIGEST_ALGORITHM: u32 = 5011;

/// Tags of names, flags and versions of what a package relates to.
const RELATIONS: [(u32, u32, u32, Relation); 4] = [
    (1049, 1048, 1050, Relation::Requires),
    (1047, 1112, 1113, Relation::Provides),
    (1054, 1053, 1055, Relation::Conflicts),
    (1090, 1114, 1115, Relation::Replaces),
];

const TYPE_INT16: u32 = 3;
const TYPE_INT32: u32 = 4;
const TYPE_STRINGS: [u32; 3] = [6, 8, 9];

/// `RPMFILE_CONFIG`.
const FLAG_CONFIG: u32 = 1;
/// `RPMFILE_GHOST`: owned, but not in the package.
const FLAG_GHOST: u32 = 64;

/// Longest header that is looked into, in bytes: twice what rpm itself takes for one with a million
/// files.
const HEADER_MAX: usize = 64 << 20;

/// Most directories of a package.
const DIRECTORIES_MAX: usize = 1 << 20;

struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

/// A header that was taken apart.
struct Header<'a> {
    entries: HashMap<u32, Entry>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        const LENGTHS: usize = 8;
        const ENTRY: usize = 16;
        if bytes.len() > HEADER_MAX {
            return None;
        }
        let count = place(be32(bytes, 0)?)?;
        let length = place(be32(bytes, 4)?)?;
        let index = slice(bytes, LENGTHS, count.checked_mul(ENTRY)?)?;
        let data = slice(bytes, LENGTHS + index.len(), length)?;
        let mut entries = HashMap::with_capacity(count);
        for entry in index.chunks_exact(ENTRY) {
            let found = Entry {
                kind: be32(entry, 4)?,
                offset: place(be32(entry, 8)?)?,
                count: place(be32(entry, 12)?)?,
            };
            entries.insert(be32(entry, 0)?, found);
        }
        Some(Self { entries, data })
    }

    /// The strings of a tag, fewer if the data end before.
    fn strings(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let found = self.entries.get(&tag).and_then(|entry| {
            let data = self.data.get(entry.offset..)?;
            let is_text = TYPE_STRINGS.contains(&entry.kind);
            is_text.then_some((data, entry.count))
        });
        let (data, count) = found.unwrap_or_default();
        // What is behind the last NUL is no string.
        let end = data.iter().rposition(|&byte| byte == 0);
        let (data, count) = match end {
            Some(end) => (data.get(..end).unwrap_or_default(), count),
            None => (data, 0),
        };
        data.split(|&byte| byte == 0).take(count)
    }

    fn string(&self, tag: u32) -> Option<&'a [u8]> {
        self.strings(tag).next()
    }

    /// The numbers of a tag, fewer if the data end before.
    fn numbers(&self, tag: u32) -> Vec<u32> {
        let Some(entry) = self.entries.get(&tag) else {
            return Vec::new();
        };
        let at = |index: usize| match entry.kind {
            TYPE_INT32 => be32(self.data, entry.offset.checked_add(index.checked_mul(4)?)?),
            TYPE_INT16 => {
                be16(self.data, entry.offset.checked_add(index.checked_mul(2)?)?).map(u32::from)
            }
            _ => array::<1>(self.data, entry.offset.checked_add(index)?).map(|[byte]| byte.into()),
        };
        (0..entry.count).map_while(at).collect()
    }
}

/// The package of a header; `None` if it makes no sense.
pub(super) fn package(
    bytes: &[u8],
    detail: Detail,
    budget: &mut Budget,
) -> Result<Option<Package>, TooMuch> {
    let header = Header::parse(bytes);
    let name = header.as_ref().and_then(|header| header.string(NAME));
    let (Some(header), Some(name)) = (&header, name.filter(|name| !name.is_empty())) else {
        return Ok(None);
    };
    budget.spend(size_of::<Package>())?;
    let part = |tag| header.string(tag).map(text).unwrap_or_default();
    let version = match header.numbers(EPOCH).first() {
        Some(epoch) => format!("{epoch}:{}-{}", part(VERSION), part(RELEASE)),
        None => format!("{}-{}", part(VERSION), part(RELEASE)),
    };
    let mut package = Package {
        name: text(name),
        architecture: part(ARCHITECTURE),
        version,
        summary: part(SUMMARY),
        // Packages over 4 GiB have another tag instead.
        size: header.numbers(SIZE).first().copied().map_or(0, u64::from),
        dependencies: dependencies(header, budget)?,
        ..Package::default()
    };
    if detail == Detail::Paths {
        add_files(header, &mut package, budget)?;
    }
    Ok(Some(package))
}

fn add_files(
    header: &Header<'_>,
    package: &mut Package,
    budget: &mut Budget,
) -> Result<(), TooMuch> {
    let states = header.numbers(FILE_STATES);
    let flags = header.numbers(FILE_FLAGS);
    let mut digests = header.strings(FILE_DIGESTS);
    let algorithm = algorithm(header);
    for (index, path) in paths(header, budget)?.into_iter().enumerate() {
        let digest = digests.next().unwrap_or_default();
        // Not installed, on a shared file system, or of another word size.
        if states.get(index).is_some_and(|&state| state != 0) {
            continue;
        }
        let flag = flags.get(index).copied().unwrap_or(0);
        if flag & FLAG_CONFIG != 0 && flag & FLAG_GHOST == 0 {
            budget.spend(path.len())?;
            package.config_files.push(ConfigFile {
                path: path.clone(),
                digest: algorithm.and_then(|algorithm| Digest::from_hex(algorithm, digest)),
            });
        }
        package.paths.push(path);
    }
    Ok(())
}

/// How the digests of files are made: the numbers of RFC 4880, section 9.4.
fn algorithm(header: &Header<'_>) -> Option<Algorithm> {
    match header.numbers(FILE_DIGEST_ALGORITHM).first() {
        None | Some(1) => Some(Algorithm::Md5),
        Some(2) => Some(Algorithm::Sha1),
        Some(8) => Some(Algorithm::Sha256),
        Some(9) => Some(Algorithm::Sha384),
        Some(10) => Some(Algorithm::Sha512),
        Some(_) => None,
    }
}

/// All paths of a header, in its order. One too long to exist is empty, to keep the places.
fn paths(header: &Header<'_>, budget: &mut Budget) -> Result<Vec<Vec<u8>>, TooMuch> {
    let directories: Vec<_> = header
        .strings(DIRECTORY_NAMES)
        .take(DIRECTORIES_MAX)
        .collect();
    let indexes = header.numbers(DIRECTORY_INDEXES);
    let mut paths = Vec::new();
    let mut add = |directory: &[u8], base: &[u8]| {
        let length = directory.len().saturating_add(base.len());
        let fits = length < PATH_MAX && is_path(directory) && is_path(base);
        budget.spend(if fits { length } else { 0 })?;
        paths.push(match fits {
            true => [relative(directory), base].concat(),
            false => Vec::new(),
        });
        Ok(())
    };
    for (base, index) in header.strings(BASE_NAMES).zip(indexes) {
        let directory = place(index).and_then(|index| directories.get(index));
        add(directory.copied().unwrap_or_default(), base)?;
    }
    for path in header.strings(OLD_FILE_NAMES) {
        add(b"", relative(path))?;
    }
    Ok(paths)
}

fn dependencies(header: &Header<'_>, budget: &mut Budget) -> Result<Vec<Dependency>, TooMuch> {
    let mut found = Vec::new();
    for (names, flags, versions, relation) in RELATIONS {
        let flags = header.numbers(flags);
        let mut versions = header.strings(versions);
        for (index, name) in header.strings(names).enumerate() {
            let version = versions.next().unwrap_or_default();
            let sign = match flags.get(index).map_or(0, |flags| flags & 0xe) {
                0x2 => "<",
                0x4 => ">",
                0x8 => "=",
                0xa => "<=",
                0xc => ">=",
                _ => "",
            };
            budget.spend(name.len() + version.len())?;
            let on = match sign {
                "" => text(name),
                sign => format!("{} {sign} {}", text(name), text(version)),
            };
            found.push(Dependency { relation, on });
        }
    }
    Ok(found)
}
