//! Single keys from the terminal. While a [`Keys`] lives, typed characters do not appear and need no Enter, so that
//! they cannot disturb what is drawn; the terminal is put back when it is dropped. Ctrl-C stays a signal.

use std::{io::Read, os::fd::AsFd};

use nix::sys::termios::{FlushArg, LocalFlags, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::failure::{Doing, Outcome};

/// The terminal's keys.
pub struct Keys {
    before: Termios,
    typed: mpsc::UnboundedReceiver<char>,
}

impl Keys {
    /// Takes the terminal over. The thread that reads ends with the process.
    pub fn listen() -> Outcome<Self> {
        let input = std::io::stdin();
        let before = tcgetattr(input.as_fd()).doing("cannot ask the terminal for its settings")?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(input.as_fd(), SetArg::TCSANOW, &quiet)
            .doing("cannot set the terminal up for single keys")?;
        let (send, typed) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if send.send(char::from(byte)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { before, typed })
    }

    /// Forgets what was typed before a question was asked.
    pub fn forget(&mut self) {
        let _ = tcflush(std::io::stdin().as_fd(), FlushArg::TCIFLUSH);
        while self.typed.try_recv().is_ok() {}
    }

    /// The next key, if one was pressed.
    pub fn next(&mut self) -> Option<char> {
        self.typed.try_recv().ok()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.before);
    }
}
