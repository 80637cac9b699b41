//! A bank on one engine: its database, its books, one gateway's journal.

#[path = "../../../sql/tests/support/given.rs"]
mod given;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemas::core::Posting;
use schemas::entry::{EntryState, Evidence, LegKind};
use schemas::grant::Grant;
use schemas::money::Currency;
use sql::{ClockShift, Db, params};
use standin::admission::CoreBelief;
use standin::journal::{
    Act, Admissions, Admitted, Change, Claimed, Confirmed, Done, Entry, EntryId, Fence, Grounds, Instance, Journal,
    JournalError, LegSeen, Moved, Order, Resend, Room, Transfer, Write,
};

use standin::rules::{Limits, OperationRules, Rules};

use crate::databases;
use crate::ledger::{self, Books};

pub const CORE: &str = "core";
/// An entry as it is kept, without what only its own transaction could say.
pub fn kept(entry: &Entry) -> Entry {
    Entry { lane_version: None, ..entry.clone() }
}

/// Room for one entry.
pub const ONE: Room = Room { runs: 1, longest: 1 };
pub const DAY_MS: i64 = 86_400_000;

/// Each test is a sentence and runs on every engine at hand.
macro_rules! on_every_engine {
    ($($(#[$meta:meta])* async fn $name:ident($bank:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            $crate::databases::run_on_every_engine(|$bank: $crate::support::Bank| async move $body);
        }
    )*};
}

pub fn engines() -> Vec<String> {
    std::iter::once("file".to_owned()).chain(given::servers()).collect()
}

/// Patient enough for a loaded machine: waits are bounded in production, here they only must end.
pub fn options() -> sql::Options {
    sql::Options {
        acquire_timeout: Duration::from_secs(30),
        lock_wait: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(30),
        idle_transaction_max: Duration::from_secs(60),
        record_statements_to: std::env::var_os("LOCUM_TEST_RECORD_TO").map(PathBuf::from),
        ..sql::Options::default()
    }
}

#[derive(Clone)]
pub struct Bank {
    pub server: String,
    pub url: String,
    pub db: Db,
    /// How far off this process reads the SQL server's clock.
    pub sql_clock: ClockShift,
    pub books: Arc<Books>,
    pub journal: Journal,
    pub instance: Instance,
    pub admissions: Admissions,
}

impl Bank {
    /// W10: what waits and what ended are all there is.
    pub async fn assert_all_counted(&self) {
        let rows = "SELECT COUNT(*) AS n FROM entries UNION ALL SELECT n FROM archived_counts";
        let rows = self.db.query(rows, vec![]).await.unwrap();
        let all: i64 = rows.iter().map(|row| row.get::<i64>("n").unwrap()).sum();
        let (waiting, ended) =
            (self.journal.operators().backlog().await.unwrap(), self.journal.operators().ended().await.unwrap());
        let counted: i64 = waiting.by_state.values().chain(ended.values()).sum();
        assert_eq!(all, counted, "{waiting:?} {ended:?}");
    }

    pub async fn open(server: &str) -> Bank {
        let url = match server {
            "file" => {
                let folder = std::env::temp_dir().join(databases::name());
                std::fs::create_dir_all(&folder).unwrap();
                format!("sqlite:{}", folder.join("db").display())
            }
            server => databases::take(server).await,
        };
        let options = options();
        let db = Db::open(&url, options.clone()).await.unwrap();
        ledger::prepare(&db, now_us()).await;
        let bank = Bank::on(server, url, db, options.clock_shift, "gateway-1").await;
        assert!(bank.journal.seed_limits(&limits(), None).await.unwrap());
        bank
    }

    /// The same process with a journal of other settings.
    pub fn with_journal(&self, journal: Journal) -> Bank {
        let (admissions, task) = Admissions::new(journal.clone(), self.instance.clone());
        tokio::spawn(task.run());
        Bank { journal, admissions, ..self.clone() }
    }

    async fn on(server: &str, url: String, db: Db, sql_clock: ClockShift, id: &str) -> Bank {
        let books = Arc::new(Books::default());
        let journal = Journal::open(db.clone(), books.clone(), CORE).await.unwrap();
        let instance = journal.register_instance(id).await.unwrap();
        let (admissions, task) = Admissions::new(journal.clone(), instance.clone());
        tokio::spawn(task.run());
        Bank { server: server.to_owned(), url, db, sql_clock, books, journal, instance, admissions }
    }

    /// Another process in front of the same database, or the next life of one.
    pub async fn another(&self, id: &str) -> Bank {
        self.through(&self.url, id).await
    }

