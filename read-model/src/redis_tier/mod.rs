//! The tier in Redis: documents pushed by the ingester, filled by readers, never authority.
//!
//! Keys of a source share one slot: `locum:{SOURCE}:mark:2` and `locum:{SOURCE}:EPOCH:ACCOUNT`. The mark says how far the
//! epoch's documents are published (the rule of [`crate::memory`]). A document carries the sequence it was seen at, and only a
//! greater one replaces it: not its rows' versions, for account and balance come from different tables, and either may change
//! without raising the other's. What is not served any more leaves a tombstone with its sequence, so that a reader that saw
//! the document before cannot put it back under a mark raised since. The publisher must find the mark exactly where it left
//! it. Without an answer it says the publication again for some seconds; saying it twice does no harm. Otherwise something was
//! missed (FLUSHALL, fail-over with lost writes) and it starts a new epoch: marked with today's sequence, with the documents of
//! this publication only, and so right at once. A mark with a higher fencing token is another's, unless SQL was restored and
//! has forgotten that token. Documents of old epochs are deleted a few at a time, and expire.

mod cleaning;
mod scripts;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::ScriptInvocation;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use self::cleaning::Cleaning;
use self::scripts::Scripts;
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

/// How long a publication without an answer is said again before the epoch is given up. After that, a Redis that is away is
/// not waited for with every publication.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(2);
/// First pause before it is said again; doubles.
const PUBLISH_PAUSE: Duration = Duration::from_millis(20);

/// What this process knows of the mark it publishes under, per source.
#[derive(Debug, Default)]
struct Publishing {
    /// The epoch; none = unknown, adopt or begin.
    epoch: Option<String>,
    /// Redis did not answer for the whole patience.
    away: bool,
    /// The token of the mark that refused the publication before this one. A token is given out by SQL before Redis hears of it,
    /// and only rises there. So if a later commit still has a lower one, SQL was restored from a backup: the mark is of a
    /// history that is no more.
    refused_by: Option<i64>,
}

/// What a try to publish came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Done,
    /// The mark is elsewhere: something was missed.
    Elsewhere,
    /// No answer; it may be done.
    Unanswered,
}

/// The Redis tier of one database. Share it with `Arc`.
pub struct RedisTier {
    link: Arc<Link>,
    prefix: String,
    scripts: Scripts,
    publishing: Mutex<HashMap<String, Publishing>>,
    cleaning: Arc<std::sync::Mutex<Cleaning>>,
    fills: Arc<Semaphore>,
    /// The epoch last seen per source; a wrong guess costs one miss.
    seen: ArcSwap<HashMap<String, String>>,
}

impl RedisTier {
    /// A tier at `redis://host:port/db`; `prefix` sets installations on one server apart. Does not connect yet.
    pub fn new(url: &str, prefix: &str) -> Result<Self, redis::RedisError> {
        Ok(Self {
            link: Arc::new(Link::new(url)?),
            prefix: prefix.to_owned(),
            scripts: Scripts::new(),
            publishing: Mutex::default(),
            cleaning: Arc::default(),
            fills: Arc::new(Semaphore::new(FILLS_MAX)),
            seen: ArcSwap::default(),
        })
    }

    /// Connects now. Without it the first reads go to SQL while a connection is made.
    pub async fn connect(&self) -> Result<(), redis::RedisError> {
        self.link.connect().await
    }

    fn mark_key(&self, source: &str) -> String {
        mark_key(&self.prefix, source)
    }

    fn document_key(&self, source: &str, epoch: &str, account_id: &str) -> String {
        format!("{}:{{{source}}}:{epoch}:{account_id}", self.prefix)
    }

    /// Pushes what was committed: documents first, then the mark. Failing that, a new epoch begins.
    ///
    /// Publications of a source come one after the other, each after its own commit.
    pub(crate) async fn publish(&self, publication: &Publication) {
        let mut publishing = self.publishing.lock().await;
        let source = &publication.status.source;
        let mut place = publishing.remove(source).unwrap_or_default();
        let known = match place.epoch.take() {
            _ if publication.reset => None,
            None => self.current_epoch(source).await,
            known => known,
        };
        if let Some(epoch) = known {
            match self.follow(&epoch, publication, !place.away).await {
                Said::Done => place = Publishing { epoch: Some(epoch), ..Publishing::default() },
                Said::Elsewhere => {}
                Said::Unanswered => place.away = true,
            }
        }
        if place.epoch.is_none() {
            self.begin(publication, &mut place).await;
        }
        publishing.insert(source.clone(), place);
    }

