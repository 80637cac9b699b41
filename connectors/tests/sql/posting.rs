//! What becomes of a transfer where nothing breaks.

use locum_connectors::sql::{Server, TransactionOwner};
use locum_connectors::{CoreConnector, LegsMatch, Probe, legs_match};
use schemas::core::{Enquiry, Outcome, Posting, Unsent};

use crate::bank::*;

fn books(postings: &str, balance: &str) -> (String, String) {
    (postings.to_owned(), balance.to_owned())
}

#[tokio::test]
async fn a_transfer_is_posted_once_whatever_is_sent_again() {
    everywhere(|bank, owner| async move {
        let core = bank.core(owner);
        let posting = Posting { core_id: None, numbers: vec![("A-1".into(), 1), ("B-2".into(), 1)] };
        for _ in 0..2 {
            assert_eq!(core.post(&transfer("LC1"), PATIENT).await, Outcome::Posted(posting.clone()));
            assert_eq!(bank.books("LC1").await, books("2", "89.50"));
        }
        assert_eq!(core.idle_sessions(), 1, "one session did it all");
        let found = core.enquire("transfer", "LC1", PATIENT).await;
        assert_eq!(legs_match(&transfer("LC1"), &found), LegsMatch::Same);
        assert!(matches!(&found, Enquiry::Posted { posting: told, .. } if *told == posting), "{found:?}");
        assert_eq!(core.enquire("transfer", "LC2", PATIENT).await, Enquiry::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_reference_with_other_legs_is_a_duplicate_and_posts_nothing() {
    everywhere(|bank, owner| async move {
        let core = bank.core(owner);
        assert!(is_posted(&core.post(&transfer("LC1"), PATIENT).await));
        for other in [transfer_of("LC1", "A-1", "B-2", 1051), transfer_of("LC1", "B-2", "A-1", 1050)] {
            assert_eq!(core.post(&other, PATIENT).await, Outcome::Duplicate);
        }
        assert_eq!(bank.books("LC1").await, books("2", "89.50"));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_final_and_is_found_again() {
    everywhere(|bank, owner| async move {
        let core = bank.core(owner);
        for (reference, refused, code) in [
            ("LC1", transfer_of("LC1", "A-1", "B-2", 10_001), "INSUFFICIENT_FUNDS"),
            ("LC2", transfer_of("LC2", "A-1", "Z-9", 100), "UNKNOWN_ACCOUNT"),
            ("LC3", transfer_of("LC3", "A-1", "C-3", 100), "CURRENCY_MISMATCH"),
        ] {
            let expected = Outcome::Refused { code: code.to_owned() };
            assert_eq!(core.post(&refused, PATIENT).await, expected);
            assert_eq!(core.post(&refused, PATIENT).await, expected);
            let found = core.enquire("transfer", reference, PATIENT).await;
            assert_eq!(found, Enquiry::Refused { code: code.to_owned() });
            assert_eq!(bank.books(reference).await, books("0", "100.00"));
        }
        assert_eq!(core.refusal_reason("transfer", "INSUFFICIENT_FUNDS"), Some("insufficient-funds"));
    })
    .await;
}

#[tokio::test]
async fn the_same_transfer_from_many_at_once_is_posted_once() {
    everywhere(|bank, owner| async move {
        let core = std::sync::Arc::new(bank.patient_core(owner));
        let posts = (0..8).map(|_| {
            let core = core.clone();
            tokio::spawn(async move { core.post(&transfer("LC1"), PATIENT).await })
        });
        for post in posts.collect::<Vec<_>>() {
            let outcome = post.await.unwrap();
            // On MariaDB those that wait for one reference may be a deadlock, which is rolled back and declared.
            assert!(is_posted(&outcome) || is_unsent(&outcome, Unsent::NotDone), "{outcome:?}");
        }
        assert_eq!(bank.books("LC1").await, books("2", "89.50"));
    })
    .await;
}

#[tokio::test]
async fn a_probe_tells_up_from_read_only_from_down() {
    everywhere(|bank, owner| async move {
        let core = bank.core(owner);
        assert_eq!(core.probe(PATIENT).await, Probe::Up);
        for (state, expected) in [("CLOSED", Some(Probe::ReadOnly)), ("DIZZY", None)] {
            bank.hand().await.exec(&format!("UPDATE core_state SET state = '{state}'")).await;
            let probe = core.probe(PATIENT).await;
            match expected {
                Some(expected) => assert_eq!(probe, expected),
                None => assert!(matches!(probe, Probe::Down { .. }), "{probe:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_enquiry_cannot_write() {
    on(Server::Postgresql, |bank| async move {
        let yaml = bank.yaml(TransactionOwner::Connector);
        let yaml = changed(&yaml, "FROM transfer_outcomes WHERE reference = $1", FROM_THE_FUNCTION);
        let yaml = changed(&yaml, "parameters: [\"{core_ref}\"]", PARAMETERS_OF_THE_FUNCTION);
        let found = build(&yaml).enquire("transfer", "LC1", PATIENT).await;
        assert!(matches!(&found, Enquiry::NotUnderstood { reason } if reason.contains("25006")), "{found:?}");
        assert_eq!(bank.books("LC1").await, books("0", "100.00"));
    })
    .await;
}

const FROM_THE_FUNCTION: &str = "FROM post_transfer($1, $2, $3, $4::numeric, $5, $6, $7::timestamptz, $8::date)";
const PARAMETERS_OF_THE_FUNCTION: &str =
    "parameters: [\"{core_ref}\", A-1, B-2, \"10.50\", EUR, \"\", \"2026-03-01 00:00:00\", \"2026-03-02\"]";
