//! What an admission writes: its places in the lanes first, all its rows in the end.

use schemas::entry::{EntryState, LegKind};
use sql::{Insert, Tx, Value, listed, params};

use super::GENERATION;
use crate::entry::{Entry, EntryId};
use crate::instance::Instance;
use crate::journal::attempts::{self, Beginner, FIRST_ATTEMPT};
use crate::journal::error::JournalError;
use crate::journal::lanes::LockedLanes;
use crate::journal::record::PLACE_ONLY;
use crate::lane::{GLOBAL_LANE, Lane, PlacedLeg, delta};
use crate::rules::{OperationRules, Order};
use crate::write::Write;

const ENTRIES: &[&str] = &[
    "id",
    "generation",
    "version",
    "principal",
    "operation",
    "idempotency_key",
    "fingerprint",
    "core",
    "core_ref",
    "command",
    "state",
    "ordered",
    "contradicted",
    "reason",
    "accepted_us",
    "business_day",
    "updated_us",
    "decision",
];
const LEGS: &[&str] =
    &["entry_id", "leg", "account", "seq", "open", "in_order", "kind", "amount_minor", "currency", "released_at"];

/// Number of the place in the lane of all accounts among the legs of an entry: behind its own.
const GLOBAL_PLACE: i64 = 100;

/// The rows of one batch.
#[derive(Default)]
pub(super) struct Inserts {
    /// Each with the record of its decision.
    entries: Vec<(Entry, Vec<u8>)>,
    legs: Vec<Vec<Value>>,
}

impl Inserts {
    /// Takes a sequence number and a hold in every lane of the write, and a count in those whose order it joins; stand-in's usage too when
    /// it promises.
    pub(super) fn take_places(
        &mut self,
        write: &Write,
        state: (EntryState, bool),
        (business_day, rules): (i64, &OperationRules),
        lanes: &mut LockedLanes,
    ) -> Result<(), JournalError> {
        let amount_minor = write.command.amount_minor;
        if rules.order == Order::Global {
            self.take_global_place(write, state, lanes)?;
        }
        for (n, (kind, account)) in (0_i64..).zip(write.command.legs()) {
            let lane = lanes.get_mut(account)?;
            let seq = lane.next_seq;
            lane.next_seq += 1;
            if state == (EntryState::Queued, true) && kind == LegKind::Debit {
                use_up(lane, business_day, amount_minor)?;
            }
            let in_order = rules.in_order(kind);
            lanes.add(account, delta(None, state, &PlacedLeg { kind, amount_minor, in_order, absorbed: false }))?;
            // A credit never counts as a hold: it is released below every version from the start.
            let released: Option<&[u8]> = if kind == LegKind::Credit { Some(b"") } else { None };
            let (id, currency) = (write.id.as_str(), write.command.currency.code());
            // What is not in the order is never among the open places of its lane.
            let open = in_order;
            self.legs.push(params![
                id,
                n,
                account,
                seq,
                open,
                in_order,
                kind.as_str(),
                amount_minor,
                currency,
                released
            ]);
        }
        Ok(())
    }

    /// Takes a place in the lane of all accounts. It is stored like a leg that moves no money.
    fn take_global_place(
        &mut self,
        write: &Write,
        state: (EntryState, bool),
        lanes: &mut LockedLanes,
    ) -> Result<(), JournalError> {
        let lane = lanes.get_mut(GLOBAL_LANE)?;
        let seq = lane.next_seq;
        lane.next_seq += 1;
        lanes.add(GLOBAL_LANE, delta(None, state, &PlacedLeg::PLACE_ONLY))?;
        let (n, released): (i64, Option<&[u8]>) = (GLOBAL_PLACE, Some(b""));
        let (id, currency) = (write.id.as_str(), write.command.currency.code());
        self.legs.push(params![id, n, GLOBAL_LANE, seq, true, true, PLACE_ONLY, 0, currency, released]);
        Ok(())
    }

    /// Adds a new entry and what was decided about it on which grounds.
    pub(super) fn push(&mut self, entry: Entry, decision: Vec<u8>) {
        self.entries.push((entry, decision));
    }

    /// Writes everything; a direct entry's first attempt too, before a byte of it is sent.
    /// Where references `may_meet`, none may be that of an archived entry.
    pub(super) async fn write(
        self,
        tx: &mut Tx,
        core: &str,
        instance: &Instance,
        may_meet: bool,
    ) -> Result<(), JournalError> {
        let (mut entries, mut legs) = (Insert::new("entries", ENTRIES), Insert::new("legs", LEGS));
        for (entry, decision) in &self.entries {
            entries.push(entry_row(entry, decision, core)?);
        }
        self.legs.into_iter().for_each(|leg| legs.push(leg));
        let admitted: Vec<&Entry> = self.entries.iter().map(|(entry, _)| entry).collect();
        let direct = admitted.iter().filter(|entry| entry.state == EntryState::Submitting);
        let direct: Vec<EntryId> = direct.map(|entry| entry.id.clone()).collect();
        tx.insert(entries).await?;
        tx.insert(legs).await?;
        attempts::insert(tx, Beginner { instance, token: None }, (FIRST_ATTEMPT, None), &direct).await?;
        log_admitted(tx, &admitted, instance, may_meet).await
    }
}

/// The first line of each entry's history, from its row.
///
/// Here, after the rows are written, also references are compared with those of archived entries: what leaves the unique index meanwhile
/// is seen there.
async fn log_admitted(
    tx: &mut Tx,
    entries: &[&Entry],
    instance: &Instance,
    may_meet: bool,
) -> Result<(), JournalError> {
    if entries.is_empty() {
        return Ok(());
    }
    let (list, ids) = listed(entries.iter().map(|entry| entry.id.as_str()));
    let sql = format!(
        "INSERT INTO transitions (entry_id, version, at_us, state, evidence, actor) \
         SELECT id, version, updated_us, state, 'admitted', ? FROM entries WHERE id IN ({list}){}",
        if may_meet { NOT_OF_ARCHIVED } else { "" }
    );
    let values = params![instance.id.as_str()].into_iter().chain(ids).collect();
    match tx.exec(&sql, values).await? == entries.len() as u64 {
        true => Ok(()),
        // As if the unique index had said so.
        false if may_meet => Err(sql::Error::Duplicate.into()),
        false => Err(JournalError::Lost("an entry is missing")),
    }
}

const NOT_OF_ARCHIVED: &str = " AND NOT EXISTS \
     (SELECT 1 FROM archived_entries a WHERE a.core = entries.core AND a.core_ref = entries.core_ref)";

fn entry_row(e: &Entry, decision: &[u8], core: &str) -> Result<Vec<Value>, JournalError> {
    let command = serde_json::to_vec(&e.command).map_err(|_| JournalError::Corrupt("command"))?;
    Ok(params![
        e.id.as_str(),
        GENERATION,
        e.version,
        &e.principal,
        &e.operation,
        &e.idempotency_key,
        e.fingerprint.clone(),
        core,
        &e.core_ref,
        command,
        e.state.as_str(),
        e.ordered,
        0,
        e.reason.clone(),
        e.accepted_us,
        e.business_day,
        e.updated_us,
        decision
    ])
}

/// Counts a debit that stand-in accepted against its day.
pub(in crate::journal) fn use_up(lane: &mut Lane, business_day: i64, amount_minor: i64) -> Result<(), JournalError> {
    let used = lane.usage.on(business_day).plus(amount_minor);
    lane.usage = used.ok_or(JournalError::Corrupt("usage out of range"))?;
    Ok(())
}
