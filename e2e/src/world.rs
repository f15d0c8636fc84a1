//! What is elsewhere, for stand-ins of programs such as `kubectl`: documents by their paths, over HTTP.
//!
//! `PUT` writes a document, `POST` adds one to those of a path, `GET` gives the newest (query strings do not count).
//! The programs keep their state here, so that it outlives the sandboxes they run in, and the test reads it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::host::machine_address;

/// A document may have so many bytes.
const LIMIT: usize = 4 << 20;

type Documents = Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>;

/// The server and its documents; ends when dropped.
pub struct World {
    /// `http://ADDRESS:PORT`, as containers on every network reach it.
    pub url: String,
    documents: Documents,
    server: JoinHandle<()>,
}

impl World {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await?;
        let url = format!("http://{}:{}", machine_address()?, listener.local_addr()?.port());
        let documents = Documents::default();
        let shared = Arc::clone(&documents);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let documents = Arc::clone(&shared);
                // A caller that does not speak HTTP is cut off, and sees that itself.
                tokio::spawn(async move { answer(stream, &documents).await.ok() });
            }
        });
        Ok(Self { url, documents, server })
    }

    /// Writes a document.
    pub fn put(&self, path: &str, text: &str) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.insert(path.to_owned(), vec![text.as_bytes().to_vec()]);
    }

    /// All documents of a path, the oldest first.
    pub fn all(&self, path: &str) -> Vec<String> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let found = documents.get(path).into_iter().flatten();
        found.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The newest document of a path, as JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        let text = self.all(path).pop().with_context(|| format!("there is no document `{path}`"))?;
        serde_json::from_str(&text).with_context(|| format!("`{path}` is {text}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request, one answer, and the connection is closed.
async fn answer(stream: TcpStream, documents: &Documents) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { bail!("no request: {first:?}") };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        } else if name.eq_ignore_ascii_case("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
    }
    if length > LIMIT {
        bail!("a document of {length} bytes");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let path = target.split('?').next().unwrap_or(target).to_owned();
    let (status, answer) = {
        let mut documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "GET" => match documents.get(&path).and_then(|all| all.last()) {
                Some(found) => ("200 OK", found.clone()),
                None => ("404 Not Found", Vec::new()),
            },
            "PUT" => {
                documents.insert(path, vec![body]);
                ("200 OK", b"{}".to_vec())
            }
            "POST" => {
                documents.entry(path).or_default().push(body);
                ("201 Created", b"{}".to_vec())
            }
            _ => ("405 Method Not Allowed", Vec::new()),
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    Ok(())
}
