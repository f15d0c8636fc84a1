//! Ports of services at `localhost` of the sandbox: what connects here is passed on to the service's own address.
//!
//! One thread and one `poll` for all of them, in process 1, so that no step sees or ends it; another thread opens the
//! connections to services, which may take its time. All is bounded: so many connections at once (more of them wait in
//! the kernel's queue), a buffer of fixed size each way, so many senders of datagrams (the one that was silent for
//! longest makes room). A buffer is filled again only when it was written out, so whoever reads slowly slows the other
//! side and nothing piles up.

use std::{
    io::{ErrorKind, PipeReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd as _, BorrowedFd},
    sync::mpsc::{Receiver, Sender as Queue, channel},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// Connections at once.
const MOST_PAIRS: usize = 256;
/// Senders of datagrams at once.
const MOST_SENDERS: usize = 64;
/// Bytes on their way in one direction of a connection.
const BUFFER: usize = 32 << 10;
/// How long a service may take to answer a connection.
const OPENING: Duration = Duration::from_secs(10);
/// The longest datagram.
const DATAGRAM: usize = 65_536;
/// How often one direction is read and written before the others have their turn.
const ROUNDS: usize = 8;

/// A port at `localhost` and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    udp: bool,
    local: u16,
    to: SocketAddr,
}

impl Rule {
    /// Reads `tcp:5432=172.17.0.2:5432`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no = || format!("`{text}` says no port and where it leads");
        let (kind, rest) = text.split_once(':').ok_or_else(no)?;
        let (local, to) = rest.split_once('=').ok_or_else(no)?;
        let udp = match kind {
            "tcp" => false,
            "udp" => true,
            _ => return Err(no()),
        };
        Ok(Self { udp, local: local.parse().map_err(|_| no())?, to: to.parse().map_err(|_| no())? })
    }
}

/// Listens on all ports and passes on what comes, in a thread of its own. An error is a sentence about the first port
/// that cannot be had; then nothing is passed on.
pub fn start(rules: &[Rule]) -> Result<(), String> {
    if rules.is_empty() {
        return Ok(());
    }
    let mut all = Forwards::default();
    for rule in rules {
        all.listen(rule)
            .map_err(|error| format!("port {} at localhost cannot be had: {error}", rule.local))?;
    }
    let says = |error: std::io::Error| format!("ports at localhost: {error}");
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10);
    let (to_open, asked) = channel::<(TcpStream, SocketAddr)>();
    let (opened, answers) = channel();
    let (woken, mut wake) = std::io::pipe().map_err(says)?;
    let open = move || {
        for (client, to) in asked {
            let service = TcpStream::connect_timeout(&to, OPENING);
            // A client without a service sees its connection closed.
            let pair = service.ok().and_then(|service| Pair::new(client, service));
            if opened.send(pair).is_err() || wake.write_all(b"x").is_err() {
                return;
            }
        }
    };
    thread("connections").spawn(open).map_err(says)?;
    let opener = Opener { to_open, answers, woken, open: 0 };
    thread("ports").spawn(move || all.serve(opener)).map(|_| ()).map_err(says)
}

#[derive(Default)]
struct Forwards {
    listeners: Vec<(TcpListener, SocketAddr)>,
    pairs: Vec<Pair>,
    datagrams: Vec<Datagrams>,
}

/// The thread that opens connections to services.
struct Opener {
    to_open: Queue<(TcpStream, SocketAddr)>,
    answers: Receiver<Option<Pair>>,
    woken: PipeReader,
    /// How many it was given and has not answered.
    open: usize,
}

/// What a descriptor in the list of a `poll` belongs to.
#[derive(Clone, Copy)]
enum Of {
    Opener,
    Listener(usize),
    Pair(usize),
    Datagrams(usize),
}

