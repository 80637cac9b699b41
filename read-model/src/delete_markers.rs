//! Delete markers of transactions, and when they may go (ADR 0044).
//!
//! A marker keeps an event that comes late from bringing a deleted row back. Each one is noted with the time it was written, beside
//! the rows, so that finding the old ones takes no walk over all transactions. Markers of accounts, balances and customers are not
//! noted and stay: there are no more of them than there ever were accounts, and events that wait for an account ask for its marker.

use schemas::model::{CanonicalChange, Entity, RowChange};
use sql::{Db, Policy, Tx, Upsert, Value, listed, params};

use crate::lease::Lease;
use crate::writer::{WriteError, Writer, newest};

/// Markers that one step looks at, at most.
pub const MARKERS_AT_ONCE: u32 = 256;
/// The core's clock, which stamps events, and the SQL server's, which stamps notes, differ by less.
const CLOCKS_MS: i64 = DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// Columns of the notes; the first two are the key.
const COLUMNS: &[&str] = &["dataset", "transaction_id", "version", "noted_ms"];

/// All that decides which markers of a source's served generation may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarkerStanding {
    /// Its first load is complete.
    pub loaded: bool,
    /// It waits for a person.
    pub halted: bool,
    /// Another generation is being filled; this one goes with all its markers.
    pub rebuilding: bool,
    /// An event is parked in it. Tried again, it is applied however old it is.
    pub parked: bool,
    /// When the core made the oldest event that waits for an account, milliseconds since 1970.
    pub oldest_waiting_ms: Option<i64>,
    /// Everything up to this time is applied, of every partition.
    pub as_of_ms: Option<i64>,
    /// The earlier of the clocks of host and SQL server, milliseconds since 1970.
    pub now_ms: i64,
}

/// Why no marker of a source may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkersStay {
    /// Rows of the first snapshot may still come.
    NotLoaded,
    /// What comes next is not known.
    Halted,
    /// They go with their generation.
    Rebuilding,
    /// Events are parked.
    Parked,
    /// How old the data are was never attested.
    AgeUnknown,
}

