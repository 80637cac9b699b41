//! Evidence about entries that was seen in a shadow. It confirms nothing before the swap, because a shadow may be abandoned.

use schemas::entry::LegKind;
use schemas::model::{LegEvidence, LegVerdict};
use schemas::money::Currency;
use schemas::position::TransactionPlace;
use sha2::{Digest, Sha256};
use sql::{Policy, Row, Tx, Upsert, params};

use crate::rows::{RowError, place, version};
use crate::writer::{WriteError, Writer};

/// Rows of evidence that one statement reads.
pub const EVIDENCE_PER_STEP: u32 = 500;

const VERDICTS: [(LegVerdict, &str); 3] =
    [(LegVerdict::Posted, "posted"), (LegVerdict::Refused, "refused"), (LegVerdict::Reversed, "reversed")];

impl Writer {
    /// Keeps evidence until the swap; of one row of the core the newest.
    pub async fn keep_evidence(&self, tx: &mut Tx, evidence: &[LegEvidence]) -> Result<(), WriteError> {
        const COLUMNS: &[&str] = &[
            "source",
            "generation",
            "core_ref",
            "leg",
            "row_hash",
            "row_key",
            "version",
            "verdict",
            "account_id",
            "amount_minor",
            "currency",
            "posting_no",
            "source_place",
        ];
        let newest = newest(evidence);
        let mut upsert = Upsert::new("shadow_evidence", COLUMNS, &COLUMNS[..5], Policy::Newer("version"));
        for seen in newest {
            let verdict = VERDICTS.iter().find(|(verdict, _)| *verdict == seen.verdict).map_or("", |(_, name)| name);
            upsert.push(params![
                &*self.source,
                self.generation,
                &seen.core_ref,
                seen.leg.as_str(),
                <[u8; 32]>::from(Sha256::digest(&seen.row_key)),
                &seen.row_key,
                seen.version.as_bytes(),
                verdict,
                &seen.account_id,
                seen.amount_minor,
                seen.currency.code(),
                seen.posting_no,
                seen.place.as_ref().map(TransactionPlace::as_bytes)
            ]);
        }
        Ok(tx.upsert(upsert).await?)
    }

    /// The next evidence kept, by reference, at most [`EVIDENCE_PER_STEP`] rows; whatever has the last reference comes whole.
    pub async fn evidence_after(&self, tx: &mut Tx, after: &str) -> Result<Vec<LegEvidence>, WriteError> {
        let sql = "SELECT core_ref, leg, row_key, version, verdict, account_id, amount_minor, currency, posting_no, source_place \
             FROM shadow_evidence WHERE source = ? AND generation = ? AND core_ref > ? ORDER BY core_ref, leg, row_hash LIMIT ?";
        let rows = tx.query(sql, params![&*self.source, self.generation, after, EVIDENCE_PER_STEP]).await?;
        let mut evidence = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if let (Some(last), true) =
            (evidence.last().map(|e| e.core_ref.clone()), rows.len() == EVIDENCE_PER_STEP as usize)
        {
            evidence.retain(|seen| seen.core_ref != last);
            let sql = "SELECT core_ref, leg, row_key, version, verdict, account_id, amount_minor, currency, posting_no, source_place \
                 FROM shadow_evidence WHERE source = ? AND generation = ? AND core_ref = ? ORDER BY leg, row_hash";
            let rows = tx.query(sql, params![&*self.source, self.generation, last]).await?;
            evidence.extend(rows.iter().map(read).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(evidence)
    }
}

/// One statement must not name a key twice on every engine.
fn newest(evidence: &[LegEvidence]) -> Vec<&LegEvidence> {
    let mut newest = std::collections::BTreeMap::new();
    for seen in evidence {
        let kept = newest.entry((&seen.core_ref, seen.leg.as_str(), &seen.row_key)).or_insert(seen);
        if seen.version > kept.version {
            *kept = seen;
        }
    }
    newest.into_values().collect()
}

fn read(row: &Row) -> Result<LegEvidence, RowError> {
    let verdict: &str = row.get("verdict")?;
    let verdict = VERDICTS.iter().find(|(_, name)| *name == verdict).map(|(verdict, _)| *verdict);
    Ok(LegEvidence {
        core_ref: row.get("core_ref")?,
        leg: LegKind::parse(row.get("leg")?).ok_or(RowError::Vocabulary("leg"))?,
        verdict: verdict.ok_or(RowError::Vocabulary("verdict"))?,
        account_id: row.get("account_id")?,
        amount_minor: row.get("amount_minor")?,
        currency: Currency::parse(row.get("currency")?).map_err(|_| RowError::Vocabulary("currency"))?,
        posting_no: row.get("posting_no")?,
        place: place(row)?,
        row_key: row.get("row_key")?,
        version: version(row, "version")?,
    })
}
