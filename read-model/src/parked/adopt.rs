//! Brings events parked by a release without queues over, in bounded steps. Repeating a step changes nothing.

use sql::{Db, Row, Tx, params};

use super::{EVERY_KEY, QueueKey, events_upsert, marks_upsert};
use crate::progress::Partition;
use crate::writer::WriteError;

/// Events per transaction: each may be two MiB.
const EVENTS_PER_STEP: u32 = 8;

/// Until none is left. Marks that a person ended with `trust` stay ended.
pub(crate) async fn adopt(db: &Db) -> Result<(), WriteError> {
    while db.transaction(|tx| Box::pin(step(tx))).await? {}
    Ok(())
}

async fn step(tx: &mut Tx) -> Result<bool, WriteError> {
    let sql = "SELECT * FROM parked_events ORDER BY source, topic, kpartition, koffset LIMIT ?";
    let rows = tx.query(sql, params![EVENTS_PER_STEP]).await?;
    for row in &rows {
        one(tx, row).await?;
    }
    Ok(!rows.is_empty())
}

async fn one(tx: &mut Tx, row: &Row) -> Result<(), WriteError> {
    let (source, generation): (&str, u32) = (row.get("source")?, row.get("generation")?);
    let partition = Partition { topic: row.get("topic")?, partition: row.get("kpartition")? };
    let (offset, key): (i64, Option<Vec<u8>>) = (row.get("koffset")?, row.get("event_key")?);
    let queue = QueueKey::of(&partition.topic, &partition, offset, key.as_deref());
    let (value, touches): (Option<Vec<u8>>, &str) = (row.get("event_value")?, row.get("entity_keys")?);
    let event = params![
        source,
        generation,
        &partition.topic,
        partition.partition,
        offset,
        queue.as_bytes(),
        &partition.topic,
        sql::Value::Null,
        key,
        value,
        touches,
        row.get::<&str>("reason")?,
        row.get::<i64>("parked_at_ms")?,
        0
    ];
    tx.upsert(events_upsert().row(event)).await?;
    let pairs: Vec<(String, String)> = serde_json::from_str(touches).unwrap_or_default();
    let every = || vec![("account".to_owned(), EVERY_KEY.to_owned())];
    for (entity, key) in if pairs.is_empty() { every() } else { pairs } {
        let entity = if entity == "balance" { "account".to_owned() } else { entity };
        let mark = "SELECT source FROM degraded_keys WHERE source = ? AND entity = ? AND entity_key = ?";
        if tx.query_opt(mark, params![source, &entity, &key]).await?.is_some() {
            tx.upsert(marks_upsert().row(params![source, generation, entity, key, queue.as_bytes()])).await?;
        }
    }
    let sql = "DELETE FROM parked_events WHERE source = ? AND topic = ? AND kpartition = ? AND koffset = ?";
    tx.exec(sql, params![source, &partition.topic, partition.partition, offset]).await?;
    Ok(())
}
