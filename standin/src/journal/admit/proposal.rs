//! From a write, its facts and its lanes to the question that the pure rules answer.

use schemas::entry::LegKind;
use schemas::grant::Grant;

use crate::admission::{BalancePlace, CoreBelief, Decision, Proposal, ProposedLeg, decide, record};
use crate::entry::{Entry, Transfer};
use crate::journal::error::JournalError;
use crate::journal::facts::{KnownAccount, KnownAccounts};
use crate::journal::lanes::LockedLanes;
use crate::journal::moment::Moment;
use crate::lane::{GLOBAL_LANE, Lane};
use crate::rules::{Path, Reason, Rulebook};
use crate::write::Write;

/// `moment` is the SQL server's, whichever gateway asks.
pub(super) fn proposal<'a>(
    write: &Write,
    facts: &'a KnownAccounts,
    lanes: &'a LockedLanes,
    moment: Moment,
) -> Proposal<'a> {
    // The lane of an account without one: nothing was ever accepted there.
    static EMPTY: std::sync::LazyLock<Lane> = std::sync::LazyLock::new(Lane::default);
    let legs = write.command.legs().map(|(kind, account)| {
        let sheet = facts.accounts.get(account);
        let visible = match sheet {
            Some(sheet) => write.grant.covers(&sheet.customer_id),
            None => write.grant == Grant::Any,
        };
        let lane = lanes.get(account).unwrap_or(&EMPTY);
        ProposedLeg { kind, lane, account: sheet.map(|sheet| &sheet.facts), visible }
    });
    // A source time ahead of now is as bad as one that is as far behind.
    let age_us = facts.as_of_us(&write.command).map(|as_of| moment.now_us.saturating_sub(as_of).saturating_abs());
    Proposal {
        amount_minor: write.command.amount_minor,
        currency: write.command.currency,
        legs: legs.into(),
        global: lanes.get(GLOBAL_LANE).ok(),
        business_day: moment.business_day,
        data_age_s: age_us.map(|us| us / 1_000_000),
    }
}

/// What a decision rested on, to be kept with its entry.
pub(super) fn decision_record(
    command: &Transfer,
    proposal: &Proposal<'_>,
    facts: &KnownAccounts,
    book: &Rulebook,
    path: Path,
    decision: Decision,
) -> Result<Vec<u8>, JournalError> {
    let place = |sheet: &KnownAccount| BalancePlace {
        last_posting: Some(sheet.last_posting).filter(|number| *number != i64::MIN),
        balance_version: hex(&sheet.balance_version),
    };
    let places = command.legs().map(|(_, account)| facts.accounts.get(account).map(place)).into();
    let kept = record(proposal, places, book.limits_version, path, decision);
    kept.map_err(|_| JournalError::Corrupt("decision"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The decision about an entry that was provably not sent: a new admission in stand-in, by the lanes as they are now.
pub(in crate::journal) fn readmit(
    entry: &Entry,
    facts: &KnownAccounts,
    book: &Rulebook,
    lanes: &LockedLanes,
    now_us: i64,
) -> Result<(Decision, Vec<u8>), JournalError> {
    let write = Write {
        id: entry.id.clone(),
        principal: entry.principal.clone(),
        operation: entry.operation.clone(),
        idempotency_key: entry.idempotency_key.clone(),
        fingerprint: entry.fingerprint.clone(),
        command: entry.command.clone(),
        // The account was the principal's at admission. The grant is not kept, so no reason is shown about other accounts.
        grant: Grant::customers([""; 0]),
        belief: CoreBelief::Away,
    };
    // Its day stays the one that it was admitted on, and that the core is told.
    let mut proposal = proposal(&write, facts, lanes, Moment { now_us, business_day: entry.business_day });
    // Its own hold is in the lane already and must not count against it.
    let freed: Vec<Lane> = proposal
        .legs
        .iter()
        .map(|leg| match leg.kind {
            LegKind::Debit => Lane { held_minor: leg.lane.held_minor - entry.command.amount_minor, ..leg.lane.clone() },
            LegKind::Credit => leg.lane.clone(),
        })
        .collect();
    for (leg, lane) in proposal.legs.iter_mut().zip(&freed) {
        leg.lane = lane;
    }
    let decision = match facts.leaves_open(&entry.command) {
        true => Decision::Decline(Reason::DataTooOld),
        false => decide(&proposal, &book.limits, &book.rules.of(&entry.operation), Path::StandIn),
    };
    let kept = decision_record(&entry.command, &proposal, facts, book, Path::StandIn, decision)?;
    Ok((decision, kept))
}
