//! Requests that wait for an outcome which somebody else records.

use std::time::Duration;

use schemas::entry::EntryState::*;
use standin::journal::{Change, Entry};

use crate::support::*;

/// Waits for the entry's outcome in a task of its own.
fn waiting(bank: &Bank, entry: &Entry) -> tokio::task::JoinHandle<Entry> {
    let (journal, id) = (bank.journal.gateway(), entry.id.clone());
    tokio::spawn(async move { journal.outcome_of(&id).await })
}

on_every_engine! {
    async fn who_waits_hears_of_an_outcome_whichever_process_records_it(bank) {
        bank.two_accounts().await;
        let other = bank.another("gateway-2").await;
        for process in [&bank, &other] {
            let entry = bank.direct("a", "b", 1).await;
            let waits = [waiting(&bank, &entry), waiting(&bank, &entry)];
            process.record(posted(&entry, &[]).ending(1)).await;
            for waits in waits {
                assert_eq!(waits.await.unwrap().state, Posted);
            }
            let late = tokio::time::timeout(Duration::from_secs(30), waiting(&other, &entry));
            assert_eq!(late.await.unwrap().unwrap().state, Posted);
        }
    }

    async fn an_outcome_that_is_not_known_is_none(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 1).await;
        let waits = waiting(&bank, &entry);
        bank.first_attempt(&entry, schemas::entry::Evidence::NoAnswer).await;
        assert_eq!(bank.state(&entry).await, OutcomeUnknown);
        let change: Change = posted(&entry, &[]);
        bank.record(change).await;
        assert_eq!(waits.await.unwrap().state, Posted);
    }
}
