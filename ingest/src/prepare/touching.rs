//! What an event touches that is not applied: reads of it are told so.

use std::collections::BTreeSet;

use schemas::debezium::{ChangeEvent, Connector, Decoder, Op, Record, Snapshot, Source};
use schemas::mapping::Mapping;
use schemas::model::Entity;
use schemas::position::{LogIdentity, SourcePosition};

use crate::feed::RawRecord;

/// By account wherever the event tells it, because reads look up accounts. Empty if a posting does not tell its account: it
/// may be any account's.
pub(super) fn touches(mapping: &Mapping, event: &ChangeEvent<'_>) -> Vec<(Entity, String)> {
    let touched = mapping.touched(event);
    if touched.iter().any(|touched| touched.entity == Entity::Transaction && touched.account_id.is_none()) {
        return Vec::new();
    }
    let mut marks = BTreeSet::new();
    for touched in touched {
        match touched.account_id {
            Some(account_id) => marks.insert((Entity::Account, account_id)),
            None => marks.insert((touched.entity, touched.key)),
        };
    }
    marks.into_iter().collect()
}

/// What an undecodable value touches, by its record key, if that at least can be read.
pub(super) fn touched_by_key(mapping: &Mapping, decoder: &mut Decoder, record: &RawRecord) -> Vec<(Entity, String)> {
    let Ok(Record::Tombstone { key, schema }) = decoder.decode(&record.topic, record.key.as_deref(), None) else {
        return Vec::new();
    };
    let mut names = record.topic.rsplit('.');
    let (Some(table), Some(database)) = (names.next(), names.next()) else { return Vec::new() };
    let source = Source {
        connector: mapping.connector(),
        name: "".into(),
        database: database.into(),
        table: table.into(),
        identity: LogIdentity { log: "".into() },
        position: nowhere(mapping.connector()),
        snapshot: Snapshot::Streamed,
        ts_source_ms: 0,
    };
    let (topic, op, before, after, transaction) = (&*record.topic, Op::Delete, None, None, None);
    touches(mapping, &ChangeEvent { topic, source, op, key, before, after, transaction, schema })
}

fn nowhere(connector: Connector) -> SourcePosition<'static> {
    match connector {
        Connector::MariaDb | Connector::MySql => SourcePosition::Binlog { file: 0, pos: 0, row: 0, gtid: None },
        Connector::Postgres => SourcePosition::Wal { lsn: 0, commit_lsn: None },
    }
}
