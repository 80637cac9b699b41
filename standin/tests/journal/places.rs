//! M2 where the core numbers no postings: a hold counts until the served balance is of the posting's source transaction or of a later one (ADR 0041).

use std::collections::BTreeMap;

use schemas::entry::EntryState::{Confirmed as Confirmed_, Posted};
use schemas::entry::Evidence;
use schemas::position::{OpenDebits, SourcePosition, TransactionPlace};
use sql::params;
use standin::journal::{Act, Confirmed, Entry, Grounds, JournalError, LegSeen};

use crate::ledger::{self, version};
use crate::support::*;

/// A balance row: account, booked amount, its version, its place.
type Balance<'a> = (&'a str, i64, i64, TransactionPlace);

fn binlog(pos: u64) -> SourcePosition<'static> {
    SourcePosition::Binlog { file: 1, pos, row: 0, gtid: None }
}

/// Where this row of this transaction stands.
fn in_generation(generation: u32, transaction: u64, row: u64) -> TransactionPlace {
    let id = format!("0-1-{transaction}");
    TransactionPlace::streamed(generation, &binlog(1_000 * transaction + row), &id).unwrap()
}

fn place(transaction: u64, row: u64) -> TransactionPlace {
    in_generation(1, transaction, row)
}

/// The core's rows of both legs; `n` tells the postings of an account apart.
fn rows(entry: &Entry, n: i64, place: TransactionPlace) -> [LegSeen; 2] {
    [debit_row(entry, n), credit_row(entry, n)].map(|row| LegSeen { posting_no: None, place: Some(place), ..row })
}

