//! Named places where a test may kill the process: one at each boundary that a crash could tear.
//!
//! Without the feature `armed`, [`reached`] is empty and a binary cannot be made to die here.

/// Every name, in the order in which a write and its change event pass them.
pub const ALL: &[&str] = &[
    ADMIT_BEFORE_COMMIT,
    ADMIT_AFTER_COMMIT,
    SEND_BEFORE,
    SEND_AFTER,
    RECORD_BEFORE_COMMIT,
    RECORD_AFTER_COMMIT,
    CLAIM_AFTER_COMMIT,
    REPLAY_AFTER_SEND,
    REPLAY_AFTER_RECORD,
    APPLY_BEFORE_COMMIT,
    APPLY_AFTER_COMMIT,
];

/// In the admission transaction, everything written, nothing committed.
pub const ADMIT_BEFORE_COMMIT: &str = "admit.before_commit";
/// The entry is durable, nobody knows it yet.
pub const ADMIT_AFTER_COMMIT: &str = "admit.after_commit";
/// A direct entry is about to be sent.
pub const SEND_BEFORE: &str = "send.before";
/// The core answered a direct request, nothing is recorded.
pub const SEND_AFTER: &str = "send.after";
/// In the transaction that records an outcome, nothing committed.
pub const RECORD_BEFORE_COMMIT: &str = "record.before_commit";
/// The outcome is durable, the client has no answer.
pub const RECORD_AFTER_COMMIT: &str = "record.after_commit";
/// The replayer's attempt is durable, no byte has left.
pub const CLAIM_AFTER_COMMIT: &str = "replay.claimed";
/// The core answered the replayer, nothing is recorded.
pub const REPLAY_AFTER_SEND: &str = "replay.sent";
/// The replayer recorded an outcome.
pub const REPLAY_AFTER_RECORD: &str = "replay.recorded";
/// In the apply transaction, everything written, nothing committed.
pub const APPLY_BEFORE_COMMIT: &str = "apply.before_commit";
/// Rows, confirmations and offsets are durable, no tier has heard of them.
pub const APPLY_AFTER_COMMIT: &str = "apply.after_commit";

#[cfg(not(feature = "armed"))]
/// Nothing: this build cannot be made to die.
#[inline(always)]
pub fn reached(_name: &'static str) {}

#[cfg(feature = "armed")]
pub use armed::{arm, reached};

#[cfg(feature = "armed")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        name: String,
        remaining: AtomicU64,
        witness: PathBuf,
    }

    /// Arms one place for the life of the process: `NAME@N` kills at its Nth passage, after writing NAME to `witness`.
    pub fn arm(spec: &str, witness: PathBuf) -> Result<(), String> {
        let (name, nth) = spec.split_once('@').unwrap_or((spec, "1"));
        if !super::ALL.contains(&name) {
            return Err(format!("no failpoint named {name}; known: {}", super::ALL.join(", ")));
        }
        let nth: u64 = nth.parse().map_err(|_| format!("{nth} is no count"))?;
        let armed = Armed { name: name.to_owned(), remaining: AtomicU64::new(nth), witness };
        ARMED.set(armed).map_err(|_| "a failpoint is armed already".to_owned())
    }

    /// Dies here, by SIGKILL, if this place is armed and its count is reached.
    pub fn reached(name: &'static str) {
        let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
        if armed.remaining.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = std::fs::write(&armed.witness, name);
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}
