//! The embedded core's change log as a feed: one partition, offset = position.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use read_model::{Partition, Place};
use serde::Deserialize;
use serde_json::value::RawValue;
use sql::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::feed::{Batch, BatchBounds, Ends, Feed, FeedError, Polled, RawRecord};

/// The one partition's name in `offsets`.
pub const CHANGE_LOG_TOPIC: &str = "change-log";
/// Longest wait at the core for the first record.
const WAIT: Duration = Duration::from_millis(1_000);
/// Longest wait for the whole answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// `GET {url}/changes?after=N&limit=M&wait_ms=W`, again and again.
pub struct HttpChangeLog {
    url: String,
    bounds: BatchBounds,
    after: Option<i64>,
}

#[derive(Deserialize)]
struct LogRecord<'a> {
    position: i64,
    topic: String,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

impl HttpChangeLog {
    /// A feed from the control port at `http://host:port`.
    pub fn new(url: &str, bounds: BatchBounds) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), bounds, after: None }
    }

    async fn next(&mut self) -> Result<Polled, FeedError> {
        let Some(after) = self.after else {
            let partition = Partition { topic: CHANGE_LOG_TOPIC.to_owned(), partition: 0 };
            return Ok(Polled::Discovered(vec![(partition, 0)]));
        };
        let url = format!(
            "{}/changes?after={after}&limit={}&wait_ms={}",
            self.url,
            self.bounds.records_max.min(5_000),
            WAIT.as_millis()
        );
        let body = timeout(ANSWER_MAX, get(&url)).await.map_err(|_| unavailable("no answer in time"))??;
        let records: Vec<LogRecord<'_>> = serde_json::from_slice(&body).map_err(|_| unavailable("no change log"))?;
        if let Some(last) = records.last() {
            self.after = Some(last.position);
        }
        let partition = Arc::new(Partition { topic: CHANGE_LOG_TOPIC.to_owned(), partition: 0 });
        let records = records.into_iter().map(|record| raw(&partition, record)).collect();
        // One partition in the order of the log: nothing older is unread anywhere.
        Ok(Polled::Batch(Batch { records, ends: Some(Ends::default()) }))
    }
}

/// Key and value are JSON, or JSON in a string.
fn raw(partition: &Arc<Partition>, record: LogRecord<'_>) -> RawRecord {
    let bytes = |json: Option<&RawValue>| {
        let text = json.map(RawValue::get).filter(|text| *text != "null")?;
        Some(serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()).into_bytes())
    };
    RawRecord {
        topic: record.topic.into(),
        partition: partition.clone(),
        offset: record.position,
        timestamp_ms: None,
        key: bytes(record.key),
        value: bytes(record.value),
    }
}

async fn get(url: &str) -> Result<Bytes, FeedError> {
    let uri: http::Uri = url.parse().map_err(|_| FeedError::Configuration("not a usable url".into()))?;
    let host = uri.host().ok_or_else(|| FeedError::Configuration("url without host".into()))?;
    let port = uri.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await.map_err(|err| unavailable(&err.kind().to_string()))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|_| unavailable("handshake failed"))?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path).header(http::header::HOST, format!("{host}:{port}"));
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| unavailable("bad request"))?;
    let response = sender.send_request(request).await.map_err(|_| unavailable("request failed"))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    driver.abort();
    match status {
        http::StatusCode::OK => Ok(body.map_err(|_| unavailable("answer torn"))?.to_bytes()),
        http::StatusCode::NOT_IMPLEMENTED => Err(FeedError::Configuration("this core keeps no change log".into())),
        status => Err(unavailable(&format!("status {status}"))),
    }
}

fn unavailable(reason: &str) -> FeedError {
    FeedError::Unavailable(reason.to_owned())
}

impl Feed for HttpChangeLog {
    fn assign(&mut self, partitions: Vec<(Partition, Place)>) -> BoxFuture<'_, Result<(), FeedError>> {
        Box::pin(async move {
            for (partition, place) in partitions {
                if partition.topic != CHANGE_LOG_TOPIC {
                    return Err(FeedError::Lost(format!("{} is no change log", partition.topic)));
                }
                self.after = Some((place.next - 1).max(0));
            }
            Ok(())
        })
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>> {
        Box::pin(self.next())
    }
}
