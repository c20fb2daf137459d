//! Programs that give who runs them other rights: set-user-ID, set-group-ID, file capabilities.

use wpar_mountd::types::FileKind;

use super::capability;
use super::files::{Aspect, FileChange, FileState};

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;

/// A program whose privileges are different, or a privileged one with other contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivilegeChange {
    /// Its path, without a leading `/`.
    pub path: Vec<u8>,
    /// What it gives in A, such as `set-user-ID 0`; `None` if nothing.
    pub before: Option<String>,
    /// What it gives in B.
    pub after: Option<String>,
    /// Whether its contents are others, and no change of its package explains that.
    pub contents: bool,
    /// The package that it belongs to.
    pub package: Option<String>,
}

pub(super) fn compare(files: &[FileChange]) -> Vec<PrivilegeChange> {
    let change = |file: &FileChange| {
        let before = file.before.as_ref().and_then(privileges);
        let after = file.after.as_ref().and_then(privileges);
        let contents = file.has(Aspect::Content) && !file.explained;
        let is_new = before != after;
        (is_new || contents && after.is_some()).then(|| PrivilegeChange {
            path: file.path.clone(),
            contents: contents && after.is_some() && before.is_some(),
            before,
            after,
            package: file.package.clone(),
        })
    };
    files.iter().filter_map(change).collect()
}

fn privileges(state: &FileState) -> Option<String> {
    // On a directory these bits say something else.
    if state.kind != FileKind::Regular {
        return None;
    }
    let mut all = Vec::new();
    if state.permissions & SET_UID != 0 {
        all.push(format!("set-user-ID {}", state.uid));
    }
    if state.permissions & SET_GID != 0 {
        all.push(format!("set-group-ID {}", state.gid));
    }
    if let Some(value) = &state.capability {
        all.push(capability::describe(value));
    }
    (!all.is_empty()).then(|| all.join(", "))
}
