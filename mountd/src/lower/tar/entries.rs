//! All entries of one archive into the tree, with what is to be said about them.

use std::path::Path;

use super::acl::IdTable;
use super::atomic::directory_of;
use super::error::{ScanError, quoted};
use super::explain::Failure;
use super::format::ArchiveKind;
use super::member::{Member, MemberData, MemberKind};
use super::path;
use super::progress::Meter;
use super::recognise::{Found, LOOK, recognise_bytes};
use super::scan::{ArchiveEnd, Scanner};
use super::source::Source;
use super::tree::{LayerEntry, Tree};
use crate::lower::aix;
use crate::types::{FileKind, Timestamp};

/// Most warnings that an index keeps; the others are counted.
const WARNINGS_KEPT: usize = 100;
/// Largest `etc/passwd` or `etc/group` that is read for the names in ACLs.
const TABLE_LIMIT: u64 = 4 << 20;
/// Smallest entry that can be the image of a disk.
const LONE_LEAST: u64 = 1 << 20;

/// How the entries of an archive are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// It is laid over those before it, and may have whiteouts.
    pub(super) is_layer: bool,
    /// Where it begins in the stream.
    pub(super) base: u64,
}

/// What reads the entries of an archive of some kind.
pub(in crate::lower) trait Entries {
    /// The next entry, `None` after the last one.
    ///
    /// # Errors
    /// What is wrong with the archive.
    fn next(&mut self) -> Result<Option<Member>, ScanError>;

    /// The contents of the member that was returned last, as they are stored.
    ///
    /// # Errors
    /// Those of reading.
    fn contents(&mut self, data: &MemberData) -> Result<&[u8], ScanError>;

    /// How the entries ended; known once [`Self::next`] answered `None`.
    fn end(&self) -> Option<ArchiveEnd>;

    /// How far the archive file has been read.
    fn position(&self) -> u64;

