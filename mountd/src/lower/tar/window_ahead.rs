//! The next window of a plain archive, read by a thread of its own while the last one is looked
//! through: copying it out of the page cache, or waiting for the disk, is a third of the work.

use std::fs::File;
use std::io;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::source::Stretch;

/// A window that was read: where it begins, how much of the buffer it fills.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) filled: io::Result<usize>,
    pub(super) buffer: Box<[u8]>,
}

/// A thread that reads windows. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct WindowAhead {
    wanted: Option<Sender<(u64, Box<[u8]>)>>,
    read: Receiver<Window>,
    thread: Option<JoinHandle<()>>,
    /// Where the window begins that was asked for and is not answered.
    asked: Option<u64>,
    /// What a window is read into that nobody waits for.
    spare: Option<Box<[u8]>>,
}

impl WindowAhead {
    /// For windows of `length` bytes of `stored`.
    ///
    /// # Errors
    /// If there can be no other descriptor of the file, or no thread.
    pub(super) fn start(stored: Stretch<'_>, length: usize) -> io::Result<Self> {
        let (file, start, bytes) = stored.place();
        let file = file.try_clone()?;
        let (wanted, wishes) = bounded(1);
        let (answers, read) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("windows".to_owned())
            .spawn(move || serve(&file, (start, bytes), &wishes, &answers))?;
        Ok(Self {
            wanted: Some(wanted),
            read,
            thread: Some(thread),
            asked: None,
            spare: Some(vec![0; length].into()),
        })
    }

    /// Asks for the window at `start`; does nothing while another one is on its way.
    pub(super) fn ask(&mut self, start: u64) {
        if self.asked.is_some() {
            return;
        }
        if let (Some(wanted), Some(buffer)) = (&self.wanted, self.spare.take())
            && wanted.send((start, buffer)).is_ok()
        {
            self.asked = Some(start);
        }
    }

    /// The window that was asked for, if it has the byte at `offset`. One that does not was read in
    /// vain.
    pub(super) fn take(&mut self, offset: u64) -> Option<Window> {
        self.asked.take()?;
        let window = self.read.recv().ok()?;
        let filled = *window.filled.as_ref().unwrap_or(&0) as u64;
        if (window.start..window.start.saturating_add(filled)).contains(&offset) {
            return Some(window);
        }
        self.spare = Some(window.buffer);
        None
    }

    /// Gives a buffer back, for the next window.
    pub(super) fn recycle(&mut self, buffer: Box<[u8]>) {
        self.spare = Some(buffer);
    }
}

impl Drop for WindowAhead {
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    file: &File,
    (start, bytes): (u64, u64),
    wishes: &Receiver<(u64, Box<[u8]>)>,
    answers: &Sender<Window>,
) {
    let stored = Stretch::new(file, start, bytes);
    for (start, mut buffer) in wishes {
        let filled = stored.read(&mut buffer, start);
        let window = Window {
            start,
            filled,
            buffer,
        };
        if answers.send(window).is_err() {
            return;
        }
    }
}
