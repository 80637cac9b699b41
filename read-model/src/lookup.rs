//! Reads that SQL answers, each in one statement together with the state of its source.

use std::sync::Arc;

use schemas::model::{Customer, Entity};
use sql::{Row, Value, params, placeholders};

use schemas::grant::Grant;

use crate::grant::condition;
use crate::reader::{ACCOUNTS_PER_CUSTOMER_MAX, BATCH_KEYS_MAX, DEGRADED, Floor, Read, ReadError, Reader, Tier};
use crate::rows::{AccountDocument, DOCUMENT_COLUMNS, DOCUMENT_JOIN, Versioned, customer, document};
use crate::source::{Position, Progress, STATUS_COLUMNS, SourceStatus, status, statuses};

/// A document with what its row tells beside it.
pub(crate) struct Found {
    pub(crate) document: Arc<AccountDocument>,
    pub(crate) status: Arc<SourceStatus>,
    /// Parked events touch it.
    pub(crate) degraded: bool,
    /// Its dataset: where further rows of the account are.
    pub(crate) dataset: u32,
}

pub(crate) fn found(row: &Row) -> Result<Found, ReadError> {
    let status = status(row)?;
    Ok(Found {
        document: Arc::new(document(row, &status.source)?),
        status: Arc::new(status),
        degraded: row.get::<i64>("degraded")? > 0,
        dataset: row.get("dataset")?,
    })
}

/// Documents with the state of their sources, by a condition on `account_rows a`.
pub(crate) fn documents_sql(condition: &str) -> String {
    format!(
        "SELECT a.dataset AS dataset, {DOCUMENT_COLUMNS}, {STATUS_COLUMNS}, {DEGRADED} FROM {DOCUMENT_JOIN} \
         JOIN sources s ON s.dataset = a.dataset \
         WHERE a.deleted = 0 AND {condition}"
    )
}

/// Sources that may hold an unapplied event for a *missing* row: one of `keys` is marked and has no row, or the whole source is
/// marked. Existing rows are left out, so that a caller learns nothing about rows it may not see.
pub(crate) fn doubt(entity: Entity, keys: &[&str]) -> (String, Vec<Value>) {
    let (table, key) = match entity {
        Entity::Customer => ("customer_rows", "customer_id"),
        _ => ("account_rows", "account_id"),
    };
    let sql = format!(
        "SELECT d.source AS source FROM sources s JOIN parked_marks d ON d.source = s.source AND d.entity = 'account' \
           AND d.entity_key = '*' AND d.generation = s.generation \
         UNION \
         SELECT d.source AS source FROM sources s JOIN parked_marks d ON d.source = s.source AND d.entity = ? \
           AND d.entity_key IN ({}) AND d.generation = s.generation \
         WHERE NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{key} = d.entity_key AND r.dataset = s.dataset \
           AND r.deleted = 0)",
        placeholders(keys.len())
    );
    (sql, params![entity.as_str()].into_iter().chain(keys.iter().map(|key| Value::from(*key))).collect())
}

/// Fails while the first load runs: until then a missing row may be on its way.
pub(crate) fn loaded(status: &SourceStatus) -> Result<(), ReadError> {
    if status.loaded {
        return Ok(());
    }
    Err(ReadError::NotLoaded { source_name: status.source.clone(), progress: status.progress() })
}

impl Reader {
    /// One account as SQL has it now, at the floor.
    pub async fn account_from_sql(
        &self,
        grant: &Grant,
        account_id: &str,
        floor: &Floor,
    ) -> Result<Read<Arc<AccountDocument>>, ReadError> {
        let Found { document, status, degraded, .. } = self.account_found(grant, account_id, floor).await?;
        Ok(self.answer(document, vec![(status, degraded)], Tier::Sql))
    }

    /// The same, with what its page needs.
    pub(crate) async fn account_found(
        &self,
        grant: &Grant,
        account_id: &str,
        floor: &Floor,
    ) -> Result<Found, ReadError> {
        let found = match self.documents(grant, &[account_id]).await?.pop() {
            Some(found) => found,
            None => {
                self.absence_means_something(floor).await?;
                self.undoubted(Entity::Account, &[account_id]).await?;
                // The row may have come between the two looks.
                self.documents(grant, &[account_id]).await?.pop().ok_or(ReadError::NotFound)?
            }
        };
        self.reached(floor, [&*found.status])?;
        if !found.degraded {
            self.fill(&found.document, &found.status);
        }
        Ok(found)
    }

