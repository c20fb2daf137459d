//! One large file: read from one end to the other, here and there, and through a mapping.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::archive::Numbers;
use crate::suite::target::Target;
use crate::suite::turn::{each, rate};
use crate::{machine, sys};

/// Bytes of one read.
const CHUNK: usize = 1 << 20;
/// Name of the file.
const NAME: &str = "large";
/// In the place of a subject: the archive, read by itself.
const ARCHIVE: &str = "archive";

/// How it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Sequential,
    Random,
    Mapped,
}

/// A large file, read.
pub(crate) struct ReadLarge {
    how: How,
    bytes: u64,
    reads: u64,
}

impl ReadLarge {
    fn new(how: How, scale: Scale) -> Self {
        Self {
            how,
            // The tree, its archive, its copy and what is cached of a mount must fit in memory.
            bytes: scale
                .of(machine::memory_bytes() / 16, 16 << 20)
                .min(1 << 30)
                / 4096
                * 4096,
            reads: scale.of(50_000, 1000),
        }
    }

    /// From one end to the other.
    pub(crate) fn sequential(scale: Scale) -> Self {
        Self::new(How::Sequential, scale)
    }

    /// 4 KiB here and there.
    pub(crate) fn random(scale: Scale) -> Self {
        Self::new(How::Random, scale)
    }

    /// Mapped.
    pub(crate) fn mapped(scale: Scale) -> Self {
        Self::new(How::Mapped, scale)
    }

    fn read_whole(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again", "cold"] {
            if what == "cold" {
                turn.cold()?;
            }
            let (bytes, time) = turn.time(|root| read(&root.join(NAME)))?;
            self.check(bytes)?;
            turn.note(what, rate(time, bytes));
        }
        // What can be had at most of an archive: all of it, from one end to the other.
        let Some(archive) = turn.archive().map(Path::to_owned) else {
            return Ok(());
        };
        if turn.subject() == "ours-tar" {
            turn.cold()?;
            for whats in [&["cold"][..], &["first", "again"]] {
                let (bytes, time) = turn.time(|_| read(&archive))?;
                for what in whats {
                    turn.note_for(ARCHIVE, what, rate(time, bytes));
                }
            }
        }
        Ok(())
    }

    fn read_at_random(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let ((), time) = turn.time(|root| {
                let file = File::open(root.join(NAME))?;
                let mut numbers = Numbers(3);
                let mut space = [0; 4096];
                for _ in 0..self.reads {
                    file.read_exact_at(&mut space, numbers.below(self.bytes / 4096) * 4096)?;
                }
                Ok(())
            })?;
            turn.note(what, each(time, self.reads));
        }
        Ok(())
    }

    fn read_mapped(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let ((_, bytes), time) =
                turn.time(|root| Ok(sys::touch(&File::open(root.join(NAME))?)?))?;
            self.check(bytes)?;
            turn.note(what, rate(time, bytes));
        }
        Ok(())
    }

    fn check(&self, bytes: u64) -> Fallible<()> {
        match bytes == self.bytes {
            true => Ok(()),
            false => Err(format!("{bytes} of {} bytes were read", self.bytes).into()),
        }
    }
}

/// Reads a file from one end to the other; its length.
fn read(path: &Path) -> Fallible<u64> {
    let mut file = File::open(path)?;
    let mut space = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match file.read(&mut space)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

impl Workload for ReadLarge {
    fn name(&self) -> &'static str {
        match self.how {
            How::Sequential => "read",
            How::Random => "random",
            How::Mapped => "mmap",
        }
    }

    fn group(&self) -> &'static str {
        "data"
    }

    fn about(&self) -> String {
        let mib = self.bytes >> 20;
        match self.how {
            How::Sequential => format!(
                "a file of {mib} MiB is read from one end to the other, 1 MiB at a time; cold: \
                 nothing is in the page cache; archive: the whole archive is read by itself"
            ),
            How::Random => format!(
                "4 KiB of a file of {mib} MiB are read, {} times here and there",
                self.reads
            ),
            How::Mapped => {
                format!("a file of {mib} MiB is mapped, and one byte of each page looked at")
            }
        }
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            cools: self.how == How::Sequential,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let (unit, like_native) = match self.how {
            How::Random => (Unit::Microseconds, Target::at_most(1.05, "native")),
            _ => (Unit::GigabytesPerSecond, Target::at_least(0.95, "native")),
        };
        let measure = |what, of_archive| {
            let measure = Measure::new(what, unit).target(like_native.clone());
            match self.how {
                How::Sequential => {
                    measure.target(Target::at_least(of_archive, ARCHIVE).of("ours-tar"))
                }
                _ => measure,
            }
        };
        let mut measures = vec![measure("first", 0.95), measure("again", 0.95)];
        if self.how == How::Sequential {
            measures.push(measure("cold", 0.8));
        }
        measures
    }

    fn tree(&self) -> String {
        "large".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        let mut numbers = Numbers(5);
        let mut chunk: Vec<u8> = (0..CHUNK).map(|_| numbers.below(256) as u8).collect();
        let mut file = BufWriter::new(File::create(tree.join(NAME))?);
        let mut left = self.bytes;
        while left > 0 {
            // No two chunks are the same.
            if let Some(place) = chunk.first_chunk_mut() {
                *place = left.to_le_bytes();
            }
            let length = left.min(CHUNK as u64);
            file.write_all(chunk.get(..usize::try_from(length)?).unwrap_or_default())?;
            left -= length;
        }
        Ok(file.flush()?)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        match self.how {
            How::Sequential => self.read_whole(turn),
            How::Random => self.read_at_random(turn),
            How::Mapped => self.read_mapped(turn),
        }
    }
}
