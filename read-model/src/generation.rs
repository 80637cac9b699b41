//! Generations of a source: one is served, and one may be filled in its shadow to take its place in one step (ADR 0017).

use schemas::position::Version;
use sql::{Db, Row, Tx, params};

use crate::datasets::number;
use crate::lease::Lease;
use crate::rows::RowError;
use crate::source::{SHADOW_COLUMNS, STATUS_COLUMNS, SourceStatus, shadow_status, status};
use crate::writer::{WriteError, Writer};

/// The generation that a source's ingester fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filling {
    /// How far this generation is; of a shadow everything but sequence, token and halt is its own.
    pub status: SourceStatus,
    /// The generation that is served meanwhile, if this one is a shadow.
    pub served: Option<SourceStatus>,
    /// Prefix of the topics it is read from; none = the configured one.
    pub topic_prefix: Option<String>,
    /// The beginning of a snapshot was seen in it.
    pub snapshot_begun: bool,
}

impl Filling {
    /// The writer of this generation.
    pub fn writer(&self) -> Writer {
        let Self { status, served, .. } = self;
        match served {
            None => Writer::new(&status.source, status.generation),
            Some(_) => Writer::shadow(&status.source, status.generation),
        }
    }
}

/// What the ingester of a source has to fill, if the source was ever registered.
pub async fn filling(db: &Db, source: &str) -> Result<Option<Filling>, RowError> {
    let sql = format!(
        "SELECT {STATUS_COLUMNS}, s.topic_prefix AS s_topic_prefix, s.snapshot_seen AS s_snapshot_begun, \
           {SHADOW_COLUMNS}, h.topic_prefix AS h_topic_prefix, h.snapshot_seen AS h_snapshot_begun \
         FROM sources s LEFT JOIN shadows h ON h.source = s.source AND h.generation = s.rebuilding WHERE s.source = ?"
    );
    db.query(&sql, params![source]).await?.first().map(read).transpose()
}

fn read(row: &Row) -> Result<Filling, RowError> {
    let served = status(row)?;
    if served.rebuilding.is_none() {
        let (topic_prefix, snapshot_begun) = (row.get("s_topic_prefix")?, row.get("s_snapshot_begun")?);
        return Ok(Filling { status: served, served: None, topic_prefix, snapshot_begun });
    }
    let (topic_prefix, snapshot_begun) = (row.get("h_topic_prefix")?, row.get("h_snapshot_begun")?);
    Ok(Filling { status: shadow_status(row)?, served: Some(served), topic_prefix, snapshot_begun })
}

/// Opens the next generation of a source in the shadow of the one that is served; answers its number, or none for a source
/// that does not exist. A halted source goes on with it, and a shadow that was being filled is abandoned.
///
/// `topic_prefix`: where the new generation is read from; none = where the last one was. Offsets are forgotten, and the lease
/// is taken away from its holder, who must not apply to the served generation any more.
pub async fn open_generation(db: &Db, source: &str, topic_prefix: Option<&str>) -> Result<Option<u32>, WriteError> {
    let (source, topic_prefix) = (source.to_owned(), topic_prefix.map(str::to_owned));
    db.transaction(move |tx| Box::pin(async move { open(tx, &source, topic_prefix).await })).await
}

async fn open(tx: &mut Tx, source: &str, topic_prefix: Option<String>) -> Result<Option<u32>, WriteError> {
    let sql = "SELECT generation, rebuilding, topic_prefix FROM sources WHERE source = ? FOR UPDATE";
    let Some(row) = tx.query_opt(sql, params![source]).await? else { return Ok(None) };
    let (served, rebuilding): (u32, Option<u32>) = (row.get("generation")?, row.get("rebuilding")?);
    let next = rebuilding.unwrap_or(served) + 1;
    number(tx, source, next).await?;
    let known: Option<String> = match tx
        .query_opt("SELECT topic_prefix FROM shadows WHERE source = ?", params![source])
        .await?
        .filter(|_| rebuilding.is_some())
    {
        Some(shadow) => shadow.get("topic_prefix")?,
        None => row.get("topic_prefix")?,
    };
    tx.exec("UPDATE leases SET token = token + 1, owner = '', expires_at_ms = 0 WHERE source = ?", params![source])
        .await?;
    let lease = tx.query_one("SELECT token FROM leases WHERE source = ?", params![source]).await?;
    tx.exec(
        "UPDATE sources SET rebuilding = ?, halted = NULL, token = ? WHERE source = ?",
        params![next, lease.get::<i64>("token")?, source],
    )
    .await?;
    tx.exec("DELETE FROM offsets WHERE source = ?", params![source]).await?;
    tx.exec("DELETE FROM shadows WHERE source = ?", params![source]).await?;
    tx.exec(
        "INSERT INTO shadows (source, generation, topic_prefix, opened_at_ms, loaded, watermark, events_applied, \
           snapshot_seen) VALUES (?, ?, ?, {now_ms}, 0, ?, 0, 0)",
        params![source, next, topic_prefix.or(known), Version::floor(next).as_bytes()],
    )
    .await?;
    Ok(Some(next))
}

impl Writer {
    /// Makes the shadow the served generation, in the swap's transaction and before everything else in it: what follows
    /// reads the new rows. Rows that only the old generation has are not served any more.
    pub async fn swap(&self, tx: &mut Tx, lease: &Lease, sequence: i64) -> Result<(), WriteError> {
        let sql = "SELECT topic_prefix, loaded, as_of_ms, watermark, identity, events_applied, events_behind, snapshot_seen \
             FROM shadows WHERE source = ? AND generation = ?";
        let shadow = tx.query_opt(sql, params![&*self.source, self.generation]).await?;
        let shadow = shadow.ok_or_else(|| self.fenced("shadow"))?;
        let dataset = self.dataset(tx).await?;
        let swapped = tx
            .exec(
                "UPDATE sources SET generation = ?, dataset = ?, rebuilding = NULL, topic_prefix = ?, loaded = ?, as_of_ms = ?, \
                   watermark = ?, identity = ?, events_applied = ?, events_behind = ?, snapshot_seen = ?, \
                   applied_seq = ?, served_at_ms = {now_ms} \
                 WHERE source = ? AND token = ? AND applied_seq = ? AND rebuilding = ? AND halted IS NULL",
                params![
                    self.generation,
                    dataset,
                    shadow.get::<Option<String>>("topic_prefix")?,
                    shadow.get::<i64>("loaded")?,
                    shadow.get::<Option<i64>>("as_of_ms")?,
                    shadow.get::<Vec<u8>>("watermark")?,
                    shadow.get::<Option<String>>("identity")?,
                    shadow.get::<i64>("events_applied")?,
                    shadow.get::<Option<i64>>("events_behind")?,
                    shadow.get::<i64>("snapshot_seen")?,
                    sequence + 1,
                    &*self.source,
                    lease.token,
                    sequence,
                    self.generation
                ],
            )
            .await?;
        if swapped != 1 {
            return Err(self.fenced("sequence, token or generation"));
        }
        tx.exec("DELETE FROM shadows WHERE source = ?", params![&*self.source]).await?;
        Ok(())
    }
}
