//! Disks as a loss of power may leave them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::chance::Chance;
use crate::disk::Event;
use crate::program::{command, mount};

/// What a disk writes whole, in bytes, if it writes at all.
const PAGE: usize = 4096;

/// Makes disks and lets `check` look at each, mounted: it is told up to which length of the log all
/// is surely there, and which of it was ever sent. Returns what went wrong.
pub(crate) fn all(
    place: &Path,
    events: &[(u64, Event)],
    check: impl Fn(&Path, u64, u64) -> Result<(), String>,
) -> Vec<String> {
    let mut chance = Chance::new(crate::seed() + 1);
    let mut failures = Vec::new();
    let flushes: Vec<usize> = events
        .iter()
        .enumerate()
        .filter(|(_, (_, event))| matches!(event, Event::Flush))
        .map(|(at, _)| at)
        .collect();
    assert!(flushes.len() > 20, "{} flushes", flushes.len());
    let disks = crate::disks();
    for number in 0..disks {
        // Spread over all of the log: at a flush, or somewhere behind it.
        let at = (number * flushes.len() as u64 / disks) as usize;
        let flush = flushes[at];
        let next = flushes.get(at + 1).copied().unwrap_or(events.len());
        let end = match number % 3 {
            0 => flush + 1,
            _ => flush + 1 + chance.below((next - flush) as u64) as usize,
        };
        make(place, &events[..end], flush, &mut chance);
        mount(&place.join("replayed"), &place.join("ext4"));
        let now = events[..end].last().map_or(0, |event| event.0);
        let durable = events[flush].0;
        if let Err(failure) = check(&place.join("ext4"), durable, now) {
            failures.push(format!(
                "disk {number}, flush {flush}, end {end}: {failure}"
            ));
        }
        command(Command::new("umount").arg(place.join("ext4")));
        if failures.len() > 4 {
            break;
        }
    }
    failures
}

/// Everything up to the flush, and of what is behind it a part.
fn make(place: &Path, events: &[(u64, Event)], flush: usize, chance: &mut Chance) {
    fs::copy(place.join("empty"), place.join("replayed")).unwrap();
    let disk = File::options()
        .write(true)
        .open(place.join("replayed"))
        .unwrap();
    // Whole requests, or single pages of them.
    let by_request = chance.below(2) == 0;
    for (at, (_, event)) in events.iter().enumerate() {
        let Event::Write { offset, data } = event else {
            continue;
        };
        if at <= flush {
            disk.write_all_at(data, *offset).unwrap();
            continue;
        }
        let keeps = chance.below(2) == 0;
        for (number, page) in data.chunks(PAGE).enumerate() {
            let kept = if by_request {
                keeps
            } else {
                chance.below(2) == 0
            };
            if kept {
                let offset = offset + (number * PAGE) as u64;
                disk.write_all_at(page, offset).unwrap();
            }
        }
    }
}
