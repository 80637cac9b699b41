//! What a client reads, and what becomes of the attempt, when a submission is lost on its way.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use connectors::CoreConnector;
use edge::{Caller, Principal, Problem, Scopes};
use schemas::entry::EntryState;
use schemas::grant::Grant;
use schemas::money::Currency;
use sql::{BoxFuture, ClockShift, Db, Tx};
use standin::admission::{AccountFacts, AccountStatus, CoreBelief};
use standin::journal::{Admissions, EntryId, Facts, Journal, KnownAccount, KnownAccounts, Transfer, Write};
use standin::rules::{Limits, Reason};
use tokio::task::JoinHandle;

use crate::doubles::Core;
use crate::health::Signal;
use crate::routes::submit;
use crate::{Gateway, Monitor, MonitorOptions, Options};

/// Every account is there and has much money.
struct Rich;

impl Facts for Rich {
    fn read<'t>(&'t self, _: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
        let sheet = KnownAccount {
            facts: AccountFacts {
                currency: euro(),
                status: AccountStatus::Active,
                booked_minor: 100_000,
                overdraft_line_minor: 0,
                core_holds_minor: 0,
            },
            customer_id: "anna".into(),
            last_posting: 1,
            place: None,
            balance_version: vec![1],
            as_of_us: Some(jiff::Timestamp::now().as_microsecond()),
        };
        let accounts = accounts.iter().map(|account| (account.clone(), sheet.clone())).collect();
        Box::pin(async { Ok(KnownAccounts { accounts, ..KnownAccounts::default() }) })
    }
}

fn euro() -> Currency {
    Currency::parse("EUR").unwrap()
}

async fn database() -> Db {
    Db::open("sqlite::memory:", sql::Options::default()).await.unwrap()
}

/// A gateway in front of this core. Its deadline is far away: no answer here may come from a deadline that passed.
async fn gateway(db: Db, core: Core) -> Gateway {
    watched_gateway(db, core).await.0
}

/// The same, with its monitor, which does nothing by itself.
async fn watched_gateway(db: Db, core: Core) -> (Gateway, Monitor) {
    gateway_with(db, core, Duration::from_secs(60)).await
}

async fn gateway_with(db: Db, core: Core, write_deadline: Duration) -> (Gateway, Monitor) {
    let journal = Journal::open(db, Arc::new(Rich), "core").await.unwrap();
    journal.seed_limits(&Limits::default().with(euro(), 1_000_000, 2_000_000), None).await.unwrap();
    let instance = journal.register_instance("gateway-1").await.unwrap();
    let (admissions, task) = Admissions::new(journal.clone(), instance.clone());
    tokio::spawn(task.run());
    let core: Arc<dyn CoreConnector> = Arc::new(core);
    let (monitor, watch) = Monitor::new(journal.gateway(), core.clone(), MonitorOptions::default());
    let options = Options { write_deadline, refused_tries_max: 2, ..Options::default() };
    (Gateway::new(&journal, admissions, instance, core, watch, options), monitor)
}

fn transfer() -> Write {
    Write {
        id: EntryId::generate(),
        principal: "anna".into(),
        operation: "transfer".into(),
        idempotency_key: "key".into(),
        fingerprint: vec![1],
        command: Transfer {
            from_account: "a".into(),
            to_account: "b".into(),
            amount_minor: 100,
            currency: euro(),
            remittance: None,
            unknown: Default::default(),
        },
        grant: Grant::Any,
        belief: CoreBelief::Available,
    }
}

/// Submits; the client must read that a new key could transfer twice.
async fn submit_in_vain(gateway: &Gateway, write: Write) {
    submit_and_read(gateway, write, "acceptance-unknown").await;
}

async fn submit_and_read(gateway: &Gateway, write: Write, code: &str) {
    let problem = gateway.submit(write).await.unwrap_err();
    assert_eq!((problem.status, problem.code), (503, code));
    assert_eq!(problem.safe_to_use_new_key, Some(false));
}

/// More than the account has: stand-in would decline it.
fn beyond_the_funds() -> Write {
    let write = transfer();
    Write { command: Transfer { amount_minor: 100_001, ..write.command.clone() }, ..write }
}

/// A gateway whose channels wait for 300 ms, in front of a core that does nothing that it is asked for, and whose probes come back.
async fn in_vain() -> (Gateway, JoinHandle<()>) {
    let write_deadline = Options::default().journal_budget + Duration::from_millis(300);
    let (gateway, _monitor) = gateway_with(database().await, Core::NotDone, write_deadline).await;
    let watch = gateway.watch().clone();
    watch.signal(Signal::ProbeUp);
    let probes = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            watch.signal(Signal::ProbeUp);
        }
    });
    (gateway, probes)
}

/// Submits twice while the core is there: nothing is promised, and nothing declined.
async fn wait_for_the_core(gateway: &Gateway, write: &Write) {
    for _ in 0..2 {
        submit_and_read(gateway, write.clone(), "decision-pending").await;
        let entry = gateway.journal().get(&write.id).await.unwrap().unwrap();
        assert_eq!((entry.state, entry.ordered), (EntryState::Queued, false));
    }
}

/// Submits again: it reads that stand-in has declined.
async fn read_a_decline(gateway: &Gateway, write: Write) {
    let (entry, replayed) = gateway.submit(write).await.unwrap();
    assert_eq!((entry.state, replayed), (EntryState::Declined, true));
    assert_eq!(entry.reason.as_deref(), Some(Reason::InsufficientFunds.code()));
}

