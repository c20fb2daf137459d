//! One `io_uring` whose entries are places for requests of a FUSE connection.
//!
//! A place (a *slot*) has two buffers, one for headers and one for the payload. It belongs either
//! to the kernel, which fills it with a request whenever it likes, or to this process, from the
//! completion that announces the request until [`FuseRing::commit`] gives it back with the
//! answer. Buffers can be looked at only while the slot is ours; they are freed only when the
//! kernel has given up every slot for good.
//!
//! The buffers lie in memory that outlives the process (`shared`). If it dies, the request in a
//! slot is still there: the next process takes it with [`FuseRing::inherit`], and the kernel
//! finds the answer where it expects it.
//!
//! A request that the kernel hands to a slot is copied by the slot's thread, on its way back from
//! a wait. A thread that is killed before would be asked to copy when it no longer can, and the
//! request would be lost, unless the kernel cancels what the ring waits for early in the thread's
//! end, which it does for a ring that refers to another one. So each ring watches a second one
//! (the *anchor*) on which nothing ever happens.
//!
//! Protocol: `Documentation/filesystems/fuse/fuse-io-uring.rst` of the kernel.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::squeue::Entry128;
use io_uring::{IoUring, cqueue, opcode, types};
use rustix::io::Errno;

use super::shared::SharedPart;

/// Length of `struct fuse_uring_req_header`: request or answer header, fields of the operation,
/// and `struct fuse_uring_ent_in_out`.
pub(crate) const HEADERS: usize = 128 + 128 + 32;

/// `FUSE_IO_URING_CMD_REGISTER`: a slot is there.
const REGISTER: u32 = 1;
/// `FUSE_IO_URING_CMD_COMMIT_AND_FETCH`: an answer is there, and the slot free for the next request.
const COMMIT_AND_FETCH: u32 = 2;

/// Where `len` stands in a submission (`struct io_uring_sqe`), in units of four bytes.
const LENGTH_FIELD: usize = 6;

/// Completion of the trial that [`FuseRing::new`] makes.
const TRIAL: u64 = u64::MAX;
/// Completion of the watch over the anchor, which never comes.
const ANCHOR: u64 = u64::MAX - 1;

/// The memory of a slot; see `crate::takeover` for its parts.
#[derive(Debug)]
pub(crate) struct SlotMemory {
    /// Which of the kernel's queues it takes requests from.
    pub(crate) queue: u16,
    /// Notes for the next process.
    pub(crate) notes: SharedPart,
    /// For the kernel: at least [`HEADERS`] bytes.
    pub(crate) headers: SharedPart,
    /// Where an answer is made that would overwrite its request.
    pub(crate) staging: SharedPart,
    /// For the kernel.
    pub(crate) payload: SharedPart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Not registered, or given up by the kernel for good.
    Nobody,
    Kernel,
    Us,
}

#[derive(Debug)]
struct Slot {
    memory: SlotMemory,
    /// The kernel reads it when the slot is registered.
    buffers: Box<[libc::iovec; 2]>,
    owner: Owner,
}

/// The ring of one thread. See the module.
pub(crate) struct FuseRing {
    ring: IoUring<Entry128, cqueue::Entry>,
    anchor: IoUring,
    device: Option<OwnedFd>,
    slots: ManuallyDrop<Vec<Slot>>,
}

/// The buffers of a slot that is ours.
#[derive(Debug)]
pub(crate) struct Buffers<'a> {
    pub(crate) notes: &'a SharedPart,
    pub(crate) headers: &'a mut [u8],
    pub(crate) staging: &'a mut [u8],
    pub(crate) payload: &'a mut [u8],
}

impl FuseRing {
    /// Makes a ring with these slots and tries it out. It may only be used by the thread that
    /// made it.
    ///
    /// # Errors
    /// Those of the kernel, which may be too old, or not allow it.
    pub(crate) fn new(slots: Vec<SlotMemory>) -> io::Result<Self> {
        // All slots, and the anchor.
        let entries = u32::try_from(slots.len().saturating_add(1).max(2)).unwrap_or(u32::MAX);
        let mut builder = IoUring::<Entry128, cqueue::Entry>::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        let ring = builder.build(entries.next_power_of_two())?;
        let slots = slots.into_iter().map(|memory| Slot {
            buffers: Box::new([&memory.headers, &memory.payload].map(SharedPart::vector)),
            memory,
            owner: Owner::Nobody,
        });
        let mut made = Self {
            ring,
            anchor: IoUring::new(1)?,
            device: None,
            slots: ManuallyDrop::new(slots.collect()),
        };
        made.try_out()?;
        made.watch_anchor()?;
        Ok(made)
    }

    fn watch_anchor(&mut self) -> io::Result<()> {
        let anchor = types::Fd(self.anchor.as_raw_fd());
        let watch = opcode::PollAdd::new(anchor, libc::POLLIN as u32).build();
        self.push(&Entry128::from(watch.user_data(ANCHOR)))?;
        self.ring.submit().map(drop)
    }