    /// Says the publication until it is answered, if it is to be patient. Each part of it may be said twice.
    async fn follow(&self, epoch: &str, publication: &Publication, patient: bool) -> Said {
        let (until, mut pause) = (Instant::now() + PUBLISH_PATIENCE, PUBLISH_PAUSE);
        loop {
            let said = self.say(epoch, publication).await;
            if said != Said::Unanswered || !patient || Instant::now() + pause > until {
                return said;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// An epoch left by an earlier holder goes on if its mark is exactly where this publication starts.
    async fn current_epoch(&self, source: &str) -> Option<String> {
        let key = self.mark_key(source);
        let mut connection = self.link.connection()?;
        let answer = redis::cmd("HGET").arg(&key).arg("epoch").query_async::<Option<String>>(&mut connection).await;
        self.link.settle(answer).flatten()
    }

    async fn say(&self, epoch: &str, publication: &Publication) -> Said {
        match self.put_all(epoch, publication).await {
            Said::Done => self.raise(epoch, publication).await,
            other => other,
        }
    }

    async fn put_all(&self, epoch: &str, publication: &Publication) -> Said {
        let mut puts: Vec<(&str, Vec<u8>)> = Vec::new();
        // What is gone comes first: of an account that is in both, nothing is kept.
        puts.extend(publication.gone.iter().map(|key| (key.as_str(), Vec::new())));
        for document in &publication.documents {
            let Some(body) = stored::encode(document) else { return Said::Elsewhere };
            puts.push((document.account_id(), body));
        }
        for puts in puts.chunks(DOCUMENTS_PER_CALL) {
            let said = self.put(epoch, &publication.status, puts).await;
            if said != Said::Done {
                return said;
            }
        }
        Said::Done
    }

    async fn put(&self, epoch: &str, status: &SourceStatus, puts: &[(&str, Vec<u8>)]) -> Said {
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

    async fn raise(&self, epoch: &str, publication: &Publication) -> Said {
        let status = &publication.status;
        let Some(json) = stored::encode_status(status) else { return Said::Elsewhere };
        let mut call = self.scripts.raise.key(self.mark_key(&status.source));
        call.arg(epoch).arg(publication.previous_seq).arg(status.applied_seq).arg(status.token).arg(json);
        self.run(&call).await
    }

    /// Begins an epoch at this publication, and notes in `place` what came of it.
    async fn begin(&self, publication: &Publication, place: &mut Publishing) {
        let status = &publication.status;
        let Some(json) = stored::encode_status(status) else { return };
        // A name that was never used, because a restored SQL database gives out the same tokens and sequences again.
        let chance = RandomState::new().build_hasher().finish();
        let epoch = format!("{}-{}-{chance:016x}", status.token, status.applied_seq);
        let mut call = self.scripts.begin.key(self.mark_key(&status.source));
        call.arg(&epoch).arg(status.applied_seq).arg(status.token).arg(json).arg(place.refused_by.unwrap_or_default());
        match self.ask(&call).await {
            Some(1) => {
                tracing::info!(source = %status.source, sequence = status.applied_seq, "redis tier begins a new epoch");
                metrics::counter!(crate::metrics::HOT_EPOCHS_TOTAL).increment(1);
                // What is not put is a miss, never a wrong answer: the mark stands at this publication already.
                let _ = self.put_all(&epoch, publication).await;
                *place = Publishing { epoch: Some(epoch), ..Publishing::default() };
                self.clean(&status.source);
            }
            Some(token) => place.refused_by = Some(-token),
            None => {}
        }
    }

    async fn run(&self, call: &ScriptInvocation<'_>) -> Said {
        match self.ask(call).await {
            Some(1) => Said::Done,
            Some(_) => Said::Elsewhere,
            None => Said::Unanswered,
        }
    }

    /// The script's answer, if there is one in time.
    async fn ask(&self, call: &ScriptInvocation<'_>) -> Option<i64> {
        let mut connection = self.link.connection()?;
        self.link.settle(call.invoke_async::<i64>(&mut connection).await)
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
        let redis = self.clone();
        tokio::spawn(async move {
            redis.put_seen(&epoch, &document, &seen).await;
            drop(permit);
        });
    }

    async fn put_seen(&self, epoch: &str, document: &AccountDocument, seen: &SourceStatus) -> bool {
        let Some(body) = stored::encode(document) else { return false };
        let mut call = self.scripts.fill.key(self.mark_key(&seen.source));
        call.key(self.document_key(&seen.source, epoch, document.account_id()));
        call.arg(epoch).arg(DOCUMENT_TTL_S).arg(sequence(seen)).arg(body);
        self.run(&call).await == Said::Done
    }
}

/// The number is that of the documents' layout: two layouts never meet in one epoch.
fn mark_key(prefix: &str, source: &str) -> String {
    format!("{prefix}:{{{source}}}:mark:2")
}

/// Digits of a sequence in front of a document's JSON: a fixed width, so that they sort as the numbers do.
const SEQUENCE_LEN: usize = 19;

fn sequence(status: &SourceStatus) -> String {
    format!("{:0width$}", status.applied_seq.max(0), width = SEQUENCE_LEN)
}

#[cfg(test)]
mod tests;
