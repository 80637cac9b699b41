//! A connection that keeps up: the head of a request arrives in time, and answers are taken in time.
//!
//! hyper's own header time-out also closes idle connections, so a short one races with the pools of load balancers and
//! turns into their 502s. Here the short limit counts from the first byte of a head, and idleness has its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Which head of a request the connection waits for, or that it waits for none; shared with what answers requests.
///
/// Counted, because nobody may look between two heads.
#[derive(Clone)]
pub(crate) struct Awaiting(Arc<AtomicU64>);

impl Awaiting {
    /// The head is complete.
    pub(crate) fn arrived(&self) {
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    /// The answer is on its way; the next bytes are another head.
    pub(crate) fn next(&self) {
        self.arrived();
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream with the two limits.
pub(crate) struct Paced<T> {
    io: T,
    awaiting: Awaiting,
    /// The head that `head_deadline` is of.
    head: u64,
    head_max: Duration,
    write_max: Duration,
    head_deadline: Option<Instant>,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> Paced<T> {
    /// A new connection owes its first head from now on.
    pub(crate) fn new(io: T, head_max: Duration, write_max: Duration) -> (Self, Awaiting) {
        let awaiting = Awaiting(Arc::new(AtomicU64::new(0)));
        let head_deadline = Some(Instant::now() + head_max);
        let (head_timer, write_timer) = (None, None);
        let paced = Self {
            io,
            awaiting: awaiting.clone(),
            head: 0,
            head_max,
            write_max,
            head_deadline,
            head_timer,
            write_timer,
        };
        (paced, awaiting)
    }

    /// Does the connection wait for a head? The deadline of an earlier one is over.
    fn awaits_head(&mut self) -> bool {
        let head = self.awaiting.0.load(Ordering::Relaxed);
        if head != self.head {
            self.head = head;
            self.head_deadline = None;
            self.head_timer = None;
        }
        head.is_multiple_of(2)
    }

    /// Has the head's deadline passed? Registers for it otherwise.
    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.awaits_head();
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
            let awaiting = self.awaits_head();
            if awaiting && self.head_deadline.is_none_or(|deadline| deadline > Instant::now()) {
                let head_max = self.head_max;
                self.head_deadline.get_or_insert_with(|| Instant::now() + head_max);
                return read;
            }
            if !awaiting {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    const HEAD_MAX: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_the_limit_of_a_head() {
        let (mut client, server) = duplex(64);
        let (mut server, awaiting) = Paced::new(server, HEAD_MAX, HEAD_MAX);
        client.write_all(b"head").await.unwrap();
        let mut bytes = [0; 64];
        assert_eq!(server.read(&mut bytes).await.unwrap(), 4);
        awaiting.arrived();
        awaiting.next();
        assert!(
            timeout(HEAD_MAX * 1_000, server.read(&mut bytes)).await.is_err(),
            "nothing arrives, and it stays open"
        );
        client.write_all(b"h").await.unwrap();
        assert_eq!(server.read(&mut bytes).await.unwrap(), 1);
        let late = timeout(HEAD_MAX * 2, server.read(&mut bytes)).await.unwrap();
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut, "a head has begun");
    }
}