    fn try_out(&mut self) -> io::Result<()> {
        self.push(&Entry128::from(opcode::Nop::new().build().user_data(TRIAL)))?;
        self.ring.submit_and_wait(1)?;
        match self.ring.completion().next() {
            Some(done) if done.user_data() == TRIAL && done.result() == 0 => Ok(()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whose connection `device` is: before anything else is done with slots.
    pub(crate) fn connect(&mut self, device: OwnedFd) {
        self.device = Some(device);
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Tells the kernel of a slot, which from now on is its.
    ///
    /// # Errors
    /// If the kernel could not be told. What it thinks of it, it says as a completion.
    pub(crate) fn register(&mut self, index: usize) -> io::Result<()> {
        let device = self.device.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let number = device.as_raw_fd();
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.owner == Owner::Nobody)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let command = command(number, REGISTER, slot.memory.queue, 0)
            .addr(Some(slot.buffers.as_ptr().addr() as u64));
        let mut entry = command.build().user_data(index as u64);
        let length = (&raw mut entry).cast::<u32>().wrapping_add(LENGTH_FIELD);
        // SAFETY: an `Entry128` is the kernel's `struct io_uring_sqe` of 128 bytes, aligned to
        // eight; its `len`, which the builder has no name for, is the 32-bit field at byte 24.
        unsafe { length.write(2) };
        slot.owner = Owner::Kernel;
        self.push(&entry)?;
        self.ring.submit().map(drop)
    }

    /// Takes a slot that nobody has as ours, with what a process before this one left in it. Given
    /// back by [`Self::commit`], the kernel takes the answer, or refuses it with `NOENT`, if the
    /// request is none that waits.
    pub(crate) fn inherit(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && slot.owner == Owner::Nobody
        {
            slot.owner = Owner::Us;
        }
    }

    /// Takes back [`Self::inherit`]: there was nothing in the slot.
    pub(crate) fn disown(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && slot.owner == Owner::Us
        {
            slot.owner = Owner::Nobody;
        }
    }

    /// Hands all commits to the kernel, without waiting.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)`.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        self.ring.submit().map(drop)
    }

    /// Gives a slot that is ours back to the kernel, its buffers holding the answer to request
    /// `unique`. Takes effect with the next [`Self::wait`].
    ///
    /// # Errors
    /// If the slot is not ours, or the ring is full, which it never is.
    pub(crate) fn commit(&mut self, index: usize, unique: u64) -> io::Result<()> {
        let device = self.device.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let number = device.as_raw_fd();
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.owner == Owner::Us);
        let slot = slot.ok_or(io::ErrorKind::InvalidInput)?;
        slot.owner = Owner::Kernel;
        let command = command(number, COMMIT_AND_FETCH, slot.memory.queue, unique);
        self.push(&command.build().user_data(index as u64))
    }

    fn push(&mut self, entry: &Entry128) -> io::Result<()> {
        // SAFETY: the entry is a trial without buffers, or names the buffers of a slot, which
        // live as long as the kernel may use them (see `drop`), and of which no reference exists
        // while the slot is the kernel's; the descriptor in it is open as long as the ring.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Hands all commits to the kernel and waits until something was completed.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)`, also that it was interrupted.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.ring.submit_and_wait(1).map(drop)
    }

    /// The next completion: a slot that now is ours and holds a request, or, with an error, one
    /// that the kernel gave up.
    pub(crate) fn next(&mut self) -> Option<(usize, Result<(), Errno>)> {
        let done = self.ring.completion().next()?;
        let index = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
        let result = match done.result() {
            0.. => Ok(()),
            error => Err(Errno::from_raw_os_error(error.saturating_neg())),
        };
        if let Some(slot) = self.slots.get_mut(index) {
            slot.owner = if result.is_ok() {
                Owner::Us
            } else {
                Owner::Nobody
            };
        }
        Some((index, result))
    }

    /// The buffers of a slot, if it is ours.
    pub(crate) fn buffers(&mut self, index: usize) -> Option<Buffers<'_>> {
        let slot = self.slots.get_mut(index)?;
        (slot.owner == Owner::Us).then(|| Buffers {
            notes: &slot.memory.notes,
            headers: slot.memory.headers.bytes(),
            staging: slot.memory.staging.bytes(),
            payload: slot.memory.payload.bytes(),
        })
    }

    /// Whether a slot is left that a request can come from.
    pub(crate) fn is_live(&self) -> bool {
        self.slots.iter().any(|slot| slot.owner != Owner::Nobody)
    }
}

/// A command of the FUSE device, with `struct fuse_uring_cmd_req` as its data.
fn command(device: i32, code: u32, queue: u16, unique: u64) -> opcode::UringCmd80 {
    let mut data = [0; 80];
    data[8..16].copy_from_slice(&unique.to_ne_bytes());
    data[16..18].copy_from_slice(&queue.to_ne_bytes());
    opcode::UringCmd80::new(types::Fd(device), code).cmd(data)
}

impl Drop for FuseRing {
    fn drop(&mut self) {
        // The kernel might still write to a slot that it has: better lost than freed.
        if !self.is_live() {
            // SAFETY: this is the only place that takes the slots out, and it runs once; the
            // kernel has given all of them up, so nobody but us knows their buffers.
            unsafe { ManuallyDrop::drop(&mut self.slots) };
        }
    }
}
