//! What people order about entries that nothing else ends: adopted, freed, linked, forced, written off.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{Act, Change, Entry, EntryId, Grounds, JournalError, LegSeen, Objection, Order};

use crate::support::*;

fn because() -> Grounds {
    Grounds::because("looked at it, N.N.")
}

fn posted_proof() -> Grounds {
    Grounds { posted_proof: Some("statement 7".into()), ..because() }
}

fn absence_proof() -> Grounds {
    Grounds { absence_proof: Some("screen of 14:10".into()), ..because() }
}

fn adopt(entry: &Entry) -> Act {
    Act::Adopt { entry: entry.id.clone(), debit_posting_no: None }
}

fn free(entry: &Entry) -> Act {
    Act::Free { entry: entry.id.clone() }
}

fn force(entry: &Entry) -> Act {
    Act::Force { entry: entry.id.clone() }
}

fn link(entry: &Entry, postings: &[&str]) -> Act {
    Act::Link { entry: entry.id.clone(), postings: postings.iter().map(|text| (*text).to_owned()).collect() }
}

fn objection<T: std::fmt::Debug>(outcome: Result<T, JournalError>) -> Objection {
    match outcome {
        Err(JournalError::Objected(objection)) => objection,
        other => panic!("no objection: {other:?}"),
    }
}

/// Sent, not answered, and given up on; its attempt has ended.
async fn parked(bank: &Bank, from: &str, to: &str, amount: i64) -> Entry {
    let entry = bank.direct(from, to, amount).await;
    bank.first_attempt(&entry, Evidence::NoAnswer).await;
    bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable).because("outcome-unresolved")).await.entry
}

async fn cleared(bank: &Bank) {
    for account in ["a", "b"] {
        bank.clear(account, "settled").await;
    }
}

