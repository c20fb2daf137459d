//! Hydration of a whole tree: when it is wanted, in which order, how far it is.
//!
//! A copy of a living system shows what that changes later. Hydration brings everything that can be
//! seen into the store, file by file, in the background; then nothing of the lower is seen any more.
//! What makes one name independent of the lower is [`crate::overlay::Hydrator`]; here is
//! * [`note`]: the two notes in the store, the [`Wish`] of the user and the [`Progress`] of the worker;
//! * [`walk`]: which names come next;
//! * [`work()`]: the work from its beginning, or from where it was interrupted, to its end;
//! * [`service`]: the thread of a daemon that does it as long as it is wanted.
//!
//! Nothing has to be repeated after a crash at any instruction: what is in the store is, and the walk
//! finds what is not. The notes only tell.

pub mod note;
pub mod service;
mod walk;
mod work;

#[cfg(test)]
mod tests;

pub use note::{Progress, State, Wish};
pub use work::{Ended, work};

use crate::overlay::Overlay;
use crate::types::Ino;

/// Gives back what was looked up and let go since.
fn settle(overlay: &Overlay) {
    overlay.forget(Ino::ROOT, 0);
}
