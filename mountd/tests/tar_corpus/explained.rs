//! The differences that are as they should be.

use std::collections::BTreeMap;

use crate::facts::Difference;

/// A difference, and why there is one.
struct Explained {
    /// The way that an archive was made, or the beginning of some, with `*` at the end.
    way: &'static str,
    /// The name, or the beginning of some, with `*` at the end.
    path: &'static str,
    fact: &'static str,
    only: Only,
    why: &'static str,
}

/// What else must hold.
#[derive(Clone, Copy, PartialEq)]
enum Only {
    Always,
    /// What the program extracted has the time at which it did so.
    ExtractionTime,
    /// The times are less than this many nanoseconds apart.
    Near(i128),
    /// What both sides say, exactly.
    Exactly(&'static str, &'static str),
}

impl Only {
    fn holds(self, difference: &Difference) -> bool {
        match self {
            Self::Always => true,
            Self::ExtractionTime => {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i128;
                now - nanoseconds(&difference.theirs) < 600_000_000_000
            }
            Self::Near(most) => {
                let apart = nanoseconds(&difference.ours) - nanoseconds(&difference.theirs);
                apart.abs() < most
            }
            Self::Exactly(ours, theirs) => (ours, theirs) == (&difference.ours, &difference.theirs),
        }
    }
}

fn nanoseconds(time: &str) -> i128 {
    let (seconds, nanoseconds) = time.split_once('.').unwrap();
    seconds.parse::<i128>().unwrap() * 1_000_000_000 + nanoseconds.parse::<i128>().unwrap()
}

const fn because(
    way: &'static str,
    path: &'static str,
    fact: &'static str,
    only: Only,
    why: &'static str,
) -> Explained {
    Explained {
        way,
        path,
        fact,
        only,
        why,
    }
}

/// Times of directories that have no entry, or that the program does not give back.
const fn now(way: &'static str, path: &'static str, why: &'static str) -> Explained {
    because(way, path, "time", Only::ExtractionTime, why)
}

const NO_ENTRY: &str =
    "a directory without an entry has the time of its extraction there, of the archive here";
const LATE_LINK: &str = "GNU tar loses the time of a directory that gets a link after it was left";

const HOST_NAMES: &str = "the ACL names a user (lp) that the image's own etc/passwd does not have; tar asks \
     that of the machine that it runs on";
const COMPOSED: &str = "libarchive composes letters and accents of names as it reads them";
const BEFORE_1970: &str = "libarchive writes the fraction of a time before 1970 with the wrong sign, and \
     reads it so; POSIX and GNU tar have -1.25 be before -1";
const BUSYBOX_LINKS: &str = "busybox makes no hard links of devices, pipes and symbolic links";

