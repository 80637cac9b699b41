//! What can go wrong in the simulated world.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// The word in traces and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Fault::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// A statement takes long.
    SqlSlow => "sql-slow",
    /// The engine ends a transaction to break a deadlock.
    Deadlock => "deadlock",
    /// A row lock is not given up in time.
    LockTimeout => "lock-timeout",
    /// The connection breaks before COMMIT.
    ConnectionLost => "connection-lost",
    /// COMMIT is not answered and did not happen.
    CommitDropped => "commit-dropped",
    /// COMMIT is not answered and happened.
    CommitUnanswered => "commit-unanswered",
    /// COMMIT is not answered and happens later.
    CommitLate => "commit-late",
    /// The SQL server is away.
    SqlOutage => "sql-outage",
    /// The SQL server's clock is set.
    SqlClockStep => "sql-clock-step",
    /// A process dies at a statement.
    CrashAtStatement => "crash-at-statement",
    /// A process dies at a COMMIT.
    CrashAtCommit => "crash-at-commit",
    /// A process dies while it speaks with the core.
    CrashAtCore => "crash-at-core",
    /// A process stops at a statement, and goes on later.
    PauseAtStatement => "pause-at-statement",
    /// A process stops at a COMMIT, and goes on later.
    PauseAtCommit => "pause-at-commit",
    /// A process stops before a request leaves, and goes on later.
    PauseAtCore => "pause-at-core",
    /// A host's clock is set.
    ClockStep => "clock-step",
    /// A host's clock is fast or slow.
    ClockDrift => "clock-drift",
    /// The core refuses connections for a while.
    CoreOutage => "core-outage",
    /// The core takes connections and answers nothing for a while.
    CoreHang => "core-hang",
    /// The core's process is stopped for a while. What was sent to it is read when it goes on.
    CoreStopped => "core-stopped",
    /// The core answers, and takes no postings for a while.
    CoreReadOnly => "core-read-only",
    /// The core takes nothing for one account for a while.
    AccountLocked => "account-locked",
    /// The core starts anew: what was on its way is lost.
    CoreRestart => "core-restart",
    /// One connection to the core is refused.
    Refused => "refused-connection",
    /// One connection to the core breaks before a byte leaves.
    TornBefore => "torn-before-send",
    /// The core declares that it did nothing with a request.
    NotDone => "not-done",
    /// A request is lost on its way.
    RequestLost => "request-lost",
    /// The core's answer is lost.
    ReplyLost => "reply-lost",
    /// A request takes effect after its sender gave up.
    LateEffect => "late-effect",
    /// The core takes its time.
    CoreSlow => "core-slow",
    /// The core refuses one attempt, and may take another.
    Refusal => "refusal",
    /// The answer to an enquiry is old when it comes.
    StaleEnquiry => "stale-enquiry",
    /// An enquiry is not answered.
    EnquiryLost => "enquiry-lost",
    /// A client sends the same request to two hosts at once.
    Duplicate => "duplicate-request",
    /// A client loses the answer and asks again.
    AnswerLost => "answer-lost",
    /// A client uses a key again for another command.
    KeyReused => "key-reused",
    /// An operator pauses the replay.
    ReplayPaused => "replay-paused",
    /// An operator orders a mode.
    ModeOrdered => "mode-ordered",
    /// An operator cancels a queued entry.
    Cancelled => "cancelled",
    /// An operator writes a parked entry off.
    WrittenOff => "written-off",
    /// A host does not come back before an operator declared it gone.
    DeclaredGone => "declared-gone",
    /// Change events come late.
    EventsLate => "events-late",
    /// Change events come twice.
    EventsTwice => "events-twice",
}

impl Fault {
    /// The reverse of [`Fault::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.as_str() == word)
    }
}
