//! A connection that keeps up: the head of a request arrives in time, and answers are taken in time.
//!
//! hyper's own header time-out also closes idle connections, so a short one races with the pools of load balancers and
//! turns into their 502s. Here the short limit counts from the first byte of a head, and idleness has its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Whether the connection waits for (more of) a request's head; shared with whoever answers requests.
#[derive(Clone)]
pub(crate) struct Awaiting(Arc<AtomicBool>);

impl Awaiting {
    /// The head is complete.
    pub(crate) fn arrived(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// The answer is on its way; the next bytes are another head.
    pub(crate) fn next(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream with the two limits.
pub(crate) struct Paced<T> {
    io: T,
    awaiting: Awaiting,
    head_max: Duration,
    write_max: Duration,
    head_deadline: Option<Instant>,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> Paced<T> {
    /// A new connection owes its first head from now on.
    pub(crate) fn new(io: T, head_max: Duration, write_max: Duration) -> (Self, Awaiting) {
        let awaiting = Awaiting(Arc::new(AtomicBool::new(true)));
        let head_deadline = Some(Instant::now() + head_max);
        let (head_timer, write_timer) = (None, None);
        (Self { io, awaiting: awaiting.clone(), head_max, write_max, head_deadline, head_timer, write_timer }, awaiting)
    }

    /// Has the head's deadline passed? Registers for it otherwise.
    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.awaiting.0.load(Ordering::Relaxed) {
            self.head_deadline = None;
            self.head_timer = None;
        }
        let Some(deadline) = self.head_deadline else { return false };
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(cx).is_ready()
    }

    /// Passes a write's result on; a write that makes no progress for too long becomes an error.
    fn watch_write<R>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.write_timer = None;
            return poll;
        }
        let max = self.write_max;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(max)));
        timer.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            let awaiting = self.awaiting.0.load(Ordering::Relaxed);
            if awaiting && self.head_deadline.is_none_or(|deadline| deadline > Instant::now()) {
                let head_max = self.head_max;
                self.head_deadline.get_or_insert_with(|| Instant::now() + head_max);
                return read;
            }
            if !awaiting {
                self.head_deadline = None;
                self.head_timer = None;
                return read;
            }
        } else if read.is_ready() || !self.head_is_late(cx) {
            return read;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request did not arrive in time")))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.watch_write(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
