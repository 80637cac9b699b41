//! A listener, and a client that says whatever a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edge::serve::{Drained, Listener, ListenerLimits};
use edge::tokens::Tokens;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Running {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub ended: JoinHandle<Drained>,
}

pub async fn start(router: Router, limits: ListenerLimits) -> Running {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let address = listener.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(listener.serve("test", router, async { drop(stopped.await) }));
    Running { address, stop, ended }
}

/// Sends raw bytes and reads to the end of the connection.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("closed in time");
    String::from_utf8(answer).unwrap()
}

pub async fn get_path(address: SocketAddr, path: &str, headers: &str) -> String {
    raw(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await
}

pub fn holds(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "{part} not in:\n{answer}");
    }
}

/// The credentials of a tokens file with this text.
pub fn tokens(file: &str) -> Arc<Tokens> {
    let path =
        std::env::temp_dir().join(format!("locum-edge-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::write(&path, file).unwrap();
    let tokens = Tokens::load(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    Arc::new(tokens)
}
