//! What of a file may cross from one system to another.

use super::attributes::CAPABILITY;
use super::entry::{Entry, Kind};
use super::ids::{Ids, NOBODY};

/// Bits that let a program run with the rights of its owner or group.
const SET_ID: u32 = 0o6000;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a WPAR.
    In,
    /// From a WPAR to the host or into a stream.
    Out,
    /// From a WPAR to another one.
    Between,
}

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passes,
    /// It goes without something.
    Changed(&'static str),
    Stays(&'static str),
}

/// Judges `entry`, takes from it what may not cross, and says so. `to` are the ids of where it goes.
pub(super) fn pass(entry: &mut Entry, way: Way, to: Ids) -> Verdict {
    match (&entry.kind, way) {
        (Kind::Device, Way::In | Way::Between) => {
            return Verdict::Stays(
                "a device is not copied; 'chwpar -D devname=... NAME' gives it to the WPAR",
            );
        }
        (Kind::Device, Way::Out) => {
            return Verdict::Stays("a device of a WPAR is not made real on the host");
        }
        (Kind::Socket, _) => return Verdict::Stays("a socket is of use to its program only"),
        _ => {}
    }
    let mut verdict = Verdict::Passes;
    for id in [&mut entry.uid, &mut entry.gid] {
        if to.outward(*id).is_none() {
            *id = NOBODY;
            verdict = Verdict::Changed("its owner has no number inside; it is nobody's there");
        }
    }
    // The bits would be those of somebody else.
    let owner_lost = verdict != Verdict::Passes;
    let taken = (way != Way::In || owner_lost) && take_rights(entry);
    if taken && !owner_lost {
        verdict = Verdict::Changed(
            "it goes without its set-id bits and capabilities, which are the WPAR's",
        );
    }
    verdict
}

/// Takes what lets a program have more rights than who starts it; false if there was nothing.
fn take_rights(entry: &mut Entry) -> bool {
    // On a directory, set-group-id only says who owns new files.
    let bits = match entry.kind {
        Kind::Directory | Kind::Symlink(_) => 0,
        _ => entry.mode & SET_ID,
    };
    entry.mode &= !bits;
    let before = entry.attributes.len();
    entry.attributes.retain(|(name, _)| name != CAPABILITY);
    bits != 0 || entry.attributes.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::entry::Time;

    fn entry(kind: Kind, mode: u32, uid: u32) -> Entry {
        Entry {
            path: b"usr/bin/su".to_vec(),
            kind,
            mode,
            uid,
            gid: 0,
            mtime: Time::default(),
            attributes: Vec::new(),
            size: 0,
            sparse: false,
        }
    }

    #[test]
    fn no_program_of_a_wpar_has_rights_on_the_host() {
        let mut su = entry(Kind::File, 0o4755, 0);
        assert!(matches!(
            pass(&mut su, Way::Out, Ids::PLAIN),
            Verdict::Changed(_)
        ));
        assert_eq!(su.mode, 0o755);
        let mut ping = entry(Kind::File, 0o755, 0);
        ping.attributes = vec![
            (CAPABILITY.to_vec(), vec![0; 20]),
            (b"user.note".to_vec(), vec![1]),
        ];
        assert!(matches!(
            pass(&mut ping, Way::Out, Ids::PLAIN),
            Verdict::Changed(_)
        ));
        assert_eq!(ping.attributes.len(), 1);
        let mut shared = entry(Kind::Directory, 0o2775, 0);
        assert_eq!(pass(&mut shared, Way::Out, Ids::PLAIN), Verdict::Passes);
        assert_eq!(shared.mode, 0o2775);
    }

    #[test]
    fn into_a_wpar_rights_go_along_with_their_owner_only() {
        let inside = Ids::shifted(100_000, 65_536);
        let mut su = entry(Kind::File, 0o4755, 0);
        assert_eq!(pass(&mut su, Way::In, inside), Verdict::Passes);
        assert_eq!((su.mode, su.uid), (0o4755, 0));
        let mut foreign = entry(Kind::File, 0o4755, 200_000);
        assert!(matches!(
            pass(&mut foreign, Way::In, inside),
            Verdict::Changed(_)
        ));
        assert_eq!((foreign.mode, foreign.uid), (0o755, NOBODY));
    }

    #[test]
    fn devices_and_sockets_stay_where_they_are() {
        for kind in [Kind::Device, Kind::Socket] {
            for way in [Way::In, Way::Out] {
                let mut node = entry(kind.clone(), 0o600, 0);
                assert!(matches!(
                    pass(&mut node, way, Ids::PLAIN),
                    Verdict::Stays(_)
                ));
            }
        }
    }
}
