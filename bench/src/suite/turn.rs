//! One turn of one subject at one workload: the root, and what was measured.

use std::path::Path;
use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::Fallible;
use crate::subject::{Place, Raised, Shows, Subject};
use crate::workload::Scale;

/// One value that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The measure's name.
    pub(crate) what: &'static str,
    /// How much there was of what grows, in a curve.
    pub(crate) at: Option<u64>,
    /// Whose it is, if not the subject's whose turn it is.
    pub(crate) instead: Option<&'static str>,
    /// The value, in the unit of the measure.
    pub(crate) value: f64,
}

/// A root that was just raised over an empty store, and a place for what is measured of it.
pub(crate) struct Turn<'a> {
    subject: &'a dyn Subject,
    place: &'a Place,
    interrupt: &'a Interrupt,
    scale: Scale,
    /// `None` only while it is raised anew, and if that failed.
    raised: Option<Box<dyn Raised>>,
    samples: Vec<Sample>,
}

impl<'a> Turn<'a> {
    /// Raises the subject in its place.
    ///
    /// # Errors
    /// Those of [`Subject::raise`].
    pub(super) fn begin(
        subject: &'a dyn Subject,
        place: &'a Place,
        interrupt: &'a Interrupt,
        scale: Scale,
    ) -> Fallible<Self> {
        Ok(Self {
            subject,
            place,
            interrupt,
            scale,
            raised: Some(subject.raise(place)?),
            samples: Vec::new(),
        })
    }

    /// Takes the root down; answers what was measured.
    pub(super) fn end(self) -> Vec<Sample> {
        self.samples
    }

    /// The root directory.
    pub(crate) fn root(&self) -> &Path {
        self.raised.as_deref().map_or(Path::new(""), Raised::root)
    }

    /// The tree as an archive, if it is the archive that the subject shows.
    pub(crate) fn archive(&self) -> Option<&Path> {
        (self.subject.shows() == Shows::Archive).then_some(self.place.archive.as_path())
    }

    /// Name of the subject.
    pub(crate) fn subject(&self) -> &'static str {
        self.subject.name()
    }

    /// Memory of the processes that serve the root, in bytes ([`Raised::memory`]).
    pub(crate) fn memory(&self) -> Option<u64> {
        self.raised.as_deref().and_then(Raised::memory)
    }

    /// Does something to the root, and answers how long it took.
    ///
    /// # Errors
    /// Those of `what`.
    pub(crate) fn time<T>(
        &mut self,
        what: impl FnOnce(&Path) -> Fallible<T>,
    ) -> Fallible<(T, Duration)> {
        self.check()?;
        let root = self.root().to_owned();
        let begin = Instant::now();
        let done = what(&root)?;
        Ok((done, begin.elapsed()))
    }

    /// Notes a value of a measure.
    pub(crate) fn note(&mut self, what: &'static str, value: f64) {
        self.add(what, None, None, value);
    }

    /// Notes a value of a measure where there was `at` of what grows: one point of a curve.
    pub(crate) fn note_at(&mut self, what: &'static str, at: u64, value: f64) {
        self.add(what, Some(at), None, value);
    }

    /// Notes a value of a measure for something that is no subject, as the archive itself.
    pub(crate) fn note_for(&mut self, subject: &'static str, what: &'static str, value: f64) {
        self.add(what, None, Some(subject), value);
    }

    fn add(
        &mut self,
        what: &'static str,
        at: Option<u64>,
        instead: Option<&'static str>,
        value: f64,
    ) {
        self.samples.push(Sample {
            what,
            at,
            instead,
            value,
        });
    }

    /// Mounts it anew: what was written is there, what the mount had in memory is not. The page
    /// cache of the lower stays as it is. Answers how long the mounting took.
    ///
    /// # Errors
    /// Those of [`Subject::raise`].
    pub(crate) fn fresh(&mut self) -> Fallible<Duration> {
        self.check()?;
        self.raised = None;
        let begin = Instant::now();
        self.raised = Some(self.subject.raise(self.place)?);
        Ok(begin.elapsed())
    }

    /// Begins from nothing: all that the subject has made for itself, as a copy or an index, is
    /// removed and made again. Answers how long the making took. For workloads that say that they
    /// cool ([`Needs::cools`](crate::workload::Needs)) and do not write.
    ///
    /// # Errors
    /// Those of [`Subject::clear`] and [`Subject::raise`].
    pub(crate) fn anew(&mut self) -> Fallible<Duration> {
        self.check()?;
        self.raised = None;
        self.subject.clear(self.place)?;
        let begin = Instant::now();
        self.raised = Some(self.subject.raise(self.place)?);
        Ok(begin.elapsed())
    }

    /// Mounts it anew with nothing in any cache of this machine. For small trees the caches are let
    /// alone: a test has no business with them.
    ///
    /// # Errors
    /// As [`Turn::fresh`]; or that the caches cannot be dropped.
    pub(crate) fn cold(&mut self) -> Fallible<()> {
        self.check()?;
        self.raised = None;
        if self.scale == Scale::Full {
            rustix::fs::sync();
            std::fs::write("/proc/sys/vm/drop_caches", "3")
                .map_err(|error| format!("cannot drop the caches of this machine: {error}"))?;
        }
        self.raised = Some(self.subject.raise(self.place)?);
        Ok(())
    }

    /// That the user has not asked for the end; for long workloads, in between.
    ///
    /// # Errors
    /// He has.
    pub(crate) fn check(&self) -> Fallible<()> {
        self.interrupt.check()
    }
}

/// Microseconds for each of `count` operations.
pub(crate) fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// Gigabytes each second.
pub(crate) fn rate(time: Duration, bytes: u64) -> f64 {
    bytes as f64 / 1e9 / time.as_secs_f64().max(1e-9)
}
