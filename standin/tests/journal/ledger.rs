//! A read model of one small table, and a hook inside whatever transaction reads it.

use std::sync::{Arc, Mutex};

use schemas::money::Currency;
use schemas::position::TransactionPlace;
use sql::{BoxFuture, Db, Tx, listed, params, placeholders};
use standin::admission::{AccountFacts, AccountStatus};
use standin::journal::{Facts, KnownAccount, KnownAccounts, PostingRow};

pub const TABLES: &[sql::Migration] = &[sql::Migration {
    version: 1,
    statements: &[
        "CREATE TABLE books (account {text:64} NOT NULL, customer {text:64} NOT NULL, currency {text:3} NOT NULL, \
         standing {text:8} NOT NULL, booked {int} NOT NULL, overdraft {int} NOT NULL, core_holds {int} NOT NULL, \
         last_posting {int} NOT NULL, balance_version {bytes:32} NOT NULL, in_doubt {int}, place {bytes:31}, PRIMARY KEY (account))",
        "CREATE TABLE core_rows (posting {text:128} NOT NULL, account {text:64} NOT NULL, amount_minor {int} NOT NULL, \
         currency {text:3} NOT NULL, posting_no {int}, place {bytes:31}, core_ref {text:64}, PRIMARY KEY (posting))",
        "CREATE TABLE source (id {int} NOT NULL, as_of_us {int}, loaded {int} NOT NULL, PRIMARY KEY (id))",
    ],
}];

type Hook = Box<dyn for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<(), sql::Error>> + Send + Sync>;

/// Reads the table; after that, when told so, runs a hook in the reader's transaction.
#[derive(Default)]
pub struct Books {
    hook: Mutex<Option<(u32, Arc<Hook>)>>,
    panics_at: Mutex<Option<String>>,
}

impl Books {
    /// Once, inside the transaction of the reading after the next `skip` ones.
    pub fn interrupt(
        &self,
        skip: u32,
        hook: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<(), sql::Error>> + Send + Sync + 'static,
    ) {
        *self.hook.lock().unwrap() = Some((skip, Arc::new(Box::new(hook))));
    }

    /// Every reading of this account panics from now on.
    pub fn panic_at(&self, account: &str) {
        *self.panics_at.lock().unwrap() = Some(account.to_owned());
    }

    fn due(&self) -> Option<Arc<Hook>> {
        let mut hook = self.hook.lock().unwrap();
        match hook.take() {
            Some((0, due)) => Some(due),
            Some((skip, later)) => {
                *hook = Some((skip - 1, later));
                None
            }
            None => None,
        }
    }
}

impl Facts for Books {
    fn read<'t>(&'t self, tx: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
        Box::pin(async move {
            let sheet = read(tx, accounts).await?;
            let panics = self.panics_at.lock().unwrap().clone();
            assert!(!panics.is_some_and(|at| accounts.contains(&at)), "a fault of this test");
            if let Some(hook) = self.due() {
                hook(tx).await?;
            }
            Ok(sheet)
        })
    }

    fn postings<'t>(
        &'t self,
        tx: &'t mut Tx,
        postings: &'t [String],
    ) -> BoxFuture<'t, Result<Vec<PostingRow>, sql::Error>> {
        Box::pin(async move {
            let sql = format!("SELECT * FROM core_rows WHERE posting IN ({})", placeholders(postings.len()));
            let rows = tx.query(&sql, postings.iter().map(Into::into).collect()).await?;
            let read = |row: &sql::Row| -> Result<PostingRow, sql::Error> {
                Ok(PostingRow {
                    posting: row.get("posting")?,
                    account: row.get("account")?,
                    amount_minor: row.get("amount_minor")?,
                    currency: Currency::parse(row.get("currency")?).unwrap(),
                    posting_no: row.get("posting_no")?,
                    place: place(row)?,
                    core_ref: row.get("core_ref")?,
                })
            };
            rows.iter().map(read).collect()
        })
    }
}