impl Forwards {
    fn listen(&mut self, rule: &Rule) -> std::io::Result<()> {
        // Programs may try either address of `localhost` first. There need not be an IPv6 one.
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        for (at, address) in addresses.into_iter().enumerate() {
            let address = SocketAddr::new(address, rule.local);
            let bound = if rule.udp {
                Datagrams::bind(address, rule.to).map(|datagrams| self.datagrams.push(datagrams))
            } else {
                TcpListener::bind(address).and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    self.listeners.push((listener, rule.to));
                    Ok(())
                })
            };
            if at == 0 {
                bound?;
            }
        }
        Ok(())
    }

    fn serve(mut self, mut opener: Opener) {
        loop {
            let ready = match self.wait(&opener) {
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
                    Of::Opener => {
                        let _ = opener.woken.read(&mut [0; 256]);
                        while let Ok(pair) = opener.answers.try_recv() {
                            opener.open = opener.open.saturating_sub(1);
                            self.pairs.extend(pair);
                        }
                    }
                    Of::Listener(at) => self.accept(at, &mut opener),
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
            self.pairs.retain(|pair| !pair.over);
        }
    }

    /// Waits until something can be done, and tells for whom. A descriptor that is of no interest now is left out: one
    /// that was closed by the other side would be told of over and over.
    fn wait(&self, opener: &Opener) -> Result<Vec<Of>, Errno> {
        let mut fds = vec![PollFd::new(opener.woken.as_fd(), PollFlags::POLLIN)];
        let mut whose = vec![Of::Opener];
        if self.pairs.len() + opener.open < MOST_PAIRS {
            for (at, (listener, _)) in self.listeners.iter().enumerate() {
                fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
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
        poll(&mut fds, PollTimeout::NONE)?;
        let ready = fds.iter().zip(whose).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(ready.map(|(_, of)| of).collect())
    }

    fn accept(&mut self, at: usize, opener: &mut Opener) {
        let Some((listener, to)) = self.listeners.get(at) else { return };
        while self.pairs.len() + opener.open < MOST_PAIRS {
            match listener.accept() {
                Ok((client, _)) => {
                    if opener.to_open.send((client, *to)).is_ok() {
                        opener.open += 1;
                    }
                }
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

/// A connection from inside and its other half to the service.
struct Pair {
    client: TcpStream,
    service: TcpStream,
    up: Way,
    down: Way,
    over: bool,
}

impl Pair {
    fn new(client: TcpStream, service: TcpStream) -> Option<Self> {
        for stream in [&client, &service] {
            stream.set_nonblocking(true).ok()?;
            // What comes in small pieces goes on in small pieces: questions and answers do not wait for each other.
            let _ = stream.set_nodelay(true);
        }
        Some(Self { client, service, up: Way::default(), down: Way::default(), over: false })
    }

    fn interest(&self) -> [(BorrowedFd<'_>, PollFlags); 2] {
        let flags = |reads: &Way, writes: &Way| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, reads.wants_more());
            flags.set(PollFlags::POLLOUT, writes.holds());
            flags
        };
        [
            (self.client.as_fd(), flags(&self.up, &self.down)),
            (self.service.as_fd(), flags(&self.down, &self.up)),
        ]
    }

    fn work(&mut self) {
        let up = self.up.carry(&self.client, &self.service);
        let down = self.down.carry(&self.service, &self.client);
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

    fn carry(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
        for _ in 0..ROUNDS {
            if self.wants_more() {
                self.buffer.resize(BUFFER, 0);
                self.written = BUFFER;
                match from.read(&mut self.buffer) {
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
                match to.write(self.buffer.get(self.written..).unwrap_or_default()) {
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
                    let _ = to.shutdown(Shutdown::Write);
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A port for datagrams. Each sender has a socket of its own to the service, by which answers find back.
struct Datagrams {
    here: UdpSocket,
    to: SocketAddr,
    senders: Vec<Sender>,
}

struct Sender {
    address: SocketAddr,
    socket: UdpSocket,
    used: Instant,
}

impl Datagrams {
    fn bind(address: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let here = UdpSocket::bind(address)?;
        here.set_nonblocking(true)?;
        Ok(Self { here, to, senders: Vec::new() })
    }

    fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [&self.here].into_iter().chain(self.senders.iter().map(|sender| &sender.socket))
    }

    /// Datagrams may be lost, so whatever cannot be sent right now is.
    fn work(&mut self) {
        let mut buffer = vec![0; DATAGRAM];
        for _ in 0..ROUNDS {
            let Ok((count, address)) = self.here.recv_from(&mut buffer) else { break };
            if let Some(sender) = self.sender(address) {
                let _ = sender.socket.send(buffer.get(..count).unwrap_or_default());
            }
        }
        for sender in &mut self.senders {
            for _ in 0..ROUNDS {
                let Ok(count) = sender.socket.recv(&mut buffer) else { break };
                sender.used = Instant::now();
                let _ = self.here.send_to(buffer.get(..count).unwrap_or_default(), sender.address);
            }
        }
    }

    fn sender(&mut self, address: SocketAddr) -> Option<&Sender> {
        let known = self.senders.iter().position(|sender| sender.address == address);
        let at = match known {
            Some(at) => at,
            None => {
                let any: IpAddr = if self.to.is_ipv4() {
                    Ipv4Addr::UNSPECIFIED.into()
                } else {
                    Ipv6Addr::UNSPECIFIED.into()
                };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
                socket.set_nonblocking(true).ok()?;
                socket.connect(self.to).ok()?;
                if self.senders.len() >= MOST_SENDERS {
                    let oldest = self.senders.iter().enumerate().min_by_key(|(_, sender)| sender.used);
                    if let Some((oldest, _)) = oldest {
                        self.senders.swap_remove(oldest);
                    }
                }
                self.senders.push(Sender { address, socket, used: Instant::now() });
                self.senders.len() - 1
            }
        };
        let sender = self.senders.get_mut(at)?;
        sender.used = Instant::now();
        Some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = Rule::parse("udp:53=10.0.0.2:5353").unwrap();
        assert_eq!(rule, Rule { udp: true, local: 53, to: "10.0.0.2:5353".parse().unwrap() });
        for bad in
            ["", "tcp:1", "sctp:1=10.0.0.2:1", "tcp:x=10.0.0.2:1", "tcp:1=host:1", "tcp:70000=10.0.0.2:1"]
        {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }

    /// A port that is free right now.
    fn free() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn forward(udp: bool, to: SocketAddr) -> SocketAddr {
        let local = free();
        start(&[Rule { udp, local, to }]).unwrap();
        SocketAddr::from(([127, 0, 0, 1], local))
    }

    #[test]
    fn every_byte_comes_through_both_ways_and_each_half_is_closed_by_itself() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = forward(false, service.local_addr().unwrap());
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = service.accept().unwrap();
            let mut all = Vec::new();
            // Only the end of what the client sends lets it go on.
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
            all.len()
        });
        let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        let mut client = TcpStream::connect(here).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(echo.join().unwrap(), sent.len());
        assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
    }

    #[test]
    fn more_connections_than_there_is_room_for_wait_their_turn() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = forward(false, service.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in service.incoming() {
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut word = [0; 4];
                    stream.read_exact(&mut word).unwrap();
                    stream.write_all(&word).unwrap();
                });
            }
        });
        let mut clients: Vec<TcpStream> =
            (0..MOST_PAIRS + 40).map(|_| TcpStream::connect(here).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"ping").unwrap();
        }
        for client in &mut clients {
            let mut word = [0; 4];
            client.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"ping");
            // It makes room for one that waits.
            client.shutdown(Shutdown::Both).unwrap();
        }
    }

    #[test]
    fn a_service_that_does_not_listen_closes_the_connection() {
        let here = forward(false, SocketAddr::from(([127, 0, 0, 1], free())));
        let mut client = TcpStream::connect(here).unwrap();
        let read = client.read(&mut [0; 8]);
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }

    #[test]
    fn answers_find_back_to_the_sender_of_a_datagram() {
        let service = UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = forward(true, service.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((count, from)) = service.recv_from(&mut buffer) {
                service.send_to(&buffer[..count], from).unwrap();
            }
        });
        for at in 0..MOST_SENDERS + 5 {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let said = format!("sender {at}");
            client.send_to(said.as_bytes(), here).unwrap();
            let mut buffer = [0; 100];
            let (count, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..count], from), (said.as_bytes(), here));
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = taken.local_addr().unwrap().port();
        let error = start(&[Rule { udp: false, local, to: taken.local_addr().unwrap() }]).unwrap_err();
        assert!(error.contains(&format!("port {local} at localhost")), "{error}");
    }
}
