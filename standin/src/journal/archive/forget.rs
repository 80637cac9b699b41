//! Slim rows go once neither their key is honoured nor their reference can come.

use sql::{listed, params};

use super::{ArchiveJournal, DAY_US, Lease, TOGETHER_MAX};
use crate::journal::error::JournalError;

impl ArchiveJournal {
    /// Deletes the slim rows that are not needed; answers how many.
    pub(super) async fn forget(&self, lease: &mut Lease) -> Result<u64, JournalError> {
        let before = |days: u32| lease.now_us.saturating_sub(i64::from(days).saturating_mul(DAY_US));
        let keys_days = lease.retention.keys_days;
        // What no core was told cannot come back from it.
        let unsent = before(keys_days);
        let sent = lease.retention.references_days.map(|days| before(days.max(keys_days)));
        let mut forgotten = 0;
        for (sent, ended_before_us) in [Some((false, unsent)), sent.map(|us| (true, us))].into_iter().flatten() {
            loop {
                self.renew(lease).await?;
                let sql = "SELECT entry_id FROM archived_entries WHERE sent = ? AND ended_us < ? AND until_us < ? \
                     ORDER BY ended_us LIMIT ?";
                let page = u32::try_from(TOGETHER_MAX).unwrap_or(u32::MAX);
                let values = params![sent, ended_before_us, lease.now_us, page];
                let rows = self.0.db.query(sql, values).await?;
                if rows.is_empty() {
                    break;
                }
                let ids = rows.iter().map(|row| row.get::<String>("entry_id")).collect::<Result<Vec<_>, _>>()?;
                let (list, keys) = listed(ids);
                let sql = format!("DELETE FROM archived_entries WHERE entry_id IN ({list})");
                forgotten += self.0.db.exec(&sql, keys).await?;
            }
        }
        Ok(forgotten)
    }
}
