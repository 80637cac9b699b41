//! A socket that knows whether a byte of the request in flight has left this process.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use socket2::SockRef;
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
    /// What the kernel may take until the peer has acknowledged a byte.
    unacknowledged_max: Duration,
}

impl Deadline {
    fn at(monotonic: Instant) -> Self {
        let left = monotonic.saturating_duration_since(Instant::now());
        let unacknowledged_max = left.max(KERNEL_TIME_MIN);
        Self { monotonic, wall: SystemTime::now() + left + WALL_MARGIN, unacknowledged_max }
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.monotonic || SystemTime::now() >= self.wall
    }
}

/// A wall clock that is set on by less breaks no request.
const WALL_MARGIN: Duration = Duration::from_secs(1);
/// The kernel counts in milliseconds, and 0 means its own default, which is minutes.
const KERNEL_TIME_MIN: Duration = Duration::from_millis(1);

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

    /// A stopped process or machine goes on where it was, perhaps right before the write. So the time is asked here, at the
    /// last moment. A process that is stopped after the write resets nothing, so the kernel is told when to give up by itself.
    fn may_write(&self) -> io::Result<()> {
        let Some(deadline) = *self.meter.deadline() else { return Ok(()) };
        if deadline.is_over() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        SockRef::from(&self.socket).set_tcp_user_timeout(Some(deadline.unacknowledged_max))
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
        self.may_write()?;
        let taken = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.count(&taken);
        taken
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.may_write()?;
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
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    async fn connected(meter: &Arc<Meter>) -> io::Result<(MeteredSocket, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let socket = TcpStream::connect(listener.local_addr()?).await?;
        let (peer, _) = listener.accept().await?;
        Ok((MeteredSocket::new(socket, Arc::clone(meter)), peer))
    }

    #[tokio::test]
    async fn no_byte_of_a_request_leaves_after_its_deadline() -> io::Result<()> {
        let meter = Arc::new(Meter::default());
        let (mut metered, mut peer) = connected(&meter).await?;

        meter.begins(Instant::now() + Duration::from_secs(60));
        metered.write_all(b"early").await?;
        meter.is_over();
        meter.begins(Instant::now());
        let late = metered.write(b"late").await.map_err(|err| err.kind());
        assert_eq!((late, meter.written()), (Err(io::ErrorKind::TimedOut), 5));
        meter.is_over();
        // The machine was suspended: only the wall clock has gone on.
        let suspended = Deadline { wall: SystemTime::now(), ..Deadline::at(Instant::now() + Duration::from_secs(60)) };
        *meter.deadline() = Some(suspended);
        let late = metered.write(b"late").await.map_err(|err| err.kind());
        assert_eq!((late, meter.written()), (Err(io::ErrorKind::TimedOut), 5));
        drop(metered);

        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).await?;
        assert_eq!(seen, b"early");
        Ok(())
    }

    #[tokio::test]
    async fn what_a_stopped_process_has_left_in_the_kernel_does_not_outlive_the_time_of_its_request() -> io::Result<()>
    {
        let meter = Arc::new(Meter::default());
        let (mut metered, mut peer) = connected(&meter).await?;
        meter.begins(Instant::now() + Duration::from_millis(500));
        // More than the peer takes, which reads nothing yet.
        let piece = vec![b'x'; 1 << 20];
        poll_fn(|cx| {
            while let Poll::Ready(Ok(_)) = Pin::new(&mut metered).poll_write(cx, &piece) {}
            Poll::Ready(())
        })
        .await;
        // From here on we do nothing, like a stopped process; only the kernel can end the connection.
        timeout(Duration::from_secs(60), metered.socket.readable()).await??;

        let mut arrived = Vec::new();
        let ended = peer.read_to_end(&mut arrived).await.map_err(|err| err.kind());
        assert_eq!(ended, Err(io::ErrorKind::ConnectionReset));
        assert!((arrived.len() as u64) < meter.written(), "everything arrived");
        Ok(())
    }
}
