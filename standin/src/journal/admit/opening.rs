//! What an admission reads first: the entries of its keys, archived ones too, the rules in force, and the time.

use std::collections::HashMap;

use sql::{Dialect, Row, Tx, listed_rows, params};

use super::{Key, key_of};
use crate::entry::Entry;
use crate::journal::archive::{Kept, OF_KEYS, OF_NO_KEY, keys_of};
use crate::journal::error::JournalError;
use crate::journal::limits;
use crate::journal::record::COLUMNS;
use crate::rules::Rulebook;
use crate::write::Write;

/// What stands before any lane is locked.
pub(super) struct Opening {
    /// Entries that carry one of the keys. An optimisation: the unique index decides who was first.
    pub(super) known: HashMap<Key, Entry>,
    /// Archived entries that carry one of the keys.
    archived: Vec<Kept>,
    pub(super) book: Rulebook,
    /// The SQL server's now.
    pub(super) now_us: i64,
}

impl Opening {
    /// Reads all of it with one statement. Limits changed after it are not in force for this batch.
    pub(super) async fn read(tx: &mut Tx, writes: &[Write]) -> Result<Self, JournalError> {
        let keys = writes.iter().map(|w| params![&w.principal, &w.operation, &w.idempotency_key]);
        let (list, mut values) = listed_rows(keys, 3);
        let list = match tx.dialect() {
            Dialect::MySql => list,
            Dialect::Sqlite => format!("VALUES {list}"),
        };
        let (hashes, of_hashes) = keys_of(writes.iter());
        let no_entry = vec!["NULL"; COLUMNS.split(',').count()].join(", ");
        let sql = format!(
            "SELECT {COLUMNS}, {}, {OF_NO_KEY} FROM entries WHERE (principal, operation, idempotency_key) IN ({list}) \
             UNION ALL {OF_KEYS} ({hashes}) UNION ALL SELECT {no_entry}, {} \
             UNION ALL SELECT {no_entry}, NULL, NULL, NULL, {{now_ms}}, NULL, NULL",
            limits::NONE_IN_FORCE,
            limits::IN_FORCE,
        );
        values.extend(of_hashes);
        values.extend(limits::in_force());
        let rows = tx.query(&sql, values).await?;
        let (of_controls, others): (Vec<&Row>, Vec<&Row>) = {
            let is_control = |row: &&Row| row.get::<Option<&str>>("control").is_ok_and(|name| name.is_some());
            rows.iter().partition(is_control)
        };
        let (mut known, mut archived, mut now_us) = (HashMap::new(), Vec::new(), 0);
        for row in others {
            match row.get::<Option<i64>>("now_ms")? {
                Some(now_ms) => now_us = now_ms.saturating_mul(1_000),
                None => match Kept::read(row)? {
                    Some(kept) => archived.push(kept),
                    None => {
                        let entry = Entry::read(row)?;
                        known.insert(key_of_entry(&entry), entry);
                    }
                },
            }
        }
        Ok(Self { known, archived, book: limits::read_book(of_controls)?, now_us })
    }

    /// Is the key of this write another's already?
    pub(super) fn knows(&self, write: &Write) -> bool {
        self.known.contains_key(&key_of(write)) || self.archived(write).is_some()
    }

    /// The archived entry that answers this write's key.
    pub(super) fn archived(&self, write: &Write) -> Option<&Kept> {
        self.archived.iter().find(|kept| kept.answers(write, self.now_us))
    }
}

fn key_of_entry(entry: &Entry) -> Key {
    (entry.principal.clone(), entry.operation.clone(), entry.idempotency_key.clone())
}
