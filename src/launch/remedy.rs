//! What can be done about a WPAR whose supervisor is gone. Pure; the facts are asked elsewhere.

use super::state::{Leftover, Observation};

/// What puts a WPAR right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: it runs and is looked after, or is at rest.
    Nothing,
    /// It runs, and another supervisor can look after it.
    Adopt,
    /// Nothing of it runs that was ever in use: what is left can be taken away.
    CleanUp,
    /// Only force: something runs that nobody can look after, or its end failed.
    Force,
}

/// What puts right what was seen.
pub fn remedy(seen: &Observation) -> Remedy {
    if seen.supervisor.is_some() {
        return Remedy::Nothing;
    }
    if !seen.recorded {
        let begun = |leftover: &Leftover| matches!(leftover, Leftover::RunDirectory(_));
        return if seen.leftovers.iter().any(begun) {
            // Killed before its first word.
            Remedy::CleanUp
        } else {
            Remedy::Nothing
        };
    }
    match (&seen.failure, seen.executed, seen.init) {
        // A supervisor tried to take it away and could not, or has something to say.
        (Some(_), _, _) => Remedy::Force,
        (None, false, _) | (None, true, None) => Remedy::CleanUp,
        (None, true, Some(_)) if seen.daemon.is_some() && seen.mounted => Remedy::Adopt,
        // Its files are gone for good.
        (None, true, Some(_)) => Remedy::Force,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observation from a word of flags: r(ecorded) s(upervisor) d(aemon) i(nit) e(xecuted)
    /// m(ounted) p(opulated) f(ailure) l(eftover run directory).
    fn seen(flags: &str) -> Observation {
        let has = |flag| flags.contains(flag);
        Observation {
            recorded: has('r'),
            supervisor: has('s').then_some(1),
            daemon: has('d').then_some(2),
            init: has('i').then_some(3),
            executed: has('e'),
            mounted: has('m'),
            populated: has('p'),
            failure: has('f').then(|| "stuck".to_owned()),
            leftovers: has('l')
                .then(|| Leftover::RunDirectory("/run/wpar/x".into()))
                .into_iter()
                .collect(),
            ..Observation::default()
        }
    }

    #[test]
    fn each_death_has_its_remedy() {
        for (flags, expected) in [
            ("", Remedy::Nothing),
            ("rsdiemp", Remedy::Nothing),
            ("rs", Remedy::Nothing),
            // Only a mount, of which nothing is known.
            ("m", Remedy::Nothing),
            ("l", Remedy::CleanUp),
            // The supervisor alone was killed.
            ("rdiempl", Remedy::Adopt),
            // It, while it started: before and after the daemon, and process 1.
            ("rl", Remedy::CleanUp),
            ("rdl", Remedy::CleanUp),
            ("rdmpl", Remedy::CleanUp),
            ("rdimpl", Remedy::CleanUp),
            // Init ended while nobody watched.
            ("rdeml", Remedy::CleanUp),
            ("rel", Remedy::CleanUp),
            // With the daemon: the files are gone under a running system.
            ("riempl", Remedy::Force),
            ("rdiepl", Remedy::Force),
            // What could not be taken away.
            ("rfl", Remedy::Force),
            ("rdiempfl", Remedy::Force),
        ] {
            assert_eq!(remedy(&seen(flags)), expected, "{flags:?}");
        }
    }
}