    /// What is to be said about the archive as a whole, after its last entry.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// How many times the bytes of an archive's file its tree may take in memory. A header of 512 bytes
/// takes a fourth of that; compressors make it ten times smaller, a bomb a thousand times.
pub(super) const AMPLIFICATION: u64 = 64;
/// What any tree may take, of however many archives it is made.
const MEMORY_FLOOR: u64 = if cfg!(test) { 1 << 20 } else { 256 << 20 };

/// A scan under way: of one archive, or of several one after the other.
pub(super) struct Scan {
    pub(super) tree: Tree,
    pub(super) warnings: Warnings,
    /// Of the archive that was scanned last.
    pub(super) kind: ArchiveKind,
    last_entry: Option<Vec<u8>>,
    /// The first entry, if it is itself an image of something, and what it looks like.
    pub(super) lone: Option<(String, &'static str)>,
    /// The image's own users and groups.
    tables: [IdTable; 2],
}

impl Scan {
    /// A scan that has seen nothing yet, of an image whose index will be the file `index`; see
    /// [`Tree::new`].
    pub(super) fn new(generated_mtime: Timestamp, index: &Path) -> Self {
        Self {
            tree: Tree::new(generated_mtime, Some(directory_of(index))),
            warnings: Warnings::default(),
            kind: ArchiveKind::Tar,
            last_entry: None,
            lone: None,
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
        rules: Rules,
        meter: &Meter<'_>,
    ) -> Result<(), Failure> {
        self.last_entry = None;
        if rules.is_layer {
            self.tree.begin_layer();
        }
        let begins = source.bytes(0, aix::MAGIC_BYTES)?;
        let scanned = if aix::is_volume(begins) {
            self.kind = ArchiveKind::AixBackup;
            self.all(&mut aix::Scanner::new(source), rules, meter)
        } else {
            self.kind = ArchiveKind::Tar;
            self.all(&mut Scanner::new(source), rules, meter)
        };
        if let Err(error) = scanned {
            return Err(Failure {
                last_entry: self.last_entry.take(),
                ..error.into()
            });
        }
        if rules.is_layer {
            self.tree.end_layer();
        }
        Ok(())
    }

    fn all(
        &mut self,
        scanner: &mut dyn Entries,
        rules: Rules,
        meter: &Meter<'_>,
    ) -> Result<(), ScanError> {
        while let Some(mut member) = scanner.next()? {
            meter.entry(scanner.position())?;
            self.note_table(scanner, &member)?;
            if self.last_entry.is_none() {
                self.lone = lone_image(scanner, &member)?;
            }
            member.data.shift(rules.base);
            let last = self.last_entry.get_or_insert_default();
            last.clear();
            last.extend_from_slice(&member.path);
            if rules.is_layer
                && self.tree.whiteout(&member.path, scanner.position())? == LayerEntry::Mark
            {
                continue;
            }
            for remark in &member.remarks {
                self.warnings.entry(&member.path, remark);
            }
            if let Err(remark) = self.tree.add(member)? {
                self.warnings.entry(last, &remark);
            }
            // Of all archives that are laid over one another: many small ones must not do together what
            // one may not.
            let stored = meter.total().max(scanner.position());
            let most = stored.saturating_mul(AMPLIFICATION).max(MEMORY_FLOOR);
            if self.tree.memory() > most {
                return Err(ScanError::TooMuchMemory(most));
            }
        }
        self.note_end(scanner);
        Ok(())
    }

    /// Keeps `etc/passwd` and `etc/group`: ACLs may name users without their numbers.
    fn note_table(&mut self, scanner: &mut dyn Entries, member: &Member) -> Result<(), ScanError> {
        let names: [&[u8]; 2] = [b"passwd", b"group"];
        for (name, table) in names.into_iter().zip(&mut self.tables) {
            if member.path.ends_with(name)
                && path::components(&member.path).eq([b"etc", name])
                && member.kind == MemberKind::Node(FileKind::Regular)
                && member.data.extents.is_none()
                && member.data.packed.is_none()
                && member.data.size <= TABLE_LIMIT
            {
                *table = IdTable::parse(scanner.contents(&member.data)?);
            }
        }
        Ok(())
    }

    /// Ends the scan of all archives: what needs the whole image is done now.
    pub(super) fn settle(&mut self) {
        let [users, groups] = &self.tables;
        let lost = self.tree.settle_acls(users, groups);
        if lost > 0 {
            self.warnings.extend(Some(format!(
                "{lost} ACLs name users or groups that the image does not know, or make no sense; \
                 their files have what is left of these, or permission bits only"
            )));
        }
    }

    fn note_end(&mut self, scanner: &dyn Entries) {
        for warning in scanner.warnings() {
            self.warnings.extend(Some(warning));
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

/// The name of a first entry that is itself an image of a disk, and what it looks like. Images of
/// clouds come so, as the only entry.
fn lone_image(
    scanner: &mut dyn Entries,
    member: &Member,
) -> Result<Option<(String, &'static str)>, ScanError> {
    let is_file =
        member.kind == MemberKind::Node(FileKind::Regular) && member.data.packed.is_none();
    if !is_file || member.data.size < LONE_LEAST {
        return Ok(None);
    }
    let offset = match member.data.extents.as_deref() {
        None => member.data.offset,
        Some([first, ..]) if first.file_offset == 0 && first.length >= LOOK as u64 => {
            first.data_offset
        }
        Some(_) => return Ok(None),
    };
    let head = MemberData {
        size: LOOK as u64,
        offset,
        ..Default::default()
    };
    Ok(match recognise_bytes(scanner.contents(&head)?) {
        Found::Other { what, .. } if what.starts_with("looks like a") => {
            Some((quoted(&member.path), what))
        }
        _ => None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::tar::progress::Silent;

    /// An archive that has been packed to nothing.
    struct Packed(Vec<u8>);

    impl Source for Packed {
        fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            Ok(rest.get(..length).unwrap_or(rest))
        }

        fn end(&self) -> Option<u64> {
            Some(self.0.len() as u64)
        }

        fn position(&self) -> u64 {
            0
        }
    }

    fn archive(beginning: &str, count: usize) -> Packed {
        let mut builder = ::tar::Builder::new(Vec::new());
        for number in 0..count {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(0);
            let name = format!("{beginning}{number}");
            builder.append_data(&mut header, name, &b""[..]).unwrap();
        }
        Packed(builder.into_inner().unwrap())
    }

    #[test]
    fn many_archives_may_not_take_together_what_one_may_not() {
        let count = MEMORY_FLOOR as usize / 300;
        let rules = Rules {
            is_layer: true,
            ..Default::default()
        };
        let mut silent = Silent;
        let meter = Meter::start(&mut silent, 1);
        let mut scan = Scan::new(Timestamp::default(), Path::new("/nonexistent/index"));
        assert!(
            scan.archive(&mut archive("a", count), rules, &meter)
                .is_ok()
        );
        // The same names once more are no more names.
        let mut same = archive("a", count / 9);
        assert!(scan.archive(&mut same, rules, &meter).is_ok());
        let refused = scan.archive(&mut archive("b", count), rules, &meter);
        let refused = refused.map_err(|failure| failure.error);
        assert!(matches!(
            refused,
            Err(ScanError::TooMuchMemory(MEMORY_FLOOR))
        ));
    }
}
