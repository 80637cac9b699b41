//! `locum serve`: puts the roles together, top to bottom, and ends them together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use edge::serve::{Listener, ListenerLimits};
use edge::tokens::Tokens;
use edge::{Audience, Authenticate, Authenticator, Problem, StoreTurns};
use ingest::{FeedOptions, KafkaOptions};
use read_api::{CursorKey, ModeView, ReadApi, Watched};
use read_model::{DOCUMENTS_MAX, Memory, Reader, ReaderOptions, RedisTier, Tiers};
use schemas::mapping::Mapping;
use sql::Db;
use standin::journal::Journal;
use standin::mode::Mode;

use super::Failure;
use crate::admin::{self, AdminState};
use crate::config::{Config, Source, overrides, read_cursor_key};
use crate::roles::Role;
use crate::signals::{Drain, follow_tokens};
use crate::supervisor::{RestartPolicy, Supervisor};
use crate::telemetry;
use crate::write_side::{self, Confirmation, ReadModelFacts};

/// How often the sources are looked at while reads wait for a position.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long after the listeners' drain a write under way and the last batch may take. What still runs then is left to the
/// next start, as after a kill.
const END_GRACE: Duration = Duration::from_secs(40);

/// Runs until SIGTERM.
pub async fn run(path: &Path, roles: Vec<Role>, ports_file: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(path, overrides(&roles))?;
    let drain = Drain::on_signals(config.listen.drain_notice()).context("cannot listen to signals")?;
    let bound = |addresses: Addresses| match ports_file {
        Some(file) => addresses.write_to(file),
        None => Ok(()),
    };
    Ok(serve(config, drain, bound).await?)
}

/// Where a running Locum can be reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Channels.
    pub public: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

