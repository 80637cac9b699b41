//! The tier in Redis: documents pushed by the ingester, filled by readers, never authority.
//!
//! Keys of a source share one slot: `locum:{SOURCE}:mark:2` and `locum:{SOURCE}:EPOCH:ACCOUNT`. The mark says how far the
//! epoch's documents are published (the rule of [`crate::memory`]). A document carries the sequence it was seen at, and only a
//! greater one replaces it: not its rows' versions, for account and balance come from different tables, and either may change
//! without raising the other's. What is not served any more leaves a tombstone with its sequence, so that a reader that saw
//! the document before cannot put it back under a mark raised since. Whoever publishes must find the mark exactly where it
//! left it; otherwise something was missed (time-out, FLUSHALL, fail-over with lost writes) and it starts a new epoch:
//! empty, marked with today's sequence, and so right at once. A mark with a higher fencing token is never touched.
//! Documents of old epochs expire.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use redis::Script;
use tokio::sync::Mutex;

use crate::link::Link;
use crate::publication::Publication;
use crate::rows::AccountDocument;
use crate::source::SourceStatus;
use crate::stored;

/// Seconds a document lives without being published or filled again.
pub const DOCUMENT_TTL_S: u64 = 86_400;
/// Documents per script call: bounds the time Redis is busy with one.
pub const DOCUMENTS_PER_CALL: usize = 500;
/// Fills under way at once; more are dropped, the next miss tries again.
pub const FILLS_MAX: usize = 64;

/// Documents of a publication, each only over an older one; nothing when the epoch is not ours.
/// KEYS mark, documents…; ARGV epoch, ttl, sequence, then a body per document ("" = tombstone). 1 = done, 0 = epoch is not ours.
const PUT: &str = "
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, string.len(ARGV[3]) - 1)
  if old < ARGV[3] then redis.call('SET', KEYS[i], ARGV[3] .. ARGV[i + 2], 'EX', ARGV[2]) end
end
return 1";

/// The mark from one sequence to the next. ARGV epoch, from, to, token, status. 1 = done, 0 = it is elsewhere.
const RAISE: &str = "
local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'token')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] or tonumber(m[3]) > tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'token', ARGV[4], 'status', ARGV[5])
return 1";

/// A new epoch, unless a younger ingester owns the mark. ARGV epoch, sequence, token, status.
const BEGIN: &str = "
local token = redis.call('HGET', KEYS[1], 'token')
if token and tonumber(token) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2], 'token', ARGV[3], 'status', ARGV[4])
return 1";

/// A reader's document, unless it might be older than what was published since. ARGV epoch, ttl, sequence seen, body.
const FILL: &str = "
local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if m[1] ~= ARGV[1] or tonumber(m[2]) > tonumber(ARGV[3]) then return 0 end
local old = redis.call('GETRANGE', KEYS[2], 0, string.len(ARGV[3]) - 1)
if old < ARGV[3] then redis.call('SET', KEYS[2], ARGV[3] .. ARGV[4], 'EX', ARGV[2]) end
return 1";

struct Scripts {
    put: Script,
    raise: Script,
    begin: Script,
    fill: Script,
}

/// The Redis tier of one database. Share it with `Arc`.
pub struct Hot {
    link: Arc<Link>,
    prefix: String,
    scripts: Scripts,
    /// The epoch this process publishes into, per source; none = unknown, adopt or begin.
    publishing: Mutex<HashMap<String, String>>,
    epochs: AtomicU64,
    fills: Arc<tokio::sync::Semaphore>,
    /// The epoch last seen per source; a wrong guess costs one miss.
    seen: ArcSwap<HashMap<String, String>>,
}

impl Hot {
    /// A tier at `redis://host:port/db`; `prefix` sets installations on one server apart. Does not connect yet.
    pub fn new(url: &str, prefix: &str) -> Result<Self, redis::RedisError> {
        let scripts = Scripts {
            put: Script::new(PUT),
            raise: Script::new(RAISE),
            begin: Script::new(BEGIN),
            fill: Script::new(FILL),
        };
        Ok(Self {
            link: Arc::new(Link::new(url)?),
            prefix: prefix.to_owned(),
            scripts,
            publishing: Mutex::default(),
            epochs: AtomicU64::new(0),
            fills: Arc::new(tokio::sync::Semaphore::new(FILLS_MAX)),
            seen: ArcSwap::default(),
        })
    }

    /// Connects now. Without it the first reads go to SQL while a connection is made.
    pub async fn connect(&self) -> Result<(), redis::RedisError> {
        self.link.connect().await
    }

    fn mark_key(&self, source: &str) -> String {
        // The number is that of the documents' layout: two layouts never meet in one epoch.
        format!("{}:{{{source}}}:mark:2", self.prefix)
    }

    fn document_key(&self, source: &str, epoch: &str, account_id: &str) -> String {
        format!("{}:{{{source}}}:{epoch}:{account_id}", self.prefix)
    }

