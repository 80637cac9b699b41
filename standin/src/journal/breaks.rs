//! Breaks: findings of the change data against the journal, and how people settled them.

use sql::{Tx, params};

use crate::entry::EntryId;
use crate::journal::error::JournalError;

/// A row of the core whose reference is not true, as a person found: reference, leg, key.
pub(super) type FreedRow = (String, String, String);

/// How a break was settled whose row is not the entry's.
pub(super) const FREED: &str = "freed";
/// How a break was settled that the entry's own posting explains.
pub(super) const ADOPTED: &str = "adopted";

/// Instead of a row's key: a refusal that the core's books show.
pub(super) const REFUSAL_ROW: &str = "refusal";

/// Keeps a finding once; answers whether it is new. `leg` and `row_key` are empty where it is about no row.
pub(super) async fn keep_break(
    tx: &mut Tx,
    core_ref: &str,
    leg: &str,
    row_key: &str,
    finding: &str,
) -> Result<bool, JournalError> {
    let known = "SELECT id FROM breaks WHERE core_ref = ? AND leg = ? AND row_key = ?";
    if tx.query_opt(known, params![core_ref, leg, row_key]).await?.is_some() {
        return Ok(false);
    }
    tracing::error!(core_ref, leg, finding, "the core's books and the journal disagree");
    let now_us = tx.host().now_us();
    tx.exec(
        "INSERT INTO breaks (id, at_us, core_ref, leg, row_key, finding) VALUES (?, ?, ?, ?, ?, ?)",
        params![EntryId::generate().as_str(), now_us, core_ref, leg, row_key, finding],
    )
    .await?;
    Ok(true)
}

/// Settles the breaks of one reference about these rows (leg and key). A freed row that was no break before is kept as a settled
/// one: its change event may come again.
pub(super) async fn settle_breaks(
    tx: &mut Tx,
    core_ref: &str,
    rows: &[(String, String)],
    how: &str,
) -> Result<(), JournalError> {
    let now_us = tx.host().now_us();
    for (leg, row_key) in rows {
        let update = "UPDATE breaks SET settled_us = ?, settled_as = ? WHERE core_ref = ? AND leg = ? AND row_key = ?";
        let settled = tx.exec(update, params![now_us, how, core_ref, leg, row_key]).await?;
        if settled == 0 && how == FREED {
            tx.exec(
                "INSERT INTO breaks (id, at_us, core_ref, leg, row_key, finding, settled_us, settled_as) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                params![EntryId::generate().as_str(), now_us, core_ref, leg, row_key, "not this entry's", now_us, how],
            )
            .await?;
        }
    }
    Ok(())
}
