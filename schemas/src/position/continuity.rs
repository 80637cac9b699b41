//! Notices that the core's log went back, and that two changes of one row claim one place.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::{SourcePosition, Version};
use crate::debezium::{ChangeEvent, Op};

/// How much later than all changes before it a change behind them must be, in milliseconds. A change that is delivered
/// again has the time it had; connectors write that time in seconds or finer, so the same change may differ by less.
pub const LATER_MS: i64 = 1_000;
/// The same for transaction numbers. Parallel appliers of a replica commit out of order, by as much as a transaction takes.
pub const LATER_BY_NUMBER_MS: i64 = 60_000;
/// Domains (MariaDB) or servers (MySQL) whose transaction numbers are remembered; others are not compared.
const NUMBERED_MAX: usize = 64;
/// Changes that are remembered of one place in the log. Beyond it their order is not checked.
const AT_ONE_PLACE_MAX: usize = 10_000;

/// What one stream of changes has reached. Show it every change event before the event is applied.
///
/// Keep one for each topic partition of a generation: inside a partition the connector's order holds. Store
/// [`Continuity::to_text`] in the transaction that stores the partition's offset, and go on from [`Continuity::parse`];
/// a new generation starts with [`Continuity::default`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Continuity {
    reached: Option<Reached>,
    place: Place,
}

/// The furthest change, and the latest time of any change. They need not be of the same change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reached {
    version: Version,
    /// Its place as people read it.
    at: String,
    /// Latest `source.ts_ms` of any change.
    ts_ms: i64,
    /// Highest transaction number of each domain or server.
    #[serde(default)]
    numbers: BTreeMap<String, u64>,
    /// The last heartbeat of the core's log.
    #[serde(default)]
    beat: Option<(Version, String)>,
    /// The timeline or server that the last heartbeat named.
    #[serde(default)]
    timeline: Option<String>,
}

/// One heartbeat, read from the core's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Its name, which no other has.
    pub beat: String,
    /// The name of the one before it.
    pub previous: Option<String>,
    /// PostgreSQL's timeline, which a promotion and a recovery to a point in time change, or the server that writes a binary
    /// log; none where the table does not tell.
    pub timeline: Option<String>,
}

/// Why a change must not be applied, nor any behind it. The text is for operators and holds no value of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Discontinuity {
    /// The change is later, and its place is behind what was reached. Its row would lose against older rows in silence.
    #[error(
        "the core's log went back from {reached} to {at}, and the change there is {later_ms} ms later: the core was restored, \
         promoted or replaced, or its replication slot is new; its rows must be read again in a new generation"
    )]
    WentBack {
        /// Furthest place before.
        reached: String,
        /// Place of the change.
        at: String,
        /// How much later it is than all changes before, in milliseconds.
        later_ms: i64,
    },
    /// The log goes on and its transaction numbers go back: the core has lost transactions that were applied here.
    #[error(
        "the core's transaction numbers went back from {from} to {gtid}, and the change is {later_ms} ms later: the core lost \
         transactions (a restore, or the promotion of a replica that lagged); its rows must be read again in a new generation"
    )]
    NumbersWentBack {
        /// Highest number before, in its domain or of its server.
        from: u64,
        /// Global transaction id of the change.
        gtid: String,
        /// How much later it is than all changes before, in milliseconds.
        later_ms: i64,
    },
    /// Two changes of one row have one place, and no transaction metadata say which is later.
    #[error(
        "two different changes of one row stand at {at} and nothing tells which is later: a compressed binary log gives all \
         changes of a transaction one place; set provide.transaction.metadata=true in the connector, then read the rows again \
         in a new generation"
    )]
    SamePlace {
        /// Their place.
        at: String,
    },
    /// A heartbeat of the core's log does not follow the last one: changes between them did not reach the connector.
    #[error(
        "the heartbeat at {at} does not follow the last one that came: changes of the core between them were never sent, because \
         the core was restored or its replication slot skipped them; its rows must be read again in a new generation"
    )]
    BeatMissed {
        /// Its place.
        at: String,
    },
    /// The core's log branched off: a server was promoted, or recovered to a point in time. What it lost may hold no heartbeat.
    #[error(
        "the core's log was on timeline or server {from} and at {at} it is on {to}: a standby was promoted or the core was recovered, and \
         changes that were read before may be lost; its rows must be read again in a new generation"
    )]
    OtherTimeline {
        /// The timeline or server before.
        from: String,
        /// That of the heartbeat.
        to: String,
        /// Its place.
        at: String,
    },
    /// Another change of a row stands where one was read before. A write-ahead log has one change at one place, so it is not
    /// the same log.
    #[error(
        "at {at} stands another change of a row than the one that was read there before: the core was restored or replaced, and \
         its log has come to this place again; its rows must be read again in a new generation"
    )]
    OtherLog {
        /// Their place.
        at: String,
    },
    /// The connector began to count inside a transaction: a restart of it between two changes of one row.
    #[error(
        "at {at} the connector counts the changes of a transaction from the beginning again, as it does when it restarts inside \
         a transaction of a compressed binary log: the order of two changes of one row is lost; its rows must be read again in \
         a new generation"
    )]
    CountedAnew {
        /// Their place.
        at: String,
    },
}

