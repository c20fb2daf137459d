//! Measures what the first write of one byte to a file of an image costs.
//!
//! `cargo run --release -p wpar-mountd --example first_write -- DIRECTORY` (as root) makes an
//! archive in DIRECTORY with files of 1 MB, 100 MB and 10 GiB, their contents a hole of the archive
//! so that the disk it lies on does not count, mounts it with a store there, and prints for each
//! size the median time of open, write and close, and the space that the store then takes. With a
//! second argument `whole`, files are copied whole.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wpar_mountd::fuse::session;
use wpar_mountd::lower::tar::{Silent, ensure_index};
use wpar_mountd::overlay::CopyUp;
use wpar_mountd::source;
use wpar_mountd::spec::{LowerSpec, MountSpec, SpaceLimits};

const SIZES: [(&str, u64); 3] = [
    ("1 MB", 1_000_000),
    ("100 MB", 100_000_000),
    ("10 GiB", 10 << 30),
];
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: first_write DIRECTORY [whole]")?,
    );
    let whole = arguments.next().as_deref() == Some("whole");
    let (image, mount) = (directory.join("image.tar"), directory.join("mnt"));
    fs::create_dir_all(&mount)?;
    write_image(&image, if whole { 1 } else { ROUNDS })?;
    let index = directory.join("image.tar.wparidx");
    ensure_index(&image, &directory, &mut Silent)?;
    let store = directory.join("store");
    let overlay = source::open(&MountSpec {
        lower: LowerSpec::Image {
            path: image,
            index,
            shared: None,
        },
        store: Some(store.clone()),
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Default::default(),
    })?;
    let overlay = if whole {
        overlay.with_copy_up(CopyUp {
            whole: u64::MAX,
            ..CopyUp::default()
        })
    } else {
        overlay
    };
    let mounted = session::mount(overlay, &mount)?;
    for (number, (name, size)) in SIZES.into_iter().enumerate() {
        let mut times = Vec::new();
        let mut space = 0;
        for round in 0..if whole { 1 } else { ROUNDS } {
            let file = format!("{number}-{round}");
            fs::metadata(mount.join(&file))?;
            let before = space_below(&store)?;
            let start = Instant::now();
            let opened = OpenOptions::new().write(true).open(mount.join(&file))?;
            opened.write_all_at(b"x", size / 2)?;
            drop(opened);
            times.push(start.elapsed());
            File::open(mount.join(&file))?.sync_all()?;
            space = space_below(&store)? - before;
        }
        times.sort_unstable();
        let median = times
            .get(times.len() / 2)
            .copied()
            .unwrap_or(Duration::ZERO);
        println!("{name:>7}: {median:>12.2?}, {space} bytes stored");
    }
    drop(mounted);
    Ok(())
}

fn write_image(path: &Path, rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut image = File::create(path)?;
    for (number, (_, size)) in SIZES.into_iter().enumerate() {
        for round in 0..rounds {
            let mut header = tar::Header::new_gnu();
            header.set_path(format!("{number}-{round}"))?;
            header.set_size(size);
            header.set_mode(0o644);
            header.set_cksum();
            image.write_all(header.as_bytes())?;
            image.seek(SeekFrom::Current(i64::try_from(
                size.next_multiple_of(512),
            )?))?;
        }
    }
    image.write_all(&[0; 1024])?;
    Ok(())
}

fn space_below(directory: &Path) -> Result<u64, Box<dyn Error>> {
    let mut space = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let attr = entry.metadata()?;
        space += attr.blocks() * 512;
        if attr.is_dir() {
            space += space_below(&entry.path())?;
        }
    }
    Ok(space)
}
