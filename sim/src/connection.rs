//! A process's way to the simulated core, and what can go wrong on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connectors::{CoreConnector, Probe};
use schemas::core::{Capabilities, Enquiry, Outcome, Unsent};
use schemas::post_request::PostRequest;
use sql::{Db, params};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::core::{Core, Weather, short};
use crate::fault::Fault;
use crate::plan::LIFETIME_MS;
use crate::process::Process;

/// A connector of one process.
pub struct Connection {
    core: Arc<Core>,
    process: Arc<Process>,
    /// Sees the journal as it is, for the rule that an attempt is recorded before a byte leaves.
    watcher: Db,
}

/// What becomes of a request that leaves.
struct Journey {
    /// It takes effect after this time; `None`: never.
    effect: Option<Duration>,
    /// Only if its sender lives on until then.
    needs_sender: bool,
    /// Its answer comes so long after the effect; `None`: never.
    reply: Option<Duration>,
}

impl Connection {
    /// A connector for this process.
    pub fn new(core: &Arc<Core>, process: &Arc<Process>, watcher: Db) -> Arc<Self> {
        Arc::new(Self { core: core.clone(), process: process.clone(), watcher })
    }

    fn strikes(&self, fault: Fault, n: u64) -> bool {
        self.process.world.strikes(fault, n, &self.process.name)
    }

    fn ms(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.process.world.draw(|chance| chance.between(low, high)))
    }

    fn journey(&self, longest: Duration) -> Journey {
        let (effect, reply) = (Some(self.ms(1, 15)), Some(self.ms(1, 15)));
        let usual = Journey { effect, needs_sender: false, reply };
        if self.strikes(Fault::RequestLost, 10) {
            return Journey { effect: None, ..usual };
        }
        if self.strikes(Fault::ReplyLost, 8) {
            return Journey { reply: None, ..usual };
        }
        if self.strikes(Fault::LateEffect, 6) {
            let late = self.ms(1, LIFETIME_MS - 50);
            return match self.process.world.draw(|chance| chance.one_in(2)) {
                true => Journey { effect: Some(late), needs_sender: false, reply: None },
                false => Journey { effect: Some(longest + late), needs_sender: true, reply: None },
            };
        }
        if self.strikes(Fault::CoreSlow, 10) {
            return Journey { effect: Some(self.ms(100, 1_400)), needs_sender: false, reply };
        }
        usual
    }

    /// Sends the request on its way; the answer comes through the channel, if it comes.
    fn send(&self, request: &PostRequest, journey: &Journey, longest: Duration) -> oneshot::Receiver<Outcome> {
        let (told, answer) = oneshot::channel();
        let Some(effect) = journey.effect else {
            // Its sender waits; dropping the other end would be an answer.
            tokio::spawn(async move {
                sleep(longest * 2).await;
                drop(told);
            });
            return answer;
        };
        let (core, process, request) = (self.core.clone(), self.process.clone(), request.clone());
        let (needs_sender, reply, starts) = (journey.needs_sender, journey.reply, core.starts());
        core.is_on_its_way(&request.core_ref);
        tokio::spawn(async move {
            if needs_sender {
                sleep(longest).await;
                if !process.is_dead() {
                    sleep(effect.saturating_sub(longest)).await;
                }
            } else {
                sleep(effect).await;
            }
            // A core that started anew has forgotten what was on its way; one that hangs works on.
            let lost = core.starts() != starts || (needs_sender && process.is_dead());
            let outcome = (!lost).then(|| core.post(&request));
            core.is_over(&request.core_ref);
            match (outcome, reply) {
                (Some(outcome), Some(reply)) => {
                    sleep(reply).await;
                    // A sender that gave up does not hear it.
                    let _ = told.send(outcome);
                }
                _ => {
                    sleep(longest * 2).await;
                    drop(told);
                }
            }
        });
        answer
    }

    /// The rule "intent before bytes": the journal has an open attempt of this reference.
    async fn check_intent(&self, core_ref: &str) {
        let sql = "SELECT COUNT(*) AS n FROM attempts a JOIN entries e ON e.id = a.entry_id \
             WHERE e.core_ref = ? AND a.ended_us IS NULL";
        let open = self.watcher.query(sql, params![core_ref]).await;
        let open = open.ok().and_then(|rows| rows.first().and_then(|row| row.get::<i64>("n").ok()));
        if open == Some(0) {
            self.process.world.fail("intent", &format!("{} is sent without an open attempt", short(core_ref)));
        }
    }

    async fn attempt(&self, request: &PostRequest, longest: Duration) -> Outcome {
        let (asked, process) = (Instant::now(), &self.process);
        let reason = String::from("simulated");
        let unsent = |why| Outcome::NotSent { why, reason: "simulated".into() };
        process.may_fall(Fault::CrashAtCore, Fault::PauseAtCore, 30);
        process.gate().await;
        // The connector asks the time once more with a connection in hand.
        let Some(left) = longest.checked_sub(asked.elapsed()).filter(|left| !left.is_zero()) else {
            return unsent(Unsent::NotTried);
        };
        let weather = self.core.weather();
        if weather == Weather::Away || self.strikes(Fault::Refused, 15) {
            return unsent(Unsent::CoreAway);
        }
        if self.strikes(Fault::TornBefore, 20) {
            return unsent(Unsent::ConnectionLost);
        }
        if weather == Weather::ReadOnly || self.core.is_locked_for(request) || self.strikes(Fault::NotDone, 14) {
            sleep(self.ms(1, 10)).await;
            return unsent(Unsent::NotDone);
        }
        self.check_intent(&request.core_ref).await;
        process.world.note(&process.name, &format!("sends {}", short(&request.core_ref)));
        let mut journey = self.journey(left);
        if weather == Weather::Hangs {
            let lost = process.world.draw(|chance| chance.one_in(2));
            journey = Journey { effect: journey.effect.filter(|_| !lost), reply: None, ..journey };
        }
        if weather == Weather::Stopped {
            // Its lifetime begins when it is read.
            let effect = self.core.weather_left() + self.ms(1, LIFETIME_MS - 50);
            journey = Journey { effect: Some(effect), needs_sender: false, reply: journey.reply };
        }
        let answer = self.send(request, &journey, left);
        process.may_fall(Fault::CrashAtCore, Fault::PauseAtCore, 40);
        match timeout(left, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::Unknown { reason },
        }
    }

    async fn ask(&self, core_ref: &str, longest: Duration) -> Enquiry {
        let (process, reason) = (&self.process, String::from("simulated"));
        process.may_fall(Fault::CrashAtCore, Fault::PauseAtCore, 60);
        process.gate().await;
        match self.core.weather() {
            Weather::Away => return Enquiry::Unavailable { reason },
            Weather::Hangs => {
                sleep(longest).await;
                return Enquiry::Unavailable { reason };
            }
            Weather::Stopped if self.core.weather_left() >= longest => {
                sleep(longest).await;
                return Enquiry::Unavailable { reason };
            }
            Weather::Stopped => sleep(self.core.weather_left() + self.ms(1, 10)).await,
            Weather::Well | Weather::ReadOnly => sleep(self.ms(1, 10)).await,
        }
        if self.strikes(Fault::EnquiryLost, 12) {
            sleep(longest).await;
            return Enquiry::Unavailable { reason };
        }
        let found = self.core.enquire(core_ref);
        if self.strikes(Fault::StaleEnquiry, 5) {
            sleep(longest * 9 / 10).await;
        }
        found
    }
}

