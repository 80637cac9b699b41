//! Deletes the documents of old epochs, a few at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{RedisTier, mark_key};
use crate::link::Link;

/// Keys that Redis looks at in one step.
const KEYS_PER_STEP: usize = 1_000;
/// Pause between two steps.
const PAUSE: Duration = Duration::from_millis(10);

/// Sources whose keys are to be walked over, one walk at a time.
#[derive(Default)]
pub(super) struct Cleaning {
    wanted: BTreeSet<String>,
    walks: bool,
}

impl RedisTier {
    /// Walks over the source's keys in the background. A walk that fails is left: documents expire too.
    pub(super) fn clean(&self, source: &str) {
        let mut cleaning = self.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
        cleaning.wanted.insert(source.to_owned());
        if !std::mem::replace(&mut cleaning.walks, true) {
            tokio::spawn(walk(self.link.clone(), self.prefix.clone(), self.cleaning.clone()));
        }
    }
}

async fn walk(link: Arc<Link>, prefix: String, cleaning: Arc<Mutex<Cleaning>>) {
    let next = || {
        let mut cleaning = cleaning.lock().unwrap_or_else(PoisonError::into_inner);
        let next = cleaning.wanted.pop_first();
        cleaning.walks = next.is_some();
        next
    };
    while let Some(source) = next() {
        let (mark, keys) = (mark_key(&prefix, &source), format!("{prefix}:{{{source}}}:"));
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = step(&link, &mark, &keys, at).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One step; answers where the next one begins.
///
/// The epoch is asked for after the keys are known: a key of a newer epoch was made after that epoch began, so it is not taken
/// for an old one.
async fn step(link: &Arc<Link>, mark: &str, keys: &str, cursor: u64) -> Option<u64> {
    let mut connection = link.connection()?;
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(format!("{}*", literal(keys))).arg("COUNT").arg(KEYS_PER_STEP);
    let (next, found): (u64, Vec<String>) = link.settle(scan.query_async(&mut connection).await)?;
    let epoch = redis::cmd("HGET").arg(mark).arg("epoch").query_async::<Option<String>>(&mut connection).await;
    let current = format!("{keys}{}:", link.settle(epoch)??);
    let old: Vec<&String> = found.iter().filter(|key| *key != mark && !key.starts_with(&current)).collect();
    if !old.is_empty() {
        let unlinked = redis::cmd("UNLINK").arg(old).query_async::<u64>(&mut connection).await;
        link.settle(unlinked)?;
    }
    (next != 0).then_some(next)
}

/// A text as a pattern that matches it only.
fn literal(text: &str) -> String {
    text.chars().flat_map(|c| if "*?[]\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}
