//! What is known of a source: which generation is served, how far it is applied, and in what condition.

use schemas::position::Version;
use sql::{Db, Row, params};

use crate::rows::{RowError, version};

/// How an answer stands to the core. The worst of what applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quality {
    /// Everything applied, recently attested.
    Ok,
    /// A new generation is being filled; this is the old one.
    Rebuilding,
    /// Events that touch what was read are parked.
    Degraded,
    /// Older than the bound, or the source is halted.
    Stale,
    /// Nothing attested an age yet.
    Unknown,
}

impl Quality {
    /// The word in `Data-Quality`.
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Ok => "ok",
            Quality::Rebuilding => "rebuilding",
            Quality::Degraded => "degraded",
            Quality::Stale => "stale",
            Quality::Unknown => "unknown",
        }
    }
}

/// A place in the order of a source's apply transactions; what `Data-Position` holds per source.
///
/// Apply transactions of one source are totally ordered, so every tier's content is a prefix of them and a greater
/// sequence contains a smaller one. The watermark would not do: topics have many partitions, and its successor may
/// have the same watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Generation that was served.
    pub generation: u32,
    /// Apply transactions contained.
    pub sequence: i64,
}

/// The age and place of what was read from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Which source.
    pub source: String,
    /// What the answer contains at least.
    pub position: Position,
    /// Highest source position applied.
    pub watermark: Version,
    /// Source time up to which everything is applied, milliseconds since 1970.
    pub as_of_ms: Option<i64>,
    /// Condition at the time of reading.
    pub quality: Quality,
}

/// A row of `sources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Name.
    pub source: String,
    /// Generation that is served.
    pub generation: u32,
    /// Generation that is being filled in the shadow.
    pub rebuilding: Option<u32>,
    /// Identity of the core's log.
    pub identity: Option<String>,
    /// The first load is complete: absence of a row means absence in the core.
    pub loaded: bool,
    /// Source time up to which everything is applied, milliseconds since 1970.
    pub as_of_ms: Option<i64>,
    /// Highest source position applied.
    pub watermark: Version,
    /// Apply transactions so far.
    pub applied_seq: i64,
    /// Events applied so far.
    pub events_applied: i64,
    /// Events known to wait, where the feed can tell.
    pub events_behind: Option<i64>,
    /// Why the source was halted; a person resumes it.
    pub halted: Option<String>,
    /// Fencing token of the ingester that wrote last.
    pub token: i64,
}

/// How far a first load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Events applied.
    pub events_applied: i64,
    /// Events that wait, where known.
    pub events_behind: Option<i64>,
}

impl SourceStatus {
    /// How far its first load is.
    pub fn progress(&self) -> Progress {
        Progress { events_applied: self.events_applied, events_behind: self.events_behind }
    }

    /// The freshness of a read from it; `degraded` = what was read has parked events.
    pub fn freshness(&self, degraded: bool, oldest_ok_ms: i64) -> Freshness {
        Freshness {
            source: self.source.clone(),
            position: Position { generation: self.generation, sequence: self.applied_seq },
            watermark: self.watermark,
            as_of_ms: self.as_of_ms,
            quality: self.quality(degraded, oldest_ok_ms),
        }
    }

    fn quality(&self, degraded: bool, oldest_ok_ms: i64) -> Quality {
        let conditions = [
            (self.as_of_ms.is_none(), Quality::Unknown),
            (self.halted.is_some() || self.as_of_ms.is_some_and(|ms| ms < oldest_ok_ms), Quality::Stale),
            (degraded, Quality::Degraded),
            (self.rebuilding.is_some(), Quality::Rebuilding),
        ];
        conditions.into_iter().find(|(holds, _)| *holds).map_or(Quality::Ok, |(_, quality)| quality)
    }
}

/// The columns that [`status`] reads, of `sources s`.
pub(crate) const STATUS_COLUMNS: &str = "s.source AS s_source, s.generation AS s_generation, s.rebuilding AS s_rebuilding, \
    s.identity AS s_identity, s.loaded AS s_loaded, s.as_of_ms AS s_as_of_ms, s.watermark AS s_watermark, \
    s.applied_seq AS s_applied_seq, s.events_applied AS s_events_applied, s.events_behind AS s_events_behind, \
    s.halted AS s_halted, s.token AS s_token";

/// The same of a shadow `h`, beside those of its source.
pub(crate) const SHADOW_COLUMNS: &str = "h.generation AS h_generation, h.identity AS h_identity, h.loaded AS h_loaded, \
    h.as_of_ms AS h_as_of_ms, h.watermark AS h_watermark, h.events_applied AS h_events_applied, \
    h.events_behind AS h_events_behind";

/// Reads a status of which the columns of this prefix tell how far its generation is.
macro_rules! status_of_generation {
    ($row:ident, $prefix:literal, $rebuilding:expr) => {
        Ok(SourceStatus {
            source: $row.get("s_source")?,
            generation: $row.get(concat!($prefix, "_generation"))?,
            rebuilding: $rebuilding,
            identity: $row.get(concat!($prefix, "_identity"))?,
            loaded: $row.get(concat!($prefix, "_loaded"))?,
            as_of_ms: $row.get(concat!($prefix, "_as_of_ms"))?,
            watermark: version($row, concat!($prefix, "_watermark"))?,
            applied_seq: $row.get("s_applied_seq")?,
            events_applied: $row.get(concat!($prefix, "_events_applied"))?,
            events_behind: $row.get(concat!($prefix, "_events_behind"))?,
            halted: $row.get("s_halted")?,
            token: $row.get("s_token")?,
        })
    };
}

/// The generation that is served.
pub(crate) fn status(row: &Row) -> Result<SourceStatus, RowError> {
    status_of_generation!(row, "s", row.get("s_rebuilding")?)
}

/// The generation that is filled in the shadow; sequence, token and halt are those of its source.
pub(crate) fn shadow_status(row: &Row) -> Result<SourceStatus, RowError> {
    status_of_generation!(row, "h", None)
}

/// Every source, by name.
pub async fn statuses(db: &Db) -> Result<Vec<SourceStatus>, RowError> {
    let sql = format!("SELECT {STATUS_COLUMNS} FROM sources s ORDER BY s.source");
    db.query(&sql, params![]).await?.iter().map(status).collect()
}

/// One source, if it was ever registered.
pub async fn status_of(db: &Db, source: &str) -> Result<Option<SourceStatus>, RowError> {
    let sql = format!("SELECT {STATUS_COLUMNS} FROM sources s WHERE s.source = ?");
    db.query(&sql, params![source]).await?.first().map(status).transpose()
}
