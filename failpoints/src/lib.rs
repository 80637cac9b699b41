//! Named places where a test may kill the process: one at each boundary that a crash could tear.
//!
//! Without the feature `armed`, [`reached`] is empty and a binary cannot be made to die here.

mod flaws;

#[cfg(feature = "flaws")]
pub use flaws::put_in;
pub use flaws::{Flaw, flawed};

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
    ARCHIVE_WRITTEN,
    ARCHIVE_PUBLISHED,
    ARCHIVE_NOTED,
    ARCHIVE_BEFORE_COMMIT,
    ARCHIVE_AFTER_COMMIT,
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
/// A file of the archive is whole and durable, under a name of its own.
pub const ARCHIVE_WRITTEN: &str = "archive.written";
/// A file of the archive has its name, durably; the journal knows nothing of it.
pub const ARCHIVE_PUBLISHED: &str = "archive.published";
/// The journal has noted a file; its entries are in the tables, too.
pub const ARCHIVE_NOTED: &str = "archive.noted";
/// In the transaction in which entries leave the tables, nothing committed.
pub const ARCHIVE_BEFORE_COMMIT: &str = "archive.before_commit";
/// Some entries of a file have left the tables.
pub const ARCHIVE_AFTER_COMMIT: &str = "archive.after_commit";

#[cfg(not(feature = "armed"))]
/// Nothing: this build cannot be made to die.
#[inline(always)]
pub fn reached(_name: &'static str) {}

#[cfg(feature = "armed")]
pub use armed::{arm, reached};

#[cfg(feature = "armed")]
mod armed {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};

    static ORDERS: OnceLock<PathBuf> = OnceLock::new();
    static PASSED: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

    /// Obeys orders in this folder for the life of the process. A file named like a place, with a number N in it, ends
    /// the process that passes that place for the Nth time since.
    pub fn arm(orders: PathBuf) -> Result<(), String> {
        ORDERS.set(orders).map_err(|_| "failpoints are armed already".to_owned())
    }

    /// Dies here, by SIGKILL, if that is ordered. The order is renamed to `NAME.hit` before: of several processes that obey
    /// the same folder one dies.
    pub fn reached(name: &'static str) {
        let Some(orders) = ORDERS.get() else { return };
        let order = orders.join(name);
        let Some(nth) = fs::read_to_string(&order).ok().and_then(|text| text.trim().parse().ok()) else { return };
        let passed = {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.entry(name).or_default();
            *count += 1;
            *count
        };
        if passed >= nth && fs::rename(&order, orders.join(format!("{name}.hit"))).is_ok() {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}
