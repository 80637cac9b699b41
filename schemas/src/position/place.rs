//! The place of a row among the source's transactions: which postings a balance includes where the core numbers none (ADR 0041).

use std::fmt;

use sha2::{Digest, Sha256};

use super::SourcePosition;
use crate::debezium::ChangeEvent;

/// Bytes of the generation.
const GENERATION: usize = 4;
/// Bytes of generation and order together; behind them stands the name of the transaction.
const ORDERED: usize = 15;

/// Rows of PostgreSQL's snapshots.
const WAL_SNAPSHOT: u8 = 1;
/// Streamed changes of PostgreSQL: later than every row of a snapshot.
const WAL_STREAMED: u8 = 2;

/// Where a row stands among the transactions of its source: 31 bytes, stored beside the row.
///
/// Layout, big-endian: generation 4 | order 11 | name of the transaction 16. The order is file 4, offset 6 and streamed 1 of a
/// binary log; phase 1 and commit before the transaction 8 of PostgreSQL. Comparable within one source only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionPlace([u8; TransactionPlace::LEN]);

/// Why a streamed change has no place among the source's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The event tells no transaction.
    #[error(
        "a change without its source transaction: set provide.transaction.metadata=true in the connector, and let it write a \
         snapshot under a new topic.prefix"
    )]
    Missing,
    /// What it tells names none.
    #[error(
        "an id that names no source transaction (PostgreSQL: a number before the colon, otherwise a text): such events come from \
         no connector that this mapping is for"
    )]
    Unknown,
}

/// What SQL compares stored places with, to find the postings that a balance includes.
///
/// Included is a place that is at least `from` and either below `below`, or has the name `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The beginning of the balance's generation.
    pub from: Vec<u8>,
    /// The beginning of the balance's own order: whatever sorts before it is of an earlier transaction.
    pub below: Vec<u8>,
    /// The name of the balance's transaction.
    pub name: Vec<u8>,
}

impl TransactionPlace {
    /// Length in bytes, the same for every connector.
    pub const LEN: usize = 31;
    /// Where the name of the transaction begins, counted from 1 as SQL does.
    pub const NAME_FROM: usize = ORDERED + 1;

    /// The place that an event gives its row in a generation.
    pub fn from_event(generation: u32, event: &ChangeEvent<'_>) -> Result<Self, PlaceError> {
        let position = &event.source.position;
        if event.source.snapshot.is_snapshot() {
            return Ok(Self::snapshot(generation, position));
        }
        let transaction = event.transaction.as_ref().ok_or(PlaceError::Missing)?;
        Self::streamed(generation, position, &transaction.id)
    }

    /// The place of a streamed change of this transaction; `id` as the event has it.
    ///
    /// PostgreSQL's id is `XID:LSN` with the LSN of each operation, so what stands behind the colon is not looked at. XIDs are
    /// used again, so one names a transaction only together with its place in the order.
    pub fn streamed(generation: u32, position: &SourcePosition<'_>, id: &str) -> Result<Self, PlaceError> {
        let ordered = ordered(generation, position, true);
        match position {
            SourcePosition::Binlog { .. } if id.is_empty() => Err(PlaceError::Unknown),
            SourcePosition::Binlog { .. } => Ok(Self::named(ordered, &[b"t", &ordered[..GENERATION], id.as_bytes()])),
            SourcePosition::Wal { .. } => {
                let xid = xid(id).ok_or(PlaceError::Unknown)?;
                Ok(Self::named(ordered, &[b"x", &ordered, &xid.to_be_bytes()]))
            }
        }
    }

    /// The place of a row that a snapshot read. All rows read at one place count as one transaction.
    pub fn snapshot(generation: u32, position: &SourcePosition<'_>) -> Self {
        let ordered = ordered(generation, position, false);
        Self::named(ordered, &[b"s", &ordered])
    }

    fn named(ordered: [u8; ORDERED], name: &[&[u8]]) -> Self {
        let digest: [u8; 32] = Sha256::digest(name.concat()).into();
        let mut bytes = [0; Self::LEN];
        bytes[..ORDERED].copy_from_slice(&ordered);
        bytes[ORDERED..].copy_from_slice(&digest[..Self::LEN - ORDERED]);
        Self(bytes)
    }

