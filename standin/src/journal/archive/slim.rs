//! The slim row that stays of an archived entry: it answers for its key and for its reference.

use schemas::entry::{EntryState, Evidence, LegKind, Verdict, weigh};
use sha2::{Digest, Sha256};
use sql::{Row, Tx, Value, listed, params};

use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::handles::GatewayJournal;
use crate::journal::postings::LegSeen;
use crate::journal::record::state_of;
use crate::journal::shared::Shared;
use crate::write::Write;

/// Columns of the table, those last that the pass adds.
pub(super) const COLUMNS: &[&str] = &[
    "entry_id",
    "key_hash",
    "principal",
    "operation",
    "fingerprint",
    "core",
    "core_ref",
    "state",
    "ordered",
    "reason",
    "version",
    "accepted_us",
    "ended_us",
    "sent",
    "debit_row",
    "credit_row",
    "until_us",
    "file",
];

/// The slim row of an entry, without the columns that the pass adds. `sent`: its reference may have reached the core.
pub(super) fn row(entry: &Entry, core: &str, sent: bool, rows_seen: (Option<&str>, Option<&str>)) -> Vec<Value> {
    let Entry { id, principal, operation, idempotency_key, .. } = entry;
    params![
        id.as_str(),
        key_hash(principal, operation, idempotency_key),
        principal,
        operation,
        entry.fingerprint.clone(),
        core,
        &entry.core_ref,
        entry.state.as_str(),
        entry.ordered,
        entry.reason.clone(),
        entry.version,
        entry.accepted_us,
        entry.updated_us,
        sent,
        rows_seen.0.map(row_hash),
        rows_seen.1.map(row_hash)
    ]
}

/// What a key is found by. Lengths keep its parts apart.
fn key_hash(principal: &str, operation: &str, key: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [principal, operation, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// What a row of the core is recognised by.
fn row_hash(row_key: &str) -> Vec<u8> {
    Sha256::digest(row_key)[..16].to_vec()
}

/// What a channel may still learn of an archived entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedEntry {
    /// Which entry.
    pub id: EntryId,
    /// Whose it is.
    pub principal: String,
    /// Reference at the core.
    pub core_ref: String,
    /// Its final state.
    pub state: EntryState,
    /// Stand-in took it.
    pub ordered: bool,
    /// Of a refusal or decline.
    pub reason: Option<String>,
    /// When the customer acted, microseconds since 1970.
    pub accepted_us: i64,
    /// When it ended, microseconds since 1970.
    pub ended_us: i64,
    /// The file that holds it.
    pub file: String,
}

impl ArchivedEntry {
    fn read(row: &Row) -> Result<Self, JournalError> {
        Ok(Self {
            id: EntryId::stored(row.get("entry_id")?),
            principal: row.get("principal")?,
            core_ref: row.get("core_ref")?,
            state: state_of(row)?,
            ordered: row.get("ordered")?,
            reason: row.get("reason")?,
            accepted_us: row.get("accepted_us")?,
            ended_us: row.get("ended_us")?,
            file: row.get("file")?,
        })
    }
}

const SHOWN: &str = "entry_id, principal, core_ref, state, ordered, reason, accepted_us, ended_us, file";

impl Shared {
    /// See [`GatewayJournal::archived`].
    pub(in crate::journal) async fn archived(&self, id: &EntryId) -> Result<Option<ArchivedEntry>, JournalError> {
        let sql = format!("SELECT {SHOWN} FROM archived_entries WHERE entry_id = ?");
        self.db.query(&sql, params![id.as_str()]).await?.first().map(ArchivedEntry::read).transpose()
    }
}

impl GatewayJournal {
    /// What stayed of an archived entry. Ask for the entry first: it may be archived between the two.
    pub async fn archived(&self, id: &EntryId) -> Result<Option<ArchivedEntry>, JournalError> {
        self.0.archived(id).await
    }

    /// The archived entry of this principal's key, while the key is honoured.
    pub async fn archived_by_key(
        &self,
        principal: &str,
        operation: &str,
        key: &str,
    ) -> Result<Option<ArchivedEntry>, JournalError> {
        let sql = format!(
            "SELECT {SHOWN} FROM archived_entries WHERE key_hash = ? AND until_us > {{now_ms}} * 1000 \
             ORDER BY until_us DESC LIMIT 1"
        );
        let rows = self.0.db.query(&sql, params![key_hash(principal, operation, key)]).await?;
        rows.first().map(ArchivedEntry::read).transpose()
    }
}

/// The columns of an admission's look for keys that only archived entries have: none of them.
pub(in crate::journal) const OF_NO_KEY: &str = "NULL AS key_hash, NULL AS until_us";
/// The same look among archived entries, up to its list; columns as those of an entry, of no control, and of the key.
pub(in crate::journal) const OF_KEYS: &str = "SELECT entry_id, version, principal, operation, NULL, \
     fingerprint, core_ref, NULL, state, ordered, 0, reason, NULL, NULL, accepted_us, 0, ended_us, NULL, NULL, NULL, NULL, key_hash, until_us FROM archived_entries WHERE key_hash IN";

/// Text and values of the list of that look.
pub(in crate::journal) fn keys_of<'w>(writes: impl Iterator<Item = &'w Write>) -> (String, Vec<Value>) {
    listed(writes.map(|write| key_hash(&write.principal, &write.operation, &write.idempotency_key)))
}

