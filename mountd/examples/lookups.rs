//! What a name of an image costs the core, without a mount: looked up, asked for by number,
//! forgotten; and what it keeps in memory meanwhile.
//!
//! `cargo run --release -p wpar-mountd --example lookups -- DIRECTORY [NAMES]` makes the image in
//! DIRECTORY if it is not there.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use wpar_mountd::lower::tar::{Silent, TarLower, ensure_index};
use wpar_mountd::overlay::Overlay;
use wpar_mountd::types::{EntryName, Ino};

const IN_DIRECTORY: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let place = arguments.next().map(PathBuf::from);
    let place = place.ok_or("usage: lookups DIRECTORY [NAMES]")?;
    let names = arguments.next().map(|text| text.into_string());
    let names = names.map_or(Ok(1_000_000), |text| text.unwrap_or_default().parse())?;
    let image = place.join(format!("names-{names}.tar"));
    if !image.exists() {
        write_image(&image, names)?;
    }
    let index = ensure_index(&image, &place, &mut Silent)?;
    let overlay = Overlay::new(Arc::new(TarLower::open(&image, &index.path)?), None);
    let before = resident()?;
    for round in 0..3 {
        let begun = Instant::now();
        let found = look_up(&overlay, names)?;
        let looked_up = each(begun, names);
        let begun = Instant::now();
        for &ino in &found {
            overlay.attr(ino)?;
        }
        let asked = each(begun, names);
        let (own, all) = resident()?;
        let begun = Instant::now();
        for &ino in &found {
            overlay.forget(ino, 1);
        }
        let forgotten = each(begun, names);
        println!(
            "round {round}: {looked_up:.0} ns to look a name up, {asked:.0} by number, \
             {forgotten:.0} to forget; {} KiB of its own and {} of files more than before",
            own.saturating_sub(before.0 + (found.capacity() as u64 * 8 / 1024)),
            all.saturating_sub(before.1)
        );
    }
    Ok(())
}

fn look_up(overlay: &Overlay, names: usize) -> Result<Vec<Ino>, Box<dyn Error>> {
    let mut found = Vec::with_capacity(names + names / IN_DIRECTORY + 1);
    let mut directory = Ino::ROOT;
    for number in 0..names {
        if number % IN_DIRECTORY == 0 {
            let name = format!("directory-{}", number / IN_DIRECTORY);
            let (ino, _) = overlay
                .lookup(Ino::ROOT, EntryName::new(name.as_bytes())?)?
                .ok_or("a directory is not there")?
                .hand_over();
            found.push(ino);
            directory = ino;
        }
        let name = format!("file-{number}");
        let (ino, _) = overlay
            .lookup(directory, EntryName::new(name.as_bytes())?)?
            .ok_or("a file is not there")?
            .hand_over();
        found.push(ino);
    }
    Ok(found)
}

fn each(begun: Instant, names: usize) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9 / names as f64
}

fn write_image(path: &Path, names: usize) -> Result<(), Box<dyn Error>> {
    let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(0);
    for number in 0..names {
        header.set_path(format!("directory-{}/file-{number}", number / IN_DIRECTORY))?;
        header.set_cksum();
        archive.append(&header, &b""[..])?;
    }
    Ok(archive.into_inner()?.flush()?)
}

/// Kilobytes of this process in memory: of its own, and of files.
fn resident() -> Result<(u64, u64), Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<u64, Box<dyn Error>> {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.ok_or("no such field")?.parse()?)
    };
    Ok((field("RssAnon")?, field("RssFile")?))
}
