//! How old the read model is: the source time up to which everything is applied. Pure.
//!
//! A topic's partitions are read side by side, so an event proves nothing about other partitions. A heartbeat does, once
//! **every partition was applied up to an end offset asked for after the heartbeat was in hand**: the connector had sent
//! everything older before the heartbeat. The same proof shows that the snapshot is complete.
//!
//! One broker acknowledges in the order of sending. Several do not: a record for one may wait for a new leader while another
//! has acknowledged the heartbeat that was sent after it, until the producer gives it up (`held_back_ms_max`). Then a
//! heartbeat attests only the time that much before its own, and the snapshot is complete once such a time has passed its end.
//!
//! A connector that is catching up sends heartbeats with today's time while it reads yesterday's log. So a heartbeat that
//! follows a late event (made more than [`LATE_MS`] before it was sent) attests only that event's time.
//! No sign is newer than the moment it was polled: a clock that is ahead of ours must not make data younger than it is.
//! Traffic on tables that are not captured can hide such a lag; a captured heartbeat table in the core cannot be fooled.
//! Idle is not stale: heartbeats go on. Silence is not fresh: without them the time stands still.

use std::cmp::Reverse;
use std::collections::HashMap;

use read_model::Partition;
use schemas::debezium::ChangeEvent;

use crate::feed::Ends;

/// An event sent this much later than it was made shows a connector that is catching up, in milliseconds.
pub const LATE_MS: i64 = 5_000;
/// For how long after a late event heartbeats are distrusted, in milliseconds.
const DISTRUST_MS: i64 = 3_000;

/// What a batch says about time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// The newest heartbeat's time.
    pub heartbeat_ms: Option<i64>,
    /// The streamed event that was sent last: (when it was sent, when the core made it).
    pub event: Option<(i64, i64)>,
    /// Something that only comes after the snapshot's last row, or that row.
    pub snapshot_over: bool,
}

impl Signs {
    /// A heartbeat came through the core's own log.
    pub(crate) fn beat(&mut self, event: &ChangeEvent<'_>) {
        if !event.source.snapshot.is_snapshot() {
            self.heartbeat_ms = self.heartbeat_ms.max(Some(event.source.ts_source_ms));
        }
    }

    /// A streamed event was seen. Partitions come side by side, so the last one read need not be the last one sent.
    pub(crate) fn saw(&mut self, sent_ms: i64, made_ms: i64) {
        self.event = last_sent(self.event, (sent_ms, made_ms));
        self.snapshot_over = true;
    }
}

/// The one that was sent last; of those sent together the one made first.
fn last_sent(known: Option<(i64, i64)>, seen: (i64, i64)) -> Option<(i64, i64)> {
    known.into_iter().chain([seen]).max_by_key(|(sent_ms, made_ms)| (*sent_ms, Reverse(*made_ms)))
}

/// What is proven now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proven {
    /// Newest attested source time.
    pub as_of_ms: Option<i64>,
    /// The first load is complete.
    pub loaded: bool,
}

/// A claim that holds once every partition is applied up to its end.
#[derive(Debug, Clone, Default)]
struct Claim {
    as_of_ms: Option<i64>,
    /// What only comes after the snapshot's last row was seen by then.
    snapshot_over_ms: Option<i64>,
    held_back_ms_max: i64,
    ends: Option<HashMap<Partition, i64>>,
}

impl Claim {
    /// What it proves of time.
    fn attested_ms(&self) -> Option<i64> {
        self.as_of_ms.map(|ms| ms.saturating_sub(self.held_back_ms_max).max(0))
    }

    /// Does it prove that the snapshot is complete?
    fn is_loaded(&self) -> bool {
        let complete = |over_ms| self.held_back_ms_max == 0 || self.attested_ms().is_some_and(|ms| ms >= over_ms);
        self.snapshot_over_ms.is_some_and(complete)
    }
}

/// The ingester's memory of claims. Two are enough: the one whose ends are known, and the one that collects.
#[derive(Debug, Clone, Default)]
pub struct Attestation {
    proven: Proven,
    waiting: Option<Claim>,
    next: Option<Claim>,
    last: Option<(i64, i64)>,
    /// The first time at which a sign said that the snapshot was over.
    snapshot_over_ms: Option<i64>,
}

