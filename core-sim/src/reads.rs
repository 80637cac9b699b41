//! What can be asked of the core: an account, a reference, the whole ledger, the change log.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use sql::{Db, Dialect, Error, params};

use crate::account::{Account, PostingRow};
use crate::answer::{json, problem};
use crate::ledger::Ledger;
use crate::{references, schema};

/// Most records of the change log in one answer.
pub(crate) const CHANGES_LIMIT_MAX: u32 = 5_000;
/// Longest wait for a new record.
pub(crate) const CHANGES_WAIT_MS_MAX: u64 = 30_000;

/// `GET /api/accounts/{no}`.
pub(crate) async fn account(db: &Db, account_no: &str) -> Result<Response<Body>, Error> {
    let columns = schema::account_columns(db.dialect());
    let sql = format!("SELECT {columns} FROM accounts WHERE account_no = ?");
    Ok(match db.query(&sql, params![account_no]).await?.first() {
        Some(row) => json(StatusCode::OK, &Account::read(row)?.show()),
        None => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "no such account"),
    })
}

/// `GET /api/postings/{reference}`.
pub(crate) async fn enquiry(db: &Db, reference: &str) -> Result<Response<Body>, Error> {
    let Some((known, posted)) = references::enquire(db, reference).await? else {
        return Ok(problem(StatusCode::NOT_FOUND, "NOT_FOUND", "nothing under this reference"));
    };
    let mut answer: Json = serde_json::from_str(&known.body).unwrap_or_default();
    if known.booked {
        answer["times_posted"] = json!(posted);
    } else {
        answer["status"] = json!("REFUSED");
        answer["reference"] = json!(reference);
    }
    Ok(json(StatusCode::OK, &answer))
}

/// `GET /ledger`: everything, for checkers that trust nothing else.
pub(crate) async fn ledger(db: &Db) -> Result<Json, Error> {
    db.transaction(|tx| {
        Box::pin(async move {
            let columns = schema::account_columns(tx.dialect());
            let accounts = tx.query(&format!("SELECT {columns} FROM accounts ORDER BY account_no"), vec![]).await?;
            let columns = schema::posting_columns(tx.dialect());
            let sql = format!("SELECT {columns} FROM postings ORDER BY account_no, posting_no");
            let postings = tx.query(&sql, vec![]).await?;
            let accounts = accounts.iter().map(|row| Account::read(row).map(|account| account.show()));
            let postings = postings.iter().map(|row| PostingRow::read(row).map(|posting| posting.show()));
            Ok(json!({
                "accounts": accounts.collect::<Result<Vec<_>, Error>>()?,
                "postings": postings.collect::<Result<Vec<_>, Error>>()?,
            }))
        })
    })
    .await
}

/// `GET /changes`: records after a position, oldest first; waits for the first one up to `wait`.
/// `None` for a core that keeps no change log.
pub(crate) async fn changes(ledger: &Ledger, after: i64, limit: u32, wait: Duration) -> Result<Option<String>, Error> {
    if ledger.db.dialect() != Dialect::Sqlite {
        return Ok(None);
    }
    let mut news = ledger.position.subscribe();
    let until = tokio::time::Instant::now() + wait;
    loop {
        let sql =
            "SELECT position, topic, key_json, value_json FROM change_log WHERE position > ? ORDER BY position LIMIT ?";
        let rows = ledger.db.query(sql, params![after, limit.clamp(1, CHANGES_LIMIT_MAX)]).await?;
        let timed_out = if rows.is_empty() {
            tokio::time::timeout_at(until, news.wait_for(|position| *position > after)).await.is_err()
        } else {
            true
        };
        if timed_out {
            let records = rows.iter().map(record).collect::<Result<Vec<_>, Error>>()?;
            return Ok(Some(format!("[{}]", records.join(","))));
        }
    }
}

fn record(row: &sql::Row) -> Result<String, Error> {
    #[derive(serde::Serialize)]
    struct Record<'a> {
        position: i64,
        topic: &'a str,
        key: &'a RawValue,
        value: &'a RawValue,
    }
    let broken = |err: serde_json::Error| Error::Configuration(format!("change log: {err}"));
    let record = Record {
        position: row.get("position")?,
        topic: row.get("topic")?,
        key: serde_json::from_str(row.get("key_json")?).map_err(broken)?,
        value: serde_json::from_str(row.get("value_json")?).map_err(broken)?,
    };
    serde_json::to_string(&record).map_err(broken)
}
