//! The books: one posting is one database transaction, whole or absent.

use std::time::Instant;

use jiff::Timestamp;
use schemas::money::Currency;
use sql::{Db, Dialect, Error, Policy, Tx, Upsert, Value, params};
use tokio::sync::watch;

use crate::account::{Account, PostingRow, moment_text, money};
use crate::changes::{self, Change, Kind};
use crate::model::{AMOUNT_MINOR_MAX, Booked, Order, Problem};
use crate::options::Class;
use crate::references::{self, Remembered};
use crate::schema;

/// How often a posting is run again after a deadlock or a lock wait.
const ATTEMPTS_MAX: u32 = 20;

/// What became of one request to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PostingResult {
    /// Posted by this request.
    Booked(Booked),
    /// Refused by this request.
    Refused(Problem),
    /// The reference was known with the same legs; the first answer, as it was given.
    Repeated(Remembered),
    /// The reference was known with other legs.
    OtherLegs,
}

/// Why a request came to no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The database failed; only `CommitUnknown` may have posted.
    #[error("core database: {0}")]
    Sql(#[from] Error),
    /// The request outlived its lifetime before its commit; nothing was posted.
    #[error("request lifetime exceeded")]
    Expired,
}

/// Until when a request may take effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn at(deadline: Instant) -> Self {
        Self(Some(deadline))
    }

    /// For what a branch keys: people wait.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    fn passed(self) -> bool {
        self.0.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// How this core treats references.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub class: Class,
    pub reference_memory_ms: i64,
}

/// Handle to the books; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub db: Db,
    pub rules: Rules,
    /// Last position of the change log; stays 0 where there is none.
    pub position: watch::Sender<i64>,
}

impl Ledger {
    pub(crate) fn new(db: Db, rules: Rules) -> Self {
        Self { db, rules, position: watch::Sender::new(0) }
    }

    /// Posts the order, or refuses it, or recognises it. `forced` is a refusal that a fault imposes.
    pub(crate) async fn post(
        &self,
        order: &Order,
        forced: Option<Problem>,
        deadline: Deadline,
    ) -> Result<PostingResult, LedgerError> {
        let mut attempt = 1;
        loop {
            let (order, forced, rules) = (order.clone(), forced.clone(), self.rules);
            let done = self
                .db
                .transaction(move |tx| {
                    Box::pin(async move {
                        let done = post_once(tx, &order, forced, rules).await?;
                        if deadline.passed() { Err(LedgerError::Expired) } else { Ok(done) }
                    })
                })
                .await;
            match done {
                Err(LedgerError::Sql(err)) if err.is_retryable() && attempt < ATTEMPTS_MAX && !deadline.passed() => {
                    tracing::debug!(error = %err, attempt, "posting is run again");
                    attempt += 1;
                }
                Err(err) => return Err(err),
                Ok((outcome, position)) => {
                    self.announce(position);
                    return Ok(outcome);
                }
            }
        }
    }

    /// Tells waiting readers of the change log how far it goes.
    pub(crate) fn announce(&self, position: i64) {
        self.position.send_if_modified(|last| {
            let newer = position > *last;
            *last = position.max(*last);
            newer
        });
    }
}

async fn post_once(
    tx: &mut Tx,
    order: &Order,
    forced: Option<Problem>,
    rules: Rules,
) -> Result<(PostingResult, i64), LedgerError> {
    let now = Timestamp::now();
    if rules.class == Class::Idempotent
        && let Some(reference) = &order.reference
        && let Some(known) = references::claim(tx, reference, now, rules.reference_memory_ms).await?
    {
        let same = known.fingerprint == order.fingerprint();
        return Ok((if same { PostingResult::Repeated(known) } else { PostingResult::OtherLegs }, 0));
    }
    let mut accounts = lock(tx, order).await?;
    let verdict = match forced {
        Some(problem) => Err(problem),
        None => judge(order, &accounts),
    };
    let (outcome, position) = match verdict {
        Err(problem) => (PostingResult::Refused(problem), 0),
        Ok((amount, currency)) => {
            let (booked, position) = book(tx, order, amount, currency, &mut accounts, now).await?;
            (PostingResult::Booked(booked), position)
        }
    };
    if rules.class != Class::Neither
        && let Some(reference) = &order.reference
        && let Some(first) = first_answer(order, &outcome)?
    {
        references::remember(tx, rules.class, reference, &first, now).await?;
    }
    Ok((outcome, position))
}

/// What the core will say of this reference from now on; `None` = a reference that was known before.
fn first_answer(order: &Order, outcome: &PostingResult) -> Result<Option<Remembered>, Error> {
    let (booked, body) = match outcome {
        PostingResult::Booked(booked) => (true, serde_json::to_string(booked)),
        PostingResult::Refused(problem) => (false, serde_json::to_string(problem)),
        PostingResult::Repeated(_) | PostingResult::OtherLegs => return Ok(None),
    };
    let body = body.map_err(|err| Error::Configuration(format!("answer cannot be written: {err}")))?;
    Ok(Some(Remembered { booked, fingerprint: order.fingerprint(), body }))
}

/// Debited and credited account, locked in order of their numbers.
async fn lock(tx: &mut Tx, order: &Order) -> Result<[Option<Account>; 2], Error> {
    let debit_first = order.debit < order.credit;
    let numbers = if debit_first { [&order.debit, &order.credit] } else { [&order.credit, &order.debit] };
    let first = find(tx, numbers[0]).await?;
    let second = find(tx, numbers[1]).await?;
    Ok(if debit_first { [first, second] } else { [second, first] })
}

