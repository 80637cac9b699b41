//! What an ingester remembers of a source: offsets, watermark, condition. Always conditional on its token.

use schemas::position::Version;
use sql::{BatchUpdate, Db, Policy, Tx, Upsert, params};

use crate::lease::Lease;
use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Topic name.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
}

/// The last record applied of a partition. By it a topic is recognised after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMark {
    /// Its offset.
    pub offset: i64,
    /// When the producer made it, milliseconds since 1970, where the feed knows.
    pub sent_ms: Option<i64>,
    /// Digest of key and value, at most 32 bytes.
    pub digest: Vec<u8>,
}

/// What is remembered of a partition beside its offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its last record.
    pub record: Option<RecordMark>,
    /// How far the core's log has come in it, as [`schemas::position::Continuity::to_text`] writes it.
    pub log: Option<String>,
}

/// Where a partition is read from, and what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Next offset.
    pub next: i64,
    /// What came before it.
    pub marks: Marks,
}

/// A partition's move through one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetStep {
    /// Which.
    pub partition: Partition,
    /// Next offset before the batch.
    pub from: i64,
    /// Next offset after it.
    pub to: i64,
    /// What is remembered after it.
    pub marks: Marks,
}

/// What one apply transaction adds to its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// `applied_seq` before; the transaction makes it one more.
    pub sequence: i64,
    /// Every partition that moved; a partition never seen before starts with [`Writer::add_partitions`].
    pub offsets: Vec<OffsetStep>,
    /// Highest position applied, this batch included.
    pub watermark: Version,
    /// Source time up to which everything is applied.
    pub as_of_ms: Option<i64>,
    /// The first load is complete.
    pub loaded: bool,
    /// Identity of the log, once known.
    pub identity: Option<String>,
    /// A snapshot began in this batch or before it.
    pub snapshot_begun: bool,
    /// Events in this batch.
    pub events: i64,
    /// Events that wait, where known.
    pub events_behind: Option<i64>,
}

/// The next offset of every known partition.
pub async fn offsets(db: &Db, source: &str) -> Result<Vec<(Partition, i64)>, RowError> {
    Ok(places(db, source).await?.into_iter().map(|(partition, place)| (partition, place.next)).collect())
}

/// Every known partition with what is remembered of it.
pub async fn places(db: &Db, source: &str) -> Result<Vec<(Partition, Place)>, RowError> {
    let sql = "SELECT topic, kpartition, next_offset, last_offset, last_sent_ms, last_digest, log_reached \
         FROM offsets WHERE source = ? ORDER BY topic, kpartition";
    db.query(sql, params![source]).await?.iter().map(place).collect()
}

fn place(row: &sql::Row) -> Result<(Partition, Place), RowError> {
    let partition = Partition { topic: row.get("topic")?, partition: row.get("kpartition")? };
    let record = match (row.get("last_offset")?, row.get("last_digest")?) {
        (Some(offset), Some(digest)) => Some(RecordMark { offset, sent_ms: row.get("last_sent_ms")?, digest }),
        _ => None,
    };
    Ok((partition, Place { next: row.get("next_offset")?, marks: Marks { record, log: row.get("log_reached")? } }))
}

impl Writer {
    /// Registers partitions never read before, at their first offset. Fenced by the token.
    pub async fn add_partitions(
        &self,
        db: &Db,
        lease: &Lease,
        partitions: Vec<(Partition, i64)>,
    ) -> Result<(), WriteError> {
        let (writer, lease) = (self.clone(), lease.clone());
        db.transaction(move |tx| {
            Box::pin(async move {
                writer.touch(tx, lease.token).await?;
                const COLUMNS: &[&str] = &["source", "topic", "kpartition", "generation", "next_offset", "token"];
                let key: &[&str] = &["source", "topic", "kpartition"];
                let mut upsert = Upsert::new("offsets", COLUMNS, key, Policy::KeepExisting);
                for (p, next) in &partitions {
                    let generation = writer.generation;
                    upsert.push(params![&*writer.source, &p.topic, p.partition, generation, *next, lease.token]);
                }
                Ok(tx.upsert(upsert).await?)
            })
        })
        .await
    }

    /// Locks the source's row, if this token still owns it.
    async fn touch(&self, tx: &mut Tx, token: i64) -> Result<(), WriteError> {
        let matched = tx
            .exec("UPDATE sources SET token = ? WHERE source = ? AND token = ?", params![token, &*self.source, token])
            .await?;
        if matched == 1 { Ok(()) } else { Err(self.fenced("token")) }
    }

