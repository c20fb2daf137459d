//! All entries of one archive into the tree, with what is to be said about them.

use super::acl::IdTable;
use super::error::{ScanError, quoted};
use super::explain::Failure;
use super::member::{Member, MemberKind};
use super::path;
use super::progress::Meter;
use super::scan::{ArchiveEnd, Scanner};
use super::source::Source;
use super::tree::Tree;
use crate::types::{FileKind, Timestamp};

/// Most warnings that an index keeps; the others are counted.
const WARNINGS_KEPT: usize = 100;
/// Largest `etc/passwd` or `etc/group` that is read for the names in ACLs.
const TABLE_LIMIT: u64 = 4 << 20;

/// How many times the bytes of an archive's file its tree may take in memory. A header of 512 bytes
/// takes a fourth of that; compressors make it ten times smaller, a bomb a thousand times.
pub(super) const AMPLIFICATION: u64 = 64;
/// What any tree may take.
const MEMORY_FLOOR: u64 = 256 << 20;

/// A scan under way: of one archive, or of several one after the other.
pub(super) struct Scan {
    pub(super) tree: Tree,
    pub(super) warnings: Warnings,
    last_entry: Option<Vec<u8>>,
    /// The image's own users and groups.
    tables: [IdTable; 2],
}

impl Scan {
    /// A scan that has seen nothing yet; see [`Tree::new`].
    pub(super) fn new(generated_mtime: Timestamp) -> Self {
        Self {
            tree: Tree::new(generated_mtime),
            warnings: Warnings::default(),
            last_entry: None,
            tables: [IdTable::default(), IdTable::default()],
        }
    }

    /// Takes in all entries of an archive.
    ///
    /// # Errors
    /// What is wrong with it, and the last entry that was well.
    pub(super) fn archive(
        &mut self,
        source: &mut dyn Source,
        meter: &Meter<'_>,
    ) -> Result<(), Failure> {
        let mut scanner = Scanner::new(source);
        self.last_entry = None;
        if let Err(error) = self.all(&mut scanner, meter) {
            return Err(Failure {
                error,
                last_entry: self.last_entry.take(),
            });
        }
        self.finish(&scanner);
        Ok(())
    }

    fn all(&mut self, scanner: &mut Scanner<'_>, meter: &Meter<'_>) -> Result<(), ScanError> {
        let before = self.tree.memory();
        while let Some(member) = scanner.next()? {
            meter.entry(scanner.position())?;
            self.note_table(scanner, &member)?;
            for remark in &member.remarks {
                self.warnings.entry(&member.path, remark);
            }
            let last = self.last_entry.get_or_insert_default();
            last.clear();
            last.extend_from_slice(&member.path);
            if let Err(remark) = self.tree.add(member)? {
                self.warnings.entry(last, &remark);
            }
            let stored = meter.total().max(scanner.position());
            let most = stored.saturating_mul(AMPLIFICATION).max(MEMORY_FLOOR);
            if self.tree.memory() - before > most {
                return Err(ScanError::TooMuchMemory(most));
            }
        }
        if meter.entries() == 0 {
            Err(ScanError::Empty)
        } else {
            Ok(())
        }
    }

    /// Keeps `etc/passwd` and `etc/group`: ACLs may name users without their numbers.
    fn note_table(&mut self, scanner: &mut Scanner<'_>, member: &Member) -> Result<(), ScanError> {
        let names: [&[u8]; 2] = [b"passwd", b"group"];
        for (name, table) in names.into_iter().zip(&mut self.tables) {
            if member.path.ends_with(name)
                && path::components(&member.path).eq([b"etc", name])
                && member.kind == MemberKind::Node(FileKind::Regular)
                && member.data.extents.is_none()
                && member.data.size <= TABLE_LIMIT
            {
                *table = IdTable::parse(scanner.contents(&member.data)?);
            }
        }
        Ok(())
    }

    fn finish(&mut self, scanner: &Scanner<'_>) {
        let [users, groups] = &self.tables;
        let lost = self.tree.settle_acls(users, groups);
        if lost > 0 {
            self.warnings.extend(Some(format!(
                "{lost} ACLs name users or groups that the image does not know, or make no sense; \
                 their files have what is left of these, or permission bits only"
            )));
        }
        self.warnings.extend(match scanner.end() {
            Some(ArchiveEnd::Unmarked) => Some(
                "the archive has no end mark: if the backup was interrupted, entries are missing"
                    .to_owned(),
            ),
            Some(ArchiveEnd::AnotherArchive(offset)) => Some(format!(
                "another archive follows behind the end mark at byte {offset}; like tar without \
                 --ignore-zeros, it is not read"
            )),
            Some(ArchiveEnd::Garbage(offset)) => Some(format!(
                "what follows behind the end mark at byte {offset} is no archive"
            )),
            Some(ArchiveEnd::Marked) | None => None,
        });
    }
}

/// The first warnings, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    pub(super) kept: Vec<String>,
    pub(super) count: u64,
}

impl Warnings {
    fn entry(&mut self, path: &[u8], remark: &str) {
        self.extend(Some(()).map(|()| format!("{} {remark}", quoted(path))));
    }

    /// Counts a warning, if it is one, and keeps it if there are not too many.
    pub(super) fn extend(&mut self, warning: Option<String>) {
        let Some(warning) = warning else { return };
        self.count += 1;
        if self.kept.len() < WARNINGS_KEPT {
            self.kept.push(warning);
        }
    }
}
