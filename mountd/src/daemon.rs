//! The daemon: one process that serves one mount until it is unmounted.
//!
//! Called as `wpar-mountd --fuse-fd N --spec-fd N --ready-fd N --kept-fd N`. The starter has opened
//! `/dev/fuse` and mounted it already; from `spec-fd` comes the [`MountSpec`] as JSON; to
//! `ready-fd`, a socket, goes one line, `ready` or `error: ` and why. From then on the daemon opens
//! nothing by a path of the host's. `kept-fd` is the [`Kept`] state: if the daemon dies, its
//! starter calls another one with the same `fuse-fd`, `spec-fd` and `kept-fd`, and that goes on; then
//! the starter asks for something on each processor, for what waits there. The daemon could not: it
//! would not end while it waited for itself. When the starter says no more on that socket (it closes it, or
//! shuts its side down), the daemon tells what was read until then, a [`Trail`], and closes it too.
//! Each `--hold-fd N`, of which there may be some, is kept open and never touched: what the starter
//! wants to find again if it dies itself.
//!
//! What it does not use it gives up before it answers anything ([`crate::confine`]).
//!
//! [`Trail`]: crate::trail::Trail

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::process::ExitCode;
use std::thread;

use thiserror::Error;

use crate::confine::{self, Door};
use crate::fuse::session::Server;
use crate::logger;
use crate::source::{self, OpenError};
use crate::spec::MountSpec;
use crate::sys::descriptor;
use crate::takeover::Kept;
use crate::trail::Trail;

/// Largest spec that is read, in bytes: room for many thousand hidden names.
const SPEC_MAX: u64 = 64 << 20;

const USAGE: &str = "usage: wpar-mountd --fuse-fd N --spec-fd N --ready-fd N --kept-fd N \
                     [--hold-fd N] (it is started by wpar, not by hand)";

#[derive(Debug, Error)]
enum DaemonError {
    #[error("{USAGE}")]
    Usage,
    #[error("descriptor {number} of {option}: {source}")]
    Descriptor {
        option: &'static str,
        number: RawFd,
        source: io::Error,
    },
    #[error("cannot read the mount's description: {0}")]
    Spec(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot serve the mount: {0}")]
    Serve(io::Error),
    #[error("cannot give up privileges: {0}")]
    Confine(io::Error),
}

struct Descriptors {
    fuse: OwnedFd,
    spec: OwnedFd,
    ready: OwnedFd,
    kept: OwnedFd,
    /// Open as long as the daemon lives.
    held: Vec<OwnedFd>,
}

/// The most descriptors that are held for a starter.
const HELD_MAX: usize = 8;

/// Runs the daemon with the arguments after its own name.
pub fn main<I: IntoIterator<Item = OsString>>(arguments: I) -> ExitCode {
    let descriptors = match parse(arguments) {
        Ok(descriptors) => descriptors,
        Err(error) => return fail(&error),
    };
    logger::begin();
    let _held = descriptors.held;
    let mut ready = File::from(descriptors.ready);
    let kept = Kept::from_descriptor(descriptors.kept);
    let door = Door::new();
    let started = confine::give_up_privileges()
        .map_err(DaemonError::Confine)
        .and_then(|()| read_spec(descriptors.spec))
        .and_then(|spec| Ok((source::open_kept(&spec, &kept)?, spec.access)))
        .and_then(|(overlay, access)| {
            Server::new(overlay, access, descriptors.fuse, kept).map_err(DaemonError::Serve)
        })
        .and_then(|server| {
            // A host that does not allow it, as to users, has the other walls.
            if let Err(error) = door.and_then(Door::close) {
                log::warn!("the daemon goes on to see the host's files: {error}");
            }
            confine::filter_calls().map_err(DaemonError::Confine)?;
            Ok(server)
        });
    let server = match started {
        Ok(server) => server,
        Err(error) => {
            // The starter may be gone; then there is nobody to tell.
            let _ = writeln!(ready, "error: {error}");
            return fail(&error);
        }
    };
    if ready.write_all(b"ready\n").is_err() {
        log::warn!("nobody waits for this mount any more");
    }
    let trail = server.trail();
    let telling = thread::Builder::new()
        .name("trail".to_owned())
        .spawn(move || tell_trail(ready, trail));
    if let Err(error) = telling {
        log::warn!("cannot tell what will be read: {error}");
    }
    let hydration = server.hydrate();
    if let Err(error) = &hydration {
        log::warn!("this copy cannot be hydrated while it is mounted: {error}");
    }
    let served = server.run();
    drop(hydration);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&DaemonError::Serve(error)),
    }
}

