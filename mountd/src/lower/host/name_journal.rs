//! What a daemon tells the one after it of the names in `table`.
//!
//! The calls that changed the table, in their order, to be made again:
//!
//! ```text
//! 1 learn     kind (1), number, parent (8 each), name
//! 2 forget    number
//! ```

use std::io;

use super::table::NodeTable;
use crate::error::FsError;
use crate::lower::LowerNode;
use crate::takeover::Journal;
use crate::types::FileKind;

const LEARN: u8 = 1;
const FORGET: u8 = 2;

/// About how many bytes a record takes.
const TYPICAL: u64 = 48;

/// The journal of a table.
#[derive(Debug)]
pub(super) struct NameJournal(Journal);

impl NameJournal {
    /// Makes the calls that `journal` tells of on `table`; then it can be added to.
    pub(super) fn inherit(journal: Journal, table: &NodeTable) -> io::Result<Self> {
        let mut damaged = false;
        journal.read(&mut |record| damaged |= repeat(record, table).is_none())?;
        if damaged {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what the daemon before noted of the host's names cannot be read",
            ));
        }
        Ok(Self(journal))
    }

    pub(super) fn learn(&self, node: LowerNode, parent: LowerNode, name: &[u8], kind: FileKind) {
        self.0
            .append(|buffer| encode_learn(buffer, node, parent, name, kind));
    }

    pub(super) fn forget(&self, node: LowerNode) {
        self.0.append(|buffer| encode_forget(buffer, node));
    }

    /// Whether it says much more than what is true of `nodes` nodes.
    pub(super) fn is_long(&self, nodes: usize) -> bool {
        self.0.is_long(nodes as u64 * TYPICAL)
    }

    /// Says anew what is true, as `table` tells it.
    pub(super) fn renew(&self, table: &NodeTable) {
        self.0.renew(|say| {
            let mut held = Vec::new();
            table.tell(&mut |node, found, known| {
                say(&|buffer| encode_learn(buffer, node, found.parent, &found.name, found.kind));
                if !known {
                    held.push(node);
                }
            });
            // Last: they are only kept for what is in them.
            for node in held {
                say(&|buffer| encode_forget(buffer, node));
            }
        });
    }
}

fn encode_learn(
    buffer: &mut Vec<u8>,
    node: LowerNode,
    parent: LowerNode,
    name: &[u8],
    kind: FileKind,
) {
    buffer.extend_from_slice(&[LEARN, kind as u8]);
    buffer.extend_from_slice(&node.0.to_ne_bytes());
    buffer.extend_from_slice(&parent.0.to_ne_bytes());
    buffer.extend_from_slice(name);
}

fn encode_forget(buffer: &mut Vec<u8>, node: LowerNode) {
    buffer.push(FORGET);
    buffer.extend_from_slice(&node.0.to_ne_bytes());
}

/// Makes the call of a record again; `None` if it makes no sense.
fn repeat(record: &[u8], table: &NodeTable) -> Option<()> {
    let (&tag, mut rest) = record.split_first()?;
    match tag {
        LEARN => {
            let (&kind, after) = rest.split_first()?;
            rest = after;
            let (node, parent) = (number(&mut rest)?, number(&mut rest)?);
            match table.learn(node, parent, rest, FileKind::from_code(kind)?) {
                // Directories that the host moved into each other: nothing leads to them any more.
                Ok(()) | Err(FsError::Stale) => Some(()),
                Err(_) => None,
            }
        }
        FORGET => {
            table.forget(number(&mut rest)?);
            Some(())
        }
        _ => None,
    }
}

fn number(bytes: &mut &[u8]) -> Option<LowerNode> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(LowerNode(u64::from_ne_bytes(*number)))
}
