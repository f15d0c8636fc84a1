//! A web server for smoke checks: whatever is asked, it answers that all is well.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-type: text/plain\r\ncontent-length: 11\r\nconnection: close\r\n\r\nall is well";

/// Starts it on this machine; gives its URL. It ends with the runtime.
pub async fn start() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A request without a body comes in one piece.
                let _ = connection.read(&mut [0; 4096]).await;
                let _ = connection.write_all(ANSWER).await;
            });
        }
    });
    Ok(url)
}
