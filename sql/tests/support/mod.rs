//! A fresh database per test on every engine at hand: SQLite in memory and in a file always, and each server in
//! `LOCUM_TEST_SQL_URLS` (comma separated, `mysql://user:pass@host:port`, without a database).

mod given;

pub use given::servers;
use sql::{Db, Error, Migration, Options};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    statements: &[
        "CREATE TABLE lanes (account {text:64} NOT NULL PRIMARY KEY, version {int} NOT NULL, used {int} NOT NULL, lim {int} NOT NULL)",
        "CREATE TABLE documents (id {bytes:64} NOT NULL PRIMARY KEY, version {bytes:32} NOT NULL, body {blob} NOT NULL, note {text:64})",
        "CREATE INDEX documents_note ON documents (note)",
    ],
}];

/// A database of its own, and how to reach it again.
pub struct Fixture {
    pub db: Db,
    pub url: String,
    folder: PathBuf,
}

impl Fixture {
    pub async fn open(server: &str, mut options: Options) -> Fixture {
        // For a check by TiDB's own parser.
        if options.record_statements_to.is_none() {
            options.record_statements_to = std::env::var_os("LOCUM_TEST_RECORD_TO").map(PathBuf::from);
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("locum_sql_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        let url = match server {
            "memory" => "sqlite::memory:".to_owned(),
            "file" => {
                std::fs::create_dir_all(&folder).unwrap();
                format!("sqlite:{}", folder.join("db").display())
            }
            server => format!("{server}/{name}"),
        };
        let db = Db::open(&url, options).await.unwrap();
        db.migrate("test", SCHEMA).await.unwrap();
        Fixture { db, url, folder }
    }

    pub fn is_server(&self) -> bool {
        self.url.starts_with("mysql:")
    }

    pub fn is_memory(&self) -> bool {
        self.url == "sqlite::memory:"
    }

    /// A handle with connections of its own, or the same one where the database has no address.
    pub async fn another(&self, options: Options) -> Db {
        if self.is_memory() { self.db.clone() } else { Db::open(&self.url, options).await.unwrap() }
    }

    pub async fn lane(&self, account: &'static str, lim: i64) {
        let sql = "INSERT INTO lanes (account, version, used, lim) VALUES (?, 1, 0, ?)";
        self.db.exec(sql, sql::params![account, lim]).await.unwrap();
    }

    pub async fn used(&self, account: &'static str) -> i64 {
        let rows = self.db.query("SELECT used FROM lanes WHERE account = ?", sql::params![account]).await.unwrap();
        rows[0].get("used").unwrap()
    }

    /// How many lanes there are.
    pub async fn lanes(&self) -> i64 {
        let rows = self.db.query("SELECT COUNT(*) AS n FROM lanes", vec![]).await.unwrap();
        rows[0].get("n").unwrap()
    }

    pub async fn remove(self) {
        if self.is_server() {
            let name = self.url.rsplit('/').next().unwrap().to_owned();
            let _ = self.db.exec(&format!("DROP DATABASE {name}"), vec![]).await;
        }
        self.db.close().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A transaction that has changed a lane, and keeps it locked until it is told to end.
pub struct Held {
    go: Arc<Notify>,
    task: JoinHandle<Result<(), Error>>,
}

impl Held {
    /// Returns once the lane's `used` is changed.
    pub async fn update(db: &Db, account: &'static str, used: i64) -> Held {
        let (inside, is_inside) = oneshot::channel();
        let go = Arc::new(Notify::new());
        let (db, gate) = (db.clone(), go.clone());
        let task = tokio::spawn(async move {
            db.transaction(move |tx| {
                Box::pin(async move {
                    tx.exec("UPDATE lanes SET used = ? WHERE account = ?", sql::params![used, account]).await?;
                    inside.send(()).unwrap();
                    gate.notified().await;
                    Ok(())
                })
            })
            .await
        });
        is_inside.await.unwrap();
        Held { go, task }
    }

    /// Lets it commit; how that went.
    pub async fn end(self) -> Result<(), Error> {
        self.go.notify_one();
        self.task.await.unwrap()
    }
}

pub fn engines() -> Vec<String> {
    ["memory", "file"].map(str::to_owned).into_iter().chain(servers()).collect()
}

/// Waits for a condition and says what it last saw when it never comes.
pub async fn wait_for<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) {
    let mut last = None;
    for _ in 0..500 {
        let (there, seen) = look().await;
        if there {
            return;
        }
        last = Some(seen);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen; last seen: {last:?}");
}

/// An error type of a caller, as `Db::transaction` wants it.
#[derive(Debug, PartialEq)]
pub enum Failure {
    Declined,
    Sql(Error),
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        Failure::Sql(err)
    }
}

/// A proxy in front of `server` that cuts a connection when the client sends `word`: after passing it on, or before.
pub async fn cutting_proxy(server: &str, word: &'static str, pass_on: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (head, address) = server.rsplit_once('@').unwrap();
    let (address, url) = (address.to_owned(), format!("{head}@{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(relay(client, server, word, pass_on));
        }
    });
    url
}

async fn relay(mut client: TcpStream, mut server: TcpStream, word: &'static str, pass_on: bool) {
    let (mut sent, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            n = client.read(&mut sent) => {
                let Ok(n @ 1..) = n else { return };
                let cut = sent[..n].windows(word.len()).any(|w| w == word.as_bytes());
                if !cut || pass_on {
                    server.write_all(&sent[..n]).await.unwrap();
                }
                if cut {
                    if pass_on {
                        // The server's answer proves that it acted; the client never sees it.
                        let _ = server.read(&mut answered).await;
                    }
                    return;
                }
            }
            n = server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                if client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
