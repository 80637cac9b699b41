//! A core as a child process on a database of its own, and an HTTP client that sees torn connections for what they are.

#[path = "../../../sql/tests/support/given.rs"]
mod given;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::contract::assert_declared;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Where one test keeps its core's state.
pub struct Place {
    pub database: String,
    pub folder: PathBuf,
}

impl Place {
    fn new(database: impl FnOnce(&std::path::Path, &str) -> String) -> Self {
        let name = format!("core_sim_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { database: database(&folder, &name), folder }
    }

    pub fn embedded() -> Self {
        Self::new(|folder, _| format!("sqlite:{}", folder.join("core.db").display()))
    }

    /// A fresh database on the server that LOCUM_TEST_CORE_DB_URL (mysql://user:password@host:port/) names.
    pub fn served() -> Option<Self> {
        let server = given::address("LOCUM_TEST_CORE_DB_URL")?;
        let (scheme, rest) = server.split_once("://").unwrap();
        let authority = rest.split('/').next().unwrap().to_owned();
        Some(Self::new(|_, name| format!("{scheme}://{authority}/{name}")))
    }

    pub async fn remove(&self) {
        if self.database.starts_with("mysql:") {
            let name = self.database.rsplit('/').next().unwrap();
            let db = sql::Db::open(&self.database, sql::Options::default()).await.unwrap();
            db.exec(&format!("DROP DATABASE {name}"), vec![]).await.unwrap();
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Runs a test on SQLite, and on MariaDB where there is one.
pub async fn on_every_engine<F: Future<Output = ()>>(test: impl Fn(Core) -> F, options: &[&str]) {
    for place in [Some(Place::embedded()), Place::served()].into_iter().flatten() {
        test(Core::start(&place, options).await).await;
        place.remove().await;
    }
}

/// A running core; killed when dropped.
pub struct Core {
    child: Child,
    pub bank: String,
    pub control: String,
}

impl Core {
    pub async fn start(place: &Place, options: &[&str]) -> Self {
        let ports = place.folder.join("ports");
        let _ = std::fs::remove_file(&ports);
        let child = Self::launch(place, options);
        let text = wait_for("the ports file", async || std::fs::read_to_string(&ports).ok()).await;
        let port = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        Self { child, bank: port("BANK="), control: port("CONTROL=") }
    }

    /// Starts the process without waiting for it.
    pub fn launch(place: &Place, options: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_core-sim"))
            .args(["--database", &place.database, "--accounts", "4", "--customers", "2", "--ports-file"])
            .arg(place.folder.join("ports"))
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub async fn fault(&self, fault: Json) {
        let (status, body) = call(&self.control, "PUT", "/faults", &fault.to_string()).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    pub async fn post(&self, body: &Json) -> io::Result<(u16, String)> {
        let (status, answer) = call(&self.bank, "POST", "/api/postings", &body.to_string()).await?;
        // A page of HTML is somebody's in between, and no answer of a core.
        if !answer.starts_with("<!doctype html>") {
            assert_declared("POST", "/api/postings", status, &answer);
        }
        Ok((status, answer))
    }

    pub async fn enquire(&self, reference: &str) -> (u16, Json) {
        self.get(&self.bank, &format!("/api/postings/{reference}")).await
    }

    pub async fn get(&self, address: &str, path: &str) -> (u16, Json) {
        let (status, body) = call(address, "GET", path, "").await.unwrap();
        if address == self.bank {
            assert_declared("GET", path, status, &body);
        }
        (status, serde_json::from_str(&body).unwrap())
    }

    pub async fn ledger(&self) -> Json {
        self.get(&self.control, "/ledger").await.1
    }

    /// How often the ledger has a debit under this reference.
    pub async fn times_posted(&self, reference: &str) -> usize {
        let ledger = self.ledger().await;
        let postings = ledger["postings"].as_array().unwrap();
        postings.iter().filter(|row| row["reference"] == *reference && row["direction"] == "D").count()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A transfer of 10.50 from the first to the second account.
pub fn transfer(reference: &str) -> Json {
    json!({
        "reference": reference, "debit_account": "100000000001", "credit_account": "100000000002", "amount": "10.50",
        "currency": "EUR", "text": "rent", "accepted_at": "2026-01-01T00:00:00Z", "value_date": "2026-01-02",
    })
}

/// The same with one field changed.
pub fn transfer_but(reference: &str, field: &str, value: &str) -> Json {
    let mut body = transfer(reference);
    body[field] = json!(value);
    body
}

/// Sends one request on a connection of its own, without reading the answer.
pub async fn send(address: &str, method: &str, path: &str, body: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    Ok(stream)
}

/// Status and body; a connection that ends without an answer is `UnexpectedEof`, a reset one `ConnectionReset`.
pub async fn call(address: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = send(address, method, path, body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, body.to_owned()))
}

/// Asks until there is an answer.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "gave up waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
