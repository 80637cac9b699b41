//! Places in the core's own log, and the versions of rows that follow from them.

use std::borrow::Cow;
use std::fmt;

use crate::debezium::{ChangeEvent, Op, Source};

/// A place in the core's log, as the connector states it. Order comes from [`Version`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePosition<'a> {
    /// MariaDB and MySQL: the binary log.
    Binlog {
        /// Number of the file: 3 for `mariadb-bin.000003`.
        file: u64,
        /// Offset of the event in the file.
        pos: u64,
        /// Row inside a multi-row event.
        row: u32,
        /// Global transaction id, for display and identity; never for order.
        gtid: Option<Cow<'a, str>>,
    },
    /// PostgreSQL: the write-ahead log.
    Wal {
        /// Position of the change itself.
        lsn: u64,
        /// Commit position of the transaction streamed before this one; unknown for the first after a start from nothing.
        commit_lsn: Option<u64>,
    },
}

impl fmt::Display for SourcePosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binlog { file, pos, row, .. } => write!(f, "{file:06}:{pos}/{row}"),
            Self::Wal { lsn, commit_lsn: Some(commit) } => write!(f, "{commit:X}:{lsn:X}"),
            Self::Wal { lsn, commit_lsn: None } => write!(f, "-:{lsn:X}"),
        }
    }
}

/// Which log positions count in. A change of it means another history: a new generation is needed.
///
/// PostgreSQL's source block names no timeline, so there a change must be noticed otherwise (positions going back).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogIdentity<'a> {
    /// Server that wrote the log; none where the event does not tell (snapshots, PostgreSQL).
    pub server_id: Option<u64>,
    /// Base name of the log's files, `mariadb-bin`; empty for PostgreSQL.
    pub log: Cow<'a, str>,
}

impl LogIdentity<'_> {
    /// False when both are known and differ. An event that does not tell agrees with any server.
    pub fn agrees_with(&self, other: &LogIdentity<'_>) -> bool {
        let servers_agree = match (self.server_id, other.server_id) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        servers_agree && self.log == other.log
    }

    /// Both pieces of knowledge together, to be kept by the ingester.
    pub fn into_owned(self) -> LogIdentity<'static> {
        LogIdentity { server_id: self.server_id, log: Cow::Owned(self.log.into_owned()) }
    }
}

/// The version of a row: opaque bytes whose byte order is the source's order. `VARBINARY(26)` in SQL, hex in Redis.
///
/// Layout, big-endian: generation 4 | position 8 + 8 | stream 1 (snapshot 0, streamed 1) | row 4 | rank 1 (delete 0, else 1).
/// A snapshot row so sorts immediately before streamed events at the position where it is valid, and of a key change's
/// delete and create at one place the create is later. Comparable within one source only.
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
        Self::at(generation, &event.source, event.op)
    }

    /// As [`Version::from_event`], for records that are no row events (truncations).
    ///
    /// PostgreSQL streams transactions in commit order, and their changes' own positions interleave: so the commit position
    /// before the transaction is the major key. A snapshot of a connector with history sorts after what it streamed and
    /// before what it will stream, whatever the log's end was: events between are not lost, only applied again.
    pub fn at(generation: u32, source: &Source<'_>, op: Op) -> Self {
        let snapshot = source.snapshot.is_snapshot();
        let (major, minor, row) = match &source.position {
            SourcePosition::Binlog { file, pos, row, .. } => (*file, *pos, *row),
            SourcePosition::Wal { lsn, commit_lsn } => (commit_lsn.unwrap_or(*lsn), if snapshot { 0 } else { *lsn }, 0),
        };
        Self::pack(generation, major, minor, !snapshot, row, op != Op::Delete)
    }

    /// The lowest version of a generation: nothing seen yet.
    pub fn floor(generation: u32) -> Self {
        Self::pack(generation, 0, 0, false, 0, false)
    }

    fn pack(generation: u32, major: u64, minor: u64, streamed: bool, row: u32, upsert: bool) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&generation.to_be_bytes());
        bytes[4..12].copy_from_slice(&major.to_be_bytes());
        bytes[12..20].copy_from_slice(&minor.to_be_bytes());
        bytes[20] = u8::from(streamed);
        bytes[21..25].copy_from_slice(&row.to_be_bytes());
        bytes[25] = u8::from(upsert);
        Self(bytes)
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

#[cfg(test)]
mod tests;
