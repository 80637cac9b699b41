//! What a handle sent, counted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts statements and their distinct texts; clones share it. For tests: production has none.
///
/// BEGIN and COMMIT are not counted.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    statements: u64,
    texts: HashSet<String>,
}

impl Tally {
    /// Statements sent so far.
    pub fn statements(&self) -> u64 {
        self.counted().statements
    }

    /// The distinct texts among them: what connections prepared, at least once.
    pub fn texts(&self) -> HashSet<String> {
        self.counted().texts.clone()
    }

    pub(crate) fn note(&self, text: &str) {
        let mut counted = self.counted();
        counted.statements += 1;
        if !counted.texts.contains(text) {
            counted.texts.insert(text.to_owned());
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
