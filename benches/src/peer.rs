//! What Locum is measured against: an axum handler over the same server, in a process of its own. Also the core that answers at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::{Args, ValueEnum};
use http::Method;
use locum_tests::client::{Http, http};
use mysql_async::prelude::Queryable;
use mysql_async::{Pool, PoolConstraints, PoolOpts, TxOpts, params};
use serde::Deserialize;
use tokio::net::TcpListener;

/// As many as Locum's own writers.
const CONNECTIONS: usize = 32;

/// How much the handler does for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// What accepting a write needs: key, lanes, balance, entry, legs, in one transaction.
    Transaction,
    /// One INSERT, which is less than that.
    Insert,
    /// The transaction, one call of the core, and the outcome in a second transaction.
    Direct,
    /// No peer but a core, by the contract of core-sim: it posts everything at once and keeps nothing.
    Core,
}

/// A peer's process.
#[derive(Debug, Args)]
pub struct Peer {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Its database, `mysql://…`, with Locum's read model; a core has none.
    #[arg(long, default_value = "")]
    database: String,
    /// `host:port` of the core that it calls.
    #[arg(long, default_value = "")]
    core: String,
    /// What it does.
    #[arg(long, value_enum)]
    work: Work,
}

#[derive(Deserialize)]
struct Transfer {
    from_account: String,
    to_account: String,
    amount: String,
    currency: String,
}

struct Shared {
    pool: Pool,
    work: Work,
    core: Cores,
}

/// Connections to the core that nobody uses now.
struct Cores {
    address: String,
    idle: Mutex<Vec<Http>>,
}

impl Cores {
    /// Posts; anything but a posting is an error.
    async fn post(&self, id: &str, transfer: &Transfer) -> Result<i64, String> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut core = idle.unwrap_or_else(|| http(&*self.address, None));
        let body = serde_json::json!({
            "reference": id, "debit_account": transfer.from_account, "credit_account": transfer.to_account,
            "amount": transfer.amount, "currency": transfer.currency,
        });
        let answer = core.request(Method::POST, "/api/postings", &[], Some(&body)).await?;
        if answer.body["status"] != "BOOKED" {
            return Err(format!("{}: {}", answer.status, answer.body));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(core);
        Ok(answer.body["legs"][0]["number"].as_i64().unwrap_or(0))
    }
}

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS peer_lanes (account VARCHAR(64) NOT NULL PRIMARY KEY, next_seq BIGINT NOT NULL, \
     held_minor BIGINT NOT NULL, used_minor BIGINT NOT NULL, posted BIGINT NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS peer_entries (id VARCHAR(32) NOT NULL PRIMARY KEY, idempotency_key VARCHAR(128) NOT NULL UNIQUE, \
     command BLOB NOT NULL, state VARCHAR(16) NOT NULL, accepted_us BIGINT NOT NULL, KEY (state, id))",
    "CREATE TABLE IF NOT EXISTS peer_legs (entry_id VARCHAR(32) NOT NULL, leg INT NOT NULL, account VARCHAR(64) NOT NULL, seq BIGINT NOT NULL, \
     amount_minor BIGINT NOT NULL, posting_no BIGINT, PRIMARY KEY (entry_id, leg), KEY (account, seq))",
    "CREATE TABLE IF NOT EXISTS peer_single (id VARCHAR(32) NOT NULL PRIMARY KEY, idempotency_key VARCHAR(128) NOT NULL UNIQUE, command BLOB NOT NULL)",
];

impl Peer {
    /// Serves until it is killed.
    pub async fn serve(self) -> anyhow::Result<()> {
        let routes = match self.work {
            Work::Core => core_routes(),
            work => {
                let core = Cores { address: self.core, idle: Mutex::default() };
                let shared = Arc::new(Shared { pool: pool(&self.database).await?, work, core });
                let routes = Router::new().route("/v1/transfers", post(submit)).route("/health/ready", get(ready));
                routes.with_state(shared)
            }
        };
        axum::serve(TcpListener::bind(self.listen).await?, routes).await?;
        Ok(())
    }
}

