//! The way to the runner's toolkit: what connects to a port of the sandbox's own loopback is led to a socket that the
//! runner has put into a folder of the sandbox.
//!
//! So programs that only speak HTTP over TCP reach the runner, and nobody needs a network for it: a closed sandbox
//! stays closed, and nothing outside the sandbox can knock here. Threads do it, apart from the loop of
//! [`crate::serve`]; they share nothing with it and end with the process. A connection that finds no socket (the runner
//! is being restarted) is closed, and its program tries again.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::wire::{TOOLKIT_ADDRESS, TOOLKIT_SOCKET};

/// Connections at a time; what comes beyond that is closed.
const MOST: usize = 64;
/// A thread only copies.
const STACK: usize = 64 << 10;

/// Begins to lead connections on, where the runner has put a socket. Called once, with signals blocked, so that the
/// threads never get one.
pub fn begin() {
    if !Path::new(TOOLKIT_SOCKET).exists() {
        return;
    }
    // Somebody in the image may have the port; then whoever needs it says so itself.
    let Ok(listener) = TcpListener::bind(TOOLKIT_ADDRESS) else { return };
    let _ = start(move || accept(&listener, Path::new(TOOLKIT_SOCKET)));
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().stack_size(STACK).spawn(work)
}

fn accept(listener: &TcpListener, socket: &Path) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            // Out of descriptors, most likely: others end meanwhile.
            thread::sleep(std::time::Duration::from_millis(50));
            continue;
        };
        if open.load(Ordering::Acquire) >= MOST {
            continue;
        }
        let Ok(runner) = UnixStream::connect(socket) else { continue };
        open.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(open.clone());
        // When no thread can be had, all is dropped, and so closed and counted.
        let _ = start(move || join(counted, connection, runner));
    }
}

/// One open connection.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Copies in both directions until both have ended.
fn join(_counted: Counted, program: TcpStream, runner: UnixStream) {
    let _ = program.set_nodelay(true);
    let (Ok(mut from_program), Ok(mut to_runner)) = (program.try_clone(), runner.try_clone()) else { return };
    let there = start(move || {
        let _ = io::copy(&mut from_program, &mut to_runner);
        let _ = to_runner.shutdown(Shutdown::Write);
    });
    let (mut from_runner, mut to_program) = (runner, program);
    if there.is_ok() {
        let _ = io::copy(&mut from_runner, &mut to_program);
    }
    // What the program still sends has no reader any more.
    let _ = to_program.shutdown(Shutdown::Both);
    let _ = from_runner.shutdown(Shutdown::Both);
    if let Ok(there) = there {
        let _ = there.join();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixListener,
    };

    use super::*;

    #[test]
    fn bytes_go_both_ways_and_ends_are_passed_on() {
        let folder = std::env::temp_dir().join(format!("tidegate-forward-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("socket");
        let runner = UnixListener::bind(&socket).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = socket.clone();
        thread::spawn(move || accept(&listener, &path));
        let served = thread::spawn(move || {
            let (mut connection, _) = runner.accept().unwrap();
            let mut heard = String::new();
            connection.read_to_string(&mut heard).unwrap();
            connection.write_all(heard.to_uppercase().as_bytes()).unwrap();
        });
        let mut program = TcpStream::connect(address).unwrap();
        program.write_all(b"hello").unwrap();
        program.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        program.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        served.join().unwrap();
        // Nobody listens any more: the connection is closed at once, and the next one is taken all the same.
        std::fs::remove_file(&socket).unwrap();
        for _ in 0..2 {
            let mut program = TcpStream::connect(address).unwrap();
            assert_eq!(program.read(&mut [0; 8]).unwrap_or(0), 0);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
