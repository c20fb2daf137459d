//! Partition tables: GPT (UEFI specification, section 5.3) and the older MBR.
//!
//! A table is a list of stretches of the file, with nothing known of what is in them. Each is
//! checked to lie within the file; extended partitions of an MBR are followed, a bounded number.

use std::fs::File;
use std::io;

use super::Region;
use crate::lower::tar::read_full;

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as Linux counts (`/dev/sda1` is 1).
    pub number: u32,
    /// Where it is.
    pub region: Region,
}

/// Most partitions that are looked at. GPT has room for 128 as a rule.
const MOST: usize = 256;

/// Sizes of a sector that disks have.
const SECTORS: [u64; 2] = [512, 4096];

/// The partitions of the disk image `file`, which may be none; `None` if it has no table.
///
/// # Errors
/// Those of reading.
pub fn partitions(file: &File) -> io::Result<Option<Vec<Partition>>> {
    let length = file.metadata()?.len();
    for sector in SECTORS {
        if let Some(found) = gpt(file, length, sector)? {
            return Ok(Some(found));
        }
    }
    mbr(file, length)
}

fn number32(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn number64(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The stretch of `count` sectors from `first` on, if it is one of a file of `length` bytes.
fn region(first: u64, count: u64, sector: u64, length: u64) -> Option<Region> {
    let offset = first.checked_mul(sector)?;
    let bytes = count.checked_mul(sector)?;
    let end = offset.checked_add(bytes)?;
    (offset > 0 && bytes > 0 && end <= length).then_some(Region { offset, bytes })
}

fn gpt(file: &File, length: u64, sector: u64) -> io::Result<Option<Vec<Partition>>> {
    const HEADER: usize = 92;
    let mut header = [0; HEADER];
    if read_full(file, &mut header, sector)? < HEADER || !header.starts_with(b"EFI PART") {
        return Ok(None);
    }
    let stored = number32(&header, 16);
    header[16..20].fill(0);
    if number32(&header, 12) as usize != HEADER || crc32fast::hash(&header) != stored {
        return Ok(None);
    }
    let (count, size) = (
        number32(&header, 80) as usize,
        number32(&header, 84) as usize,
    );
    let start = number64(&header, 72).checked_mul(sector);
    let Some(start) = start.filter(|start| *start < length) else {
        return Ok(None);
    };
    if !(128..=4096).contains(&size) {
        return Ok(None);
    }
    let mut table = vec![0; size * count.min(MOST)];
    let read = read_full(file, &mut table, start)?;
    table.truncate(read);
    let entries = table.chunks_exact(size).zip(1..);
    let partition = |(entry, number): (&[u8], u32)| {
        if entry.iter().take(16).all(|byte| *byte == 0) {
            return None;
        }
        let (first, last) = (number64(entry, 32), number64(entry, 40));
        let count = last.checked_sub(first)?.checked_add(1)?;
        let region = region(first, count, sector, length)?;
        Some(Partition { number, region })
    };
    Ok(Some(entries.filter_map(partition).collect()))
}

/// One line of an MBR.
struct Line {
    kind: u8,
    first: u64,
    count: u64,
}

/// The four lines of the table in the sector at `offset`, if it is one.
fn lines(file: &File, offset: u64) -> io::Result<Option<[Line; 4]>> {
    let mut sector = [0; 512];
    if read_full(file, &mut sector, offset)? < sector.len() || !sector.ends_with(b"\x55\xaa") {
        return Ok(None);
    }
    Ok(Some([0, 1, 2, 3].map(|index| {
        let line = sector.get(446 + 16 * index..).unwrap_or_default();
        Line {
            kind: line.get(4).copied().unwrap_or(0),
            first: number32(line, 8).into(),
            count: number32(line, 12).into(),
        }
    })))
}

fn mbr(file: &File, length: u64) -> io::Result<Option<Vec<Partition>>> {
    const SECTOR: u64 = 512;
    const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
    let Some(primary) = lines(file, 0)? else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let mut extended = None;
    for (line, number) in primary.iter().zip(1..) {
        if EXTENDED.contains(&line.kind) {
            extended = Some(line.first);
        } else if line.kind != 0
            && let Some(region) = region(line.first, line.count, SECTOR, length)
        {
            found.push(Partition { number, region });
        }
    }
    // A boot sector without a table (of a FAT file system, say) has nonsense in these places.
    if found.is_empty() && extended.is_none() {
        return Ok(None);
    }
    // A chain of tables, of which each has one partition and the next table.
    let mut next = extended;
    let mut number = 5;
    while let (Some(base), Some(at)) = (extended, next)
        && found.len() < MOST
        && let Some([own, link, ..]) = lines(file, at.saturating_mul(SECTOR))?
    {
        if own.kind != 0
            && let Some(region) = region(at + own.first, own.count, SECTOR, length)
        {
            found.push(Partition { number, region });
        }
        number += 1;
        // Only forward, so that there is an end.
        let after = base + link.first;
        next = (EXTENDED.contains(&link.kind) && after > at).then_some(after);
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn disk(megabytes: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(megabytes << 20).unwrap();
        file
    }

    fn line(file: &File, sector: u64, index: u64, kind: u8, first: u32, count: u32) {
        let mut line = [0; 16];
        line[4] = kind;
        line[8..12].copy_from_slice(&first.to_le_bytes());
        line[12..].copy_from_slice(&count.to_le_bytes());
        file.write_all_at(&line, sector * 512 + 446 + 16 * index)
            .unwrap();
        file.write_all_at(b"\x55\xaa", sector * 512 + 510).unwrap();
    }

    fn shown(file: &File) -> Option<Vec<(u32, u64, u64)>> {
        let found = partitions(file).unwrap()?;
        let shown = |partition: Partition| {
            let Region { offset, bytes } = partition.region;
            (partition.number, offset / 512, bytes / 512)
        };
        Some(found.into_iter().map(shown).collect())
    }

    #[test]
    fn primary_and_logical_partitions_are_numbered_as_linux_does() {
        let file = disk(1);
        line(&file, 0, 0, 0x83, 8, 16);
        line(&file, 0, 2, 0x05, 100, 1000);
        line(&file, 100, 0, 0x83, 2, 10);
        line(&file, 100, 1, 0x05, 50, 60);
        line(&file, 150, 0, 0x83, 3, 20);
        assert_eq!(
            shown(&file).unwrap(),
            [(1, 8, 16), (5, 102, 10), (6, 153, 20)]
        );
    }

    #[test]
    fn a_chain_that_leads_back_and_lines_outside_of_the_file_end() {
        let file = disk(1);
        line(&file, 0, 0, 0x83, 8, u32::MAX);
        line(&file, 0, 1, 0x05, 100, 1000);
        line(&file, 100, 0, 0x83, 2, 10);
        line(&file, 100, 1, 0x05, 0, 60);
        assert_eq!(shown(&file).unwrap(), [(5, 102, 10)]);
    }

    #[test]
    fn a_boot_sector_alone_is_no_table() {
        let file = disk(1);
        assert_eq!(shown(&file), None);
        file.write_all_at(b"\x55\xaa", 510).unwrap();
        assert_eq!(shown(&file), None);
        file.set_len(100).unwrap();
        assert_eq!(shown(&file), None);
    }

    fn guid_table(file: &File, sector: u64, entries: &[(u64, u64)]) {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        let sum = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&header, sector).unwrap();
        for (&(first, last), index) in entries.iter().zip(0..) {
            let mut entry = [0; 128];
            entry[..16].fill(7);
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            file.write_all_at(&entry, 2 * sector + 128 * index).unwrap();
        }
    }

    #[test]
    fn a_guid_table_is_read_for_both_sizes_of_sectors() {
        for sector in SECTORS {
            let file = disk(2);
            line(&file, 0, 0, 0xee, 1, u32::MAX);
            guid_table(
                &file,
                sector,
                &[(40, 49), (60, 50), (u64::MAX, 3), (70, 70)],
            );
            let in_512 = sector / 512;
            assert_eq!(
                shown(&file).unwrap(),
                [(1, 40 * in_512, 10 * in_512), (4, 70 * in_512, in_512)]
            );
        }
    }

    #[test]
    fn a_damaged_guid_table_is_none() {
        let file = disk(1);
        guid_table(&file, 512, &[(40, 49)]);
        file.write_all_at(&[1], 512 + 80).unwrap();
        assert_eq!(shown(&file), None);
    }
}
