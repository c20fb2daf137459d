//! The socket on which an administrator's command talks to the supervisor of a running WPAR.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::channel::Channel;
use super::error::{Doing, LaunchError};
use super::message::{Answer, Control};
use super::state::CONTROL_SOCKET;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct ControlSocket {
    socket: OwnedFd,
}

/// The supervisor's side of one conversation.
pub(super) type Client = Channel<Answer, Control>;

fn new_socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

impl ControlSocket {
    /// Listens in `run_dir`, which only root can enter.
    pub(super) fn listen(run_dir: &Path) -> io::Result<Self> {
        let socket = new_socket(SocketFlags::NONBLOCK)?;
        bind(&socket, &SocketAddrUnix::new(run_dir.join(CONTROL_SOCKET))?)?;
        listen(&socket, 16)?;
        Ok(Self { socket })
    }

    /// The next client and what it wants; `None` if it is not root, or says nothing sensible.
    pub(super) fn accept(&self) -> Option<(Client, Control)> {
        let connection = accept_with(&self.socket, SocketFlags::CLOEXEC).ok()?;
        if !socket_peercred(&connection).is_ok_and(|peer| peer.uid.is_root()) {
            return None;
        }
        set_socket_timeout(&connection, Timeout::Recv, Some(PATIENCE)).ok()?;
        let client = Client::from_socket(connection);
        let (request, _) = client.receive().ok()??;
        Some((client, request))
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends one request to the supervisor of `run_dir`; the answer is to be received.
///
/// # Errors
/// [`LaunchError::NotActive`] if none listens.
pub(super) fn ask(
    run_dir: &Path,
    request: &Control,
) -> Result<Channel<Control, Answer>, LaunchError> {
    let socket = new_socket(SocketFlags::empty()).doing("make a socket")?;
    let address = SocketAddrUnix::new(run_dir.join(CONTROL_SOCKET))
        .doing(format!("use {} as an address", run_dir.display()))?;
    connect(&socket, &address).map_err(|_| LaunchError::NotActive)?;
    let channel = Channel::from_socket(socket);
    channel.send(request).doing("talk to the supervisor")?;
    Ok(channel)
}
