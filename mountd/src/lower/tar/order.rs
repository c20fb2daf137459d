//! The order of the names in an index: by directory, then by bytes. What follows from it is filled into
//! the inodes: where directories begin, who is whose name, the counts of links.

use std::path::Path;

use super::format::{InodeRecord, NO_DENTRY};
use super::tree::{Name, Names, Numbers, ROOT, Tree};
use crate::types::FileKind;

/// A directory of up to so many names is sorted by a list of them in memory.
const SHORT: usize = 16 << 10;

/// The places of all names, in order.
pub(super) fn sorted_names(tree: &mut Tree) -> Numbers {
    let scratch = tree.scratch.clone();
    let mut order = by_directory(tree, scratch.as_deref());
    for number in ROOT..=tree.inodes.len() as u32 {
        if !tree.inodes.mode(number).is_some_and(is_directory) {
            continue;
        }
        if let Some(record) = tree.inodes.get(number) {
            sort(&tree.names, &mut order, record.data, record.count);
        }
    }
    link(tree, &order);
    order
}

/// Length of all names together.
pub(super) fn names_bytes(tree: &Tree) -> u64 {
    let names = tree.names.iter();
    names.map(|(_, name)| u64::from(name.bytes)).sum()
}

fn is_directory(mode: u16) -> bool {
    mode >> 12 == FileKind::Directory as u16
}

/// The names by directory, within one in the order in which they came. Sets where each begins.
fn by_directory(tree: &mut Tree, scratch: Option<&Path>) -> Numbers {
    let mut next = Numbers::zeros(scratch, tree.inodes.len() + 1);
    let mut start = 0;
    for number in ROOT..=tree.inodes.len() as u32 {
        next.set(number as usize, start);
        if tree.inodes.mode(number).is_some_and(is_directory) {
            tree.inodes.change(number, |directory| {
                directory.data = u64::from(start);
                start += directory.count;
            });
        }
    }
    let mut order = Numbers::zeros(scratch, tree.names.len());
    for (place, name) in tree.names.iter() {
        let slot = next.get(name.parent as usize).unwrap_or_default();
        order.set(slot as usize, place);
        next.set(name.parent as usize, slot + 1);
    }
    order
}

/// Sorts `count` names of a directory from `start` of the order on.
fn sort(names: &Names, order: &mut Numbers, start: u64, count: u32) {
    let places = start as usize..start as usize + count as usize;
    let text = |place: u32| names.get(place).map(|name| names.text(&name));
    let mut all: Vec<u32> = places.clone().filter_map(|at| order.get(at)).collect();
    if all.len() <= SHORT {
        let mut texts: Vec<_> = all.iter().map(|place| (text(*place), *place)).collect();
        texts.sort_unstable();
        for (slot, (_, place)) in places.zip(texts) {
            order.set(slot, place);
        }
    } else {
        all.sort_unstable_by_key(|place| text(*place));
        for (slot, place) in places.zip(all) {
            order.set(slot, place);
        }
    }
}

fn link(tree: &mut Tree, order: &Numbers) {
    let names_end = names_bytes(tree);
    for (at, place) in order.iter().enumerate() {
        let Some(Name { parent, inode, .. }) = tree.names.get(place) else {
            continue;
        };
        let Some(record) = tree.inodes.bytes_mut(inode) else {
            continue;
        };
        InodeRecord::add_link_in(record);
        InodeRecord::first_dentry_in(record, at as u32);
        if is_directory(InodeRecord::mode_in(record))
            && let Some(parent) = tree.inodes.bytes_mut(parent)
        {
            InodeRecord::add_link_in(parent);
        }
    }
    for number in ROOT..=tree.inodes.len() as u32 {
        let Some(bytes) = tree.inodes.bytes(number) else {
            continue;
        };
        let kind = InodeRecord::mode_in(bytes) >> 12;
        if InodeRecord::dentry_in(bytes) == NO_DENTRY && number != ROOT {
            // Replaced by a later entry: the number stays, unused.
            tree.inodes.change(number, |record| {
                *record = InodeRecord {
                    dentry: NO_DENTRY,
                    ..Default::default()
                };
            });
        } else if kind == FileKind::Directory as u16 {
            tree.inodes.change(number, |record| {
                // Its name, its own ".", and the ".." of its directories.
                record.nlink += if number == ROOT { 2 } else { 1 };
                record.size = 4096;
                record.blocks = 8;
            });
        } else if kind == FileKind::Symlink as u16 {
            tree.inodes
                .change(number, |record| record.data += names_end);
        }
    }
}
