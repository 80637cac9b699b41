//! Any number of debits that wait for their balance, and entries that the journal itself cannot read.

use schemas::entry::EntryState::{Confirmed as Confirmed_, Posted};
use sql::params;
use standin::journal::{Confirmed, Entry};

use crate::databases::run_on_sqlite;
use crate::support::*;

/// More than any engine takes as values of one statement on SQLite, more than its limit of 32,766 keys.
const MANY: i64 = 40_000;

/// Copies a posted entry of `a` with a known posting number `MANY` times, each with a number of its own.
async fn multiply(bank: &Bank, entry: &Entry) {
    let series = format!("WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {MANY}) ");
    for (into, select) in [
        (
            "entries (id, generation, version, principal, operation, idempotency_key, fingerprint, core, core_ref, command, \
             state, ordered, contradicted, reason, core_id, accepted_us, business_day, updated_us)",
            "printf('%032d', i), generation, version, principal, operation, 'key-' || i, fingerprint, core, \
             'LC' || printf('%032d', i), command, state, ordered, contradicted, reason, core_id, accepted_us, \
             business_day, updated_us FROM entries, n WHERE id = ?",
        ),
        (
            "legs (entry_id, leg, account, seq, open, kind, amount_minor, currency, posting_no, row_key, released_at)",
            "printf('%032d', i), leg, account, i, open, kind, amount_minor, currency, i, row_key, released_at \
             FROM legs, n WHERE entry_id = ?",
        ),
        (
            "attempts (entry_id, n, owner, boot, token, started_us, ended_us, result)",
            "printf('%032d', i), attempts.n, owner, boot, token, started_us, ended_us, result \
             FROM attempts, n WHERE entry_id = ?",
        ),
        (
            "transitions (entry_id, version, at_us, state, evidence, actor)",
            "printf('%032d', i), version, at_us, state, evidence, actor FROM transitions, n WHERE entry_id = ?",
        ),
    ] {
        let sql = format!("INSERT INTO {into} {series} SELECT {select}");
        bank.db.exec(&sql, params![entry.id.as_str()]).await.unwrap();
    }
    let lanes = "UPDATE lanes SET next_seq = next_seq + ?, held_minor = held_minor * (1 + ?)";
    bank.db.exec(lanes, params![MANY, MANY]).await.unwrap();
}

#[test]
fn tens_of_thousands_of_waiting_debits_of_one_account_stop_no_batch_and_end_with_their_balance() {
    run_on_sqlite(|bank| async move {
        bank.account("a", 10_000_000).await;
        bank.account("b", 0).await;
        let entry = bank.direct("a", "b", 1).await;
        bank.record(posted(&entry, &[("a", 1), ("b", 1)]).ending(1)).await;
        multiply(&bank, &entry).await;
        let held = "SELECT held_minor FROM lanes WHERE account = 'a'";
        assert_eq!(bank.number(held).await, MANY + 1);
        // A balance that includes three of them ends three.
        bank.apply(&[("a", 10_000_000 - 3, 3)], &[]).await;
        assert_eq!(bank.number(held).await, MANY - 2);
        // The posting rows of more entries than one statement lists.
        let mut rows = vec![debit_row(&entry, 1)];
        for n in 2..=1_200 {
            let core_ref = format!("LC{n:032}");
            rows.push(standin::journal::LegSeen { core_ref, ..debit_row(&entry, n) });
        }
        assert_eq!(bank.apply(&[], &rows).await.breaks, 0);
        bank.apply(&[("a", 10_000_000 - MANY, MANY)], &[]).await;
        assert_eq!(bank.number(held).await, 1);
        bank.apply(&[("a", 10_000_000 - MANY - 1, MANY + 1)], &[]).await;
        assert_eq!(bank.number(held).await, 0);
        assert_eq!(bank.number("SELECT COUNT(*) FROM legs WHERE released_at IS NULL").await, 0);
    });
}

