//! One record that makes our code panic is that record's matter alone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// The code that looked at a record panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("panic while the event was decoded or mapped: a fault of Locum, to be reported with this event")]
pub(crate) struct Panicked;

thread_local! {
    static ISOLATED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and catches its panic. What it changed in part must be thrown away by the caller.
///
/// A panic's message may quote a customer's data, so only its place is logged.
pub(crate) fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if ISOLATED.get() {
                let place = info.location().map(ToString::to_string);
                tracing::error!(place, "a record made the ingester panic; it is parked");
            } else {
                others(info);
            }
        }));
    });
    let before = ISOLATED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    ISOLATED.set(before);
    outcome.map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_what_follows_runs() {
        let text = "é";
        assert_eq!(isolated(|| text[..text.len() - 1].len()), Err(Panicked));
        assert_eq!(isolated(|| 7), Ok(7));
    }
}
