//! What a daemon tells the one after it of the inodes that the kernel knows.
//!
//! Only of those whose numbers do not say it all: where the store has an inode, and how often the
//! kernel looked it up. Each record says what is true from now on, so the last one counts:
//!
//! ```text
//! 1 node    flags (1), number, lookups, lower, parent (8 each), name
//! 2 count   number, lookups
//! 3 gone    number
//! 4 move    thread (4), request, number, parent (8 each), name
//! ```
//!
//! A *move* is said before a rename, the others after what they tell of. So whoever takes over
//! looks for the inodes of the last move of each thread, and everything else is found where it is
//! said to be, or among the inodes without a name.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::node::{Node, Place};
use crate::lower::LowerNode;
use crate::takeover::Journal;
use crate::types::Ino;

const NODE: u8 = 1;
const COUNT: u8 = 2;
const GONE: u8 = 3;
const MOVE: u8 = 4;

const REMOVED: u8 = 1;
const HAS_LOWER: u8 = 2;
/// Above this many bits of the flags is the kind of place: 0 is none.
const PLACE: u32 = 2;

/// About how many bytes a record of a node takes.
const TYPICAL: u64 = 80;

/// The journal of a node table.
#[derive(Debug)]
pub(super) struct NodeJournal {
    journal: Journal,
    /// As [`Inheritance::moves`], to be said again.
    moves: Mutex<HashMap<u32, Move>>,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// Inodes and how often they were looked up.
    pub(super) nodes: HashMap<Ino, (Node, u64)>,
    /// The last move of each thread, two of an exchange.
    pub(super) moves: HashMap<u32, Move>,
}

/// A rename that was about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    /// Number of the kernel's request.
    pub(super) request: u64,
    /// What moves.
    pub(super) ino: Ino,
    /// The directory that it gets to.
    pub(super) parent: Ino,
    /// Its name there.
    pub(super) name: Box<[u8]>,
}

impl NodeJournal {
    /// Reads what `journal` says, which then can be added to.
    pub(super) fn inherit(journal: Journal) -> io::Result<(Self, Inheritance)> {
        let mut inheritance = Inheritance::default();
        let mut damaged = false;
        journal.read(&mut |record| damaged |= inheritance.hear(record).is_none())?;
        if damaged {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what the daemon before noted of inodes cannot be read",
            ));
        }
        let moves = Mutex::default();
        Ok((Self { journal, moves }, inheritance))
    }

    pub(super) fn node(&self, ino: Ino, node: &Node, lookups: u64) {
        self.journal
            .append(|buffer| encode(buffer, ino, node, lookups));
    }

    pub(super) fn count(&self, ino: Ino, lookups: u64) {
        self.journal
            .append(|buffer| put(buffer, COUNT, &[ino.0, lookups]));
    }

    pub(super) fn gone(&self, ino: Ino) {
        self.journal.append(|buffer| put(buffer, GONE, &[ino.0]));
    }

    /// Says a move; `which` of the two of an exchange.
    pub(super) fn announce(&self, planned: &Move, which: bool) {
        let thread = thread_number() * 2 + u32::from(which);
        self.moves.lock().insert(thread, planned.clone());
        self.journal
            .append(|buffer| encode_move(buffer, thread, planned));
    }

    /// Whether it says much more than what is true of `nodes` inodes.
    pub(super) fn is_long(&self, nodes: usize) -> bool {
        self.journal.is_long(nodes as u64 * TYPICAL)
    }

    /// Says anew what is true: all of `nodes`, with their lookups, and what is being moved.
    pub(super) fn renew<'a>(&self, nodes: impl Iterator<Item = (Ino, &'a Node, u64)>) {
        let moves = self.moves.lock();
        self.journal.renew(|say| {
            for (ino, node, lookups) in nodes {
                say(&|buffer| encode(buffer, ino, node, lookups));
            }
            for (&thread, planned) in &*moves {
                say(&|buffer| encode_move(buffer, thread, planned));
            }
        });
    }
}

/// A number for this thread, small and its own.
fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: u32 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

fn put(buffer: &mut Vec<u8>, tag: u8, numbers: &[u64]) {
    buffer.push(tag);
    for number in numbers {
        buffer.extend_from_slice(&number.to_ne_bytes());
    }
}

fn encode_move(buffer: &mut Vec<u8>, thread: u32, planned: &Move) {
    buffer.push(MOVE);
    buffer.extend_from_slice(&thread.to_ne_bytes());
    for number in [planned.request, planned.ino.0, planned.parent.0] {
        buffer.extend_from_slice(&number.to_ne_bytes());
    }
    buffer.extend_from_slice(&planned.name);
}