    pub(crate) fn fenced(&self, what: &'static str) -> WriteError {
        WriteError::Fenced { source_name: self.source.to_string(), what }
    }

    /// The last statements of an apply transaction: moves the source and its offsets, each conditional on where this
    /// ingester left it and on its token. Returns the new sequence.
    pub async fn advance(&self, tx: &mut Tx, token: i64, advance: &Advance) -> Result<i64, WriteError> {
        let next = advance.sequence + 1;
        let moved = match self.shadow {
            false => self.advance_served(tx, token, advance).await?,
            true => self.advance_shadow(tx, token, advance).await?,
        };
        if moved != 1 {
            return Err(self.fenced("sequence or token"));
        }
        let mut update = BatchUpdate::new("offsets")
            .key("source")
            .key("topic")
            .key("kpartition")
            .guard("token")
            .guard("next_offset")
            .set("next_offset")
            .set("last_offset")
            .set("last_sent_ms")
            .set("last_digest")
            .set("log_reached");
        for step in &advance.offsets {
            let (p, record) = (&step.partition, step.marks.record.as_ref());
            update.push(params![
                &*self.source,
                &p.topic,
                p.partition,
                token,
                step.from,
                step.to,
                record.map(|record| record.offset),
                record.and_then(|record| record.sent_ms),
                record.map(|record| record.digest.clone()),
                step.marks.log.as_deref()
            ]);
        }
        let wanted = update.len() as u64;
        if tx.batch_update(update).await? == wanted { Ok(next) } else { Err(self.fenced("offsets")) }
    }

    async fn advance_served(&self, tx: &mut Tx, token: i64, advance: &Advance) -> Result<u64, sql::Error> {
        let sql = format!(
            "UPDATE sources SET applied_seq = ?, {PROGRESS} \
             WHERE source = ? AND token = ? AND applied_seq = ? AND generation = ? AND rebuilding IS NULL AND halted IS NULL"
        );
        let mut values = params![advance.sequence + 1];
        values.extend(progress(advance));
        values.extend(params![&*self.source, token, advance.sequence, self.generation]);
        tx.exec(&sql, values).await
    }

    /// The served generation stands still, but the source's apply transactions go on counting.
    async fn advance_shadow(&self, tx: &mut Tx, token: i64, advance: &Advance) -> Result<u64, sql::Error> {
        let sql = "UPDATE sources SET applied_seq = ? \
             WHERE source = ? AND token = ? AND applied_seq = ? AND rebuilding = ? AND halted IS NULL";
        let values = params![advance.sequence + 1, &*self.source, token, advance.sequence, self.generation];
        if tx.exec(sql, values).await? != 1 {
            return Ok(0);
        }
        let sql = format!("UPDATE shadows SET {PROGRESS} WHERE source = ? AND generation = ?");
        let mut values = progress(advance);
        values.extend(params![&*self.source, self.generation]);
        tx.exec(&sql, values).await
    }

    /// Halts the source until a person resumes it; serving goes on and says so. Fenced by the token.
    pub async fn halt(&self, db: &Db, lease: &Lease, reason: &str) -> Result<(), WriteError> {
        let reason: String = reason.chars().take(512).collect();
        let halted = db
            .exec(
                "UPDATE sources SET halted = ? WHERE source = ? AND token = ?",
                params![reason, &*self.source, lease.token],
            )
            .await?;
        if halted == 1 { Ok(()) } else { Err(self.fenced("token")) }
    }
}

/// What [`progress`] gives values for, alike in `sources` and `shadows`.
const PROGRESS: &str = "watermark = ?, as_of_ms = COALESCE(?, as_of_ms), \
    loaded = CASE WHEN ? = 1 THEN 1 ELSE loaded END, identity = COALESCE(?, identity), \
    snapshot_seen = CASE WHEN ? = 1 THEN 1 ELSE snapshot_seen END, \
    events_applied = events_applied + ?, events_behind = ?";

fn progress(advance: &Advance) -> Vec<sql::Value> {
    params![
        advance.watermark.as_bytes(),
        advance.as_of_ms,
        advance.loaded,
        advance.identity.as_deref(),
        advance.snapshot_begun,
        advance.events,
        advance.events_behind
    ]
}

/// Lets a halted source go on from its offsets; for operators, after the cause was removed.
pub async fn resume(db: &Db, source: &str) -> Result<bool, sql::Error> {
    let sql = "UPDATE sources SET halted = NULL WHERE source = ? AND halted IS NOT NULL";
    Ok(db.exec(sql, params![source]).await? == 1)
}
