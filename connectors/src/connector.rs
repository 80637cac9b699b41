//! What every legacy core looks like from inside Locum.

use std::time::Duration;

use async_trait::async_trait;
use schemas::core::{Capabilities, Enquiry, Outcome};

use schemas::post_request::PostRequest;

/// One legacy core. Implementations hold their own connections and are shared by all callers.
#[async_trait]
pub trait CoreConnector: Send + Sync + 'static {
    /// The core's name in configuration.
    fn name(&self) -> &str;

    /// What the core promises about references.
    fn capabilities(&self) -> Capabilities;

    /// Whether the operation is declared for this core.
    fn offers(&self, operation: &str) -> bool;

    /// Our reason (`insufficient-funds`) for a refusal code of the core; `None` where the code is not declared.
    fn refusal_reason(&self, operation: &str, code: &str) -> Option<&str> {
        let _ = (operation, code);
        None
    }

    /// Whether the request can be put into the core's form at all. To be asked before admission: a request that cannot
    /// would be [`Outcome::NotSent`] for ever. The error names fields, never values.
    fn check(&self, request: &PostRequest) -> Result<(), String> {
        let _ = request;
        Ok(())
    }

    /// One attempt. It never fails: what is not known is [`Outcome::Unknown`].
    ///
    /// When this returns, the attempt has *ended* on our side: either an answer was read whole, or the connection was
    /// reset and what its socket still held was thrown away. In a process that is stopped the kernel does so, after `timeout`.
    /// What is already under way beyond the socket is the core's [`Capabilities::request_lifetime_ms_max`]. A caller that is dropped does not cut the attempt short.
    async fn post(&self, request: &PostRequest, timeout: Duration) -> Outcome;

    /// Asks what became of a reference. Free of side effects in the core.
    async fn enquire(&self, operation: &str, core_ref: &str, timeout: Duration) -> Enquiry;

    /// Asks whether the core takes work now.
    async fn probe(&self, timeout: Duration) -> Probe;
}

/// How a core answered a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It takes postings.
    Up,
    /// It answers and takes no postings: end of day, maintenance.
    ReadOnly,
    /// No usable answer.
    Down {
        /// For operators' eyes only.
        reason: String,
    },
}
