//! Documents and marks as Redis keeps them, in JSON.

use schemas::model::{Account, AccountState, Balance};
use schemas::money::Currency;
use schemas::position::Version;
use serde::{Deserialize, Serialize};

use crate::rows::{AccountDocument, Versioned};
use crate::source::SourceStatus;

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    source: String,
    account_id: String,
    version: String,
    customer_id: String,
    currency: Currency,
    state: String,
    product: Option<String>,
    balance: Option<StoredBalance>,
}

#[derive(Serialize, Deserialize)]
struct StoredBalance {
    version: String,
    currency: Currency,
    booked_minor: i64,
    overdraft_line_minor: i64,
    core_holds_minor: i64,
    last_posting: Option<i64>,
}

/// JSON of a document.
pub(crate) fn encode(document: &AccountDocument) -> Option<Vec<u8>> {
    let account = &document.account.row;
    let balance = document.balance.as_ref().map(|balance| StoredBalance {
        version: balance.version.to_hex(),
        currency: balance.row.currency,
        booked_minor: balance.row.booked_minor,
        overdraft_line_minor: balance.row.overdraft_line_minor,
        core_holds_minor: balance.row.core_holds_minor,
        last_posting: balance.row.last_posting,
    });
    let stored = StoredDocument {
        source: document.source.clone(),
        account_id: account.account_id.clone(),
        version: document.account.version.to_hex(),
        customer_id: account.customer_id.clone(),
        currency: account.currency,
        state: account.state.as_str().to_owned(),
        product: account.product.clone(),
        balance,
    };
    serde_json::to_vec(&stored).ok()
}

/// The reverse of [`encode`]; `None` for whatever it did not write.
pub(crate) fn decode(json: &[u8]) -> Option<AccountDocument> {
    let stored: StoredDocument = serde_json::from_slice(json).ok()?;
    let account = Account {
        account_id: stored.account_id.clone(),
        customer_id: stored.customer_id,
        currency: stored.currency,
        state: AccountState::parse(&stored.state)?,
        product: stored.product,
    };
    let balance = match stored.balance {
        None => None,
        Some(balance) => Some(Versioned {
            version: Version::from_hex(&balance.version).ok()?,
            row: Balance {
                account_id: stored.account_id,
                currency: balance.currency,
                booked_minor: balance.booked_minor,
                overdraft_line_minor: balance.overdraft_line_minor,
                core_holds_minor: balance.core_holds_minor,
                last_posting: balance.last_posting,
            },
        }),
    };
    let account = Versioned { row: account, version: Version::from_hex(&stored.version).ok()? };
    Some(AccountDocument { source: stored.source, account, balance })
}

#[derive(Serialize, Deserialize)]
struct StoredStatus {
    source: String,
    generation: u32,
    rebuilding: Option<u32>,
    identity: Option<String>,
    loaded: bool,
    as_of_ms: Option<i64>,
    watermark: String,
    applied_seq: i64,
    events_applied: i64,
    events_behind: Option<i64>,
    halted: Option<String>,
    token: i64,
}

/// JSON of a source's status.
pub(crate) fn encode_status(status: &SourceStatus) -> Option<Vec<u8>> {
    let status = status.clone();
    let stored = StoredStatus {
        source: status.source,
        generation: status.generation,
        rebuilding: status.rebuilding,
        identity: status.identity,
        loaded: status.loaded,
        as_of_ms: status.as_of_ms,
        watermark: status.watermark.to_hex(),
        applied_seq: status.applied_seq,
        events_applied: status.events_applied,
        events_behind: status.events_behind,
        halted: status.halted,
        token: status.token,
    };
    serde_json::to_vec(&stored).ok()
}

/// The reverse of [`encode_status`].
pub(crate) fn decode_status(json: &[u8]) -> Option<SourceStatus> {
    let stored: StoredStatus = serde_json::from_slice(json).ok()?;
    Some(SourceStatus {
        source: stored.source,
        generation: stored.generation,
        rebuilding: stored.rebuilding,
        identity: stored.identity,
        loaded: stored.loaded,
        as_of_ms: stored.as_of_ms,
        watermark: Version::from_hex(&stored.watermark).ok()?,
        applied_seq: stored.applied_seq,
        events_applied: stored.events_applied,
        events_behind: stored.events_behind,
        halted: stored.halted,
        token: stored.token,
    })
}
