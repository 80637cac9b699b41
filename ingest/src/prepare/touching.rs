//! What an event touches that is not applied: reads of it are told so.

use std::collections::BTreeSet;

use schemas::debezium::{ChangeEvent, Connector, Decoder, Op, Record, Snapshot, SourceBlock};
use schemas::mapping::{Mapping, Touched};
use schemas::model::Entity;
use schemas::position::{LogIdentity, SourcePosition};

/// What an event touches that feeds no row. No read looks for it, so nothing is in doubt.
const REFUSAL: &str = "refusal";

/// By account wherever the event tells it, because reads look up accounts. Empty if a posting does not tell its account: it
/// may be any account's.
pub(super) fn touches(mapping: &Mapping, event: &ChangeEvent<'_>, known: &[Touched]) -> Vec<(Entity, String)> {
    if mapping.only_refuses(event) {
        return vec![(Entity::Transaction, REFUSAL.to_owned())];
    }
    let touched = mapping.touched(event, known);
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

/// An event that tells no more than the key of its record, if that can be read.
pub(super) fn by_key<'r>(
    mapping: &Mapping,
    decoder: &mut Decoder,
    topic: &'r str,
    key: Option<&'r [u8]>,
) -> Option<ChangeEvent<'r>> {
    let Ok(Record::Tombstone { key, schema }) = decoder.decode(topic, key, None) else { return None };
    let mut names = topic.rsplit('.');
    let (table, database) = (names.next()?, names.next()?);
    let source = SourceBlock {
        connector: mapping.connector(),
        name: "".into(),
        database: database.into(),
        table: table.into(),
        identity: LogIdentity { log: "".into() },
        position: nowhere(mapping.connector()),
        snapshot: Snapshot::Streamed,
        ts_source_ms: 0,
    };
    let (op, before, after, transaction) = (Op::Delete, None, None, None);
    Some(ChangeEvent { topic, source, op, key, before, after, transaction, schema })
}

fn nowhere(connector: Connector) -> SourcePosition<'static> {
    match connector {
        Connector::MariaDb | Connector::MySql => SourcePosition::Binlog { file: 0, pos: 0, row: 0, gtid: None },
        Connector::Postgres => SourcePosition::Wal { lsn: 0, commit_lsn: None },
    }
}
