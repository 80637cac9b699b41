//! A socket that knows whether a byte of the request in flight has left this process.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Shared between a connection's owner and its socket.
#[derive(Default)]
pub(super) struct Meter {
    written: AtomicU64,
    in_flight: AtomicBool,
}

impl Meter {
    /// Bytes that the kernel has taken from us, over the connection's life.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// While set, dropping the socket resets the connection.
    pub(super) fn set_in_flight(&self, in_flight: bool) {
        self.in_flight.store(in_flight, Ordering::Release);
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

impl Drop for MeteredSocket {
    /// A plain close lets the kernel go on delivering what it still holds, for minutes over a broken network, after we
    /// have said that the attempt ended. A reset throws it away.
    fn drop(&mut self) {
        if self.meter.in_flight.load(Ordering::Acquire)
            && let Err(err) = self.socket.set_zero_linger()
        {
            tracing::warn!(error = %err, "a connection to the core could not be set to reset");
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
        let taken = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.count(&taken);
        taken
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
        // A graceful shutdown in flight would deliver what is buffered; the drop that follows resets instead.
        if self.meter.in_flight.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
