//! The life of one source's ingester: take the lease, lead until it is lost, give it back.

use std::sync::Arc;
use std::time::Duration;

use read_model::{Lease, Tiers, release, renew, take};
use sql::Db;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::confirm::Confirm;
use crate::ingester::Ingester;
use crate::leading::{Ended, Leading};
use crate::options::Options;
use crate::shutdown::{pause, stopped};
use crate::sweeping;

/// An ingester of one source. Any number of processes may run one; one of them leads.
#[derive(Clone)]
pub struct Service(Ingester);

impl Options {
    /// The service over migrated tables in `db`. Nothing starts before [`Service::run`].
    pub fn build(self, db: Db, tiers: Tiers, confirm: Arc<dyn Confirm>) -> Service {
        Service(Ingester { feed: self.feed_factory(), options: self, db, tiers, confirm })
    }
}

impl Service {
    /// Works until `shutdown` turns true, then finishes the batch in hand and gives the lease back.
    /// Failures are waited out, visibly; nothing ends it but the shutdown.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let source = self.0.options.mapping.source().to_owned();
        while !stopped(&shutdown) {
            match take(&self.0.db, &source, &self.0.options.owner, self.0.options.lease).await {
                Ok(Some(lease)) => self.lead(lease, &shutdown).await,
                Ok(None) => tracing::debug!(source, "another ingester leads"),
                Err(err) => tracing::warn!(error = %err, source, "lease not taken"),
            }
            pause(self.0.options.retry, &mut shutdown).await;
        }
    }

    async fn lead(&self, lease: Lease, shutdown: &watch::Receiver<bool>) {
        let source = lease.source.clone();
        tracing::info!(source, token = lease.token, "leading");
        metrics::gauge!(crate::metrics::LEADING, "source" => source.clone()).set(1.0);
        let (lost, held) = watch::channel(false);
        let keeper = tokio::spawn(keep(self.0.db.clone(), lease.clone(), self.0.options.lease, lost));
        let markers_days = self.0.options.delete_markers_days;
        let sweeper = tokio::spawn(sweeping::run(self.0.db.clone(), lease.clone(), markers_days));
        let ended = Leading::new(&self.0, lease.clone(), shutdown.clone(), held).run().await;
        keeper.abort();
        sweeper.abort();
        metrics::gauge!(crate::metrics::LEADING, "source" => source.clone()).set(0.0);
        if markers_days.is_some() {
            // The next leader says it.
            metrics::gauge!(crate::metrics::MARKERS_HELD, "source" => source.clone()).set(0.0);
        }
        tracing::info!(source, ended = ?ended, "not leading any more");
        if ended != Ended::LeaseLost
            && let Err(err) = release(&self.0.db, &lease).await
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