async fn pool(database: &str) -> anyhow::Result<Pool> {
    let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS).unwrap_or_default();
    let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(database)?)
        .prefer_socket(false)
        .pool_opts(PoolOpts::default().with_constraints(constraints));
    let pool = Pool::new(options);
    let mut connection = pool.get_conn().await?;
    for table in TABLES {
        connection.query_drop(table).await?;
    }
    Ok(pool)
}

/// Numbers of postings are the core's own; here one counter serves all accounts.
fn core_routes() -> Router {
    const FIRST: i64 = 1_000_000;
    static NUMBER: AtomicI64 = AtomicI64::new(FIRST);
    let booked = |Json(body): Json<serde_json::Value>| async move {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let leg = |account: &str, direction: &str| serde_json::json!({"account": body[account], "number": number, "amount": body["amount"], "direction": direction});
        let legs = [leg("debit_account", "D"), leg("credit_account", "C")];
        let answer = serde_json::json!({
            "status": "BOOKED", "reference": body["reference"], "posting_id": number.to_string(), "legs": legs,
        });
        (StatusCode::CREATED, Json(answer))
    };
    let up = || async { Json(serde_json::json!({"status": "UP"})) };
    // How many it has posted so far; no part of the contract.
    let posted = || async { Json(serde_json::json!({"posted": NUMBER.load(Ordering::Relaxed) - FIRST})) };
    Router::new().route("/api/postings", post(booked)).route("/health", get(up)).route("/posted", get(posted))
}

async fn ready() -> &'static str {
    "{}"
}

async fn submit(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(transfer): Json<Transfer>,
) -> (StatusCode, Json<serde_json::Value>) {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let done = match shared.work {
        Work::Insert => insert(&shared.pool, key, &transfer).await,
        _ => accept(&shared.pool, key, &transfer).await,
    };
    match done {
        Ok(id) if shared.work == Work::Direct => post_now(&shared, id, &transfer).await,
        Ok(id) => (StatusCode::ACCEPTED, Json(serde_json::json!({"transfer_id": id, "status": "PROCESSING"}))),
        Err(err) => (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"error": err.to_string()}))),
    }
}

async fn post_now(shared: &Shared, id: String, transfer: &Transfer) -> (StatusCode, Json<serde_json::Value>) {
    let done = match shared.core.post(&id, transfer).await {
        Ok(number) => record(&shared.pool, &id, number, transfer).await.map_err(|err| err.to_string()),
        Err(why) => Err(why),
    };
    match done {
        Ok(()) => (StatusCode::CREATED, Json(serde_json::json!({"transfer_id": id, "status": "COMPLETED"}))),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"error": why}))),
    }
}

/// The outcome: entry, numbers of the legs, and lanes, in one transaction.
async fn record(pool: &Pool, id: &str, number: i64, transfer: &Transfer) -> Result<(), mysql_async::Error> {
    let mut connection = pool.get_conn().await?;
    let mut options = TxOpts::default();
    options.with_isolation_level(mysql_async::IsolationLevel::ReadCommitted);
    let mut tx = connection.start_transaction(options).await?;
    let mut accounts = [&transfer.from_account, &transfer.to_account];
    accounts.sort_unstable();
    let lock = "SELECT account FROM peer_lanes WHERE account IN (?, ?) ORDER BY account FOR UPDATE";
    let _: Vec<String> = tx.exec(lock, (accounts[0], accounts[1])).await?;
    tx.exec_drop("UPDATE peer_entries SET state = 'posted' WHERE id = ? AND state = 'queued'", (id,)).await?;
    tx.exec_drop("UPDATE peer_legs SET posting_no = ? WHERE entry_id = ?", (number, id)).await?;
    tx.exec_drop("UPDATE peer_lanes SET posted = posted + 1 WHERE account IN (?, ?)", (accounts[0], accounts[1]))
        .await?;
    tx.commit().await
}

