//! The SQL server's now, and how far this host's clock is from it.

use tokio::time::Instant;

use crate::clock::ahead_ms;
use crate::journal::error::JournalError;
use crate::journal::handles::GatewayJournal;
use crate::journal::shared::Shared;

impl Shared {
    /// The SQL server's now, milliseconds since 1970.
    pub(super) async fn server_now_ms(&self) -> Result<i64, JournalError> {
        let rows = self.db.query("SELECT {now_ms} AS now_ms", Vec::new()).await?;
        let row = rows.first().ok_or(JournalError::Corrupt("the SQL server's clock"))?;
        Ok(row.get("now_ms")?)
    }
}

impl GatewayJournal {
    /// By how many milliseconds this host's clock is ahead of the SQL server's, at least; behind it, where negative.
    pub async fn clock_ahead_ms(&self) -> Result<i64, JournalError> {
        let (asked_ms, asked) = (self.0.db.host().now_us() / 1_000, Instant::now());
        let server_ms = self.0.server_now_ms().await?;
        Ok(ahead_ms(asked_ms, asked.elapsed(), server_ms))
    }
}
