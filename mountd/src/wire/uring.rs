//! FUSE over `io_uring`: rings that requests come from without a read and answers go to without
//! a write, served by threads that stay on the caller's processor.
//!
//! The kernel has one queue for each processor that there could ever be, and takes a request to
//! the queue of the processor that its caller runs on. Each queue is served by a few threads
//! pinned to that processor, each with a ring and one slot of its own: the kernel prefers the
//! slot that was used last, so one thread does all the work as long as nothing takes long, and
//! the others wait for the day when it copies a large file. Queues of processors that are not
//! there now are served too, for they may come; a thread for them alone would be wasted.
//!
//! Rings are made and tried out *before* the kernel is told that they are wanted, because from
//! then on it holds every request back until each queue has a slot. If it refuses a slot after
//! that, it goes on over the device by itself.
//!
//! A daemon that takes over from one that died finds its slots as that left them (see `slots`).
//! Requests that were in them are answered first, some of them a second time; slots without one
//! are registered anew. What the kernel queued meanwhile it hands on only when another request comes
//! to the queue: whoever started this daemon makes one.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::dispatch::Answerer;
use super::latency::{Counter, Keeper};
use super::slots;
use crate::overlay::Overlay;
use crate::sys::ring::{FuseRing, SlotMemory};
use crate::takeover::{Kept, Placing};
use crate::trail::Recorder;

/// Threads in all, unless there are so many processors that each has only its least.
const THREADS: usize = 8;
/// Least and most threads of one processor: less than two, and one slow request stops all others.
const THREADS_OF_ONE: (usize, usize) = (2, 4);

/// Niceness of the threads: before ordinary work, as the kernel's own side of a file system is.
const PRIORITY: i32 = -10;

/// How long to wait after the kernel could not do what it should, before it is asked again.
const PAUSE: Duration = Duration::from_millis(10);

/// What a thread needs to begin.
struct Start {
    device: OwnedFd,
    overlay: Arc<Overlay>,
    remember: Duration,
    recorder: Arc<Recorder>,
    counter: Option<Counter>,
    /// Another daemon served these slots before.
    takeover: bool,
}

#[derive(Debug)]
struct Worker {
    start: Sender<Start>,
    registered: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

/// Rings that were made and tried out, and the threads that have them.
#[derive(Debug)]
pub(crate) struct Rings {
    workers: Vec<Worker>,
}

/// Threads that answer requests until the mount is gone.
#[derive(Debug)]
pub(crate) struct Serving {
    threads: Vec<JoinHandle<()>>,
    keeper: Option<Keeper>,
}

impl Rings {
    /// Makes rings for all processors, for requests and answers of up to so many bytes. Returns
    /// what has to be known to make them again, too.
    ///
    /// # Errors
    /// If the kernel has no `io_uring` as it is needed, or does not allow it to us.
    pub(crate) fn prepare(
        lengths: (usize, usize),
        kept: &Kept,
    ) -> io::Result<(Self, Vec<Placing>)> {
        let placings = place()?;
        Ok((Self::prepare_again(lengths, kept, &placings)?, placings))
    }

    /// Makes those rings that another daemon had.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub(crate) fn prepare_again(
        lengths: (usize, usize),
        kept: &Kept,
        placings: &[Placing],
    ) -> io::Result<Self> {
        let memory = slots::memory(placings, lengths, kept)?;
        let mut workers = Vec::new();
        for (placing, slots) in placings.iter().zip(memory) {
            workers.push(Worker::spawn(placing.processor, slots)?);
        }
        for worker in &workers {
            worker.answer()?;
        }
        Ok(Self { workers })
    }

    /// Begins to serve the connection of `device`, over which the use of rings was agreed; in a
    /// `takeover`, goes on to.
    ///
    /// # Errors
    /// If the kernel cannot be told of a ring. It then waits for it: the mount is of no use.
    pub(crate) fn start(
        self,
        device: BorrowedFd<'_>,
        overlay: &Arc<Overlay>,
        remember: Duration,
        recorder: &Arc<Recorder>,
        takeover: bool,
    ) -> io::Result<Serving> {
        let keeper = Keeper::start(self.workers.len());
        for (number, worker) in self.workers.iter().enumerate() {
            let start = Start {
                device: device.try_clone_to_owned()?,
                overlay: Arc::clone(overlay),
                remember,
                recorder: Arc::clone(recorder),
                counter: keeper.as_ref().map(|keeper| keeper.counter(number)),
                takeover,
            };
            worker
                .start
                .send(start)
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        for worker in &self.workers {
            worker.answer()?;
        }
        let threads = self.workers.into_iter().map(|worker| worker.thread);
        Ok(Serving {
            threads: threads.collect(),
            keeper,
        })
    }
}

impl Serving {
    /// Waits for the end of all threads, which comes with that of the mount.
    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a thread that answered requests broke down");
            }
        }
        if let Some(keeper) = self.keeper {
            keeper.end();
        }
    }
}

impl Worker {
    fn spawn(processor: u16, slots: Vec<SlotMemory>) -> io::Result<Self> {
        let (start, started) = channel();
        let (tell, registered) = channel();
        let thread = thread::Builder::new()
            .name(format!("ring-{processor}"))
            .spawn(move || work(processor, slots, &started, &tell))?;
        Ok(Self {
            start,
            registered,
            thread,
        })
    }

