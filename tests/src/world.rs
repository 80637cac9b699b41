//! One bank with Locum in front of it: core, connector, journal, and one or more `locum` processes, all of this test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::Value as Json;
use tokio::task::{JoinHandle, JoinSet};

use crate::bank::{Core, CoreOptions};
use crate::checker::Evidence;
use crate::client::{Client, Recorder, http};
use crate::history::{Answer, Ask, Books, End, Transfer};
use crate::load::{Gate, Load, Reads};
pub use crate::locum::{Locum, OPERATOR, SECOND_OPERATOR};
pub use crate::plan::{Engine, Plan};
pub use crate::settings::{CHANNEL, FIRST_CUSTOMER};
use crate::settings::{REQUEST_LIFETIME_MS, Settings};
use crate::stack::{Database, Stack, root};
pub use crate::wait::PATIENCE;
use crate::wait::wait_for;
use crate::witness::Witness;

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
    connectors: Vec<String>,
    witness: Option<Witness>,
}

impl World {
    /// Builds it and waits until every Locum is ready and, if connected, has loaded the core's data.
    pub async fn start(plan: Plan) -> Self {
        let (journal_part, journal_address) = plan.engine.part();
        let stack = Stack::take(&["mariadb-core", journal_part, "redis", "kafka", "connect"]).await;
        let name = format!("e2e_{}", &uuid::Uuid::now_v7().simple().to_string()[22..]);
        let folder = std::env::temp_dir().join("locum-e2e").join(&name);
        fs::create_dir_all(folder.join("failpoints")).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        let shipped = root().join("schemas/mappings/core-sim.yaml");
        fs::copy(&shipped, mapping(&folder)).unwrap_or_else(|err| panic!("{}: {err}", shipped.display()));
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
        let witness = match plan.witness {
            true => Some(Witness::begin(&journal.url(), recorder.clone()).await),
            false => None,
        };
        let connectors = Vec::new();
        let locums = Vec::new();
        let mut world =
            Self { stack, core, locums, recorder, opening, plan, journal, name, folder, connectors, witness };
        if world.plan.connected {
            world.connect().await;
        }
        for index in 0..world.plan.locums {
            let settings = world.settings();
            world.locums.push(settings.locum(index, &world.folder.join(format!("locum-{index}"))));
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
        self.connect_as(&self.name.clone()).await;
    }

    /// Puts a Debezium connector into Connect that takes a snapshot and writes under this topic prefix.
    pub async fn connect_as(&mut self, prefix: &str) {
        let environment = [("DATABASE", self.core.database().name()), ("TOPIC_PREFIX", prefix)];
        let file = root().join("connectors/debezium/mariadb.json");
        self.stack.run(&environment, &["register", prefix, &file.to_string_lossy()]).await;
        self.connectors.push(prefix.to_owned());
    }

    /// Waits until Connect keeps a place of the connector behind its snapshot. A connector that starts anew before that takes
    /// another snapshot.
    pub async fn connector_keeps_its_place(&self) {
        let mut connect = http(self.stack.address("CONNECT_URL").trim_start_matches("http://"), None);
        wait_for("Connect keeps the connector's place", PATIENCE, async || {
            let kept = connect.get(&format!("/connectors/{}/offsets", self.name)).await?.body;
            let offset = &kept["offsets"][0]["offset"];
            if offset.is_object() && offset["snapshot"].is_null() { Ok(()) } else { Err(kept.to_string()) }
        })
        .await;
    }

    /// Changes the mapping that every instance reads when it starts.
    pub fn change_mapping(&self, from: &str, to: &str) {
        let path = mapping(&self.folder);
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        assert!(text.contains(from), "{from:?} is not in {}", path.display());
        fs::write(&path, text.replace(from, to)).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }

    /// Takes everything down that outlives processes.
    pub async fn end(mut self) {
        self.locums.clear();
        for connector in &self.connectors {
            self.stack.run(&[], &["unregister", connector]).await;
        }
        drop(self.witness);
        self.core.into_database().drop().await;
        self.journal.drop().await;
    }

    /// Address of the database of journal and read model.
    pub fn journal_url(&self) -> String {
        self.journal.url()
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
        self.locums[index].start(&orders);
        self.locum_ready(index).await;
    }

    /// Waits until `/health/ready` says so.
    pub async fn locum_ready(&mut self, index: usize) {
        self.locums[index].ready().await;
    }

    /// Where all instances look for an order to die.
    pub(crate) fn orders(&self) -> PathBuf {
        self.folder.join("failpoints")
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
        locum.terminate();
        let ended = locum.end().await;
        self.start_locum(index).await;
        self.recorder.was_away(index, from);
        ended
    }

    /// Waits until every instance says that everything is loaded, and serves every account of the core.
    pub async fn loaded(&mut self) {
        let accounts = self.accounts();
        for locum in &self.locums {
            let mut http = locum.channel(CHANNEL);
            // One that was served once stays served: of many accounts, each look goes on where the last one ended.
            let mut served = 0;
            wait_for("the core's data are loaded", PATIENCE, async || {
                let status = http.get("/v1/service-status").await?;
                if status.body["loaded"] != true {
                    return Err(status.body.to_string());
                }
                while let Some(account) = accounts.get(served) {
                    match http.get(&format!("/v1/accounts/{account}/balances")).await {
                        Ok(answer) if answer.status == 200 => served += 1,
                        Ok(answer) => return Err(format!("{account}: {} {}", answer.status, answer.body)),
                        Err(err) => return Err(err),
                    }
                }
                Ok(())
            })
            .await;
        }
    }

    /// Waits until every gateway has seen that the core is away.
    pub async fn stands_in(&self) {
        self.in_mode("stand-in").await;
    }

    /// Waits until the core is there for every gateway, and the queue of the last outage is replayed.
    pub async fn serves_direct(&self) {
        self.in_mode("normal").await;
    }

    async fn in_mode(&self, mode: &str) {
        for locum in &self.locums {
            let mut http = locum.channel(CHANNEL);
            wait_for(&format!("the mode {mode}"), PATIENCE, async || {
                let status = http.get("/v1/service-status").await?.body;
                if status["service_mode"] == mode { Ok(()) } else { Err(status.to_string()) }
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
        self.locums[index].operate(method, path, body).await
    }

    fn settings(&self) -> Settings<'_> {
        let Self { stack, core, plan, journal, name, folder, .. } = self;
        Settings {
            stack,
            core: core.address(),
            class: plan.class,
            four_eyes: plan.four_eyes,
            order: plan.order,
            journal: journal.url(),
            name,
            mapping: mapping(folder),
        }
    }
}

/// Where a world keeps its mapping.
fn mapping(folder: &Path) -> PathBuf {
    folder.join("mapping.yaml")
}
