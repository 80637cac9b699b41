//! A core on a real socket that does what the test says, and the requests that are sent to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use locum_connectors::http::{CORE_SIM, HttpCore, HttpCoreConfig};
use locum_connectors::{CoreConnector, Field, PostRequest};
use schemas::core::{Enquiry, Outcome};
use schemas::money::Currency;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough to never matter.
pub const PATIENT: Duration = Duration::from_secs(30);

pub struct Listener(TcpListener);

pub struct Peer(pub TcpStream);

pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Listener {
    pub async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    pub async fn accept(&self) -> Peer {
        Peer(self.0.accept().await.unwrap().0)
    }

    /// Accepts, reads one request, answers, and keeps the connection.
    pub async fn answer(&self, response: impl AsRef<str>) -> (Received, Peer) {
        let mut peer = self.accept().await;
        let received = peer.request().await;
        peer.send(response.as_ref()).await;
        (received, peer)
    }

    /// Nobody has connected a further time: asks the kernel, not the reactor.
    pub fn assert_no_further_connection(self) {
        let listener = self.0.into_std().unwrap();
        let err = listener.accept().expect_err("a further connection");
        assert_eq!(err.kind(), std::io::ErrorKind::WouldBlock);
    }
}

impl Peer {
    /// Reads one request, whole.
    pub async fn request(&mut self) -> Received {
        let head = self.head().await;
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Received { head, body }
    }

    /// Reads up to the empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    pub async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }
}

pub fn json(status: u16, body: &str) -> String {
    response(status, "application/json; charset=utf-8", body)
}

pub fn response(status: u16, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The same answer with one more header line.
pub fn with_header(response: &str, line: &str) -> String {
    response.replacen("\r\n", &format!("\r\n{line}\r\n"), 1)
}

/// What core-sim answers to [`transfer`].
pub const BOOKED: &str = r#"{"posting_id":"P-7","reference":"LOC1","status":"BOOKED","legs":[
    {"account":"A-1","number":41,"direction":"D","amount":"10.50"},
    {"account":"B-2","number":12,"direction":"C","amount":"10.50"}]}"#;

pub fn transfer() -> PostRequest {
    transfer_with("LOC1", "rent")
}

pub fn transfer_with(core_ref: &str, remittance: &str) -> PostRequest {
    PostRequest {
        operation: "transfer".into(),
        core_ref: core_ref.into(),
        accepted_at: "2026-03-01T10:20:30.5Z".parse().unwrap(),
        value_date: jiff::civil::date(2026, 3, 2),
        fields: vec![
            ("from_account".into(), Field::Text("A-1".into())),
            ("to_account".into(), Field::Text("B-2".into())),
            ("amount".into(), Field::Money { minor: 1050, currency: Currency::parse("EUR").unwrap() }),
            ("remittance".into(), Field::Text(remittance.into())),
        ],
    }
}

pub fn config(yaml: &str, url: &str) -> HttpCoreConfig {
    let mut config: HttpCoreConfig = serde_saphyr::from_str(yaml).unwrap();
    config.base_url = url.to_owned();
    config
}

/// A folder of this test's own.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("locum-connectors-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Written aside and renamed: no reader may see half a file.
    pub fn write(&self, name: &str, text: &str) {
        let aside = self.0.join(format!("{name}.new"));
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, self.0.join(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The same core, which cannot be asked.
pub fn without_enquiry(yaml: &str) -> String {
    let (before, _) = yaml.split_once("    enquiry:\n").unwrap();
    before.replace("  enquiry: true", "  enquiry: false")
}

pub fn core_sim(url: &str) -> HttpCore {
    build(config(CORE_SIM, url))
}

pub fn build(config: HttpCoreConfig) -> HttpCore {
    HttpCore::build(config).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Posts [`transfer`].
pub async fn post(core: &HttpCore, timeout: Duration) -> Outcome {
    core.post(&transfer(), timeout).await
}

/// Posts to a fresh connection that gives this one answer.
pub async fn post_answered(yaml: &str, request: &PostRequest, answer: &str) -> (Outcome, Received) {
    let (listener, url) = Listener::start().await;
    let core = build(config(yaml, &url));
    let (outcome, (received, _peer)) = tokio::join!(core.post(request, PATIENT), listener.answer(answer));
    (outcome, received)
}

/// Enquires on a fresh connection that gives this one answer.
pub async fn enquiry_answered(yaml: &str, core_ref: &str, answer: &str) -> (Enquiry, Received) {
    let (listener, url) = Listener::start().await;
    let core = build(config(yaml, &url));
    let (enquiry, (received, _peer)) =
        tokio::join!(core.enquire("transfer", core_ref, PATIENT), listener.answer(answer));
    (enquiry, received)
}

pub fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

pub fn is_not_sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent { .. })
}
