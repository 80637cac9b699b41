//! Days, and clocks that are wrong.

use std::time::Duration;

use schemas::core::Capabilities;
use schemas::entry::EntryState::*;
use schemas::entry::{Evidence, Verdict};
use standin::journal::{
    Act, ApprovalState, Change, Claimed, Done, Entry, EntryId, Fence, Grounds, JournalError, LaneAhead, Objection,
    Order,
};
use standin::resolution::{Patience, Step, UnknownOutcome, resolve};
use standin::rules::Reason;

use crate::support::*;

/// 2030 and later: a clock that lost its battery, or was set by hand.
const FAR: i64 = 2_000;

fn reset() -> Act {
    Act::ResetDay { account: "a".into() }
}

/// A core that can be asked, and remembers references for half an hour.
const CORE: Capabilities =
    Capabilities { reference_memory_ms: Some(30 * MINUTE_MS as u64), enquiry: false, request_lifetime_ms_max: 1_000 };
const PATIENCE: Patience = Patience { park_after_ms: u64::MAX, memory_margin_ms: 60_000 };
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const FENCE_MS: i64 = 10_000;

/// What the resolution does about an entry whose outcome is unknown, as the journal tells of it now.
async fn step(bank: &Bank, entry: &Entry) -> Step {
    let unresolved = bank.journal.replay().unresolved(Duration::from_secs(15), None, 100).await.unwrap();
    let found = unresolved.into_iter().find(|found| found.entry.id == entry.id).expect("the entry is hidden");
    let outcome = UnknownOutcome {
        first_attempt_ms: 0_i64.saturating_sub_unsigned(found.first_attempt_age_ms),
        lifetime_from_ms: found.ended.then_some(0),
        not_found_asked_ms: None,
        in_vain: false,
        since_ms: 0,
    };
    resolve(&CORE, &outcome, &PATIENCE, 0)
}

/// Plays an outage between two instances while the SQL server's clock is set by `sql_ms`, and the second instance's host clock is
/// `host_ms` ahead of the first one's. Forty minutes pass between the first attempt and the look at it.
async fn clocks_go_wrong(bank: &Bank, other: &Bank, noon_ms: i64, (sql_ms, host_ms): (i64, i64)) {
    let name = |which: &str| format!("{which}{}{}", sql_ms / MINUTE_MS, host_ms / MINUTE_MS);
    let (from, to) = (name("from"), name("to"));
    bank.account(&from, 1_000_000).await;
    bank.account(&to, 0).await;
    bank.sql_clock.set(noon_ms);

    // Admission before the step: most of the day's limit, and one attempt whose sender falls silent.
    let sent = bank.direct(&from, &to, 1).await;
    let queued = bank.admit(transfer(&from, &to, 600).away()).await;
    assert_eq!(queued.state, Queued);
    let held = bank
        .journal
        .replay()
        .hold_fence("replay", &bank.instance, FENCE_MS)
        .await
        .unwrap()
        .expect("the fence is stuck");

    bank.sql_clock.set(noon_ms + sql_ms);
    let passed_us = 40 * MINUTE_MS * 1_000;
    let sql =
        "UPDATE attempts SET started_us = started_us - ?, started_host_us = started_host_us - ? WHERE entry_id = ?";
    let shifts = sql::params![passed_us, passed_us + host_ms * 1_000, sent.id.as_str()];
    bank.db.exec(sql, shifts).await.unwrap();

    // No limit is freed, whichever way the clock went.
    let declined = other.admit(transfer(&from, &to, 401).away()).await;
    assert_eq!(declined.reason.as_deref(), Some(Reason::DailyLimitExceeded.code()));

    // The fence changes hands: it is neither stuck nor in two hands.
    let taken = if sql_ms == 0 {
        assert_eq!(other.journal.replay().hold_fence("replay", &other.instance, FENCE_MS).await.unwrap(), None);
        bank.journal.replay().release_fence(&held).await.unwrap();
        other.journal.replay().hold_fence("replay", &other.instance, FENCE_MS).await.unwrap()
    } else {
        other.journal.replay().hold_fence("replay", &other.instance, FENCE_MS).await.unwrap()
    };
    let taken = taken.expect("the fence is stuck");
    assert!(taken.token > held.token);

    // Abandonment: the silent sender is found. Nothing is proven of it while its attempt is open.
    other.record(Change::new(sent.id.clone(), Evidence::NoAnswer)).await;
    let absent = other.record(Change::new(sent.id.clone(), Evidence::Absent)).await;
    assert_eq!((absent.verdict, absent.entry.state), (Verdict::Forbidden, OutcomeUnknown));

    // The core has forgotten the reference by now, so it is not sent to again, whichever clock is wrong.
    let step = step(other, &sent).await;
    assert!(matches!(step, Step::WaitUntil(_)), "{step:?} with {sql_ms} {host_ms}");

    // The lane waits for it, so the queued one is not sent. Once it is known, exactly one holder sends.
    assert!(claim(other, &taken, &queued).await.unwrap().is_empty());
    bank.record(posted(&sent, &[]).ending(1)).await;
    let stale = claim(bank, &held, &queued).await;
    assert!(matches!(stale, Err(JournalError::Fenced(_))), "{stale:?}");
    let claimed = claim(other, &taken, &queued).await.unwrap();
    assert_eq!(claimed.len(), 1);
    other.record(posted(&queued, &[]).ending(claimed[0].attempt)).await;
    other.journal.replay().release_fence(&taken).await.unwrap();
    for entry in [&sent, &queued] {
        let sql = "SELECT COUNT(*) AS n FROM attempts WHERE entry_id = ?";
        let attempts = bank.db.query(sql, sql::params![entry.id.as_str()]).await.unwrap()[0].get::<i64>("n");
        assert_eq!((bank.state(entry).await, attempts), (Posted, Ok(1)), "sent once, so posted once");
    }
}

async fn claim(bank: &Bank, fence: &Fence, entry: &Entry) -> Result<Vec<Claimed>, JournalError> {
    bank.journal.replay().claim(fence, &bank.instance, vec![entry.id.clone()]).await
}

on_every_engine! {
    async fn whichever_clock_is_an_hour_wrong_nothing_is_posted_twice_no_limit_is_freed_and_no_lease_is_stuck(bank) {
        bank.journal.operators().set_limits("op", &limited_to(1_000), None, "test").await.unwrap();
        let other = bank.another("gateway-2").await;
        let noon = bank.noon(0).await * DAY_MS + DAY_MS / 2 - now_us() / 1_000;
        for sql_ms in [0, HOUR_MS, -HOUR_MS] {
            // With the SQL server's clock set back, the host's must be right: two wrong clocks in one direction are not noticed.
            let hosts_ms: &[i64] = if sql_ms < 0 { &[0, HOUR_MS] } else { &[0, HOUR_MS, -HOUR_MS] };
            for host_ms in hosts_ms {
                clocks_go_wrong(&bank, &other, noon, (sql_ms, *host_ms)).await;
            }
        }
    }

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