fn command(transfer: &Transfer) -> Vec<u8> {
    format!("{}>{}:{} {}", transfer.from_account, transfer.to_account, transfer.amount, transfer.currency).into_bytes()
}

async fn insert(pool: &Pool, key: &str, transfer: &Transfer) -> Result<String, mysql_async::Error> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let sql = "INSERT INTO peer_single (id, idempotency_key, command) VALUES (?, ?, ?)";
    pool.get_conn().await?.exec_drop(sql, (&id, key, command(transfer))).await?;
    Ok(id)
}

/// One that meets a deadlock or a lane made by another one is tried again, as a service would.
async fn accept(pool: &Pool, key: &str, transfer: &Transfer) -> Result<String, mysql_async::Error> {
    const DEADLOCK: u16 = 1213;
    loop {
        match accept_once(pool, key, transfer).await {
            Err(mysql_async::Error::Server(err)) if err.code == DEADLOCK => {}
            done => return done,
        }
    }
}

async fn accept_once(pool: &Pool, key: &str, transfer: &Transfer) -> Result<String, mysql_async::Error> {
    let mut connection = pool.get_conn().await?;
    let mut options = TxOpts::default();
    options.with_isolation_level(mysql_async::IsolationLevel::ReadCommitted);
    let mut tx = connection.start_transaction(options).await?;
    let known: Option<String> = tx.exec_first("SELECT id FROM peer_entries WHERE idempotency_key = ?", (key,)).await?;
    if let Some(id) = known {
        tx.rollback().await?;
        return Ok(id);
    }
    let mut accounts = [&transfer.from_account, &transfer.to_account];
    accounts.sort_unstable();
    let select = "SELECT account, next_seq FROM peer_lanes WHERE account IN (?, ?) ORDER BY account FOR UPDATE";
    let mut lanes: Vec<(String, i64)> = tx.exec(select, (accounts[0], accounts[1])).await?;
    if lanes.len() < 2 {
        let make = "INSERT IGNORE INTO peer_lanes (account, next_seq, held_minor, used_minor) VALUES (?, 0, 0, 0), (?, 0, 0, 0)";
        tx.exec_drop(make, (accounts[0], accounts[1])).await?;
        lanes = tx.exec(select, (accounts[0], accounts[1])).await?;
    }
    // The account's state and balance, from Locum's own tables.
    let facts = "SELECT a.account_id, b.booked_minor FROM account_rows a LEFT JOIN balance_rows b ON b.account_id = a.account_id \
        AND b.dataset = a.dataset WHERE a.account_id IN (?, ?)";
    let _: Vec<mysql_async::Row> = tx.exec(facts, (accounts[0], accounts[1])).await?;
    let id = uuid::Uuid::now_v7().simple().to_string();
    tx.exec_drop(
        "INSERT INTO peer_entries (id, idempotency_key, command, state, accepted_us) VALUES (:id, :key, :command, 'queued', \
         CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED))",
        params! { "id" => &id, "key" => key, "command" => command(transfer) },
    )
    .await?;
    let seq = |account: &str| lanes.iter().find(|(of, _)| of == account).map_or(0, |(_, seq)| *seq);
    tx.exec_drop(
        "INSERT INTO peer_legs (entry_id, leg, account, seq, amount_minor) VALUES (?, 0, ?, ?, 1), (?, 1, ?, ?, 1)",
        (
            &id,
            &transfer.from_account,
            seq(&transfer.from_account),
            &id,
            &transfer.to_account,
            seq(&transfer.to_account),
        ),
    )
    .await?;
    tx.exec_batch(
        "UPDATE peer_lanes SET next_seq = next_seq + 1, held_minor = held_minor + ?, used_minor = used_minor + ? WHERE account = ?",
        [(1, 1, &transfer.from_account), (0, 0, &transfer.to_account)],
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}
