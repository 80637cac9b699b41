//! What the topics of a connector hold at one moment, from their beginning to where they ended then. Nothing is kept of where it was
//! read to.

use std::collections::HashMap;

use read_model::{Partition, Place};

use crate::discovery::beginning_gone;
use crate::feed::{Batch, BatchBounds, Ends, Feed, FeedError, Polled, RawRecord};
use crate::halt::Halt;
use crate::kafka::KafkaFeed;
use crate::kafka_options::KafkaOptions;
use crate::topics::TopicFilter;

/// Reads all there is, once.
pub struct Whole {
    feed: Box<dyn Feed>,
    tables: Vec<String>,
    /// The next offset of each partition.
    next: HashMap<Partition, i64>,
    /// Where each began.
    first: HashMap<Partition, i64>,
    /// Where each ended when all of them were known.
    goal: Option<Vec<(Partition, i64)>>,
    incomplete: Option<Halt>,
}

impl Whole {
    /// Of the tables of a mapping; without tables, of all topics that the connector has for tables. Whether brokers answer is told by
    /// [`Whole::next`].
    pub fn of_kafka(options: &KafkaOptions, tables: Option<Vec<String>>) -> Result<Self, FeedError> {
        let topics = match &tables {
            Some(tables) => TopicFilter::new(&options.topic_prefix, tables.iter().cloned()),
            None => TopicFilter::all(&options.topic_prefix),
        };
        let feed = KafkaFeed::start(options, topics, BatchBounds::default())?;
        Ok(Self::new(Box::new(feed), tables.unwrap_or_default()))
    }

    /// Of any feed.
    pub fn new(feed: Box<dyn Feed>, tables: Vec<String>) -> Self {
        Self { feed, tables, next: HashMap::new(), first: HashMap::new(), goal: None, incomplete: None }
    }

    /// The next records; none when all was read that was there. An error that is not [`FeedError::Unavailable`] is final.
    pub async fn next(&mut self) -> Result<Option<Vec<RawRecord>>, FeedError> {
        while !self.is_over() {
            match self.feed.poll().await? {
                Polled::Discovered(found) => self.found(found).await?,
                Polled::Batch(Batch { records, ends }) => {
                    for record in &records {
                        self.next.insert(Partition::clone(&record.partition), record.offset.saturating_add(1));
                    }
                    if let Some(ends) = ends {
                        self.saw(ends);
                    }
                    if !records.is_empty() {
                        return Ok(Some(records));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn found(&mut self, found: Vec<(Partition, i64)>) -> Result<(), FeedError> {
        let gone = beginning_gone(&found, || self.tables.iter().cloned());
        self.incomplete = self.incomplete.take().or(gone);
        let place =
            |(partition, first): &(Partition, i64)| (partition.clone(), Place { next: *first, ..Place::default() });
        let places = found.iter().map(place).collect();
        for (partition, first) in found {
            self.next.insert(partition.clone(), first);
            self.first.insert(partition, first);
        }
        self.feed.assign(places).await
    }

    fn saw(&mut self, ends: Ends) {
        for (partition, reached) in ends.reached {
            let next = self.next.entry(partition).or_insert(reached);
            *next = reached.max(*next);
        }
        // What comes later is not waited for, or a live topic would never end.
        self.goal.get_or_insert(ends.offsets);
    }

    fn is_over(&self) -> bool {
        let read = |(partition, end): &(Partition, i64)| self.next.get(partition).is_some_and(|next| next >= end);
        self.goal.as_ref().is_some_and(|goal| goal.iter().all(read))
    }

    /// Records read and to be read, as offsets count; none before the ends are known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let span = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        let goal = self.goal.as_ref()?;
        let parts = goal.iter().map(|(partition, end)| {
            let first = self.first.get(partition).copied().unwrap_or(0);
            let next = self.next.get(partition).copied().unwrap_or(first).min(*end);
            (span(first, next), span(first, *end))
        });
        Some(parts.fold((0, 0), |(read, all), (r, a)| (read + r, all + a)))
    }

    /// True when the connector has no topic of what was asked for. Known when all was read.
    pub fn is_empty(&self) -> bool {
        self.goal.as_ref().is_some_and(Vec::is_empty)
    }

    /// Why the source would halt before its first record: a topic that does not begin with its first record any more.
    pub fn incomplete(&self) -> Option<&Halt> {
        self.incomplete.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use sql::BoxFuture;

    use super::*;

    struct Told(VecDeque<Polled>);

    impl Feed for Told {
        fn assign(&mut self, _: Vec<(Partition, Place)>) -> BoxFuture<'_, Result<(), FeedError>> {
            Box::pin(async { Ok(()) })
        }

        fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>> {
            let next = self.0.pop_front().ok_or_else(|| FeedError::Ended("nothing more was told".into()));
            Box::pin(async move { next })
        }
    }

    fn partition(number: i32) -> Partition {
        Partition { topic: "c.b.accounts".into(), partition: number }
    }

    fn records(number: i32, offsets: impl IntoIterator<Item = i64>) -> Polled {
        let partition = Arc::new(partition(number));
        let record = |offset| RawRecord {
            topic: "c.b.accounts".into(),
            partition: Arc::clone(&partition),
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
        };
        Polled::Batch(Batch { records: offsets.into_iter().map(record).collect(), ends: None })
    }

    fn ends(offsets: &[(i32, i64)], reached: &[(i32, i64)]) -> Polled {
        let of = |all: &[(i32, i64)]| all.iter().map(|(number, at)| (partition(*number), *at)).collect();
        let ends = Ends { offsets: of(offsets), reached: of(reached), held_back_ms_max: 0 };
        Polled::Batch(Batch { records: Vec::new(), ends: Some(ends) })
    }

    async fn all(told: Vec<Polled>) -> (Whole, usize) {
        let mut whole = Whole::new(Box::new(Told(told.into())), vec!["accounts".into()]);
        let mut read = 0;
        while let Some(records) = whole.next().await.unwrap() {
            read += records.len();
        }
        (whole, read)
    }

    #[tokio::test]
    async fn a_live_topic_is_read_to_where_it_ended_when_it_was_looked_at() {
        let found = Polled::Discovered(vec![(partition(0), 0), (partition(1), 0)]);
        let told = vec![found, records(0, 0..2), ends(&[(0, 3), (1, 1)], &[]), records(0, 2..9), records(1, 0..1)];
        let (whole, read) = all(told).await;
        assert_eq!((read, whole.progress(), whole.is_empty()), (10, Some((4, 4)), false));
        assert!(whole.incomplete().is_none());
    }

    #[tokio::test]
    async fn the_brokers_own_records_at_the_end_are_not_waited_for() {
        let found = Polled::Discovered(vec![(partition(0), 0)]);
        let (_, read) = all(vec![found, records(0, 0..2), ends(&[(0, 3)], &[(0, 3)])]).await;
        assert_eq!(read, 2);
    }

    #[tokio::test]
    async fn no_topic_and_a_topic_without_its_beginning_are_told() {
        let (nothing, _) = all(vec![ends(&[], &[])]).await;
        assert!(nothing.is_empty());
        let found = Polled::Discovered(vec![(partition(0), 5)]);
        let (late, read) = all(vec![found, ends(&[(0, 6)], &[]), records(0, 5..6)]).await;
        assert_eq!((read, late.incomplete().is_some(), late.progress()), (1, true, Some((1, 1))));
    }
}
