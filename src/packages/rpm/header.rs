//! One package of rpm: a header as data bases hold it.
//!
//! Format (rpm's manual, "RPM V4 Package format", and `rpmtag.h`): number of entries and of bytes of data,
//! big-endian; entries of tag, type, offset and count; data. Strings end in NUL.

use std::collections::HashMap;

use super::super::{
    Algorithm, ConfigFile, Dependency, Detail, Digest, Package, Relation, relative, text,
};
use super::bytes::{array, be16, be32, place, slice};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const SUMMARY: u32 = 1004;
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

/// Longest path, as in the kernel.
const PATH_MAX: usize = 4096;

/// How many bytes of paths may be made of all headers of a data base: directories are stored once and
/// named again and again, and a small header can mean very much.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(512 << 20)
    }
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

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
    fn strings(&self, tag: u32) -> Vec<&'a [u8]> {
        let found = self.entries.get(&tag).and_then(|entry| {
            let data = self.data.get(entry.offset..)?;
            TYPE_STRINGS
                .contains(&entry.kind)
                .then_some((data, entry.count))
        });
        let (data, count) = found.unwrap_or_default();
        // What is behind the last NUL is no string.
        let end = data.iter().rposition(|&byte| byte == 0).unwrap_or(0);
        let data = data.get(..end).unwrap_or_default();
        if data.is_empty() && end == 0 {
            return Vec::new();
        }
        data.split(|&byte| byte == 0).take(count).collect()
    }

    fn string(&self, tag: u32) -> Option<&'a [u8]> {
        self.strings(tag).first().copied()
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
pub(super) fn package(bytes: &[u8], detail: Detail, budget: &mut Budget) -> Option<Package> {
    let header = Header::parse(bytes)?;
    let part = |tag| header.string(tag).map(text).unwrap_or_default();
    let name = header.string(NAME).filter(|name| !name.is_empty())?;
    let version = match header.numbers(EPOCH).first() {
        Some(epoch) => format!("{epoch}:{}-{}", part(VERSION), part(RELEASE)),
        None => format!("{}-{}", part(VERSION), part(RELEASE)),
    };
    let mut package = Package {
        name: text(name),
        architecture: part(ARCHITECTURE),
        version,
        summary: part(SUMMARY),
        dependencies: dependencies(&header),
        ..Package::default()
    };
    if detail == Detail::Paths {
        add_files(&header, &mut package, budget)?;
    }
    Some(package)
}

fn add_files(header: &Header<'_>, package: &mut Package, budget: &mut Budget) -> Option<()> {
    let states = header.numbers(FILE_STATES);
    let flags = header.numbers(FILE_FLAGS);
    let digests = header.strings(FILE_DIGESTS);
    let algorithm = match header.numbers(FILE_DIGEST_ALGORITHM).first() {
        // The numbers of RFC 4880, section 9.4.
        None | Some(1) => Some(Algorithm::Md5),
        Some(2) => Some(Algorithm::Sha1),
        Some(8) => Some(Algorithm::Sha256),
        Some(9) => Some(Algorithm::Sha384),
        Some(10) => Some(Algorithm::Sha512),
        Some(_) => None,
    };
    for (index, path) in paths(header, budget)?.into_iter().enumerate() {
        // Not installed, on a shared file system, or of another word size.
        if states.get(index).is_some_and(|&state| state != 0) {
            continue;
        }
        let flag = flags.get(index).copied().unwrap_or(0);
        if flag & FLAG_CONFIG != 0 && flag & FLAG_GHOST == 0 {
            let hex = digests.get(index).copied().unwrap_or_default();
            package.config_files.push(ConfigFile {
                path: path.clone(),
                digest: algorithm.and_then(|algorithm| Digest::from_hex(algorithm, hex)),
            });
        }
        package.paths.push(path);
    }
    Some(())
}

/// All paths of a header, in its order. One too long to exist is empty, to keep the places.
fn paths(header: &Header<'_>, budget: &mut Budget) -> Option<Vec<Vec<u8>>> {
    let directories = header.strings(DIRECTORY_NAMES);
    let indexes = header.numbers(DIRECTORY_INDEXES);
    let mut paths = Vec::new();
    for (base, index) in header.strings(BASE_NAMES).into_iter().zip(indexes) {
        let directory = directories.get(place(index)?).copied().unwrap_or_default();
        let length = directory.len().saturating_add(base.len());
        budget.spend(length.min(PATH_MAX))?;
        paths.push(if length < PATH_MAX {
            [relative(directory), base].concat()
        } else {
            Vec::new()
        });
    }
    if paths.is_empty() {
        let old = header.strings(OLD_FILE_NAMES);
        paths = old
            .into_iter()
            .map(|path| relative(path).to_vec())
            .collect();
    }
    Some(paths)
}

fn dependencies(header: &Header<'_>) -> Vec<Dependency> {
    let mut found = Vec::new();
    for (names, flags, versions, relation) in RELATIONS {
        let flags = header.numbers(flags);
        let versions = header.strings(versions);
        for (index, name) in header.strings(names).into_iter().enumerate() {
            let sign = match flags.get(index).map_or(0, |flags| flags & 0xe) {
                0x2 => "<",
                0x4 => ">",
                0x8 => "=",
                0xa => "<=",
                0xc => ">=",
                _ => "",
            };
            let version = versions.get(index).copied().map(text).unwrap_or_default();
            let on = match sign {
                "" => text(name),
                sign => format!("{} {sign} {version}", text(name)),
            };
            found.push(Dependency { relation, on });
        }
    }
    found
}
