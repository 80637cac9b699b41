//! Which orders want a second person.

use std::time::Duration;

use standin::journal::OrderKind;

/// The configuration of four eyes.
#[derive(Debug, Clone)]
pub struct FourEyes {
    /// Orders that take effect only when a second person approves.
    pub kinds: Vec<OrderKind>,
    /// After this long an order that nobody approved cannot be approved any more.
    pub expires_after: Duration,
}

impl Default for FourEyes {
    /// No order; a day.
    fn default() -> Self {
        Self { kinds: Vec::new(), expires_after: Duration::from_secs(86_400) }
    }
}

impl FourEyes {
    /// Does an order of this kind want a second person?
    pub fn wants(&self, kind: OrderKind) -> bool {
        self.kinds.contains(&kind)
    }

    pub(crate) fn expires_after_ms(&self) -> u64 {
        u64::try_from(self.expires_after.as_millis()).unwrap_or(u64::MAX)
    }
}