on_every_engine! {
    async fn an_entry_that_cannot_be_read_is_set_aside_and_its_neighbours_are_confirmed(bank) {
        bank.two_accounts().await;
        let (bad, good) = (bank.direct("a", "b", 500).await, bank.direct("a", "b", 300).await);
        let rows = |first: i64| [
            debit_row(&bad, first), credit_row(&bad, first), debit_row(&good, first + 1), credit_row(&good, first + 1),
        ];
        let command = bank.db.query("SELECT command FROM entries WHERE id = ?", params![bad.id.as_str()]).await.unwrap();
        let command: Vec<u8> = command[0].get("command").unwrap();
        let write = "UPDATE entries SET command = ? WHERE id = ?";
        bank.db.exec(write, params![b"{".to_vec(), bad.id.as_str()]).await.unwrap();
        let done = bank.apply(&[("a", 99_200, 2), ("b", 800, 2)], &rows(1)).await;
        assert_eq!(done, Confirmed { entries: 1, breaks: 2 });
        assert_eq!(bank.state(&good).await, Confirmed_);
        assert_eq!(bank.available("a").await, 98_700, "what is not confirmed is still held");
        assert_eq!(bank.apply(&[], &rows(1)).await, Confirmed::default(), "kept once");
        bank.db.exec(write, params![command, bad.id.as_str()]).await.unwrap();
        assert_eq!(bank.apply(&[], &rows(1)).await, Confirmed { entries: 1, breaks: 0 });
        assert_eq!((bank.state(&bad).await, bank.available("a").await), (Confirmed_, 99_200));
    }

    async fn only_a_debit_that_was_sent_and_has_no_number_makes_a_balance_uncertain(bank) {
        bank.two_accounts().await;
        let asked = async || {
            let (journal, accounts) = (bank.journal.clone(), ["a".to_owned(), "d".to_owned()]);
            let found = bank.db.transaction(move |tx| {
                Box::pin(async move { journal.confirmations().accounts_without_numbers(tx, &accounts).await })
            });
            found.await.unwrap().into_iter().collect::<Vec<_>>()
        };
        assert!(asked().await.is_empty());
        bank.account("c", 1_000).await;
        bank.account("d", 1_000).await;
        bank.queued("d", "b", 1).await;
        assert!(asked().await.is_empty(), "the core cannot have booked what was not sent");
        let entry = bank.direct("a", "c", 500).await;
        assert_eq!(asked().await, ["a"]);
        bank.record(posted(&entry, &[("a", 1), ("c", 1)]).ending(1)).await;
        assert_eq!(bank.state(&entry).await, Posted);
        assert!(asked().await.is_empty(), "the number says which balance includes it");
    }

    async fn a_row_is_news_until_it_is_recorded_on_its_leg_and_other_systems_rows_never_are(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let strange = |core_ref: &str| standin::journal::LegSeen { core_ref: core_ref.into(), ..debit_row(&entry, 7) };
        let unknown = strange("LC0123456789ABCDEF0123456789ABCDEF");
        let rows = [debit_row(&entry, 1), credit_row(&entry, 1), strange("INVOICE 7"), unknown];
        let ask = async || {
            let (journal, rows) = (bank.journal.clone(), rows.clone());
            let asked = bank.db.transaction(move |tx| Box::pin(async move {
                Ok::<_, standin::journal::JournalError>((journal.confirmations().is_news(tx, &rows).await?, journal.confirmations().accounts_with_holds(tx).await?))
            }));
            asked.await.unwrap()
        };
        assert_eq!(ask().await, (vec![true, true, false, true], vec!["a".to_owned()]));
        bank.apply(&[("a", 99_500, 1), ("b", 500, 1)], &[debit_row(&entry, 1)]).await;
        assert_eq!(ask().await, (vec![false, true, false, true], vec![]));
        bank.apply(&[], &[credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed_);
        assert_eq!(ask().await.0, [false, false, false, true], "a reference of ours that no entry has is a break each time");
    }
}
