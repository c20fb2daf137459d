use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::*;

const CHUNK: u64 = 8 << 10;
const CHUNKS: u64 = 64;

fn place(number: u64) -> Option<Place> {
    (number < CHUNKS).then_some(Place {
        start: number * CHUNK,
        bytes: CHUNK,
    })
}

fn contents(number: u64) -> Vec<u8> {
    (0..CHUNK).map(|at| (at / 7 + number) as u8).collect()
}

fn open(directory: &tempfile::TempDir) -> SharedChunks {
    let path = directory.path().join("made/image.chunks");
    SharedChunks::open(&path, 1, CHUNKS, CHUNKS * CHUNK).unwrap()
}

fn read(shared: &SharedChunks, number: u64, from: u64, length: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0xee; length];
    shared
        .read(number, number * CHUNK + from, &mut buffer)
        .then_some(buffer)
}

#[test]
fn what_one_mount_decoded_all_others_read() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(&directory), open(&directory));
    assert_eq!(read(&one, 3, 0, 10), None);
    one.keep(3, &contents(3), &place);
    assert_eq!(read(&other, 3, 100, 5000).unwrap(), contents(3)[100..5100]);
    assert_eq!(read(&other, 4, 0, 10), None);
    let third = open(&directory);
    assert_eq!(read(&third, 3, 0, CHUNK as usize).unwrap(), contents(3));
    assert_eq!(read(&third, CHUNKS, 0, 1), None, "behind the end");
}

#[test]
fn the_cache_of_another_index_or_boot_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let old = open(&directory);
    old.keep(1, &contents(1), &place);
    let path = directory.path().join("made/image.chunks");
    let new = SharedChunks::open(&path, 2, CHUNKS, CHUNKS * CHUNK).unwrap();
    assert_eq!(read(&new, 1, 0, 10), None);
    assert!(read(&old, 1, 0, 10).is_some(), "who has it goes on");
    new.table.number(2).unwrap().store(77, Ordering::Relaxed);
    new.keep(1, &contents(1), &place);
    let after = SharedChunks::open(&path, 2, CHUNKS, CHUNKS * CHUNK).unwrap();
    assert_eq!(read(&after, 1, 0, 10), None, "of another boot");
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let shared = open(&directory);
    let limit = 16 * CHUNK;
    let number = shared.table.number(file::LIMIT).unwrap();
    number.store(limit, Ordering::Relaxed);
    for number in 0..CHUNKS {
        shared.keep(number, &contents(number), &place);
        // The first one is always used last.
        let slot = shared.slot(0).unwrap();
        let word = slot.load(Ordering::Relaxed);
        slot.store(
            word & 0xffff_ffff | u64::from(u32::MAX) << 32,
            Ordering::Relaxed,
        );
        let there = (0..CHUNKS).filter(|&number| read(&shared, number, 0, 1).is_some());
        assert!(there.count() as u64 * CHUNK <= limit);
    }
    assert_eq!(read(&shared, 0, 0, 100).unwrap(), contents(0)[..100]);
    let taken = shared.file.metadata().unwrap().blocks() * 512;
    assert!(
        taken <= limit + 2 * file::table_bytes(CHUNKS) + CHUNK,
        "{taken}"
    );
}

#[test]
fn a_chunk_whose_writer_died_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let shared = open(&directory);
    let slot = shared.slot(5).unwrap();
    Word::load(slot).begin(slot, State::Empty, 0).unwrap();
    shared.keep(5, &contents(5), &place);
    shared.evict(0, &place);
    shared.keep(5, &contents(5), &place);
    assert_eq!(read(&shared, 5, 0, 1), None, "the other may be alive");
    shared.keep(6, &contents(6), &place);
    assert!(read(&shared, 6, 0, 1).is_some());
}

/// Readers, writers and evictions at once: whoever gets bytes gets the right ones.
#[test]
fn nobody_takes_a_hole_for_data() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory);
    let number = first.table.number(file::LIMIT).unwrap();
    number.store(8 * CHUNK, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let shared = open(&directory);
            scope.spawn(move || {
                let mut random = thread + 1;
                for _ in 0..2000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let number = (random >> 33) % CHUNKS;
                    match read(&shared, number, 0, CHUNK as usize) {
                        Some(bytes) => assert!(bytes == contents(number), "chunk {number}"),
                        None => shared.keep(number, &contents(number), &place),
                    }
                }
            });
        }
    });
}

#[test]
fn a_place_that_cannot_be_used_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "").unwrap();
    assert!(SharedChunks::open(&path.join("x"), 1, 1, 1).is_none());
    std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
    assert!(SharedChunks::open(&directory.path().join("link"), 1, 1, 1).is_none());
}
