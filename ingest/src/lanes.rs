//! How much a batch locks: an admission that needs one of its lanes waits until the batch is committed.

use std::collections::BTreeSet;

use schemas::model::{Entity, LegEvidence};
use sql::Tx;

use crate::apply_error::ApplyError;
use crate::confirm::{Confirm, Locks};
use crate::prepared::{Prepared, accounts_of};

/// Lanes that an apply of several records locks at most; one that would lock more is cut before it has locked any. A single
/// record is applied in any case: it concerns few accounts.
pub const LANES_MAX: usize = 200;

/// Entries that an apply of several records confirms at most: however few its lanes are, they are locked while all of these are written.
pub const ENTRIES_MAX: usize = 64;

/// Fails where the batch must be cut. `evidence` = all that its confirmation is told.
pub(crate) async fn bounded(
    tx: &mut Tx,
    confirm: &dyn Confirm,
    prepared: &Prepared,
    evidence: &[LegEvidence],
) -> Result<(), ApplyError> {
    if prepared.size() <= 1 {
        return Ok(());
    }
    let mut accounts = accounts_of(evidence);
    let of_accounts = prepared.changes.iter().filter(|c| matches!(c.entity, Entity::Account | Entity::Balance));
    accounts.extend(of_accounts.map(|change| change.key.clone()));
    let references: BTreeSet<&str> = evidence.iter().map(|evidence| evidence.core_ref.as_str()).collect();
    // Each reference brings one more account at most: that of its other leg. A refusal brings its entry with both.
    let refused = prepared.refusals.len();
    let (most_lanes, most_entries) = (accounts.len() + references.len() + 2 * refused, references.len() + refused);
    if most_lanes <= LANES_MAX && most_entries <= ENTRIES_MAX {
        return Ok(());
    }
    // Other systems refuse under references of their own, and those lock nothing.
    let refused = confirm.unrefused(tx, &prepared.refusals).await.map_err(ApplyError::Confirm)?.len();
    let accounts: Vec<String> = accounts.into_iter().collect();
    let Locks { lanes, entries } = confirm.locks(tx, evidence, &accounts).await.map_err(ApplyError::Confirm)?;
    let crowded = lanes + 2 * refused > LANES_MAX || entries + refused > ENTRIES_MAX;
    if crowded { Err(ApplyError::LocksTooMuch) } else { Ok(()) }
}
