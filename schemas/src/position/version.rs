//! The version of a row: bytes whose order is the order of the core's changes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::SourcePosition;
use crate::debezium::{ChangeEvent, Op, SourceBlock};

/// Largest number of a binary log's file that a version holds; servers stop at 2^31.
pub const FILE_MAX: u64 = u32::MAX as u64;
/// Largest offset in a binary log's file that a version holds.
pub const OFFSET_MAX: u64 = (1 << 48) - 1;
/// Largest place of a change in its transaction that a version holds.
pub const TOTAL_ORDER_MAX: u64 = (1 << 40) - 1;

/// Marks versions of this layout. The first layout had a zero byte here: its versions sort before all of this one.
const BINLOG: u8 = 1;
/// Rows of PostgreSQL's snapshots.
const WAL_SNAPSHOT: u8 = 1;
/// Streamed changes of PostgreSQL: later than every row of a snapshot.
const WAL_STREAMED: u8 = 2;

/// The version of a row: opaque bytes whose byte order is the source's order. `VARBINARY(26)` in SQL, hex in Redis.
///
/// Layout, big-endian, after 4 bytes of generation:
/// - MariaDB and MySQL: mark 1 | file 4 | offset 6 | streamed 1 | order in the transaction 5 | row 4 | rank 1.
/// - PostgreSQL: mark and phase 1 | commit before the transaction 8 | LSN 8 | order in the transaction 4 | rank 1.
///
/// Of a key change's delete and create at one place the create is later: rank is 0 for a delete, else 1. Versions are
/// comparable within one source only. Why they are so: ADR 0014.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; Version::LEN]);

/// Bytes or hex that are no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected {} bytes", Version::LEN)]
pub struct VersionError;

impl Version {
    /// Length in bytes, the same for every connector.
    pub const LEN: usize = 26;

    /// The version that an event gives its row in a generation.
    pub fn from_event(generation: u32, event: &ChangeEvent<'_>) -> Self {
        let order = event.transaction.as_ref().map_or(0, |transaction| transaction.total_order);
        Self::at(generation, &event.source, order, event.op)
    }

    /// A binary log is read under a lock that makes a snapshot's place exact: its rows sort at that place, immediately
    /// before the changes there. Changes at one place are ordered by the transaction first and by the row second, because
    /// in a compressed transaction each statement begins to count its rows anew.
    ///
    /// PostgreSQL streams transactions in commit order, and their changes' own positions interleave: so the commit before
    /// the transaction is the major key. Its snapshot names a place that a transaction may have passed which is streamed
    /// nevertheless, so a streamed change beats every row of a snapshot.
    pub(super) fn at(generation: u32, source: &SourceBlock<'_>, total_order: u64, op: Op) -> Self {
        let streamed = !source.snapshot.is_snapshot();
        let mut bytes = Layout::new(generation);
        match &source.position {
            SourcePosition::Binlog { file, pos, row, .. } => {
                bytes.push::<1>(BINLOG.into());
                bytes.push::<4>(*file);
                bytes.push::<6>(*pos);
                bytes.push::<1>(streamed.into());
                bytes.push::<5>(total_order);
                bytes.push::<4>((*row).into());
            }
            SourcePosition::Wal { lsn, commit_lsn } => {
                let commit = commit_lsn.unwrap_or(0);
                let (mark, major, minor) =
                    if streamed { (WAL_STREAMED, commit, *lsn) } else { (WAL_SNAPSHOT, commit.max(*lsn), 0) };
                bytes.push::<1>(mark.into());
                bytes.push::<8>(major);
                bytes.push::<8>(minor);
                bytes.push::<4>(total_order);
            }
        }
        bytes.push::<1>((op != Op::Delete).into());
        Self(bytes.bytes)
    }

    /// The lowest version of a generation: nothing seen yet.
    pub fn floor(generation: u32) -> Self {
        Self(Layout::new(generation).bytes)
    }

    /// The bytes, in order.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The reverse of [`Version::as_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VersionError> {
        bytes.try_into().map(Self).map_err(|_| VersionError)
    }

    /// Lower-case hex, in the same order as the bytes.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        self.0.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
    }

    /// The reverse of [`Version::to_hex`]; upper-case digits are refused, because they would sort elsewhere.
    pub fn from_hex(hex: &str) -> Result<Self, VersionError> {
        let hex = hex.as_bytes();
        if hex.len() != 2 * Self::LEN {
            return Err(VersionError);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(VersionError),
        };
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// The generation it belongs to.
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::from_hex(&hex).map_err(de::Error::custom)
    }
}

/// A version being written, field by field.
struct Layout {
    bytes: [u8; Version::LEN],
    at: usize,
}

impl Layout {
    fn new(generation: u32) -> Self {
        let mut layout = Self { bytes: [0; Version::LEN], at: 0 };
        layout.push::<4>(generation.into());
        layout
    }

    /// Writes a number into `N` bytes. The decoder refuses what does not fit; here it saturates, so that it never wraps.
    fn push<const N: usize>(&mut self, number: u64) {
        let largest = if N < 8 { (1u64 << (8 * N)) - 1 } else { u64::MAX };
        let all = number.min(largest).to_be_bytes();
        if let (Some(place), Some(tail)) = (self.bytes.get_mut(self.at..self.at + N), all.get(8 - N..)) {
            place.copy_from_slice(tail);
        }
        self.at += N;
    }
}
