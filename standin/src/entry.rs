//! An entry: one write, as the journal knows it.

use std::collections::BTreeMap;

use schemas::entry::{EntryState, LegKind};
use schemas::money::Currency;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

    /// As it is stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
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
    /// Fields that a newer Locum kept and this one does not know. Such an entry can be read and confirmed. It is not sent.
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
    /// May have been answered 202: keeps its place in its lanes until posted or terminal.
    pub ordered: bool,
    /// Evidence was found against its state.
    pub contradicted: bool,
    /// Of a refusal or decline.
    pub reason: Option<String>,
    /// The core's own number of the posting.
    pub core_id: Option<String>,
    /// The lane's day on which its promise is only reserved, because the core was there; given back when the core decides.
    pub reserved_day: Option<i64>,
    /// When the customer acted, microseconds since 1970.
    pub accepted_us: i64,
    /// The core's business date then, days since 1970-01-01.
    pub business_day: i64,
    /// Last transition, microseconds since 1970.
    pub updated_us: i64,
    /// Of the debited account's lane, as the transaction left it that this comes from; `None` where the entry was merely read.
    pub lane_version: Option<i64>,
}

/// Never prints the command: accounts and remittance are personal.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}