/// An archived entry as its key is answered from.
pub(in crate::journal) struct Kept {
    row: Row,
    key_hash: Vec<u8>,
    until_us: i64,
}

impl Kept {
    /// `None`: the row is not of an archived entry.
    pub(in crate::journal) fn read(row: &Row) -> Result<Option<Self>, JournalError> {
        let Some(key_hash) = row.get::<Option<Vec<u8>>>("key_hash")? else { return Ok(None) };
        Ok(Some(Self { row: row.clone(), key_hash, until_us: row.get("until_us")? }))
    }

    /// Is it of this write's key, and is the key honoured now?
    pub(in crate::journal) fn answers(&self, write: &Write, now_us: i64) -> bool {
        self.until_us > now_us && self.key_hash == key_hash(&write.principal, &write.operation, &write.idempotency_key)
    }

    pub(in crate::journal) fn id(&self) -> Result<EntryId, JournalError> {
        Ok(EntryId::stored(self.row.get("id")?))
    }

    /// Was the key used for this very command?
    pub(in crate::journal) fn is_of(&self, write: &Write) -> Result<bool, JournalError> {
        Ok(self.row.get::<&[u8]>("fingerprint")? == write.fingerprint)
    }

    /// The entry as it ended, with the command of a write that repeats it.
    pub(in crate::journal) fn entry(&self, write: &Write) -> Result<Entry, JournalError> {
        let row = &self.row;
        Ok(Entry {
            id: self.id()?,
            version: row.get("version")?,
            principal: write.principal.clone(),
            operation: write.operation.clone(),
            idempotency_key: write.idempotency_key.clone(),
            fingerprint: write.fingerprint.clone(),
            core_ref: row.get("core_ref")?,
            command: write.command.clone(),
            state: state_of(row)?,
            ordered: row.get("ordered")?,
            contradicted: false,
            reason: row.get("reason")?,
            core_id: None,
            reserved_day: None,
            accepted_us: row.get("accepted_us")?,
            business_day: 0,
            updated_us: row.get("updated_us")?,
            lane_version: None,
        })
    }
}

/// A confirmation's look for references among archived entries, up to its list; columns as those of its look among entries.
pub(in crate::journal) const OF_REFERENCES: &str = "SELECT a.entry_id, a.core_ref, b.leg, b.row_key, a.state, \
     a.debit_row, a.credit_row FROM archived_entries a LEFT JOIN breaks b ON b.core_ref = a.core_ref AND b.settled_as = ? WHERE a.core = ? AND a.core_ref IN";

/// What an archived entry says to rows that come late.
pub(in crate::journal) struct Ended {
    id: EntryId,
    state: EntryState,
    debit_row: Option<Vec<u8>>,
    credit_row: Option<Vec<u8>>,
}

