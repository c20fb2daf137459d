//! Backups: ours against `tar | zstd -T0 -3` of the same tree, and the first bytes out of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use wpar::backup::host_tree::HostTree;
use wpar::backup::save::{Saver, Selection, Watcher};
use wpar_mountd::lower::tar::save::{DEFAULT_LEVEL, ImageWriter, SaveOptions};
use wpar_mountd::lower::tar::{Silent, TarLower, ensure_index};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{FileKind, Timestamp};

use crate::Fallible;
use crate::ours::run;

/// Files whose first byte is read.
const SAMPLES: usize = 300;

/// The tree that both sides save, and where they do.
#[derive(Debug)]
pub(crate) struct Backup {
    tree: PathBuf,
    out: PathBuf,
}

/// One backup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

/// How soon an image answers that was never opened before.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// Until it is open, the index unpacked.
    pub(crate) open: Duration,
    /// Until the first byte of a file is there, file by file, each in a frame that nobody read.
    pub(crate) first_bytes: Vec<Duration>,
}

struct Quiet;

impl Watcher for Quiet {
    fn entry(&mut self, _path: &[u8], _size: u64) {}
    fn advance(&mut self, _entries: u64, _bytes: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}

impl Backup {
    /// Unpacks `image` below `dir`.
    pub(crate) fn new(image: &Path, dir: &Path) -> Fallible<Self> {
        let (tree, out) = (dir.join("tree"), dir.join("out"));
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(&out)?;
        let options = [
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "-xpf",
        ];
        run(Command::new("tar")
            .args(options)
            .arg(image)
            .arg("-C")
            .arg(&tree))?;
        Ok(Self { tree, out })
    }

    /// Ours: the library that `mksysb` uses, the image on the disk when it ends.
    pub(crate) fn ours(&self) -> Fallible<(Made, PathBuf)> {
        let image = self.out.join("ours");
        let begin = Instant::now();
        let options = SaveOptions {
            level: Some(DEFAULT_LEVEL),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            permissions: 0o600,
            time: Timestamp::default(),
        };
        let writer = ImageWriter::create(&image, options)?;
        let mut quiet = Quiet;
        let mut saver = Saver::new(
            Some(writer),
            image.clone(),
            Selection::default(),
            &mut quiet,
        );
        HostTree::open(&self.tree, [], [], true)?.walk(&mut saver)?;
        saver.finish()?;
        Ok((made(begin, &image)?, image))
    }

    /// The other side, which does not wait for the disk.
    pub(crate) fn tar(&self) -> Fallible<Made> {
        let image = self.out.join("tar");
        let line = "tar --xattrs --xattrs-include='*' --acls --numeric-owner -C \"$1\" -cf - . \
            | zstd -q -T0 -3 -f -o \"$2\"";
        let begin = Instant::now();
        run(Command::new("sh")
            .args(["-c", line, "sh"])
            .arg(&self.tree)
            .arg(&image))?;
        made(begin, &image)
    }

    /// Opens an image that has no index beside it, and reads the first byte of some files.
    pub(crate) fn answers(&self, image: &Path) -> Fallible<Answers> {
        let begin = Instant::now();
        let report = ensure_index(image, &self.out, &mut Silent)?;
        let opened = TarLower::open(image, &report.path)?;
        let open = begin.elapsed();
        let mut files = Vec::new();
        collect(&opened, LowerNode::ROOT, &mut files)?;
        let step = (files.len() / SAMPLES).max(1);
        let first_bytes = files
            .into_iter()
            .step_by(step)
            .map(|node| first_byte(image, &report.path, node))
            .collect::<Fallible<_>>()?;
        fs::remove_file(report.path)?;
        Ok(Answers { open, first_bytes })
    }
}

/// Opened anew each time, so that no frame is in memory decoded.
fn first_byte(image: &Path, index: &Path, node: LowerNode) -> Fallible<Duration> {
    let begin = Instant::now();
    let opened = TarLower::open(image, index)?;
    opened.open(node)?.read_at(&mut [0], 0)?;
    Ok(begin.elapsed())
}

fn collect(layer: &TarLower, directory: LowerNode, files: &mut Vec<LowerNode>) -> Fallible<()> {
    let mut inner = Vec::new();
    layer.entries(directory, &mut |entry| match entry.kind {
        FileKind::Directory => inner.push(entry.node),
        FileKind::Regular => files.push(entry.node),
        _ => {}
    })?;
    inner
        .into_iter()
        .try_for_each(|node| collect(layer, node, files))
}

fn made(begin: Instant, image: &Path) -> Fallible<Made> {
    Ok(Made {
        time: begin.elapsed(),
        bytes: fs::metadata(image)?.len(),
    })
}
