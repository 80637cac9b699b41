//! Holds the fence by a task of its own, so that no other work, however long, lets the fence run out.

use std::sync::Arc;
use std::time::Duration;

use standin::journal::{Fence, Instance, ReplayJournal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The fence's name in the journal.
const FENCE: &str = "replay";
/// Between two tries to take a fence that another replayer holds.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The holder. Dropping it stops the renewal; the fence then runs out by itself.
pub(crate) struct Keeper {
    journal: ReplayJournal,
    fence: watch::Receiver<Option<Fence>>,
    ask_now: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins to take and renew the fence, which lasts for `ttl` without renewal.
    pub(crate) fn start(journal: ReplayJournal, instance: Instance, ttl: Duration) -> Self {
        let (held, fence) = watch::channel(None);
        let ask_now = Arc::new(Notify::new());
        let task = tokio::spawn(keep(journal.clone(), instance, ttl, held, ask_now.clone()));
        Self { journal, fence, ask_now, task }
    }

    /// The fence, while it is held.
    pub(crate) fn fence(&self) -> Option<Fence> {
        self.fence.borrow().clone()
    }

    /// Resolves when the fence was taken or lost.
    pub(crate) async fn changed(&mut self) {
        if self.fence.changed().await.is_err() {
            // The task is gone, so nothing changes any more.
            std::future::pending::<()>().await;
        }
    }

    /// Somebody was told that a newer holder exists: looks at once.
    pub(crate) fn look_now(&self) {
        self.ask_now.notify_one();
    }

    /// Gives the fence up, so that the next holder need not wait.
    pub(crate) async fn give_up(self) {
        self.task.abort();
        if let Some(fence) = self.fence()
            && let Err(err) = self.journal.release_fence(&fence).await
        {
            tracing::warn!(error = %err, "the fence could not be given up; it runs out by itself");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    journal: ReplayJournal,
    instance: Instance,
    ttl: Duration,
    held: watch::Sender<Option<Fence>>,
    ask_now: Arc<Notify>,
) {
    let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    // The fence is certainly ours until then: counted from before the question that was answered.
    let mut ours_until = Instant::now();
    loop {
        let asked = Instant::now();
        let fence = match journal.hold_fence(FENCE, &instance, ttl_ms).await {
            Ok(fence) => {
                ours_until = asked + ttl;
                fence
            }
            Err(err) => {
                tracing::warn!(error = %err, "the fence of the replay cannot be renewed");
                held.borrow().clone().filter(|_| Instant::now() < ours_until)
            }
        };
        let pause = if fence.is_some() { ttl / 3 } else { TRY_EVERY.min(ttl / 3) };
        held.send_if_modified(|now| std::mem::replace(now, fence.clone()) != fence);
        // Woken early or not, the fence is asked for again.
        let _ = timeout(pause, ask_now.notified()).await;
    }
}
