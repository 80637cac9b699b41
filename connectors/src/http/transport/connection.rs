//! One connection, which carries one request at a time.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use schemas::core::Unsent;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::meter::{Meter, MeteredSocket};
use super::tls::TlsClient;
use crate::http::call::Base;

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An answer read whole.
pub(in crate::http) struct Answer {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) headers: HeaderMap,
    pub(in crate::http) body: Bytes,
}

/// An exchange without an answer. The connection is gone.
pub(super) struct Broken {
    /// Bytes of this request that left the process.
    pub(super) written: u64,
    pub(super) reason: String,
}

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    meter: Arc<Meter>,
    opened: Instant,
}

impl Connection {
    /// Looks the name up, connects to each address in turn, and shakes hands where there is TLS; until the deadline. No byte of a
    /// request is written. The error says what the failure shows of the core: behind an open port its TLS may be a proxy's.
    pub(super) async fn open(
        base: &Base,
        tls: Option<&TlsClient>,
        deadline: Instant,
    ) -> Result<Self, (Unsent, String)> {
        let socket = timeout_at(deadline, Self::connect(base)).await.unwrap_or_else(late);
        let socket = socket.map_err(|reason| (Unsent::CoreAway, reason))?;
        let meter = Arc::new(Meter::default());
        let metered = MeteredSocket::new(socket, Arc::clone(&meter));
        let over = async {
            match tls {
                None => Self::over(metered, meter).await,
                Some(tls) => Self::over(tls.shake_hands(metered).await?, meter).await,
            }
        };
        let opened = timeout_at(deadline, over).await.unwrap_or_else(late);
        opened.map_err(|reason| (Unsent::ConnectionLost, reason))
    }

    async fn connect(base: &Base) -> Result<TcpStream, String> {
        let looked_up = lookup_host((base.host.as_str(), base.port)).await;
        let mut failed = "the name has no address".to_owned();
        for address in looked_up.map_err(|err| format!("look-up of the name failed: {err}"))? {
            match TcpStream::connect(address).await {
                Ok(socket) => return Self::set_up(socket),
                Err(err) => failed = format!("cannot connect to {address}: {err}"),
            }
        }
        Err(failed)
    }

    fn set_up(socket: TcpStream) -> Result<TcpStream, String> {
        // A reset throws away what the kernel still holds. After a plain close the kernel may deliver it minutes later over
        // a broken network, when we have already said that the attempt ended, or when our successor has.
        let set = socket.set_nodelay(true).and_then(|()| socket.set_zero_linger());
        set.map_err(|err| format!("cannot set up the socket: {err}"))?;
        Ok(socket)
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        meter: Arc<Meter>,
    ) -> Result<Self, String> {
        let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|err| format!("cannot set up HTTP: {err}"))?;
        let driver = tokio::spawn(async move {
            if let Err(err) = connection.await {
                tracing::debug!(error = %err, "a connection to the core broke");
            }
        });
        Ok(Self { sender, driver, meter, opened: Instant::now() })
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// The other side has closed it, as far as we have noticed.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends and reads the whole answer. On anything else the connection is reset before this returns, and what it
    /// wrote is known: the time-out cuts `converse` anywhere, which is safe because nothing of it is used again.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<(Answer, Self), Broken> {
        let before = self.meter.written();
        self.meter.begins(deadline);
        let reason = match timeout_at(deadline, self.converse(request, body_bytes_max)).await {
            Ok(Ok(answer)) => {
                self.meter.is_over();
                return Ok((answer, self));
            }
            Ok(Err(reason)) => reason,
            Err(_) => "no whole answer in time".to_owned(),
        };
        let written = self.end().await - before;
        Err(Broken { written, reason })
    }

    async fn converse(&mut self, request: Request<Full<Bytes>>, body_bytes_max: usize) -> Result<Answer, String> {
        self.sender.ready().await.map_err(|err| format!("connection closed: {err}"))?;
        let answer = self.sender.send_request(request).await.map_err(|err| format!("no answer: {err}"))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, body_bytes_max).collect().await.map_err(|err| format!("no whole body: {err}"))?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// Drops the socket and waits until it is gone; only then is the count final.
    pub(super) async fn end(mut self) -> u64 {
        self.driver.abort();
        if let Err(err) = (&mut self.driver).await
            && err.is_panic()
        {
            tracing::error!(error = %err, "the driver of a connection to the core panicked");
        }
        self.meter.written()
    }
}

fn late<T>(_: Elapsed) -> Result<T, String> {
    Err("no connection within its time".to_owned())
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
