//! One bank with Locum in front of it: core, connector, journal, and one or more `locum` processes, all of this test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value as Json, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::bank::{Class, Core, CoreOptions};
use crate::checker::Evidence;
use crate::client::{Client, Http, Recorder, http};
use crate::history::{Answer, Ask, Books, End, Transfer};
use crate::load::{Gate, Load, Reads};
use crate::process::{Process, binary, free_port};
use crate::stack::{Database, Stack, root};
use crate::wait::wait_for;
use crate::witness::Witness;

/// Sees and debits every customer's accounts.
pub const CHANNEL: &str = "channel-of-all-customers";
/// Sees and debits only those of the first customer.
pub const FIRST_CUSTOMER: &str = "channel-of-the-first-customer";
/// Operates.
pub const OPERATOR: &str = "operator-of-the-tests";

/// Where journal and read model live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// MariaDB.
    MariaDb,
    /// OceanBase.
    OceanBase,
}

impl Engine {
    /// The part of the stack, and the name of its address.
    pub fn part(self) -> (&'static str, &'static str) {
        match self {
            Self::MariaDb => ("mariadb", "LOCUM_DB_URL"),
            Self::OceanBase => ("oceanbase", "OCEANBASE_URL"),
        }
    }
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the core promises.
    pub class: Class,
    /// Journal and read model.
    pub engine: Engine,
    /// `locum` processes.
    pub locums: usize,
    /// Accounts of the core.
    pub accounts: u64,
    /// What is on each.
    pub opening_balance: &'static str,
    /// Whether the connector is registered before Locum starts.
    pub connected: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            class: Class::Idempotent,
            engine: Engine::MariaDb,
            locums: 1,
            accounts: 20,
            opening_balance: "1000.00",
            connected: true,
        }
    }
}

/// Within this a request to the core has had its effect or never has one; what the connector's file declares is longer.
const REQUEST_LIFETIME_MS: u64 = 2_500;
const REQUEST_LIFETIME_DECLARED_MS: u64 = 4_000;
/// A core that nobody can ask leaves what is unknown to people; from any other core an answer comes before that.
const PARKED_SOON_MS: u64 = 8_000;
const PARKED_LATE_MS: u64 = 600_000;
/// Told to end, an instance serves on for so long.
const DRAIN_NOTICE_MS: u64 = 500;
/// Longest wait for a start, a load or a drain. Two cores are shared by all parts.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// One `locum` process, with its addresses; they stay the same over restarts.
pub struct Locum {
    /// Its place among the world's instances.
    pub index: usize,
    folder: PathBuf,
    listen: u16,
    admin: u16,
    process: Option<Process>,
}

/// Everything of one test.
pub struct World {
    /// The parts it shares with nobody while it lives.
    pub stack: Stack,
    /// The core.
    pub core: Core,
    /// The `locum` processes.
    pub locums: Vec<Locum>,
    /// What clients see.
    pub recorder: Arc<Recorder>,
    /// The core's tables before the first request.
    pub opening: Books,
    plan: Plan,
    journal: Database,
    /// Of databases, topics, connector and keys in Redis.
    pub name: String,
    folder: PathBuf,
    registered: bool,
    witness: Witness,
}