    /// Another process that reaches the same database by this address.
    pub async fn through(&self, url: &str, id: &str) -> Bank {
        self.reached(url, id, options()).await
    }

    /// Another process, with the patience it has in production.
    pub async fn hurried(&self, id: &str) -> Bank {
        self.with(id, sql::Options { lock_wait: sql::Options::default().lock_wait, ..options() }).await
    }

    /// Another process, with these bounds on its store.
    pub async fn with(&self, id: &str, options: sql::Options) -> Bank {
        self.reached(&self.url, id, options).await
    }

    /// One SQL server has one clock: the other process reads it as far off as this one.
    async fn reached(&self, url: &str, id: &str, options: sql::Options) -> Bank {
        let sql_clock = self.sql_clock.clone();
        let options = sql::Options { clock_shift: sql_clock.clone(), ..options };
        let db = Db::open(url, options).await.unwrap();
        Bank::on(&self.server, self.url.clone(), db, sql_clock, id).await
    }

    /// The data are complete up to this moment of the source's clock.
    pub async fn complete_up_to(&self, as_of_us: i64) {
        self.db.exec("UPDATE source SET as_of_us = ?", params![as_of_us]).await.unwrap();
    }

    /// Sets the SQL server's clock to noon of the day so many days from today, so that no test meets a midnight, and the data with
    /// it. Answers that day.
    pub async fn noon(&self, days: i64) -> i64 {
        let now_ms = now_us() / 1_000;
        let day = now_ms.div_euclid(DAY_MS) + days;
        let noon_ms = day * DAY_MS + DAY_MS / 2;
        self.sql_clock.set(noon_ms - now_ms);
        self.complete_up_to(noon_ms * 1_000).await;
        day
    }

    pub fn is_server(&self) -> bool {
        self.url.starts_with("mysql:")
    }

