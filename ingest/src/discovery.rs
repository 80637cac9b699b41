//! Partitions that are found anew.

use read_model::Partition;

use crate::halt::Halt;
use crate::topics;

/// Why the source must halt, if a partition of a mapped table does not begin with its first record.
///
/// Compaction keeps the first offset. A later one means that records were deleted: the snapshot's rows, or changes that no
/// later record repeats. Reads would call their rows absent for ever, so the source halts (C6), whether or not the
/// connector takes snapshots.
pub(crate) fn beginning_gone<T>(found: &[(Partition, i64)], tables: impl Fn() -> T) -> Option<Halt>
where
    T: Iterator<Item = String>,
{
    let begun = |(p, first): &&(Partition, i64)| *first > 0 && topics::is_table(&p.topic, tables());
    let (Partition { topic, partition }, first) = found.iter().find(begun)?;
    Some(Halt::resumable(format!(
        "{topic}/{partition}: begins at offset {first}, so its snapshot is not complete any more; delete the topic, keep it \
         from losing records (retention.ms=-1) and let the connector take a new snapshot into it"
    )))
}
