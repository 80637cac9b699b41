//! Makes the tables and the first customers and accounts. Whatever is there stays: the process may be killed at any
//! instant and started again.

use jiff::Timestamp;
use sql::{Db, Dialect, Error, Migration, Policy, Tx, Upsert, params};

use crate::account::{Account, moment_text, money};
use crate::changes::{self, Change, Kind};
use crate::ledger::new_accounts;
use crate::options::Settings;
use crate::schema;

/// Rows of one transaction.
const BATCH: u64 = 1_000;
/// Accounts are numbered upwards from the one after this.
const ACCOUNT_BASE: u64 = 100_000_000_000;

/// The account with this number in order, from 0.
pub fn account_no(index: u64) -> String {
    (ACCOUNT_BASE + 1 + index).to_string()
}

/// The customer with this number in order, from 0.
pub fn customer_no(index: u64) -> String {
    format!("C{:06}", index + 1)
}

/// Creates what is missing. Batches commit in order, so what is there is a prefix of what is wanted.
pub(crate) async fn seed(db: &Db, settings: &Settings) -> Result<(), Error> {
    let migrations = [Migration { version: 1, statements: schema::statements(db.dialect()) }];
    db.migrate("core-sim", &migrations).await?;
    for (table, wanted) in [("customers", settings.options.customers), ("accounts", settings.options.accounts)] {
        let rows = db.query(&format!("SELECT COUNT(*) AS present FROM {table}"), vec![]).await?;
        let mut next: u64 = rows.first().map_or(Ok(0), |row| row.get("present"))?;
        while next < wanted {
            let until = (next + BATCH).min(wanted);
            let settings = settings.clone();
            db.transaction(move |tx| {
                Box::pin(async move {
                    if table == "customers" {
                        customers(tx, next, until).await
                    } else {
                        accounts(tx, &settings, next, until).await
                    }
                })
            })
            .await?;
            if until % 100_000 == 0 {
                tracing::info!(table, done = until, wanted, "seeding");
            }
            next = until;
        }
    }
    Ok(())
}

async fn customers(tx: &mut Tx, from: u64, until: u64) -> Result<(), Error> {
    let mut rows = Upsert::new("customers", &["customer_no", "name"], &["customer_no"], Policy::KeepExisting);
    let mut log = Vec::new();
    for index in from..until {
        let (number, name) = (customer_no(index), format!("Customer {}", index + 1));
        log.push(Change::of_customer(&number, &name));
        rows.push(params![number, name]);
    }
    tx.upsert(rows).await?;
    snapshot(tx, &log).await
}

async fn accounts(tx: &mut Tx, settings: &Settings, from: u64, until: u64) -> Result<(), Error> {
    let dialect = tx.dialect();
    let updated = moment_text(Timestamp::now());
    let opened = updated.get(..10).unwrap_or_default().to_owned();
    let mut rows = new_accounts();
    let mut log = Vec::new();
    for index in from..until {
        let account = Account {
            account_no: account_no(index),
            owner: customer_no(index % settings.options.customers),
            ccy: settings.currency.code().to_owned(),
            status: "A".to_owned(),
            balance: settings.opening_minor,
            overdraft: settings.overdraft_minor,
            held: 0,
            last_posting: 0,
            opened: opened.clone(),
            updated: updated.clone(),
        };
        log.push(Change::of_account(None, &account));
        let Account { account_no, owner, ccy, status, balance, overdraft, held, last_posting, .. } = account;
        rows.push(vec![
            account_no.into(),
            owner.into(),
            ccy.into(),
            status.into(),
            money(dialect, balance),
            money(dialect, overdraft),
            money(dialect, held),
            last_posting.into(),
            opened.as_str().into(),
            updated.as_str().into(),
        ]);
    }
    tx.upsert(rows).await?;
    snapshot(tx, &log).await
}

async fn snapshot(tx: &mut Tx, log: &[Change]) -> Result<(), Error> {
    if tx.dialect() == Dialect::Sqlite {
        changes::record(tx, Timestamp::now(), Kind::Snapshot, log).await?;
    }
    Ok(())
}