    pub async fn remove(self) {
        if self.is_server() {
            let name = self.url.rsplit('/').next().unwrap().to_owned();
            let _ = self.db.exec(&format!("DROP DATABASE {name}"), vec![]).await;
        } else if let Some(folder) = self.url.strip_prefix("sqlite:").and_then(|p| p.strip_suffix("/db")) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    pub async fn account(&self, account: &str, booked: i64) {
        ledger::open_account(&self.db, account, "anna", booked).await;
    }

    /// Accounts `a` with 1,000.00 and `b` with nothing.
    pub async fn two_accounts(&self) {
        self.account("a", 100_000).await;
        self.account("b", 0).await;
    }

    /// Whether credits take places in the order of their accounts, from now on.
    pub async fn order_credits(&self, credits_in_order: bool) {
        self.rule(OperationRules { credits_in_order, ..OperationRules::default() }).await;
    }

    pub async fn rule(&self, rules: OperationRules) {
        self.journal.seed_rules(&Rules::from_iter([("transfer".to_owned(), rules)])).await.unwrap();
    }

    pub async fn submit(&self, write: Write) -> Admitted {
        self.admissions.submit(write).await.unwrap()
    }

    /// Admits a write that must be new.
    pub async fn admit(&self, write: Write) -> Entry {
        fresh(self.submit(write).await)
    }

    pub async fn direct(&self, from: &str, to: &str, amount: i64) -> Entry {
        let entry = self.admit(transfer(from, to, amount)).await;
        assert_eq!(entry.state, EntryState::Submitting);
        entry
    }

    pub async fn queued(&self, from: &str, to: &str, amount: i64) -> Entry {
        let entry = self.admit(transfer(from, to, amount).away()).await;
        assert_eq!(entry.state, EntryState::Queued);
        entry
    }

    pub async fn record(&self, change: Change) -> Moved {
        self.journal.replay().record("test", None, vec![change]).await.unwrap().pop().unwrap()
    }

    /// Evidence that ends the first attempt, as the gateway gives it.
    pub async fn first_attempt(&self, entry: &Entry, evidence: Evidence) -> Moved {
        self.record(Change::new(entry.id.clone(), evidence).ending(1)).await
    }

    /// The first attempt found the core away: no byte left.
    pub async fn core_away(&self, entry: &Entry) -> Moved {
        self.record(Change::new(entry.id.clone(), Evidence::NotSent).believing(CoreBelief::Away).ending(1)).await
    }

    pub async fn promise(&self, entry: &Entry, belief: CoreBelief) -> Entry {
        self.journal.gateway().promise("test", &entry.id, belief).await.unwrap()
    }

    pub async fn state(&self, entry: &Entry) -> EntryState {
        self.now(entry).await.state
    }

    pub async fn now(&self, entry: &Entry) -> Entry {
        self.journal.gateway().get(&entry.id).await.unwrap().unwrap()
    }

    pub async fn fence(&self) -> Fence {
        self.journal.replay().hold_fence("replay", &self.instance, 60_000).await.unwrap().unwrap()
    }

    /// The fence after its holder was lost.
    pub async fn fence_after(&self, lost: &Fence) -> Fence {
        self.journal.replay().release_fence(lost).await.unwrap();
        self.fence().await
    }

    /// Records that the core posted an entry, and claims one more in the same commit: that one, and what might go next beside it.
    pub async fn post_and_claim(
        &self,
        fence: &Fence,
        entry: &Entry,
        offered: &[&Entry],
    ) -> (Vec<EntryId>, Vec<EntryId>) {
        let offered = offered.iter().map(|entry| entry.id.clone()).collect();
        let change = Change::new(entry.id.clone(), Evidence::CorePosted).ending(1);
        let replay = self.journal.replay();
        let recorded = replay.record_and_claim(fence, &self.instance, vec![change], (offered, ONE)).await.unwrap();
        assert_eq!(recorded.moved[0].entry.state, EntryState::Posted);
        (recorded.claimed.into_iter().map(|claimed| claimed.entry.id).collect(), recorded.next)
    }

    pub async fn claim(&self, fence: &Fence, entries: &[&Entry]) -> Vec<Claimed> {
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        self.journal.replay().claim(fence, &self.instance, ids).await.unwrap()
    }

    /// Another attempt of an entry that is first in its lanes and whose outcome is unknown.
    pub async fn resend(&self, fence: &Fence, entry: &Entry, alone_after: i64) -> Claimed {
        match self.journal.replay().begin_resend(fence, &self.instance, &entry.id, alone_after).await.unwrap() {
            Resend::Begun(claimed) => *claimed,
            waits => panic!("{waits:?}"),
        }
    }

    pub async fn ready(&self) -> Vec<EntryId> {
        self.journal.replay().ready(100).await.unwrap()
    }

    /// One apply transaction of ingest: balance rows (account, booked, last posting), then the journal's confirmation.
    pub async fn apply(&self, balances: &[(&str, i64, i64)], seen: &[LegSeen]) -> Confirmed {
        self.try_apply(balances, seen, Ok(())).await.unwrap()
    }

    /// The same, with its last word: `Err` rolls everything back.
    pub async fn try_apply(
        &self,
        balances: &[(&str, i64, i64)],
        seen: &[LegSeen],
        end: Result<(), sql::Error>,
    ) -> Result<Confirmed, JournalError> {
        let journal = self.journal.clone();
        let balances: Vec<(String, i64, i64)> = balances.iter().map(|(a, b, n)| ((*a).to_owned(), *b, *n)).collect();
        let seen = seen.to_vec();
        self.db
            .transaction(move |tx| {
                Box::pin(async move {
                    for (account, booked, last_posting) in &balances {
                        ledger::put_balance(tx, account, *booked, *last_posting).await?;
                    }
                    let changed: Vec<String> = balances.into_iter().map(|(account, ..)| account).collect();
                    let confirmed = journal.confirmations().confirm(tx, &seen, &changed).await?;
                    end?;
                    Ok(confirmed)
                })
            })
            .await
    }

    /// What a channel is shown: the balance first, then the holds that it does not include.
    pub async fn available(&self, account: &str) -> i64 {
        let sql = "SELECT booked, balance_version FROM books WHERE account = ?";
        let row = self.db.query(sql, params![account]).await.unwrap().remove(0);
        let booked: i64 = row.get("booked").unwrap();
        booked - self.held_against(account, row.get("balance_version").unwrap()).await
    }

    /// Sum of the holds that a balance of this version does not include.
    pub async fn held_against(&self, account: &str, version: Vec<u8>) -> i64 {
        let holds = self.journal.holds().against(&[(account.to_owned(), version)]).await.unwrap();
        holds.get(account).map_or(0, |(_, holds)| holds.iter().map(|hold| hold.amount_minor).sum())
    }

    /// What a person orders, carried out at once by nobody else.
    pub async fn give(&self, act: Act, grounds: Grounds) -> Result<Done, JournalError> {
        self.journal.operators().give(&EntryId::generate(), "op", &Order { act, grounds }, 0).await
    }

    /// The same about an entry.
    pub async fn order(&self, act: Act, grounds: Grounds) -> Result<Entry, JournalError> {
        self.order_within(act, grounds, 0).await
    }

    /// The same, to a core in which a request may take effect for so long.
    pub async fn order_within(&self, act: Act, grounds: Grounds, lifetime_ms: u64) -> Result<Entry, JournalError> {
        match self.journal.operators().give(&EntryId::generate(), "op", &Order { act, grounds }, lifetime_ms).await? {
            Done::Entry(entry) => Ok(*entry),
            other => panic!("no entry: {other:?}"),
        }
    }

    /// A person lets a stopped lane go on.
    pub async fn clear(&self, account: &str, why: &str) {
        let act = Act::ClearLane { account: account.into() };
        assert_eq!(self.give(act, Grounds::because(why)).await.unwrap(), Done::LaneCleared);
    }

    /// A row of the core's books that somebody keyed by hand, as the read model has it.
    pub async fn keyed(
        &self,
        posting: &str,
        account: &str,
        amount_minor: i64,
        posting_no: i64,
        core_ref: Option<&str>,
    ) {
        let sql = "INSERT INTO core_rows (posting, account, amount_minor, currency, posting_no, core_ref) VALUES (?, ?, ?, ?, ?, ?)";
        self.db.exec(sql, params![posting, account, amount_minor, "EUR", posting_no, core_ref]).await.unwrap();
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.db.query(sql, vec![]).await.unwrap()[0].at(0).unwrap()
    }

    pub async fn lane_is_stopped(&self, account: &str) -> bool {
        let sql = "SELECT stopped FROM lanes WHERE account = ?";
        self.db.query(sql, params![account]).await.unwrap()[0].get("stopped").unwrap()
    }
}

pub fn fresh(admitted: Admitted) -> Entry {
    match admitted {
        Admitted::Fresh(entry) => *entry,
        other => panic!("expected a new entry, got {other:?}"),
    }
}

pub fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

/// What every test starts with: 10,000.00 EUR a transfer, 20,000.00 EUR a day.
pub fn limits() -> Limits {
    Limits::default().with(eur(), 1_000_000, 2_000_000)
}

/// The same with so much a day.
pub fn limited_to(per_day_minor: i64) -> Limits {
    limits().with(eur(), 1_000_000, per_day_minor)
}

pub fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// A transfer under a key of its own, the core believed there.
pub fn transfer(from: &str, to: &str, amount_minor: i64) -> Write {
    let id = EntryId::generate_for(from);
    Write {
        idempotency_key: format!("key-{id}"),
        id,
        principal: "anna".into(),
        operation: "transfer".into(),
        fingerprint: format!("{from}>{to}:{amount_minor}").into_bytes(),
        command: Transfer {
            from_account: from.into(),
            to_account: to.into(),
            amount_minor,
            currency: eur(),
            remittance: None,
            unknown: Default::default(),
        },
        grant: Grant::customers(["anna"]),
        belief: CoreBelief::Available,
    }
}

/// Variations of a write.
pub trait Varied {
    fn away(self) -> Self;
    fn key(self, key: &str) -> Self;
}

impl Varied for Write {
    fn away(self) -> Self {
        Write { belief: CoreBelief::Away, ..self }
    }

