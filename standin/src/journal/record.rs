//! How entries and legs are stored, and read back.

use schemas::entry::{EntryState, LegKind};
use schemas::position::TransactionPlace;
use sql::{Row, Tx, listed};

use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::lane::PlacedLeg;

pub(super) const COLUMNS: &str = "id, version, principal, operation, idempotency_key, fingerprint, core_ref, command, state, \
     ordered, contradicted, reason, core_id, reserved_day, accepted_us, business_day, updated_us";

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
            id: EntryId::stored(row.get("id")?),
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
            reserved_day: row.get("reserved_day")?,
            accepted_us: row.get("accepted_us")?,
            business_day: row.get("business_day")?,
            updated_us: row.get("updated_us")?,
            lane_version: None,
        })
    }
}

/// What `legs.kind` says of a place in the lane of all accounts.
pub(super) const PLACE_ONLY: &str = "place";

/// One leg as the journal keeps it, or a place in the lane of all accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub entry_id: EntryId,
    pub leg: i64,
    pub account: String,
    pub seq: i64,
    /// `None`: it moves no money. It is the entry's place in the lane of all accounts.
    pub kind: Option<LegKind>,
    /// It has a place in the order of its lane.
    pub in_order: bool,
    pub amount_minor: i64,
    pub currency: String,
    pub posting_no: Option<i64>,
    /// Of the row that booked it, where the core numbers nothing.
    pub booked_place: Option<TransactionPlace>,
    pub row_key: Option<String>,
    /// The hold has ended: absorbed by a served balance, or dropped without a posting.
    pub released: bool,
}

impl Leg {
    /// Is it known where the row that books it stands? Otherwise no balance can be asked whether it includes the leg.
    pub(super) fn is_placed(&self) -> bool {
        self.posting_no.is_some() || self.booked_place.is_some()
    }

    /// As its lane counts it.
    pub(super) fn placed(&self) -> PlacedLeg {
        let Self { kind, amount_minor, in_order, released, .. } = *self;
        kind.map_or(PlacedLeg::PLACE_ONLY, |kind| PlacedLeg { kind, amount_minor, in_order, absorbed: released })
    }

    pub(super) const COLUMNS: &str = "entry_id, leg, account, seq, kind, in_order, amount_minor, currency, posting_no, booked_place, row_key, released_at";

    pub(super) fn read(row: &Row) -> Result<Self, JournalError> {
        let kind: &str = row.get("kind")?;
        Ok(Self {
            entry_id: EntryId::stored(row.get("entry_id")?),
            leg: row.get("leg")?,
            account: row.get("account")?,
            seq: row.get("seq")?,
            kind: match kind {
                PLACE_ONLY => None,
                kind => Some(LegKind::parse(kind).ok_or(JournalError::Corrupt("leg kind"))?),
            },
            in_order: row.get("in_order")?,
            amount_minor: row.get("amount_minor")?,
            currency: row.get("currency")?,
            posting_no: row.get("posting_no")?,
            booked_place: place(row)?,
            row_key: row.get("row_key")?,
            released: row.get::<Option<Vec<u8>>>("released_at")?.is_some(),
        })
    }
}

/// Where the row that booked a leg stands, if that is known.
pub(super) fn place(row: &Row) -> Result<Option<TransactionPlace>, JournalError> {
    let bytes: Option<&[u8]> = row.get("booked_place")?;
    let read = |bytes| TransactionPlace::from_bytes(bytes).ok_or(JournalError::Corrupt("place of a leg"));
    bytes.map(read).transpose()
}

/// Most keys in one statement; more are asked for in pieces, in order. Engines refuse a statement of 32,767 values.
pub(super) const KEYS_PER_STATEMENT: usize = 500;

/// The legs of these entries, in order of entry and leg.
pub(super) async fn legs_of(tx: &mut Tx, ids: &[EntryId]) -> Result<Vec<Leg>, JournalError> {
    let columns = Leg::COLUMNS;
    let mut legs = Vec::new();
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let (list, keys) = listed(ids.iter().map(EntryId::as_str));
        let sql = format!("SELECT {columns} FROM legs WHERE entry_id IN ({list}) ORDER BY entry_id, leg");
        for row in tx.query(&sql, keys).await? {
            legs.push(Leg::read(&row)?);
        }
    }
    Ok(legs)
}

/// These entries, locked, and the SQL server's now in microseconds; `ids` are in order, and so are the locks.
pub(super) async fn lock_entries(tx: &mut Tx, ids: &[EntryId]) -> Result<(Vec<Entry>, i64), JournalError> {
    let (mut entries, mut now_us) = (Vec::new(), 0);
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let (list, keys) = listed(ids.iter().map(EntryId::as_str));
        let sql =
            format!("SELECT {COLUMNS}, {{now_ms}} AS now_ms FROM entries WHERE id IN ({list}) ORDER BY id FOR UPDATE");
        for row in tx.query(&sql, keys).await? {
            now_us = row.get::<i64>("now_ms")?.saturating_mul(1_000);
            entries.push(Entry::read(&row)?);
        }
    }
    Ok((entries, now_us))
}
