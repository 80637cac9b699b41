//! Balances that tell by their source transactions what they include.

use std::collections::BTreeMap;

use super::cores::{BLNK, FINERACT};
use super::events::{INSERT, Told, UPDATE, read, table};
use super::*;
use crate::debezium::tests::Fixture;
use crate::position::{PlaceError, TransactionPlace};

/// Account rows with a balance, ordered so.
fn balances(last_posting: &str) -> String {
    let balance = "balance: {account_id: id, currency: ccy, booked: {column: booked, type: minor_units}";
    table("[id]", &format!("    {balance}{last_posting}}}\n"))
}

const BY_TRANSACTION: &str = ", last_posting: {by: source-transaction}";
const AFTER: &str = r#"{"id":1,"ccy":"EUR","booked":500}"#;
const IN_TRANSACTION: &str = r#"{"id":"u:7","total_order":1,"data_collection_order":1}"#;

/// The mapping of a core with our words in every balance.
fn by_transaction(yaml: &str) -> String {
    let balance = "    balance:\n";
    assert!(yaml.contains(balance));
    yaml.replace(balance, &format!("{balance}      last_posting: {{by: source-transaction}}\n"))
}

#[test]
fn a_balance_and_a_posting_carry_their_place_and_other_rows_do_not() {
    let event = Told { after: AFTER, transaction: IN_TRANSACTION, ..INSERT };
    let numbered = event.apply(&balances("")).unwrap();
    assert!(numbered.changes.iter().all(|change| change.place.is_none()));
    let ordered = event.apply(&balances(BY_TRANSACTION)).unwrap();
    let place = event.with(|event| TransactionPlace::from_event(1, event)).unwrap();
    assert_eq!(ordered.changes[0].place, Some(place));
    let CanonicalRow::Balance(balance) = upserts(&ordered)[0] else { panic!("{ordered:?}") };
    assert_eq!(balance.last_posting, None);
    let customers = "    customer: {customer_id: id}\n  b:\n    key: [id]\n    balance: {account_id: id, currency: ccy, \
         booked: {column: booked, type: minor_units}, last_posting: {by: source-transaction}}\n";
    let customer = Told { transaction: "null", ..event }.apply(&table("[id]", customers)).unwrap();
    assert_eq!(customer.changes[0].place, None, "nor do they need one");
}

#[test]
fn a_streamed_change_without_its_transaction_needs_a_new_snapshot() {
    let yaml = balances(BY_TRANSACTION);
    for event in [Told { after: AFTER, ..INSERT }, Told { after: AFTER, ..UPDATE }] {
        let err = event.apply(&yaml).unwrap_err();
        assert_eq!(err.reason, MapReason::Place(PlaceError::Missing));
        assert!(err.is_contradiction() && err.needs_rebuild());
        assert!(err.to_string().contains("provide.transaction.metadata=true"), "{err}");
    }
    let empty = r#"{"id":"","total_order":1,"data_collection_order":1}"#;
    let err = Told { after: AFTER, transaction: empty, ..INSERT }.apply(&yaml).unwrap_err();
    assert_eq!(err.reason, MapReason::Place(PlaceError::Unknown));
    for snapshot in ["first", "last", "incremental"] {
        let read = Told { after: AFTER, op: "r", snapshot, ..INSERT }.apply(&yaml).unwrap();
        assert!(read.changes[0].place.is_some(), "{snapshot}");
    }
    assert!(Told { op: "d", ..INSERT }.apply(&yaml).is_ok(), "what ends includes nothing");
}

#[test]
fn the_order_has_one_word_and_nothing_beside_it() {
    for (wrong, problem) in [
        ("{by: number}", "last_posting.by: expected `source-transaction`, or a column instead of `by`"),
        ("{by: 7}", "last_posting.by: expected a text (put it in quotes)"),
        ("{by: source-transaction, column: no}", "last_posting.column: unknown field; known here: by"),
    ] {
        let found = issues(&balances(&format!(", last_posting: {wrong}"))).join("; ");
        assert!(found.contains(problem), "{found}");
    }
}

#[test]
fn two_orders_in_one_source_are_refused() {
    let ordered = by_transaction(BLNK.0);
    let numbered = ordered.replace("debit: {account_id: source}", "debit: {account_id: source, posting_no: id}");
    let found = issues(&numbered).join("; ");
    assert!(found.contains("tables.transactions.transaction: `posting_no` and a balance ordered by source"), "{found}");
    for other in ["", ", last_posting: version"] {
        let second = format!(
            "  more:\n    key: [id]\n    balance: {{account_id: id, currency: ccy, booked: {{column: b, type: minor_units}}{other}}}\n"
        );
        let found = issues(&format!("{ordered}\n{second}")).join("; ");
        assert!(found.contains("tables.more.balance: another balance is ordered by source transaction"), "{found}");
    }
}

