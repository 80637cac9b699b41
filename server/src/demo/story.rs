//! The demo from its first line to its last.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use edge::client::Http;
use http::StatusCode;
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::audit::{self, Books};
use super::bank::{self, Bank};
use super::channels::{Channels, Seen, Write};
use super::figures::Figures;
use super::visit::stay_up;
use super::{CHANNEL, OPERATOR, PATIENCE, awaited, bar, chapter, say, setting};
use crate::commands::serve::{Addresses, serve};
use crate::commands::{Failure, table};
use crate::signals::Drain;

/// Transfers of the whole load, those sent before the core dies, and those sent before it comes back.
const TRANSFERS: usize = 1_200;
const BEFORE_THE_OUTAGE: u64 = 300;
const BEFORE_THE_RETURN: u64 = 900;
/// Keys that are sent a second time at the end.
const KEYS_AGAIN: usize = 50;

/// Plays it. With `check` it ends after the table and fails when a figure is wrong; otherwise it stays up until Ctrl-C.
pub async fn run(folder: &Path, check: bool) -> Result<(), Failure> {
    let drain = Drain::on_signals(Duration::ZERO).map_err(anyhow::Error::from)?;
    println!("Locum demo: a bank's core dies under load, and no channel sees an error.\n");
    let played = tokio::select! {
        biased;
        played = play(folder, check, &drain) => played,
        () = drain.clone().begun() => Err(anyhow::anyhow!("interrupted")),
    };
    drain.begin();
    match played {
        Ok(stage) => stage.leave(check, folder).await,
        Err(error) => Err(error.context(format!("the demo's logs and databases stay in {}", folder.display())).into()),
    }
}

/// What is up when the story has been told.
struct Stage {
    locum: JoinHandle<anyhow::Result<()>>,
    figures: Figures,
}

impl Stage {
    async fn leave(self, check: bool, folder: &Path) -> Result<(), Failure> {
        let served = tokio::time::timeout(PATIENCE, self.locum).await;
        let served = served.map_err(|_| anyhow::anyhow!("Locum did not end within {PATIENCE:?}"))?;
        served.map_err(anyhow::Error::from)??;
        let wrong = self.figures.wrong();
        if check && !wrong.is_empty() {
            let text = format!("{}\nlogs and databases: {}", wrong.join("\n"), folder.display());
            return Err(Failure::Failed(anyhow::anyhow!(text)));
        }
        if wrong.is_empty() {
            // A folder that cannot be removed is no fault of what was shown.
            let _ = std::fs::remove_dir_all(folder);
        }
        Ok(())
    }
}

async fn play(folder: &Path, check: bool, drain: &Drain) -> anyhow::Result<Stage> {
    // ── The bank, and Locum in front of it ──
    let mut bank = Bank::start(folder).await?;
    let pid = |bank: &Bank| bank.pid().map_or("gone".to_owned(), |pid| pid.to_string());
    chapter("The bank");
    say(&format!(
        "A legacy core runs as process {}: {} accounts with {} EUR each, its own database, its own interface.",
        pid(&bank),
        bank::ACCOUNTS,
        bank::OPENING_BALANCE
    ));
    let (locum, addresses) = start_locum(folder, &bank, drain).await?;
    let books = Books::read(&bank.ledger().await?);
    let accounts = Arc::new(books.accounts());
    let (public, admin) = (addresses.public.to_string(), addresses.admin.to_string());
    let took = loaded(&public, &accounts).await?;
    say(&format!("Locum has read its change log: {} accounts served after {} ms.", accounts.len(), took.as_millis()));

    chapter("A day like any other");
    let mut channels = Channels::start(&public, accounts.clone(), TRANSFERS);
    let seen = channels.seen.clone();
    sent(&seen, BEFORE_THE_OUTAGE, "transfers").await?;
    say(&format!(
        "{} transfers went through Locum to the core, {} of them posted within the request; balances are read all the while.",
        seen.written.load(Ordering::Relaxed),
        seen.answered(StatusCode::CREATED)
    ));

    chapter("The core dies");
    bank.kill().await?;
    say("SIGKILL, in the middle of the load. Channels go on.");
    sent(&seen, BEFORE_THE_RETURN, "transfers").await?;
    let standing_in = seen.answered(StatusCode::ACCEPTED);
    say(&format!(
        "{standing_in} transfers were answered `202 accepted, processing`: checked against rules and limits, kept safely."
    ));
    show_one_balance(&public, &seen).await?;

    chapter("The core comes back");
    bank.restart().await?;
    say(&format!(
        "It is process {} now. The queue is replayed, in the order of each account, beside the live load.",
        pid(&bank)
    ));
    drained(&admin, &mut channels).await?;
    channels.stop().await?;

    chapter("The proof");
    say("Every answer that a channel got, against the core's own ledger:\n");
    let figures = proof(&public, &bank, &seen).await?;
    let rows: Vec<Vec<String>> =
        figures.table().into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table::print(&["figure", "value"], &rows);
    println!();
    if let Some((median, slow)) = seen.read_times() {
        say(&format!(
            "Half of the reads took less than {median:.1?}, 99 of 100 less than {slow:.1?}, beside everything else."
        ));
    }
    let wrong = figures.wrong();
    match wrong.is_empty() {
        true => say("Nothing lost, nothing posted twice."),
        false => say(&format!("WRONG: {}", wrong.join("; "))),
    }
    if !check {
        stay_up(folder, &addresses, &mut bank, &accounts, drain).await?;
    }
    Ok(Stage { locum, figures })
}