#[async_trait]
impl CoreConnector for Connection {
    fn name(&self) -> &str {
        "core"
    }

    fn capabilities(&self) -> Capabilities {
        self.core.class().capabilities()
    }

    fn offers(&self, _: &str) -> bool {
        true
    }

    fn refusal_reason(&self, _: &str, _: &str) -> Option<&str> {
        None
    }

    async fn post(&self, request: &PostRequest, longest: Duration) -> Outcome {
        let outcome = self.attempt(request, longest).await;
        self.process.gate().await;
        let (name, what) = (&self.process.name, outcome.as_str());
        self.process.world.note(name, &format!("hears of {}: {what}", short(&request.core_ref)));
        outcome
    }

    async fn enquire(&self, _: &str, core_ref: &str, longest: Duration) -> Enquiry {
        if !self.core.class().capabilities().enquiry {
            return Enquiry::Unavailable { reason: "this core cannot be asked".into() };
        }
        let found = self.ask(core_ref, longest).await;
        self.process.gate().await;
        let what = match &found {
            Enquiry::Posted { .. } => "posted",
            Enquiry::Refused { .. } => "refused",
            Enquiry::Pending => "pending",
            Enquiry::NotFound => "not found",
            Enquiry::Unavailable { .. } | Enquiry::NotUnderstood { .. } => "no answer",
        };
        self.process.world.note(&self.process.name, &format!("asks about {}: {what}", short(core_ref)));
        found
    }

    async fn probe(&self, longest: Duration) -> Probe {
        self.process.gate().await;
        sleep(Duration::from_millis(2)).await;
        let probe = match self.core.weather() {
            Weather::Well => Probe::Up,
            Weather::ReadOnly => Probe::ReadOnly,
            Weather::Away => Probe::Down { reason: "simulated".into() },
            Weather::Stopped if self.core.weather_left() < longest => {
                sleep(self.core.weather_left()).await;
                Probe::Up
            }
            Weather::Hangs | Weather::Stopped => {
                sleep(longest).await;
                Probe::Down { reason: "simulated".into() }
            }
        };
        self.process.gate().await;
        probe
    }
}
