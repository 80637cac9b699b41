//! Signals: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reads the tokens again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use edge::tokens::Tokens;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How often the tokens file is looked at, besides SIGHUP.
const TOKENS_LOOK_EVERY: Duration = Duration::from_secs(5);

/// Tells every service to finish. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drain {
    notice: Duration,
    leaving: Arc<AtomicBool>,
    ending: Arc<watch::Sender<bool>>,
}

impl Drain {
    /// Between [`Drain::leave`] and the end of service lies `notice`.
    pub fn with_notice(notice: Duration) -> Self {
        Self { notice, ..Self::default() }
    }

    /// Listens to SIGTERM and SIGINT from now on; between the first and the end of service lies `notice`.
    pub fn on_signals(notice: Duration) -> std::io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = Self::with_notice(notice);
        let told = drain.clone();
        tokio::spawn(async move {
            either(&mut term, &mut int).await;
            tracing::info!(?notice, "leaving: not ready any more, then draining; a second signal stops at once");
            told.leave();
            either(&mut term, &mut int).await;
            std::process::exit(130);
        });
        Ok(drain)
    }

    /// Not ready from now on, so that a load balancer turns to others, and ending after the notice.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        tokio::spawn(self.clone().begin_after_notice());
    }

    async fn begin_after_notice(self) {
        tokio::time::sleep(self.notice).await;
        self.begin();
    }

    /// The process is to end: open requests are finished, new ones refused.
    pub fn begin(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.ending.send_replace(true);
    }

    /// Resolves when the process is to end.
    pub async fn begun(self) {
        let _ = self.ending.subscribe().wait_for(|begun| *begun).await;
    }

    /// For services that follow it themselves.
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Is the process ending already?
    pub fn has_begun(&self) -> bool {
        *self.ending.borrow()
    }

    /// Should others be asked from now on?
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

/// Keeps the tokens as the file has them, for as long as it is polled. SIGHUP has them read at once.
pub async fn follow_tokens(tokens: Arc<Tokens>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "cannot listen to SIGHUP"),
    };
    loop {
        let reloaded = tokio::select! {
            _ = hangup.recv() => tokens.reload().map(Some),
            () = tokio::time::sleep(TOKENS_LOOK_EVERY) => tokens.reload_if_changed(),
        };
        match reloaded {
            Ok(Some(counts)) => tracing::info!(?counts, "tokens read again"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "tokens not read again; those loaded before stay in force"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_leaves_still_serves_until_its_notice_is_over() {
        let notice = Duration::from_secs(5);
        let drain = Drain::with_notice(notice);
        assert!(!drain.is_leaving());
        drain.leave();
        let begun = tokio::spawn(drain.clone().begun());
        tokio::time::sleep(notice - Duration::from_millis(1)).await;
        assert!(drain.is_leaving() && !begun.is_finished() && !*drain.follow().borrow());
        begun.await.unwrap();
        assert!(*drain.follow().borrow());
    }
}
