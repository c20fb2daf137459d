//! Serving a mount until it ends.
//!
//! A daemon that takes a mount over from one that died cannot greet the kernel: that happens once.
//! `fuser` wants to, so it gets a socket in place of the device, with the greeting that the kernel
//! had sent; then the device takes the socket's place.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Adapter, REQUEST_SIZE};
use crate::hydrate::service::Service;
use crate::overlay::{Outdated, Overlay};
use crate::spec::Access;
use crate::sys::{allocator, descriptor};
use crate::takeover::{Agreement, Kept};
use crate::trail::{Recorder, Trail};
use crate::wire::uring::Serving;
use crate::wire::{Transport, notify};

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
    adapter: Adapter,
    open: impl FnOnce(Adapter) -> io::Result<Session<Adapter>>,
) -> io::Result<Greeted> {
    allocator::keep_little();
    let (overlay, remember) = (Arc::clone(&adapter.overlay), adapter.remember);
    let rings = Arc::clone(&adapter.rings);
    let recorder = Arc::clone(&adapter.recorder);
    let takeover = adapter.inherited.is_some();
    // Before anything is answered: what is read from then on is noted.
    let outdated = overlay.outdated();
    let session = open(adapter)?;
    let rings = rings.lock().take();
    // The kernel holds requests back until it knows the rings, so nothing may come in between.
    let serving = match rings {
        Some(rings) => {
            Some(rings.start(session.as_fd(), &overlay, remember, &recorder, takeover)?)
        }
        None => None,
    };
    if let Some(outdated) = outdated {
        tell_outdated(outdated, session.as_fd())?;
    }
    Ok(Greeted {
        session,
        serving,
        overlay,
        recorder,
    })
}

/// Starts the thread that has the kernel forget what a living lower has changed. It ends with
/// what sends to it, the overlay.
fn tell_outdated(outdated: Receiver<Outdated>, device: BorrowedFd<'_>) -> io::Result<()> {
    let device = device.try_clone_to_owned()?;
    thread::Builder::new()
        .name("outdated".to_owned())
        .spawn(move || {
            for outdated in outdated {
                // What it does not know it need not forget, and after the end of the mount it is all
                // forgotten.
                if let Err(error) = notify::forget(device.as_fd(), &outdated) {
                    log::debug!("{outdated:?}: {error}");
                }
            }
        })?;
    Ok(())
}

/// A session with `device`, which was greeted when `agreement` was made.
fn take_over(
    adapter: Adapter,
    device: &OwnedFd,
    agreement: &Agreement,
) -> io::Result<Session<Adapter>> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::io::write(&ours, &greeting(agreement))?;
    let session = Session::from_fd(adapter, theirs, SessionACL::All, config())?;
    descriptor::replace(session.as_fd(), device.as_fd())?;
    notify::resend(device.as_fd())?;
    Ok(session)
}

/// The kernel's first request (`FUSE_INIT`): `struct fuse_in_header` and `struct fuse_init_in`.
fn greeting(agreement: &Agreement) -> Vec<u8> {
    const LENGTH: u32 = 40 + 64;
    const INIT: u32 = 26;
    const MAJOR: u32 = 7;
    let (low, high) = (
        agreement.capabilities as u32,
        (agreement.capabilities >> 32) as u32,
    );
    // Length, operation, number (2), inode, caller, process and padding; then the fields.
    let header = [LENGTH, INIT, 2, 0, 0, 0, 0, 0, 0, 0];
    let fields = [MAJOR, agreement.minor, REQUEST_SIZE, low | INIT_EXT, high];
    let mut words: Vec<u32> = [&header[..], &fields].concat();
    words.resize(LENGTH as usize / size_of::<u32>(), 0);
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Without it the upper half of the capabilities does not count (`FUSE_INIT_EXT`).
const INIT_EXT: u32 = 1 << 30;

/// A mount that was made elsewhere, ready to be served.
#[derive(Debug)]
pub struct Server {
    greeted: Greeted,
}

impl Server {
    /// Greets the kernel on `device`, an open `/dev/fuse` that is mounted already; or takes it
    /// over from the daemon that `kept` is from.
    ///
    /// # Errors
    /// If the mount is gone, the kernel too old, or the other daemon's state of no use.
    pub fn new(overlay: Overlay, access: Access, device: OwnedFd, kept: Kept) -> io::Result<Self> {
        let inherited = kept.agreement()?;
        let transport = Transport::preferred();
        let adapter = Adapter::new(overlay, access, transport, kept, inherited.clone());
        let greeted = greet(adapter, |adapter| match &inherited {
            None => Session::from_fd(adapter, device, SessionACL::All, config()),
            Some(agreement) => take_over(adapter, &device, agreement),
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

    /// Begins to hydrate, now or when it is wanted: see [`crate::hydrate`]. It must be dropped after
    /// the mount is gone.
    ///
    /// # Errors
    /// See [`Service::begin`].
    pub fn hydrate(&self) -> io::Result<Option<Service>> {
        Service::begin(&self.greeted.overlay)
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
    let kept = Kept::of_this_process()?;
    let adapter = Adapter::new(overlay, Access::Checked, transport, kept, None);
    let greeted = greet(adapter, |adapter| Session::new(adapter, directory, &config))?;
    Ok(Mounted {
        session: Some(greeted.session.spawn()?),
        serving: greeted.serving,
    })
}
