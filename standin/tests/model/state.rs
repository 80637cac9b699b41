//! What the model remembers: the database, the core, the processes, and the faults still to come.
//!
//! Everything is of fixed size and free of history that no later step reads: two executions that differ only in what nobody
//! can see any more are one state.

use locum_standin::lane::{Lane, LanePlace, lane_place};
use schemas::entry::EntryState;
use schemas::position::TransactionPlace;

/// Most writes of a configuration.
pub const WRITES: usize = 3;
/// Accounts, each with one lane.
pub const ACCOUNTS: usize = 2;
/// Most tasks that can ever send something: one per request, one per (replayer, write).
pub const SLOTS: usize = 10;
/// Most processes: two gateways, two replayers.
pub const INSTANCES: usize = 4;
/// More postings than a correct core ever holds here.
pub const LOG: usize = 5;

/// One execution's present.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// SQL: the entries by write.
    pub journal: [Option<Entry>; WRITES],
    /// SQL: the lanes by account, with the real columns.
    pub lanes: [Lane; ACCOUNTS],
    /// SQL: the attempt rows by the task that owns them.
    pub attempts: [Attempt; SLOTS],
    /// SQL: who holds the replay lease.
    pub lease: Option<u8>,
    /// SQL: what the read model serves, by account.
    pub served: [Served; ACCOUNTS],
    /// SQL: the ingester's offset in the rows of the core's log; where postings have no numbers, in its posting rows.
    pub offset: u8,
    /// SQL: the ingester's offset in the balance rows, where they are a topic of their own.
    pub balances: u8,
    /// SQL: the core's log as far as the snapshot went that the generation being filled began with.
    pub snapshot: Option<u8>,
    /// SQL: the balances of that generation while another one is served.
    pub shadow: Option<[Served; ACCOUNTS]>,
    /// SQL: the ingester saw two rows for one leg.
    pub breach: bool,
    /// What each task is doing.
    pub tasks: [Task; SLOTS],
    /// Tasks whose lease was taken by somebody else; they do not know.
    pub stale: u16,
    /// Processes that run (or are merely stopped: nobody can tell).
    pub alive: u8,
    /// The core's own books.
    pub core: Core,
    /// Requests in the core's hands whose sender ended, by write.
    pub strays: [u8; WRITES],
    /// The SQL server's clock was set back.
    pub set_back: bool,
    /// Faults still allowed.
    pub budget: Budget,
    /// What clients were told, as far as a property needs it.
    pub told: Told,
}

/// A row of `entries` with its legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The real state.
    pub state: EntryState,
    /// The sticky mark; forgotten here once the entry is gone from its lanes, where nothing reads it.
    pub ordered: bool,
    /// How its promise counts on the day of the account debited; nothing where no days are looked at.
    pub charge: Option<Charge>,
    /// Sequence number per account.
    pub seq: [i8; ACCOUNTS],
    /// The served balance includes the debit leg.
    pub absorbed: bool,
    /// Row key per leg that confirmed it: the index in the core's log.
    pub rows: [Option<u8>; 2],
    /// Where the row stands that booked the debit leg, if postings have no numbers.
    pub booked: Option<TransactionPlace>,
    /// The last *not found* of the core, and whether it was asked when nothing could take effect any more.
    pub not_found: Option<Asked>,
    /// Every ended attempt that may have left bytes is past the core's longest lifetime.
    pub quiet: bool,
    /// How many attempts there were; 2 = two or more.
    pub attempts: u8,
    /// Since the last attempt that was alone, one ended that has posted or may.
    pub may_post: bool,
    /// Whose clock stamped the last such end; only where clocks differ.
    pub stamped_by: Option<u8>,
    /// The declared memory, counted from the first attempt and less the margin, is over.
    pub memory_over: bool,
    /// Bytes left after that moment, so they may outlive the memory.
    pub late_bytes: bool,
    /// The core did what its state denies.
    pub contradicted: bool,
}

impl Entry {
    /// Where it stands in its lanes.
    pub fn lane_place(&self) -> LanePlace {
        lane_place(self.state, self.ordered)
    }
}

/// How long a promise counts on its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charge {
    /// For good: stand-in accepted it.
    Kept,
    /// Until the core decides: it was there when the promise was made.
    Reserved,
}