const TABLE: &[Explained] = &[
    now("odd: *", ".", NO_ENTRY),
    now("odd: names with dots and slashes", "./a*", NO_ENTRY),
    now("gnu-no-directories", "*", NO_ENTRY),
    now("git", ".", NO_ENTRY),
    now("gnu-no-dot", ".", NO_ENTRY),
    now("gnu-concatenated", ".", NO_ENTRY),
    now("rear", ".", NO_ENTRY),
    now("bsd-no-dot", ".", NO_ENTRY),
    now("busybox-no-dot", ".", NO_ENTRY),
    now("dpkg", "./links", LATE_LINK),
    now("dpkg", "./owners", LATE_LINK),
    now(
        "mmdebstrap",
        "./dev*",
        "its device nodes have the time of the run in whole seconds",
    ),
    because(
        "gnu-acls-only",
        "./acl/with-user-attribute",
        "acl",
        Only::Always,
        HOST_NAMES,
    ),
    because(
        "gnu-acls-numeric",
        "./acl/with-user-attribute",
        "acl",
        Only::Always,
        HOST_NAMES,
    ),
    because(
        "rear",
        "./acl/with-user-attribute",
        "acl",
        Only::Always,
        HOST_NAMES,
    ),
    now(
        "bsd-*",
        ".",
        "bsdtar does not give the directory that it extracts into its time",
    ),
    because("bsd-*", "./odd/e\\xcc\\x81", "name", Only::Always, COMPOSED),
    because("bsd-*", "./odd/\\xc3\\xa9", "name", Only::Always, COMPOSED),
    because(
        "bsd-*",
        "./times/before-1901",
        "time",
        Only::Near(2_000_000_000),
        BEFORE_1970,
    ),
    because(
        "bsd-*",
        "./times/day-before",
        "time",
        Only::Near(2_000_000_000),
        BEFORE_1970,
    ),
    because(
        "bsd-*",
        "./times/just-before",
        "time",
        Only::Near(2_000_000_000),
        BEFORE_1970,
    ),
    because(
        "bsd-*",
        "./xattr/file",
        "attributes",
        Only::Always,
        "bsdtar writes the names of attributes with their odd bytes encoded, under SCHILY.xattr too, \
         where it and GNU tar do not decode them (GNU tar: only % and =)",
    ),
    now(
        "python-*",
        "./links/*",
        "tarfile gives symbolic links no time",
    ),
    now(
        "python-*",
        "./owners/link",
        "tarfile gives symbolic links no time",
    ),
    because(
        "python-pax",
        "./times/far",
        "time",
        Only::Near(10_000),
        "tarfile reads and sets times as floating-point numbers",
    ),
    because(
        "python-pax",
        "*",
        "time",
        Only::Near(1000),
        "tarfile reads and sets times as floating-point numbers",
    ),
    now("busybox*", "*", "busybox gives times to files only"),
    because(
        "busybox*",
        "./owners/link",
        "owner",
        Only::Exactly("77:88", "0:0"),
        "busybox gives symbolic links no owner",
    ),
    because("busybox*", "./dev/*", "links", Only::Always, BUSYBOX_LINKS),
    because(
        "busybox*",
        "./dev/*",
        "inode of",
        Only::Always,
        BUSYBOX_LINKS,
    ),
    because(
        "busybox*",
        "./links/relative*",
        "links",
        Only::Always,
        BUSYBOX_LINKS,
    ),
    because(
        "busybox*",
        "./links/relative*",
        "inode of",
        Only::Always,
        BUSYBOX_LINKS,
    ),
    now(
        "cpio-*",
        "*",
        "cpio gives times to files only, and to directories that nothing follows in",
    ),
    because(
        "cpio-ustar",
        "./ddd*",
        "name",
        Only::Always,
        "cpio loses the end of a name that fills its fields to the last byte; GNU tar and bsdtar read \
         what we show",
    ),
    now("rust", "*", "the crate gives times to files only"),
    because(
        "rust",
        "./times/*",
        "time",
        Only::Always,
        "the crate writes times before 1970 as if after 2^63",
    ),
    because(
        "rust",
        "./dev/*",
        "*",
        Only::Always,
        "the crate makes files of devices and pipes",
    ),
    because(
        "odd: attributes of a directory come again",
        "./d",
        "attributes",
        Only::Always,
        "the later entry says what the directory has; tar leaves what there is already",
    ),
];

fn matches(pattern: &str, text: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning.as_bytes()),
        None => text == pattern.as_bytes(),
    }
}

/// What was met of the table, and what is not in it.
pub struct Explanations {
    used: Vec<bool>,
    ways: Vec<&'static str>,
    unexplained: BTreeMap<&'static str, Vec<String>>,
}

impl Explanations {
    pub fn new() -> Self {
        Self {
            used: vec![false; TABLE.len()],
            ways: Vec::new(),
            unexplained: BTreeMap::new(),
        }
    }

    /// Looks all differences of one archive up.
    pub fn explain(&mut self, way: &'static str, differences: &[Difference]) {
        self.ways.push(way);
        for difference in differences {
            let known = TABLE.iter().position(|entry| {
                matches(entry.way, way.as_bytes())
                    && matches(
                        entry.path,
                        difference.path.escape_ascii().to_string().as_bytes(),
                    )
                    && (entry.fact == difference.fact || entry.fact == "*")
                    && entry.only.holds(difference)
            });
            match known {
                Some(number) => self.used[number] = true,
                None => self.unexplained.entry(way).or_default().push(format!(
                    "{} of {:.100}: {:.120} here, {:.120} there",
                    difference.fact,
                    difference.path.escape_ascii().to_string(),
                    difference.ours,
                    difference.theirs
                )),
            }
        }
    }

    /// Fails if anything is not explained, or explained although it is not there.
    pub fn finish(self) {
        let mut text = String::new();
        for (way, lines) in &self.unexplained {
            text += &format!("{way}: {} not explained\n", lines.len());
            let mut shown = BTreeMap::new();
            for line in lines {
                let fact = line.split(" of ").next();
                let known: &mut u32 = shown.entry(fact).or_default();
                *known += 1;
                if *known <= 12 {
                    text += &format!("    {line}\n");
                }
            }
            text += &format!("    {shown:?}\n");
        }
        for (entry, used) in TABLE.iter().zip(&self.used) {
            let tried = self
                .ways
                .iter()
                .any(|way| matches(entry.way, way.as_bytes()));
            // Whether two times are the same by chance is not known beforehand.
            if tried && !used && !entry.way.ends_with('*') && entry.only != Only::ExtractionTime {
                text += &format!(
                    "{}, {}, {}: explained ({}), but not there any more\n",
                    entry.way, entry.path, entry.fact, entry.why
                );
            }
        }
        assert!(text.is_empty(), "\n{text}");
    }
}
