//! A thin HTTP/1.1 client that can tell "provably not sent" from "outcome unknown".
//!
//! Off-the-shelf clients retry, follow redirects and hide which bytes left. This one opens connections itself, counts
//! what the kernel took of each request, and ends every connection by a reset.

mod connection;
mod meter;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub(super) use self::connection::Answer;
use self::connection::{Broken, Connection};
pub(super) use self::tls::TlsClient;
use super::call::Base;
use super::config::TransportLimits;
use schemas::core::Unsent;

/// What an exchange came to. There is no connection left in flight in any of them.
pub(super) enum Exchange<T> {
    /// An answer, read whole, and what was made of it.
    Answered(T),
    /// No byte left this process.
    NotSent(Unsent, String),
    /// Bytes left, and no whole answer came.
    Unknown(String),
}

/// What was made of an answer.
pub(super) enum Read<T> {
    /// It is a declared one.
    Understood(T),
    /// It fits declared rules and says nothing: they are of two kinds, or it lacks what they promise. Its connection carries nothing any more.
    Unusable(T),
    /// It is another request's. Nobody knows which, so the connection carries nothing any more.
    NotUnderstood(T),
    /// The same, and it does not repeat our reference although every answer of this core does: it proves nothing about our request.
    NotOurs(T),
}

/// The connections to one core.
pub(super) struct Transport {
    base: Base,
    tls: Option<TlsClient>,
    limits: TransportLimits,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Transport {
    pub(super) fn new(base: Base, limits: TransportLimits, tls: Option<TlsClient>) -> Self {
        let permits = Semaphore::new(limits.connections_max);
        Self { base, tls, limits, permits, idle: Mutex::default() }
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Sends once, on one of the connections there may be. Tries again only where not one byte was written, and never past the
    /// deadline. `read` judges the answer before its connection may be used again.
    pub(super) async fn exchange<T>(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        read: impl Fn(&Answer) -> Read<T>,
    ) -> Exchange<T> {
        let Ok(Ok(_permit)) = timeout_at(deadline, self.permits.acquire()).await else {
            return Exchange::NotSent(Unsent::NotTried, "every connection to the core stayed busy".to_owned());
        };
        self.exchange_beside(request, deadline, read).await
    }

    /// The same, without the bound: a probe must not wait for the very work whose success it foretells.
    pub(super) async fn exchange_beside<T>(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        read: impl Fn(&Answer) -> Read<T>,
    ) -> Exchange<T> {
        while let Some(connection) = self.take() {
            match self.send(connection, request.clone(), deadline, &read).await {
                // It died while it was idle: the next one, or a new one.
                Exchange::NotSent(..) if Instant::now() < deadline => {}
                done => return done,
            }
        }
        let connect_by = deadline.min(Instant::now() + Duration::from_millis(self.limits.connect_ms_max));
        match Connection::open(&self.base, self.tls.as_ref(), connect_by).await {
            Ok(connection) => self.send(connection, request, deadline, &read).await,
            Err((why, reason)) => Exchange::NotSent(unless_late(why, deadline), reason),
        }
    }

    async fn send<T>(
        &self,
        connection: Connection,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        read: &impl Fn(&Answer) -> Read<T>,
    ) -> Exchange<T> {
        // The connection is spared; `Meter` asks again with each byte.
        if Instant::now() >= deadline {
            self.put(connection);
            return Exchange::NotSent(Unsent::NotTried, "no time was left to send".to_owned());
        }
        match connection.exchange(request, self.limits.body_bytes_max, deadline).await {
            Ok((answer, connection)) => match read(&answer) {
                Read::Understood(meaning) => {
                    self.put(connection);
                    Exchange::Answered(meaning)
                }
                Read::Unusable(meaning) | Read::NotUnderstood(meaning) | Read::NotOurs(meaning) => {
                    connection.end().await;
                    Exchange::Answered(meaning)
                }
            },
            Err(Broken { written: 0, reason }) => {
                Exchange::NotSent(unless_late(Unsent::ConnectionLost, deadline), reason)
            }
            Err(Broken { reason, .. }) => Exchange::Unknown(reason),
        }
    }

    /// The connection used last that is still good; the others age at the bottom.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|idle| self.is_good(idle));
        idle.pop().map(|idle| idle.connection)
    }

    fn put(&self, connection: Connection) {
        let idle = Idle { connection, since: Instant::now() };
        if self.is_good(&idle) {
            self.idle().push(idle);
        }
    }

    fn is_good(&self, idle: &Idle) -> bool {
        !idle.connection.is_closed()
            && idle.since.elapsed() < Duration::from_millis(self.limits.idle_ms_max)
            && idle.connection.opened().elapsed() < Duration::from_millis(self.limits.age_ms_max)
    }

    /// How many connections lie idle and good.
    pub(super) fn idle_connections(&self) -> usize {
        self.idle().iter().filter(|idle| self.is_good(idle)).count()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failure before the deadline is what it looks like; after it, only the time was too short.
fn unless_late(why: Unsent, deadline: Instant) -> Unsent {
    if Instant::now() < deadline { why } else { Unsent::NotTried }
}

impl<T> Exchange<T> {
    /// For logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Exchange::Answered(_) => "an answer",
            Exchange::NotSent(..) => "not sent",
            Exchange::Unknown(_) => "outcome unknown",
        }
    }
}
