//! The simulated legacy core: its accounts, its books, what it remembers, and the change events it writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::core::{CoreLeg, Enquiry, Outcome, Posting};
use schemas::entry::LegKind;
use schemas::money::Currency;
use schemas::position::{SourcePosition, TransactionPlace};
use schemas::post_request::{Field, PostRequest};
use standin::journal::LegSeen;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::plan::Class;
use crate::world::World;

/// The core's code for an account without the money.
pub const INSUFFICIENT: &str = "insufficient-funds";
/// The core's code for one attempt that it refuses for reasons of its own.
pub const REFUSED: &str = "not-now";
/// What every account has at the beginning, in minor units.
pub const OPENING_MINOR: i64 = 2_000;

/// One posting in the core's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The reference it carries.
    pub core_ref: String,
    /// Debited account.
    pub from: String,
    /// Credited account.
    pub to: String,
    /// Minor units.
    pub amount_minor: i64,
}

/// A row and the balance that includes it, as the core's log tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The row.
    pub row: LegSeen,
    /// Minor units on the account after it.
    pub booked_minor: i64,
    /// Counts the account's postings, for a core that does not tell it, too: newer balances have higher ones.
    pub number: i64,
}

/// How the core is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// It answers.
    Well,
    /// It refuses connections.
    Away,
    /// It answers nothing.
    Hangs,
    /// It takes no postings.
    ReadOnly,
    /// Its process is stopped: it reads later what was sent to it.
    Stopped,
}

/// The core.
pub struct Core {
    class: Class,
    tells_numbers: bool,
    numbers_postings: bool,
    world: Arc<World>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    accounts: BTreeMap<String, (i64, i64)>,
    books: Vec<Booked>,
    known: BTreeMap<String, (Instant, Outcome)>,
    events: VecDeque<Event>,
    weather: Option<(Weather, Instant)>,
    locked: Option<(String, Instant)>,
    starts: u64,
    on_their_way: BTreeMap<String, u64>,
}

impl Core {
    /// A core with these accounts.
    pub fn new(world: &Arc<World>, accounts: &[String]) -> Arc<Self> {
        let accounts = accounts.iter().map(|account| (account.clone(), (OPENING_MINOR, 0))).collect();
        let inner = Mutex::new(Inner { accounts, ..Inner::default() });
        let (class, numbers_postings) = (world.plan.class, world.plan.numbers_postings);
        let tells_numbers = numbers_postings && world.plan.tells_numbers;
        Arc::new(Self { class, tells_numbers, numbers_postings, world: world.clone(), inner })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What kind it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// How it is there now.
    pub fn weather(&self) -> Weather {
        match self.inner().weather {
            Some((weather, until)) if Instant::now() < until => weather,
            _ => Weather::Well,
        }
    }

    /// For how long it stays as it is.
    pub fn weather_left(&self) -> Duration {
        let inner = self.inner();
        inner.weather.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(Instant::now()))
    }

    /// From now on it is there like this, for so long. A stopped process goes on when its time has come.
    pub fn turns(&self, weather: Weather, time: Duration) {
        if self.weather() != Weather::Stopped {
            self.inner().weather = Some((weather, Instant::now() + time));
        }
    }

    /// From now on it takes nothing for this account, for so long.
    pub fn locks(&self, account: &str, time: Duration) {
        self.inner().locked = Some((account.to_owned(), Instant::now() + time));
    }

    /// Does it take nothing for an account of this request?
    pub fn is_locked_for(&self, request: &PostRequest) -> bool {
        let Some((from, to, _)) = transfer(request) else { return false };
        let inner = self.inner();
        inner
            .locked
            .as_ref()
            .is_some_and(|(account, until)| (*account == from || *account == to) && Instant::now() < *until)
    }

    /// It starts anew: requests on their way are lost.
    pub fn restart(&self) {
        let mut inner = self.inner();
        inner.starts += 1;
        inner.weather = Some((Weather::Away, Instant::now() + Duration::from_millis(700)));
    }

    /// How often it has started.
    pub fn starts(&self) -> u64 {
        self.inner().starts
    }

    /// A request with this reference has left its sender; it may take effect until [`Core::is_over`].
    pub fn is_on_its_way(&self, core_ref: &str) {
        *self.inner().on_their_way.entry(core_ref.to_owned()).or_default() += 1;
    }

    /// That request can take no effect any more.
    pub fn is_over(&self, core_ref: &str) {
        if let Some(count) = self.inner().on_their_way.get_mut(core_ref) {
            *count = count.saturating_sub(1);
        }
    }

    /// May a request with this reference still take effect?
    pub fn may_come(&self, core_ref: &str) -> bool {
        self.inner().on_their_way.get(core_ref).is_some_and(|count| *count > 0)
    }

