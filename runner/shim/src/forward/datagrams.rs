//! Datagrams of one port: each sender has a socket of its own to the service, by which answers find back. There are only
//! so many senders; the one that was silent for longest makes room.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Instant,
};

use super::ROUNDS;

/// Senders of datagrams at once.
pub(super) const MOST_SENDERS: usize = 64;
/// The longest datagram.
const DATAGRAM: usize = 65_536;

/// A port for datagrams.
pub(super) struct Datagrams {
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
    pub(super) fn bind(address: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let here = UdpSocket::bind(address)?;
        here.set_nonblocking(true)?;
        Ok(Self { here, to, senders: Vec::new() })
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [&self.here].into_iter().chain(self.senders.iter().map(|sender| &sender.socket))
    }

    /// Datagrams may be lost, so whatever cannot be sent right now is.
    pub(super) fn work(&mut self) {
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