    fn fill(&self, document: &Arc<AccountDocument>, status: &Arc<SourceStatus>) {
        if let Some(memory) = &self.tiers.memory {
            memory.fill(document, status);
        }
        if let Some(redis) = &self.tiers.redis {
            redis.fill(document.clone(), status.clone());
        }
    }

    async fn documents(&self, grant: &Grant, keys: &[&str]) -> Result<Vec<Found>, ReadError> {
        let (granted, grant_params) = condition(grant, "a.customer_id");
        let condition = format!("a.account_id IN ({}) AND {granted} ORDER BY a.account_id", placeholders(keys.len()));
        let values: Vec<Value> = keys.iter().map(|key| Value::from(*key)).chain(grant_params).collect();
        let rows = self.db.query(&documents_sql(&condition), values).await?;
        let mut documents = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        // Not every engine compares texts byte for byte, see `sql::Value::Text`.
        documents.retain(|Found { document, .. }| {
            keys.contains(&document.account_id()) && grant.covers(&document.account.row.customer_id)
        });
        Ok(documents)
    }

    /// Fails unless an absent row may be called absent: every source loaded, and at the floor. What absence then rests on.
    async fn absence_means_something(&self, floor: &Floor) -> Result<Vec<SourceStatus>, ReadError> {
        let statuses = statuses(&self.db).await?;
        if statuses.is_empty() {
            return Err(ReadError::NotLoaded { source_name: String::new(), progress: Progress::default() });
        }
        statuses.iter().try_for_each(loaded)?;
        self.reached(floor, statuses.iter())?;
        Ok(statuses)
    }

    /// Fails when a parked event may be about one of these keys and about no row that is there.
    async fn undoubted(&self, entity: Entity, keys: &[&str]) -> Result<(), ReadError> {
        let (sql, values) = doubt(entity, keys);
        match self.db.query(&sql, values).await?.first() {
            None => Ok(()),
            Some(row) => Err(ReadError::Doubtful { source_name: row.get("source")? }),
        }
    }