impl Continuity {
    /// Compares a change with what came before and remembers it; an error leaves everything as it was.
    ///
    /// Rows of snapshots pass without being looked at: their places say when a table was read, not how far the log is.
    /// A change that is delivered again passes too, because it is not later than all that came before.
    pub fn observe(&mut self, generation: u32, event: &ChangeEvent<'_>) -> Result<(), Discontinuity> {
        if event.source.snapshot.is_snapshot() {
            return Ok(());
        }
        let version = Version::from_event(generation, event);
        let number = numbered(&event.source.position);
        if let Some(reached) = &self.reached {
            reached.admits(event, version, number.as_ref())?;
        }
        self.place.observe(event, version)?;
        let reached = self.reached.get_or_insert_with(|| Reached {
            version,
            at: event.source.position.to_string(),
            ts_ms: event.source.ts_source_ms,
            numbers: BTreeMap::new(),
            beat: None,
            timeline: None,
        });
        reached.advance(event, version, number);
        Ok(())
    }

    /// Compares a heartbeat of the core's log with the last one. Show the event to [`Continuity::observe`] first.
    ///
    /// A log that went back may have grown beyond where it was before anything of it is sent: then its places go on, and only
    /// the heartbeats tell that changes are missing.
    pub fn beats(&mut self, generation: u32, event: &ChangeEvent<'_>, beat: &Beat) -> Result<(), Discontinuity> {
        let Some(reached) = self.reached.as_mut().filter(|_| !event.source.snapshot.is_snapshot()) else {
            return Ok(());
        };
        if let (Some(from), Some(to)) = (&reached.timeline, &beat.timeline)
            && from != to
        {
            let at = event.source.position.to_string();
            return Err(Discontinuity::OtherTimeline { from: from.clone(), to: to.clone(), at });
        }
        let version = Version::from_event(generation, event);
        if let Some((last, name)) = &reached.beat {
            if version <= *last {
                return Ok(());
            }
            if beat.previous.as_ref() != Some(name) {
                return Err(Discontinuity::BeatMissed { at: event.source.position.to_string() });
            }
        }
        reached.beat = Some((version, beat.beat.clone()));
        reached.timeline.clone_from(&beat.timeline);
        Ok(())
    }

    /// What to store beside the partition's offset; none before the first streamed change.
    pub fn to_text(&self) -> Option<String> {
        self.reached.as_ref().and_then(|reached| serde_json::to_string(reached).ok())
    }

    /// The reverse of [`Continuity::to_text`]; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let reached = serde_json::from_str(text).ok()?;
        Some(Self { reached: Some(reached), place: Place::default() })
    }
}

