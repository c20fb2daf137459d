//! Disks of any bytes: partitions lie within them, and whatever lies there is looked at.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use super::{Region, examine, partitions};

/// A disk is larger than what is in it.
const BYTES: u64 = 8 << 20;

/// Looks for file systems in a disk that begins with `data`.
pub(crate) fn disk(data: &[u8]) {
    let file = File::from(memfd_create("disk", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(BYTES).unwrap();
    let data = data.get(..usize::try_from(BYTES).unwrap()).unwrap_or(data);
    file.write_all_at(data, 0).unwrap();
    examine(&file, Region::default()).unwrap();
    for partition in partitions(&file).unwrap().unwrap_or_default() {
        let Region { offset, bytes } = partition.region;
        assert!(offset > 0 && bytes > 0 && offset.checked_add(bytes).unwrap() <= BYTES);
        examine(&file, partition.region).unwrap();
    }
}

/// A disk with an MBR and a logical partition, one with a GPT for either size of sectors, and file
/// systems.
pub(crate) fn disks() -> Vec<Vec<u8>> {
    let mut mbr = vec![0; 8192];
    let mut line = |at: usize, kind: u8, first: u32, count: u32| {
        mbr[at + 4] = kind;
        mbr[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        mbr[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    };
    line(446, 0x83, 4, 4);
    line(462, 0x05, 8, 100);
    line(8 * 512 + 446, 0x83, 2, 4);
    line(8 * 512 + 462, 0x05, 4, 4);
    for sector in [0, 8] {
        mbr[sector * 512 + 510..sector * 512 + 512].copy_from_slice(b"\x55\xaa");
    }
    let gpt = |sector: usize| {
        let mut disk = vec![0; sector * 4];
        disk[sector..sector + 8].copy_from_slice(b"EFI PART");
        disk[sector + 12] = 92;
        disk[sector + 72] = 2;
        disk[sector + 80] = 4;
        disk[sector + 84] = 128;
        disk[2 * sector] = 1;
        disk[2 * sector + 32] = 3;
        disk[2 * sector + 40] = 3;
        mend_disk(&mut disk);
        disk
    };
    let mut ext4 = vec![0; 2048];
    ext4[1080..1082].copy_from_slice(b"\x53\xef");
    vec![mbr, gpt(512), gpt(4096), ext4, b"hsqs".to_vec()]
}

/// Sets the checksum of a GPT right.
pub(crate) fn mend_disk(disk: &mut [u8]) {
    for sector in [512, 4096] {
        if let Some(header) = disk.get_mut(sector..sector + 92)
            && header.starts_with(b"EFI PART")
        {
            header[16..20].fill(0);
            let sum = crc32fast::hash(header);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