    /// Pushes what was committed: documents first, then the mark. Failing that, the next publication begins a new epoch.
    pub(crate) async fn publish(&self, publication: &Publication) {
        let mut publishing = self.publishing.lock().await;
        let source = &publication.status.source;
        let known = match publishing.remove(source) {
            _ if publication.reset => None,
            None => self.current_epoch(source).await,
            known => known,
        };
        if let Some(epoch) = known
            && self.follow(&epoch, publication).await
        {
            publishing.insert(source.clone(), epoch);
            return;
        }
        if let Some(epoch) = self.begin(publication).await {
            publishing.insert(source.clone(), epoch);
        }
    }

    /// An epoch left by an earlier holder goes on if its mark is exactly where this publication starts.
    async fn current_epoch(&self, source: &str) -> Option<String> {
        let key = self.mark_key(source);
        let mut connection = self.link.connection()?;
        let answer = redis::cmd("HGET").arg(&key).arg("epoch").query_async::<Option<String>>(&mut connection).await;
        self.link.settle(answer).flatten()
    }

    async fn follow(&self, epoch: &str, publication: &Publication) -> bool {
        let mut puts: Vec<(&str, Vec<u8>)> = Vec::new();
        // What is gone comes first: of an account that is in both, nothing is kept.
        puts.extend(publication.gone.iter().map(|key| (key.as_str(), Vec::new())));
        for document in &publication.documents {
            let Some(body) = stored::encode(document) else { return false };
            puts.push((document.account_id(), body));
        }
        for puts in puts.chunks(DOCUMENTS_PER_CALL) {
            if !self.put(epoch, &publication.status, puts).await {
                return false;
            }
        }
        self.raise(epoch, publication).await
    }

    async fn put(&self, epoch: &str, status: &SourceStatus, puts: &[(&str, Vec<u8>)]) -> bool {
        let mut call = self.scripts.put.key(self.mark_key(&status.source));
        for (key, _) in puts {
            call.key(self.document_key(&status.source, epoch, key));
        }
        call.arg(epoch).arg(DOCUMENT_TTL_S).arg(sequence(status));
        for (_, body) in puts {
            call.arg(body.as_slice());
        }
        self.run(&call).await
    }

    async fn raise(&self, epoch: &str, publication: &Publication) -> bool {
        let status = &publication.status;
        let Some(json) = stored::encode_status(status) else { return false };
        let mut call = self.scripts.raise.key(self.mark_key(&status.source));
        call.arg(epoch).arg(publication.previous_seq).arg(status.applied_seq).arg(status.token).arg(json);
        self.run(&call).await
    }

    async fn begin(&self, publication: &Publication) -> Option<String> {
        let status = &publication.status;
        let json = stored::encode_status(status)?;
        let epoch = format!("{}-{}-{}", status.token, status.applied_seq, self.epochs.fetch_add(1, Ordering::Relaxed));
        let mut call = self.scripts.begin.key(self.mark_key(&status.source));
        call.arg(&epoch).arg(status.applied_seq).arg(status.token).arg(json);
        let begun = self.run(&call).await;
        if begun {
            tracing::info!(source = %status.source, sequence = status.applied_seq, "redis tier begins a new epoch");
            metrics::counter!(crate::metrics::HOT_EPOCHS_TOTAL).increment(1);
        }
        begun.then_some(epoch)
    }

    /// True when the script did it; a lost answer counts as not.
    async fn run(&self, call: &redis::ScriptInvocation<'_>) -> bool {
        let Some(mut connection) = self.link.connection() else { return false };
        self.link.settle(call.invoke_async::<i64>(&mut connection).await) == Some(1)
    }

    /// The document and the mark it is at least as new as, of the first of `sources` that has it.
    /// `None` says nothing about existence.
    pub(crate) async fn get(
        &self,
        account_id: &str,
        sources: &[Arc<SourceStatus>],
    ) -> Option<(Arc<AccountDocument>, Arc<SourceStatus>)> {
        for source in sources {
            if let Some(found) = self.get_from(&source.source, account_id).await {
                return Some(found);
            }
        }
        None
    }

    /// The mark is read before the document: content may be newer than what the answer claims, never older.
    async fn get_from(&self, source: &str, account_id: &str) -> Option<(Arc<AccountDocument>, Arc<SourceStatus>)> {
        let guess = self.seen.load().get(source).cloned().unwrap_or_default();
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET").arg(self.mark_key(source)).arg("epoch").arg("status");
        pipe.cmd("GET").arg(self.document_key(source, &guess, account_id));
        type Answer = ((Option<String>, Option<Vec<u8>>), Option<Vec<u8>>);
        let mut connection = self.link.connection()?;
        let ((epoch, status), body) = self.link.settle(pipe.query_async::<Answer>(&mut connection).await)?;
        let epoch = epoch?;
        if epoch != guess {
            self.remember(source, epoch);
            return None;
        }
        let status = stored::decode_status(&status?)?;
        let document = stored::decode(body?.get(SEQUENCE_LEN..)?)?;
        (document.account_id() == account_id).then(|| (Arc::new(document), Arc::new(status)))
    }

