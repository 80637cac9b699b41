//! What rows of the core are stored under, by the core's own keys: only where those do not tell it.

use std::collections::{BTreeSet, HashMap};

use schemas::mapping::{KeptRow, RowId, Touched};
use schemas::model::Entity;
use sha2::{Digest, Sha256};
use sql::{Db, Policy, Row, Tx, Upsert, Value, params, placeholders};

use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// Rows per statement.
const ROWS_PER_QUERY: usize = 500;

/// Columns of their table; the first three are the key.
pub(crate) const COLUMNS: &[&str] = &["dataset", "row_hash", "entity", "entity_key", "account_id", "version"];

/// The guarded upsert, without rows yet.
pub(crate) fn upsert() -> Upsert {
    Upsert::new("core_row_keys", COLUMNS, &COLUMNS[..3], Policy::Newer("version"))
}

impl Writer {
    /// Keeps what these rows are stored under; of one row the newest.
    pub async fn keep_rows(&self, tx: &mut Tx, rows: impl IntoIterator<Item = &KeptRow>) -> Result<(), WriteError> {
        let dataset = self.dataset(tx).await?;
        let mut upsert = upsert();
        for KeptRow { row, version, keys } in rows {
            for Touched { entity, key, account_id } in keys {
                upsert.push(params![
                    dataset,
                    hash(row),
                    entity.as_str(),
                    key,
                    account_id.as_deref(),
                    version.as_bytes()
                ]);
            }
        }
        Ok(tx.upsert(upsert).await?)
    }

    /// What these rows were stored under; a row that is not known is left out.
    pub async fn rows_known(
        &self,
        db: &Db,
        rows: &BTreeSet<RowId>,
    ) -> Result<HashMap<RowId, Vec<Touched>>, WriteError> {
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let dataset = self.dataset_by(db).await?;
        let by_hash: HashMap<[u8; 32], &RowId> = rows.iter().map(|row| (hash(row), row)).collect();
        let hashes: Vec<&[u8; 32]> = by_hash.keys().collect();
        let mut known: HashMap<RowId, Vec<Touched>> = HashMap::new();
        for hashes in hashes.chunks(ROWS_PER_QUERY) {
            let sql = format!(
                "SELECT row_hash, entity, entity_key, account_id FROM core_row_keys \
                 WHERE dataset = ? AND row_hash IN ({})",
                placeholders(hashes.len())
            );
            let mut values = params![dataset];
            values.extend(hashes.iter().map(|hash| Value::from(**hash)));
            for row in db.query(&sql, values).await? {
                let hash: Vec<u8> = row.get("row_hash")?;
                let Some(id) = by_hash.get(hash.as_slice()) else { continue };
                known.entry((*id).clone()).or_default().push(read(&row)?);
            }
        }
        Ok(known)
    }
}

fn read(row: &Row) -> Result<Touched, RowError> {
    let entity: &str = row.get("entity")?;
    let entity = Entity::ALL.into_iter().find(|known| known.as_str() == entity);
    Ok(Touched {
        entity: entity.ok_or(RowError::Vocabulary("entity"))?,
        key: row.get("entity_key")?,
        account_id: row.get("account_id")?,
    })
}

/// Keys of cores may be of any length.
fn hash(row: &RowId) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(row.table.as_bytes());
    digest.update([0]);
    digest.update(row.key.as_bytes());
    digest.finalize().into()
}