/// The mapping of Blnk whose postings confirm, with these words in its balances or without any.
fn confirming(yaml: &str) -> String {
    let reference = "      core_ref: reference\n";
    assert!(yaml.contains(reference));
    yaml.replace(reference, &format!("{reference}    confirms: {{operations: [transfer]}}\n"))
}

#[test]
fn without_numbers_both_legs_of_a_row_confirm_at_the_place_of_the_row() {
    let (mapping, mut seen) = (read(&confirming(&by_transaction(BLNK.0))), Vec::new());
    for line in BLNK.1.lines() {
        let record: Fixture = serde_json::from_str(line).unwrap();
        let mut decoder = Decoder::new();
        let Record::Change(event) = decoder.decode(&record.topic, record.key(), record.value()).unwrap() else {
            panic!("{line}")
        };
        let place = TransactionPlace::from_event(1, &event).ok();
        for evidence in mapping.apply(&event, 1).unwrap().rows().evidence {
            assert_eq!((evidence.place, evidence.posting_no), (place, None), "{line}");
            seen.push((evidence.core_ref, evidence.leg, evidence.row_key));
        }
    }
    assert!(!seen.is_empty());
    for legs in seen.chunks(2) {
        let [debit, credit] = legs else { panic!("{seen:?}") };
        assert_eq!((&debit.0, debit.1, credit.1), (&credit.0, Debit, Credit));
        assert_ne!(debit.2, credit.2, "a second row of a leg is a break");
    }
}

#[test]
fn postings_confirm_by_number_or_by_source_transaction_and_not_by_nothing() {
    let found = issues(&confirming(BLNK.0)).join("; ");
    for (at, remedy) in [
        ("tables.balances.balance: needs `last_posting`", "{by: source-transaction}"),
        ("tables.transactions.confirms: needs `transaction.posting_no`", "`last_posting: {by: source-transaction}`"),
    ] {
        assert!(found.contains(at) && found.contains(remedy), "{found}");
    }
}

/// What a core's streamed changes say: balances and postings by account, each with the rank of its transaction.
fn streamed(mapping: &str, events: &str) -> BTreeMap<String, Vec<(Entity, usize, TransactionPlace)>> {
    let (mapping, mut ranks, mut found) = (read(mapping), Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for line in events.lines() {
        let record: Fixture = serde_json::from_str(line).unwrap();
        let mut decoder = Decoder::new();
        let Record::Change(event) = decoder.decode(&record.topic, record.key(), record.value()).unwrap() else {
            panic!("{line}")
        };
        let Some(transaction) = &event.transaction else { continue };
        let name = transaction.source_transaction().to_owned();
        let rank = ranks.iter().position(|known| *known == name).unwrap_or(ranks.len());
        if rank == ranks.len() {
            ranks.push(name);
        }
        for change in mapping.apply(&event, 1).unwrap().rows().changes {
            if let (Some(account), Some(place)) = (change.account_id, change.place) {
                found.entry(account).or_default().push((change.entity, rank, place));
            }
        }
    }
    found
}

#[test]
fn in_two_cores_each_balance_includes_the_postings_up_to_its_own_transaction() {
    for (mapping, events) in [FINERACT, BLNK] {
        let (mut within, mut later) = (0, 0);
        for rows in streamed(&by_transaction(mapping), events).into_values() {
            let of = |kind| rows.iter().filter(move |(entity, ..)| *entity == kind);
            for (_, balance_rank, balance) in of(Entity::Balance) {
                for (_, rank, posting) in of(Entity::Transaction) {
                    assert_eq!(balance.includes(posting), balance_rank >= rank, "{balance_rank} {rank}");
                    within += usize::from(balance_rank == rank);
                    later += usize::from(balance_rank > rank);
                }
            }
        }
        assert!(within > 0 && later > 0, "{within} {later}");
    }
}

#[test]
fn an_event_that_waits_for_its_account_does_not_hide_that_it_tells_no_transaction() {
    let yaml = table(
        "[id]",
        "    account: {account_id: id, customer_id: owner, currency: ccy, state: {constant: active}}\n  b:\n    key: [id]\n    \
         balance: {account_id: id, currency: {of: account}, booked: {column: booked, type: minor_units}, \
         last_posting: {by: source-transaction}}\n",
    );
    let event = Told { table: "b", after: AFTER, ..INSERT };
    assert_eq!(event.apply(&yaml).unwrap_err().reason, MapReason::Place(PlaceError::Missing));
    let told = Told { transaction: IN_TRANSACTION, ..event };
    assert_eq!(told.apply(&yaml).unwrap_err().reason, MapReason::NoAccount);
}