impl Attestation {
    /// Goes on from what SQL remembers.
    pub fn new(proven: Proven) -> Self {
        Self { proven, ..Self::default() }
    }

    /// A batch was polled until `now_ms`, with its signs and the ends asked for after it.
    pub fn polled(&mut self, signs: Signs, ends: Option<&Ends>, now_ms: i64) {
        if let Some((sent_ms, made_ms)) = signs.event {
            self.last = last_sent(self.last, (sent_ms.min(now_ms), made_ms));
        }
        if signs.snapshot_over {
            self.snapshot_over_ms.get_or_insert(signs.heartbeat_ms.map_or(now_ms, |ms| ms.min(now_ms)));
        }
        if signs.heartbeat_ms.is_some() || signs.snapshot_over {
            let attested_ms = signs.heartbeat_ms.map(|ms| self.believable(ms.min(now_ms).max(0)));
            let claim = self.next.get_or_insert_default();
            claim.as_of_ms = claim.as_of_ms.max(attested_ms);
            claim.snapshot_over_ms = self.snapshot_over_ms;
        }
        if let Some(ends) = ends
            && self.waiting.is_none()
            && let Some(mut claim) = self.next.take()
        {
            claim.held_back_ms_max = ends.held_back_ms_max;
            claim.ends = Some(ends.offsets.iter().cloned().collect());
            self.waiting = Some(claim);
        }
    }

    /// A table came to light before the first load was complete: it is complete when a later sign proves it.
    pub(crate) fn load_again(&mut self) {
        (self.proven.loaded, self.snapshot_over_ms) = (false, None);
        for claim in self.waiting.iter_mut().chain(&mut self.next) {
            claim.snapshot_over_ms = None;
        }
    }

    fn believable(&self, heartbeat_ms: i64) -> i64 {
        let late = |(sent_ms, made_ms): &(i64, i64)| {
            sent_ms.saturating_sub(*made_ms) > LATE_MS && heartbeat_ms < sent_ms.saturating_add(DISTRUST_MS)
        };
        self.last.filter(late).map_or(heartbeat_ms, |(_, made_ms)| made_ms.min(heartbeat_ms))
    }