async fn read(tx: &mut Tx, accounts: &[String]) -> Result<KnownAccounts, sql::Error> {
    let mut sheet = KnownAccounts::default();
    let (list, keys) = listed(accounts);
    let sql = format!(
        "SELECT b.*, s.as_of_us AS as_of_us, s.loaded AS loaded FROM source s LEFT JOIN books b ON b.account IN ({list}) \
         WHERE s.id = 1"
    );
    let mut loaded = true;
    for row in tx.query(&sql, keys).await? {
        let as_of_us: Option<i64> = row.get("as_of_us")?;
        loaded = row.get("loaded")?;
        if row.get::<Option<&str>>("account")?.is_none() {
            continue;
        }
        let status = match row.get("standing")? {
            "active" => AccountStatus::Active,
            "frozen" => AccountStatus::Frozen,
            _ => AccountStatus::Closed,
        };
        let facts = AccountFacts {
            currency: Currency::parse(row.get("currency")?).unwrap(),
            status,
            booked_minor: row.get("booked")?,
            overdraft_line_minor: row.get("overdraft")?,
            core_holds_minor: row.get("core_holds")?,
        };
        let account = KnownAccount {
            facts,
            customer_id: row.get("customer")?,
            last_posting: row.get("last_posting")?,
            place: place(&row)?,
            balance_version: row.get("balance_version")?,
            as_of_us: as_of_us.filter(|_| row.get("in_doubt") != Ok(1)),
        };
        match loaded && row.get::<&str>("standing")? != "unclear" {
            true => drop(sheet.accounts.insert(row.get("account")?, account)),
            false => drop(sheet.unclear.insert(row.get("account")?)),
        }
    }
    if !loaded {
        sheet.unclear.extend(accounts.iter().cloned());
    }
    Ok(sheet)
}

fn place(row: &sql::Row) -> Result<Option<TransactionPlace>, sql::Error> {
    Ok(row.get::<Option<&[u8]>>("place")?.and_then(TransactionPlace::from_bytes))
}

/// Bytes that no text encoding accepts, ordered like `n`.
pub fn version(n: i64) -> Vec<u8> {
    [&[0xF0, 0xFF][..], &n.to_be_bytes()].concat()
}

pub async fn prepare(db: &Db, as_of_us: i64) {
    db.migrate("books", TABLES).await.unwrap();
    db.exec("INSERT INTO source (id, as_of_us, loaded) VALUES (1, ?, 1)", params![as_of_us]).await.unwrap();
}

pub async fn open_account(db: &Db, account: &str, customer: &str, booked: i64) {
    db.exec(
        "INSERT INTO books (account, customer, currency, standing, booked, overdraft, core_holds, last_posting, balance_version) \
         VALUES (?, ?, 'EUR', 'active', ?, 0, 0, 0, ?)",
        params![account, customer, booked, version(0)],
    )
    .await
    .unwrap();
}

/// A balance row from the core: booked amount and the number of the last posting it includes, which is its version here.
pub async fn put_balance(tx: &mut Tx, account: &str, booked: i64, last_posting: i64) -> Result<(), sql::Error> {
    tx.exec(
        "UPDATE books SET booked = ?, last_posting = ?, balance_version = ? WHERE account = ?",
        params![booked, last_posting, version(last_posting), account],
    )
    .await
    .map(drop)
}

/// A balance row of a core that numbers no postings: its version here, and its place among the source's transactions.
pub async fn put_placed(
    tx: &mut Tx,
    account: &str,
    booked: i64,
    number: i64,
    place: &TransactionPlace,
) -> Result<(), sql::Error> {
    tx.exec(
        "UPDATE books SET booked = ?, last_posting = ?, place = ?, balance_version = ? WHERE account = ?",
        params![booked, i64::MIN, place.as_bytes(), version(number), account],
    )
    .await
    .map(drop)
}
