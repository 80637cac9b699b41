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

fn url() -> Option<String> {
    std::env::var("LOCUM_TEST_REDIS_URL").ok().filter(|url| !url.is_empty())
}

/// With `LOCUM_TEST_REDIS_URL` only.
async fn redis(name: &str) -> Option<RedisTier> {
    let url = url()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let redis = RedisTier::new(&url, &format!("locum-unit-{name}-{now}")).unwrap();
    redis.connect().await.unwrap();
    Some(redis)
}

#[tokio::test]
async fn a_reader_between_a_removal_and_its_mark_puts_nothing_back() {
    let Some(redis) = redis("tombstone").await else { return };
    redis.publish(&publication(1, vec![document("c")], &[])).await;
    let epoch = redis.current_epoch("bank").await.unwrap();
    redis.publish(&publication(2, vec![document("c")], &[])).await;
    let shown = async || {
        let _ = redis.get("a", &[status(0)]).await;
        redis.get("a", &[status(0)]).await.map(|(document, mark)| (document, mark.applied_seq))
    };
    assert_eq!(shown().await, Some((document("c"), 2)));
    // The account goes with sequence 3; a reader that saw it at 2 comes before the mark is raised.
    assert_eq!(redis.put(&epoch, &status(3), &[("a", Vec::new())]).await, Said::Done);
    redis.put_seen(&epoch, &document("c"), &status(2)).await;
    // Said twice, as after an answer that was lost.
    for _ in 0..2 {
        assert_eq!(redis.raise(&epoch, &publication(3, vec![], &["a"])).await, Said::Done);
    }
    assert_eq!(shown().await, None);
    // It comes back with a later sequence, whatever the versions of its rows say.
    redis.publish(&publication(4, vec![document("d")], &[])).await;
    assert_eq!(shown().await, Some((document("d"), 4)));
    // In both lists: not served.
    redis.publish(&publication(5, vec![document("e")], &["a"])).await;
    assert_eq!(shown().await, None);
}

#[tokio::test]
async fn a_new_epoch_begins_with_the_documents_of_its_publication() {
    let Some(redis) = redis("beginning").await else { return };
    redis.publish(&publication(7, vec![document("c")], &["gone"])).await;
    let _ = redis.get("a", &[status(0)]).await;
    let (found, mark) = redis.get("a", &[status(0)]).await.unwrap();
    assert_eq!((found, mark.applied_seq), (document("c"), 7));
}

fn of_token(token: i64, mut publication: Publication) -> Publication {
    publication.status = Arc::new(SourceStatus { token, ..SourceStatus::clone(&publication.status) });
    publication
}

#[tokio::test]
async fn after_a_restore_of_sql_the_next_publication_overrules_the_mark_of_the_lost_history() {
    let Some(redis) = redis("restore").await else { return };
    redis.publish(&of_token(9, publication(50, vec![], &[]))).await;
    let (lost, restored) = (redis.current_epoch("bank").await, RedisTier::new(&url().unwrap(), &redis.prefix).unwrap());
    restored.connect().await.unwrap();
    restored.publish(&of_token(4, publication(30, vec![document("c")], &[]))).await;
    assert_eq!(restored.current_epoch("bank").await, lost, "this one may be a stale writer's last word");
    // A stale writer commits nothing any more, so there is no next one of it.
    restored.publish(&of_token(4, publication(31, vec![document("c")], &[]))).await;
    assert_ne!(restored.current_epoch("bank").await, lost);
    restored.publish(&of_token(4, publication(32, vec![document("c")], &[]))).await;
    let _ = restored.get("a", &[status(0)]).await;
    let (found, mark) = restored.get("a", &[status(0)]).await.unwrap();
    assert_eq!((found, mark.applied_seq, mark.token), (document("c"), 32, 4));
}

#[tokio::test]
async fn documents_of_old_epochs_are_deleted_and_those_of_others_stay() {
    let Some(redis) = redis("old[1]*").await else { return };
    let keys = async |pattern: String| -> Vec<String> {
        let mut connection = redis.link.connection().unwrap();
        redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap()
    };
    let of_run = format!("*{}*", redis.prefix.rsplit('-').next().unwrap());
    let other = |mut document: AccountDocument| {
        document.source = "other".into();
        Arc::new(document)
    };
    let others = Publication {
        status: Arc::new(SourceStatus { source: "other".into(), ..SourceStatus::clone(&status(1)) }),
        ..publication(1, vec![other(AccountDocument::clone(&document("c")))], &[])
    };
    redis.publish(&others).await;
    redis
        .publish(&Publication {
            previous_seq: 1,
            status: Arc::new(SourceStatus { applied_seq: 2, ..SourceStatus::clone(&others.status) }),
            ..others.clone()
        })
        .await;
    redis.publish(&publication(1, vec![], &[])).await;
    redis.publish(&publication(2, vec![document("c")], &[])).await;
    redis.publish(&Publication { reset: true, ..publication(3, vec![], &[]) }).await;
    for _ in 0..3_000 {
        if keys(of_run.clone()).await.len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let left = keys(of_run).await;
    assert_eq!(left.iter().filter(|key| key.contains("{other}")).count(), 2, "{left:?}");
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn sequences_sort_as_text() {
    let sorted = [0, 9, 10, 99, 100, i64::MAX].map(|n| sequence(&status(n)));
    assert!(sorted.is_sorted() && sorted.iter().all(|text| text.len() == SEQUENCE_LEN));
}