on_every_engine! {
    async fn a_queued_entry_that_the_books_show_whole_is_adopted_and_its_lanes_go_on(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        let behind = bank.queued("a", "b", 1).await;
        bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 2);
        let adopted = bank.order(adopt(&entry), because()).await.unwrap();
        assert_eq!((adopted.state, adopted.contradicted), (Confirmed, false));
        assert_eq!(bank.available("a").await, 99_499, "its hold ended with the balance that includes it");
        let backlog = bank.journal.operators().backlog().await.unwrap();
        assert_eq!((backlog.breaks, backlog.contradicted), (0, 0));
        assert!(bank.ready().await.is_empty(), "the lanes wait for their own order");
        cleared(&bank).await;
        assert_eq!(bank.ready().await, [behind.id]);
        // The same change events again, after a rewind, say nothing new.
        assert_eq!(bank.apply(&[], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await.breaks, 0);
        let again = bank.order(adopt(&entry), because()).await.unwrap();
        assert_eq!(again.version, adopted.version);
        assert_eq!(bank.journal.operators().audit_of(entry.id.as_str(), 10).await.unwrap().len(), 1, "what was so already is not audited");
    }

    async fn an_entry_with_one_leg_in_the_books_is_adopted_only_with_a_proof_of_the_other(bank) {
        bank.two_accounts().await;
        for (n, state) in [(1, Queued), (2, OutcomeUnknown), (3, Parked)] {
            let entry = match state {
                Queued => bank.queued("a", "b", 100).await,
                OutcomeUnknown => {
                    let entry = bank.direct("a", "b", 100).await;
                    bank.first_attempt(&entry, Evidence::NoAnswer).await.entry
                }
                _ => parked(&bank, "a", "b", 100).await,
            };
            assert_eq!(entry.state, state);
            bank.apply(&[("a", 100_000 - 100 * n, n)], &[debit_row(&entry, n)]).await;
            assert_eq!(objection(bank.order(adopt(&entry), because()).await), Objection::LegsMissing, "{state}");
            let adopted = bank.order(adopt(&entry), posted_proof()).await.unwrap();
            assert_eq!(adopted.state, Posted, "the other row may still come");
            bank.apply(&[], &[credit_row(&entry, n)]).await;
            assert_eq!(bank.state(&entry).await, Confirmed);
            assert_eq!(bank.available("a").await, 100_000 - 100 * n);
            cleared(&bank).await;
        }
    }

    async fn a_posted_entry_whose_change_events_do_not_come_is_confirmed_by_a_person_and_its_hold_ends(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        // The core's balance includes it; its rows carry no reference.
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        assert_eq!(bank.available("a").await, 99_000, "counted twice until somebody looks");
        assert_eq!(objection(bank.order(adopt(&entry), because()).await), Objection::LegsMissing);
        let vouched = bank.order(adopt(&entry), posted_proof()).await.unwrap();
        assert_eq!(vouched.state, Confirmed);
        assert_eq!(bank.available("a").await, 99_500);
        // Should the rows come after all, they are its own.
        assert_eq!(bank.apply(&[], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await.breaks, 0);
        assert_eq!(bank.state(&entry).await, Confirmed);
    }

    async fn the_number_that_a_person_read_ends_the_hold_exactly_with_the_balance_that_includes_it(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        let act = Act::Adopt { entry: entry.id.clone(), debit_posting_no: Some(2) };
        assert_eq!(bank.order(act, posted_proof()).await.unwrap().state, Confirmed);
        bank.apply(&[("a", 100_001, 1)], &[]).await;
        assert_eq!(bank.available("a").await, 99_501, "the balance does not include it yet");
        bank.apply(&[("a", 99_501, 2)], &[]).await;
        assert_eq!(bank.available("a").await, 99_501);
    }

    async fn a_posting_number_that_no_core_gives_is_refused_and_its_hold_stays(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        for number in [0, -1, i64::MIN] {
            let act = Act::Adopt { entry: entry.id.clone(), debit_posting_no: Some(number) };
            assert!(matches!(objection(bank.order(act, posted_proof()).await), Objection::GroundsMissing(_)), "{number}");
        }
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Posted, 99_500));
        let keyed = bank.queued("a", "b", 1).await;
        for posting in ["", " ", " T-1", "T-1\n", "T\u{1b}[1m-1"] {
            let linked = bank.order(link(&keyed, &[posting]), because()).await;
            assert!(matches!(objection(linked), Objection::GroundsMissing(_)), "{posting:?}");
        }
        assert_eq!(bank.state(&keyed).await, Queued);
    }

    async fn a_row_that_is_not_the_entrys_is_freed_and_the_entry_goes_on_with_its_hold(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        let strange = [debit_row(&entry, 1), credit_row(&entry, 1)];
        bank.apply(&[("a", 99_500, 1)], &strange).await;
        assert_eq!(bank.available("a").await, 99_500, "taken for its own, it ended the hold");
        let missing = bank.order(free(&entry), because()).await;
        assert!(matches!(objection(missing), Objection::GroundsMissing(_)));
        let freed = bank.order(free(&entry), absence_proof()).await.unwrap();
        assert_eq!((freed.state, freed.contradicted), (Queued, false));
        assert_eq!(bank.available("a").await, 99_000, "its own debit is still to come");
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 0);
        assert_eq!(objection(bank.order(free(&entry), absence_proof()).await), Objection::NothingToFree);
        cleared(&bank).await;
        // The strange rows' events again: they are known not to be its own.
        assert_eq!(bank.apply(&[], &strange).await.breaks, 0);
        assert_eq!(bank.ready().await, std::slice::from_ref(&entry.id));
        let fence = bank.fence().await;
        let attempt = bank.claim(&fence, &[&entry]).await[0].attempt;
        bank.record(posted(&entry, &[("a", 2), ("b", 2)]).ending(attempt)).await;
        bank.apply(&[("a", 99_000, 2)], &[debit_row(&entry, 2), credit_row(&entry, 2)]).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Confirmed, 99_000));
    }

    async fn a_row_against_an_entry_that_ended_is_settled_by_freeing_it(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        bank.journal.gateway().cancel("anna", &entry.id).await.unwrap();
        bank.apply(&[], &[debit_row(&entry, 1)]).await;
        assert!(bank.now(&entry).await.contradicted);
        let freed = bank.order(free(&entry), absence_proof()).await.unwrap();
        assert_eq!((freed.state, freed.contradicted), (Cancelled, false));
        assert_eq!((bank.available("a").await, bank.journal.operators().backlog().await.unwrap().breaks), (100_000, 0));
    }

    async fn what_a_branch_keyed_by_hand_is_never_sent_and_confirmed_by_the_cores_own_numbers(bank) {
        bank.two_accounts().await;
        let (entry, behind) = (bank.queued("a", "b", 500).await, bank.queued("a", "b", 1).await);
        let linked = bank.order(link(&entry, &["T-1", "T-2"]), because()).await.unwrap();
        assert_eq!((linked.state, linked.core_id.as_deref()), (Posted, Some("T-1")));
        assert_eq!(bank.ready().await, [behind.id], "it left its lanes");
        assert_eq!(bank.available("a").await, 99_499, "its hold counts until its own row has come");
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 0);
        bank.keyed("T-1", "a", -500, 1, None).await;
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 1);
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Posted, 99_499));
        bank.keyed("T-2", "b", 500, 1, Some("BRANCH-9")).await;
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 1);
        assert_eq!(bank.state(&entry).await, Confirmed);
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 0, "once");
    }

    async fn rows_that_came_before_the_link_confirm_it_at_once(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank, "a", "b", 500).await;
        bank.keyed("T-1", "a", -500, 1, None).await;
        bank.keyed("T-2", "b", 500, 1, None).await;
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        let linked = bank.order(link(&entry, &["T-2", "T-1"]), because()).await.unwrap();
        assert_eq!((linked.state, linked.reason), (Confirmed, None));
        assert_eq!(bank.available("a").await, 99_500);
    }

    async fn a_posting_that_differs_or_is_anothers_is_not_linked(bank) {
        bank.two_accounts().await;
        bank.account("c", 0).await;
        let (entry, other) = (bank.queued("a", "b", 500).await, bank.queued("a", "c", 500).await);
        for (posting, account, amount) in [("T-1", "a", -501), ("T-2", "c", 500)] {
            bank.keyed(posting, account, amount, 1, None).await;
            let refused = objection(bank.order(link(&entry, &[posting]), because()).await);
            assert!(matches!(refused, Objection::PostingDiffers(_)), "{refused:?}");
        }
        bank.keyed("T-3", "a", -500, 2, Some(&other.core_ref)).await;
        assert_eq!(objection(bank.order(link(&entry, &["T-3"]), because()).await), Objection::PostingTaken);
        bank.order(link(&other, &["T-4"]), because()).await.unwrap();
        assert_eq!(objection(bank.order(link(&entry, &["T-4"]), because()).await), Objection::PostingTaken);
        for postings in [vec![], vec!["x", "x"], vec!["x", "y", "z"]] {
            let refused = objection(bank.order(link(&entry, &postings), because()).await);
            assert!(matches!(refused, Objection::GroundsMissing(_)), "{refused:?}");
        }
        assert_eq!(bank.state(&entry).await, Queued, "nothing of that changed it");
    }

    async fn a_posting_that_stands_for_an_entry_confirms_no_other_when_it_gets_its_reference(bank) {
        bank.two_accounts().await;
        let other = bank.direct("a", "b", 500).await;
        bank.record(posted(&other, &[]).ending(1)).await;
        let keyed = parked(&bank, "a", "b", 500).await;
        bank.keyed("T-1", "a", -500, 1, None).await;
        bank.keyed("T-2", "b", 500, 1, None).await;
        assert_eq!(bank.order(link(&keyed, &["T-1", "T-2"]), because()).await.unwrap().state, Confirmed);
        let rows = [
            LegSeen { row_key: "T-1".into(), ..debit_row(&other, 1) },
            LegSeen { row_key: "T-2".into(), ..credit_row(&other, 1) },
        ];
        for breaks in [2, 0] {
            let done = bank.apply(&[("a", 99_500, 1)], &rows).await;
            assert_eq!((done.entries, done.breaks), (0, breaks));
        }
        let (other, keyed) = (bank.now(&other).await, bank.now(&keyed).await);
        assert_eq!((other.state, other.contradicted), (Posted, true));
        assert_eq!((keyed.state, keyed.contradicted), (Confirmed, true));
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
        assert_eq!(bank.available("a").await, 99_000, "the other one's hold counts until a person has looked");
    }

    async fn a_linked_posting_that_comes_with_the_reference_of_another_entry_confirms_neither(bank) {
        bank.two_accounts().await;
        let other = bank.direct("a", "b", 500).await;
        bank.record(posted(&other, &[]).ending(1)).await;
        let keyed = bank.queued("a", "b", 500).await;
        bank.order(link(&keyed, &["T-1"]), because()).await.unwrap();
        bank.keyed("T-1", "a", -500, 1, Some(&other.core_ref)).await;
        let row = LegSeen { row_key: "T-1".into(), ..debit_row(&other, 1) };
        assert_eq!(bank.apply(&[], &[row]).await.breaks, 1);
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 1);
        for entry in [&other, &keyed] {
            let now = bank.now(entry).await;
            assert_eq!((now.state, now.contradicted), (Posted, true));
        }
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 2);
    }

    async fn linked_rows_that_come_with_another_amount_are_a_break(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        bank.order(link(&entry, &["T-1"]), because()).await.unwrap();
        bank.keyed("T-1", "a", -5_000, 1, None).await;
        assert_eq!(bank.journal.gateway().confirm_linked().await.unwrap(), 1);
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted), (Posted, true));
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 1);
        assert_eq!(bank.available("a").await, 99_500, "a row that is not its own ends no hold");
    }

    async fn a_parked_entry_is_linked_only_when_nothing_of_it_can_still_be_posted(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        let unknown = bank.order(link(&entry, &["T-1"]), because()).await;
        assert!(matches!(unknown, Err(JournalError::Forbidden(OutcomeUnknown))), "{unknown:?}");
        bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable)).await;
        assert!(matches!(bank.order(link(&entry, &["T-1"]), because()).await, Err(JournalError::AttemptOpen)));
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let recent = bank.order_within(link(&entry, &["T-1"]), because(), 60_000).await;
        assert!(matches!(recent, Err(JournalError::AttemptRecent)));
        assert_eq!(bank.order(link(&entry, &["T-1"]), because()).await.unwrap().state, Posted);
    }

    async fn a_forced_entry_is_sent_again_at_a_named_persons_risk_and_never_while_one_sends_it(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable).because("outcome-unresolved")).await;
        assert!(matches!(objection(bank.order(force(&entry), because()).await), Objection::GroundsMissing(_)));
        let risk = || Grounds { risk_accepted_by: Some("head of payments".into()), ..because() };
        assert!(matches!(bank.order(force(&entry), risk()).await, Err(JournalError::AttemptOpen)));
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        // What a retry must wait for, force need not.
        let forced = bank.order_within(force(&entry), risk(), 60_000).await.unwrap();
        assert_eq!((forced.state, forced.reason), (Queued, None));
        assert_eq!(bank.ready().await, std::slice::from_ref(&entry.id));
        let trail = bank.journal.operators().audit_of(entry.id.as_str(), 10).await.unwrap();
        assert_eq!((trail[0].action.as_str(), trail.len()), ("entry.force", 1));
        assert_eq!(trail[0].detail["risk_accepted_by"], "head of payments");
    }

    async fn a_refusal_of_a_forced_attempt_ends_nothing_while_the_one_before_may_have_posted(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank, "a", "b", 500).await;
        bank.order(force(&entry), absence_proof()).await.unwrap();
        let fence = bank.fence().await;
        let attempt = bank.claim(&fence, &[&entry]).await[0].attempt;
        let refused = Change::new(entry.id.clone(), Evidence::CoreRefused).because("no").ending(attempt);
        assert_eq!(bank.record(refused).await.entry.state, OutcomeUnknown);
        assert_eq!(bank.available("a").await, 99_500);
        bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed);
    }

    async fn what_the_books_show_is_neither_sent_again_nor_written_off_nor_linked(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank, "a", "b", 500).await;
        bank.apply(&[], &[debit_row(&entry, 1)]).await;
        let id = || entry.id.clone();
        let grounds = Grounds { risk_accepted_by: Some("N.N.".into()), ..absence_proof() };
        for act in [Act::Retry { entry: id() }, Act::WriteOff { entry: id() }, force(&entry), link(&entry, &["T"])] {
            assert_eq!(objection(bank.order(act, grounds.clone()).await), Objection::Booked);
        }
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted), (Parked, false));
        assert_eq!(bank.available("a").await, 99_500);
    }

    async fn an_order_whose_commit_went_unanswered_finds_its_own_trace(bank) {
        bank.two_accounts().await;
        for account in ["c", "d", "e", "f"] {
            bank.account(account, 10).await;
        }
        let entries = [parked(&bank, "a", "b", 1).await, parked(&bank, "e", "f", 1).await];
        let queued = bank.queued("a", "b", 1).await;
        let booked = bank.queued("c", "d", 1).await;
        bank.apply(&[], &[debit_row(&booked, 1)]).await;
        let acts = [
            (Act::Retry { entry: entries[0].id.clone() }, because(), Queued),
            (force(&entries[1]), absence_proof(), Queued),
            (link(&queued, &["T-9"]), because(), Posted),
            (free(&booked), absence_proof(), Queued),
        ];
        for (act, grounds, state) in acts {
            let (deed, order) = (EntryId::generate(), Order { act, grounds });
            let entry = EntryId::parse(order.act.subject()).unwrap();
            for _ in 0..2 {
                bank.journal.operators().give(&deed, "op", &order, 0).await.unwrap();
                assert_eq!(bank.journal.gateway().get(&entry).await.unwrap().unwrap().state, state);
            }
            assert_eq!(bank.journal.operators().audit_of(entry.as_str(), 10).await.unwrap().len(), 1);
        }
    }
}