    fn key(self, key: &str) -> Self {
        Write { idempotency_key: key.into(), ..self }
    }
}

/// The core's answer with its posting numbers.
pub fn posted(entry: &Entry, numbers: &[(&str, i64)]) -> Change {
    let numbers = numbers.iter().map(|(account, n)| ((*account).to_owned(), *n)).collect();
    let posting = Posting { core_id: Some("core-1".into()), numbers };
    Change::new(entry.id.clone(), Evidence::CorePosted).with_posting(posting)
}

/// The core's row that books the debit.
pub fn debit_row(entry: &Entry, posting_no: i64) -> LegSeen {
    row_of(entry, LegKind::Debit, &entry.command.from_account, posting_no)
}

/// The core's row that books the credit.
pub fn credit_row(entry: &Entry, posting_no: i64) -> LegSeen {
    row_of(entry, LegKind::Credit, &entry.command.to_account, posting_no)
}

fn row_of(entry: &Entry, kind: LegKind, account: &str, posting_no: i64) -> LegSeen {
    LegSeen {
        core_ref: entry.core_ref.clone(),
        kind,
        account: account.to_owned(),
        amount_minor: entry.command.amount_minor,
        currency: entry.command.currency,
        posting_no: Some(posting_no),
        place: None,
        row_key: format!("{account}/{posting_no}"),
    }
}