/// The account, locked.
pub(crate) async fn find(tx: &mut Tx, account_no: &str) -> Result<Option<Account>, Error> {
    let columns = schema::account_columns(tx.dialect());
    let sql = format!("SELECT {columns} FROM accounts WHERE account_no = ? FOR UPDATE");
    tx.query_opt(&sql, params![account_no]).await?.as_ref().map(Account::read).transpose()
}

/// The core's rules; the debited account is judged first.
fn judge(order: &Order, accounts: &[Option<Account>; 2]) -> Result<(i64, Currency), Problem> {
    let no = |code: &str, message: String| Err(Problem::new(code, message));
    let amount = match order.amount {
        Ok(amount) if (1..=AMOUNT_MINOR_MAX).contains(&amount) => amount,
        Ok(_) => return no("INVALID_AMOUNT", "the amount must be positive and fit the ledger".to_owned()),
        Err(err) => return no("INVALID_AMOUNT", err.to_string()),
    };
    let (debit, credit) = match accounts {
        [Some(debit), Some(credit)] => (debit, credit),
        [None, _] => return no("UNKNOWN_ACCOUNT", format!("no account {}", order.debit)),
        [_, None] => return no("UNKNOWN_ACCOUNT", format!("no account {}", order.credit)),
    };
    for account in [debit, credit] {
        match account.status.as_str() {
            "A" => {}
            "F" => return no("ACCOUNT_FROZEN", format!("account {} is frozen", account.account_no)),
            _ => return no("ACCOUNT_CLOSED", format!("account {} is closed", account.account_no)),
        }
        if account.ccy != order.currency {
            return no("CURRENCY_MISMATCH", format!("account {} is kept in {}", account.account_no, account.ccy));
        }
    }
    if debit.balance - debit.held + debit.overdraft < amount {
        return no("INSUFFICIENT_FUNDS", format!("account {} has too little", debit.account_no));
    }
    if credit.balance > AMOUNT_MINOR_MAX - amount {
        return no("INVALID_AMOUNT", "the credited balance would not fit the ledger".to_owned());
    }
    match Currency::parse(&order.currency) {
        Ok(currency) => Ok((amount, currency)),
        Err(err) => no("CURRENCY_MISMATCH", err.to_string()),
    }
}

async fn book(
    tx: &mut Tx,
    order: &Order,
    amount: i64,
    currency: Currency,
    accounts: &mut [Option<Account>; 2],
    now: Timestamp,
) -> Result<(Booked, i64), Error> {
    let booked_at = moment_text(now);
    let mut postings = Vec::with_capacity(2);
    let mut updates = Vec::with_capacity(2);
    for (account, leg) in accounts.iter_mut().flatten().zip(["D", "C"]) {
        let before = account.clone();
        account.balance += if leg == "D" { -amount } else { amount };
        account.last_posting += 1;
        account.updated = booked_at.clone();
        postings.push(PostingRow {
            account_no: account.account_no.clone(),
            posting_no: account.last_posting,
            ext_ref: order.reference.clone(),
            leg: leg.to_owned(),
            amount,
            ccy: order.currency.clone(),
            booked_at: booked_at.clone(),
            value_date: order.value_date.to_string(),
            text: order.text.clone(),
        });
        updates.push((before, account.clone()));
    }
    insert(tx, &postings).await?;
    for (_, after) in &updates {
        update(tx, after).await?;
    }
    let mut position = 0;
    if tx.dialect() == Dialect::Sqlite {
        let rows = postings.iter().map(Change::of_posting);
        let rows = rows.chain(updates.iter().map(|(before, after)| Change::of_account(Some(before), after)));
        position = changes::record(tx, now, Kind::Streamed, &rows.collect::<Vec<_>>()).await?;
    }
    Ok((Booked::new(order, amount, currency, postings[0].posting_no, postings[1].posting_no), position))
}

async fn insert(tx: &mut Tx, postings: &[PostingRow]) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO postings (account_no, posting_no, ext_ref, leg, amount, ccy, booked_at, value_date, text) VALUES {}",
        sql::rows(postings.len(), 9)
    );
    let dialect = tx.dialect();
    tx.exec(&sql, postings.iter().flat_map(|row| row.values(dialect)).collect()).await.map(|_| ())
}

/// Writes what may change on an account.
pub(crate) async fn update(tx: &mut Tx, account: &Account) -> Result<(), Error> {
    let values = vec![
        money(tx.dialect(), account.balance),
        account.last_posting.into(),
        account.updated.as_str().into(),
        account.status.as_str().into(),
        Value::from(account.account_no.as_str()),
    ];
    let sql = "UPDATE accounts SET balance = ?, last_posting = ?, updated = ?, status = ? WHERE account_no = ?";
    tx.exec(sql, values).await.map(|_| ())
}

/// An empty upsert of whole account rows that leaves existing ones as they are.
pub(crate) fn new_accounts() -> Upsert {
    let columns =
        &["account_no", "owner", "ccy", "status", "balance", "overdraft", "held", "last_posting", "opened", "updated"];
    Upsert::new("accounts", columns, &["account_no"], Policy::KeepExisting)
}
