//! Sequences that once went wrong, minimised.

use crate::operation::{Case, LowerStep, Operation};
use crate::world;

#[test]
#[ignore = "known defect: the store's root does not take over the attributes of the lower's"]
fn extended_attributes_of_the_root_are_shown() {
    let case = Case {
        lower: vec![LowerStep::Xattr {
            target: 0,
            name: 0,
            root: true,
        }],
        operations: vec![Operation::ForgetAll],
        keep: false,
        watch: false,
    };
    world::run(&case).unwrap();
}
