//! What waits in the journal, counted for alerts. One process counts for all: the counts cost what waits.

use std::time::Duration;

use metrics::gauge;
use standin::journal::{Backlog, EntryId, GatewayJournal, Instance, JournalError};

use crate::metrics::{BREAKS, CONTRADICTED, ENTRIES, OLDEST_OPEN_SECONDS};

/// The fence's name in the journal.
const FENCE: &str = "counts";

/// Counts while it holds the fence.
pub(crate) struct Counts {
    journal: GatewayJournal,
    instance: Instance,
    every: Duration,
    confirmed_within: Duration,
    ours: bool,
    /// Up to where postings without a change event were looked for.
    looked_up_to: Option<EntryId>,
}

impl Counts {
    /// To be asked `every` so often.
    pub(crate) fn new(
        journal: GatewayJournal,
        instance: Instance,
        every: Duration,
        confirmed_within: Duration,
    ) -> Self {
        Self { journal, instance, every, confirmed_within, ours: false, looked_up_to: None }
    }

    /// Counts if no other process does. Answers whether it counted.
    pub(crate) async fn count(&mut self) -> Result<bool, JournalError> {
        let ttl_ms = i64::try_from(self.every.saturating_mul(3).as_millis()).unwrap_or(i64::MAX);
        let ours = self.journal.hold_fence(FENCE, &self.instance, ttl_ms).await?.is_some();
        if !ours && std::mem::replace(&mut self.ours, ours) {
            // Another process tells now. What was told last here must not stand for ever.
            publish(Backlog::default());
        }
        self.ours = ours;
        if ours {
            let from = self.looked_up_to.take();
            self.looked_up_to = self.journal.find_unconfirmed(self.confirmed_within, from).await?.next_after;
            publish(self.journal.backlog().await?);
        }
        Ok(ours)
    }
}

fn publish(backlog: Backlog) {
    let Backlog { by_state, oldest_open, contradicted, breaks } = backlog;
    let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    for state in schemas::entry::EntryState::ALL.into_iter().filter(|state| !state.is_terminal()) {
        gauge!(ENTRIES, "state" => state.as_str()).set(number(by_state.get(&state).copied().unwrap_or(0)));
    }
    gauge!(OLDEST_OPEN_SECONDS).set(oldest_open.as_secs_f64());
    gauge!(CONTRADICTED).set(number(contradicted));
    gauge!(BREAKS).set(number(breaks));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sql::Db;
    use standin::journal::Journal;

    use super::*;
    use crate::doubles::NoAccounts;

    #[tokio::test]
    async fn of_several_processes_one_counts_until_it_is_gone() {
        let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        let journal = Journal::open(db.clone(), Arc::new(NoAccounts), "core").await.unwrap();
        let counts = |id: &str| {
            let instance = Instance { id: id.into(), boot: 1 };
            Counts::new(journal.gateway(), instance, Duration::from_secs(5), Duration::from_secs(120))
        };
        let (mut one, mut other) = (counts("one"), counts("other"));
        assert!(one.count().await.unwrap() && !other.count().await.unwrap());
        assert!(one.count().await.unwrap(), "it goes on");
        db.exec("UPDATE fences SET until_ms = 0", Vec::new()).await.unwrap();
        assert!(other.count().await.unwrap() && !one.count().await.unwrap());
    }
}
