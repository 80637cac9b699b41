//! Our accept loop. `axum::serve` installs no timer, so hyper's header time-out would be inert there.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use crate::exchange;
use crate::pace::Paced;

/// What one listener lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// Time for a request's head to arrive, counted from its first byte (from the start on a new connection), in milliseconds.
    pub head_ms_max: u64,
    /// Time an idle connection stays, in milliseconds; longer than the pools of load balancers keep theirs.
    pub idle_ms_max: u64,
    /// Time for a client to take a piece of its answer, in milliseconds.
    pub write_ms_max: u64,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Bytes of a request's target.
    pub uri_bytes_max: usize,
    /// Collects the answers of pipelined requests into one write. Much faster for clients that pipeline, but hyper then
    /// also keeps its own 400 and 431 back, so a malformed request only sees its connection close.
    pub pipeline_flush: bool,
    /// Time that open requests get on shutdown, in milliseconds.
    pub drain_ms_max: u64,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            head_ms_max: 5_000,
            idle_ms_max: 75_000,
            write_ms_max: 20_000,
            head_bytes_max: 16 * 1024,
            headers_max: 64,
            uri_bytes_max: 4 * 1024,
            pipeline_flush: false,
            drain_ms_max: 20_000,
        }
    }
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut at the deadline; 0 is a clean end.
    pub cut: usize,
}

/// A bound address, not serving yet.
pub struct Listener {
    tcp: TcpListener,
    limits: ListenerLimits,
}

impl Listener {
    /// Binds; port 0 takes any, see [`Listener::address`].
    pub async fn bind(address: SocketAddr, limits: ListenerLimits) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, limits })
    }

    /// The real address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What it lets through.
    pub fn limits(&self) -> ListenerLimits {
        self.limits
    }

    /// Serves a router until `drain` is done, then finishes what is open. `name` goes into the access log.
    pub async fn serve(self, name: &'static str, router: Router, drain: impl Future<Output = ()>) -> Drained {
        let labelled = router.layer(exchange::Label);
        self.serve_service(name, labelled, drain).await
    }

    /// The same for any service, such as hand-matched hot routes in front of a router.
    pub async fn serve_service<S>(self, name: &'static str, service: S, drain: impl Future<Output = ()>) -> Drained
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let room = Arc::new(Semaphore::new(self.limits.connections_max));
        let (draining, drained) = watch::channel(false);
        let mut open = JoinSet::new();
        let mut drain = pin!(drain);
        loop {
            tokio::select! {
                biased;
                () = &mut drain => break,
                Some(_) = open.join_next(), if !open.is_empty() => {}
                accepted = accept(&self.tcp, &room) => if let Some((stream, permit)) = accepted {
                    let connection = Connection { name, limits: self.limits, draining: drained.clone() };
                    open.spawn(connection.run(stream, service.clone(), permit));
                }
            }
        }
        drop(self.tcp);
        draining.send_replace(true);
        finish(open, Duration::from_millis(self.limits.drain_ms_max)).await
    }
}

/// Waits for room first. When there is none, new connections wait in the kernel instead of being accepted and starved.
async fn accept(tcp: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match tcp.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection; pausing");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn finish(mut open: JoinSet<()>, deadline: Duration) -> Drained {
    let all = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(deadline, all).await;
    let cut = open.len();
    open.shutdown().await;
    Drained { cut }
}

/// Until the listener drains, or is gone.
async fn told(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

struct Connection {
    name: &'static str,
    limits: ListenerLimits,
    draining: watch::Receiver<bool>,
}

impl Connection {
    /// One connection to its end; the permit goes back with it.
    async fn run<S>(mut self, stream: TcpStream, service: S, _permit: OwnedSemaphorePermit)
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let _ = stream.set_nodelay(true);
        let (name, uri_bytes_max) = (self.name, self.limits.uri_bytes_max);
        let ms = Duration::from_millis;
        let (stream, awaiting) = Paced::new(stream, ms(self.limits.head_ms_max), ms(self.limits.write_ms_max));
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let request = request.map(Body::new);
            let (service, awaiting) = (service.clone(), awaiting.clone());
            awaiting.arrived();
            async move {
                let answer = |request| service.oneshot(request);
                let response = exchange::run(name, uri_bytes_max, request, answer).await;
                awaiting.next();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ms(self.limits.idle_ms_max))
            .max_headers(self.limits.headers_max)
            .max_buf_size(self.limits.head_bytes_max.max(8 * 1024))
            .pipeline_flush(self.limits.pipeline_flush)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut self.draining) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, listener = name, "connection ended early");
        }
    }
}
