//! Node numbers of several layers: the place of the layer above the number in it.
//!
//! Every layer that can be a part has numbers below 2^48. With a few dozen layers all numbers are below
//! 2^53, which programs that count in floating point can still tell apart.

use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;

const BITS: u32 = 48;

/// Distance between the numbers of a layer and those of the next.
pub(super) const FIRST_OF_NEXT: u64 = 1 << BITS;

/// The number of the node that is `local` in the layer at `place`.
///
/// # Errors
/// `Damaged` for a number that a layer cannot have.
pub(super) fn join(place: usize, local: LowerNode) -> FsResult<LowerNode> {
    if local.0 >= FIRST_OF_NEXT {
        return Err(FsError::Damaged);
    }
    Ok(LowerNode((place as u64) << BITS | local.0))
}

/// The root of the layer at `place`.
pub(super) fn root_of(place: usize) -> LowerNode {
    LowerNode((place as u64) << BITS | LowerNode::ROOT.0)
}

/// The place of a node's layer and the number in it.
pub(super) fn split(node: LowerNode) -> (usize, LowerNode) {
    let place = usize::try_from(node.0 >> BITS).unwrap_or(usize::MAX);
    (place, LowerNode(node.0 & (FIRST_OF_NEXT - 1)))
}

/// The smallest number that none of `layers` layers has.
pub(super) fn first_free(layers: usize) -> u64 {
    (layers as u64) << BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_apart_as_they_were_put_together() {
        for place in [0, 1, 31, 1000] {
            for local in [1, 2, FIRST_OF_NEXT - 1] {
                let node = join(place, LowerNode(local)).unwrap();
                assert_eq!(split(node), (place, LowerNode(local)));
                assert!(node.0 < first_free(place + 1) && node.0 >= first_free(place));
            }
        }
        assert_eq!(join(0, LowerNode(7)), Ok(LowerNode(7)));
        assert_eq!(root_of(0), LowerNode::ROOT);
        assert_eq!(join(3, LowerNode::ROOT), Ok(root_of(3)));
        assert_eq!(
            join(1, LowerNode(FIRST_OF_NEXT)),
            Err(FsError::Damaged),
            "it would be another layer's"
        );
    }
}