fn encode(buffer: &mut Vec<u8>, ino: Ino, node: &Node, lookups: u64) {
    let (place, parent, name): (u8, u64, &[u8]) = match &node.place {
        None => (0, 0, b""),
        Some(Place::Root) => (1, 0, b""),
        Some(Place::Named { parent, name }) => (2, parent.0, name),
        Some(Place::Linked) => (3, 0, b""),
        Some(Place::Orphan) => (4, 0, b""),
    };
    let mut flags = place << PLACE;
    if node.removed {
        flags |= REMOVED;
    }
    if node.lower.is_some() {
        flags |= HAS_LOWER;
    }
    buffer.extend_from_slice(&[NODE, flags]);
    let lower = node.lower.map_or(0, |lower| lower.0);
    for number in [ino.0, lookups, lower, parent] {
        buffer.extend_from_slice(&number.to_ne_bytes());
    }
    buffer.extend_from_slice(name);
}

impl Inheritance {
    /// Takes a record in; `None` if it makes no sense.
    fn hear(&mut self, record: &[u8]) -> Option<()> {
        let (&tag, mut rest) = record.split_first()?;
        match tag {
            NODE => {
                let (&flags, after) = rest.split_first()?;
                rest = after;
                let ino = Ino(number(&mut rest)?);
                let lookups = number(&mut rest)?;
                let lower = LowerNode(number(&mut rest)?);
                let parent = Ino(number(&mut rest)?);
                let place = match flags >> PLACE {
                    0 => None,
                    1 => Some(Place::Root),
                    2 => Some(Place::Named {
                        parent,
                        name: rest.into(),
                    }),
                    3 => Some(Place::Linked),
                    4 => Some(Place::Orphan),
                    _ => return None,
                };
                let node = Node {
                    lower: (flags & HAS_LOWER != 0).then_some(lower),
                    place,
                    removed: flags & REMOVED != 0,
                };
                self.nodes.insert(ino, (node, lookups));
            }
            COUNT => {
                let ino = Ino(number(&mut rest)?);
                let lookups = number(&mut rest)?;
                self.nodes.get_mut(&ino)?.1 = lookups;
            }
            GONE => {
                self.nodes.remove(&Ino(number(&mut rest)?));
            }
            MOVE => {
                let (thread, after) = rest.split_first_chunk()?;
                rest = after;
                let planned = Move {
                    request: number(&mut rest)?,
                    ino: Ino(number(&mut rest)?),
                    parent: Ino(number(&mut rest)?),
                    name: rest.into(),
                };
                self.moves.insert(u32::from_ne_bytes(*thread), planned);
            }
            _ => return None,
        }
        Some(())
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_ne_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::takeover::Kept;

    fn node(place: Option<Place>) -> Node {
        Node {
            lower: Some(LowerNode(7)),
            place,
            removed: true,
        }
    }

    #[test]
    fn the_last_that_was_said_counts() {
        let kept = Kept::new().unwrap();
        let (journal, before) = NodeJournal::inherit(kept.nodes(0).unwrap()).unwrap();
        assert!(before.nodes.is_empty() && before.moves.is_empty());
        let named = Place::Named {
            parent: Ino(1),
            name: b"name".as_slice().into(),
        };
        let places = [
            None,
            Some(Place::Root),
            Some(named),
            Some(Place::Linked),
            Some(Place::Orphan),
        ];
        for (number, place) in (10..).zip(places.clone()) {
            journal.node(Ino(number), &node(place), 1);
        }
        journal.count(Ino(12), 5);
        journal.node(Ino(99), &node(None), 1);
        journal.gone(Ino(99));
        let planned = |request| Move {
            request,
            ino: Ino(12),
            parent: Ino(1),
            name: b"to".as_slice().into(),
        };
        for request in 1..4 {
            journal.announce(&planned(request), false);
        }
        journal.announce(&planned(3), true);
        let (_, after) = NodeJournal::inherit(kept.nodes(0).unwrap()).unwrap();
        assert_eq!(after.nodes.len(), places.len());
        for (number, place) in (10..).zip(places) {
            let lookups = if number == 12 { 5 } else { 1 };
            assert_eq!(after.nodes[&Ino(number)], (node(place), lookups));
        }
        let mut moves: Vec<_> = after.moves.into_values().collect();
        moves.dedup();
        assert_eq!(moves, [planned(3)], "both of the exchange, the last only");
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        for bad in [&[NODE][..], &[NODE, 31 << PLACE], &[COUNT, 1], &[9; 20]] {
            let kept = Kept::new().unwrap();
            let journal = kept.nodes(0).unwrap();
            journal.read(&mut |_| {}).unwrap();
            journal.append(|buffer| buffer.extend_from_slice(bad));
            assert!(
                NodeJournal::inherit(kept.nodes(0).unwrap()).is_err(),
                "{bad:?}"
            );
        }
    }
}
