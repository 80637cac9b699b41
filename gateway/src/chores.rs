//! What one process does for all: it counts what waits, for alerts, and follows up what people ordered. What a process must know to decide
//! about its own requests is not here: mode order, what is ordered, its own attempts and its clock are each process's own to look at.

use std::time::Duration;

use metrics::gauge;
use standin::journal::{Backlog, EntryId, GatewayJournal, Instance, JournalError};

use crate::metrics::{BREAKS, CONTRADICTED, ENTRIES, OLDEST_OPEN_SECONDS};

/// The fence's name in the journal, from when counting was all that it was for: processes of that time share it.
const FENCE: &str = "counts";

/// Done while it holds the fence. Should two processes believe for a moment that they do, both do the same: each step locks what it changes.
pub(crate) struct Chores {
    journal: GatewayJournal,
    instance: Instance,
    every: Duration,
    confirmed_within: Duration,
    ours: bool,
    /// Up to where postings without a change event were looked for.
    looked_up_to: Option<EntryId>,
}

impl Chores {
    /// To be asked `every` so often.
    pub(crate) fn new(
        journal: GatewayJournal,
        instance: Instance,
        every: Duration,
        confirmed_within: Duration,
    ) -> Self {
        Self { journal, instance, every, confirmed_within, ours: false, looked_up_to: None }
    }

    /// Does everything if no other process does. Answers whether it did. What fails keeps the rest from nothing, and is tried again.
    pub(crate) async fn round(&mut self) -> Result<bool, JournalError> {
        let ttl_ms = i64::try_from(self.every.saturating_mul(3).as_millis()).unwrap_or(i64::MAX);
        let ours = self.journal.hold_fence(FENCE, &self.instance, ttl_ms).await?.is_some();
        if !ours && std::mem::replace(&mut self.ours, ours) {
            // Another process tells now. What was told last here must not stand for ever.
            publish(Backlog::default());
        }
        self.ours = ours;
        if ours {
            complain("the journal's backlog cannot be counted", self.count().await);
            // Both are rare. Their rows alone tell them, so it does not matter which process took the order.
            let ended = self.journal.end_attempts_of_gone(&self.instance).await.map(drop);
            complain("attempts of instances that are gone cannot be ended", ended);
            complain("what was keyed by hand cannot be confirmed", self.journal.confirm_linked().await.map(drop));
        }
        Ok(ours)
    }

    async fn count(&mut self) -> Result<(), JournalError> {
        let from = self.looked_up_to.take();
        self.looked_up_to = self.journal.find_unconfirmed(self.confirmed_within, from).await?.next_after;
        publish(self.journal.backlog().await?);
        Ok(())
    }
}

fn complain(what: &str, outcome: Result<(), JournalError>) {
    if let Err(err) = outcome {
        tracing::warn!(error = %err, "{what}");
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

    use sql::{Db, Tally};
    use standin::journal::Journal;

    use super::*;
    use crate::doubles::NoAccounts;

    async fn processes() -> (Db, Journal, Tally, [Chores; 2]) {
        let tally = Tally::default();
        let options = sql::Options { tally: Some(tally.clone()), ..sql::Options::default() };
        let db = Db::open("sqlite::memory:", options).await.unwrap();
        let journal = Journal::open(db.clone(), Arc::new(NoAccounts), "core").await.unwrap();
        let chores = ["one", "other"].map(|id| {
            let instance = Instance { id: id.into(), boot: 1 };
            Chores::new(journal.gateway(), instance, Duration::from_secs(5), Duration::from_secs(120))
        });
        (db, journal, tally, chores)
    }

    #[tokio::test]
    async fn of_several_processes_one_does_it_until_it_is_gone() {
        let (db, _, tally, [mut one, mut other]) = processes().await;
        assert!(one.round().await.unwrap());
        let before = tally.statements();
        assert!(!other.round().await.unwrap());
        assert_eq!(tally.statements() - before, 2, "who does not do it asks for the fence alone");
        assert!(one.round().await.unwrap(), "it goes on");
        db.exec("UPDATE fences SET until_ms = 0", Vec::new()).await.unwrap();
        assert!(other.round().await.unwrap() && !one.round().await.unwrap());
    }

    #[tokio::test]
    async fn a_successor_ends_what_a_gone_instance_left_though_the_first_one_died_before_it_did() {
        let (db, journal, _, [mut one, mut other]) = processes().await;
        journal.register_instance("lost").await.unwrap();
        assert!(one.round().await.unwrap(), "the first one, which dies now");
        // Declared gone, and a commit of its own landed after that.
        for sql in [
            "UPDATE instances SET gone_boot = boot WHERE id = 'lost'",
            "INSERT INTO attempts (entry_id, n, owner, boot, started_us) VALUES ('01890000000070008000000000000000', 1, 'lost', 1, 1)",
        ] {
            db.exec(sql, Vec::new()).await.unwrap();
        }
        let open = async || journal.operators().instance("lost").await.unwrap().unwrap().open_attempts;
        assert!(!other.round().await.unwrap());
        assert_eq!(open().await, 1, "the fence has not run out yet");
        db.exec("UPDATE fences SET until_ms = 0", Vec::new()).await.unwrap();
        assert!(other.round().await.unwrap());
        assert_eq!(open().await, 0);
    }
}
