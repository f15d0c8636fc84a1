//! Ways out of the sandbox's own loopback: what connects to a port there is led to a service, or to the socket that the
//! runner has put into a folder of the sandbox.
//!
//! So services are found at `localhost`; and programs that only speak HTTP over TCP reach the runner, and nobody needs a
//! network for it: a closed sandbox stays closed, and nothing outside the sandbox can knock here.
//!
//! One thread and one `poll` for all of them, in process 1, so that no step sees or ends it. Nothing in it waits for
//! anybody: connections to services are opened meanwhile, each within its own time. All is bounded: so many connections
//! at once and so many being opened for each port (more of them wait in the kernel's queue, and the runner's port has
//! room of its own), a buffer of fixed size each way, so many senders of datagrams. A connection that finds nobody (the
//! runner is being restarted, a service is not up) is closed, and its program tries again.

mod datagrams;
mod pair;
mod rule;
#[cfg(test)]
mod tests;

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsFd as _,
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

pub use self::rule::Rule;
use self::{
    datagrams::Datagrams,
    pair::{Goal, Pair},
};

/// Open connections to services at once.
const MOST_TO_SERVICES: usize = 256;
/// Open connections to the runner at once.
const MOST_TO_RUNNER: usize = 64;
/// Connections that are being opened at once, for each port.
const MOST_OPENING: usize = 8;
/// How long a service may take to answer a connection.
const OPENING: Duration = Duration::from_secs(10);
/// How often one direction is read and written before the others have their turn.
const ROUNDS: usize = 8;

/// Listens on all ports and passes on what comes, in a thread of its own. `runner` is the port of its own that leads to
/// the runner's socket. An error is a sentence about the first port that cannot be had; then nothing is passed on. The
/// runner's may be somebody's in the image: then whoever needs it says so itself.
pub fn start(rules: &[Rule], runner: Option<(SocketAddr, &Path)>) -> Result<(), String> {
    Forwards::default().start(rules, runner)
}

struct Forwards {
    listeners: Vec<Listener>,
    pairs: Vec<Pair>,
    datagrams: Vec<Datagrams>,
    /// How long the other half of a connection may be opening.
    limit: Duration,
}

impl Default for Forwards {
    fn default() -> Self {
        Self { listeners: Vec::new(), pairs: Vec::new(), datagrams: Vec::new(), limit: OPENING }
    }
}

struct Listener {
    socket: TcpListener,
    goal: Goal,
}

impl Listener {
    fn bind(address: SocketAddr, goal: Goal) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, goal })
    }

    fn is_of_runner(&self) -> bool {
        matches!(self.goal, Goal::Runner(_))
    }
}

/// What a descriptor in the list of a `poll` belongs to.
#[derive(Clone, Copy)]
enum Of {
    Listener(usize),
    Pair(usize),
    Datagrams(usize),
}

impl Forwards {
    fn start(mut self, rules: &[Rule], runner: Option<(SocketAddr, &Path)>) -> Result<(), String> {
        for rule in rules {
            self.listen(rule)
                .map_err(|error| format!("port {} at localhost cannot be had: {error}", rule.local))?;
        }
        if let Some((address, socket)) = runner {
            self.listeners.extend(Listener::bind(address, Goal::Runner(socket.to_owned())));
        }
        if self.listeners.is_empty() && self.datagrams.is_empty() {
            return Ok(());
        }
        let thread = std::thread::Builder::new().name("ports".to_owned()).stack_size(256 << 10);
        let says = |error: Error| format!("ports at localhost: {error}");
        thread.spawn(move || self.serve()).map(|_| ()).map_err(says)
    }

    fn listen(&mut self, rule: &Rule) -> std::io::Result<()> {
        // Programs may try either address of `localhost` first. There need not be an IPv6 one.
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        for (at, address) in addresses.into_iter().enumerate() {
            let address = SocketAddr::new(address, rule.local);
            let bound = if rule.udp {
                Datagrams::bind(address, rule.to).map(|datagrams| self.datagrams.push(datagrams))
            } else {
                Listener::bind(address, Goal::Service(rule.to)).map(|listener| self.listeners.push(listener))
            };
            if at == 0 {
                bound?;
            }
        }
        Ok(())
    }

    fn serve(mut self) {
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                // The kernel is short of memory, or the like.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
            };
            for of in ready {
                match of {
                    Of::Listener(at) => self.accept(at),
                    Of::Pair(at) => {
                        if let Some(pair) = self.pairs.get_mut(at) {
                            pair.work();
                        }
                    }
                    Of::Datagrams(at) => {
                        if let Some(datagrams) = self.datagrams.get_mut(at) {
                            datagrams.work();
                        }
                    }
                }
            }
            let now = Instant::now();
            self.pairs.retain(|pair| !pair.over && pair.opening().is_none_or(|until| now < until));
        }
    }

    /// Waits until something can be done, and tells for whom. A descriptor that is of no interest now is left out: one
    /// that was closed by the other side would be told of over and over.
    fn wait(&self) -> Result<Vec<Of>, Errno> {
        let (mut fds, mut whose) = (Vec::new(), Vec::new());
        for ((at, listener), room) in self.listeners.iter().enumerate().zip(self.room()) {
            if room > 0 {
                fds.push(PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN));
                whose.push(Of::Listener(at));
            }
        }
        for (at, pair) in self.pairs.iter().enumerate() {
            for (fd, flags) in pair.interest().into_iter().filter(|(_, flags)| !flags.is_empty()) {
                fds.push(PollFd::new(fd, flags));
                whose.push(Of::Pair(at));
            }
        }
        for (at, datagrams) in self.datagrams.iter().enumerate() {
            for socket in datagrams.sockets() {
                fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
                whose.push(Of::Datagrams(at));
            }
        }
        poll(&mut fds, self.timeout())?;
        let ready = fds.iter().zip(whose).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(ready.map(|(_, of)| of).collect())
    }

    /// Until the first connection has been opening for too long.
    fn timeout(&self) -> PollTimeout {
        let Some(until) = self.pairs.iter().filter_map(Pair::opening).min() else { return PollTimeout::NONE };
        // Rounded up, so that the wake-up is not a little too early, over and over.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    /// How many connections each listener may take now. Connections count as open once they are, so all of them together
    /// may be a few more than there is room for: as many as were being opened.
    fn room(&self) -> Vec<usize> {
        let of_runner = |at: usize| self.listeners.get(at).is_some_and(Listener::is_of_runner);
        let (mut to_runner, mut to_services) = (0, 0);
        let mut opening = vec![0; self.listeners.len()];
        for pair in &self.pairs {
            match (pair.opening(), opening.get_mut(pair.of)) {
                (Some(_), Some(count)) => *count += 1,
                _ if of_runner(pair.of) => to_runner += 1,
                _ => to_services += 1,
            }
        }
        let room = opening.into_iter().enumerate().map(|(at, opening)| {
            let (most, open) =
                if of_runner(at) { (MOST_TO_RUNNER, to_runner) } else { (MOST_TO_SERVICES, to_services) };
            most.saturating_sub(open + opening).min(MOST_OPENING.saturating_sub(opening))
        });
        room.collect()
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..self.room().get(at).copied().unwrap_or_default() {
            let Some(listener) = self.listeners.get(at) else { return };
            match listener.socket.accept() {
                Ok((client, _)) => self.pairs.extend(Pair::begin(at, client, &listener.goal, self.limit)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Most of all: too many open files. It is asked for again, not at once.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(20));
                    return;
                }
            }
        }
    }
}
