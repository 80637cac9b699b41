//! After the story: everything stays up, with lines to copy, and the core's power switch under Enter.

use std::path::Path;

use tokio::sync::mpsc;

use super::bank::Bank;
use super::{CHANNEL, chapter, say};
use crate::commands::serve::Addresses;
use crate::signals::Drain;

/// Leaves everything up for the visitor: `curl` lines, and Enter kills the core or brings it back.
pub async fn stay_up(
    folder: &Path,
    addresses: &Addresses,
    bank: &mut Bank,
    accounts: &[String],
    drain: &Drain,
) -> anyhow::Result<()> {
    let Addresses { public, admin } = addresses;
    let (one, other) = (&accounts[0], &accounts[1]);
    let program = std::env::current_exe().map_or("locum".into(), |path| path.display().to_string());
    chapter("Your turn");
    println!(
        "   Everything stays up until Ctrl-C. In another terminal:

T='Authorization: Bearer {CHANNEL}'
curl -si -H \"$T\" http://{public}/v1/accounts/{one}/balances
curl -si -H \"$T\" -H \"Idempotency-Key: $(date +%s%N)\" -H 'Content-Type: application/json' http://{public}/v1/transfers \\
  -d '{{\"from_account\":\"{one}\",\"to_account\":\"{other}\",\"amount\":\"10.50\",\"currency\":\"EUR\"}}'
{program} queue list --admin http://{admin} --token-file {folder}/operator.token --limit 5
{program} mode get --admin http://{admin} --token-file {folder}/operator.token

   Enter kills the core (process {pid}); Enter again brings it back. Other troubles of the core, which `none` ends:

curl -X PUT http://{control}/faults -d '{{\"kind\":\"hang\"}}'    # or drop_after_commit, refuse, read_only, none
",
        folder = folder.display(),
        pid = bank.pid().unwrap_or_default(),
        control = bank.control,
    );
    let mut keys = pressed_keys();
    let (mut listening, mut running) = (true, true);
    loop {
        tokio::select! {
            () = drain.clone().begun() => return Ok(()),
            () = bank.ended(), if running => {
                running = false;
                say("The core is dead; Locum stands in. Enter brings it back.");
            }
            key = keys.recv(), if listening => match key {
                Some(()) if running => bank.kill().await?,
                Some(()) => {
                    bank.restart().await?;
                    running = true;
                    say("The core is back; what waited is replayed.");
                }
                // Nobody is at the keyboard.
                None => listening = false,
            },
        }
    }
}

/// Each Enter. Read by a thread of its own, which does not keep the process from ending as tokio's would.
fn pressed_keys() -> mpsc::Receiver<()> {
    let (pressed, keys) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || pressed.blocking_send(()).is_err() {
                return;
            }
        }
    });
    keys
}
