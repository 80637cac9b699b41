//! A socket that knows whether a byte of the request in flight has left this process.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Shared between a connection's owner and its socket.
#[derive(Default)]
pub(super) struct Meter {
    written: AtomicU64,
    deadline: Mutex<Option<Deadline>>,
}

/// The end of a request's time, on two clocks.
#[derive(Clone, Copy)]
struct Deadline {
    monotonic: Instant,
    /// The monotonic clock stands still while the machine is suspended; this one goes on.
    wall: SystemTime,
}

impl Deadline {
    fn at(monotonic: Instant) -> Self {
        let left = monotonic.saturating_duration_since(Instant::now());
        Self { monotonic, wall: SystemTime::now() + left + WALL_MARGIN }
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.monotonic || SystemTime::now() >= self.wall
    }
}

/// A wall clock that is set on by less breaks no request.
const WALL_MARGIN: Duration = Duration::from_secs(1);

impl Meter {
    /// Bytes that the kernel has taken from us, over the connection's life.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// A request is under way until it is over: no byte of it leaves after `deadline`.
    pub(super) fn begins(&self, deadline: Instant) {
        *self.deadline() = Some(Deadline::at(deadline));
    }

    /// The request under way has been answered.
    pub(super) fn is_over(&self) {
        *self.deadline() = None;
    }

    /// A stopped process or machine goes on where it was, perhaps right before the write. So the time is asked here, at the
    /// last moment.
    fn in_time(&self) -> io::Result<()> {
        match *self.deadline() {
            Some(deadline) if deadline.is_over() => Err(io::Error::from(io::ErrorKind::TimedOut)),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Deadline>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket.
pub(super) struct MeteredSocket {
    socket: TcpStream,
    meter: Arc<Meter>,
}

impl MeteredSocket {
    pub(super) fn new(socket: TcpStream, meter: Arc<Meter>) -> Self {
        Self { socket, meter }
    }

    fn count(&self, taken: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(n)) = taken {
            self.meter.written.fetch_add(*n as u64, Ordering::AcqRel);
        }
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.in_time()?;
        let taken = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.count(&taken);
        taken
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.meter.in_time()?;
        let taken = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.count(&taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn no_byte_of_a_request_leaves_after_its_deadline() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let socket = TcpStream::connect(listener.local_addr()?).await?;
        let (mut peer, _) = listener.accept().await?;
        let meter = Arc::new(Meter::default());
        let mut metered = MeteredSocket::new(socket, meter.clone());

        meter.begins(Instant::now() + Duration::from_secs(60));
        metered.write_all(b"early").await?;
        meter.is_over();
        meter.begins(Instant::now());
        let late = metered.write(b"late").await.map_err(|err| err.kind());
        assert_eq!((late, meter.written()), (Err(io::ErrorKind::TimedOut), 5));
        meter.is_over();
        // The machine was suspended: only the wall clock has gone on.
        let suspended = Deadline { monotonic: Instant::now() + Duration::from_secs(60), wall: SystemTime::now() };
        *meter.deadline() = Some(suspended);
        let late = metered.write(b"late").await.map_err(|err| err.kind());
        assert_eq!((late, meter.written()), (Err(io::ErrorKind::TimedOut), 5));
        drop(metered);

        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).await?;
        assert_eq!(seen, b"early");
        Ok(())
    }
}