    /// What will be proven when these next offsets are applied.
    pub fn applied(&mut self, next: &HashMap<Partition, i64>) -> Proven {
        let reached = self.waiting.as_ref().is_some_and(|claim| {
            claim.ends.iter().flatten().all(|(partition, end)| next.get(partition).copied().unwrap_or(0) >= *end)
        });
        if reached && let Some(claim) = self.waiting.take() {
            self.proven.as_of_ms = self.proven.as_of_ms.max(claim.attested_ms());
            self.proven.loaded |= claim.is_loaded();
        }
        self.proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn ends<const N: usize>(offsets: [(Partition, i64); N]) -> Option<Ends> {
        Some(offsets.to_vec().into())
    }

    fn partition(n: i32) -> Partition {
        Partition { topic: "t".into(), partition: n }
    }

    fn heartbeat(ms: i64) -> Signs {
        Signs { heartbeat_ms: Some(ms), ..Signs::default() }
    }

    #[test]
    fn a_heartbeat_counts_when_every_partition_reached_the_end_known_after_it() {
        let mut attestation = Attestation::default();
        let mut next = HashMap::from([(partition(0), 5), (partition(1), 0)]);
        attestation.polled(heartbeat(1_000), None, NOW_MS);
        assert_eq!(attestation.applied(&next).as_of_ms, None, "no end is known");
        attestation.polled(Signs::default(), ends([(partition(0), 5), (partition(1), 2)]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&next).as_of_ms, None, "partition 1 is unread");
        next.insert(partition(1), 2);
        assert_eq!(attestation.applied(&next).as_of_ms, Some(1_000));
    }

    #[test]
    fn heartbeats_while_waiting_are_proven_later_not_dropped() {
        let mut attestation = Attestation::default();
        attestation.polled(heartbeat(1_000), ends([(partition(0), 9)]).as_ref(), NOW_MS);
        attestation.polled(heartbeat(2_000), ends([(partition(0), 12)]).as_ref(), NOW_MS);
        let mut next = HashMap::from([(partition(0), 9)]);
        assert_eq!(attestation.applied(&next).as_of_ms, Some(1_000));
        attestation.polled(Signs::default(), ends([(partition(0), 12)]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&next).as_of_ms, Some(1_000));
        next.insert(partition(0), 12);
        assert_eq!(attestation.applied(&next).as_of_ms, Some(2_000));
    }

    #[test]
    fn a_connector_that_catches_up_attests_no_more_than_what_it_reads() {
        let mut attestation = Attestation::default();
        let event = Some((100_000, 40_000));
        attestation.polled(
            Signs { heartbeat_ms: Some(100_500), event, snapshot_over: false },
            ends([]).as_ref(),
            NOW_MS,
        );
        assert_eq!(attestation.applied(&HashMap::new()).as_of_ms, Some(40_000));
        attestation.polled(heartbeat(104_000), ends([]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()).as_of_ms, Some(104_000), "quiet since: caught up");
    }

    #[test]
    fn an_older_event_of_another_partition_does_not_hide_that_the_connector_catches_up() {
        let mut attestation = Attestation::default();
        let event = |sent_ms, made_ms| Signs { event: Some((sent_ms, made_ms)), ..Signs::default() };
        attestation.polled(event(100_000, 40_000), ends([]).as_ref(), NOW_MS);
        attestation.polled(event(50_000, 49_900), ends([]).as_ref(), NOW_MS);
        attestation.polled(heartbeat(100_500), ends([]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()).as_of_ms, Some(40_000));
    }

    #[test]
    fn nothing_is_attested_beyond_the_moment_of_the_poll() {
        let mut attestation = Attestation::default();
        attestation.polled(heartbeat(NOW_MS + 3_600_000), ends([]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()).as_of_ms, Some(NOW_MS));
        // An event sent in the future says nothing about heartbeats from then on.
        let signs = Signs { event: Some((i64::MAX, 0)), ..Signs::default() };
        attestation.polled(signs, ends([]).as_ref(), NOW_MS);
        attestation.polled(heartbeat(NOW_MS + 10_000), ends([]).as_ref(), NOW_MS + 10_000);
        assert_eq!(attestation.applied(&HashMap::new()).as_of_ms, Some(NOW_MS + 10_000));
    }

    #[test]
    fn no_time_from_outside_overflows() {
        for event in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (i64::MAX, 0)] {
            let mut attestation = Attestation::default();
            let signs = Signs { heartbeat_ms: Some(i64::MIN), event: Some(event), snapshot_over: false };
            attestation.polled(signs, ends([]).as_ref(), NOW_MS);
            attestation.applied(&HashMap::new());
        }
    }

    #[test]
    fn the_first_load_is_complete_only_when_everything_before_the_sign_is_applied() {
        let mut attestation = Attestation::default();
        attestation.polled(
            Signs { snapshot_over: true, ..Signs::default() },
            ends([(partition(1), 3)]).as_ref(),
            NOW_MS,
        );
        assert!(!attestation.applied(&HashMap::from([(partition(1), 2)])).loaded);
        assert!(attestation.applied(&HashMap::from([(partition(1), 3)])).loaded);
    }

    #[test]
    fn with_several_brokers_a_heartbeat_attests_what_was_sent_before_any_record_may_still_wait() {
        let mut attestation = Attestation::default();
        let several = || Some(Ends { held_back_ms_max: 120_000, ..Ends::default() });
        attestation.polled(Signs { snapshot_over: true, ..heartbeat(500_000) }, several().as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()), Proven { as_of_ms: Some(380_000), loaded: false });
        attestation.polled(heartbeat(619_999), several().as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()), Proven { as_of_ms: Some(499_999), loaded: false });
        attestation.polled(heartbeat(620_000), several().as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()), Proven { as_of_ms: Some(500_000), loaded: true });
    }

    #[test]
    fn time_never_goes_back() {
        let mut attestation = Attestation::new(Proven { as_of_ms: Some(5_000), loaded: true });
        attestation.polled(heartbeat(4_000), ends([]).as_ref(), NOW_MS);
        assert_eq!(attestation.applied(&HashMap::new()), Proven { as_of_ms: Some(5_000), loaded: true });
    }
}
