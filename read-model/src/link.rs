//! The connection to Redis, with a breaker: a Redis that is away costs readers nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo};
use tokio::sync::Semaphore;

/// Longest wait for an answer.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(50);
/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// Failures in a row after which the connection is thrown away.
pub const FAILURES_MAX: u32 = 3;
/// Wait between attempts to connect.
pub const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// A lazily made, replaceable connection. No call waits for one to be made.
pub(crate) struct Link {
    client: Client,
    connection: ArcSwapOption<MultiplexedConnection>,
    failures: AtomicU32,
    connecting: Arc<Semaphore>,
}

impl Link {
    pub(crate) fn new(url: &str) -> Result<Self, redis::RedisError> {
        let info = url.into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true).set_user_timeout(Duration::from_secs(2));
        Ok(Self {
            client: Client::open(info.set_tcp_settings(tcp))?,
            connection: ArcSwapOption::empty(),
            failures: AtomicU32::new(0),
            connecting: Arc::new(Semaphore::new(1)),
        })
    }

    /// Connects now, waiting; for start-up and tests.
    pub(crate) async fn connect(&self) -> Result<(), redis::RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.failures.store(0, Ordering::Relaxed);
        self.connection.store(Some(Arc::new(connection)));
        Ok(())
    }

    /// The connection, if there is one now. Give what came of its use to [`Link::settle`].
    pub(crate) fn connection(self: &Arc<Self>) -> Option<MultiplexedConnection> {
        let connection = self.connection.load_full();
        if connection.is_none() {
            self.reconnect();
        }
        connection.map(|connection| MultiplexedConnection::clone(&connection))
    }

    /// `None`: failed or timed out; a write may have happened nevertheless.
    pub(crate) fn settle<T>(self: &Arc<Self>, outcome: redis::RedisResult<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.failures.store(0, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    fn failed(self: &Arc<Self>, error: &redis::RedisError) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES_MAX || error.is_connection_dropped() || error.is_io_error() {
            if self.connection.swap(None).is_some() {
                tracing::warn!(error = %error, "redis is away; SQL serves");
            }
            self.reconnect();
        }
    }

    /// One attempt at a time, in the background.
    fn reconnect(self: &Arc<Self>) {
        let Ok(permit) = self.connecting.clone().try_acquire_owned() else { return };
        let link = self.clone();
        tokio::spawn(async move {
            if link.connect().await.is_err() {
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
            drop(permit);
        });
    }
}