impl World {
    /// Builds it and waits until every Locum is ready and, if connected, has loaded the core's data.
    pub async fn start(plan: Plan) -> Self {
        let (journal_part, journal_address) = plan.engine.part();
        let stack = Stack::take(&["mariadb-core", journal_part, "redis", "kafka", "connect"]).await;
        let name = format!("e2e_{}", &uuid::Uuid::now_v7().simple().to_string()[22..]);
        let folder = std::env::temp_dir().join("locum-e2e").join(&name);
        fs::create_dir_all(folder.join("failpoints")).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        println!("world {name}: {plan:?}, logs in {}", folder.display());
        let database = Database::create(stack.address("CORE_DB_URL"), &name).await;
        let journal = Database::create(stack.address(journal_address), &name).await;
        let options = CoreOptions {
            class: plan.class,
            accounts: plan.accounts,
            opening_balance: plan.opening_balance.to_owned(),
            request_lifetime_ms: REQUEST_LIFETIME_MS,
        };
        let core = Core::start(options, database, folder.clone()).await;
        let opening = core.books().await;
        let recorder = Arc::new(Recorder::default());
        let witness = Witness::begin(&journal.url(), recorder.clone()).await;
        let registered = false;
        let locums = Vec::new();
        let mut world =
            Self { stack, core, locums, recorder, opening, plan, journal, name, folder, registered, witness };
        if world.plan.connected {
            world.connect().await;
        }
        for index in 0..world.plan.locums {
            let locum = world.configure(index, &world.folder.join(format!("locum-{index}")));
            world.locums.push(locum);
        }
        for index in 0..world.plan.locums {
            world.start_locum(index).await;
        }
        if world.plan.connected {
            world.loaded().await;
        }
        world
    }

    /// Puts the Debezium connector into Connect.
    pub async fn connect(&mut self) {
        let name = self.name.clone();
        let environment = [("DATABASE", name.as_str()), ("TOPIC_PREFIX", &name)];
        let file = root().join("connectors/debezium/mariadb.json");
        self.stack.run(&environment, &["register", &name, &file.to_string_lossy()]).await;
        self.registered = true;
    }

    /// Takes everything down that outlives processes.
    pub async fn end(mut self) {
        for locum in &mut self.locums {
            locum.process = None;
        }
        if self.registered {
            self.stack.run(&[], &["unregister", &self.name]).await;
        }
        drop(self.witness);
        self.core.into_database().drop().await;
        self.journal.drop().await;
    }

    /// Addresses of the channels' listeners.
    pub fn addresses(&self) -> Vec<String> {
        self.locums.iter().map(Locum::address).collect()
    }

    /// The accounts' numbers; a load treats the first one as hot.
    pub fn accounts(&self) -> Vec<String> {
        self.opening.accounts.keys().cloned().collect()
    }

    /// A client of all instances that may do everything a channel may.
    pub fn client(&self, id: usize) -> Client {
        Client::new(id, self.recorder.clone(), &self.addresses(), CHANNEL)
    }

    /// Plain reads of all accounts at every instance.
    pub fn reads(&self, seed: u64) -> Vec<Reads> {
        let (recorder, addresses, accounts) = (&self.recorder, self.addresses(), self.accounts());
        let start = |at| Reads::start(at, seed, accounts.clone(), recorder.clone(), &addresses, CHANNEL);
        (0..self.locums.len()).map(start).collect()
    }

    /// A load that runs by itself, as the gate says; ends with the number of keys that were never acknowledged.
    pub fn load_through(&self, gate: &Gate, load: Load) -> JoinHandle<usize> {
        let (gate, recorder, addresses) = (gate.clone(), self.recorder.clone(), self.addresses());
        tokio::spawn(async move { load.run(&gate, &recorder, &addresses, CHANNEL).await })
    }

    /// The same, of the load's own size.
    pub fn load(&self, load: Load) -> JoinHandle<usize> {
        self.load_through(&Gate::default(), load)
    }

    /// Starts an instance, which must not run, and waits until it is ready.
    pub async fn start_locum(&mut self, index: usize) {
        let orders = self.orders();
        let locum = &mut self.locums[index];
        let mut command = Command::new(binary("locum", "LOCUM_BIN"));
        command.args(["serve", "--config"]).arg(locum.folder.join("locum.yaml"));
        command.env("LOCUM_LOG", "info,access=warn").env("LOCUM_FAILPOINTS", orders);
        let log = locum.folder.join("log");
        locum.process = Some(Process::start(&format!("locum {index}"), command, &log));
        self.locum_ready(index).await;
    }

    /// Where all instances look for an order to die.
    pub(crate) fn orders(&self) -> PathBuf {
        self.folder.join("failpoints")
    }

