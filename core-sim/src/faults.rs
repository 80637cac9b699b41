//! Which requests go wrong and how: chosen over the control port, decided per request by a seeded draw.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What goes wrong. Each variant says what the caller sees and what the core did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing.
    #[default]
    None,
    /// Connect is refused; idle connections are closed, requests under way are answered. Hits everyone whatever the share.
    Refuse,
    /// The request is read and never answered; nothing is posted.
    Hang,
    /// A posting is posted and never answered.
    HangPosts,
    /// The request waits `ms` before it is worked on.
    Slow,
    /// A posting is committed, then the connection is reset.
    DropAfterCommit,
    /// A posting is committed, then answered with 500.
    ErrorAfterCommit,
    /// Answered with 500; nothing is done.
    ErrorBefore,
    /// A posting's connection is closed without an answer; it is committed `ms` later.
    LateCommit,
    /// Answered with status 200 and a page of HTML; nothing is done.
    HtmlError,
    /// A posting is refused with `code`, and the refusal is remembered like any other.
    RefuseBusiness,
    /// Postings are answered with 503 `READ_ONLY`; reads work.
    ReadOnly,
}

/// Which requests of the bank's interface a fault can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything, `/health` and enquiries included.
    #[default]
    All,
    /// Only `POST /api/postings`.
    Postings,
}

fn all() -> u8 {
    100
}

/// The body of `PUT /faults`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Milliseconds, for `slow` and `late_commit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// The refusal, for `refuse_business`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Per cent of the requests in scope that are hit.
    #[serde(default = "all")]
    pub share: u8,
    /// Which requests are in scope.
    #[serde(default)]
    pub scope: Scope,
}

impl Default for Fault {
    fn default() -> Self {
        Self { kind: FaultKind::None, ms: None, code: None, share: all(), scope: Scope::All }
    }
}

impl Fault {
    /// Names what is wrong with it, if anything.
    pub(crate) fn check(&self, request_lifetime_ms: u64) -> Result<(), String> {
        if self.share > 100 {
            return Err("share is a percentage, 0 to 100".to_owned());
        }
        match self.kind {
            FaultKind::Slow if self.ms.is_none() => Err("slow needs ms".to_owned()),
            FaultKind::LateCommit if self.ms.is_none_or(|ms| ms >= request_lifetime_ms) => {
                Err(format!("late_commit needs ms below the request lifetime of {request_lifetime_ms} ms"))
            }
            FaultKind::RefuseBusiness if self.code.as_ref().is_none_or(|c| c.is_empty() || c.len() > 32) => {
                Err("refuse_business needs a code of 1 to 32 characters".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn can_hit(&self, posting: bool) -> bool {
        match self.kind {
            FaultKind::None | FaultKind::Refuse => false,
            FaultKind::Hang | FaultKind::Slow | FaultKind::ErrorBefore | FaultKind::HtmlError => {
                posting || self.scope == Scope::All
            }
            _ => posting,
        }
    }
}

/// The fault in force and the requests drawn under it.
pub(crate) struct Faults {
    seed: u64,
    drawn: Mutex<(u64, u64)>,
    current: watch::Sender<Fault>,
    /// Whether the bank's port takes connects just now; set by the accept loop.
    pub listening: watch::Sender<bool>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: Mutex::new((0, 0)),
            current: watch::Sender::new(Fault::default()),
            listening: watch::Sender::new(false),
        }
    }

    /// Puts a fault in force; the draw starts again, so that the same seed hits the same requests in every run.
    pub(crate) fn set(&self, fault: Fault) {
        *self.drawn.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (0, 0);
        self.current.send_replace(fault);
    }

    /// Resolves when the port is open or shut as the fault in force wants it.
    pub(crate) async fn settled(&self) {
        let mut listening = self.listening.subscribe();
        // An error means that the service ends.
        let _ = listening.wait_for(|listening| *listening == (self.current().kind != FaultKind::Refuse)).await;
    }

    pub(crate) fn current(&self) -> Fault {
        self.current.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Fault> {
        self.current.subscribe()
    }

    /// How many requests were in scope of the present fault, and how many of them were hit.
    pub(crate) fn drawn(&self) -> (u64, u64) {
        *self.drawn.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The fault that this request meets; `FaultKind::None` for most.
    pub(crate) fn draw(&self, posting: bool) -> Fault {
        let fault = self.current();
        if !fault.can_hit(posting) {
            return Fault::default();
        }
        let mut drawn = self.drawn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let hit = mix(self.seed ^ drawn.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)) % 100 < u64::from(fault.share);
        drawn.0 += 1;
        if !hit {
            return Fault::default();
        }
        drawn.1 += 1;
        fault
    }
}

/// The finaliser of SplitMix64: spreads neighbouring numbers over all 64 bits.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, fault: &Fault) -> Vec<bool> {
        let faults = Faults::new(seed);
        faults.set(fault.clone());
        (0..1000).map(|_| faults.draw(true).kind != FaultKind::None).collect()
    }

    #[test]
    fn the_same_seed_hits_the_same_requests_and_about_the_share_of_them() {
        let fault = Fault { kind: FaultKind::ErrorBefore, share: 30, ..Fault::default() };
        let first = draws(7, &fault);
        assert_eq!(first, draws(7, &fault));
        assert_ne!(first, draws(8, &fault));
        let hits = first.iter().filter(|hit| **hit).count();
        assert!((250..350).contains(&hits), "{hits} of 1000");
    }

    #[test]
    fn a_share_of_nothing_hits_nobody_and_one_of_all_hits_everybody() {
        let fault = |share| Fault { kind: FaultKind::Hang, share, ..Fault::default() };
        assert!(draws(1, &fault(0)).iter().all(|hit| !hit));
        assert!(draws(1, &fault(100)).iter().all(|hit| *hit));
    }

    #[test]
    fn faults_about_commits_leave_reads_alone() {
        let faults = Faults::new(1);
        faults.set(Fault { kind: FaultKind::DropAfterCommit, ..Fault::default() });
        assert_eq!(faults.draw(false).kind, FaultKind::None);
        faults.set(Fault { kind: FaultKind::Hang, scope: Scope::Postings, ..Fault::default() });
        assert_eq!(faults.draw(false).kind, FaultKind::None);
        assert_eq!(faults.draw(true).kind, FaultKind::Hang);
    }

    #[test]
    fn a_commit_later_than_the_request_lifetime_is_no_fault_this_core_can_have() {
        let late = |ms| Fault { kind: FaultKind::LateCommit, ms, ..Fault::default() };
        assert!(late(Some(4999)).check(5000).is_ok());
        assert!(late(Some(5000)).check(5000).is_err());
        assert!(late(None).check(5000).is_err());
    }
}
