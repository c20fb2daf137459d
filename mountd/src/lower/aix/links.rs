//! Further names of a file that was in the archive before.

use std::collections::HashMap;

use crate::types::FileKind;

use super::header::NameHeader;

/// The first names of files that have several.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<(u32, u32, u32), (NameHeader, FileKind)>);

impl Links {
    /// The first name of the file that `header` names again; else it is noted down if it may be
    /// named again.
    pub(super) fn first_name(&mut self, header: &NameHeader, kind: FileKind) -> Option<Vec<u8>> {
        // Directories have numbers from the other end.
        let may_have_names =
            header.nlink > 1 && header.inode > 0 && header.inode <= i32::MAX as u32;
        if !may_have_names || kind == FileKind::Directory {
            return None;
        }
        let key = (header.device.0, header.device.1, header.inode);
        match self.0.get(&key) {
            Some((first, first_kind)) if *first_kind == kind && is_same(first, header) => {
                Some(first.name.clone())
            }
            _ => {
                self.0.insert(key, (header.clone(), kind));
                None
            }
        }
    }
}

fn is_same(one: &NameHeader, two: &NameHeader) -> bool {
    let facts = |header: &NameHeader| {
        (
            header.mode,
            header.uid,
            header.gid,
            header.size,
            header.rdev,
        )
    };
    facts(one) == facts(two)
}
