//! The simulated read model: one small table of accounts, and the ingester that fills it from the core's change events.

use std::sync::Arc;
use std::time::Duration;

use schemas::money::Currency;
use schemas::position::TransactionPlace;
use sql::{BoxFuture, Db, Tx, params, placeholders};
use standin::admission::{AccountFacts, AccountStatus};
use standin::journal::{Facts, Journal, JournalError, KnownAccount, KnownAccounts, LegSeen};
use tokio::time::sleep;

use crate::core::{Core, Event, OPENING_MINOR};
use crate::fault::Fault;
use crate::plan::Class;
use crate::process::Process;

/// The customer of every account.
pub const CUSTOMER: &str = "anna";
/// Events of one apply transaction, at most.
const EVENTS_MAX: u64 = 6;

const TABLES: &[sql::Migration] = &[sql::Migration {
    version: 1,
    statements: &[
        "CREATE TABLE books (account {text:64} NOT NULL, booked {int} NOT NULL, last_posting {int} NOT NULL, \
         place {bytes:31}, PRIMARY KEY (account))",
        "CREATE TABLE source (id {int} NOT NULL, as_of_us {int} NOT NULL, PRIMARY KEY (id))",
    ],
}];

/// The read model as the journal sees it.
pub struct Books;

impl Facts for Books {
    fn read<'t>(&'t self, tx: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
        Box::pin(async move {
            let mut known = KnownAccounts::default();
            let source = tx.query_one("SELECT as_of_us FROM source WHERE id = 1", vec![]).await?;
            let as_of_us: i64 = source.get("as_of_us")?;
            let sql = format!("SELECT * FROM books WHERE account IN ({})", placeholders(accounts.len()));
            for row in tx.query(&sql, accounts.iter().map(Into::into).collect()).await? {
                let last_posting: i64 = row.get("last_posting")?;
                let facts = AccountFacts {
                    currency: Currency::parse("EUR").map_err(|_| sql::Error::Configuration("currency".into()))?,
                    status: AccountStatus::Active,
                    booked_minor: row.get("booked")?,
                    overdraft_line_minor: 0,
                    core_holds_minor: 0,
                };
                let account = KnownAccount {
                    facts,
                    customer_id: CUSTOMER.into(),
                    last_posting,
                    place: row.get::<Option<&[u8]>>("place")?.and_then(TransactionPlace::from_bytes),
                    balance_version: last_posting.to_be_bytes().to_vec(),
                    as_of_us: Some(as_of_us),
                };
                known.accounts.insert(row.get("account")?, account);
            }
            Ok(known)
        })
    }
}

/// Makes the tables, with these accounts as the core has them at the beginning.
pub async fn prepare(db: &Db, accounts: &[String], now_us: i64) -> Result<(), sql::Error> {
    db.migrate("books", TABLES).await?;
    db.exec("INSERT INTO source (id, as_of_us) VALUES (1, ?)", params![now_us]).await?;
    for account in accounts {
        let sql = "INSERT INTO books (account, booked, last_posting) VALUES (?, ?, 0)";
        db.exec(sql, params![account, OPENING_MINOR]).await?;
    }
    Ok(())
}

/// Applies change events for ever: rows, balances and confirmations in one transaction, as the real ingester does.
pub async fn ingest(process: Arc<Process>, db: Db, journal: Journal, core: Arc<Core>) {
    let world = process.world.clone();
    let mut again: Vec<Event> = Vec::new();
    loop {
        let pause = world.draw(|chance| chance.between(20, 250));
        sleep(Duration::from_millis(pause)).await;
        if world.strikes(Fault::EventsLate, 40, "ingest") {
            // Nobody but a person can resolve what such a core did not answer: it shows what comes while they decide.
            let often = if world.plan.class == Class::Nothing { 2 } else { 4 };
            let ms = world.draw(|chance| match chance.one_in(often) {
                true => chance.between(15_000, 45_000),
                false => chance.between(500, 8_000),
            });
            sleep(Duration::from_millis(ms)).await;
        }
        let most = usize::try_from(world.draw(|chance| chance.between(1, EVENTS_MAX))).unwrap_or(1);
        let fresh = core.events(most);
        let mut batch = if world.strikes(Fault::EventsTwice, 25, "ingest") { again.clone() } else { Vec::new() };
        batch.extend(fresh.iter().cloned());
        // Complete up to now only if nothing is left behind.
        let complete_us = core.events(fresh.len() + 1).len().eq(&fresh.len()).then(|| world.now_us());
        if batch.is_empty() && !world.draw(|chance| chance.one_in(4)) {
            continue;
        }
        match apply(&db, &journal, batch, complete_us).await {
            Ok(()) => {
                for event in &fresh {
                    let (row, kind) = (&event.row, event.row.kind.as_str());
                    world.note("ingest", &format!("{kind} of {}", crate::core::short(&row.core_ref)));
                }
                core.events_applied(fresh.len());
                again = fresh;
            }
            Err(err) => world.note("ingest", &format!("tries again: {err}")),
        }
    }
}

async fn apply(db: &Db, journal: &Journal, batch: Vec<Event>, complete_us: Option<i64>) -> Result<(), JournalError> {
    let confirmations = journal.confirmations();
    db.transaction(move |tx| {
        Box::pin(async move {
            for Event { row, booked_minor, number } in &batch {
                let sql =
                    "UPDATE books SET booked = ?, last_posting = ?, place = ? WHERE account = ? AND last_posting < ?";
                let place = row.place.as_ref().map(TransactionPlace::as_bytes);
                tx.exec(sql, params![*booked_minor, *number, place, &row.account, *number]).await?;
            }
            let seen: Vec<LegSeen> = batch.iter().map(|event| event.row.clone()).collect();
            let mut changed: Vec<String> = seen.iter().map(|row| row.account.clone()).collect();
            changed.sort();
            changed.dedup();
            confirmations.confirm(tx, &seen, &changed).await?;
            if let Some(now_us) = complete_us {
                tx.exec("UPDATE source SET as_of_us = ? WHERE id = 1", params![now_us]).await?;
            }
            Ok(())
        })
    })
    .await
}
