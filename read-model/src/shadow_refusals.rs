//! Refusals that were seen in a shadow. They end nothing before the swap, because a shadow may be abandoned.

use std::collections::BTreeMap;

use schemas::model::Refusal;
use sql::{Policy, Tx, Upsert, params};

use crate::rows::version;
use crate::shadow_evidence::EVIDENCE_PER_STEP;
use crate::writer::{WriteError, Writer};

impl Writer {
    /// Keeps refusals until the swap; of one reference the newest.
    pub async fn keep_refusals(&self, tx: &mut Tx, refusals: &[Refusal]) -> Result<(), WriteError> {
        const COLUMNS: &[&str] = &["source", "generation", "core_ref", "code", "version"];
        let mut newest: BTreeMap<&str, &Refusal> = BTreeMap::new();
        for refusal in refusals {
            let kept = newest.entry(&refusal.core_ref).or_insert(refusal);
            if refusal.version > kept.version {
                *kept = refusal;
            }
        }
        let mut upsert = Upsert::new("shadow_refusals", COLUMNS, &COLUMNS[..3], Policy::Newer("version"));
        for Refusal { core_ref, code, version } in newest.into_values() {
            upsert.push(params![&*self.source, self.generation, core_ref, code, version.as_bytes()]);
        }
        Ok(tx.upsert(upsert).await?)
    }

    /// The next refusals kept, by reference, at most [`EVIDENCE_PER_STEP`].
    pub async fn refusals_after(&self, tx: &mut Tx, after: &str) -> Result<Vec<Refusal>, WriteError> {
        let sql = "SELECT core_ref, code, version FROM shadow_refusals WHERE source = ? AND generation = ? AND core_ref > ? \
             ORDER BY core_ref LIMIT ?";
        let mut refusals = Vec::new();
        for row in tx.query(sql, params![&*self.source, self.generation, after, EVIDENCE_PER_STEP]).await? {
            let (core_ref, code) = (row.get("core_ref")?, row.get("code")?);
            refusals.push(Refusal { core_ref, code, version: version(&row, "version")? });
        }
        Ok(refusals)
    }
}
