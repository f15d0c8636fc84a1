//! The frames of JSON-RPC as language servers speak it: a header with the length, an empty line, that many bytes.

use std::io::{self, BufRead, Read as _, Write};

use serde_json::Value;

/// A larger message is no file that anybody edits.
const MOST_BYTES: usize = 32 << 20;
/// The longest header.
const MOST_HEADER: u64 = 4096;

/// What was read.
pub enum Read {
    /// A message.
    Message(Value),
    /// Bytes that are no JSON, and why. The next message can be read.
    NoJson(String),
    /// The other side has gone.
    End,
}

/// Reads one message.
pub fn read(input: &mut impl BufRead) -> io::Result<Read> {
    let mut length = None;
    let mut header = input.take(MOST_HEADER);
    loop {
        let mut line = Vec::new();
        if header.read_until(b'\n', &mut line)? == 0 {
            // The end of a stream between messages is how editors leave.
            return if length.is_none() && header.limit() > 0 {
                Ok(Read::End)
            } else {
                Err(broken("a header does not end"))
            };
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.ok_or_else(|| broken("a header has no Content-Length"))?;
    if length > MOST_BYTES {
        return Err(broken(&format!("a message has {length} bytes, which no pipeline file has")));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(match serde_json::from_slice(&body) {
        Ok(message) => Read::Message(message),
        Err(error) => Read::NoJson(format!("the message is not JSON: {error}")),
    })
}

/// Writes one message.
pub fn write(output: &mut impl Write, message: &Value) -> io::Result<()> {
    let body = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, &json!({"text": "ü😀"})).unwrap();
        bytes.extend_from_slice(b"content-length: 1\r\nContent-Type: x\r\n\r\n{");
        let mut input = io::Cursor::new(bytes);
        assert!(matches!(read(&mut input).unwrap(), Read::Message(message) if message["text"] == "ü😀"));
        assert!(matches!(read(&mut input).unwrap(), Read::NoJson(_)));
        assert!(matches!(read(&mut input).unwrap(), Read::End));
    }

    #[test]
    fn what_is_no_frame_is_refused_within_bounds() {
        for bytes in [
            "Content-Length: 99999999999\r\n\r\n".to_owned(),
            "X: y\r\n\r\n".to_owned(),
            "x".repeat(10_000),
            "Content-Length: 5\r\n\r\n{}".to_owned(),
            "Content-Length: 5\r\n".to_owned(),
        ] {
            assert!(read(&mut io::Cursor::new(bytes.clone().into_bytes())).is_err(), "{bytes:.40}");
        }
    }
}
