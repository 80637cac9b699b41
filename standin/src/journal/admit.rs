//! Admission: one SQL transaction for whatever writes arrived together.

mod opening;
mod owners;
mod places;
mod proposal;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use failpoints::{ADMIT_BEFORE_COMMIT, Flaw, flawed, reached};
use schemas::entry::EntryState;
use sql::Tx;

use opening::Opening;
pub(super) use owners::Owners;
use places::Inserts;
pub(super) use places::use_up;
pub(super) use proposal::readmit;
use proposal::{decision_record, proposal};

use super::lanes::LockedLanes;
use super::moment::Moment;
use crate::admission::{CoreBelief, Decision, decide, path};
use crate::calendar::Calendar;
use crate::entry::{Entry, EntryId, Transfer};
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::facts::{Facts, KnownAccounts};
use crate::journal::shared::Shared;
use crate::lane::GLOBAL_LANE;
use crate::reference::{may_meet, reference};
use crate::rules::{Order, Path, Reason, Rulebook};
use crate::write::Write;

/// The read model's schema generation that new rows carry; swaps of generations come with re-snapshots.
const GENERATION: i64 = 1;
/// An entry's version as admitted.
const FIRST_VERSION: i64 = 1;

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Journalled now, as Submitting, Queued or Declined.
    Fresh(Box<Entry>),
    /// This key with this command was journalled before.
    Known(Box<Entry>),
    /// This key was used for another command, that of this entry.
    KeyReused(EntryId),
    /// The account to be debited is not there, or not this principal's. No key was consumed.
    NoSuchAccount,
    /// One of its accounts is unclear: nothing is known of it yet, so nothing can be decided. No key was consumed.
    NotLoaded,
}

type Key = (String, String, String);

fn key_of(write: &Write) -> Key {
    (write.principal.clone(), write.operation.clone(), write.idempotency_key.clone())
}

impl Shared {
    /// Admits these writes in one transaction, answers in their order. A write repeated after an unknown commit finds itself.
    ///
    /// `met` counts how often the reference of such a write was found to be another entry's.
    pub(in crate::journal) async fn admit_together(
        &self,
        instance: &Instance,
        writes: Vec<Write>,
        met: u32,
    ) -> Result<Vec<Admitted>, JournalError> {
        let (facts, core, instance) = (self.facts.clone(), self.core.clone(), instance.clone());
        let (references, calendar, owners) = (self.references.clone(), self.calendar.clone(), self.owners.clone());
        self.db
            .transaction(move |tx| {
                Box::pin(async move {
                    let may_meet = may_meet(&references, met);
                    let reference = |id: &EntryId| reference(&references, id, met);
                    let (calendar, owners) = (&*calendar, &*owners);
                    let reference = (&reference as &(dyn Fn(&EntryId) -> String + Send + Sync), may_meet);
                    let mut batch = Batch { tx, facts, core, instance, calendar, owners, reference };
                    let admitted = batch.admit(&writes).await;
                    reached(ADMIT_BEFORE_COMMIT);
                    admitted
                })
            })
            .await
    }
}

/// One admission transaction.
struct Batch<'t> {
    tx: &'t mut Tx,
    facts: Arc<dyn Facts>,
    core: Arc<str>,
    instance: Instance,
    calendar: &'t Calendar,
    owners: &'t Owners,
    /// What an entry is known by at the core, and whether two entries may meet in it.
    reference: (&'t (dyn Fn(&EntryId) -> String + Send + Sync), bool),
}

impl Batch<'_> {
    async fn admit(&mut self, writes: &[Write]) -> Result<Vec<Admitted>, JournalError> {
        let mut opening = Opening::read(self.tx, writes).await?;
        let undecided: Vec<&Write> = writes.iter().filter(|write| !opening.knows(write)).collect();
        let (accounts, unclear) = self.accounts_to_lock(&undecided).await?;
        let global = global_lane(&undecided, &opening.book).filter(|_| !accounts.is_empty());
        let mut lanes = LockedLanes::lock(self.tx, accounts.iter().cloned().chain(global)).await?;
        // Read with the lanes locked. Whatever absorbs a hold needs these locks too, so balance and holds fit together.
        let mut facts = self.facts.read(self.tx, &accounts).await?;
        // What was unclear when the lanes were chosen stays so for this transaction.
        facts.unclear.extend(unclear);
        // The SQL server's moment, for every gateway: a wrong clock of a host neither frees nor closes a day's limit.
        let moment = Moment::of(self.calendar, opening.now_us)?;

        let mut inserts = Inserts::default();
        let mut admitted = Vec::with_capacity(writes.len());
        for write in writes {
            let book = (&opening.book, moment);
            let outcome = match (opening.known.get(&key_of(write)), opening.archived(write)) {
                (Some(entry), _) => recognise(write, entry),
                (None, Some(kept)) if kept.is_of(write)? => Admitted::Known(Box::new(kept.entry(write)?)),
                (None, Some(kept)) => Admitted::KeyReused(kept.id()?),
                (None, None) => decide_one(write, &facts, book, &mut lanes, &mut inserts, self.reference.0)?,
            };
            if let Admitted::Fresh(entry) = &outcome {
                opening.known.insert(key_of(write), (**entry).clone());
            }
            admitted.push(outcome);
        }
        inserts.write(self.tx, &self.core, &self.instance, self.reference.1).await?;
        for outcome in &mut admitted {
            if let Admitted::Fresh(entry) = outcome {
                entry.lane_version = lanes.version_after(&entry.command.from_account);
            }
        }
        lanes.store(self.tx).await?;
        self.owners.learn(&accounts, &facts);
        Ok(admitted)
    }

    /// The accounts of these writes whose lanes are needed, and those that are unclear. Whose they are is read only where no admission
    /// before this one has seen it.
    async fn accounts_to_lock(&mut self, writes: &[&Write]) -> Result<(Vec<String>, HashSet<String>), JournalError> {
        let all = accounts(writes.iter().copied());
        if self.owners.vouch_for(writes.iter().copied()) {
            return Ok((all, HashSet::new()));
        }
        let before = self.facts.read(self.tx, &all).await?;
        let needed = accounts_to_lock(writes.iter().copied(), &before);
        Ok((needed.into_iter().map(str::to_owned).collect(), before.unclear))
    }
}