/// Markers that were noted before this time may go, milliseconds since 1970. `days`: for so long after a change a connector may
/// send it once more.
pub fn markers_go_before_ms(standing: &MarkerStanding, days: u32) -> Result<i64, MarkersStay> {
    let stays = [
        (!standing.loaded, MarkersStay::NotLoaded),
        (standing.halted, MarkersStay::Halted),
        (standing.rebuilding, MarkersStay::Rebuilding),
        (standing.parked, MarkersStay::Parked),
    ];
    if let Some((_, stays)) = stays.into_iter().find(|(so, _)| *so) {
        return Err(stays);
    }
    let as_of_ms = standing.as_of_ms.ok_or(MarkersStay::AgeUnknown)?;
    // What was sent and is not applied yet counts as not come: the time of the data counts, not that of the wall.
    let reached_ms = as_of_ms.min(standing.now_ms);
    let before_ms = reached_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
    // An event that waits is applied when its account comes. It is older than each marker that must beat it.
    let waiting_ms = standing.oldest_waiting_ms.map_or(i64::MAX, |made_ms| made_ms.saturating_sub(CLOCKS_MS));
    Ok(before_ms.min(waiting_ms))
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerStep {
    /// Nothing may go now.
    Stay(MarkersStay),
    /// Notes that are done with, and the markers that went with them. The others had been followed by a row. No notes: nothing is due.
    Gone {
        /// Notes deleted.
        notes: u64,
        /// Markers deleted.
        markers: u64,
    },
}

/// One step, in a transaction of its own: deletes some of the markers that may go, if this lease is still the source's. Nothing is
/// remembered between steps.
pub async fn forget_markers(db: &Db, lease: &Lease, days: u32) -> Result<MarkerStep, WriteError> {
    let lease = lease.clone();
    db.transaction(move |tx| Box::pin(async move { step(tx, &lease, days).await })).await
}

async fn step(tx: &mut Tx, lease: &Lease, days: u32) -> Result<MarkerStep, WriteError> {
    let sql =
        "SELECT generation, dataset, rebuilding, loaded, halted, as_of_ms FROM sources WHERE source = ? AND token = ?";
    let source = tx.query_opt(sql, params![&lease.source, lease.token]).await?;
    let source = source.ok_or_else(|| WriteError::Fenced { source_name: lease.source.clone(), what: "token" })?;
    let Some(dataset) = source.get::<Option<u32>>("dataset")? else {
        return Ok(MarkerStep::Stay(MarkersStay::NotLoaded));
    };
    let generation: u32 = source.get("generation")?;
    let parked = "SELECT koffset FROM parked WHERE source = ? AND generation = ? LIMIT 1";
    let parked = tx.query_opt(parked, params![&lease.source, generation]).await?.is_some();
    let (server_ms, host_ms) = clocks(tx).await?;
    let standing = MarkerStanding {
        loaded: source.get("loaded")?,
        halted: source.get::<Option<&str>>("halted")?.is_some(),
        rebuilding: source.get::<Option<u32>>("rebuilding")?.is_some(),
        parked,
        oldest_waiting_ms: oldest_waiting_ms(tx, &lease.source, generation).await?,
        as_of_ms: source.get("as_of_ms")?,
        now_ms: server_ms.min(host_ms),
    };
    match markers_go_before_ms(&standing, days) {
        Ok(before_ms) => forget_noted_before(tx, dataset, before_ms).await,
        Err(stays) => Ok(MarkerStep::Stay(stays)),
    }
}

async fn oldest_waiting_ms(tx: &mut Tx, source: &str, generation: u32) -> Result<Option<i64>, sql::Error> {
    let mut oldest_ms: Option<i64> = None;
    // Each of the two is the beginning of a piece of an index.
    for left_out in [false, true] {
        let sql =
            "SELECT MIN(made_ms) AS made_ms FROM waiting_events WHERE source = ? AND generation = ? AND left_out = ?";
        let made_ms: Option<i64> = tx.query_one(sql, params![source, generation, left_out]).await?.get("made_ms")?;
        oldest_ms = [oldest_ms, made_ms].into_iter().flatten().min();
    }
    Ok(oldest_ms)
}

async fn forget_noted_before(tx: &mut Tx, dataset: u32, before_ms: i64) -> Result<MarkerStep, WriteError> {
    let sql = "SELECT transaction_id, version FROM delete_markers WHERE dataset = ? AND noted_ms < ? \
         ORDER BY noted_ms LIMIT ?";
    let rows = tx.query(sql, params![dataset, before_ms, MARKERS_AT_ONCE]).await?;
    let mut noted = Vec::with_capacity(rows.len());
    for row in &rows {
        noted.push((row.get::<String>("transaction_id")?, row.get::<Vec<u8>>("version")?));
    }
    if noted.is_empty() {
        return Ok(MarkerStep::Gone { notes: 0, markers: 0 });
    }
    // Rows are locked in the order of their keys, as by everybody.
    noted.sort_unstable();
    let (list, keys) = listed(noted.iter().map(|(key, _)| key));
    let (versions, versions_given) = listed(noted.iter().map(|(_, version)| version.as_slice()));
    let given: Vec<Value> = params![dataset].into_iter().chain(keys).chain(versions_given).collect();
    let noted = format!("dataset = ? AND transaction_id IN ({list}) AND version IN ({versions})");
    // A row of another version came after the note. What ended and keeps what it was may still be named by a link.
    let sql = format!("DELETE FROM transaction_rows WHERE {noted} AND deleted = 1 AND currency = ''");
    let markers = tx.exec(&sql, given.clone()).await?;
    // A marker that was written meanwhile has a note of another version. No time is asked here, or an engine would walk all old notes.
    let notes = tx.exec(&format!("DELETE FROM delete_markers WHERE {noted}"), given).await?;
    Ok(MarkerStep::Gone { notes, markers })
}

/// The clocks of SQL server and host, milliseconds since 1970.
async fn clocks(tx: &mut Tx) -> Result<(i64, i64), sql::Error> {
    let server_ms: i64 = tx.query_one("SELECT {now_ms} AS now_ms", params![]).await?.get("now_ms")?;
    Ok((server_ms, tx.host().now_us() / 1_000))
}

impl Writer {
    /// Notes the markers of transactions among these changes, in the apply transaction and after the rows. A marker that is there
    /// already keeps its time.
    pub(crate) async fn note_markers(
        &self,
        tx: &mut Tx,
        dataset: u32,
        changes: &[CanonicalChange],
    ) -> Result<(), WriteError> {
        let mut gone = newest(Entity::Transaction, changes);
        gone.retain(|_, change| matches!(change.row, RowChange::Delete));
        if gone.is_empty() {
            return Ok(());
        }
        // The later of the two: one clock that is behind makes no marker old.
        let (server_ms, host_ms) = clocks(tx).await?;
        let mut notes = Upsert::new("delete_markers", COLUMNS, &COLUMNS[..2], Policy::Newer("version"));
        for change in gone.values() {
            notes.push(params![dataset, &change.key, change.version.as_bytes(), server_ms.max(host_ms)]);
        }
        Ok(tx.upsert(notes).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000 * DAY_MS;

    fn quiet() -> MarkerStanding {
        MarkerStanding { loaded: true, as_of_ms: Some(NOW_MS), now_ms: NOW_MS, ..MarkerStanding::default() }
    }

    #[test]
    fn the_earliest_of_all_clocks_counts() {
        assert_eq!(markers_go_before_ms(&quiet(), 30), Ok(970 * DAY_MS));
        let behind = MarkerStanding { as_of_ms: Some(NOW_MS - 5 * DAY_MS), ..quiet() };
        assert_eq!(markers_go_before_ms(&behind, 30), Ok(965 * DAY_MS), "a partition that lags may hold older events");
        let ahead = MarkerStanding { as_of_ms: Some(NOW_MS + 500 * DAY_MS), ..quiet() };
        assert_eq!(markers_go_before_ms(&ahead, 30), Ok(970 * DAY_MS), "a core whose clock is ahead makes nothing old");
        assert!(markers_go_before_ms(&MarkerStanding { as_of_ms: Some(i64::MIN), ..quiet() }, u32::MAX).is_ok());
    }

    #[test]
    fn each_condition_alone_keeps_every_marker() {
        for (standing, why) in [
            (MarkerStanding { loaded: false, ..quiet() }, MarkersStay::NotLoaded),
            (MarkerStanding { halted: true, ..quiet() }, MarkersStay::Halted),
            (MarkerStanding { rebuilding: true, ..quiet() }, MarkersStay::Rebuilding),
            (MarkerStanding { parked: true, ..quiet() }, MarkersStay::Parked),
            (MarkerStanding { as_of_ms: None, ..quiet() }, MarkersStay::AgeUnknown),
        ] {
            assert_eq!(markers_go_before_ms(&standing, 30), Err(why));
        }
    }

    #[test]
    fn an_event_that_waits_keeps_the_markers_that_must_beat_it() {
        let waiting =
            |made_ms| markers_go_before_ms(&MarkerStanding { oldest_waiting_ms: Some(made_ms), ..quiet() }, 30);
        assert_eq!(waiting(NOW_MS - 60_000), Ok(970 * DAY_MS), "made since: it is newer than they are");
        assert_eq!(waiting(900 * DAY_MS), Ok(899 * DAY_MS), "and a day for the clocks");
    }
}
