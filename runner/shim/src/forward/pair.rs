//! A connection from inside and its other half: the opening of that, without waiting for it, and the bytes both ways.
//!
//! A buffer is filled again only when it was written out, so whoever reads slowly slows the other side and nothing piles
//! up.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect, socket,
    },
};

use super::ROUNDS;

/// Bytes on their way in one direction of a connection.
const BUFFER: usize = 32 << 10;

/// Where connections are led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// A service's address.
    Service(SocketAddr),
    /// The runner's socket in the sandbox.
    Runner(PathBuf),
}

/// The half of a connection that leads to its goal.
enum Far {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Far {
    /// Begins to open a connection and does not wait for it.
    fn begin(goal: &Goal) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let open = |family, address: &dyn SockaddrLike| -> Result<OwnedFd, Errno> {
            let fd = socket(family, SockType::Stream, flags, None)?;
            match connect(fd.as_raw_fd(), address) {
                Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(fd),
                Err(error) => Err(error),
            }
        };
        match goal {
            Goal::Service(to) => {
                let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
                let stream = TcpStream::from(open(family, &SockaddrStorage::from(*to))?);
                // What comes in small pieces goes on in small pieces: questions and answers do not wait for each other.
                let _ = stream.set_nodelay(true);
                Ok(Self::Tcp(stream))
            }
            Goal::Runner(path) => {
                Ok(Self::Unix(UnixStream::from(open(AddressFamily::Unix, &UnixAddr::new(path)?)?)))
            }
        }
    }

    /// What the opening came to, once the descriptor is ready.
    fn opened(&self) -> std::io::Result<()> {
        let error = match self {
            Self::Tcp(stream) => stream.take_error()?,
            Self::Unix(stream) => stream.take_error()?,
        };
        error.map_or(Ok(()), Err)
    }
}

impl AsFd for Far {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// One end of a direction.
trait End {
    fn receive(&self, buffer: &mut [u8]) -> std::io::Result<usize>;
    fn send(&self, bytes: &[u8]) -> std::io::Result<usize>;
    fn no_more(&self) -> std::io::Result<()>;
}

impl End for TcpStream {
    fn receive(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn no_more(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl End for Far {
    fn receive(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.receive(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.send(bytes),
            Self::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn no_more(&self) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.no_more(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

/// A connection from inside and its other half.
pub(super) struct Pair {
    /// The listener that took it.
    pub(super) of: usize,
    client: TcpStream,
    far: Far,
    /// Until when the other half may be opening; none: it is open.
    opening: Option<Instant>,
    up: Way,
    down: Way,
    pub(super) over: bool,
}

impl Pair {
    /// Takes a connection on, and begins to open its other half, which may take so long. None, and the connection is
    /// closed, when there is nobody to open one to.
    pub(super) fn begin(of: usize, client: TcpStream, goal: &Goal, limit: Duration) -> Option<Self> {
        client.set_nonblocking(true).ok()?;
        let _ = client.set_nodelay(true);
        let far = Far::begin(goal).ok()?;
        let opening = Some(Instant::now() + limit);
        Some(Self { of, client, far, opening, up: Way::default(), down: Way::default(), over: false })
    }

    /// Until when its other half may be opening; none: it is open.
    pub(super) fn opening(&self) -> Option<Instant> {
        self.opening
    }

    /// What is worth waking up for.
    pub(super) fn interest(&self) -> [(BorrowedFd<'_>, PollFlags); 2] {
        let flags = |reads: &Way, writes: &Way| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, reads.wants_more());
            flags.set(PollFlags::POLLOUT, writes.holds());
            flags
        };
        let (client, far) = match self.opening {
            Some(_) => (PollFlags::empty(), PollFlags::POLLOUT),
            None => (flags(&self.up, &self.down), flags(&self.down, &self.up)),
        };
        [(self.client.as_fd(), client), (self.far.as_fd(), far)]
    }

    /// One of its descriptors is ready.
    pub(super) fn work(&mut self) {
        if self.opening.is_some() {
            self.over = self.far.opened().is_err();
            self.opening = None;
        }
        if self.over {
            return;
        }
        let up = self.up.carry(&self.client, &self.far);
        let down = self.down.carry(&self.far, &self.client);
        self.over = up.is_err() || down.is_err() || self.up.ended && self.down.ended;
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    buffer: Vec<u8>,
    /// What of the buffer was written already.
    written: usize,
    /// No more comes in.
    closed: bool,
    /// That was passed on too.
    ended: bool,
}

impl Way {
    fn holds(&self) -> bool {
        self.written < self.buffer.len()
    }

    fn wants_more(&self) -> bool {
        !self.closed && !self.holds()
    }

    fn carry(&mut self, from: &dyn End, to: &dyn End) -> std::io::Result<()> {
        for _ in 0..ROUNDS {
            if self.wants_more() {
                self.buffer.resize(BUFFER, 0);
                self.written = BUFFER;
                match from.receive(&mut self.buffer) {
                    Ok(count) => {
                        self.closed = count == 0;
                        self.buffer.truncate(count);
                        self.written = 0;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
            }
            while self.holds() {
                match to.send(self.buffer.get(self.written..).unwrap_or_default()) {
                    Ok(count) => self.written += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if self.closed {
                if !self.ended {
                    self.ended = true;
                    // The other side may have gone; its own direction tells.
                    let _ = to.no_more();
                }
                return Ok(());
            }
        }
        Ok(())
    }
}