#[tokio::test]
async fn what_a_core_that_is_there_did_not_do_is_promised_to_nobody_and_declined_once_the_core_is_away() {
    let (gateway, probes) = in_vain().await;
    let write = beyond_the_funds();
    wait_for_the_core(&gateway, &write).await;
    probes.abort();
    gateway.watch().signal(Signal::Refused);
    read_a_decline(&gateway, Write { belief: gateway.watch().view().belief(), ..write }).await;
}

#[tokio::test]
async fn what_waits_for_a_core_that_said_nothing_all_the_while_is_declined_though_nobody_has_noticed_yet() {
    let (gateway, probes) = in_vain().await;
    let write = beyond_the_funds();
    wait_for_the_core(&gateway, &write).await;
    probes.abort();
    assert_eq!(gateway.watch().view().belief(), CoreBelief::Available);
    read_a_decline(&gateway, write).await;
}

#[tokio::test]
async fn what_a_core_that_is_there_did_not_do_is_promised_when_stand_in_would_accept_it() {
    let gateway = gateway(database().await, Core::NotDone).await;
    let (entry, replayed) = gateway.submit(transfer()).await.unwrap();
    assert_eq!((entry.state, entry.ordered, replayed), (EntryState::Queued, true, false));
}

async fn open_attempts(gateway: &Gateway) -> usize {
    gateway.journal().own_open_attempts(gateway.instance()).await.unwrap().len()
}

#[tokio::test]
async fn a_submission_that_panics_is_answered_as_unknown_and_its_attempt_ends() {
    let gateway = gateway(database().await, Core::Panics).await;
    let write = transfer();
    let id = write.id.clone();
    submit_in_vain(&gateway, write).await;
    assert_eq!(open_attempts(&gateway).await, 1);
    gateway.end_what_nobody_carries().await.unwrap();
    assert_eq!(open_attempts(&gateway).await, 0);
    let entry = gateway.journal().get(&id).await.unwrap().unwrap();
    assert_eq!(entry.state, EntryState::OutcomeUnknown);
}

#[tokio::test]
async fn an_outcome_that_can_never_be_recorded_is_given_up_and_its_attempt_ends() {
    let db = database().await;
    let gateway = gateway(db.clone(), Core::Damages(db)).await;
    submit_in_vain(&gateway, transfer()).await;
    gateway.end_what_nobody_carries().await.unwrap();
    assert_eq!(open_attempts(&gateway).await, 0);
}

#[tokio::test]
async fn an_outcome_that_the_store_refuses_to_keep_is_given_up_after_some_tries_and_its_attempt_ends() {
    let db = database().await;
    let gateway = gateway(db.clone(), Core::BreaksStore(db)).await;
    submit_in_vain(&gateway, transfer()).await;
    gateway.end_what_nobody_carries().await.unwrap();
    assert_eq!(open_attempts(&gateway).await, 0);
}

/// Direct entries that were admitted and never sent, long ago.
async fn orphans(gateway: &Gateway, db: &Db) -> Vec<EntryId> {
    let mut ids = Vec::new();
    for key in ["first", "second"] {
        let write = Write { idempotency_key: key.into(), ..transfer() };
        ids.push(write.id.clone());
        gateway.shared.admissions.submit(write).await.unwrap();
    }
    db.exec("UPDATE attempts SET started_us = started_us - 60000000", Vec::new()).await.unwrap();
    ids
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_keeps_back_no_other_one_that_nobody_carries() {
    let db = database().await;
    let gateway = gateway(db.clone(), Core::Posts).await;
    let ids = orphans(&gateway, &db).await;
    db.exec("UPDATE entries SET state = 'nonsense' WHERE id = ?", sql::params![ids[0].as_str()]).await.unwrap();
    gateway.end_what_nobody_carries().await.unwrap();
    assert_eq!(open_attempts(&gateway).await, 0);
    let other = gateway.journal().get(&ids[1]).await.unwrap().unwrap();
    assert_eq!(other.state, EntryState::Queued);
}

/// Asks for a transfer as a channel does.
async fn ask(gateway: &Gateway, key: &str) -> Result<u16, Problem> {
    let scopes = Scopes { read: true, write: true, operate: false };
    let caller = Caller::new(Arc::new(Principal { id: "anna".into(), grant: Grant::Any, scopes }));
    let request = Request::post("/").header("content-type", "application/json").header("idempotency-key", key);
    let body = r#"{"from_account":"a","to_account":"b","amount":"1.00","currency":"EUR"}"#;
    let answer = submit(State(gateway.clone()), caller, request.body(Body::from(body)).unwrap()).await;
    answer.map(|answer| answer.status().as_u16())
}

#[tokio::test]
async fn no_write_is_taken_while_this_hosts_clock_and_the_sql_servers_are_apart() {
    const HOUR_MS: i64 = 3_600_000;
    let clock_shift = ClockShift::default();
    let options = sql::Options { clock_shift: clock_shift.clone(), ..sql::Options::default() };
    let db = Db::open("sqlite::memory:", options).await.unwrap();
    let (gateway, monitor) = watched_gateway(db, Core::Posts).await;
    let refused = ask(&gateway, "before").await.unwrap_err();
    assert_eq!((refused.status, refused.code), (503, "clocks-differ"), "nobody has compared them yet");
    for shift_ms in [HOUR_MS, -HOUR_MS] {
        clock_shift.set(shift_ms);
        monitor.compare_clocks().await.unwrap();
        let refused = ask(&gateway, "apart").await.unwrap_err();
        assert_eq!((refused.status, refused.code, refused.retryable), (503, "clocks-differ", Some(true)));
        assert!(refused.detail.contains("NTP"), "{}", refused.detail);
    }
    clock_shift.set(0);
    monitor.compare_clocks().await.unwrap();
    // With the core not probed yet, stand-in takes it.
    assert_eq!(ask(&gateway, "apart").await.map_err(|problem| problem.code), Ok(202), "no key was consumed");
}
