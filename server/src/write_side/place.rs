//! A place among the instances that share the core's connections. One that finds none does not start (ADR 0034).

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use standin::journal::{Instance, Journal, Registration, SignOfLife};
use tokio::time::{Instant, sleep};

/// How long one waits for a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// An instance that gave no sign of life for so long has no place any more.
    silent_after: Duration,
    /// Longest wait: time enough to see which signs of life stand still.
    wait_max: Duration,
    look_every: Duration,
}

impl Default for Waiting {
    /// 15 s, three signs of life; waits for 30 s, looks every second.
    fn default() -> Self {
        Self {
            silent_after: Duration::from_secs(15),
            wait_max: Duration::from_secs(30),
            look_every: Duration::from_secs(1),
        }
    }
}

/// Registers the next holder of `id` once it has a place among `places`.
pub(super) async fn take(journal: &Journal, id: &str, places: usize, waiting: Waiting) -> anyhow::Result<Instance> {
    let (began, mut seen) = (Instant::now(), Seen::default());
    let silent_ms = i64::try_from(waiting.silent_after.as_millis()).unwrap_or(i64::MAX);
    loop {
        let dead = seen.silent(Instant::now(), waiting.silent_after);
        let registration = journal.register_among(id, places, silent_ms, dead).await;
        let others = match registration.context("registering this instance")? {
            Registration::Registered(instance) => return Ok(instance),
            Registration::NoPlace(others) => others,
        };
        let names: Vec<&str> = others.iter().map(|sign| sign.id.as_str()).collect();
        if began.elapsed() >= waiting.wait_max {
            anyhow::bail!(
                "instances_max: is {places}, and {} other instances are alive, with all the connections to the core: {}. Stop one of them \
                 first. Or raise instances_max: restart every instance with the new value before another one is added",
                others.len(),
                names.join(", ")
            );
        }
        if seen.is_new() {
            tracing::warn!(instances_max = places, alive = ?names, "as many instances as may run are alive; waiting for a place");
        }
        seen.note(others, Instant::now());
        sleep(waiting.look_every).await;
    }
}

/// When each newest sign of life was first seen here: another host's clock, or the SQL server's, proves nothing alone.
#[derive(Default)]
struct Seen(HashMap<String, (SignOfLife, Instant)>);

impl Seen {
    fn is_new(&self) -> bool {
        self.0.is_empty()
    }

    fn note(&mut self, signs: Vec<SignOfLife>, now: Instant) {
        for sign in signs {
            match self.0.get(&sign.id) {
                Some((known, _)) if *known == sign => {}
                _ => drop(self.0.insert(sign.id.clone(), (sign, now))),
            }
        }
    }

    /// Signs that have stood still for long enough.
    fn silent(&self, now: Instant, after: Duration) -> Vec<SignOfLife> {
        let silent = self.0.values().filter(|(_, since)| now.saturating_duration_since(*since) >= after);
        silent.map(|(sign, _)| sign.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sql::Db;

    use super::*;
    use crate::write_side::ReadModelFacts;

    const SHORT: Waiting = Waiting {
        silent_after: Duration::from_secs(1),
        wait_max: Duration::from_secs(2),
        look_every: Duration::from_millis(20),
    };

    async fn journal() -> (Db, Journal) {
        let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        let journal = Journal::open(db.clone(), Arc::new(ReadModelFacts), "core").await.unwrap();
        (db, journal)
    }

    #[tokio::test]
    async fn one_that_is_killed_leaves_its_place_to_its_next_holder_at_once() {
        let (_db, journal) = journal().await;
        let first = take(&journal, "one", 2, Waiting::default()).await.unwrap();
        take(&journal, "two", 2, Waiting::default()).await.unwrap();
        // Nobody waits here: the holder of the lock knows that its predecessor is dead.
        assert_eq!(take(&journal, "one", 2, Waiting::default()).await.unwrap().boot, first.boot + 1);
    }

    #[tokio::test]
    async fn one_too_many_is_refused_while_the_others_live() {
        let (_db, journal) = journal().await;
        let one = take(&journal, "one", 2, SHORT).await.unwrap();
        let two = take(&journal, "two", 2, SHORT).await.unwrap();
        let starting = take(&journal, "three", 2, SHORT);
        let living = async {
            loop {
                for instance in [&one, &two] {
                    journal.beat(instance).await.unwrap();
                }
                sleep(SHORT.look_every).await;
            }
        };
        let refused = tokio::select! {
            started = starting => started.unwrap_err().to_string(),
            () = living => unreachable!(),
        };
        for part in ["instances_max: is 2", "2 other instances", "one, two", "Stop one of them"] {
            assert!(refused.contains(part), "{part:?} is not in {refused:?}");
        }
        assert_eq!(journal.operators().instance("three").await.unwrap(), None, "it left no trace");
    }

    #[tokio::test]
    async fn a_sign_of_life_that_stands_still_gives_its_place_up_whatever_the_sql_servers_clock_says() {
        let (db, journal) = journal().await;
        take(&journal, "dead", 1, SHORT).await.unwrap();
        // The server's clock was set back by a day since.
        db.exec("UPDATE instances SET seen_us = seen_us + 86400000000", Vec::new()).await.unwrap();
        let began = Instant::now();
        let next = take(&journal, "next", 1, Waiting { wait_max: Duration::from_secs(60), ..SHORT }).await;
        assert_eq!(next.unwrap().boot, 1);
        assert!(began.elapsed() >= SHORT.silent_after);
    }
}