    /// Waits until `/health/ready` says so.
    pub async fn locum_ready(&mut self, index: usize) {
        let locum = &mut self.locums[index];
        let mut http = locum.admin();
        wait_for(&format!("locum {index} is ready"), PATIENCE, async || {
            if let Some(status) = locum.process.as_mut().and_then(Process::ended) {
                panic!("it ended ({status}): {}", locum.last_words());
            }
            match http.get("/health/ready").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(err) => Err(err),
            }
        })
        .await;
    }

    /// SIGKILL, start, ready; the absence is noted for the checker.
    pub async fn kill_and_restart_locum(&mut self, index: usize) {
        let from = self.recorder.now();
        self.locums[index].kill();
        self.start_locum(index).await;
        self.recorder.was_away(index, from);
    }

    /// SIGTERM, its end, start, ready; answers how it ended. The absence is noted for the checker.
    pub async fn drain_and_restart_locum(&mut self, index: usize) -> ExitStatus {
        let from = self.recorder.now();
        let locum = &mut self.locums[index];
        locum.process.iter().for_each(Process::terminate);
        let ended = wait_for(&format!("locum {index} ends by itself"), PATIENCE, async || {
            locum.process.as_mut().and_then(Process::ended).ok_or("still running")
        })
        .await;
        self.start_locum(index).await;
        self.recorder.was_away(index, from);
        ended
    }

    /// Waits until every instance says that everything is loaded, and serves every account of the core.
    pub async fn loaded(&mut self) {
        let accounts = self.accounts();
        for locum in &self.locums {
            let mut http = locum.channel(CHANNEL);
            wait_for("the core's data are loaded", PATIENCE, async || {
                let status = http.get("/v1/service-status").await?;
                if status.body["loaded"] != true {
                    return Err(status.body.to_string());
                }
                for account in &accounts {
                    match http.get(&format!("/v1/accounts/{account}/balances")).await {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => return Err(format!("{account}: {} {}", answer.status, answer.body)),
                        Err(err) => return Err(err),
                    }
                }
                Ok(())
            })
            .await;
        }
    }

    /// Waits until the journal has nothing open, or until for so long nothing more ended; returns what is open.
    pub async fn drained(&self, still: Duration) -> i64 {
        let mut looks = tokio::time::interval(Duration::from_millis(250));
        let mut told = tokio::time::Instant::now();
        let (mut least, mut since) = (i64::MAX, told);
        loop {
            looks.tick().await;
            let replay = self.operate(0, Method::GET, "/admin/v1/replay", None).await;
            let open = replay["open"].as_i64().unwrap_or(i64::MAX);
            if open < least {
                (least, since) = (open, tokio::time::Instant::now());
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = tokio::time::Instant::now();
                println!("{replay}");
            }
            if open == 0 || since.elapsed() > still {
                return open;
            }
        }
    }

    /// Looks up every key that was ever asked for.
    pub async fn shown(&self) -> BTreeMap<String, Answer> {
        const LOOKERS: usize = 8;
        let history = self.recorder.history();
        let submitted = history.exchanges.into_iter().filter(|exchange| exchange.ask == Ask::Submit);
        let keys: BTreeMap<String, Transfer> = submitted.map(|e| (e.key, e.transfer)).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let mut lookers = JoinSet::new();
        for (id, part) in keys.chunks(keys.len().div_ceil(LOOKERS).max(1)).enumerate() {
            let (mut client, part) = (self.client(id), part.to_vec());
            lookers.spawn(async move {
                let mut seen = Vec::new();
                for (key, transfer) in part {
                    if let End::Answered(answer) = client.look(&key, &transfer).await {
                        seen.push((key, answer));
                    }
                }
                seen
            });
        }
        lookers.join_all().await.into_iter().flatten().collect()
    }

    /// Waits for the end of everything and collects what the checker judges by.
    pub async fn evidence(&self, still: Duration) -> Evidence {
        let open = self.drained(still).await;
        if open > 0 {
            println!("{open} entries are open, and for {still:?} none ended");
        }
        let shown = self.shown().await;
        let (history, opening, books) = (self.recorder.history(), self.opening.clone(), self.core.books().await);
        Evidence { history, shown, opening, books, ..Evidence::default() }
    }

    /// One request to the operators' listener of an instance.
    pub async fn operate(&self, index: usize, method: Method, path: &str, body: Option<&Json>) -> Json {
        let answer = self.locums[index].admin().request(method, path, &[], body).await;
        let answer = answer.unwrap_or_else(|err| panic!("{path}: {err}"));
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        answer.body
    }

    fn configure(&self, index: usize, folder: &Path) -> Locum {
        let (listen, admin) = (free_port(), free_port());
        let config = json!({
            "listen": {"address": format!("127.0.0.1:{listen}"), "drain_notice_ms": DRAIN_NOTICE_MS},
            "admin": {"address": format!("127.0.0.1:{admin}")},
            "state_dir": "state",
            "sql": {"url": self.journal.url(), "record_statements_to": std::env::var("LOCUM_TEST_RECORD_TO").ok()},
            "redis": {"url": self.stack.address("REDIS_URL"), "prefix": self.name},
            "kafka": {"bootstrap": self.stack.address("KAFKA_BOOTSTRAP")},
            "sources": [{
                "name": "corebank",
                "mapping": root().join("schemas/mappings/core-sim.yaml"),
                "topic_prefix": self.name,
                "connector": "mariadb",
            }],
            "core": {"http": self.connector()},
            "limits": {
                "currencies": {"EUR": {"per_transfer_minor": 1_000_000, "per_day_minor": 1_000_000_000_000_i64}},
                "per_day_count": 1_000_000,
                "age_bands": [{"age_s_max": 3_600, "percent": 100}],
            },
            "tokens": "tokens.yaml",
            "replay": {"park_after_ms": if self.plan.class == Class::Neither { PARKED_SOON_MS } else { PARKED_LATE_MS }},
        });
        let channel = |token: &str, customers: Json| json!({"principal": token, "token": token, "customers": customers, "scopes": ["read", "write"]});
        let tokens = json!({
            "channels": [channel(CHANNEL, json!(["*"])), channel(FIRST_CUSTOMER, json!(["C000001"]))],
            "operators": [{"principal": OPERATOR, "token": OPERATOR}],
        });
        fs::create_dir_all(folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        for (name, content) in [("locum.yaml", config), ("tokens.yaml", tokens)] {
            let path = folder.join(name);
            fs::write(&path, content.to_string()).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        }
        Locum { index, folder: folder.to_owned(), listen, admin, process: None }
    }

    /// The shipped connector's configuration, with this core's address and promises.
    fn connector(&self) -> Json {
        let path = root().join("connectors/cores/core-sim.yaml");
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let mut config: Json = serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        config["base-url"] = json!(format!("http://{}", self.core.address()));
        let capabilities = &mut config["capabilities"];
        capabilities["request-lifetime-ms-max"] = json!(REQUEST_LIFETIME_DECLARED_MS);
        capabilities["enquiry"] = json!(self.plan.class != Class::Neither);
        if self.plan.class != Class::Idempotent
            && let Some(capabilities) = capabilities.as_object_mut()
        {
            capabilities.remove("reference-memory-ms");
        }
        config
    }
}

impl Locum {
    /// `host:port` of the channels' listener.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.listen)
    }

    /// A connection to the channels' listener.
    pub fn channel(&self, token: &str) -> Http {
        http(self.address(), Some(token))
    }

    /// A connection to the operators' listener.
    pub fn admin(&self) -> Http {
        http(format!("127.0.0.1:{}", self.admin), Some(OPERATOR))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// The end of its log.
    pub fn last_words(&mut self) -> String {
        self.process.as_mut().map(Process::last_words).unwrap_or_default()
    }

    /// Whether its process has ended by itself or by a signal.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }
}
