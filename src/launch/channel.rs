//! Messages between two processes of the launcher: one type in each direction, descriptors along
//! with them, and an end that both sides notice.
//!
//! A message is one packet of a `SOCK_SEQPACKET` socket pair, in JSON; a large one travels in a
//! memory file. The peer is a process of our own making or was checked to be root.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message that travels in the packet itself.
const INLINE: usize = 16 * 1024;
/// The longest message at all: a mount specification with a million hidden names.
const LONGEST: u64 = 256 * 1024 * 1024;
/// The most descriptors with one message, the memory file included.
const DESCRIPTORS: usize = 8;

/// First byte of a packet: where the JSON is.
const IN_PACKET: u8 = b'P';
const IN_MEMORY_FILE: u8 = b'M';

/// One end, which sends `S` and receives `R`.
#[derive(Debug)]
pub(crate) struct Channel<S, R> {
    socket: OwnedFd,
    types: PhantomData<fn(S) -> R>,
}

/// A message with the descriptors that came along.
pub(crate) type Received<R> = Option<(R, Vec<OwnedFd>)>;

impl<S: Serialize, R: DeserializeOwned> Channel<S, R> {
    /// Two connected ends.
    pub(crate) fn pair() -> io::Result<(Self, Channel<R, S>)> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((
            Self::from_socket(one),
            Channel {
                socket: other,
                types: PhantomData,
            },
        ))
    }

    /// The end behind a connected socket of type `SOCK_SEQPACKET`.
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self {
            socket,
            types: PhantomData,
        }
    }

    /// Sends a message alone.
    pub(crate) fn send(&self, message: &S) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Sends a message with descriptors, of which there may be at most 7.
    pub(crate) fn send_with(&self, message: &S, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let json = serde_json::to_vec(message)?;
        if json.len() <= INLINE {
            return self.send_packet(
                &[IoSlice::new(&[IN_PACKET]), IoSlice::new(&json)],
                descriptors,
            );
        }
        let mut file = File::from(memfd_create("wpar-message", MemfdFlags::CLOEXEC)?);
        file.write_all(&json)?;
        let mut all = vec![file.as_fd()];
        all.extend_from_slice(descriptors);
        self.send_packet(&[IoSlice::new(&[IN_MEMORY_FILE])], &all)
    }

    fn send_packet(&self, data: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, data, &mut control, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// Waits for the next message; `None` once the other end is closed.
    pub(crate) fn receive(&self) -> io::Result<Received<R>> {
        let mut packet = vec![0; INLINE + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut was_reset = false;
        let length = loop {
            let mut data = [IoSliceMut::new(&mut packet)];
            match recvmsg(
                &self.socket,
                &mut data,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                // The other end went without reading all. What it had sent before is still to
                // be had: this comes first, and once.
                Err(Errno::CONNRESET) if !was_reset => was_reset = true,
                Err(Errno::CONNRESET) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        match packet.get(..length).and_then(<[u8]>::split_first) {
            None => Ok(None),
            Some((&IN_PACKET, json)) => Ok(Some((serde_json::from_slice(json)?, fds))),
            Some((&IN_MEMORY_FILE, [])) if !fds.is_empty() => {
                let mut file = File::from(fds.remove(0));
                file.rewind()?;
                let mut json = Vec::new();
                file.take(LONGEST).read_to_end(&mut json)?;
                Ok(Some((serde_json::from_slice(&json)?, fds)))
            }
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl<S, R> Channel<S, R> {
    /// Gives up the end for its socket.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_size_arrive_whole_with_their_descriptors() {
        let (one, other) = Channel::<String, u32>::pair().unwrap();
        for length in [0, 1, INLINE - 2, INLINE - 1, INLINE, 3 * 1024 * 1024] {
            let (pipe, _writer) = rustix::pipe::pipe().unwrap();
            let text = "x".repeat(length);
            one.send_with(&text, &[pipe.as_fd()]).unwrap();
            let (received, fds) = other.receive().unwrap().unwrap();
            assert_eq!(received, text);
            assert_eq!(fds.len(), 1, "length {length}");
            other.send(&7).unwrap();
            assert_eq!(one.receive().unwrap().unwrap().0, 7);
        }
        drop(other);
        assert!(one.receive().unwrap().is_none());
    }

    #[test]
    fn regression_the_last_words_of_one_who_did_not_listen_arrive() {
        let (one, other) = Channel::<String, u32>::pair().unwrap();
        one.send(&"unread".to_owned()).unwrap();
        other.send(&7).unwrap();
        drop(other);
        assert_eq!(one.receive().unwrap().map(|(number, _)| number), Some(7));
        assert!(one.receive().unwrap().is_none());
    }
}
