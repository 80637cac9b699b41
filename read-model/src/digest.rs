//! At rest memory = Redis = SQL (C7), shown by digest.
//!
//! The fast tiers hold a part of the documents, so each document of SQL is looked up in the tier and both sides are summed
//! over those the tier has.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use sql::params;

use crate::lookup::{Found, documents_sql, found};
use crate::reader::{ReadError, Reader, Tier};
use crate::rows::AccountDocument;
use crate::stored;

/// Accounts per statement while digesting.
const ACCOUNTS_PER_QUERY: i64 = 500;

/// A sum over documents that does not depend on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many.
    pub documents: u64,
    /// Wrapping sum of their hashes; stable within one release.
    pub sum: u64,
}

impl Digest {
    fn add(&mut self, document: &AccountDocument) {
        let mut hasher = DefaultHasher::new();
        stored::encode(document).hash(&mut hasher);
        self.documents += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// A tier compared with SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Everything SQL serves.
    pub sql: Digest,
    /// What SQL has of the documents that the tier has too.
    pub shared: Digest,
    /// What the tier has of them. Equal to `shared` at rest, or the tier is wrong.
    pub tier: Digest,
}

/// Compares a tier with SQL, document by document. For [`Tier::Sql`] both sides are SQL.
pub async fn compare(reader: &Reader, tier: Tier) -> Result<Comparison, ReadError> {
    let mut comparison = Comparison::default();
    let mut last = String::new();
    loop {
        let sql = documents_sql("a.account_id > ? ORDER BY a.account_id LIMIT ?");
        let rows = reader.db.query(&sql, params![&last, ACCOUNTS_PER_QUERY]).await?;
        for row in &rows {
            let Found { document, status, .. } = found(row)?;
            document.account_id().clone_into(&mut last);
            comparison.sql.add(&document);
            let kept = match tier {
                Tier::Sql => Some(document.clone()),
                Tier::Memory => reader.tiers.memory.as_ref().and_then(|m| m.get(&last)).map(|(kept, _)| kept),
                Tier::Redis => in_redis(reader, &last, &status).await,
            };
            if let Some(kept) = kept {
                comparison.shared.add(&document);
                comparison.tier.add(&kept);
            }
        }
        if rows.is_empty() {
            return Ok(comparison);
        }
    }
}

async fn in_redis(
    reader: &Reader,
    account_id: &str,
    status: &Arc<crate::source::SourceStatus>,
) -> Option<Arc<AccountDocument>> {
    let redis = reader.tiers.redis.as_ref()?;
    redis.get(account_id, std::slice::from_ref(status)).await.map(|(kept, _)| kept)
}
