//! Serving a mount until it ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};

use super::Adapter;
use crate::overlay::Overlay;
use crate::trail::{Recorder, Trail};
use crate::wire::Transport;
use crate::wire::uring::Serving;

/// Threads that answer requests. More than the machine's processors only helps while some wait
/// for the disk, so it is a little more than few processors need.
const THREADS: usize = 4;

fn config() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config
}

/// A session after its greeting, and the rings beside it, if that is how requests come.
#[derive(Debug)]
struct Greeted {
    session: Session<Adapter>,
    serving: Option<Serving>,
    overlay: Arc<Overlay>,
    recorder: Arc<Recorder>,
}

/// Greets the kernel by `open`, and starts the rings that were agreed on.
fn greet(
    overlay: Overlay,
    transport: Transport,
    open: impl FnOnce(Adapter) -> io::Result<Session<Adapter>>,
) -> io::Result<Greeted> {
    let adapter = Adapter::new(overlay, transport);
    let (overlay, remember) = (Arc::clone(&adapter.overlay), adapter.remember);
    let rings = Arc::clone(&adapter.rings);
    let recorder = Arc::clone(&adapter.recorder);
    let session = open(adapter)?;
    let rings = rings.lock().take();
    // The kernel holds requests back until it knows the rings, so nothing may come in between.
    let serving = match rings {
        Some(rings) => Some(rings.start(session.as_fd(), &overlay, remember, &recorder)?),
        None => None,
    };
    Ok(Greeted {
        session,
        serving,
        overlay,
        recorder,
    })
}

/// A mount that was made elsewhere, ready to be served.
#[derive(Debug)]
pub struct Server {
    greeted: Greeted,
}

impl Server {
    /// Greets the kernel on `device`, an open `/dev/fuse` that is mounted already.
    ///
    /// # Errors
    /// If the mount is gone, or the kernel too old.
    pub fn new(overlay: Overlay, device: OwnedFd) -> io::Result<Self> {
        let greeted = greet(overlay, Transport::preferred(), |adapter| {
            Session::from_fd(adapter, device, SessionACL::All, config())
        })?;
        Ok(Self { greeted })
    }

    /// What tells, when it is called, what was read of the lower since the mount was made;
    /// `None` when that has ended. It does not keep the store open.
    pub fn trail(&self) -> impl FnOnce() -> Option<Trail> + Send + 'static {
        let overlay = Arc::downgrade(&self.greeted.overlay);
        let recorder = Arc::clone(&self.greeted.recorder);
        move || Some(recorder.finish(&*overlay.upgrade()?))
    }

    /// Serves until the mount is gone.
    ///
    /// # Errors
    /// If the device fails in a way that is not the end of the mount.
    pub fn run(self) -> io::Result<()> {
        self.greeted.session.run()?;
        if let Some(serving) = self.greeted.serving {
            serving.join();
        }
        Ok(())
    }
}

/// A mount served by threads of this process; unmounted, and its store closed, when
/// dropped.
#[derive(Debug)]
pub struct Mounted {
    session: Option<BackgroundSession>,
    serving: Option<Serving>,
}

impl Mounted {
    /// Whether somebody else unmounted it.
    pub fn is_finished(&self) -> bool {
        self.session
            .as_ref()
            .is_none_or(|session| session.guard.is_finished())
    }

    /// How requests come.
    pub fn transport(&self) -> Transport {
        match self.serving {
            Some(_) => Transport::Rings,
            None => Transport::Device,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        // What somebody else unmounted cannot be unmounted again, but has its threads to wait for.
        let ended = if session.guard.is_finished() {
            session.join()
        } else {
            session.umount_and_join()
        };
        match ended {
            Ok(()) => self.serving.take().map_or((), Serving::join),
            Err(error) => log::warn!("cannot end a mount: {error}"),
        }
    }
}

/// Mounts `overlay` on `directory` and serves it in the background.
///
/// # Errors
/// If it cannot be mounted.
pub fn mount(overlay: Overlay, directory: &Path) -> io::Result<Mounted> {
    mount_over(overlay, directory, Transport::preferred())
}

/// The same over `transport`, or over the device if that is not to be had.
///
/// # Errors
/// If it cannot be mounted.
pub fn mount_over(overlay: Overlay, directory: &Path, transport: Transport) -> io::Result<Mounted> {
    let mut config = config();
    config.mount_options = vec![
        MountOption::FSName("wpar".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::Suid,
        MountOption::Dev,
    ];
    transport.request();
    let greeted = greet(overlay, transport, |adapter| {
        Session::new(adapter, directory, &config)
    })?;
    Ok(Mounted {
        session: Some(greeted.session.spawn()?),
        serving: greeted.serving,
    })
}