    /// Does a balance with this place include a posting with that one? Each posting changes its account's balance in its own
    /// transaction, so it does if both are of one transaction, or the balance is of a later one. Nothing is known of another
    /// generation.
    pub fn includes(&self, posting: &Self) -> bool {
        let earlier = posting.0[..ORDERED] < self.0[..ORDERED];
        self.generation() == posting.generation() && (self.is_of(posting) || earlier)
    }

    /// Are both of one source transaction? Rows that a snapshot read at one place count as one.
    pub fn is_of(&self, other: &Self) -> bool {
        self.0[ORDERED..] == other.0[ORDERED..]
    }

    /// The place that is kept of a posting's row: the first that was seen in the newest generation. A later change of the row
    /// is no new posting.
    pub fn first_of(known: Option<Self>, seen: Option<Self>) -> Option<Self> {
        match (known, seen) {
            (Some(known), Some(seen)) if seen.generation() > known.generation() => Some(seen),
            (known, seen) => known.or(seen),
        }
    }

    /// The same question as [`TransactionPlace::includes`], for SQL.
    pub fn reach(&self) -> Reach {
        Reach {
            from: self.0[..GENERATION].to_vec(),
            below: self.0[..ORDERED].to_vec(),
            name: self.0[ORDERED..].to_vec(),
        }
    }

    /// The generation it belongs to.
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The reverse of [`TransactionPlace::as_bytes`]; none for another number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }
}

/// The debits of ours on one account that were sent and whose holds count, where balances tell by their source transactions what
/// they include.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenDebits {
    /// The row of at least one has not come in the generation that is served.
    pub any_without_row: bool,
    /// Where the rows of the others stand.
    pub booked: Vec<TransactionPlace>,
}

impl OpenDebits {
    /// May a balance of the account be served beside these holds? `next` = the next newer balance of the account in hand.
    ///
    /// Not while a debit's row is missing: the balance may include it, and nobody can tell. And of the transaction that booked a
    /// debit only its last balance: an earlier one need not include the debit yet. It is the last one once a later transaction has
    /// changed the account. All else waits until everything of its transaction is known to be applied.
    pub fn let_pass(&self, balance: &TransactionPlace, next: Option<&TransactionPlace>) -> bool {
        let books_none = || !self.booked.iter().any(|debit| debit.is_of(balance));
        let is_over = || next.is_some_and(|next| !next.is_of(balance));
        !self.any_without_row && (books_none() || is_over())
    }
}

impl fmt::Debug for TransactionPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Generation and order. What does not fit saturates; the decoder refuses it before.
fn ordered(generation: u32, position: &SourcePosition<'_>, streamed: bool) -> [u8; ORDERED] {
    let mut bytes = [0; ORDERED];
    bytes[..GENERATION].copy_from_slice(&generation.to_be_bytes());
    match position {
        SourcePosition::Binlog { file, pos, .. } => {
            let file = u32::try_from(*file).unwrap_or(u32::MAX);
            bytes[4..8].copy_from_slice(&file.to_be_bytes());
            bytes[8..14].copy_from_slice(&(*pos).min(super::OFFSET_MAX).to_be_bytes()[2..]);
            bytes[14] = streamed.into();
        }
        SourcePosition::Wal { lsn, commit_lsn } => {
            let commit = commit_lsn.unwrap_or(0);
            let (phase, major) = if streamed { (WAL_STREAMED, commit) } else { (WAL_SNAPSHOT, commit.max(*lsn)) };
            bytes[4] = phase;
            bytes[5..13].copy_from_slice(&major.to_be_bytes());
        }
    }
    bytes
}

/// The number before the colon, or all of it.
fn xid(id: &str) -> Option<u64> {
    let xid = id.split_once(':').map_or(id, |(xid, _)| xid);
    xid.bytes().all(|byte| byte.is_ascii_digit()).then(|| xid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
