//! Admission: one SQL transaction for whatever writes arrived together.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use failpoints::{ADMIT_BEFORE_COMMIT, reached};
use schemas::entry::{EntryState, LegKind};
use sql::{Tx, params, rows};

use super::lanes::LockedLanes;
use super::record::{COLUMNS, Entry, EntryId, Transfer};
use super::{FactSheet, Facts, Instance, Journal, JournalError, controls};
use crate::admission::{CoreBelief, Decision, Proposal, ProposedLeg, decide};
use crate::lane::{Lane, delta};
use crate::rules::{Limits, Reason};

/// The read model's schema generation that new rows carry; swaps of generations come with re-snapshots.
const GENERATION: i64 = 1;

/// Whose accounts a principal may debit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Customers {
    /// Only accounts of these customers.
    These(Vec<String>),
    /// The embedded demo's open door, and operators.
    Any,
}

impl Customers {
    fn include(&self, customer: &str) -> bool {
        match self {
            Customers::These(customers) => customers.iter().any(|c| c == customer),
            Customers::Any => true,
        }
    }
}

/// A well-formed write to be admitted.
#[derive(Clone)]
pub struct Write {
    /// Made by the caller, so that a repeated transaction finds itself.
    pub id: EntryId,
    /// Whose key it is.
    pub principal: String,
    /// Operation, e.g. `transfer`.
    pub operation: String,
    /// The client's key.
    pub idempotency_key: String,
    /// Versioned hash of the parsed command and its path parameters.
    pub fingerprint: Vec<u8>,
    /// What is asked for.
    pub command: Transfer,
    /// Whose accounts may be debited.
    pub customers: Customers,
    /// What the gateway believes of the core.
    pub belief: CoreBelief,
    /// When the customer acted, microseconds since 1970.
    pub accepted_us: i64,
    /// The core's business date, days since 1970-01-01.
    pub business_day: i64,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Journalled now, as Submitting, Queued or Declined.
    Fresh(Box<Entry>),
    /// This key with this command was journalled before.
    Known(Box<Entry>),
    /// This key was used for another command.
    KeyReused,
    /// The account to be debited is not there, or not this principal's. No key was consumed.
    NoSuchAccount,
    /// The read model was never loaded: nothing can be decided. No key was consumed.
    NotLoaded,
}

type Key = (String, String, String);

fn key_of(write: &Write) -> Key {
    (write.principal.clone(), write.operation.clone(), write.idempotency_key.clone())
}

