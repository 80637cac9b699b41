//! The life of one source's ingester: take the lease, lead until it is lost, give it back.

use std::sync::Arc;
use std::time::Duration;

use read_model::{Lease, Tiers, release, renew, take};
use sql::Db;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::confirm::Confirm;
use crate::leading::{Ended, Leading};
use crate::options::{FeedFactory, Options};
use crate::sweeping;

/// An ingester of one source. Any number of processes may run one; one of them leads.
#[derive(Clone)]
pub struct Service {
    pub(crate) options: Options,
    pub(crate) db: Db,
    pub(crate) tiers: Tiers,
    pub(crate) confirm: Arc<dyn Confirm>,
    pub(crate) feed: FeedFactory,
}

impl Service {
    /// Works until `shutdown` turns true, then finishes the batch in hand and gives the lease back.
    /// Failures are waited out, visibly; nothing ends it but the shutdown.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let source = self.options.mapping.source().to_owned();
        while !stopped(&shutdown) {
            match take(&self.db, &source, &self.options.owner, self.options.lease).await {
                Ok(Some(lease)) => self.lead(lease, &shutdown).await,
                Ok(None) => tracing::debug!(source, "another ingester leads"),
                Err(err) => tracing::warn!(error = %err, source, "lease not taken"),
            }
            pause(self.options.retry, &mut shutdown).await;
        }
    }

    async fn lead(&self, lease: Lease, shutdown: &watch::Receiver<bool>) {
        let source = lease.source.clone();
        tracing::info!(source, token = lease.token, "leading");
        metrics::gauge!(crate::metrics::LEADING, "source" => source.clone()).set(1.0);
        let (lost, held) = watch::channel(false);
        let keeper = tokio::spawn(keep(self.db.clone(), lease.clone(), self.options.lease, lost));
        let sweeper = tokio::spawn(sweeping::run(self.db.clone(), source.clone()));
        let ended = Leading::new(self, lease.clone(), shutdown.clone(), held).run().await;
        keeper.abort();
        sweeper.abort();
        metrics::gauge!(crate::metrics::LEADING, "source" => source.clone()).set(0.0);
        tracing::info!(source, ended = ?ended, "not leading any more");
        if ended != Ended::LeaseLost
            && let Err(err) = release(&self.db, &lease).await
        {
            tracing::warn!(error = %err, source, "lease not given back; it will expire");
        }
    }
}

/// Renews the lease every third of its length; says so when it is lost or could not be renewed for its whole length.
async fn keep(db: Db, lease: Lease, length: Duration, lost: watch::Sender<bool>) {
    let mut renewed_at = Instant::now();
    loop {
        tokio::select! {
            () = sleep(length / 3) => {}
            // The leader is gone without a word: nobody may keep its lease alive.
            () = lost.closed() => return,
        }
        let asked_at = Instant::now();
        match renew(&db, &lease, length).await {
            Ok(true) => renewed_at = asked_at,
            Ok(false) => break,
            Err(err) => tracing::warn!(error = %err, source = %lease.source, "lease not renewed"),
        }
        if renewed_at.elapsed() >= length {
            break;
        }
    }
    // Nobody listens any more when leading has ended.
    let _ = lost.send(true);
}

/// Told to stop, or nobody is left who could tell.
fn stopped(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

/// Waits, but not past a shutdown.
pub(crate) async fn pause(wait: Duration, shutdown: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(wait) => {}
        // A dropped sender is a shutdown too, and the caller's loop sees the value.
        changed = shutdown.wait_for(|stop| *stop) => drop(changed),
    }
}
