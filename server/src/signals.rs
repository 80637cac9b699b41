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
    leaving: Arc<AtomicBool>,
    ending: Arc<watch::Sender<bool>>,
}

impl Drain {
    /// Listens to SIGTERM and SIGINT from now on; between the first and the end of service lies `notice`.
    pub fn on_signals(notice: Duration) -> std::io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = Self::default();
        let told = drain.clone();
        tokio::spawn(async move {
            either(&mut term, &mut int).await;
            tracing::info!(?notice, "leaving: not ready any more, then draining; a second signal stops at once");
            tokio::spawn(told.begin_after(notice));
            either(&mut term, &mut int).await;
            std::process::exit(130);
        });
        Ok(drain)
    }

    /// Not ready at once, so that a load balancer turns to others, and ending after `notice`.
    async fn begin_after(self, notice: Duration) {
        self.leaving.store(true, Ordering::Relaxed);
        tokio::time::sleep(notice).await;
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

/// Keeps the tokens as the file has them, until drained.
pub fn follow_tokens(tokens: Arc<Tokens>, drain: Drain) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut ended = std::pin::pin!(drain.begun());
        loop {
            let reloaded = tokio::select! {
                () = &mut ended => return,
                _ = hangup.recv() => tokens.reload().map(Some),
                () = tokio::time::sleep(TOKENS_LOOK_EVERY) => tokens.reload_if_changed(),
            };
            match reloaded {
                Ok(Some(counts)) => tracing::info!(?counts, "tokens read again"),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "tokens not read again; those loaded before stay in force"),
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_leaves_still_serves_until_its_notice_is_over() {
        let drain = Drain::default();
        assert!(!drain.is_leaving());
        let notice = Duration::from_secs(5);
        let leaving = tokio::spawn(drain.clone().begin_after(notice));
        let begun = tokio::spawn(drain.clone().begun());
        tokio::time::sleep(notice - Duration::from_millis(1)).await;
        assert!(drain.is_leaving() && !begun.is_finished() && !*drain.follow().borrow());
        leaving.await.unwrap();
        begun.await.unwrap();
        assert!(*drain.follow().borrow());
    }
}
