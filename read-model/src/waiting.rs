//! Balances that wait for their postings: kept by account and version until they may be served.

use std::collections::{BTreeMap, BTreeSet};

use schemas::model::Balance;
use schemas::money::Currency;
use schemas::position::{TransactionPlace, Version};
use sql::{Policy, Row, Tx, Upsert, Value, params, placeholders};

use crate::rows::{RowError, place, version};
use crate::writer::{WriteError, Writer};

/// A balance that is not served yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingBalance {
    /// The row.
    pub row: Balance,
    /// Its version.
    pub version: Version,
    /// Its place among the source's transactions, where it tells by that which postings it includes.
    pub place: Option<TransactionPlace>,
    /// When its event was sent at the latest, milliseconds since 1970 on the connector's clock.
    pub sent_ms: i64,
    /// When the core made it at the earliest, milliseconds since 1970.
    pub made_ms: i64,
}

/// How many of an account's newest postings are looked through for a number.
const NEWEST_POSTINGS: i64 = 64;
/// Accounts per statement.
const ACCOUNTS_PER_QUERY: usize = 500;

impl Writer {
    /// Every balance of this generation that waits, by account and in order of version.
    pub async fn waiting_balances(&self, tx: &mut Tx) -> Result<BTreeMap<String, Vec<WaitingBalance>>, WriteError> {
        let sql = "SELECT account_id, version, currency, booked_minor, overdraft_line_minor, core_holds_minor, \
             last_posting, source_place, sent_ms, made_ms FROM waiting_balances WHERE source = ? AND generation = ? \
             ORDER BY account_id, version";
        let mut waiting: BTreeMap<String, Vec<WaitingBalance>> = BTreeMap::new();
        for row in tx.query(sql, params![&*self.source, self.generation]).await? {
            let balance = read(&row)?;
            waiting.entry(balance.row.account_id.clone()).or_default().push(balance);
        }
        Ok(waiting)
    }

    /// Keeps these until they may be served. A repetition changes nothing.
    pub async fn keep_waiting(&self, tx: &mut Tx, balances: &[WaitingBalance]) -> Result<(), WriteError> {
        const COLUMNS: &[&str] = &[
            "source",
            "generation",
            "account_id",
            "version",
            "currency",
            "booked_minor",
            "overdraft_line_minor",
            "core_holds_minor",
            "last_posting",
            "source_place",
            "sent_ms",
            "made_ms",
        ];
        let key: &[&str] = &["source", "generation", "account_id", "version"];
        let mut upsert = Upsert::new("waiting_balances", COLUMNS, key, Policy::KeepExisting);
        for WaitingBalance { row, version, place, sent_ms, made_ms } in balances {
            upsert.push(params![
                &*self.source,
                self.generation,
                &row.account_id,
                version.as_bytes(),
                row.currency.code(),
                row.booked_minor,
                row.overdraft_line_minor,
                row.core_holds_minor,
                row.last_posting.unwrap_or(i64::MIN),
                place.as_ref().map(TransactionPlace::as_bytes),
                *sent_ms,
                *made_ms
            ]);
        }
        Ok(tx.upsert(upsert).await?)
    }

    /// Forgets an account's balances up to this version: one at least as new is served.
    pub async fn end_waiting(&self, tx: &mut Tx, account: &str, served: &Version) -> Result<(), WriteError> {
        let sql =
            "DELETE FROM waiting_balances WHERE source = ? AND generation = ? AND account_id = ? AND version <= ?";
        tx.exec(sql, params![&*self.source, self.generation, account, served.as_bytes()]).await?;
        Ok(())
    }

    /// The number of the last posting that each of these accounts' stored balance includes; none where there is none.
    pub async fn served_postings(
        &self,
        tx: &mut Tx,
        accounts: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, i64>, WriteError> {
        let dataset = self.dataset(tx).await?;
        let accounts: Vec<&String> = accounts.iter().collect();
        let mut served = BTreeMap::new();
        for accounts in accounts.chunks(ACCOUNTS_PER_QUERY) {
            let sql = format!(
                "SELECT account_id, last_posting FROM balance_rows WHERE dataset = ? AND deleted = 0 \
                 AND last_posting IS NOT NULL AND account_id IN ({})",
                placeholders(accounts.len())
            );
            let mut values = params![dataset];
            values.extend(accounts.iter().map(|account| Value::from(*account)));
            for row in tx.query(&sql, values).await? {
                served.insert(row.get("account_id")?, row.get("last_posting")?);
            }
        }
        Ok(served)
    }

    /// Those of these accounts of which a balance is stored.
    pub async fn accounts_with_balance(
        &self,
        tx: &mut Tx,
        accounts: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, WriteError> {
        let dataset = self.dataset(tx).await?;
        let accounts: Vec<&String> = accounts.iter().collect();
        let mut stored = BTreeSet::new();
        for accounts in accounts.chunks(ACCOUNTS_PER_QUERY) {
            let sql = format!(
                "SELECT account_id FROM balance_rows WHERE dataset = ? AND deleted = 0 AND account_id IN ({})",
                placeholders(accounts.len())
            );
            let mut values = params![dataset];
            values.extend(accounts.iter().map(|account| Value::from(*account)));
            for row in tx.query(&sql, values).await? {
                stored.insert(row.get("account_id")?);
            }
        }
        Ok(stored)
    }

    /// The numbers of an account's newest postings.
    pub async fn newest_posting_numbers(&self, tx: &mut Tx, account: &str) -> Result<BTreeSet<i64>, WriteError> {
        let sql = "SELECT posting_no FROM transaction_rows WHERE account_id = ? AND dataset = ? \
             ORDER BY booked_at_us DESC, transaction_id DESC LIMIT ?";
        let dataset = self.dataset(tx).await?;
        let rows = tx.query(sql, params![account, dataset, NEWEST_POSTINGS]).await?;
        let numbers = rows.iter().map(|row| row.get::<Option<i64>>("posting_no"));
        Ok(numbers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

fn read(row: &Row) -> Result<WaitingBalance, RowError> {
    let last_posting: i64 = row.get("last_posting")?;
    Ok(WaitingBalance {
        row: Balance {
            account_id: row.get("account_id")?,
            currency: Currency::parse(row.get("currency")?).map_err(|_| RowError::Vocabulary("currency"))?,
            booked_minor: row.get("booked_minor")?,
            overdraft_line_minor: row.get("overdraft_line_minor")?,
            core_holds_minor: row.get("core_holds_minor")?,
            last_posting: (last_posting != i64::MIN).then_some(last_posting),
        },
        version: version(row, "version")?,
        place: place(row)?,
        sent_ms: row.get("sent_ms")?,
        made_ms: row.get("made_ms")?,
    })
}
