//! Records that take their currency from an account that has not come.

use std::collections::BTreeMap;

use crate::feed::RawRecord;

/// Records that wait at most. One beyond is refused as if its account did not come.
const WAITING_MAX: usize = 100_000;

/// By the accounts that they wait for.
#[derive(Default)]
pub(super) struct Waiting {
    records: BTreeMap<String, Vec<RawRecord>>,
    /// Those whose account has come, the newest first.
    due: Vec<RawRecord>,
    count: usize,
}

impl Waiting {
    /// False where there is no room for it.
    pub(super) fn keep(&mut self, account: &str, record: &RawRecord) -> bool {
        if self.count >= WAITING_MAX {
            return false;
        }
        self.count += 1;
        self.records.entry(account.to_owned()).or_default().push(record.clone());
        true
    }

    /// Its records are due, in the order in which they came.
    pub(super) fn came(&mut self, account: &str) {
        self.due.extend(self.records.remove(account).into_iter().flatten().rev());
    }

    pub(super) fn next_due(&mut self) -> Option<RawRecord> {
        let record = self.due.pop()?;
        self.count -= 1;
        Some(record)
    }

    /// All that still wait, with their accounts.
    pub(super) fn take(&mut self) -> Vec<(String, RawRecord)> {
        self.count = 0;
        let all = std::mem::take(&mut self.records).into_iter();
        all.flat_map(|(account, records)| records.into_iter().map(move |record| (account.clone(), record))).collect()
    }
}
