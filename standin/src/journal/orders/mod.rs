//! Orders of people, where the machine must stop. Each order is carried out once; its grounds go into the audit.

mod approvals;
mod entry;
mod grounds;
mod instance;
mod lane;

use schemas::core::ReferenceFormat;
use serde::{Deserialize, Serialize};
use sql::{Tx, params};

pub use approvals::Approval;
pub use grounds::Grounds;

use super::audit;
use crate::calendar::Calendar;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::journal::handles::{GatewayJournal, OperatorsJournal};
use crate::journal::objection::Objection;

/// What is ordered, by its name in the API, the audit and the configuration of four eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKind {
    /// Never send a queued entry.
    Cancel,
    /// Send a parked entry again: the core does not have it.
    Retry,
    /// Send a parked entry again although that is not proven.
    Force,
    /// End a parked entry without a posting.
    WriteOff,
    /// Take an entry that is in the core's books for posted.
    Adopt,
    /// Take off an entry the core's rows that are not its own.
    Free,
    /// Take an entry for posted that somebody keyed into the core by hand.
    Link,
    /// Let a stopped lane go on.
    ClearLane,
    /// Take back a lane's day that lies in the future.
    ResetDay,
    /// End the attempts of an instance that will not come back.
    DeclareGone,
}

impl OrderKind {
    /// The name in the audit.
    fn action(self) -> &'static str {
        match self {
            Self::Cancel => "entry.cancel",
            Self::Retry => "entry.retry",
            Self::Force => "entry.force",
            Self::WriteOff => "entry.write-off",
            Self::Adopt => "entry.adopt",
            Self::Free => "entry.free",
            Self::Link => "entry.link",
            Self::ClearLane => "lane.clear",
            Self::ResetDay => "lane.reset-day",
            Self::DeclareGone => "instance.declare-gone",
        }
    }
}

/// How a host was made unable to send anything more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fenced {
    /// It has no power.
    PoweredOff,
    /// The machine or its disk does not exist any more.
    Destroyed,
    /// It is cut off from the core's network.
    Isolated,
    /// Its process was seen to be dead, and nothing starts it again.
    ProcessDead,
}

/// An order and what it is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Act {
    /// See [`OrderKind::Cancel`].
    Cancel {
        /// Of which entry.
        entry: EntryId,
    },
    /// See [`OrderKind::Retry`].
    Retry {
        /// Of which entry.
        entry: EntryId,
    },
    /// See [`OrderKind::Force`].
    Force {
        /// Of which entry.
        entry: EntryId,
    },
    /// See [`OrderKind::WriteOff`].
    WriteOff {
        /// Of which entry.
        entry: EntryId,
    },
    /// See [`OrderKind::Adopt`].
    Adopt {
        /// Of which entry.
        entry: EntryId,
        /// The debited account's own number of the posting, where its row was not seen: the hold ends with that number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        debit_posting_no: Option<i64>,
    },
    /// See [`OrderKind::Free`].
    Free {
        /// Of which entry.
        entry: EntryId,
    },
    /// See [`OrderKind::Link`].
    Link {
        /// Of which entry.
        entry: EntryId,
        /// The core's own numbers of what was keyed, as the change data have them: one, or one for each leg.
        postings: Vec<String>,
    },
    /// See [`OrderKind::ClearLane`].
    ClearLane {
        /// Of which account.
        account: String,
    },
    /// See [`OrderKind::ResetDay`].
    ResetDay {
        /// Of which account.
        account: String,
    },
    /// See [`OrderKind::DeclareGone`].
    DeclareGone {
        /// Which identity.
        instance: String,
        /// Its life that is gone; a later one is not.
        boot: i64,
        /// The signs of life it had given when it was looked at.
        beats: i64,
        /// How it was kept from sending.
        fenced: Fenced,
    },
}

impl Act {
    /// What kind of order it is.
    pub fn kind(&self) -> OrderKind {
        match self {
            Self::Cancel { .. } => OrderKind::Cancel,
            Self::Retry { .. } => OrderKind::Retry,
            Self::Force { .. } => OrderKind::Force,
            Self::WriteOff { .. } => OrderKind::WriteOff,
            Self::Adopt { .. } => OrderKind::Adopt,
            Self::Free { .. } => OrderKind::Free,
            Self::Link { .. } => OrderKind::Link,
            Self::ClearLane { .. } => OrderKind::ClearLane,
            Self::ResetDay { .. } => OrderKind::ResetDay,
            Self::DeclareGone { .. } => OrderKind::DeclareGone,
        }
    }

    /// The entry, account or instance.
    pub fn subject(&self) -> &str {
        match self {
            Self::Cancel { entry }
            | Self::Retry { entry }
            | Self::Force { entry }
            | Self::WriteOff { entry }
            | Self::Adopt { entry, .. }
            | Self::Free { entry }
            | Self::Link { entry, .. } => entry.as_str(),
            Self::ClearLane { account } | Self::ResetDay { account } => account,
            Self::DeclareGone { instance, .. } => instance,
        }
    }
}