impl Addresses {
    /// Written whole or not at all, so a reader that waits for the file finds both lines.
    fn write_to(self, file: &Path) -> anyhow::Result<()> {
        let unfinished = file.with_extension("part");
        std::fs::write(&unfinished, format!("PUBLIC={}\nADMIN={}\n", self.public, self.admin))
            .and_then(|()| std::fs::rename(&unfinished, file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// What every role shares.
struct Shared {
    tokens: Arc<Tokens>,
    db: Db,
    tiers: Tiers,
    reader: Reader,
    journal: Journal,
}

/// Serves until `drain`; tells the addresses once they are bound.
pub async fn serve(
    config: Config,
    drain: Drain,
    bound: impl FnOnce(Addresses) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let metrics = telemetry::install().context("metrics")?;
    let shared = open(&config).await?;
    let mappings = mappings(&config)?;
    let mut services = Supervisor::new(drain.clone(), RestartPolicy::default());
    let (tokens, upkept) = (shared.tokens.clone(), metrics.clone());
    services.run_until_drained("tokens", move || follow_tokens(tokens.clone()));
    services.run_until_drained("metrics", move || telemetry::keep_up(upkept.clone()));

    // Before anything is led or served: one that has no place among the others ends here.
    let entered = match config.writes() {
        true => Some(tokio::select! {
            entered = write_side::enter(&config, &shared.journal) => entered?,
            () = drain.clone().begun() => anyhow::bail!("told to end before it had a place among the instances"),
        }),
        false => None,
    };

    // ── Roles: each adds its routes for channels and operators, and spawns its services ──
    let (mut channels, mut steering) = (Router::new(), Router::new());
    let runs = |role| config.roles.contains(&role);
    if runs(Role::Ingest) {
        for source in &config.sources {
            let mapping = mappings[&source.name].clone();
            let (service, drained) = (ingester(source, mapping, &config, &shared), drain.clone());
            let (name, tiers) = (source.name.clone(), shared.tiers.clone());
            services.run(&format!("ingest {name}"), move || {
                let (service, drained) = (service.clone(), drained.follow());
                let retired = Retired(tiers.clone(), name.clone());
                async move {
                    let _retired = retired;
                    service.run(drained).await;
                }
            });
        }
    }
    let mut mode: Arc<dyn ModeView> = Arc::new(Mode::Normal);
    let mut watch = None;
    if let Some(entered) = entered {
        let started = write_side::start(&config, &shared.journal, entered, &drain, &mut services).await?;
        mode = Arc::new(WatchedMode(started.watch.clone()));
        watch = Some(started.watch);
        if runs(Role::Gateway) {
            channels = channels.merge(gateway::router(started.gateway.clone()));
        }
        steering = steering.merge(gateway::operators_router(started.gateway));
    }
    if runs(Role::ReadApi) {
        channels = channels.merge(read_api::routes(read_api(&config, &shared, mode, &mut services)?));
    }

    // ── Listeners: bound before anything is announced ──
    let readers = config.sql.options().readers_max;
    let turns = Arc::new(StoreTurns::new(readers));
    let guard = |audience| {
        let allowances = config.principals.allowances(readers, &turns);
        Authenticator::tokens(shared.tokens.clone(), audience).within(allowances)
    };
    let public = bind("listen", config.listen.address, config.listen.limits()).await?;
    let operators = bind("admin", config.admin.address, ListenerLimits::default()).await?;
    let channels = channels
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(Authenticate(guard(Audience::Channels)));
    let (db, reader, journal) = (shared.db.clone(), shared.reader.clone(), shared.journal.operators());
    let beats = mappings.iter().map(|(source, mapping)| (source.clone(), mapping.has_beats()));
    let beats = Arc::new(beats.collect());
    let steering_routes = AdminState { db, reader, journal, beats, watch, metrics, drain: drain.clone() };
    let steering_routes = admin::routes(steering_routes, steering, guard(Audience::Operators));
    bound(Addresses { public: public.address()?, admin: operators.address()? })?;
    listen(&mut services, "channels", public, channels, &drain)?;
    listen(&mut services, "operators", operators, steering_routes, &drain)?;
    services.ended(Duration::from_millis(config.listen.drain_ms_max) + END_GRACE).await?;
    tracing::info!("ended");
    Ok(())
}

/// Serves on this listener, and on a new one at the same address should the first one fail.
fn listen(
    services: &mut Supervisor,
    name: &'static str,
    listener: Listener,
    router: Router,
    drain: &Drain,
) -> anyhow::Result<()> {
    let (address, limits, drain) = (listener.address()?, listener.limits(), drain.clone());
    let mut first = Some(listener);
    services.run(name, move || {
        let (listener, router, drained) = (first.take(), router.clone(), drain.clone().begun());
        async move {
            let listener = match listener {
                Some(listener) => Ok(listener),
                None => Listener::bind(address, limits).await,
            };
            match listener {
                Ok(listener) => {
                    let drained = listener.serve(name, router, drained).await;
                    tracing::info!(listener = name, cut = drained.cut, "listener drained");
                }
                Err(error) => tracing::error!(listener = name, %address, %error, "cannot listen again"),
            }
        }
    });
    Ok(())
}

/// While an ingester does not run, memory must not answer for its source.
struct Retired(Tiers, String);

impl Drop for Retired {
    fn drop(&mut self) {
        self.0.retire(&self.1);
    }
}

async fn bind(section: &str, address: SocketAddr, limits: ListenerLimits) -> anyhow::Result<Listener> {
    let bound = Listener::bind(address, limits).await;
    let listener = bound.with_context(|| format!("{section}.address {address}: cannot listen; is it in use?"))?;
    tracing::info!(address = %listener.address()?, "{section}: listening");
    Ok(listener)
}

/// Opens what every role shares; wrong addresses fail here, with their place in the configuration.
async fn open(config: &Config) -> anyhow::Result<Shared> {
    let tokens = Tokens::load(config.tokens.clone().context("tokens: is missing")?)?;
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("state_dir: cannot create {}", config.state_dir.display()))?;
    let db = sql::Db::open(&config.sql.url, config.sql.options()).await.context("sql.url: cannot open the store")?;
    warn_of_excess(config, &db).await;
    read_model::migrate(&db).await.context("sql.url: cannot bring the read model's tables up to date")?;
    let redis = config.redis.as_ref().map(|redis| RedisTier::new(&redis.url, &redis.prefix)).transpose();
    let redis = redis.context("redis.url: not an address")?.map(Arc::new);
    let memory = config.roles.contains(&Role::Ingest).then(|| Arc::new(Memory::new(DOCUMENTS_MAX)));
    let tiers = Tiers { memory, redis };
    let reader = Reader::new(db.clone(), tiers.clone(), ReaderOptions::default());
    // A process that only reads has no core. It asks for holds, never for an entry by its reference.
    let core = config.core.config().map(|core| (core.name().to_owned(), core.reference().clone()));
    let (core, references) = core.unwrap_or_default();
    let journal = Journal::open(db.clone(), Arc::new(ReadModelFacts), &core).await;
    let journal = journal.context("sql.url: cannot open the journal")?.with_references(references);
    let journal = journal.with_calendar(config.business_day.clone());
    Ok(Shared { tokens: Arc::new(tokens), db, tiers, reader, journal })
}

/// Says what all processes together could ask of the SQL server beyond what it allows. It may never come to that, and an account may not be
/// allowed to look: neither keeps this process from starting.
async fn warn_of_excess(config: &Config, db: &Db) {
    match db.capacity().await {
        Ok(allowed) => {
            for excess in config.sql_demand().excesses(allowed) {
                tracing::warn!("sql: {excess}");
            }
        }
        Err(error) => tracing::warn!(%error, "what the SQL server allows cannot be read"),
    }
}

/// The ingester of one source, confirming entries in its apply transactions.
fn ingester(source: &Source, mapping: Arc<Mapping>, config: &Config, shared: &Shared) -> ingest::Service {
    if !mapping.has_beats() && source.change_log.is_none() {
        tracing::warn!(
            source = source.name,
            "no table of heartbeats is mapped: nothing in the core's own log attests how old the data are, \
            nor that a core that was restored or promoted has lost nothing; see `heartbeat` in docs/configuration.md"
        );
    }
    let feed = match &source.change_log {
        Some(url) => FeedOptions::ChangeLog { url: url.clone() },
        None => FeedOptions::Kafka(KafkaOptions {
            delivery_timeout: Duration::from_millis(source.delivery_timeout_ms),
            ..KafkaOptions::new(&config.kafka.bootstrap, &source.topic_prefix)
        }),
    };
    let owner = uuid::Uuid::now_v7().simple().to_string();
    let confirm = Arc::new(Confirmation(shared.journal.confirmations()));
    let mut options = ingest::Options::new(&owner, mapping, feed);
    options.delete_markers_days = config.retention.delete_markers_days;
    options.build(shared.db.clone(), shared.tiers.clone(), confirm)
}

/// Of all sources, by their names.
fn mappings(config: &Config) -> anyhow::Result<BTreeMap<String, Arc<Mapping>>> {
    let read = config.sources.iter().map(|source| {
        let at = || format!("sources: {}", source.mapping.display());
        let text = std::fs::read_to_string(&source.mapping).with_context(at)?;
        Ok((source.name.clone(), Arc::new(Mapping::from_yaml(&text).with_context(at)?)))
    });
    read.collect()
}

/// The gateway's watch as the read API sees it.
struct WatchedMode(gateway::Watch);

impl ModeView for WatchedMode {
    fn mode(&self) -> Mode {
        self.0.view().mode()
    }
}

fn read_api(
    config: &Config,
    shared: &Shared,
    mode: Arc<dyn ModeView>,
    services: &mut Supervisor,
) -> anyhow::Result<ReadApi> {
    let key = CursorKey::new(cursor_key(config)?);
    let clock: read_api::Clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
    let holds = Arc::new(shared.journal.holds());
    let (arrivals, looking) = Watched::new(shared.reader.clone(), LOOK_AGAIN);
    let looking = Arc::new(looking);
    services.run("arrivals", move || {
        let looking = looking.clone();
        async move { looking.run().await }
    });
    Ok(ReadApi::new(shared.reader.clone(), holds, mode, Arc::new(arrivals), key, clock, read_api::Options::default()))
}

/// The configured key, or one of this instance's own, made at its first start.
fn cursor_key(config: &Config) -> anyhow::Result<[u8; 32]> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let own = config.state_dir.join("cursor.key");
    let path = config.cursor_key.as_ref().unwrap_or(&own);
    if config.cursor_key.is_none() && !own.exists() {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own);
        let mut file = file.with_context(|| format!("state_dir: cannot create {}", own.display()))?;
        file.write_all(&rand::random::<[u8; 32]>())?;
    }
    read_cursor_key(path).map_err(|text| anyhow::anyhow!("cursor_key: {text}"))
}
