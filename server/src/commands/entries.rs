//! How the administrators' API lists entries.

use serde_json::Value;

use super::client;

/// What waits: for the core, for an answer, for a person.
pub(super) const OPEN: &str = "queued,submitting,outcome_unknown,parked";

/// The path that answers with one page of entries.
pub(super) fn page(state: Option<&str>, account: Option<&str>, after: Option<&str>, limit: u32) -> String {
    let filters = [("state", state), ("account", account), ("after", after)];
    let filters = filters.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", client::encode(value?))));
    format!("/admin/v1/entries?limit={limit}{}", filters.collect::<String>())
}

/// The entries of such a page.
pub(super) fn entries(answer: &Value) -> &[Value] {
    answer["entries"].as_array().map(Vec::as_slice).unwrap_or_default()
}