/// When an enquiry was asked, against the moment from which nothing could take effect any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asked {
    /// Before it: proves nothing.
    Early,
    /// After it: proves absence.
    Late,
}

/// The attempt row of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// None, or ended.
    None,
    /// Open, its owner's incarnation runs.
    Open,
    /// Open, its owner's incarnation died.
    Orphaned,
}

/// The served balance of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Served {
    /// Minor units, from zero.
    pub booked: i64,
    /// Number of the last posting it includes. Where postings have no numbers, nothing that decides looks at it.
    pub last_posting: i64,
    /// Where its row stands, if postings have no numbers.
    pub place: Option<TransactionPlace>,
    /// Number of the last posting row applied.
    pub seen: i64,
    /// A balance row that includes postings whose own rows have not been applied waits here.
    pub ahead: Option<u8>,
}

/// What a task (a request's handler, or a replayer at work on one entry) does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// The request has not come, or the replayer has nothing to do here.
    Idle,
    /// Only in the variant without a unique index: the look-up found nothing.
    Missed,
    /// Sent COMMIT of the admission, and the reply was lost.
    Unsure,
    /// Answered 503 `acceptance-unknown`; the COMMIT may still land.
    Disowned,
    /// The process died with that COMMIT on its way.
    Ghost,
    /// The process died with the record of *not sent* on its way.
    GhostRecord,
    /// The attempt is recorded; no byte has left.
    ToSend {
        /// No byte may leave once the declared memory is over: of a resend, and of an attempt whose time-out ended before that.
        within_memory: bool,
    },
    /// The attempt is recorded; the entry before it in its run comes first.
    Behind,
    /// Bytes left.
    Sent(Reply),
    /// The core was asked and had nothing; not recorded yet.
    Heard(Asked),
    /// The client has its answer, or lost its server.
    Done,
}

/// What came back to a waiting sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The core has not taken the request up.
    Pending,
    /// It never will.
    Dead,
    /// Accepted, or known already with the same legs.
    Posted,
    /// A declared refusal code.
    Refused,
}

/// The core's own books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Core {
    /// Writes in the order they were posted.
    pub log: [u8; LOG],
    /// How many.
    pub len: u8,
    /// Where postings have no numbers: those behind which a transaction of the core ended.
    pub ends: u8,
    /// Writes whose refusal is kept for enquiries.
    pub refused: u8,
    /// Writes whose reference is forgotten.
    pub forgot: u8,
}

impl Core {
    /// Postings in order.
    pub fn postings(&self) -> &[u8] {
        &self.log[..usize::from(self.len)]
    }

    /// How often a write was posted.
    pub fn count(&self, write: usize) -> usize {
        self.postings().iter().filter(|w| usize::from(**w) == write).count()
    }
}

/// Faults still allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Deaths of a process at work.
    pub crashes: u8,
    /// Time-outs of a waiting sender.
    pub losses: u8,
    /// Lost replies to COMMIT.
    pub commits: u8,
    /// Leases that run out under a living holder.
    pub takeovers: u8,
    /// Refusals by the core.
    pub refusals: u8,
    /// Cancellations.
    pub cancels: u8,
    /// Submissions given up for abandoned while their sender lives.
    pub abandons: u8,
    /// Steps back of the SQL server's clock.
    pub set_backs: u8,
    /// Times that stand-in's rules say no to what was not sent.
    pub declines: u8,
    /// New generations of the change data.
    pub snapshots: u8,
}

/// What clients were told and saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Told {
    /// Writes answered while the core had not posted them yet.
    pub waiting: u8,
    /// Per write: those answered, and not posted yet, when it was requested on a shared account.
    pub before: [u8; WRITES],
    /// Writes answered "accepted" or with an outcome; kept only where stand-in's rules may say no.
    pub accepted: u8,
    /// A write was declined after it had been accepted.
    pub taken_back: bool,
    /// Writes journalled twice (variant without a unique index).
    pub twice: u8,
    /// A sender with a lost lease wrote an outcome.
    pub stale_mark: bool,
    /// Bytes left for a write without an attempt row.
    pub no_intent: bool,
}
