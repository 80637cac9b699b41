//! What a batch of admissions sends to the SQL server: few statements, of few texts.

use std::pin::Pin;

use schemas::entry::EntryState::*;
use sql::Tally;
use standin::journal::{Admissions, Write};

use crate::support::*;

/// Most statements of a batch, BEGIN and COMMIT aside.
const STATEMENTS_MAX: u64 = 8;
/// Most texts of all batches: eight statements, each for four lengths of its list, and two that create lanes. Where new rows are split, entries
/// and legs have seven lengths.
const TEXTS_MAX: (usize, usize) = (34, 40);
/// Most writes of a batch.
const WRITES_MAX: usize = 64;

/// Admits these writes in one batch; answers how many statements it took.
async fn batch(bank: &Bank, tally: &Tally, writes: Vec<Write>) -> u64 {
    let before = tally.statements();
    let (admissions, task) = Admissions::new(bank.journal.clone(), bank.instance.clone());
    let submit = |write: Write| -> Pin<Box<dyn Future<Output = _> + Send>> {
        let admissions = admissions.clone();
        Box::pin(async move { admissions.submit(write).await })
    };
    let mut answers: Vec<_> = writes.into_iter().map(submit).collect();
    drop(admissions);
    for answer in &mut answers {
        // Polled once, it stands in the queue.
        tokio::select! {
            biased;
            early = answer => panic!("admitted by nobody: {early:?}"),
            () = std::future::ready(()) => {}
        }
    }
    tokio::spawn(task.run());
    for answer in answers {
        let entry = fresh(answer.await.unwrap());
        assert!([Submitting, Queued].contains(&entry.state), "{entry:?}");
    }
    tally.statements() - before
}

/// So many writes, each between two accounts of its own.
fn writes(count: usize, way: fn(Write) -> Write) -> Vec<Write> {
    (0..count).map(|n| way(transfer(&format!("from-{n}"), &format!("to-{n}"), 1))).collect()
}

on_every_engine! {
    async fn a_batch_of_any_size_takes_few_statements_and_after_a_while_no_new_text(bank) {
        for n in 0..WRITES_MAX {
            bank.account(&format!("from-{n}"), 100_000).await;
            bank.account(&format!("to-{n}"), 0).await;
        }
        let tally = Tally::default();
        let counted = bank.with("gateway-2", sql::Options { tally: Some(tally.clone()), ..options() }).await;
        let opening = tally.texts();
        for count in [64, 1, 3, 4, 9, 17, 33] {
            batch(&counted, &tally, writes(count, |write| write)).await;
        }
        let warm = tally.texts();
        let texts = warm.difference(&opening).count();
        let is_split = bank.db.splits_new_rows();
        assert!(texts <= if is_split { TEXTS_MAX.1 } else { TEXTS_MAX.0 }, "{texts} texts");
        let ways: [fn(Write) -> Write; 2] = [|write| write, Varied::away];
        for way in ways {
            for count in 1..=WRITES_MAX {
                let took = batch(&counted, &tally, writes(count, way)).await;
                // Each entry has two legs, so both are split into as many parts.
                let more = if is_split { 2 * (u64::from(count.count_ones()) - 1) } else { 0 };
                assert!(took <= STATEMENTS_MAX + more, "{took} statements for {count} writes");
            }
        }
        assert_eq!(tally.texts(), warm);
    }

    async fn a_stranger_locks_no_lane_though_its_owner_is_known(bank) {
        bank.two_accounts().await;
        bank.direct("a", "b", 1).await;
        let stranger = Write { grant: schemas::grant::Grant::customers(["bert"]), ..transfer("a", "b", 1) };
        let version = bank.number("SELECT version FROM lanes WHERE account = 'a'").await;
        assert_eq!(bank.submit(stranger).await, standin::journal::Admitted::NoSuchAccount);
        assert_eq!(bank.number("SELECT version FROM lanes WHERE account = 'a'").await, version);
        // The account is another's now, whoever was its owner when an admission last saw it.
        bank.db.exec("UPDATE books SET customer = 'carl' WHERE account = 'a'", vec![]).await.unwrap();
        assert_eq!(bank.submit(transfer("a", "b", 1)).await, standin::journal::Admitted::NoSuchAccount);
        bank.db.exec("UPDATE books SET customer = 'anna' WHERE account = 'a'", vec![]).await.unwrap();
        bank.direct("a", "b", 1).await;
    }
}
