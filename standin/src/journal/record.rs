//! One entry as the journal keeps it, and how it is read back.

use std::collections::BTreeMap;

use schemas::entry::{EntryState, LegKind};
use schemas::money::Currency;
use serde::{Deserialize, Serialize};
use sql::{Row, Tx, placeholders};
use uuid::Uuid;

use super::JournalError;

/// Identity of an entry, made before the first transaction so that a repeated one finds itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(String);

impl EntryId {
    /// A new id; time-ordered.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().simple().to_string())
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was made by the wall clock, milliseconds since 1970.
    pub fn made_ms(&self) -> i64 {
        self.0.get(..12).and_then(|ms| i64::from_str_radix(ms, 16).ok()).unwrap_or(0)
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parsed command of a transfer; what the fingerprint covers and the core is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Debited account.
    pub from_account: String,
    /// Credited account; another one than the debited.
    pub to_account: String,
    /// Positive minor units.
    pub amount_minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Text for the statement; personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remittance: Option<String>,
    /// What a newer Locum kept with it and this one does not know: such an entry can be read and confirmed, and is not sent.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl Transfer {
    /// Both legs, the debit first.
    pub fn legs(&self) -> [(LegKind, &str); 2] {
        [(LegKind::Debit, self.from_account.as_str()), (LegKind::Credit, self.to_account.as_str())]
    }
}

/// One write as the journal knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Identity.
    pub id: EntryId,
    /// Raised by every transition.
    pub version: i64,
    /// Whose key it is.
    pub principal: String,
    /// Operation, e.g. `transfer`.
    pub operation: String,
    /// The client's key.
    pub idempotency_key: String,
    /// Versioned hash of the command.
    pub fingerprint: Vec<u8>,
    /// Reference at the core, the same on every attempt.
    pub core_ref: String,
    /// What was asked for.
    pub command: Transfer,
    /// Where it stands.
    pub state: EntryState,
    /// Was queued or answered 202: keeps its place in its lanes until posted or terminal.
    pub ordered: bool,
    /// Evidence was found against its state.
    pub contradicted: bool,
    /// Of a refusal or decline.
    pub reason: Option<String>,
    /// The core's own number of the posting.
    pub core_id: Option<String>,
    /// When the customer acted, microseconds since 1970.
    pub accepted_us: i64,
    /// The core's business date then, days since 1970-01-01.
    pub business_day: i64,
    /// Last transition, microseconds since 1970.
    pub updated_us: i64,
}

/// Never prints the command: accounts and remittance are personal.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

pub(super) const COLUMNS: &str = "id, version, principal, operation, idempotency_key, fingerprint, core_ref, command, state, \
     ordered, contradicted, reason, core_id, accepted_us, business_day, updated_us";

/// What the column `state` says.
pub(super) fn state_of(row: &Row) -> Result<EntryState, JournalError> {
    EntryState::parse(row.get("state")?).ok_or(JournalError::Corrupt("state"))
}

impl Entry {
    /// Reads a row of a list in which one bad row must not hide the others.
    pub(super) fn read_or_complain(row: &Row) -> Option<Self> {
        let complain = |err: &JournalError| {
            let id: &str = row.get("id").unwrap_or_default();
            tracing::error!(entry = id, error = %err, "an entry of the journal cannot be read; it is passed over");
        };
        Self::read(row).inspect_err(complain).ok()
    }

    pub(super) fn read(row: &Row) -> Result<Self, JournalError> {
        let command: &[u8] = row.get("command")?;
        Ok(Self {
            id: EntryId(row.get("id")?),
            version: row.get("version")?,
            principal: row.get("principal")?,
            operation: row.get("operation")?,
            idempotency_key: row.get("idempotency_key")?,
            fingerprint: row.get("fingerprint")?,
            core_ref: row.get("core_ref")?,
            command: serde_json::from_slice(command).map_err(|_| JournalError::Corrupt("command"))?,
            state: state_of(row)?,
            ordered: row.get("ordered")?,
            contradicted: row.get("contradicted")?,
            reason: row.get("reason")?,
            core_id: row.get("core_id")?,
            accepted_us: row.get("accepted_us")?,
            business_day: row.get("business_day")?,
            updated_us: row.get("updated_us")?,
        })
    }
}

/// One leg as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub entry_id: EntryId,
    pub leg: i64,
    pub account: String,
    pub seq: i64,
    pub kind: LegKind,
    pub amount_minor: i64,
    pub currency: String,
    pub posting_no: Option<i64>,
    pub row_key: Option<String>,
    /// The hold has ended: absorbed by a served balance, or dropped without a posting.
    pub released: bool,
}

impl Leg {
    pub(super) const COLUMNS: &str =
        "entry_id, leg, account, seq, kind, amount_minor, currency, posting_no, row_key, released_at";

    pub(super) fn read(row: &Row) -> Result<Self, JournalError> {
        let kind: &str = row.get("kind")?;
        Ok(Self {
            entry_id: EntryId(row.get("entry_id")?),
            leg: row.get("leg")?,
            account: row.get("account")?,
            seq: row.get("seq")?,
            kind: LegKind::parse(kind).ok_or(JournalError::Corrupt("leg kind"))?,
            amount_minor: row.get("amount_minor")?,
            currency: row.get("currency")?,
            posting_no: row.get("posting_no")?,
            row_key: row.get("row_key")?,
            released: row.get::<Option<Vec<u8>>>("released_at")?.is_some(),
        })
    }
}

/// Most keys that one statement lists; more are asked for in pieces, in order. Engines refuse a statement of 32,767 values.
pub(super) const KEYS_PER_STATEMENT: usize = 500;

/// The legs of these entries, in order of entry and leg.
pub(super) async fn legs_of(tx: &mut Tx, ids: &[EntryId]) -> Result<Vec<Leg>, JournalError> {
    let columns = Leg::COLUMNS;
    let mut legs = Vec::new();
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let list = placeholders(ids.len());
        let sql = format!("SELECT {columns} FROM legs WHERE entry_id IN ({list}) ORDER BY entry_id, leg");
        for row in tx.query(&sql, ids.iter().map(|id| id.as_str().into()).collect()).await? {
            legs.push(Leg::read(&row)?);
        }
    }
    Ok(legs)
}

/// These entries, locked, and the SQL server's now in microseconds; `ids` are in order, and so are the locks.
pub(super) async fn lock_entries(tx: &mut Tx, ids: &[EntryId]) -> Result<(Vec<Entry>, i64), JournalError> {
    let (mut entries, mut now_us) = (Vec::new(), 0);
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let list = placeholders(ids.len());
        let sql =
            format!("SELECT {COLUMNS}, {{now_ms}} AS now_ms FROM entries WHERE id IN ({list}) ORDER BY id FOR UPDATE");
        for row in tx.query(&sql, ids.iter().map(|id| id.as_str().into()).collect()).await? {
            now_us = row.get::<i64>("now_ms")?.saturating_mul(1_000);
            entries.push(Entry::read(&row)?);
        }
    }
    Ok((entries, now_us))
}