async fn start_locum(
    folder: &Path,
    bank: &Bank,
    drain: &Drain,
) -> anyhow::Result<(JoinHandle<anyhow::Result<()>>, Addresses)> {
    let config = setting::configuration(folder, bank)?;
    let (bound, addresses) = oneshot::channel();
    let tell = |addresses| {
        let _ = bound.send(addresses);
        Ok(())
    };
    let mut locum = tokio::spawn(serve(config, drain.clone(), tell));
    tokio::select! {
        Ok(addresses) = addresses => Ok((locum, addresses)),
        ended = &mut locum => {
            ended??;
            anyhow::bail!("Locum ended at its start")
        }
    }
}

/// Waits until every account is served.
async fn loaded(public: &str, accounts: &[String]) -> anyhow::Result<Duration> {
    let (mut http, since) = (Http::new(public, Some(CHANNEL), PATIENCE), tokio::time::Instant::now());
    for account in accounts {
        awaited("the core's accounts are loaded", async || {
            match http.get(&format!("/v1/accounts/{account}/balances")).await? {
                answer if answer.status == StatusCode::OK => Ok(()),
                answer => Err(format!("{account}: {}", answer.status)),
            }
        })
        .await?;
    }
    Ok(since.elapsed())
}

/// Waits until so many transfers were answered.
async fn sent(seen: &Seen, count: u64, what: &'static str) -> anyhow::Result<()> {
    let bar = bar(count, what);
    awaited("transfers are answered", async || {
        let written = seen.written.load(Ordering::Relaxed);
        bar.set_position(written.min(count));
        if written >= count { Ok(()) } else { Err(format!("{written} of {count}")) }
    })
    .await?;
    bar.finish_and_clear();
    Ok(())
}

/// What a customer sees of a transfer that waits.
async fn show_one_balance(public: &str, seen: &Seen) -> anyhow::Result<()> {
    let waits = |write: &&Write| write.status == Some(StatusCode::ACCEPTED);
    let Some(account) =
        seen.writes().iter().rev().find(waits).and_then(|w| w.body["from_account"].as_str().map(str::to_owned))
    else {
        return Ok(());
    };
    let mut http = Http::new(public, Some(CHANNEL), PATIENCE);
    let answer = http.get(&format!("/v1/accounts/{account}/balances")).await;
    let answer = answer.map_err(|why| anyhow::anyhow!("a balance: {why}"))?;
    let member = |name: &str| answer.body[name].as_str().unwrap_or("-").to_owned();
    say(&format!(
        "Account {account} shows: booked {}, pending {}, available {} EUR (data {} s old, mode {}).",
        member("booked"),
        member("pending"),
        member("available"),
        answer.header("data-age"),
        answer.header("service-mode"),
    ));
    Ok(())
}

/// Waits until all transfers were sent, the queue is empty and the last entry confirmed by its change event.
async fn drained(admin: &str, channels: &mut Channels) -> anyhow::Result<()> {
    let mut http = Http::new(admin, Some(OPERATOR), PATIENCE);
    let mut most = 0;
    let bar = bar(0, "replay");
    let begun = tokio::time::Instant::now();
    let replayed = awaited("the queue is replayed", async || {
        let view: Json = http.get("/admin/v1/replay").await?.body;
        let open = view["open"].as_u64().ok_or_else(|| view.to_string())?;
        let unconfirmed = open + view["by_state"]["posted"].as_u64().unwrap_or(0);
        most = most.max(unconfirmed);
        bar.set_length(most);
        bar.set_position(most - unconfirmed);
        let all_sent = channels.seen.written.load(Ordering::Relaxed) >= TRANSFERS as u64;
        if unconfirmed == 0 && all_sent { Ok(most) } else { Err(view.to_string()) }
    })
    .await?;
    bar.finish_and_clear();
    channels.all_sent().await?;
    say(&format!(
        "The queue is empty after {:.1} s: at most {replayed} transfers were open, and each was confirmed by its own change event.",
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

async fn proof(public: &str, bank: &Bank, seen: &Seen) -> anyhow::Result<Figures> {
    let mut http = Http::new(public, Some(CHANNEL), PATIENCE);
    let writes = seen.writes();
    let shown = audit::shown(&mut http, &writes).await;
    let same_answer = audit::same_answer_again(&mut http, &writes, KEYS_AGAIN).await;
    let books = Books::read(&bank.ledger().await?);
    let found = audit::compare(&writes, &shown, &books);
    let accepted = |status| writes.iter().filter(|write| write.accepted() && write.status == Some(status)).count();
    let write_errors = writes.iter().filter(|write| write.is_error()).count();
    Ok(Figures {
        reads: seen.reads.load(Ordering::Relaxed),
        read_errors: seen.read_errors.load(Ordering::Relaxed),
        writes: writes.len(),
        write_errors,
        accepted_by_core: accepted(StatusCode::CREATED),
        accepted_by_stand_in: accepted(StatusCode::ACCEPTED),
        declined: writes.iter().filter(|write| !write.accepted()).count() - write_errors,
        replayed: found.replayed,
        refused_later: found.refused_later,
        lost: found.lost,
        twice: found.twice,
        unexplained: found.unexplained,
        accounts: books.accounts().len(),
        balances_equal: audit::balances_equal(&mut http, &books).await,
        keys_again: KEYS_AGAIN,
        same_answer,
    })
}
