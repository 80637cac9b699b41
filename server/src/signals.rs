//! Signals: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reads the tokens again.

use std::sync::Arc;
use std::time::Duration;

use edge::tokens::Tokens;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How often the tokens file is looked at, besides SIGHUP.
const TOKENS_LOOK_EVERY: Duration = Duration::from_secs(5);

/// Tells every service to finish. Cheap to clone.
#[derive(Clone)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Drain {
    /// Listens to SIGTERM and SIGINT from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = Self(Arc::new(watch::Sender::new(false)));
        let begins = drain.clone();
        tokio::spawn(async move {
            either(&mut term, &mut int).await;
            tracing::info!("draining: open requests are finished, new ones refused; a second signal stops at once");
            begins.begin();
            either(&mut term, &mut int).await;
            std::process::exit(130);
        });
        Ok(drain)
    }

    /// The process is to end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when the process is to end.
    pub async fn begun(self) {
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }

    /// For services that follow it themselves.
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Is the process ending?
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
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
