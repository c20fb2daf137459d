//! The socket on which init announces itself: the protocol of sd_notify(3), as a host sees it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, bind, recvmsg, socket_with,
};

/// The longest datagram that is looked at.
const LONGEST: usize = 4096;
/// The longest status text that is passed on, in bytes.
const LONGEST_STATUS: usize = 200;

/// What init announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    /// The system is up.
    Ready,
    /// What it is doing.
    Status(String),
}

/// The socket, bound in the run directory.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: OwnedFd,
    path: PathBuf,
}

impl NotifySocket {
    /// Binds a new socket to `path`. Everybody inside may write to it, but only the announcements
    /// of process 1 count; outside, the directory keeps others away.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        set_socket_passcred(&socket, true)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    /// The socket of another process, which it bound to `path`.
    pub(super) fn from_descriptor(socket: OwnedFd, path: PathBuf) -> Self {
        Self { socket, path }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All announcements of the process `init` that wait.
    pub(super) fn announcements(&self, init: u32) -> Vec<Announcement> {
        let mut result = Vec::new();
        let mut buffer = vec![0; LONGEST];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(1))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut data = [IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let Ok(received) = recvmsg(&self.socket, &mut data, &mut control, flags) else {
                return result;
            };
            let from_init = control.drain().any(|message| match message {
                RecvAncillaryMessage::ScmCredentials(sender) => {
                    sender.pid.as_raw_nonzero().get().cast_unsigned() == init
                }
                // Descriptors that were sent along are closed here.
                _ => false,
            });
            if from_init {
                result.extend(parse(&buffer[..received.bytes.min(LONGEST)]));
            }
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn parse(datagram: &[u8]) -> Vec<Announcement> {
    String::from_utf8_lossy(datagram)
        .lines()
        .filter_map(|line| match line.split_once('=')? {
            ("READY", "1") => Some(Announcement::Ready),
            ("STATUS", text) => Some(Announcement::Status(printable(text))),
            _ => None,
        })
        .collect()
}

/// Text of the WPAR's that can be shown on the administrator's terminal.
pub(super) fn printable(text: &str) -> String {
    let mut length = 0;
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take_while(|letter| {
            length += letter.len_utf8();
            length <= LONGEST_STATUS
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_recognised_and_made_printable() {
        let parsed =
            parse(b"X_SYSTEMD_UNIT_ACTIVE=a\nSTATUS=a\x1b[31mb\nREADY=1\nREADY=0\nrubbish");
        assert_eq!(
            parsed,
            [
                Announcement::Status("a [31mb".to_owned()),
                Announcement::Ready
            ]
        );
        assert_eq!(parse(b"\xff\xfe"), []);
        let long = format!("STATUS={}", "x".repeat(3000));
        assert_eq!(
            parse(long.as_bytes()),
            [Announcement::Status("x".repeat(LONGEST_STATUS))]
        );
    }

    #[test]
    fn only_process_1_is_believed() {
        let directory = tempfile::tempdir().unwrap();
        let socket = NotifySocket::bind(&directory.path().join("notify")).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"READY=1", socket.path()).unwrap();
        assert_eq!(socket.announcements(std::process::id() + 1), []);
        sender.send_to(b"READY=1", socket.path()).unwrap();
        assert_eq!(
            socket.announcements(std::process::id()),
            [Announcement::Ready]
        );
    }
}