    pub(crate) fn reached<'s>(
        &self,
        floor: &Floor,
        statuses: impl IntoIterator<Item = &'s SourceStatus>,
    ) -> Result<(), ReadError> {
        match statuses.into_iter().find(|status| !floor.reached_by(status)) {
            None => Ok(()),
            Some(status) => Err(ReadError::Behind {
                source_name: status.source.clone(),
                at: Position { generation: status.generation, sequence: status.applied_seq },
            }),
        }
    }

    pub(crate) fn answer<T>(&self, value: T, from: Vec<(Arc<SourceStatus>, bool)>, tier: Tier) -> Read<T> {
        metrics::counter!(crate::metrics::READS_TOTAL, "tier" => tier.as_str()).increment(1);
        let oldest_ok_ms = self.oldest_ok_ms();
        let mut freshness: Vec<crate::source::Freshness> = Vec::new();
        for (status, degraded) in from {
            let next = status.freshness(degraded, oldest_ok_ms);
            match freshness.iter_mut().find(|known| known.source == next.source) {
                Some(known) => known.quality = known.quality.max(next.quality),
                None => freshness.push(next),
            }
        }
        Read { value, freshness, tier }
    }

    /// Several accounts, those that exist and are granted, by key; more than [`BATCH_KEYS_MAX`] keys are cut off.
    /// While a source is not loaded, or a parked event may be about it, a missing one fails the whole read.
    pub async fn accounts(
        &self,
        grant: &Grant,
        keys: &[&str],
        floor: &Floor,
    ) -> Result<Read<Vec<Arc<AccountDocument>>>, ReadError> {
        let mut wanted: Vec<&str> = keys.iter().copied().take(BATCH_KEYS_MAX).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = self.documents(grant, &wanted).await?;
        let mut sources = Vec::new();
        if found.len() < wanted.len() {
            let asked = self.absence_means_something(floor).await?;
            sources = asked.into_iter().map(|status| (Arc::new(status), false)).collect();
            self.undoubted(Entity::Account, &wanted).await?;
            found = self.documents(grant, &wanted).await?;
        }
        self.listed(found, sources, floor)
    }

    /// The accounts of a customer, by key; more than [`ACCOUNTS_PER_CUSTOMER_MAX`] are refused.
    pub async fn accounts_of(
        &self,
        grant: &Grant,
        customer_id: &str,
        floor: &Floor,
    ) -> Result<Read<Vec<Arc<AccountDocument>>>, ReadError> {
        if !grant.covers(customer_id) {
            return Err(ReadError::NotFound);
        }
        // A list may lack rows that are not loaded yet, so this is asked in any case, before the rows.
        let sources = self.absence_means_something(floor).await?;
        let doubtful = self.unplaced().await?;
        let condition = "a.customer_id = ? ORDER BY a.account_id LIMIT ?";
        let values = params![customer_id, ACCOUNTS_PER_CUSTOMER_MAX + 1];
        let rows = self.db.query(&documents_sql(condition), values).await?;
        let mut documents = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        if documents.len() > ACCOUNTS_PER_CUSTOMER_MAX as usize {
            return Err(ReadError::TooMany { max: ACCOUNTS_PER_CUSTOMER_MAX });
        }
        documents.retain(|Found { document, .. }| document.account.row.customer_id == customer_id);
        let sources = sources.into_iter().map(|status| {
            let doubtful = doubtful.contains(&status.source);
            (Arc::new(status), doubtful)
        });
        self.listed(documents, sources.collect(), floor)
    }

    /// The sources with parked events about accounts that are not there: such an account may be anybody's.
    async fn unplaced(&self) -> Result<Vec<String>, ReadError> {
        let sql = "SELECT DISTINCT d.source AS source FROM sources s JOIN parked_marks d ON d.source = s.source \
             AND d.entity = 'account' AND d.generation = s.generation \
           WHERE NOT EXISTS (SELECT 1 FROM account_rows r WHERE r.account_id = d.entity_key AND r.dataset = s.dataset \
             AND r.deleted = 0)";
        self.db.query(sql, Vec::new()).await?.iter().map(|row| Ok(row.get("source")?)).collect()
    }

    /// A list with the freshness of its rows. Sources without a row in it are added, because an empty list rests on them too.
    fn listed(
        &self,
        found: Vec<Found>,
        sources: Vec<(Arc<SourceStatus>, bool)>,
        floor: &Floor,
    ) -> Result<Read<Vec<Arc<AccountDocument>>>, ReadError> {
        self.reached(floor, found.iter().map(|found| &*found.status))?;
        let (documents, mut from): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| (found.document, (found.status, found.degraded))).unzip();
        // These statuses were read before the rows, so they come last: of a source with rows here, the rows' own place
        // counts.
        from.extend(sources);
        Ok(self.answer(documents, from, Tier::Sql))
    }

    /// One customer.
    pub async fn customer(
        &self,
        grant: &Grant,
        customer_id: &str,
        floor: &Floor,
    ) -> Result<Read<Versioned<Customer>>, ReadError> {
        let look = || async {
            let (granted, grant_params) = condition(grant, "c.customer_id");
            let sql = format!(
                "SELECT c.customer_id AS customer_id, c.version AS version, c.name AS name, {STATUS_COLUMNS}, \
                   CASE WHEN EXISTS (SELECT 1 FROM parked_marks d WHERE d.source = s.source \
                     AND d.generation = s.generation \
                     AND (d.entity = 'customer' AND d.entity_key = c.customer_id OR d.entity = 'account' AND d.entity_key = '*')) \
                   THEN 1 ELSE 0 END AS degraded \
                 FROM customer_rows c JOIN sources s ON s.dataset = c.dataset \
                 WHERE c.deleted = 0 AND c.customer_id = ? AND {granted} ORDER BY s.source"
            );
            let values = params![customer_id].into_iter().chain(grant_params).collect();
            let rows = self.db.query(&sql, values).await?;
            let read = |row: &Row| Ok((customer(row)?, Arc::new(status(row)?), row.get::<i64>("degraded")? > 0));
            let found = rows.iter().map(read).collect::<Result<Vec<_>, ReadError>>()?;
            let itself = |customer: &Customer| customer.customer_id == customer_id && grant.covers(customer_id);
            Ok::<_, ReadError>(found.into_iter().find(|(customer, ..)| itself(&customer.row)))
        };
        let found = match look().await? {
            Some(found) => found,
            None => {
                self.absence_means_something(floor).await?;
                self.undoubted(Entity::Customer, &[customer_id]).await?;
                look().await?.ok_or(ReadError::NotFound)?
            }
        };
        let (customer, status, degraded) = found;
        self.reached(floor, [&*status])?;
        Ok(self.answer(customer, vec![(status, degraded)], Tier::Sql))
    }

    /// Every source, as SQL has it now: for service status and operators.
    pub async fn sources(&self) -> Result<Vec<SourceStatus>, ReadError> {
        Ok(statuses(&self.db).await?)
    }
}