/// One apply transaction of ingest: balances, then the journal's confirmation.
async fn apply(bank: &Bank, balances: &[Balance<'_>], seen: &[LegSeen]) -> Confirmed {
    let (journal, seen) = (bank.journal.clone(), seen.to_vec());
    let owned = |(account, booked, version, place): &Balance<'_>| ((*account).to_owned(), *booked, *version, *place);
    let balances: Vec<(String, i64, i64, TransactionPlace)> = balances.iter().map(owned).collect();
    let applied = bank.db.transaction(move |tx| {
        Box::pin(async move {
            for (account, booked, version, place) in &balances {
                ledger::put_placed(tx, account, *booked, *version, place).await?;
            }
            let changed: Vec<String> = balances.into_iter().map(|(account, ..)| account).collect();
            journal.confirmations().confirm(tx, &seen, &changed).await
        })
    });
    applied.await.unwrap()
}

/// What ingest is told of debits on both accounts.
async fn open(bank: &Bank, coming: &[LegSeen], generation: u32) -> BTreeMap<String, OpenDebits> {
    let (journal, coming) = (bank.journal.clone(), coming.to_vec());
    let accounts = ["a".to_owned(), "b".to_owned()];
    let asked = bank.db.transaction(move |tx| {
        Box::pin(async move { journal.confirmations().open_debits(tx, &accounts, &coming, generation).await })
    });
    asked.await.unwrap()
}

/// Would a shadow keep these rows for its swap?
async fn is_news(bank: &Bank, rows: &[LegSeen]) -> Vec<bool> {
    let (journal, rows) = (bank.journal.clone(), rows.to_vec());
    let asked =
        bank.db.transaction(move |tx| Box::pin(async move { journal.confirmations().is_news(tx, &rows).await }));
    let news: Result<Vec<bool>, JournalError> = asked.await;
    news.unwrap()
}

on_every_engine! {
    async fn a_hold_ends_with_a_balance_of_its_source_transaction_or_of_a_later_one_whichever_row_comes_first(bank) {
        bank.two_accounts().await;
        // The posting first. A balance of an earlier transaction ends nothing.
        let one = bank.direct("a", "b", 500).await;
        bank.record(posted(&one, &[]).ending(1)).await;
        apply(&bank, &[], &rows(&one, 2, place(2, 5))).await;
        assert_eq!((bank.state(&one).await, bank.available("a").await), (Confirmed_, 99_500));
        apply(&bank, &[("a", 99_990, 1, place(1, 9))], &[]).await;
        assert_eq!(bank.available("a").await, 99_490);
        // One of its own transaction does, wherever it stands in it.
        apply(&bank, &[("a", 99_490, 2, place(2, 1))], &[]).await;
        assert_eq!(bank.available("a").await, 99_490);
        assert_eq!((bank.held_against("a", version(1)).await, bank.held_against("a", version(2)).await), (500, 0));
        // One of a later transaction does, too.
        let two = bank.direct("a", "b", 300).await;
        apply(&bank, &[], &rows(&two, 3, place(3, 1))).await;
        apply(&bank, &[("a", 99_180, 4, place(4, 1))], &[]).await;
        assert_eq!(bank.available("a").await, 99_180);
        // A balance that is served before the posting counts the debit twice until it comes, never not at all.
        let three = bank.direct("a", "b", 200).await;
        bank.first_attempt(&three, Evidence::NoAnswer).await;
        apply(&bank, &[("a", 98_980, 5, place(5, 1))], &[]).await;
        assert_eq!(bank.available("a").await, 98_780);
        apply(&bank, &[], &rows(&three, 5, place(5, 7))).await;
        assert_eq!((bank.state(&three).await, bank.available("a").await), (Confirmed_, 98_980));
    }

    async fn all_postings_of_one_source_transaction_end_with_its_balance_and_nothing_counts_again(bank) {
        bank.two_accounts().await;
        let (one, two) = (bank.direct("a", "b", 500).await, bank.direct("a", "b", 300).await);
        let seen = [rows(&one, 1, place(1, 3)), rows(&two, 2, place(1, 4))].concat();
        let balances = [("a", 99_200, 1, place(1, 1)), ("b", 800, 1, place(1, 2))];
        assert_eq!(apply(&bank, &balances, &seen).await, Confirmed { entries: 2, breaks: 0 });
        assert_eq!((bank.available("a").await, bank.available("b").await), (99_200, 800));
        assert_eq!(apply(&bank, &balances, &seen).await, Confirmed::default());
        assert_eq!(bank.available("a").await, 99_200);
    }

    async fn a_posting_whose_row_changes_later_stays_booked_where_it_was(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        apply(&bank, &[], &rows(&entry, 1, place(1, 3))).await;
        assert_eq!(apply(&bank, &[], &rows(&entry, 1, place(7, 3))).await, Confirmed::default());
        apply(&bank, &[("a", 99_500, 1, place(1, 5))], &[]).await;
        assert_eq!((bank.available("a").await, bank.held_against("a", version(1)).await), (99_500, 0));
    }

    async fn an_answer_with_posting_numbers_ends_no_hold_beside_a_balance_without_them(bank) {
        bank.two_accounts().await;
        apply(&bank, &[("a", 100_000, 1, place(1, 1))], &[]).await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[("a", 1), ("b", 1)]).ending(1)).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Posted, 99_500));
        assert!(open(&bank, &[], 1).await["a"].any_without_row, "a number says nothing of a balance");
        apply(&bank, &[("a", 99_500, 2, place(2, 1))], &rows(&entry, 1, place(2, 5))).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Confirmed_, 99_500));
    }

    async fn the_journal_tells_where_the_rows_of_open_debits_stand(bank) {
        bank.two_accounts().await;
        bank.account("d", 1_000).await;
        assert_eq!(open(&bank, &[], 1).await, BTreeMap::new());
        let told = |any_without_row, booked: &[TransactionPlace]| {
            BTreeMap::from([("a".to_owned(), OpenDebits { any_without_row, booked: booked.to_vec() })])
        };
        let entry = bank.direct("a", "b", 500).await;
        assert_eq!(open(&bank, &[], 1).await, told(true, &[]), "and no credit makes a balance wait");
        // Of a row that comes twice in one batch the first place counts, as on the leg.
        let (first, later) = (rows(&entry, 1, place(1, 3)), rows(&entry, 1, place(2, 3)));
        assert_eq!(open(&bank, &[first.clone(), later].concat(), 1).await, told(false, &[place(1, 3)]));
        let strange = LegSeen { core_ref: "INVOICE 7".into(), ..first[0].clone() };
        assert_eq!(open(&bank, &[strange], 1).await, told(true, &[]));
        apply(&bank, &[], &first).await;
        assert_eq!(open(&bank, &[], 1).await, told(false, &[place(1, 3)]));
        // To another generation it has not come yet.
        assert_eq!(open(&bank, &[], 2).await, told(true, &[]));
        let anew = in_generation(2, 1, 3);
        assert_eq!(open(&bank, &rows(&entry, 1, anew), 2).await, told(false, &[anew]));
        apply(&bank, &[("a", 99_500, 1, place(1, 1))], &[]).await;
        assert_eq!(open(&bank, &[], 1).await, BTreeMap::new());
    }

    async fn what_waits_in_the_queue_makes_no_balance_wait(bank) {
        bank.two_accounts().await;
        bank.queued("a", "b", 1).await;
        assert_eq!(open(&bank, &[], 1).await, BTreeMap::new(), "the core cannot have booked what was not sent");
    }

    async fn a_new_generation_places_a_booked_leg_anew_and_its_balance_ends_the_hold(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let (known, anew) = (rows(&entry, 1, place(1, 3)), rows(&entry, 1, TransactionPlace::snapshot(2, &binlog(9_000))));
        assert_eq!(is_news(&bank, &known).await, [true, true]);
        apply(&bank, &[], &known).await;
        // The credit holds nothing, so it is no news.
        assert_eq!((is_news(&bank, &known).await, is_news(&bank, &anew).await), (vec![false, false], vec![true, false]));
        apply(&bank, &[("a", 99_500, 2, TransactionPlace::snapshot(2, &binlog(9_000)))], &[]).await;
        assert_eq!(bank.available("a").await, 99_000, "of a place in another generation nothing is known");
        assert_eq!(apply(&bank, &[], &anew).await, Confirmed::default());
        assert_eq!(bank.available("a").await, 99_500);
        assert_eq!(is_news(&bank, &anew).await, [false, false]);
    }

    async fn a_posting_keyed_by_hand_ends_its_hold_by_its_place(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        let link = Act::Link { entry: entry.id.clone(), postings: vec!["T-1".to_owned()] };
        assert_eq!(bank.order(link, Grounds::because("keyed at the branch")).await.unwrap().state, Posted);
        assert!(open(&bank, &[], 1).await["a"].any_without_row);
        bank.keyed("T-1", "a", -500, 1, None).await;
        let unnumbered = "UPDATE core_rows SET posting_no = NULL, place = ? WHERE posting = 'T-1'";
        bank.db.exec(unnumbered, params![place(3, 1).as_bytes()]).await.unwrap();
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 1);
        assert_eq!(bank.available("a").await, 99_500);
        apply(&bank, &[("a", 99_500, 1, place(3, 9))], &[]).await;
        assert_eq!((bank.available("a").await, bank.held_against("a", version(1)).await), (99_500, 0));
    }
}
