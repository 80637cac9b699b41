//! What each principal may take of one process.

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use edge::{Allowance, Allowances, StoreTurns};
use serde::Deserialize;

/// What every principal may take, and those that may take something else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Principals {
    /// Requests in a second. Default 10 000.
    pub requests_per_s: NonZeroU32,
    /// Requests under way at once. Default 1 024.
    pub concurrent_max: NonZeroUsize,
    /// Reads of the store at once. Default three quarters of the connections for reads.
    pub store_reads_max: Option<NonZeroUsize>,
    /// By principal. Default none.
    pub overrides: BTreeMap<String, Override>,
}

/// What one principal may take; what is left out is as for all.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// Requests in a second.
    pub requests_per_s: Option<NonZeroU32>,
    /// Requests under way at once.
    pub concurrent_max: Option<NonZeroUsize>,
    /// Reads of the store at once.
    pub store_reads_max: Option<NonZeroUsize>,
}

impl Default for Principals {
    fn default() -> Self {
        Self {
            requests_per_s: NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MAX),
            concurrent_max: NonZeroUsize::new(1_024).unwrap_or(NonZeroUsize::MAX),
            store_reads_max: None,
            overrides: BTreeMap::new(),
        }
    }
}

impl Principals {
    /// As a listener takes them. `connections` = those over which the store is read.
    pub fn allowances(&self, connections: usize, store: &Arc<StoreTurns>) -> Arc<Allowances> {
        let all = Override::default();
        let overrides = self.overrides.iter();
        let overrides: HashMap<_, _> =
            overrides.map(|(name, own)| (name.clone(), self.allowance(own, connections))).collect();
        Arc::new(Allowances::new(self.allowance(&all, connections), overrides, store.clone()))
    }

    fn allowance(&self, own: &Override, connections: usize) -> Allowance {
        let reads = own.store_reads_max.or(self.store_reads_max);
        Allowance {
            requests_per_s: own.requests_per_s.unwrap_or(self.requests_per_s),
            concurrent_max: own.concurrent_max.unwrap_or(self.concurrent_max).get(),
            store_reads_max: reads.map_or_else(|| StoreTurns::share_of(connections), NonZeroUsize::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_override_leaves_out_is_as_for_all() {
        let written = serde_json::json!({"requests_per_s": 7, "overrides": {"mobile": {"concurrent_max": 3}}});
        let principals: Principals = serde_json::from_value(written).unwrap();
        let all = principals.allowance(&Override::default(), 16);
        assert_eq!((all.requests_per_s.get(), all.concurrent_max, all.store_reads_max), (7, 1_024, 12));
        let mobile = principals.allowance(&principals.overrides["mobile"], 16);
        assert_eq!(mobile, Allowance { concurrent_max: 3, ..all });
    }
}
