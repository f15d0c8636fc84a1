//! What comes through, on sockets of this machine.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream, UdpSocket},
    os::{fd::AsRawFd as _, unix::net::UnixListener},
};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket};

use super::{datagrams::MOST_SENDERS, *};

/// A port that is free right now.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn forward(udp: bool, to: SocketAddr) -> SocketAddr {
    let local = free();
    start(&[Rule { udp, local, to }], None).unwrap();
    at(local)
}

/// What a connection gets for a word: all that comes until it is closed.
fn answer(here: SocketAddr, word: &str) -> String {
    let mut client = TcpStream::connect(here).unwrap();
    client.write_all(word.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// A service that says what it is told in capitals, once the other side has ended.
fn capitals() -> SocketAddr {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in service.incoming() {
            let mut stream = stream.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            stream.write_all(heard.to_uppercase().as_bytes()).unwrap();
        }
    });
    address
}

/// A service whose kernel takes no further connection and refuses none: each waits. What is in the way is given too.
fn stuck() -> (TcpListener, Vec<TcpStream>) {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrStorage::from(at(0))).unwrap();
    listen(&fd, Backlog::new(1).unwrap()).unwrap();
    let service = TcpListener::from(fd);
    let address = service.local_addr().unwrap();
    let mut inside = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        inside.push(stream);
        assert!(inside.len() < 100, "the kernel takes all connections");
    }
    (service, inside)
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
        (0..MOST_TO_SERVICES + 40).map(|_| TcpStream::connect(here).unwrap()).collect();
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
    let error = start(&[Rule { udp: false, local, to: taken.local_addr().unwrap() }], None).unwrap_err();
    assert!(error.contains(&format!("port {local} at localhost")), "{error}");
}

#[test]
fn a_service_that_keeps_its_connections_waiting_holds_up_nobody_else() {
    let (slow, _inside) = stuck();
    let (first, second) = (free(), free());
    let rules = [
        Rule { udp: false, local: first, to: slow.local_addr().unwrap() },
        Rule { udp: false, local: second, to: capitals() },
    ];
    let all = Forwards { limit: Duration::from_secs(3600), ..Forwards::default() };
    all.start(&rules, None).unwrap();
    let waiting: Vec<TcpStream> =
        (0..MOST_OPENING + 3).map(|_| TcpStream::connect(at(first)).unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(answer(at(second), "hello"), "HELLO");
    }
    drop(waiting);
}

#[test]
fn a_connection_that_is_never_opened_is_closed_in_the_end() {
    let (slow, _inside) = stuck();
    let local = free();
    let all = Forwards { limit: Duration::from_millis(50), ..Forwards::default() };
    all.start(&[Rule { udp: false, local, to: slow.local_addr().unwrap() }], None).unwrap();
    for _ in 0..MOST_OPENING + 1 {
        let mut client = TcpStream::connect(at(local)).unwrap();
        let read = client.read(&mut [0; 8]);
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[test]
fn connections_to_the_runner_come_to_its_socket_and_are_closed_while_it_is_away() {
    let folder = std::env::temp_dir().join(format!("tidegate-forward-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let runner = UnixListener::bind(&socket).unwrap();
    let here = at(free());
    start(&[], Some((here, &socket))).unwrap();
    let served = std::thread::spawn(move || {
        let (mut connection, _) = runner.accept().unwrap();
        let mut heard = String::new();
        connection.read_to_string(&mut heard).unwrap();
        connection.write_all(heard.to_uppercase().as_bytes()).unwrap();
    });
    assert_eq!(answer(here, "hello"), "HELLO");
    served.join().unwrap();
    // Nobody listens any more: the connection is closed at once, and the next one is taken all the same.
    std::fs::remove_file(&socket).unwrap();
    for _ in 0..2 {
        let mut program = TcpStream::connect(here).unwrap();
        assert_eq!(program.read(&mut [0; 8]).unwrap_or(0), 0);
    }
    // It is back.
    let runner = UnixListener::bind(&socket).unwrap();
    let served = std::thread::spawn(move || {
        let (mut connection, _) = runner.accept().unwrap();
        connection.write_all(b"again").unwrap();
    });
    let mut back = String::new();
    TcpStream::connect(here).unwrap().read_to_string(&mut back).unwrap();
    assert_eq!(back, "again");
    served.join().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_runners_port_may_be_taken_by_somebody_in_the_image() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = free();
    let rules = [Rule { udp: false, local, to: capitals() }];
    start(&rules, Some((taken.local_addr().unwrap(), Path::new("/nowhere")))).unwrap();
    assert_eq!(answer(at(local), "a"), "A");
}
