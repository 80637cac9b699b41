//! What the core remembers of references: the first outcome, and the answer that told it.

use jiff::Timestamp;
use sql::{Error, Policy, Row, Tx, Upsert, params};

use crate::options::Class;

const BOOKED: &str = "BOOKED";
const REFUSED: &str = "REFUSED";
/// Only ever seen by the transaction that wrote it.
const CLAIMED: &str = "CLAIMED";
const COLUMNS: &[&str] = &["ext_ref", "outcome", "fingerprint", "body", "first_seen"];

/// A remembered outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub booked: bool,
    pub fingerprint: String,
    /// The JSON of the first answer.
    pub body: String,
}

impl Remembered {
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            booked: row.get::<&str>("outcome")? == BOOKED,
            fingerprint: row.get("fingerprint")?,
            body: row.get("body")?,
        })
    }
}

/// Locks the reference, so that of two equal requests one waits for the other, and returns what is remembered of it.
pub(crate) async fn claim(
    tx: &mut Tx,
    reference: &str,
    now: Timestamp,
    memory_ms: i64,
) -> Result<Option<Remembered>, Error> {
    let now_ms = now.as_millisecond();
    let claim = Upsert::new("refs", COLUMNS, &["ext_ref"], Policy::KeepExisting);
    tx.upsert(claim.row(params![reference, CLAIMED, "", "", now_ms])).await?;
    let sql = "SELECT outcome, fingerprint, body, first_seen FROM refs WHERE ext_ref = ? FOR UPDATE";
    let row = tx.query_one(sql, params![reference]).await?;
    let forgotten = row.get::<i64>("first_seen")?.saturating_add(memory_ms) <= now_ms;
    if row.get::<&str>("outcome")? == CLAIMED || forgotten { Ok(None) } else { Remembered::read(&row).map(Some) }
}

/// Stores what became of the reference. A refusal never hides an earlier posting; class enquiry keeps the first posting.
pub(crate) async fn remember(
    tx: &mut Tx,
    class: Class,
    reference: &str,
    first: &Remembered,
    now: Timestamp,
) -> Result<(), Error> {
    let word = if first.booked { BOOKED } else { REFUSED };
    if class == Class::Enquiry {
        let sql = "SELECT outcome FROM refs WHERE ext_ref = ? FOR UPDATE";
        let known = tx.query_opt(sql, params![reference]).await?;
        if known.is_some_and(|row| row.get::<&str>("outcome").is_ok_and(|word| word == BOOKED)) {
            return Ok(());
        }
    }
    let row = params![reference, word, &first.fingerprint, &first.body, now.as_millisecond()];
    tx.upsert(Upsert::new("refs", COLUMNS, &["ext_ref"], Policy::Replace).row(row)).await
}

/// What an enquiry finds: the first answer and how often the reference was posted.
pub(crate) async fn enquire(db: &sql::Db, reference: &str) -> Result<Option<(Remembered, i64)>, Error> {
    let sql = "SELECT outcome, fingerprint, body, \
               (SELECT COUNT(*) FROM postings WHERE postings.ext_ref = refs.ext_ref AND leg = 'D') AS posted \
               FROM refs WHERE ext_ref = ?";
    let rows = db.query(sql, params![reference]).await?;
    rows.first().map(|row| Ok((Remembered::read(row)?, row.get("posted")?))).transpose()
}

/// Lets the declared memory end now for every reference; enquiries still find them.
pub(crate) async fn forget_all(db: &sql::Db) -> Result<(), Error> {
    db.exec("UPDATE refs SET first_seen = 0", vec![]).await.map(|_| ())
}