    /// One request takes effect; what the core answers to it.
    pub fn post(&self, request: &PostRequest) -> Outcome {
        let core_ref = &request.core_ref;
        let known = self.remembered(core_ref);
        if let Some(outcome) = known {
            return if self.class == Class::Duplicate { Outcome::Duplicate } else { outcome };
        }
        let Some((from, to, amount_minor)) = transfer(request) else {
            return Outcome::Refused { code: "malformed".into() };
        };
        let keeps_refusals = self.class == Class::Whole;
        // While another request with this reference is on its way, a refusal is most telling.
        let others = self.inner().on_their_way.get(core_ref).is_some_and(|count| *count > 1);
        if self.world.strikes(Fault::Refusal, if others { 2 } else { 8 }, "core") {
            return self.refuse(core_ref, REFUSED, keeps_refusals);
        }
        let mut inner = self.inner();
        let (Some(&(debited, debit_no)), Some(&(credited, credit_no))) =
            (inner.accounts.get(&from), inner.accounts.get(&to))
        else {
            return Outcome::Refused { code: "no-such-account".into() };
        };
        if debited < amount_minor {
            drop(inner);
            return self.refuse(core_ref, INSUFFICIENT, keeps_refusals);
        }
        let legs = [
            (LegKind::Debit, &from, debited - amount_minor, debit_no + 1),
            (LegKind::Credit, &to, credited + amount_minor, credit_no + 1),
        ];
        let transaction = inner.books.len() as u64 + 1;
        for (row, (kind, account, booked_minor, number)) in (0..).zip(legs) {
            inner.accounts.insert(account.clone(), (booked_minor, number));
            let row = LegSeen {
                core_ref: core_ref.clone(),
                kind,
                account: account.clone(),
                amount_minor,
                currency: eur(),
                posting_no: self.numbers_postings.then_some(number),
                place: (!self.numbers_postings).then(|| place(transaction, row)),
                row_key: format!("{account}/{number}"),
            };
            inner.events.push_back(Event { row, booked_minor, number });
        }
        let number = inner.books.len() + 1;
        inner.books.push(Booked { core_ref: core_ref.clone(), from: from.clone(), to: to.clone(), amount_minor });
        let numbers = match self.tells_numbers {
            true => vec![(from.clone(), debit_no + 1), (to.clone(), credit_no + 1)],
            false => Vec::new(),
        };
        let outcome = Outcome::Posted(Posting { core_id: Some(format!("c{number}")), numbers });
        inner.known.entry(core_ref.clone()).or_insert((Instant::now(), outcome.clone()));
        drop(inner);
        self.world.note("core", &format!("posts {} {from}>{to} {amount_minor}", short(core_ref)));
        outcome
    }

    fn refuse(&self, core_ref: &str, code: &str, kept: bool) -> Outcome {
        let outcome = Outcome::Refused { code: code.into() };
        if kept {
            self.inner().known.insert(core_ref.to_owned(), (Instant::now(), outcome.clone()));
        }
        self.world.note("core", &format!("refuses {} {code}", short(core_ref)));
        outcome
    }

    /// What it remembers of a reference when it is sent again.
    fn remembered(&self, core_ref: &str) -> Option<Outcome> {
        let memory = Duration::from_millis(self.class.memory_ms()?);
        let inner = self.inner();
        let (at, outcome) = inner.known.get(core_ref)?;
        (at.elapsed() < memory).then(|| outcome.clone())
    }

    /// What it says of a reference when it is asked.
    pub fn enquire(&self, core_ref: &str) -> Enquiry {
        let inner = self.inner();
        match inner.known.get(core_ref) {
            Some((_, Outcome::Posted(posting))) => {
                let booked = inner.books.iter().find(|booked| booked.core_ref == core_ref);
                let legs = booked.map_or(Vec::new(), |booked| {
                    let leg = |account: &String, amount_minor| CoreLeg { account: account.clone(), amount_minor };
                    vec![leg(&booked.from, -booked.amount_minor), leg(&booked.to, booked.amount_minor)]
                });
                Enquiry::Posted { posting: posting.clone(), legs }
            }
            Some((_, Outcome::Refused { code })) => Enquiry::Refused { code: code.clone() },
            _ => Enquiry::NotFound,
        }
    }

    /// Has it posted this reference?
    pub fn has(&self, core_ref: &str) -> bool {
        self.inner().books.iter().any(|booked| booked.core_ref == core_ref)
    }

    /// Its books, in order.
    pub fn books(&self) -> Vec<Booked> {
        self.inner().books.clone()
    }

    /// Its accounts: minor units and the number of the last posting.
    pub fn accounts(&self) -> BTreeMap<String, (i64, i64)> {
        self.inner().accounts.clone()
    }

    /// The next change events, at most so many; they stay until [`Core::events_applied`].
    pub fn events(&self, most: usize) -> Vec<Event> {
        self.inner().events.iter().take(most).cloned().collect()
    }

    /// So many events were applied.
    pub fn events_applied(&self, count: usize) {
        self.inner().events.drain(..count);
    }
}

fn transfer(request: &PostRequest) -> Option<(String, String, i64)> {
    let text = |name| match request.field(name) {
        Some(Field::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(Field::Money { minor, .. }) = request.field("amount") else { return None };
    Some((text("from_account")?, text("to_account")?, *minor))
}

/// Where a row stands of one of the core's transactions.
fn place(transaction: u64, row: u64) -> TransactionPlace {
    let position = SourcePosition::Binlog { file: 1, pos: 100 * transaction + row, row: 0, gtid: None };
    TransactionPlace::streamed(1, &position, &format!("0-1-{transaction}")).expect("a transaction with a name")
}

/// The one currency of the simulated bank.
pub fn eur() -> Currency {
    Currency::parse("EUR").expect("EUR is a currency")
}

/// The last digits of a reference or an id, which tell it apart in a trace.
pub fn short(id: &str) -> String {
    id.get(id.len().saturating_sub(4)..).unwrap_or(id).to_ascii_lowercase()
}
