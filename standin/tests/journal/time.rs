//! Days, and clocks that are wrong.

use schemas::entry::EntryState::*;
use standin::journal::{Act, ApprovalState, Done, EntryId, Grounds, JournalError, LaneAhead, Objection, Order};
use standin::rules::Reason;

use crate::support::*;

/// 2030 and later: a clock that lost its battery, or was set by hand.
const FAR: i64 = 2_000;

fn reset() -> Act {
    Act::ResetDay { account: "a".into() }
}

on_every_engine! {
    async fn an_entrys_day_and_stamps_are_the_sql_servers(bank) {
        bank.two_accounts().await;
        for days in [0, 3, -2] {
            let day = bank.noon(days).await;
            let entry = bank.direct("a", "b", 1).await;
            assert_eq!(entry.business_day, day);
            assert_eq!((entry.accepted_us / (DAY_MS * 1_000), entry.updated_us), (day, entry.accepted_us));
        }
    }

    async fn a_lane_whose_day_lies_ahead_is_found_and_taken_back_to_today(bank) {
        bank.account("a", 1_000_000).await;
        bank.account("b", 0).await;
        bank.journal.operators().set_limits("op", &limited_to(1_000), None, "test").await.unwrap();
        let future = bank.noon(FAR).await;
        bank.queued("a", "b", 400).await;
        let today = bank.noon(0).await;
        let ahead = LaneAhead { account: "a".into(), business_day: future, used_minor: 400, used_count: 1 };
        assert_eq!(bank.journal.operators().lanes_ahead("", 10).await.unwrap(), [ahead]);
        let id = EntryId::generate();
        let order = Order { act: reset(), grounds: Grounds::because("its clock is right again") };
        for _ in 0..2 {
            // An order whose COMMIT went unanswered finds its own trace.
            assert_eq!(bank.journal.operators().give(&id, "olga", &order, 0).await.unwrap(), Done::DayReset(today));
        }
        assert!(bank.journal.operators().lanes_ahead("", 10).await.unwrap().is_empty());
        // Nothing that was accepted is forgotten today, and tomorrow is a new day.
        let declined = bank.admit(transfer("a", "b", 601).away()).await;
        assert_eq!(declined.reason.as_deref(), Some(Reason::DailyLimitExceeded.code()));
        bank.queued("a", "b", 600).await;
        bank.noon(1).await;
        bank.queued("a", "b", 1_000).await;
        let audit = bank.journal.operators().audit_of("a", 10).await.unwrap();
        assert_eq!(audit.iter().map(|record| record.action.as_str()).collect::<Vec<_>>(), ["lane.reset-day"]);
    }

    async fn a_day_that_is_not_ahead_is_not_reset(bank) {
        bank.two_accounts().await;
        bank.noon(0).await;
        let refused = bank.give(reset(), Grounds::because("x")).await.unwrap_err();
        assert!(matches!(refused, JournalError::NoSuchEntry), "no lane yet: {refused}");
        bank.queued("a", "b", 1).await;
        for days in [0, 1] {
            bank.noon(days).await;
            let refused = bank.give(reset(), Grounds::because("x")).await.unwrap_err();
            assert!(matches!(refused, JournalError::Objected(Objection::DayNotAhead)), "{refused}");
        }
    }

    async fn two_people_reset_a_day_while_the_account_goes_on(bank) {
        bank.two_accounts().await;
        bank.noon(FAR).await;
        bank.queued("a", "b", 1).await;
        let today = bank.noon(0).await;
        let ask = async || {
            let order = Order { act: reset(), grounds: Grounds::because("NTP was off") };
            bank.journal.operators().ask(&EntryId::generate(), "olga", &order, 60_000).await.unwrap().id
        };
        let (first, second) = (ask().await, ask().await);
        bank.queued("a", "b", 1).await;
        let approve = async |id: &EntryId, by: &str| bank.journal.operators().approve(&EntryId::generate(), by, id, "looked", 0).await;
        let own = approve(&first, "olga").await.err().unwrap();
        assert!(matches!(own, JournalError::Objected(Objection::SamePerson)), "{own}");
        let (approval, done) = approve(&first, "otto").await.unwrap();
        assert_eq!((approval.state, done), (ApprovalState::Approved, Done::DayReset(today)));
        let void = approve(&second, "otto").await.err().unwrap();
        assert!(matches!(void, JournalError::Objected(Objection::Changed)), "{void}");
        assert_eq!(bank.admit(transfer("a", "b", 1).away()).await.state, Queued);
    }
}
