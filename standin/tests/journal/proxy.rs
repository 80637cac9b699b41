//! A proxy in front of a server that loses the answers to COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many answers to COMMIT are still to be lost.
pub type Losses = Arc<AtomicU32>;

/// `url` through the proxy: the server commits, the client's connection is cut before it hears so.
pub async fn losing_commits(url: &str) -> (String, Losses) {
    let losses = Losses::default();
    let (head, tail) = url.rsplit_once('@').unwrap();
    let (address, database) = tail.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxied = format!("{head}@{}/{database}", listener.local_addr().unwrap());
    let (address, told) = (address.to_owned(), losses.clone());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            tokio::spawn(relay(client, server, told.clone()));
        }
    });
    (proxied, losses)
}

async fn relay(mut client: TcpStream, mut server: TcpStream, losses: Losses) {
    let (mut sent, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            n = client.read(&mut sent) => {
                let Ok(n @ 1..) = n else { return };
                // The command itself, not the name of an isolation level.
                let commit = sent[..n].windows(7).any(|word| word == b"\x03COMMIT");
                let lose = commit && losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                if server.write_all(&sent[..n]).await.is_err() {
                    return;
                }
                if lose {
                    // The server's answer proves that it acted; the client never sees it.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            n = server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                if client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
