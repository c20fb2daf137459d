//! Reading an image through, to see that all of it is as it was written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::zstd::zstd_safe::{DCtx, get_error_name};

use super::super::error::ImageError;
use super::super::image::Image;
use super::super::progress::Progress;
use super::embedded::{self, SeekEntry};

/// No frame of ours is longer, packed or not: what a table claims beyond that is not believed.
const FRAME_LIMIT: u32 = 64 << 20;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Frames that were decoded and whose checksums hold.
    pub frames: u64,
    /// Their length decoded.
    pub bytes: u64,
}

/// Decodes every frame of an image that `mksysb` wrote, and compares the checksums; `None` for
/// another image, which has none that are known here.
///
/// # Errors
/// `Corrupt` with the place of the first frame that does not hold, `Interrupted`, and those of
/// reading.
pub fn verify(
    image: &Path,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<Option<VerifyReport>, ImageError> {
    let opened = Image::open(image)?;
    let file = opened.main();
    let read = |error| ImageError::reading(image, error);
    let Some(table) = embedded::seek_entries(file).map_err(read)? else {
        return Ok(None);
    };
    progress.start(file.metadata().map_err(read)?.len());
    let result = check_all(image, file, &table, threads, progress);
    progress.finish();
    result.map(Some)
}

fn check_all(
    image: &Path,
    file: &File,
    table: &[SeekEntry],
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<VerifyReport, ImageError> {
    let next = AtomicUsize::new(0);
    let (answers, answered) = crossbeam::channel::bounded(2 * threads.max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (next, answers) = (&next, answers.clone());
            scope.spawn(move || {
                let mut context = DCtx::create();
                while let Some(entry) = table.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if answers
                        .send((entry, check(file, entry, &mut context)))
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(answers);
        // Owned here, so that an early return lets the threads end.
        let answered = answered;
        let mut report = VerifyReport {
            frames: 0,
            bytes: 0,
        };
        let mut packed = 0;
        for (entry, result) in &answered {
            result.map_err(|fault| fault.explain(image, entry.offset))?;
            report.frames += 1;
            report.bytes += u64::from(entry.plain);
            packed += u64::from(entry.packed);
            progress.advance(packed, report.frames);
            if progress.interrupted() {
                return Err(ImageError::Interrupted {
                    path: image.to_path_buf(),
                });
            }
        }
        Ok(report)
    })
}

enum Fault {
    Read(io::Error),
    Damaged(String),
}

impl Fault {
    fn explain(self, image: &Path, offset: u64) -> ImageError {
        match self {
            Self::Read(error) => ImageError::reading(image, error),
            Self::Damaged(why) => ImageError::Corrupt {
                path: image.to_path_buf(),
                offset,
                why,
                last_entry: "not known".to_owned(),
            },
        }
    }
}

fn check(file: &File, entry: &SeekEntry, context: &mut DCtx<'_>) -> Result<(), Fault> {
    if entry.packed > FRAME_LIMIT || entry.plain > FRAME_LIMIT {
        return Err(Fault::Damaged("a frame is too long".to_owned()));
    }
    let mut packed = vec![0; entry.packed as usize];
    file.read_exact_at(&mut packed, entry.offset)
        .map_err(Fault::Read)?;
    let mut plain = Vec::with_capacity(entry.plain as usize);
    let length = context
        .decompress(&mut plain, &packed)
        .map_err(|code| Fault::Damaged(format!("zstd says \"{}\"", get_error_name(code))))?;
    if length == entry.plain as usize {
        Ok(())
    } else {
        Err(Fault::Damaged("a frame has another length".to_owned()))
    }
}
