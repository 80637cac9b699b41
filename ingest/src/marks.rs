//! The last record of a partition, by which a topic is known again. Pure.
//!
//! A topic that was deleted and made again has other records at the same offsets. So the last record applied is remembered
//! with its time and digest, and a new leader reads it again before it goes on. While it leads, it does so with a record that it
//! read before, each time it asks for the ends. Log compaction may have removed that
//! record. Then the first record of the topic decides: in the known topic it is older than the remembered one, in a later
//! topic it is younger. If compaction left no record up to ours, every key there has a later record, which is read, so
//! nothing can be missed.

use read_model::RecordMark;
use sha2::{Digest, Sha256};

use crate::feed::RawRecord;

/// Bytes of a digest that are kept.
const DIGEST_BYTES: usize = 16;

/// The mark of a record.
pub(crate) fn of(record: &RawRecord) -> RecordMark {
    let digest = digest(record.key.as_deref(), record.value.as_deref());
    RecordMark { offset: record.offset, sent_ms: record.timestamp_ms, digest }
}

/// A digest of key and value; absent and empty are not the same.
pub(crate) fn digest(key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [key, value] {
        hash.update(part.map_or(-1, |bytes| bytes.len() as i64).to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize()[..DIGEST_BYTES].to_vec()
}

/// What a partition held when it was looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reread {
    /// The first record at or after the remembered offset.
    pub(crate) there: Option<RecordMark>,
    /// The first record of the partition, asked for when the remembered one is gone.
    pub(crate) first: Option<RecordMark>,
}

/// True when the partition cannot be the one that `known` was read from.
pub(crate) fn is_another(known: &RecordMark, reread: &Reread) -> bool {
    match &reread.there {
        Some(there) if there.offset == known.offset => there != known,
        _ => reread.first.as_ref().is_some_and(|first| first.offset < known.offset && first.sent_ms > known.sent_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64, sent_ms: i64, digest: u8) -> RecordMark {
        RecordMark { offset, sent_ms: Some(sent_ms), digest: vec![digest] }
    }

    #[test]
    fn a_topic_is_known_again_by_its_last_record() {
        let known = mark(7, 100, 1);
        let at = |there| Reread { there, first: None };
        assert!(!is_another(&known, &at(Some(known.clone()))));
        assert!(is_another(&known, &at(Some(mark(7, 100, 2)))));
        assert!(is_another(&known, &at(Some(mark(7, 101, 1)))));
    }

    #[test]
    fn when_compaction_removed_it_the_first_record_of_the_topic_tells() {
        let known = mark(7, 100, 1);
        let compacted = |first| Reread { there: Some(mark(9, 120, 3)), first };
        assert!(!is_another(&known, &compacted(Some(mark(2, 50, 3)))), "older than ours");
        assert!(is_another(&known, &compacted(Some(mark(0, 110, 3)))), "a later topic");
        assert!(!is_another(&known, &compacted(Some(mark(9, 120, 3)))), "every key has a later record");
        assert!(!is_another(&known, &Reread { there: None, first: None }));
    }

    #[test]
    fn absent_and_empty_are_different_records() {
        assert_ne!(digest(None, Some(b"x")), digest(Some(b""), Some(b"x")));
        assert_ne!(digest(Some(b"ab"), Some(b"c")), digest(Some(b"a"), Some(b"bc")));
        assert_eq!(digest(Some(b"a"), None).len(), DIGEST_BYTES);
    }
}
