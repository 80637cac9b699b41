//! HTTP/1.1 over our own accept loop, so that a connection can be refused, reset, closed or kept waiting for real.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

/// Longest wait for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Wait after a failed accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How a request ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Abort {
    /// The caller sees a reset connection.
    #[error("connection reset on purpose")]
    Reset,
    /// The caller sees the end of the stream.
    #[error("connection closed on purpose")]
    Close,
}

/// Answers one request.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Abort>> + Send>>;

/// A port that is ours whether or not anyone listens on it.
pub(crate) struct Port {
    address: SocketAddr,
    /// Bound, never listening: keeps others from the port while connects are refused.
    _reservation: TcpSocket,
}

impl Port {
    pub(crate) fn bind(wanted: SocketAddr) -> std::io::Result<Self> {
        let reservation = socket(wanted)?;
        Ok(Self { address: reservation.local_addr()?, _reservation: reservation })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn listen(&self) -> std::io::Result<TcpListener> {
        socket(self.address)?.listen(BACKLOG)
    }
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves the port while `open` is true and until its sender is gone; while it is false, connects are refused.
/// Every connection holds a clone of `busy` for as long as it lives. `listening` tells what connects meet just now.
pub(crate) async fn serve<F>(
    port: Port,
    mut open: watch::Receiver<bool>,
    listening: watch::Sender<bool>,
    busy: mpsc::Sender<()>,
    answer: F,
) where
    F: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let listener = match port.listen() {
            Ok(listener) => listener,
            Err(err) => {
                tracing::error!(error = %err, address = %port.address, "cannot listen");
                return;
            }
        };
        listening.send_replace(true);
        tokio::select! {
            // Shut, or the service ends.
            _ = shut(open.clone()) => {}
            () = accept(&listener, &open, &busy, &answer) => {}
        }
        drop(listener);
        listening.send_replace(false);
    }
}

/// Resolves when the port is to be shut; also when nobody is left to say so.
async fn shut(mut open: watch::Receiver<bool>) {
    while *open.borrow_and_update() {
        if open.changed().await.is_err() {
            return;
        }
    }
}

async fn accept<F>(listener: &TcpListener, open: &watch::Receiver<bool>, busy: &mpsc::Sender<()>, answer: &F)
where
    F: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, open.clone(), busy.clone(), answer.clone()));
            }
            Err(err) => {
                tracing::warn!(error = %err, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<F>(stream: TcpStream, open: watch::Receiver<bool>, busy: mpsc::Sender<()>, answer: F)
where
    F: Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
{
    let _busy = busy;
    if let Err(err) = stream.set_nodelay(true) {
        tracing::debug!(error = %err, "nodelay refused");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut served = http.serve_connection(TokioIo::new(stream), service_fn(answer));
    let outcome = {
        let mut closing = pin!(shut(open));
        let first = tokio::select! {
            outcome = Pin::new(&mut served) => Some(outcome),
            () = &mut closing => None,
        };
        match first {
            Some(outcome) => outcome,
            None => {
                Pin::new(&mut served).graceful_shutdown();
                Pin::new(&mut served).await
            }
        }
    };
    let Err(err) = outcome else { return };
    let abort = std::error::Error::source(&err).and_then(|source| source.downcast_ref::<Abort>());
    if abort == Some(&Abort::Reset)
        && let Err(err) = served.into_parts().io.into_inner().set_zero_linger()
    {
        tracing::warn!(error = %err, "connection could not be reset");
    }
}