/// Waits until the starter asks by saying no more, and answers.
fn tell_trail(mut socket: File, trail: impl FnOnce() -> Option<Trail>) {
    let mut rest = Vec::new();
    let asked = (&mut socket).take(1).read_to_end(&mut rest);
    if let Some(trail) = trail()
        && asked.is_ok_and(|length| length == 0)
    {
        // Who only closed it does not want to know.
        let _ = socket.write_all(&trail.encode());
    }
}

fn fail(error: &DaemonError) -> ExitCode {
    // Standard error may be closed; a daemon must not fall over that.
    let _ = writeln!(io::stderr(), "wpar-mountd: {error}");
    ExitCode::FAILURE
}

fn parse<I: IntoIterator<Item = OsString>>(arguments: I) -> Result<Descriptors, DaemonError> {
    let mut numbers: [Option<RawFd>; 4] = [None; 4];
    let mut held = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(option) = arguments.next() {
        let mut another = None;
        let slot = match option.to_str() {
            Some("--fuse-fd") => &mut numbers[0],
            Some("--spec-fd") => &mut numbers[1],
            Some("--ready-fd") => &mut numbers[2],
            Some("--kept-fd") => &mut numbers[3],
            Some("--hold-fd") if held.len() < HELD_MAX => &mut another,
            _ => return Err(DaemonError::Usage),
        };
        *slot = arguments
            .next()
            .and_then(|number| number.to_str()?.parse().ok());
        held.extend(another);
    }
    let [Some(fuse), Some(spec), Some(ready), Some(kept)] = numbers else {
        return Err(DaemonError::Usage);
    };
    let mut different = vec![fuse, spec, ready, kept];
    different.extend(&held);
    different.sort_unstable();
    if different.windows(2).any(|two| two[0] == two[1]) {
        return Err(DaemonError::Usage);
    }
    let take = |option, number| {
        descriptor::take(number).map_err(|source| DaemonError::Descriptor {
            option,
            number,
            source,
        })
    };
    Ok(Descriptors {
        fuse: take("--fuse-fd", fuse)?,
        spec: take("--spec-fd", spec)?,
        ready: take("--ready-fd", ready)?,
        kept: take("--kept-fd", kept)?,
        held: held
            .into_iter()
            .map(|number| take("--hold-fd", number))
            .collect::<Result<_, _>>()?,
    })
}

fn read_spec(file: OwnedFd) -> Result<MountSpec, DaemonError> {
    let mut text = Vec::new();
    // A daemon before this one may have read it.
    let mut file = File::from(file);
    file.rewind()
        .and_then(|()| file.take(SPEC_MAX).read_to_end(&mut text))
        .map_err(|error| DaemonError::Spec(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| DaemonError::Spec(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_refused_before_any_descriptor_is_touched() {
        for bad in [
            "",
            "--fuse-fd 3",
            "--fuse-fd 3 --spec-fd 4 --ready-fd 5",
            "--fuse-fd 3 --spec-fd 4 --ready-fd x --kept-fd 6",
            "--fuse-fd 3 --spec-fd 3 --ready-fd 4 --kept-fd 6",
            "--fuse-fd 3 --spec-fd 4 --ready-fd 5 --kept-fd 6 --hold-fd 3",
            "--verbose",
        ] {
            let arguments = bad.split_whitespace().map(OsString::from);
            assert!(matches!(parse(arguments), Err(DaemonError::Usage)), "{bad}");
        }
    }

    #[test]
    fn the_standard_descriptors_are_never_taken() {
        let arguments = "--fuse-fd 0 --spec-fd 1 --ready-fd 2 --kept-fd 3".split_whitespace();
        let parsed = parse(arguments.map(OsString::from));
        assert!(matches!(
            parsed,
            Err(DaemonError::Descriptor { number: 0, .. })
        ));
    }
}