/// The lane of all accounts, if one of these writes takes a place in it.
fn global_lane(writes: &[&Write], book: &Rulebook) -> Option<String> {
    let is_global = |write: &&Write| book.rules.of(&write.operation).order == Order::Global;
    writes.iter().any(is_global).then(|| GLOBAL_LANE.to_owned())
}

/// The accounts that these writes touch, in binary order.
fn accounts<'w>(writes: impl Iterator<Item = &'w Write>) -> Vec<String> {
    let accounts: BTreeSet<&str> = writes.flat_map(|write| write.command.legs().map(|(_, account)| account)).collect();
    accounts.into_iter().map(str::to_owned).collect()
}

/// The accounts of these writes whose lanes are needed. Strangers create and lock nothing.
///
/// An account to be credited needs no row in our data where the core may be asked: it decides whether there is such an account.
fn accounts_to_lock<'w>(writes: impl Iterator<Item = &'w Write>, facts: &KnownAccounts) -> BTreeSet<&'w str> {
    let allowed = writes.filter(|write| may_debit(write, facts));
    let known = |account: &str| facts.accounts.contains_key(account);
    allowed
        .flat_map(|write| write.command.legs().map(|(_, account)| (write, account)))
        .filter(|(write, account)| write.belief == CoreBelief::Available || known(account))
        .map(|(_, account)| account)
        .collect()
}

fn decide_one(
    write: &Write,
    facts: &KnownAccounts,
    (book, moment): (&Rulebook, Moment),
    lanes: &mut LockedLanes,
    inserts: &mut Inserts,
    reference: &dyn Fn(&EntryId) -> String,
) -> Result<Admitted, JournalError> {
    let Transfer { from_account, to_account, amount_minor, .. } = &write.command;
    if *amount_minor <= 0 || from_account == to_account {
        // A negative debit would be a gift. An entry with one lane twice would wait for itself for ever.
        return Err(JournalError::Malformed("a transfer moves a positive amount between two accounts"));
    }
    if [from_account, to_account].iter().any(|account| *account == GLOBAL_LANE) {
        return Ok(Admitted::NoSuchAccount);
    }
    if facts.unclear.contains(from_account) {
        // Whose account it is must be known on every path.
        return Ok(Admitted::NotLoaded);
    }
    if !may_debit(write, facts) {
        return Ok(Admitted::NoSuchAccount);
    }
    let proposal = proposal(write, facts, lanes, moment);
    let rules = book.rules.of(&write.operation);
    let path = path(&proposal, write.belief, &rules);
    if path == Path::StandIn && facts.unclear.contains(to_account) {
        return Ok(Admitted::NotLoaded);
    }
    let decision = decide(&proposal, &book.limits, &rules, path);
    let kept = decision_record(&write.command, &proposal, facts, book, path, decision)?;
    let (state, ordered, reason) = match decision {
        Decision::Direct => (EntryState::Submitting, false, None),
        Decision::Wait => (EntryState::Queued, false, None),
        Decision::Queue => (EntryState::Queued, true, None),
        Decision::Decline(reason) => (EntryState::Declined, false, Some(reason)),
    };
    if state != EntryState::Declined {
        inserts.take_places(write, (state, ordered), (moment.business_day, &rules), lanes)?;
    }
    let entry = entry_of(write, reference(&write.id), (state, ordered), reason, moment);
    inserts.push(entry.clone(), kept);
    Ok(Admitted::Fresh(Box::new(entry)))
}

/// Is the account to be debited there, and the principal's?
fn may_debit(write: &Write, facts: &KnownAccounts) -> bool {
    let debited = facts.accounts.get(&write.command.from_account);
    debited.is_some_and(|sheet| write.grant.covers(&sheet.customer_id))
}

/// The answer to a key that is there already: the same command gets its entry.
///
/// If the id is ours, our own COMMIT had landed. The entry is fresh only at its first version, and only a fresh one is
/// sent: after that a replayer or a sweep has it.
fn recognise(write: &Write, entry: &Entry) -> Admitted {
    if entry.fingerprint != write.fingerprint {
        Admitted::KeyReused(entry.id.clone())
    } else if (entry.id == write.id || flawed(Flaw::KnownIsFresh)) && entry.version == FIRST_VERSION {
        Admitted::Fresh(Box::new(entry.clone()))
    } else {
        Admitted::Known(Box::new(entry.clone()))
    }
}

fn entry_of(
    write: &Write,
    core_ref: String,
    (state, ordered): (EntryState, bool),
    reason: Option<Reason>,
    Moment { now_us, business_day }: Moment,
) -> Entry {
    Entry {
        id: write.id.clone(),
        version: FIRST_VERSION,
        principal: write.principal.clone(),
        operation: write.operation.clone(),
        idempotency_key: write.idempotency_key.clone(),
        fingerprint: write.fingerprint.clone(),
        core_ref,
        command: write.command.clone(),
        state,
        ordered,
        contradicted: false,
        reason: reason.map(|reason| reason.code().to_owned()),
        core_id: None,
        reserved_day: None,
        accepted_us: now_us,
        business_day,
        updated_us: now_us,
        lane_version: None,
    }
}
