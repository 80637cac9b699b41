//! The replayer over a real journal and a core that does what the test says: one stuck entry decides nothing about others.
//!
//! On SQLite always, and on every server in `LOCUM_TEST_SQL_URLS`; the bank is the one of the journal's own tests.

#[path = "../../standin/tests/journal/support.rs"]
#[macro_use]
#[allow(dead_code)]
mod support;
#[path = "../../standin/tests/journal/checker.rs"]
mod checker;
#[path = "replay/core.rs"]
mod core;
#[path = "../../standin/tests/journal/databases.rs"]
#[allow(dead_code)]
mod databases;
#[path = "../../standin/tests/journal/ledger.rs"]
#[allow(dead_code)]
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use locum_replayer::{KEEPS_DECLINING, Options, Replayer};
use schemas::core::Capabilities;
use schemas::entry::EntryState::*;
use schemas::entry::{EntryState, Evidence};
use sql::{Tally, params};
use standin::journal::{Entry, Instance};
use standin::resolution::Patience;
use standin::rules::{OperationRules, Order};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::core::{Core, Does};
use support::*;

/// Longer than any test may take.
const PATIENT: Duration = Duration::from_secs(60);

/// A replayer that would wait for ever for an answer and for a person.
fn options() -> Options {
    Options {
        look_every: Duration::from_millis(10),
        core_timeout: PATIENT * 60,
        patience: Patience { park_after_ms: 3_600_000, memory_margin_ms: 1 },
        ..Options::default()
    }
}

struct Running {
    drain: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(bank: &Bank, core: &Arc<Core>, options: Options) -> Self {
        let replayer = Replayer::new(bank.journal.replay(), core.clone(), bank.instance.clone(), options);
        let (drain, drained) = oneshot::channel::<()>();
        let task = tokio::spawn(replayer.run(async move { drop(drained.await) }));
        Self { drain, task }
    }

    async fn end(self) {
        let _ = self.drain.send(());
        timeout(PATIENT, self.task).await.expect("the drain was not seen").unwrap();
    }
}