impl Journal {
    /// Admits these writes in one transaction, answers in their order. A write repeated after an unknown commit finds itself.
    pub(super) async fn admit_together(
        &self,
        instance: &Instance,
        writes: Vec<Write>,
    ) -> Result<Vec<Admitted>, JournalError> {
        let (facts, core, instance) = (self.facts.clone(), self.core.clone(), instance.clone());
        self.db
            .transaction(move |tx| {
                Box::pin(async move {
                    let mut batch = Batch { tx, facts, core, instance };
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
}

/// What the batch writes in the end.
#[derive(Default)]
struct Inserts {
    entries: Vec<(Entry, EntryState)>,
    legs: Vec<(EntryId, i64, String, i64, LegKind, i64, String)>,
}

impl Batch<'_> {
    async fn admit(&mut self, writes: &[Write]) -> Result<Vec<Admitted>, JournalError> {
        let mut known = self.look_up(writes).await?;
        let wanted = self.accounts_of_new(writes, &known, None);
        let before = self.facts.read(self.tx, &wanted).await?;
        // A lane only for accounts that exist, asked for by whoever may: strangers create and lock nothing.
        let accounts = self.accounts_of_new(writes, &known, Some(&before));
        let mut lanes = LockedLanes::lock(self.tx, accounts.iter().cloned()).await?;
        // Only now, with the lanes locked: whatever absorbs a hold needs these locks too, so balance and holds fit together.
        let facts = self.facts.read(self.tx, &accounts).await?;
        let limits = controls::limits_in(self.tx).await?;

        let mut inserts = Inserts::default();
        let mut admitted = Vec::with_capacity(writes.len());
        for write in writes {
            let outcome = match known.get(&key_of(write)) {
                Some(entry) => recognise(write, entry),
                None => self.decide_one(write, &facts, &limits, &mut lanes, &mut inserts)?,
            };
            if let Admitted::Fresh(entry) = &outcome {
                known.insert(key_of(write), (**entry).clone());
            }
            admitted.push(outcome);
        }
        self.insert(inserts).await?;
        lanes.store(self.tx).await?;
        Ok(admitted)
    }

    /// Entries that carry one of these keys. An optimisation: the unique index decides who was first.
    async fn look_up(&mut self, writes: &[Write]) -> Result<HashMap<Key, Entry>, JournalError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE (principal, operation, idempotency_key) IN ({})",
            match self.tx.dialect() {
                sql::Dialect::MySql => rows(writes.len(), 3),
                sql::Dialect::Sqlite => format!("VALUES {}", rows(writes.len(), 3)),
            }
        );
        let keys = writes.iter().flat_map(|w| params![&w.principal, &w.operation, &w.idempotency_key]).collect();
        let found = self.tx.query(&sql, keys).await?;
        let entries: Vec<Entry> = found.iter().map(Entry::read).collect::<Result<_, _>>()?;
        let key = |e: &Entry| (e.principal.clone(), e.operation.clone(), e.idempotency_key.clone());
        Ok(entries.into_iter().map(|entry| (key(&entry), entry)).collect())
    }

    /// Accounts that the new writes touch; with `facts`, only those that exist and may be touched.
    fn accounts_of_new(&self, writes: &[Write], known: &HashMap<Key, Entry>, facts: Option<&FactSheet>) -> Vec<String> {
        let new = writes.iter().filter(|write| !known.contains_key(&key_of(write)));
        let allowed = new.filter(|write| facts.is_none_or(|facts| may_debit(write, facts)));
        let accounts: BTreeSet<&str> =
            allowed.flat_map(|write| write.command.legs().map(|(_, account)| account)).collect();
        let exists = |account: &&str| facts.is_none_or(|facts| facts.accounts.contains_key(*account));
        accounts.into_iter().filter(exists).map(str::to_owned).collect()
    }

    fn decide_one(
        &self,
        write: &Write,
        facts: &FactSheet,
        limits: &Limits,
        lanes: &mut LockedLanes,
        inserts: &mut Inserts,
    ) -> Result<Admitted, JournalError> {
        if !facts.loaded {
            return Ok(Admitted::NotLoaded);
        }
        if !may_debit(write, facts) {
            return Ok(Admitted::NoSuchAccount);
        }
        let decision = decide(&proposal(write, facts, lanes)?, limits, write.belief);
        let (state, ordered, reason) = match decision {
            Decision::Direct => (EntryState::Submitting, false, None),
            Decision::Queue => (EntryState::Queued, true, None),
            Decision::Decline(reason) => (EntryState::Declined, false, Some(reason)),
        };
        if state != EntryState::Declined {
            take_places(write, (state, ordered), lanes, inserts)?;
        }
        let entry = entry_of(write, state, ordered, reason);
        inserts.entries.push((entry.clone(), state));
        Ok(Admitted::Fresh(Box::new(entry)))
    }

    async fn insert(&mut self, inserts: Inserts) -> Result<(), JournalError> {
        let Inserts { entries, legs } = inserts;
        if entries.is_empty() {
            return Ok(());
        }
        let attempts: Vec<&Entry> =
            entries.iter().filter(|(_, state)| *state == EntryState::Submitting).map(|(e, _)| e).collect();
        let attempt_rows: Vec<_> = attempts
            .iter()
            .map(|e| params![e.id.as_str(), 1, &self.instance.id, self.instance.boot, e.accepted_us])
            .collect();
        let leg_rows: Vec<_> = legs
            .iter()
            .map(|(id, n, account, seq, kind, amount, currency)| {
                // A credit never counts as a hold: it is released below every version from the start.
                let released: Option<&[u8]> = if *kind == LegKind::Credit { Some(b"") } else { None };
                params![id.as_str(), *n, account, *seq, 1, kind.as_str(), *amount, currency, released]
            })
            .collect();
        let mut entry_rows = Vec::with_capacity(entries.len());
        let mut log_rows = Vec::with_capacity(entries.len());
        for (e, _) in &entries {
            let command = serde_json::to_vec(&e.command).map_err(|_| JournalError::Corrupt("command"))?;
            entry_rows.push(params![
                e.id.as_str(),
                GENERATION,
                e.version,
                &e.principal,
                &e.operation,
                &e.idempotency_key,
                e.fingerprint.clone(),
                &*self.core,
                &e.core_ref,
                command,
                e.state.as_str(),
                e.ordered,
                0,
                e.reason.clone(),
                e.accepted_us,
                e.business_day,
                e.updated_us
            ]);
            log_rows.push(params![
                e.id.as_str(),
                e.version,
                e.updated_us,
                e.state.as_str(),
                "admitted",
                &self.instance.id
            ]);
        }
        self.insert_rows(
            "INSERT INTO entries (id, generation, version, principal, operation, idempotency_key, fingerprint, core, \
             core_ref, command, state, ordered, contradicted, reason, accepted_us, business_day, updated_us) VALUES",
            entry_rows,
        )
        .await?;
        self.insert_rows(
            "INSERT INTO legs (entry_id, leg, account, seq, open, kind, amount_minor, currency, released_at) VALUES",
            leg_rows,
        )
        .await?;
        self.insert_rows("INSERT INTO attempts (entry_id, n, owner, boot, started_us) VALUES", attempt_rows).await?;
        self.insert_rows("INSERT INTO transitions (entry_id, version, at_us, state, evidence, actor) VALUES", log_rows)
            .await
    }

    async fn insert_rows(&mut self, head: &str, values: Vec<Vec<sql::Value>>) -> Result<(), JournalError> {
        let Some(width) = values.first().map(Vec::len) else { return Ok(()) };
        let sql = format!("{head} {}", rows(values.len(), width));
        self.tx.exec(&sql, values.into_iter().flatten().collect()).await?;
        Ok(())
    }
}

fn may_debit(write: &Write, facts: &FactSheet) -> bool {
    let debited = facts.accounts.get(&write.command.from_account);
    debited.is_some_and(|sheet| write.customers.include(&sheet.customer_id))
}

/// The answer to a key that is there already: the same command gets its entry, its own id means that our commit had landed.
fn recognise(write: &Write, entry: &Entry) -> Admitted {
    if entry.fingerprint != write.fingerprint {
        Admitted::KeyReused
    } else if entry.id == write.id {
        Admitted::Fresh(Box::new(entry.clone()))
    } else {
        Admitted::Known(Box::new(entry.clone()))
    }
}

fn entry_of(write: &Write, state: EntryState, ordered: bool, reason: Option<Reason>) -> Entry {
    Entry {
        id: write.id.clone(),
        version: 1,
        principal: write.principal.clone(),
        operation: write.operation.clone(),
        idempotency_key: write.idempotency_key.clone(),
        fingerprint: write.fingerprint.clone(),
        core_ref: write.id.core_ref(),
        command: write.command.clone(),
        state,
        ordered,
        contradicted: false,
        reason: reason.map(|reason| reason.code().to_owned()),
        core_id: None,
        accepted_us: write.accepted_us,
        business_day: write.business_day,
        updated_us: write.accepted_us,
    }
}

/// Takes a sequence number, a count and a hold in every lane of the write; stand-in's usage too when it is queued.
fn take_places(
    write: &Write,
    standing: (EntryState, bool),
    lanes: &mut LockedLanes,
    inserts: &mut Inserts,
) -> Result<(), JournalError> {
    for (n, (kind, account)) in (0..).zip(write.command.legs()) {
        let lane = lanes.get_mut(account)?;
        let seq = lane.next_seq;
        lane.next_seq += 1;
        if standing.0 == EntryState::Queued && kind == LegKind::Debit {
            use_up(lane, write.business_day, write.command.amount_minor)?;
        }
        lanes.add(account, delta(None, standing, kind, write.command.amount_minor, false))?;
        let currency = write.command.currency.code().to_owned();
        inserts.legs.push((write.id.clone(), n, account.to_owned(), seq, kind, write.command.amount_minor, currency));
    }
    Ok(())
}

/// Counts a debit that stand-in accepted against its day.
pub(super) fn use_up(lane: &mut Lane, business_day: i64, amount_minor: i64) -> Result<(), JournalError> {
    let used = lane.usage.on(business_day).plus(amount_minor);
    lane.usage = used.ok_or(JournalError::Corrupt("usage out of range"))?;
    Ok(())
}

fn proposal<'a>(write: &Write, facts: &'a FactSheet, lanes: &'a LockedLanes) -> Result<Proposal<'a>, JournalError> {
    static EMPTY: std::sync::LazyLock<Lane> = std::sync::LazyLock::new(Lane::default);
    let legs = write.command.legs().map(|(kind, account)| {
        let sheet = facts.accounts.get(account);
        let lane = if sheet.is_some() { lanes.get(account)? } else { &EMPTY };
        Ok(ProposedLeg { kind, lane, account: sheet.map(|sheet| &sheet.facts) })
    });
    let age_us = facts.as_of_us.map_or(i64::MAX, |as_of| write.accepted_us.saturating_sub(as_of));
    Ok(Proposal {
        amount_minor: write.command.amount_minor,
        currency: write.command.currency,
        legs: legs.into_iter().collect::<Result<_, JournalError>>()?,
        business_day: write.business_day,
        data_age_s: age_us.max(0) / 1_000_000,
    })
}

/// The decision about an entry that was provably not sent: a new admission in stand-in, by the lanes as they are now.
pub(super) fn readmit(
    entry: &Entry,
    facts: &FactSheet,
    limits: &Limits,
    lanes: &LockedLanes,
    now_us: i64,
) -> Result<Decision, JournalError> {
    let write = Write {
        id: entry.id.clone(),
        principal: entry.principal.clone(),
        operation: entry.operation.clone(),
        idempotency_key: entry.idempotency_key.clone(),
        fingerprint: entry.fingerprint.clone(),
        command: entry.command.clone(),
        customers: Customers::Any,
        belief: CoreBelief::Away,
        accepted_us: now_us,
        business_day: entry.business_day,
    };
    let mut proposal = proposal(&write, facts, lanes)?;
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
    Ok(decide(&proposal, limits, CoreBelief::Away))
}
