//! Flaws that the simulator puts into production code, one at a time, to see that it would find them.
//!
//! Without the feature `flaws`, [`flawed`] is false for the compiler, and nothing of a flaw is in the binary.

macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// A deviation of one line in production code. Each breaks a rule of `docs/invariants.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Flaw { $($(#[$doc])* $name,)* }

        impl Flaw {
            /// Every flaw.
            pub const ALL: &[Flaw] = &[$(Flaw::$name,)*];

            /// The word on the command line of the simulator.
            pub fn as_str(self) -> &'static str {
                match self { $(Flaw::$name => $word,)* }
            }
        }
    };
}

flaws! {
    /// A refusal ends its entry while another attempt may post.
    RefusalAlwaysSettles => "refusal-always-settles",
    /// A resend is recorded as if no earlier attempt could take effect any more.
    ResendIsAlone => "resend-is-alone",
    /// The replayer sends without having recorded an attempt.
    AttemptNotRecorded => "attempt-not-recorded",
    /// A claim does not look at lower places of its lanes.
    ClaimIgnoresOrder => "claim-ignores-order",
    /// The next of a run is sent whatever became of the one before it.
    RunGoesOn => "run-goes-on",
    /// What is unknown is sent again although others are before it in its lanes.
    ResendPastLower => "resend-past-lower",
    /// Not found at once proves absence, without the core's longest lifetime of a request.
    AbsentAtOnce => "absent-at-once",
    /// A reference is sent again although the core may have forgotten it.
    MemoryIsForEver => "memory-is-for-ever",
    /// A request without an answer counts as not sent.
    SilenceIsNotSent => "silence-is-not-sent",
    /// A write goes to the core past what is ordered in its lanes.
    DirectPastTheQueue => "direct-past-the-queue",
    /// "Accepted" is said of an entry without a place in the order of its lanes.
    AcceptedWithoutPlace => "accepted-without-place",
    /// Holds do not lower what may be spent.
    HoldsIgnored => "holds-ignored",
    /// An entry that was not sent is declined although its client was told "accepted".
    PromiseBroken => "promise-broken",
    /// An entry that ends without a posting keeps its hold.
    RefusalKeepsHold => "refusal-keeps-hold",
    /// A hold is taken off its lane again when it has ended already.
    HoldReleasedTwice => "hold-released-twice",
    /// A repeated key is sent as if it was new.
    KnownIsFresh => "known-is-fresh",
    /// Attempts of a dead predecessor stay open for ever.
    PredecessorsForgotten => "predecessors-forgotten",
    /// An attempt that a task still carries is taken for one that was never sent.
    WorkersAreOrphans => "workers-are-orphans",
    /// An attempt that no task carries is never looked for.
    OrphansForgotten => "orphans-forgotten",
    /// An outcome that cannot be recorded at once is dropped.
    OutcomeDropped => "outcome-dropped",
    /// A replayed attempt whose outcome could not be recorded counts as never sent.
    UnrecordedIsUnsent => "unrecorded-is-unsent",
}

#[cfg(not(feature = "flaws"))]
/// No: this build has no flaws.
#[inline(always)]
pub const fn flawed(_flaw: Flaw) -> bool {
    false
}

#[cfg(feature = "flaws")]
pub use in_place::{flawed, put_in};

#[cfg(feature = "flaws")]
mod in_place {
    use std::cell::Cell;

    use super::Flaw;

    thread_local! {
        static IN_PLACE: Cell<Option<Flaw>> = const { Cell::new(None) };
    }

    /// Puts this flaw, and no other, into what runs on this thread from now on.
    pub fn put_in(flaw: Option<Flaw>) {
        IN_PLACE.set(flaw);
    }

    /// Is this flaw in place?
    pub fn flawed(flaw: Flaw) -> bool {
        IN_PLACE.get() == Some(flaw)
    }
}
