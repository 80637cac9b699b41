//! A core that does what the test says, per debited account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connectors::{CoreConnector, Field, PostRequest, Probe};
use schemas::core::{Capabilities, Enquiry, Outcome, Posting, Unsent};
use standin::journal::Entry;
use tokio::sync::watch;
use tokio::time::timeout;

/// What the core does with a post or an enquiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Posts, and finds what it posted.
    Well,
    /// Declares that it did nothing.
    NotDone,
    /// Refuses for good.
    Refuses,
    /// Knows the reference, and says no more.
    Duplicate,
    /// Takes the request and books it later.
    Pends,
    /// Takes the request and never answers, until [`Core::release`] or the caller's time-out.
    Hang,
    /// Answers nothing usable, at once.
    Silent,
}

#[derive(Default)]
struct Books {
    posts: HashMap<String, Does>,
    posts_of: HashMap<String, Does>,
    enquiries: HashMap<String, Does>,
    /// References in the order in which they were posted.
    posted: Vec<String>,
    /// Everything it was asked: `post` or `enquire`, and the reference.
    asked: Vec<(&'static str, String)>,
}

pub struct Core {
    capabilities: Capabilities,
    books: Mutex<Books>,
    away: watch::Sender<bool>,
    released: watch::Sender<bool>,
    changed: watch::Sender<u64>,
    probes: watch::Sender<u64>,
}

impl Core {
    pub fn new(capabilities: Capabilities) -> Arc<Self> {
        Arc::new(Self {
            capabilities,
            books: Mutex::default(),
            away: watch::Sender::new(false),
            released: watch::Sender::new(false),
            changed: watch::Sender::new(0),
            probes: watch::Sender::new(0),
        })
    }

    /// A core that can be asked; a request takes effect at once or never.
    pub fn asked() -> Arc<Self> {
        Self::new(Capabilities { reference_memory_ms: None, enquiry: true, request_lifetime_ms_max: 1 })
    }

    /// How posts of this account end from now on.
    pub fn posts(&self, account: &str, does: Does) {
        self.books.lock().unwrap().posts.insert(account.to_owned(), does);
    }

    /// How posts of this entry end from now on, whatever its account.
    pub fn posts_of(&self, entry: &Entry, does: Does) {
        self.books.lock().unwrap().posts_of.insert(entry.core_ref.clone(), does);
    }

    /// How enquiries about this entry end from now on.
    pub fn enquiries(&self, entry: &Entry, does: Does) {
        self.books.lock().unwrap().enquiries.insert(entry.core_ref.clone(), does);
    }

    /// The core has posted this entry, whatever anyone heard.
    pub fn has_posted(&self, entry: &Entry) {
        self.books.lock().unwrap().posted.push(entry.core_ref.clone());
    }

    /// Nobody is answered any more, probes included; or everybody is again.
    pub fn is_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// What hangs goes on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub fn posted(&self) -> Vec<String> {
        self.books.lock().unwrap().posted.clone()
    }

    /// How often it was asked this about the entry.
    pub fn times(&self, what: &str, entry: &Entry) -> usize {
        let books = self.books.lock().unwrap();
        books.asked.iter().filter(|(w, core_ref)| *w == what && *core_ref == entry.core_ref).count()
    }

    /// Waits until the core was asked this about the entry.
    pub async fn asked_about(&self, what: &str, entry: &Entry) {
        let mut changes = self.changed.subscribe();
        let asked = timeout(Duration::from_secs(60), changes.wait_for(|_| self.times(what, entry) > 0)).await;
        assert!(asked.is_ok(), "the core was never asked: {what} {entry:?}");
    }

    /// Waits until so many further probes were answered.
    pub async fn probed(&self, times: u64) {
        let mut probes = self.probes.subscribe();
        let enough = *probes.borrow() + times;
        let probed = timeout(Duration::from_secs(60), probes.wait_for(|probes| *probes >= enough)).await;
        assert!(probed.is_ok(), "the core was not probed {times} times");
    }

    fn note(&self, what: &'static str, core_ref: &str) {
        self.books.lock().unwrap().asked.push((what, core_ref.to_owned()));
        self.changed.send_modify(|n| *n += 1);
    }

    async fn hang(&self, longest: Duration) {
        let mut released = self.released.subscribe();
        let _ = timeout(longest, released.wait_for(|released| *released)).await;
    }

    fn book(&self, core_ref: &str) -> Outcome {
        self.books.lock().unwrap().posted.push(core_ref.to_owned());
        Outcome::Posted(Posting::default())
    }
}

#[async_trait]
impl CoreConnector for Core {
    fn name(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn offers(&self, _: &str) -> bool {
        true
    }

    async fn post(&self, request: &PostRequest, longest: Duration) -> Outcome {
        self.note("post", &request.core_ref);
        let Some(Field::Text(account)) = request.field("from_account") else { panic!("no account to debit") };
        let does = {
            let books = self.books.lock().unwrap();
            let of_entry = books.posts_of.get(&request.core_ref);
            of_entry.or_else(|| books.posts.get(account)).copied().unwrap_or(Does::Well)
        };
        let reason = String::from("as the test says");
        match does {
            _ if *self.away.borrow() => Outcome::NotSent { why: Unsent::CoreAway, reason },
            Does::Well => self.book(&request.core_ref),
            Does::NotDone => Outcome::NotSent { why: Unsent::NotDone, reason },
            Does::Refuses => Outcome::Refused { code: "no".into() },
            Does::Duplicate => Outcome::Duplicate,
            Does::Silent => Outcome::Unknown { reason },
            Does::Pends => Outcome::Pending,
            Does::Hang => {
                self.hang(longest).await;
                if *self.released.borrow() { self.book(&request.core_ref) } else { Outcome::Unknown { reason } }
            }
        }
    }

    async fn enquire(&self, _: &str, core_ref: &str, longest: Duration) -> Enquiry {
        self.note("enquire", core_ref);
        let does = self.books.lock().unwrap().enquiries.get(core_ref).copied().unwrap_or(Does::Well);
        let reason = String::from("as the test says");
        match does {
            _ if *self.away.borrow() || !self.capabilities.enquiry => Enquiry::Unavailable { reason },
            Does::Hang => {
                self.hang(longest).await;
                Enquiry::Unavailable { reason }
            }
            Does::Silent => Enquiry::Unavailable { reason },
            Does::Pends => Enquiry::Pending,
            _ if self.books.lock().unwrap().posted.iter().any(|posted| posted == core_ref) => {
                Enquiry::Posted { posting: Posting::default(), legs: Vec::new() }
            }
            _ => Enquiry::NotFound,
        }
    }

    async fn probe(&self, _: Duration) -> Probe {
        self.probes.send_modify(|probes| *probes += 1);
        match *self.away.borrow() {
            true => Probe::Down { reason: "as the test says".into() },
            false => Probe::Up,
        }
    }
}
