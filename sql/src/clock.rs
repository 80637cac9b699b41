//! What the server's clock says to one handle.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How far off a handle reads the server's clock. It is zero in every process that serves; no setting changes it.
///
/// Tests set it to play a clock that is set on or back, or two nodes whose clocks differ. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ClockShift(Arc<AtomicI64>);

impl ClockShift {
    /// From now on the clock reads so many milliseconds later; earlier, where negative.
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    /// The expression that reads the clock.
    pub(crate) fn applied_to(&self, now_ms: &'static str) -> Cow<'static, str> {
        match self.0.load(Ordering::SeqCst) {
            0 => now_ms.into(),
            ms => format!("({now_ms} + {ms})").into(),
        }
    }
}