impl Reached {
    fn admits(
        &self,
        event: &ChangeEvent<'_>,
        version: Version,
        number: Option<&(String, u64)>,
    ) -> Result<(), Discontinuity> {
        let later_ms = event.source.ts_source_ms.saturating_sub(self.ts_ms);
        if version < self.version && later_ms > LATER_MS {
            let at = event.source.position.to_string();
            return Err(Discontinuity::WentBack { reached: self.at.clone(), at, later_ms });
        }
        if let Some((domain, number)) = number
            && let Some(from) = self.numbers.get(domain).copied()
            && *number < from
            && later_ms > LATER_BY_NUMBER_MS
        {
            let gtid = event.source.position.gtid().unwrap_or_default().to_owned();
            return Err(Discontinuity::NumbersWentBack { from, gtid, later_ms });
        }
        Ok(())
    }

    fn advance(&mut self, event: &ChangeEvent<'_>, version: Version, number: Option<(String, u64)>) {
        self.ts_ms = self.ts_ms.max(event.source.ts_source_ms);
        if version > self.version {
            self.version = version;
            self.at = event.source.position.to_string();
        }
        if let Some((domain, number)) = number
            && (self.numbers.len() < NUMBERED_MAX || self.numbers.contains_key(&domain))
        {
            let highest = self.numbers.entry(domain).or_insert(number);
            *highest = number.max(*highest);
        }
    }
}

/// Domain and sequence number of MariaDB's `0-101-52`, server and number of MySQL's `UUID:52` or `UUID:TAG:52`.
///
/// The server in MariaDB's names who wrote the transaction; several may write one log, and their numbers go on together.
fn numbered(position: &SourcePosition<'_>) -> Option<(String, u64)> {
    let gtid = position.gtid()?;
    if let Some((server, number)) = gtid.rsplit_once(':') {
        return Some((server.to_owned(), number.parse().ok()?));
    }
    let (rest, number) = gtid.rsplit_once('-')?;
    let (domain, _server) = rest.split_once('-')?;
    Some((domain.to_owned(), number.parse().ok()?))
}

/// The changes seen at one place in the log, by their row. Only a compressed binary log has many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    at: Option<(u64, u64)>,
    /// Hash of the row's key → version and hash of each change.
    changes: HashMap<u64, Vec<(Version, u64)>>,
    count: usize,
}

impl Place {
    fn observe(&mut self, event: &ChangeEvent<'_>, version: Version) -> Result<(), Discontinuity> {
        let at = match &event.source.position {
            SourcePosition::Binlog { file, pos, .. } => (*file, *pos),
            SourcePosition::Wal { lsn, commit_lsn } => (commit_lsn.unwrap_or(0), *lsn),
        };
        if self.at != Some(at) {
            *self = Self { at: Some(at), ..Self::default() };
        }
        // A row without a key is written once and never again.
        if event.key.is_empty() || self.count >= AT_ONE_PLACE_MAX {
            return Ok(());
        }
        let content = content(event);
        let seen = self.changes.entry(row(event)).or_default();
        if seen.iter().any(|(_, other)| *other == content) {
            return Ok(());
        }
        if seen.iter().any(|(other, _)| *other >= version) {
            let at = event.source.position.to_string();
            return Err(match (&event.source.position, &event.transaction) {
                (SourcePosition::Wal { .. }, _) => Discontinuity::OtherLog { at },
                (_, None) => Discontinuity::SamePlace { at },
                (_, Some(_)) => Discontinuity::CountedAnew { at },
            });
        }
        seen.push((version, content));
        self.count += 1;
        Ok(())
    }
}

fn row(event: &ChangeEvent<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&event.source.database, &event.source.table).hash(&mut hasher);
    event.key.iter().for_each(|(name, cell)| (name, cell.json()).hash(&mut hasher));
    hasher.finish()
}

/// Two changes of equal content need no order.
fn content(event: &ChangeEvent<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.op == Op::Delete).hash(&mut hasher);
    let cells = event.after.iter().flat_map(|row| row.iter());
    cells.for_each(|(name, cell)| (name, cell.json()).hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests;
