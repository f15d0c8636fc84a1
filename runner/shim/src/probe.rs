//! Asks a service, from inside its own network, whether it is ready.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(3);

/// Opens a connection.
pub fn tcp(address: &str) -> Result<TcpStream, String> {
    let target: SocketAddr = address.parse().map_err(|_| format!("{address} is no address"))?;
    TcpStream::connect_timeout(&target, LIMIT)
        .map_err(|error| format!("nothing listens on port {}: {error}", target.port()))
}

/// Asks for a path; an answer of 2xx or 3xx is a good one.
pub fn http(address: &str, path: &str) -> Result<(), String> {
    let mut stream = tcp(address)?;
    let says = |error: std::io::Error| format!("GET {path}: {error}");
    stream.set_read_timeout(Some(LIMIT)).map_err(says)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(says)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(says)?;
    let mut head = [0; 64];
    let mut held = 0;
    while held < 12 {
        match stream.read(&mut head[held..]).map_err(says)? {
            0 => break,
            count => held += count,
        }
    }
    let head = String::from_utf8_lossy(&head[..held]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse::<u16>().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("GET {path} answered {status}")),
        None => Err(format!("GET {path}: the answer is not HTTP")),
    }
}