    /// Waits for what the thread says of its last step.
    fn answer(&self) -> io::Result<()> {
        self.registered
            .recv()
            .map_err(|_| io::ErrorKind::BrokenPipe)?
    }
}

/// What a thread does: a ring is made, registered when all have theirs, and served.
fn work(
    processor: u16,
    slots: Vec<SlotMemory>,
    started: &Receiver<Start>,
    tell: &Sender<io::Result<()>>,
) {
    let mut here = CpuSet::new();
    if usize::from(processor) < CpuSet::MAX_CPU {
        here.set(usize::from(processor));
        if let Err(errno) = sched_setaffinity(None, &here) {
            log::debug!("cannot stay on processor {processor}: {errno}");
        }
    }
    // Who waits for an answer must not wait for a turn of the processor as well.
    if let Err(errno) = setpriority_process(None, PRIORITY) {
        log::debug!("cannot be preferred by the scheduler: {errno}");
    }
    // Nobody listens any more if another ring failed.
    let mut ring = match FuseRing::new(slots) {
        Ok(ring) => ring,
        Err(error) => return drop(tell.send(Err(error))),
    };
    if tell.send(Ok(())).is_err() {
        return;
    }
    let Ok(start) = started.recv() else { return };
    let answerer = Answerer {
        overlay: &start.overlay,
        remember: start.remember,
        recorder: &start.recorder,
        again: false,
    };
    let registered = begin(&mut ring, &start, answerer);
    let failed = registered.is_err();
    if tell.send(registered).is_err() || failed {
        return;
    }
    serve(&mut ring, answerer, start.counter.as_ref());
}

/// Gives the kernel all slots; those in which a request was left, with its answer.
fn begin(ring: &mut FuseRing, start: &Start, answerer: Answerer<'_>) -> io::Result<()> {
    ring.connect(start.device.try_clone()?);
    for slot in 0..ring.len() {
        if start.takeover {
            ring.inherit(slot);
            if let Some(buffers) = ring.buffers(slot)
                && let Some(unique) = slots::answer_again(buffers, answerer)
            {
                ring.commit(slot, unique)?;
                continue;
            }
            ring.disown(slot);
        }
        ring.register(slot)?;
    }
    ring.submit()
}

/// Serves a ring until the kernel has given up all of its slots.
fn serve(ring: &mut FuseRing, answerer: Answerer<'_>, counter: Option<&Counter>) {
    while ring.is_live() {
        if let Err(error) = ring.wait()
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::error!("io_uring: {error}");
            thread::sleep(PAUSE);
        }
        while let Some((slot, result)) = ring.next() {
            match result {
                Ok(()) => {
                    counter.into_iter().for_each(Counter::count);
                    serve_slot(ring, slot, answerer);
                }
                // How it says that the mount is gone.
                Err(Errno::NOTCONN | Errno::CANCELED | Errno::CONNABORTED) => {}
                // The answer was to a request that does not wait any more: of a daemon before us.
                Err(Errno::NOENT) => {
                    if let Err(error) = ring.register(slot) {
                        log::error!("a slot for requests is lost: {error}");
                    }
                }
                Err(errno) => log::warn!("the kernel gave up a slot for requests: {errno}"),
            }
        }
    }
}

fn serve_slot(ring: &mut FuseRing, slot: usize, answerer: Answerer<'_>) {
    let Some(buffers) = ring.buffers(slot) else {
        return;
    };
    let unique = slots::answer(buffers, answerer);
    if let Err(error) = ring.commit(slot, unique) {
        log::error!("cannot answer request {unique}: {error}");
    }
}

/// Who serves which queues.
fn place() -> io::Result<Vec<Placing>> {
    let online = processors("/sys/devices/system/cpu/online")?;
    let possible = processors("/sys/devices/system/cpu/possible")?;
    let (least, most) = THREADS_OF_ONE;
    let of_each = (THREADS / online.len().max(1)).clamp(least, most);
    let mut absent: Vec<u16> = possible;
    absent.retain(|processor| !online.contains(processor));
    let mut placings = Vec::new();
    for &processor in &online {
        for _ in 0..of_each {
            let mut queues = vec![processor];
            queues.append(&mut absent);
            placings.push(Placing { processor, queues });
        }
    }
    Ok(placings)
}

/// The processors of a list of the kernel's, such as `0-3,8`.
fn processors(path: &str) -> io::Result<Vec<u16>> {
    parse_processors(fs::read_to_string(path)?.trim())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path}: no list")))
}

fn parse_processors(text: &str) -> Option<Vec<u16>> {
    let mut processors = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        processors.extend(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?);
    }
    (!processors.is_empty()).then_some(processors)
}

#[cfg(test)]
mod tests {
    use super::parse_processors;

    #[test]
    fn lists_of_processors_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_processors("0"), Some(vec![0]));
        assert_eq!(parse_processors("0-2,5"), Some(vec![0, 1, 2, 5]));
        for bad in ["", "-", "a", "1-", "0,,1"] {
            assert_eq!(parse_processors(bad), None, "{bad:?}");
        }
    }
}
