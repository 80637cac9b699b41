//! The journal: every write, durable before a byte is sent, and the one place that changes it.
//!
//! Lock order in every transaction: read-model rows → lanes (binary order of account) → entries → offset rows.
//! **Every change of an entry's state goes through `schemas::entry::weigh`**, in [`transitions`], with its lanes locked.

mod admit;
mod archive;
mod attempts;
mod audit;
mod awaited;
mod batch;
mod breaks;
mod claim;
mod confirm;
mod controls;
mod error;
mod facts;
mod fence;
mod handles;
mod instances;
mod lanes;
mod limits;
mod links;
mod lookup;
mod moment;
mod now;
mod objection;
mod orders;
mod outcomes;
mod overdue;
mod postings;
mod ready;
mod record;
mod runs;
mod schema;
mod shared;
mod stamps;
mod stopped;
mod transitions;
mod workset;

pub use admit::Admitted;
pub use archive::{ArchiveError, ArchiveJournal, ArchivedEntry, Lease, Pass, Retention};
pub use audit::AuditRecord;
pub use batch::{Admissions, AdmissionsTask};
pub use claim::{Claimed, Claims, OpenAttempt, Resend, Unresolved};
pub use confirm::{Confirmed, RefusalSeen, ToLock};
pub use controls::ModeOrder;
pub use error::JournalError;
pub use facts::{Facts, KnownAccount, KnownAccounts};
pub use fence::Fence;
pub use handles::{Confirmations, GatewayJournal, HoldsView, Journal, OperatorsJournal, ReplayJournal};
pub use instances::{InstanceRecord, Life, Registration, SignOfLife};
pub use lookup::{EntryDetail, Filter, Hold, TransitionRecord};
pub use objection::{ApprovalState, Objection};
pub use orders::{Act, Approval, Done, Fenced, Grounds, Order, OrderKind};
pub use overdue::{Backlog, Unconfirmed};
pub use postings::{LegSeen, PostingRow};
pub use runs::Room;
pub use schema::MIGRATIONS;
pub use stopped::{LaneAhead, StoppedLane};
pub use transitions::{Moved, Recorded};

pub use crate::change::Change;
pub use crate::entry::{Entry, EntryId, Transfer};
pub use crate::instance::Instance;
pub use crate::write::Write;
