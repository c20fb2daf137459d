//! Whatever bytes a data base is made of, its reader neither panics nor hangs; and versions have an
//! order, whatever they are.

use std::cmp::Ordering;

use super::fuzzing::{PLACES, read_one};
use super::*;
use proptest::prelude::*;

/// A change of some bytes: where, as a share of the length, and what.
fn change() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let edges = prop::sample::select(vec![
        vec![0],
        vec![0xff],
        vec![0xff; 4],
        vec![0; 4],
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 1],
        vec![1, 0, 0, 0],
        b"\n".to_vec(),
        b"\n\n".to_vec(),
        b":".to_vec(),
    ]);
    (
        any::<u32>(),
        prop_oneof![edges, prop::collection::vec(any::<u8>(), 1..9)],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_can_be_read(
        place in 0..PLACES.len(),
        contents in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        let place = &PLACES[place];
        read_one(place, &contents);
        // Behind a beginning that is right.
        read_one(place, &[&place.good[..place.good.len().min(100)], &contents].concat());
    }

    #[test]
    fn a_changed_data_base_can_be_read(
        place in 0..PLACES.len(),
        changes in prop::collection::vec(change(), 1..6),
        cut in prop::option::of(any::<u32>()),
    ) {
        let place = &PLACES[place];
        let at = |share: u32, length: usize| share as usize % length.max(1);
        let mut contents = place.good.to_vec();
        for (share, bytes) in changes {
            let start = at(share, contents.len());
            let end = (start + bytes.len()).min(contents.len());
            contents.splice(start..end, bytes);
        }
        if let Some(share) = cut {
            contents.truncate(at(share, contents.len()));
        }
        read_one(place, &contents);
    }

    #[test]
    fn any_versions_have_an_order(a in "[0-9a-z.:~^+_-]{0,12}", b in "\\PC{0,12}", c in "[0-9.~^a-]{0,6}") {
        for family in [Family::Dpkg, Family::Rpm, Family::Apk, Family::Pacman] {
            prop_assert_eq!(family.compare(&a, &a), Ordering::Equal);
            for other in [&b, &c] {
                let order = family.compare(&a, other);
                prop_assert_eq!(family.compare(other, &a), order.reverse(), "{} {} {}", family, a, other);
            }
        }
    }
}
