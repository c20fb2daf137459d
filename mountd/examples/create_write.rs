//! What a limit costs, without a mount: making, writing to and removing files with no limit and with
//! one, in turns.
//!
//! `cargo run --release -p wpar-mountd --example create_write -- DIRECTORY [ROUNDS]`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::{NewInode, Overlay};
use wpar_mountd::source;
use wpar_mountd::spec::SpaceLimits;
use wpar_mountd::types::{Caller, EntryName, FileKind, Ino};
use wpar_mountd::upper::UpperStore;

const FILES: usize = 4000;
const WRITES: u64 = 100_000;

fn open(path: &Path, limited: bool) -> Result<Overlay, Box<dyn Error>> {
    let lower: Arc<dyn LowerLayer> = Arc::new(MemoryLower::builder().build()?);
    let root = source::root_of(&*lower)?;
    let store = UpperStore::open(path, &root, lower.first_free())?;
    let limits = SpaceLimits {
        bytes: limited.then_some(1 << 40),
        inodes: limited.then_some(1 << 30),
    };
    Ok(Overlay::new(lower, Some(store.limited(limits)?)))
}

/// Microseconds for each file, and nanoseconds for each write.
fn measure(overlay: &Overlay) -> Result<(f64, f64), Box<dyn Error>> {
    let new = NewInode {
        kind: FileKind::Regular,
        permissions: 0o644,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: Caller { uid: 0, gid: 0 },
    };
    let begun = Instant::now();
    for number in 0..FILES {
        let text = format!("f{number}");
        let name = EntryName::new(text.as_bytes())?;
        let (ino, _) = overlay.create(Ino::ROOT, name, &new)?.hand_over();
        overlay.write(ino, &[1; 4096], 0, false)?;
        overlay.unlink(Ino::ROOT, name)?;
        overlay.forget(ino, 1);
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / FILES as f64;
    let (ino, _) = overlay
        .create(Ino::ROOT, EntryName::new(b"big")?, &new)?
        .hand_over();
    overlay.write(ino, &[1; 4096], 0, false)?;
    let begun = Instant::now();
    for number in 0..WRITES {
        overlay.write(ino, &[1; 4096], number % 256 * 4096, false)?;
    }
    let write = begun.elapsed().as_secs_f64() * 1e9 / WRITES as f64;
    overlay.unlink(Ino::ROOT, EntryName::new(b"big")?)?;
    overlay.forget(ino, 1);
    Ok((each, write))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map(PathBuf::from);
    let directory = directory.ok_or("usage: create_write DIRECTORY [ROUNDS]")?;
    let rounds = arguments.next().map_or(Ok(9), |rounds| rounds.parse())?;
    let mut results = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (limited, results) in [false, true].into_iter().zip(&mut results) {
            let path = directory.join("store");
            let overlay = open(&path, limited)?;
            results.push(measure(&overlay)?);
            drop(overlay);
            fs::remove_dir_all(&path)?;
        }
    }
    for (what, mut results) in ["without a limit", "with one"].into_iter().zip(results) {
        let mut median = |of: fn(&(f64, f64)) -> f64| {
            results.sort_by(|one, other| of(one).total_cmp(&of(other)));
            results.get(results.len() / 2).map(of).unwrap_or_default()
        };
        let (each, write) = (median(|of| of.0), median(|of| of.1));
        println!("{what}: {each:.1} us for a file, {write:.0} ns for a write of 4 KiB");
    }
    Ok(())
}
