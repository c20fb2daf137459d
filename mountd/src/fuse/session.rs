//! Serving a mount until it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};

use super::Adapter;
use crate::overlay::Overlay;

/// Threads that answer requests. More than the machine's processors only helps while some wait
/// for the disk, so it is a little more than few processors need.
const THREADS: usize = 4;

fn config() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config
}

/// A mount that was made elsewhere, ready to be served.
#[derive(Debug)]
pub struct Server {
    session: Session<Adapter>,
}

impl Server {
    /// Greets the kernel on `device`, an open `/dev/fuse` that is mounted already.
    ///
    /// # Errors
    /// If the mount is gone, or the kernel too old.
    pub fn new(overlay: Overlay, device: OwnedFd) -> io::Result<Self> {
        let session = Session::from_fd(Adapter::new(overlay), device, SessionACL::All, config())?;
        Ok(Self { session })
    }

    /// Serves until the mount is gone.
    ///
    /// # Errors
    /// If the device fails in a way that is not the end of the mount.
    pub fn run(self) -> io::Result<()> {
        self.session.run()
    }
}

/// A mount served by threads of this process; unmounted, and its store closed, when
/// dropped.
#[derive(Debug)]
pub struct Mounted {
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// Whether somebody else unmounted it.
    pub fn is_finished(&self) -> bool {
        self.session
            .as_ref()
            .is_none_or(|session| session.guard.is_finished())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            log::warn!("cannot end a mount: {error}");
        }
    }
}

/// Mounts `overlay` on `directory` and serves it in the background.
///
/// # Errors
/// If it cannot be mounted.
pub fn mount(overlay: Overlay, directory: &Path) -> io::Result<Mounted> {
    let mut config = config();
    config.mount_options = vec![
        MountOption::FSName("wpar".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::Suid,
        MountOption::Dev,
    ];
    let session = Session::new(Adapter::new(overlay), directory, &config)?.spawn()?;
    Ok(Mounted {
        session: Some(session),
    })
}
