//! Sequences that once went wrong, minimised.

use wpar_mountd::overlay::{CopyUp, RenameMode};
use wpar_mountd::types::FileKind;

use crate::operation::Name::Any;
use crate::operation::{Case, LowerStep, Operation};
use crate::world;

#[test]
fn extended_attributes_of_the_root_are_shown() {
    let case = Case {
        lower: vec![LowerStep::Xattr {
            target: 0,
            name: 0,
            root: true,
        }],
        operations: vec![Operation::ForgetAll],
        on_host: false,
        on_disk: false,
        copy_up: CopyUp::default(),
        keep: false,
        watch: false,
    };
    world::run(&case).unwrap();
}

#[test]
fn a_new_directory_shows_nothing_of_a_lower_one_that_had_its_name() {
    let case = Case {
        lower: vec![
            LowerStep::Directory {
                dir: 0,
                name: 0,
                permissions: 0o755,
            },
            LowerStep::File {
                dir: 1,
                name: 1,
                permissions: 0o644,
                length: 3,
                hole: 0,
            },
        ],
        operations: vec![
            Operation::Rename {
                from: (0, Any(0)),
                to: (0, Any(2)),
                mode: RenameMode::Replace,
            },
            Operation::Create {
                dir: 0,
                name: Any(0),
                kind: FileKind::Directory,
                permissions: 0o755,
                umask: 0,
                owner: 0,
            },
        ],
        on_host: false,
        on_disk: false,
        copy_up: CopyUp::default(),
        keep: false,
        watch: false,
    };
    world::run(&case).unwrap();
}