/// What a person orders, and on what grounds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    #[serde(flatten)]
    pub act: Act,
    /// Why, and how they know.
    #[serde(flatten)]
    pub grounds: Grounds,
}

/// What an order came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The entry as it is now.
    Entry(Box<Entry>),
    /// The account's lane goes on.
    LaneCleared,
    /// What the account has used of its limits counts on this day now, days since 1970-01-01.
    DayReset(i64),
    /// Entries whose attempts were ended.
    AttemptsEnded(Vec<EntryId>),
}

/// One carrying out of an order.
struct Carrying<'a> {
    /// Its own id: the trace by which the same transaction finds itself.
    id: &'a EntryId,
    /// Who ordered it, and who agreed.
    by: &'a str,
    approved_by: Option<&'a str>,
    facts: &'a dyn Facts,
    core: &'a str,
    references: &'a ReferenceFormat,
    calendar: &'a Calendar,
    request_lifetime_ms: u64,
    /// What it was about when it was ordered; `None`: now.
    basis: Option<&'a str>,
}

impl Carrying<'_> {
    fn unchanged(&self, basis: &str) -> Result<(), JournalError> {
        if self.basis.is_none_or(|then| then == basis) { Ok(()) } else { Err(Objection::Changed.into()) }
    }

    async fn audit(&self, tx: &mut Tx, order: &Order) -> Result<(), JournalError> {
        let mut detail = serde_json::to_value(order).map_err(|_| JournalError::Corrupt("order"))?;
        if let Some(second) = self.approved_by {
            detail["approved_by"] = second.into();
        }
        audit::keep(tx, self.id, self.by, order.act.kind().action(), order.act.subject(), detail).await
    }
}

impl OperatorsJournal {
    /// Carries out an order, once: under the same `id` it finds that it was done. `request_lifetime_ms` is the longest time after
    /// its sender ended that a request may take effect in the core.
    pub async fn give(
        &self,
        id: &EntryId,
        by: &str,
        order: &Order,
        request_lifetime_ms: u64,
    ) -> Result<Done, JournalError> {
        order.check()?;
        let (id, by, order, journal) = (id.clone(), by.to_owned(), order.clone(), self.0.clone());
        self.0
            .run(move |tx| {
                let (id, by, order, journal) = (id.clone(), by.clone(), order.clone(), journal.clone());
                Box::pin(async move {
                    let carrying = Carrying {
                        id: &id,
                        by: &by,
                        approved_by: None,
                        facts: &*journal.facts,
                        core: &journal.core,
                        references: &journal.references,
                        calendar: &journal.calendar,
                        request_lifetime_ms,
                        basis: None,
                    };
                    carry_out(tx, &carrying, &order).await
                })
            })
            .await
    }
}

impl GatewayJournal {
    /// Cancels an entry while it is queued: its own channel asks.
    pub async fn cancel(&self, by: &str, id: &EntryId) -> Result<Entry, JournalError> {
        let (by, id) = (by.to_owned(), id.clone());
        self.0
            .run(move |tx| {
                let (by, id) = (by.clone(), id.clone());
                Box::pin(async move { entry::cancel(tx, &by, &id).await })
            })
            .await
    }
}

impl Order {
    /// Are the grounds such as this order needs?
    pub fn check(&self) -> Result<(), Objection> {
        self.grounds.bear(&self.act)
    }
}

async fn carry_out(tx: &mut Tx, carrying: &Carrying<'_>, order: &Order) -> Result<Done, JournalError> {
    match &order.act {
        Act::Cancel { entry }
        | Act::Retry { entry }
        | Act::Force { entry }
        | Act::WriteOff { entry }
        | Act::Adopt { entry, .. }
        | Act::Free { entry }
        | Act::Link { entry, .. } => {
            entry::carry_out(tx, carrying, order, entry).await.map(|entry| Done::Entry(Box::new(entry)))
        }
        Act::ClearLane { account } => lane::clear(tx, carrying, order, account).await,
        Act::ResetDay { account } => lane::reset_day(tx, carrying, order, account).await,
        Act::DeclareGone { instance, boot, beats, .. } => {
            instance::declare_gone(tx, carrying, order, (instance, *boot, *beats)).await
        }
    }
}

/// What an order is about as it is now, in a form that differs as soon as something happens to it.
async fn basis(tx: &mut Tx, act: &Act) -> Result<String, JournalError> {
    match act {
        Act::ClearLane { account } => lane::basis(tx, account).await,
        Act::ResetDay { account } => lane::basis_of_day(tx, account).await,
        // Its signs of life are in the order.
        Act::DeclareGone { .. } => Ok(String::new()),
        entry => {
            let row = tx.query_opt("SELECT version FROM entries WHERE id = ?", params![entry.subject()]).await?;
            Ok(row.ok_or(JournalError::NoSuchEntry)?.get::<i64>("version")?.to_string())
        }
    }
}