async fn until(bank: &Bank, entry: &Entry, state: EntryState) -> Entry {
    for _ in 0..6_000 {
        let now = bank.now(entry).await;
        if now.state == state {
            return now;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{entry:?} is {:?} and was to be {state}", bank.now(entry).await);
}

/// Queued transfers between accounts of their own, named by `name`.
async fn strangers(bank: &Bank, name: &str, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for n in 0..count {
        let (from, to) = (format!("{name}{n}"), format!("{name}{n}-to"));
        bank.account(&from, 1_000).await;
        bank.account(&to, 0).await;
        entries.push(bank.queued(&from, &to, 1).await);
    }
    entries
}

/// Queued debits of one account.
async fn lane(bank: &Bank, count: usize) -> Vec<Entry> {
    bank.account("lane", 1_000).await;
    bank.account("lane-to", 0).await;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(bank.queued("lane", "lane-to", 1).await);
    }
    entries
}

/// A direct write between accounts of its own whose sender heard nothing.
async fn unknown(bank: &Bank, name: &str) -> Entry {
    let to = format!("{name}-to");
    bank.account(name, 1_000).await;
    bank.account(&to, 0).await;
    let entry = bank.direct(name, &to, 1).await;
    bank.first_attempt(&entry, Evidence::NoAnswer).await.entry
}

/// Waits until the replayer has looked at orders, queue and open attempts: once a second it ends an attempt of this process that
/// is too old to be under way.
async fn goes_round(bank: &Bank, core: &Core, name: &str) {
    let to = format!("{name}-to");
    bank.account(name, 1_000).await;
    bank.account(&to, 0).await;
    let old = bank.direct(name, &to, 1).await;
    core.enquiries(&old, Does::Silent);
    let age_us = 3 * i64::try_from(options().core_timeout.as_micros()).unwrap();
    let sql = "UPDATE attempts SET token = 1, started_us = started_us - ? WHERE entry_id = ?";
    bank.db.exec(sql, params![age_us, old.id.as_str()]).await.unwrap();
    until(bank, &old, OutcomeUnknown).await;
}

on_every_engine! {
    async fn one_enquiry_that_hangs_stops_neither_the_queue_nor_other_enquiries_nor_the_drain(bank) {
        let core = Core::asked();
        let stuck = unknown(&bank, "stuck").await;
        core.enquiries(&stuck, Does::Hang);
        let later = unknown(&bank, "later").await;
        core.has_posted(&later);
        let absent = unknown(&bank, "absent").await;
        let queued = strangers(&bank, "queued", 20).await;
        let replayer = Running::start(&bank, &core, options());
        core.asked_about("enquire", &stuck).await;
        for entry in queued.iter().chain([&later, &absent]) {
            until(&bank, entry, Posted).await;
        }
        assert_eq!((bank.state(&stuck).await, core.times("enquire", &stuck)), (OutcomeUnknown, 1));
        // The enquiry would hang for an hour.
        replayer.end().await;
    }

    async fn an_entry_that_the_core_never_tells_about_is_asked_ever_more_seldom_and_then_parked(bank) {
        let core = Core::asked();
        let stuck = unknown(&bank, "stuck").await;
        core.enquiries(&stuck, Does::Silent);
        let patience = Patience { park_after_ms: 1_000, memory_margin_ms: 1 };
        let replayer = Running::start(&bank, &core, Options { patience, ..options() });
        let parked = until(&bank, &stuck, Parked).await;
        assert_eq!(parked.reason.as_deref(), Some("outcome-unresolved"));
        assert!(core.times("enquire", &stuck) <= 4, "{}", core.times("enquire", &stuck));
        replayer.end().await;
    }

    async fn an_entry_that_the_core_books_later_is_sent_once_and_asked_about_until_it_is_booked(bank) {
        let core = Core::asked();
        core.posts("later", Does::Pends);
        bank.account("later", 1_000).await;
        bank.account("later-to", 0).await;
        let later = bank.queued("later", "later-to", 1).await;
        core.enquiries(&later, Does::Pends);
        let replayer = Running::start(&bank, &core, options());
        core.asked_about("enquire", &later).await;
        until(&bank, &later, OutcomeUnknown).await;
        core.has_posted(&later);
        core.enquiries(&later, Does::Well);
        until(&bank, &later, Posted).await;
        assert_eq!(core.times("post", &later), 1);
        replayer.end().await;
    }

    async fn an_outage_that_outlasts_the_patience_parks_nothing_that_can_be_asked_about_afterwards(bank) {
        let core = Core::asked();
        let unknown = unknown(&bank, "a").await;
        core.enquiries(&unknown, Does::Silent);
        let patience = Patience { park_after_ms: 1_500, memory_margin_ms: 1 };
        let replayer = Running::start(&bank, &core, Options { patience, ..options() });
        core.asked_about("enquire", &unknown).await;
        core.is_away(true);
        core.enquiries(&unknown, Does::Well);
        core.has_posted(&unknown);
        // One probe with each look, a hundredth of a second apart at least: longer than the patience.
        core.probed(200).await;
        core.is_away(false);
        until(&bank, &unknown, Posted).await;
        replayer.end().await;
    }

    async fn a_core_that_only_says_duplicate_is_sent_to_ever_more_seldom_until_a_person_is_called(bank) {
        let forever = Some(86_400_000);
        let core = Core::new(Capabilities { reference_memory_ms: forever, enquiry: false, request_lifetime_ms_max: 1 });
        core.posts("a", Does::Duplicate);
        let entry = unknown(&bank, "a").await;
        let patience = Patience { park_after_ms: 1_000, memory_margin_ms: 1 };
        let replayer = Running::start(&bank, &core, Options { patience, ..options() });
        until(&bank, &entry, Parked).await;
        assert!(core.times("post", &entry) <= 4, "{}", core.times("post", &entry));
        replayer.end().await;
    }

    async fn what_is_claimed_behind_an_entry_that_hangs_goes_back_unsent_and_keeps_its_order(bank) {
        let core = Core::asked();
        let lane = lane(&bank, 20).await;
        core.posts_of(&lane[10], Does::Hang);
        let replayer = Running::start(&bank, &core, options());
        core.asked_about("post", &lane[10]).await;
        let unsent = "SELECT COUNT(*) AS n FROM attempts WHERE result = 'not_sent'";
        let given_back = async {
            while bank.number(unsent).await == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENT, given_back).await.expect("nothing was given back");
        assert_eq!((bank.state(&lane[10]).await, core.times("post", &lane[11])), (Submitting, 0));
        core.release();
        until(&bank, &lane[19], Posted).await;
        assert_eq!(core.posted(), lane.iter().map(|entry| entry.core_ref.clone()).collect::<Vec<_>>());
        replayer.end().await;
    }

    async fn a_run_goes_on_behind_what_the_core_refused_once_that_is_recorded(bank) {
        let core = Core::asked();
        let lane = lane(&bank, 20).await;
        core.posts_of(&lane[10], Does::Refuses);
        let replayer = Running::start(&bank, &core, options());
        until(&bank, &lane[19], Posted).await;
        assert_eq!((bank.state(&lane[10]).await, core.times("post", &lane[10])), (Refused, 1));
        let posted = lane.iter().filter(|entry| entry.id != lane[10].id).map(|entry| entry.core_ref.clone());
        assert_eq!(core.posted(), posted.collect::<Vec<_>>());
        replayer.end().await;
    }

    async fn with_one_order_of_all_accounts_nothing_overtakes_what_is_refused_or_declined_before_it(bank) {
        bank.rule(OperationRules { order: Order::Global, ..OperationRules::default() }).await;
        let core = Core::asked();
        let queued = strangers(&bank, "s", 12).await;
        core.posts_of(&queued[3], Does::Refuses);
        core.posts_of(&queued[6], Does::NotDone);
        let replayer = Running::start(&bank, &core, options());
        until(&bank, &queued[3], Refused).await;
        core.asked_about("post", &queued[6]).await;
        let again = async {
            while core.times("post", &queued[6]) < 2 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENT, again).await.expect("it was tried once only");
        let before = |n: usize| queued[..n].iter().filter(|entry| entry.id != queued[3].id);
        assert_eq!(core.posted(), before(6).map(|entry| entry.core_ref.clone()).collect::<Vec<_>>());
        core.posts_of(&queued[6], Does::Well);
        until(&bank, &queued[11], Posted).await;
        assert_eq!(core.posted(), before(12).map(|entry| entry.core_ref.clone()).collect::<Vec<_>>());
        replayer.end().await;
    }

    async fn an_account_that_the_core_declines_is_tried_ever_more_seldom_then_parked_and_slows_nobody(bank) {
        let core = Core::asked();
        core.posts("locked0", Does::NotDone);
        let locked = strangers(&bank, "locked", 1).await.remove(0);
        let behind = bank.queued("locked0", "locked0-to", 1).await;
        let others = strangers(&bank, "other", 40).await;
        let patience = Patience { park_after_ms: 0, memory_margin_ms: 1 };
        let replayer = Running::start(&bank, &core, Options { patience, ..options() });
        for entry in &others {
            until(&bank, entry, Posted).await;
        }
        let parked = until(&bank, &locked, Parked).await;
        assert_eq!((parked.reason.as_deref(), core.times("post", &locked)), (Some(KEEPS_DECLINING), 3));
        assert_eq!(bank.state(&behind).await, Queued, "its own lane waits for the person");
        let attempts = bank.db.query("SELECT COUNT(*) AS n FROM attempts WHERE entry_id = ?", params![locked.id.as_str()]);
        assert_eq!(attempts.await.unwrap()[0].get::<i64>("n"), Ok(3));
        replayer.end().await;
    }

    async fn many_unresolved_entries_that_hang_keep_none_behind_them_from_its_turn(bank) {
        let core = Core::asked();
        let mut hanging = Vec::new();
        for n in 0..300 {
            hanging.push(unknown(&bank, &format!("hanging{n}")).await);
        }
        hanging.iter().for_each(|entry| core.enquiries(entry, Does::Hang));
        let mut others = Vec::new();
        for n in 0..20 {
            others.push(unknown(&bank, &format!("other{n}")).await);
        }
        let core_timeout = Duration::from_millis(20);
        let replayer = Running::start(&bank, &core, Options { core_timeout, ..options() });
        for entry in &others {
            core.has_posted(entry);
            until(&bank, entry, Posted).await;
        }
        replayer.end().await;
    }

    async fn the_fence_is_renewed_while_a_sending_takes_longer_than_it_lasts(bank) {
        let core = Core::asked();
        core.posts("slow0", Does::Hang);
        let slow = strangers(&bank, "slow", 1).await.remove(0);
        let fence_ttl = Duration::from_millis(600);
        let replayer = Running::start(&bank, &core, Options { fence_ttl, ..options() });
        core.asked_about("post", &slow).await;
        let other = Instance { id: "other".into(), boot: 1 };
        let until_ms = || async { bank.number("SELECT until_ms FROM fences WHERE name = 'replay'").await };
        let (mut renewals, mut last) = (0, until_ms().await);
        while renewals < 5 {
            sleep(Duration::from_millis(20)).await;
            let now = until_ms().await;
            renewals += usize::from(now > last);
            last = now;
            assert_eq!(bank.journal.replay().hold_fence("replay", &other, 60_000).await.unwrap(), None);
        }
        core.release();
        until(&bank, &slow, Posted).await;
        replayer.end().await;
        assert!(bank.journal.replay().hold_fence("replay", &other, 60_000).await.unwrap().is_some(), "given up in the drain");
    }

    async fn the_drain_waits_for_a_sending_and_records_what_it_came_to(bank) {
        let core = Core::asked();
        core.posts("slow0", Does::Hang);
        let slow = strangers(&bank, "slow", 1).await.remove(0);
        let replayer = Running::start(&bank, &core, options());
        core.asked_about("post", &slow).await;
        let behind = bank.queued("slow0", "slow0-to", 1).await;
        replayer.drain.send(()).unwrap();
        assert!(!replayer.task.is_finished());
        core.release();
        timeout(PATIENT, replayer.task).await.expect("the drain was not seen").unwrap();
        assert_eq!((bank.state(&slow).await, bank.state(&behind).await), (Posted, Queued));
        assert!(bank.journal.replay().own_open_attempts(&bank.instance).await.unwrap().iter().all(|a| a.token.is_none()));
    }

    async fn a_replayer_begun_anew_in_the_same_process_resends_nothing_that_the_one_before_may_have_sent(bank) {
        let core = Core::asked();
        core.posts("slow0", Does::Hang);
        let slow = strangers(&bank, "slow", 1).await.remove(0);
        let first = Running::start(&bank, &core, options());
        core.asked_about("post", &slow).await;
        first.task.abort();
        assert!(first.task.await.unwrap_err().is_cancelled());
        let others = strangers(&bank, "other", 20).await;
        let second = Running::start(&bank, &core, options());
        for entry in &others {
            until(&bank, entry, Posted).await;
        }
        goes_round(&bank, &core, "old").await;
        assert_eq!((bank.state(&slow).await, core.times("post", &slow)), (Submitting, 1));
        second.end().await;
        assert_eq!(bank.state(&slow).await, Submitting, "only the end of the process proves it");
    }

    async fn a_pause_is_seen_while_an_enquiry_and_a_sending_hang(bank) {
        let core = Core::asked();
        let stuck = unknown(&bank, "stuck").await;
        core.enquiries(&stuck, Does::Hang);
        core.posts("slow0", Does::Hang);
        let slow = strangers(&bank, "slow", 1).await.remove(0);
        let behind = bank.queued("slow0", "slow0-to", 1).await;
        let replayer = Running::start(&bank, &core, options());
        core.asked_about("enquire", &stuck).await;
        core.asked_about("post", &slow).await;
        bank.journal.operators().pause_replay("op", true, "test").await.unwrap();
        // Twice: what the replayer was reading in the first round may be older than the order.
        goes_round(&bank, &core, "first").await;
        goes_round(&bank, &core, "second").await;
        core.release();
        until(&bank, &slow, Posted).await;
        goes_round(&bank, &core, "third").await;
        assert_eq!(bank.state(&behind).await, Queued);
        bank.journal.operators().pause_replay("op", false, "test").await.unwrap();
        until(&bank, &behind, Posted).await;
        replayer.end().await;
    }

    async fn who_waits_for_the_fence_asks_for_no_orders_and_heeds_one_that_was_given_before_it_took_over(bank) {
        let core = Core::asked();
        let (other, fence) = (Instance { id: "other".into(), boot: 1 }, "replay");
        let tally = Tally::default();
        let waiting = bank.with("gateway-2", sql::Options { tally: Some(tally.clone()), ..sql::Options::default() }).await;
        // All holders of one name hold it for the same time.
        let ttl_ms = i64::try_from(options().fence_ttl.as_millis()).unwrap();
        let hold = async || bank.journal.replay().hold_fence(fence, &other, ttl_ms).await.unwrap().expect("the fence");
        let held = hold().await;
        let orders = || tally.texts().iter().any(|text| text.contains("FROM controls"));
        assert!(!orders());
        let replayer = Running::start(&waiting, &core, options());
        // It asks for the fence in every round of the keeper, and looks at its own attempts: it is at work.
        let begun = tally.statements();
        while tally.statements() < begun + 12 {
            sleep(Duration::from_millis(50)).await;
            assert_eq!(hold().await, held, "nobody took it meanwhile");
        }
        assert!(!orders(), "{:?}", tally.texts());
        bank.journal.operators().pause_replay("op", true, "test").await.unwrap();
        let queued = strangers(&bank, "queued", 1).await.remove(0);
        bank.journal.replay().release_fence(&held).await.unwrap();
        while !orders() {
            sleep(Duration::from_millis(10)).await;
        }
        goes_round(&waiting, &core, "paused").await;
        assert_eq!((bank.state(&queued).await, core.times("post", &queued)), (Queued, 0));
        bank.journal.operators().pause_replay("op", false, "test").await.unwrap();
        until(&bank, &queued, Posted).await;
        replayer.end().await;
    }

    async fn refused_connections_send_nothing_until_the_probe_has_told_and_then_all(bank) {
        let core = Core::asked();
        let queued = strangers(&bank, "queued", 10).await;
        core.is_away(true);
        let replayer = Running::start(&bank, &core, options());
        core.probed(20).await;
        assert!(queued.iter().all(|entry| core.times("post", entry) == 0), "nothing is sent into an outage");
        core.is_away(false);
        for entry in &queued {
            until(&bank, entry, Posted).await;
        }
        let mut all: Vec<String> = queued.iter().map(|entry| entry.core_ref.clone()).collect();
        let mut posted = core.posted();
        all.sort();
        posted.sort();
        assert_eq!(posted, all, "each once");
        replayer.end().await;
    }
}