    fn remember(&self, source: &str, epoch: String) {
        self.seen.rcu(|seen| {
            let mut seen = HashMap::clone(seen);
            seen.insert(source.to_owned(), epoch.clone());
            seen
        });
    }

    /// Keeps what SQL answered, in the background; Redis refuses it if it might be older than what was published since.
    pub(crate) fn fill(self: &Arc<Self>, document: Arc<AccountDocument>, seen: Arc<SourceStatus>) {
        let Some(epoch) = self.seen.load().get(&seen.source).cloned() else { return };
        let Ok(permit) = self.fills.clone().try_acquire_owned() else { return };
        let hot = self.clone();
        tokio::spawn(async move {
            hot.put_seen(&epoch, &document, &seen).await;
            drop(permit);
        });
    }

    async fn put_seen(&self, epoch: &str, document: &AccountDocument, seen: &SourceStatus) -> bool {
        let Some(body) = stored::encode(document) else { return false };
        let mut call = self.scripts.fill.key(self.mark_key(&seen.source));
        call.key(self.document_key(&seen.source, epoch, document.account_id()));
        call.arg(epoch).arg(DOCUMENT_TTL_S).arg(sequence(seen)).arg(body);
        self.run(&call).await
    }
}

/// Digits of a sequence in front of a document's JSON: a fixed width, so that they sort as the numbers do.
const SEQUENCE_LEN: usize = 19;

fn sequence(status: &SourceStatus) -> String {
    format!("{:0width$}", status.applied_seq.max(0), width = SEQUENCE_LEN)
}

#[cfg(test)]
mod tests {
    use schemas::model::{Account, AccountState};
    use schemas::money::Currency;
    use schemas::position::Version;

    use super::*;
    use crate::rows::Versioned;

    fn status(applied_seq: i64) -> Arc<SourceStatus> {
        Arc::new(SourceStatus {
            source: "bank".into(),
            generation: 1,
            rebuilding: None,
            identity: None,
            loaded: true,
            as_of_ms: Some(1),
            watermark: Version::floor(1),
            applied_seq,
            events_applied: 0,
            events_behind: None,
            halted: None,
            token: 1,
        })
    }

    fn document(customer_id: &str) -> Arc<AccountDocument> {
        let row = Account {
            account_id: "a".into(),
            customer_id: customer_id.into(),
            currency: Currency::parse("EUR").unwrap(),
            state: AccountState::Active,
            product: None,
        };
        let account = Versioned { row, version: Version::floor(1) };
        Arc::new(AccountDocument { source: "bank".into(), account, balance: None })
    }

    fn publication(sequence: i64, documents: Vec<Arc<AccountDocument>>, gone: &[&str]) -> Publication {
        let gone = gone.iter().map(|key| (*key).to_owned()).collect();
        Publication { status: status(sequence), previous_seq: sequence - 1, documents, gone, reset: false }
    }

    /// With `LOCUM_TEST_REDIS_URL` only.
    async fn hot(name: &str) -> Option<Hot> {
        let url = std::env::var("LOCUM_TEST_REDIS_URL").ok().filter(|url| !url.is_empty())?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let hot = Hot::new(&url, &format!("locum-unit-{name}-{now}")).unwrap();
        hot.connect().await.unwrap();
        Some(hot)
    }

    #[tokio::test]
    async fn a_reader_between_a_removal_and_its_mark_puts_nothing_back() {
        let Some(hot) = hot("tombstone").await else { return };
        hot.publish(&publication(1, vec![document("c")], &[])).await;
        let epoch = hot.current_epoch("bank").await.unwrap();
        hot.publish(&publication(2, vec![document("c")], &[])).await;
        let shown = async || {
            let _ = hot.get("a", &[status(0)]).await;
            hot.get("a", &[status(0)]).await.map(|(document, mark)| (document, mark.applied_seq))
        };
        assert_eq!(shown().await, Some((document("c"), 2)));
        // The account goes with sequence 3; a reader that saw it at 2 comes before the mark is raised.
        assert!(hot.put(&epoch, &status(3), &[("a", Vec::new())]).await);
        hot.put_seen(&epoch, &document("c"), &status(2)).await;
        assert!(hot.raise(&epoch, &publication(3, vec![], &["a"])).await);
        assert_eq!(shown().await, None);
        // It comes back with a later sequence, whatever the versions of its rows say.
        hot.publish(&publication(4, vec![document("d")], &[])).await;
        assert_eq!(shown().await, Some((document("d"), 4)));
        // In both lists: not served.
        hot.publish(&publication(5, vec![document("e")], &["a"])).await;
        assert_eq!(shown().await, None);
    }

    #[test]
    fn sequences_sort_as_text() {
        let sorted = [0, 9, 10, 99, 100, i64::MAX].map(|n| sequence(&status(n)));
        assert!(sorted.is_sorted() && sorted.iter().all(|text| text.len() == SEQUENCE_LEN));
    }
}