impl Ended {
    /// `None`: the row is not of an archived entry.
    pub(in crate::journal) fn read(row: &Row) -> Result<Option<Self>, JournalError> {
        if row.get::<Option<&str>>("state")?.is_none() {
            return Ok(None);
        }
        let (debit_row, credit_row) = (row.get("debit_row")?, row.get("credit_row")?);
        let id = EntryId::stored(row.get("id")?);
        Ok(Some(Self { id, state: state_of(row)?, debit_row, credit_row }))
    }

    /// What a row says that carries its reference. The row that booked it may come any number of times.
    pub(in crate::journal) fn says(&self, row: &LegSeen) -> Late {
        let known = match row.kind {
            LegKind::Debit => &self.debit_row,
            LegKind::Credit => &self.credit_row,
        };
        match known {
            _ if weigh(self.state, Evidence::AllLegsSeen) == Verdict::Contradicts => {
                Late::Wrong("booked in a state that must not post; the entry is archived")
            }
            None => Late::First,
            Some(known) if *known == row_hash(&row.row_key) => Late::Nothing,
            Some(_) => Late::Wrong("booked twice; the entry is archived"),
        }
    }

    /// Answers what is wrong with a row, if anything is. The first row of a leg is kept, so that a second one is told.
    pub(in crate::journal) async fn hear(
        &mut self,
        tx: &mut Tx,
        row: &LegSeen,
    ) -> Result<Option<&'static str>, JournalError> {
        match self.says(row) {
            Late::Nothing => return Ok(None),
            Late::Wrong(finding) => return Ok(Some(finding)),
            Late::First => {}
        }
        let (column, known) = match row.kind {
            LegKind::Debit => ("debit_row", &mut self.debit_row),
            LegKind::Credit => ("credit_row", &mut self.credit_row),
        };
        let hash = row_hash(&row.row_key);
        let keep = format!("UPDATE archived_entries SET {column} = ? WHERE entry_id = ? AND {column} IS NULL");
        if tx.exec(&keep, params![hash.clone(), self.id.as_str()]).await? != 1 {
            return Err(JournalError::Lost("the row of an archived entry changed meanwhile"));
        }
        *known = Some(hash);
        Ok(None)
    }
}

/// What a row says that comes after its entry was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Late {
    /// Nothing new: it is the row that booked the leg.
    Nothing,
    /// It is the first row of a leg that a person vouched for.
    First,
    /// What is wrong with it.
    Wrong(&'static str),
}

#[cfg(test)]
mod tests {
    use schemas::money::Currency;

    use super::*;

    fn seen(kind: LegKind, row_key: &str) -> LegSeen {
        LegSeen {
            core_ref: "r".into(),
            kind,
            account: "a".into(),
            amount_minor: 1,
            currency: Currency::parse("EUR").unwrap(),
            posting_no: Some(1),
            place: None,
            row_key: row_key.into(),
        }
    }

    #[test]
    fn the_parts_of_a_key_are_not_mixed_up() {
        assert_ne!(key_hash("a", "bc", "d"), key_hash("ab", "c", "d"));
        assert_ne!(key_hash("a", "b", "cd"), key_hash("a", "bc", "d"));
        assert_eq!(key_hash("a", "b", "c").len(), 32);
    }

    #[test]
    fn the_row_that_booked_an_archived_entry_says_nothing_and_any_other_row_is_told() {
        let id = EntryId::generate();
        let ended = |state| Ended { id: id.clone(), state, debit_row: Some(row_hash("a/1")), credit_row: None };
        let confirmed = ended(EntryState::Confirmed);
        assert_eq!(confirmed.says(&seen(LegKind::Debit, "a/1")), Late::Nothing);
        assert!(matches!(confirmed.says(&seen(LegKind::Debit, "a/2")), Late::Wrong(_)));
        assert_eq!(confirmed.says(&seen(LegKind::Credit, "b/1")), Late::First, "a person vouched for it");
        for state in EntryState::ALL.into_iter().filter(|state| state.is_terminal() && *state != EntryState::Confirmed)
        {
            assert!(matches!(ended(state).says(&seen(LegKind::Debit, "a/1")), Late::Wrong(_)), "{state}");
        }
    }
}
