//! A bank whose core runs PostgreSQL, with a Locum that serves it: core, connectors, read model, all of this test's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use http::Method;
use serde_json::{Value as Json, json};

use crate::locum::Locum;
use crate::settings::{CHANNEL, files_of};
use crate::stack::{Database, Stack, root};
use crate::wait::{PATIENCE, wait_for};

/// Everything of one test.
pub struct PostgresBank {
    /// The parts it shares with nobody while it lives.
    pub stack: Stack,
    /// Reads the core's changes and serves them.
    pub locum: Locum,
    /// Of the core's database, the first connector, its topics and its slot.
    pub name: String,
    read_model: Database,
    connectors: Vec<String>,
}

impl PostgresBank {
    /// Builds it from the core's tables and their mapping, and waits until the core's data are loaded.
    pub async fn start(tables: &str, mapping: &str) -> Self {
        let stack = Stack::take(&["postgres-core", "mariadb", "redis", "kafka", "connect"]).await;
        let name = format!("e2e_{}", &uuid::Uuid::now_v7().simple().to_string()[22..]);
        let folder = std::env::temp_dir().join("locum-e2e").join(&name);
        fs::create_dir_all(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        println!("PostgreSQL bank {name}, logs in {}", folder.display());
        let mapping_file = folder.join("mapping.yaml");
        fs::write(&mapping_file, mapping).unwrap_or_else(|err| panic!("{}: {err}", mapping_file.display()));
        psql(&stack, "postgres", &format!("CREATE DATABASE {name}"));
        psql(&stack, &name, tables);
        let read_model = Database::create(stack.address("LOCUM_DB_URL"), &name).await;
        let locum = files_of(0, &folder, configuration(&stack, &read_model, &name, mapping_file));
        let mut bank = Self { stack, locum, name, read_model, connectors: Vec::new() };
        bank.connect(&bank.name.clone()).await;
        bank.locum.start(&folder.join("failpoints"));
        bank.locum.ready().await;
        wait_for("the core's data are loaded", PATIENCE, async || {
            let source = bank.locum.source().await;
            if source["loaded"] == true { Ok(()) } else { Err(source) }
        })
        .await;
        bank
    }

    /// Runs statements in the core, and answers with what they return.
    pub async fn sql(&self, statements: &str) -> String {
        tokio::task::block_in_place(|| psql(&self.stack, &self.name, statements))
    }

    /// Registers the shipped connector under this name, with topic prefix, slot and publication of its own.
    pub async fn connect(&mut self, connector: &str) {
        let environment = [("DATABASE", self.name.as_str())];
        let file = root().join("connectors/debezium/postgres.json");
        self.stack.run(&environment, &["register", connector, &file.to_string_lossy()]).await;
        if !self.connectors.iter().any(|known| known == connector) {
            self.connectors.push(connector.to_owned());
        }
    }

    /// Takes a connector out, with how far it has read, its slot and its publication.
    pub async fn forget(&mut self, connector: &str) {
        self.stack.run(&[], &["unregister", connector, "--forget"]).await;
        self.connectors.retain(|known| known != connector);
        self.drop_slot(connector).await;
    }

    /// Follows the runbook: the connector in use is taken out, another one takes a new snapshot, the source is rebuilt from it.
    pub async fn rebuild(&mut self, connector: &str, reason: &str) {
        for old in self.connectors.clone() {
            self.forget(&old).await;
        }
        self.connect(connector).await;
        self.locum.rebuild(connector, reason).await;
    }

    /// The core recovers to the end of its log, as a standby does that is promoted: nothing is lost, and the log goes on on
    /// another timeline.
    pub async fn promote(&self) {
        let folder = self.sql("SHOW data_directory").await;
        self.sql(&format!("COPY (SELECT 1) TO '{folder}/recovery.signal'")).await;
        self.stack.run(&[], &["down", "postgres-core"]).await;
        self.stack.run(&[], &["up", "postgres-core"]).await;
    }

    /// Waits until the core's log has another heartbeat.
    pub async fn beats(&self) {
        let last = self.sql("SELECT beat FROM locum_heartbeat").await;
        wait_for("the connector writes a heartbeat", PATIENCE, async || {
            let beat = self.sql("SELECT beat FROM locum_heartbeat").await;
            if beat == last { Err(beat) } else { Ok(()) }
        })
        .await;
    }

    /// Waits until a connector has committed how far it has read. One that restarts before that takes its snapshot again.
    pub async fn committed(&self, connector: &str) {
        let now = self.sql("SELECT pg_current_wal_lsn()").await;
        let slot = slot_of(connector);
        let sql = format!("SELECT confirmed_flush_lsn >= '{now}' FROM pg_replication_slots WHERE slot_name = '{slot}'");
        wait_for(&format!("{connector} has committed what it has read"), PATIENCE, async || {
            let committed = self.sql(&sql).await;
            if committed == "t" { Ok(()) } else { Err(committed) }
        })
        .await;
    }

    async fn drop_slot(&self, connector: &str) {
        let slot = slot_of(connector);
        wait_for(&format!("the slot of {connector} is free"), PATIENCE, async || {
            let slots = self.sql(&format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'")).await;
            if slots == "t" { Err(slots) } else { Ok(()) }
        })
        .await;
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'; \
             DROP PUBLICATION IF EXISTS {slot}"
        );
        self.sql(&sql).await;
    }

    /// An account's balances as they are served: status, booked amount, quality.
    pub async fn served(&self, account: &str) -> (u16, String, String) {
        let path = format!("/v1/accounts/{account}/balances");
        let answer = self.locum.channel(CHANNEL).get(&path).await.unwrap_or_else(|err| panic!("{path}: {err}"));
        let booked = answer.body["booked"].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), booked, answer.header("data-quality").to_owned())
    }

    /// Waits until an account is served with this amount and this quality.
    pub async fn serves(&self, account: &str, booked: &str, quality: &str) {
        let wanted = (200, booked.to_owned(), quality.to_owned());
        wait_for(&format!("{account} shows {booked}, {quality}"), PATIENCE, async || {
            let served = self.served(account).await;
            if served == wanted { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await;
    }

    /// The ids of an account's transactions that are served, in order.
    pub async fn transactions(&self, account: &str) -> Vec<String> {
        let path = format!("/v1/accounts/{account}/transactions");
        let answer = self.locum.channel(CHANNEL).get(&path).await.unwrap_or_else(|err| panic!("{path}: {err}"));
        let served = answer.body["transactions"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            served.iter().filter_map(|t| t["transaction_id"].as_str()).map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// Waits until exactly these transactions of an account are served.
    pub async fn shows_transactions(&self, account: &str, ids: &[&str]) {
        wait_for(&format!("{account} shows the transactions {ids:?}"), PATIENCE, async || {
            let served = self.transactions(account).await;
            if served == ids { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await;
    }

    /// The parked events.
    pub async fn parked(&self) -> Vec<Json> {
        let told = self.locum.operate(Method::GET, "/admin/v1/parked-events", None).await;
        told["parked_events"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until as many events are parked, and answers with them.
    pub async fn parks(&self, events: usize) -> Vec<Json> {
        wait_for(&format!("{events} events are parked"), PATIENCE, async || {
            let parked = self.parked().await;
            if parked.len() == events { Ok(parked) } else { Err(json!(parked)) }
        })
        .await
    }

    /// Takes everything down that outlives processes.
    pub async fn end(mut self) {
        self.locum.kill();
        for connector in self.connectors.clone() {
            self.forget(&connector).await;
        }
        tokio::task::block_in_place(|| {
            psql(&self.stack, "postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name))
        });
        self.read_model.drop().await;
    }
}

/// The slot, and the publication, that the template gives a connector.
fn slot_of(connector: &str) -> String {
    format!("locum_{connector}")
}

fn configuration(stack: &Stack, read_model: &Database, name: &str, mapping: PathBuf) -> Json {
    let path = root().join("connectors/cores/core-sim.yaml");
    json!({
        "sql": {"url": read_model.url(), "record_statements_to": std::env::var("LOCUM_TEST_RECORD_TO").ok()},
        "redis": {"url": stack.address("REDIS_URL"), "prefix": name},
        "kafka": {"bootstrap": stack.address("KAFKA_BOOTSTRAP")},
        "sources": [{"name": "corebank", "mapping": mapping, "topic_prefix": name}],
        "core": {"connector": path},
        "roles": ["ingest", "read-api"],
    })
}

fn psql(stack: &Stack, database: &str, statements: &str) -> String {
    let url = format!("{}/{database}", stack.address("POSTGRES_URL"));
    let mut command = Command::new("psql");
    command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", &url]);
    let output = command.arg("--command").arg(statements).output();
    let output = output.unwrap_or_else(|err| panic!("psql: {err}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{statements}: {}", said(&output.stderr));
    said(&output.stdout)
}
