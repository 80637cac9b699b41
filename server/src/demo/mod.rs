//! `locum demo`: a bank, its core, channels under load, an outage, stand-in, recovery, replay and the proof, in one terminal.
//!
//! Nothing is staged: Locum serves its usual sockets from its usual roles; the core is another process with its own books
//! and dies by SIGKILL; the figures come from what channels saw and from the core's own ledger.

mod audit;
mod bank;
mod channels;
mod figures;
mod setting;
mod story;
mod visit;

pub use bank::be_the_core;
pub use setting::folder;
pub use story::run;

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The token of every channel of the demo.
const CHANNEL: &str = "channel-demo-token";
/// The token of its operator.
const OPERATOR: &str = "operator-demo-token";
/// Longest wait for anything of the demo: a start, a load, the end of the queue.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something awaited.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` is content; `what` and its last word are in the error.
async fn awaited<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> anyhow::Result<T> {
    let since = tokio::time::Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(why) if since.elapsed() > PATIENCE => anyhow::bail!("{what}: not within {PATIENCE:?}; {why}"),
            Err(_) => {}
        }
    }
}

/// A bar for people; nothing where nobody watches.
fn bar(length: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("   {msg:<12} {bar:40} {pos}/{len}  {elapsed}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what)
}

fn chapter(title: &str) {
    println!("\n── {title}");
}

fn say(text: &str) {
    println!("   {text}");
}
