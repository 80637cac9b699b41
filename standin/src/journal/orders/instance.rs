//! An instance that will not come back: its state directory or its host is lost, so no successor can end its attempts.

use sql::{Tx, params};

use super::Carrying;
use super::Done;
use super::Order;
use crate::journal::attempts::attempts_of_gone;
use crate::journal::audit;
use crate::journal::error::JournalError;
use crate::journal::instances::{DECLARED_GONE, end_abandoned};
use crate::journal::objection::Objection;

/// Ends the attempts of one life of an identity. A sign of life since it was looked at is [`Objection::Changed`].
pub(super) async fn declare_gone(
    tx: &mut Tx,
    carrying: &Carrying<'_>,
    order: &Order,
    (id, boot, beats): (&str, i64, i64),
) -> Result<Done, JournalError> {
    if audit::is_done(tx, carrying.id).await? {
        return Ok(Done::AttemptsEnded(Vec::new()));
    }
    let abandoned = attempts_of_gone(tx, id, boot).await?;
    let ended = end_abandoned(tx, abandoned, carrying.by, DECLARED_GONE).await?;
    let gone = "UPDATE instances SET gone_boot = boot WHERE id = ? AND boot = ? AND beats = ?";
    if tx.exec(gone, params![id, boot, beats]).await? != 1 {
        return Err(Objection::Changed.into());
    }
    carrying.audit(tx, order).await?;
    Ok(Done::AttemptsEnded(ended))
}
