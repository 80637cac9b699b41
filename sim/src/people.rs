//! Operators: they look at what waits for a person, look into the core's books, and order what is right.

use std::sync::Arc;
use std::time::Duration;

use schemas::entry::EntryState;
use standin::journal::{Act, Entry, Fenced, Filter, Grounds, Journal, ModeOrder, Order};
use tokio::time::sleep;

use crate::client::next_id;
use crate::core::{Core, short};
use crate::fault::Fault;
use crate::host::Host;
use crate::plan::LIFETIME_MS;
use crate::world::World;

const WHO: &str = "op";

/// The operators of the bank.
pub struct People {
    /// The world.
    pub world: Arc<World>,
    /// What they steer.
    pub journal: Journal,
    /// Whose books they can read.
    pub core: Arc<Core>,
    /// The hosts they look after.
    pub hosts: Arc<[Arc<Host>]>,
}

impl People {
    /// They look again and again.
    pub async fn work(self) {
        loop {
            sleep(Duration::from_millis(self.world.draw(|chance| chance.between(1_500, 5_000)))).await;
            self.steer().await;
            self.look_after_hosts().await;
            self.decide(EntryState::Parked).await;
            if self.world.strikes(Fault::Cancelled, 4, WHO) {
                self.decide(EntryState::Queued).await;
            }
        }
    }

    /// Modes and pauses. In calm times all is as it is by default.
    async fn steer(&self) {
        let journal = self.journal.operators();
        if !self.world.is_stormy() {
            if journal.replay_paused().await.unwrap_or(false) {
                let _ = journal.pause_replay(WHO, false, "calm").await;
            }
            if journal.mode_order().await.is_ok_and(|order| order != ModeOrder::Auto) {
                let _ = journal.order_mode(WHO, ModeOrder::Auto, "calm").await;
            }
            return;
        }
        if self.world.strikes(Fault::ReplayPaused, 6, WHO) {
            let paused = self.world.draw(|chance| chance.one_in(2));
            let _ = journal.pause_replay(WHO, paused, "as they like").await;
        }
        if self.world.strikes(Fault::ModeOrdered, 6, WHO) {
            let orders = [ModeOrder::Auto, ModeOrder::StandIn, ModeOrder::Normal];
            let order = self.world.draw(|chance| chance.pick(&orders).copied()).unwrap_or_default();
            let _ = journal.order_mode(WHO, order, "as they like").await;
        }
    }

    /// A host that is off for good is declared gone. They see that it is off.
    async fn look_after_hosts(&self) {
        for host in self.hosts.iter().filter(|host| host.is_lost()) {
            let Ok(Some(instance)) = self.journal.operators().instance(&host.name).await else { continue };
            if host.process().is_some_and(|process| !process.is_dead()) || !host.is_lost() {
                continue;
            }
            let (id, boot, beats) = (instance.id, instance.boot, instance.beats);
            let act = Act::DeclareGone { instance: id, boot, beats, fenced: Fenced::PoweredOff };
            let proof = Grounds { absence_proof: Some("it is off".into()), ..Grounds::because("lost") };
            if instance.gone_boot >= boot || self.give(act, proof).await {
                host.is_found();
            }
        }
    }

    async fn decide(&self, state: EntryState) {
        let filter = Filter { states: vec![state], account: None, after: None, limit: 20 };
        for entry in self.journal.operators().list(&filter).await.unwrap_or_default() {
            self.decide_about(&entry).await;
        }
    }

    async fn decide_about(&self, entry: &Entry) {
        let id = entry.id.clone();
        if entry.state == EntryState::Queued {
            self.give(Act::Cancel { entry: id }, Grounds::because("as they like")).await;
            return;
        }
        if self.core.has(&entry.core_ref) {
            // Its change events may come before they have decided.
            if self.world.draw(|chance| chance.below(3)) > 0 {
                return;
            }
            let proof = Grounds { posted_proof: Some("it is in the books".into()), ..Grounds::because("seen") };
            self.give(Act::Adopt { entry: id, debit_posting_no: None }, proof).await;
            return;
        }
        let absent = Grounds { absence_proof: Some("it is not in the books".into()), ..Grounds::because("looked") };
        // They wait until nothing can be on its way, and look once more.
        if self.core.may_come(&entry.core_ref) {
            return;
        }
        match self.world.chosen(Fault::WrittenOff, 3) {
            true => self.give(Act::WriteOff { entry: id }, absent).await,
            false => self.give(Act::Retry { entry: id }, absent).await,
        };
    }

    async fn give(&self, act: Act, grounds: Grounds) -> bool {
        let (kind, subject) = (act.kind(), act.subject().to_owned());
        let done =
            self.journal.operators().give(&next_id(&self.world, WHO), WHO, &Order { act, grounds }, LIFETIME_MS).await;
        let what = done.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
        self.world.note(WHO, &format!("orders {kind:?} of {}: {what}", short(&subject)));
        done.is_ok()
    }
}
