//! Measures how fast images are indexed, opened and read.
//!
//! `cargo run --release -p wpar-mountd --example index_speed -- [ENTRIES [BYTES [DIRECTORY]]]`
//! writes a synthetic archive of ENTRIES (a million) with BYTES (1024) in each file on average, packs
//! it with `gzip` and `zstd` where these are installed, and prints one line per image: entries and
//! megabytes of the archive per second, size of the index, peak memory, and what opening it,
//! a walk with attributes and random reads cost. Each image is indexed twice and the second run
//! counts, so that the archive is in the page cache.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wpar_mountd::lower::tar::{IndexReport, Silent, TarLower, ensure_index};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

type Outcome<T> = Result<T, Box<dyn Error>>;

const FILES_PER_DIRECTORY: u64 = 50;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (entries, bytes) = (number(0, 1_000_000)?, number(1, 1024)?);
    let directory = arguments
        .get(2)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("index-speed-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let result = measure_all(&directory, entries, bytes);
    fs::remove_dir_all(&directory)?;
    result
}

fn measure_all(directory: &Path, entries: u64, bytes: u64) -> Outcome<()> {
    let plain = directory.join("plain.tar");
    write_archive(&plain, entries, bytes)?;
    measure(&plain)?;
    for (program, arguments, name) in [
        ("gzip", &["-c", "-6"][..], "packed.tar.gz"),
        ("zstd", &["-q", "-c", "-3"], "packed.tar.zst"),
    ] {
        let packed = directory.join(name);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(&plain)
            .stdout(Stdio::from(File::create(&packed)?));
        match command.status() {
            Ok(status) if status.success() => measure(&packed)?,
            _ => println!("{name}: not measured, {program} failed or is not installed"),
        }
    }
    Ok(())
}

/// Writes an archive of directories with files in them, of sizes from 0 to twice the average.
fn write_archive(path: &Path, entries: u64, average: u64) -> Outcome<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let mut random = 1_u64;
    let mut contents = Vec::new();
    for number in 0..entries {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let group = number / FILES_PER_DIRECTORY;
        let directory = format!("usr/share/part{:03}/group{:05}", group % 97, group);
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000 + number);
        if number % FILES_PER_DIRECTORY == 0 {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, directory, std::io::empty())?;
            continue;
        }
        contents.clear();
        let size = (random >> 33) % (2 * average + 1);
        while (contents.len() as u64) < size {
            writeln!(
                contents,
                "line {} of file {number}",
                random % (contents.len() as u64 + 7)
            )?;
        }
        contents.truncate(usize::try_from(size)?);
        header.set_mode(0o644);
        header.set_size(size);
        archive.append_data(
            &mut header,
            format!("{directory}/file{number:07}"),
            &contents[..],
        )?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn measure(image: &Path) -> Outcome<()> {
    let mut report = None;
    let (mut elapsed, mut worked) = (Duration::ZERO, 0.0);
    for _ in 0..2 {
        if let Some(IndexReport { path, .. }) = &report {
            fs::remove_file(path)?;
        }
        let (start, before) = (Instant::now(), processor_seconds());
        report = Some(ensure_index(
            image,
            image.parent().unwrap_or(image),
            &mut Silent,
        )?);
        elapsed = start.elapsed();
        worked = processor_seconds() - before;
    }
    let Some(report) = report else { return Ok(()) };
    let seconds = elapsed.as_secs_f64();
    println!(
        "{}: {} entries, {} MB ({} MB unpacked) in {seconds:.2} s \
         ({worked:.2} s of processor time): {:.0} entries/s, {:.0} MB/s of \
         the file, {:.0} MB/s unpacked; index {:.1} MB{}; peak memory {} MB",
        image.file_name().unwrap_or_default().display(),
        report.entries,
        report.archive_bytes / 1_000_000,
        report.stream_bytes / 1_000_000,
        report.entries as f64 / seconds,
        report.archive_bytes as f64 / 1e6 / seconds,
        report.stream_bytes as f64 / 1e6 / seconds,
        report.index_bytes as f64 / 1e6,
        report
            .seekable_copy
            .map_or_else(String::new, |bytes| format!(
                ", seekable copy {:.1} MB",
                bytes as f64 / 1e6
            )),
        peak_memory_mb().unwrap_or(0),
    );
    let start = Instant::now();
    let layer = TarLower::open(image, &report.path)?;
    let opened = start.elapsed();
    let start = Instant::now();
    let files = walk(&layer)?;
    let walked = start.elapsed() / u32::try_from(report.entries)?;
    let reads = random_reads(&layer, &files)?;
    println!("    open {opened:.1?}, walk {walked:.0?} per entry, random read {reads:.1?}");
    Ok(())
}

/// All regular files, with their attributes looked at.
fn walk(layer: &TarLower) -> Outcome<Vec<LowerNode>> {
    let (mut files, mut waiting) = (Vec::new(), vec![LowerNode::ROOT]);
    while let Some(directory) = waiting.pop() {
        let mut names = Vec::new();
        layer.entries(directory, &mut |entry| names.push(entry.name.to_vec()))?;
        for name in names {
            let found = layer.lookup(directory, wpar_mountd::types::EntryName::new(&name)?)?;
            match found {
                Some((node, attr)) if attr.kind == FileKind::Directory => waiting.push(node),
                Some((node, _)) => files.push(node),
                None => return Err("a listed name is not found".into()),
            }
        }
    }
    Ok(files)
}

/// Time for opening and reading the first 4 KiB of a file, on average over files here and there.
fn random_reads(layer: &TarLower, files: &[LowerNode]) -> Outcome<Duration> {
    const READS: u32 = 500;
    let mut random = 1_u64;
    let mut buffer = [0; 4096];
    let start = Instant::now();
    for _ in 0..READS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let at = usize::try_from(random >> 33)? % files.len();
        layer.open(files[at])?.read_at(&mut buffer, 0)?;
    }
    Ok(start.elapsed() / READS)
}

/// Processor time of this process so far: what counts on a machine with other work.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_memory_mb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
