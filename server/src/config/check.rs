//! What sections must satisfy together, and the files they name.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use connectors::{CoreConfig, Kind};
use edge::tokens::Tokens;
use schemas::core::ReferenceFormat;
use schemas::mapping::Mapping;

use super::sections::{Config, Core, Source};
use super::{Fault, shares, times};
use crate::roles::Role;

/// Bounds of the write deadline, in milliseconds: half a second of it is the journal's, and the core needs as much.
const WRITE_DEADLINE_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;

/// Bounds of the difference between this host's clock and the SQL server's, in milliseconds.
const CLOCK_DIFFERENCE_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// Every fault, with its remedy.
pub(super) fn check(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    listeners(config, &mut faults);
    stores(config, &mut faults);
    if config.roles.is_empty() {
        faults.push(Fault::new("roles", "is empty; leave it out for all roles"));
    }
    if config.roles.contains(&Role::Ingest) {
        sources(config, &mut faults);
    }
    // What ingest confirms are entries of this core.
    if config.roles.iter().any(|role| matches!(role, Role::Gateway | Role::Replayer | Role::Ingest)) {
        core(config, &mut faults);
    }
    if config.writes() {
        rules(config, &mut faults);
    }
    shares::check(config, &mut faults);
    operators(config, &mut faults);
    config.retention.check(&mut faults);
    tokens(config, &mut faults);
    cursor_key(config, &mut faults);
    faults
}

/// Without one each instance makes its own.
fn cursor_key(config: &Config, faults: &mut Vec<Fault>) {
    let Some(path) = config.cursor_key.as_ref().filter(|_| config.roles.contains(&Role::ReadApi)) else { return };
    if let Err(text) = read_cursor_key(path) {
        faults.push(Fault::new("cursor_key", text));
    }
}

/// The key of this file, or what is wrong with it and how one is made.
pub(crate) fn read_cursor_key(path: &Path) -> Result<[u8; 32], String> {
    const MAKE: &str = "`head -c 32 /dev/urandom >FILE` makes one";
    let bytes = fs::read(path).map_err(|err| format!("cannot read {}: {err}; {MAKE}", path.display()))?;
    <[u8; 32]>::try_from(bytes).map_err(|_| format!("{} must hold 32 bytes; {MAKE}", path.display()))
}

/// What writes are admitted by.
fn rules(config: &Config, faults: &mut Vec<Fault>) {
    for problem in config.limits.problems() {
        faults.push(Fault::new("limits", problem));
    }
    for problem in config.rules.problems(&[gateway::TRANSFER]) {
        faults.push(Fault::new("rules", problem));
    }
}

fn operators(config: &Config, faults: &mut Vec<Fault>) {
    if !(60..=30 * 86_400).contains(&config.operators.approval_expires_after_s) {
        faults.push(Fault::new("operators.approval_expires_after_s", "must be 60 to 2592000: a minute to 30 days"));
    }
}

fn listeners(config: &Config, faults: &mut Vec<Fault>) {
    if config.listen.address == config.admin.address && config.listen.address.port() != 0 {
        faults.push(Fault::new("admin.address", "is the channels' own; operators need a listener of their own"));
    }
    if config.listen.connections_max == 0 {
        faults.push(Fault::new("listen.connections_max", "must be more than 0"));
    }
    if !WRITE_DEADLINE_MS.contains(&config.write_deadline_ms) {
        faults.push(Fault::new("write_deadline_ms", "must be 1000 to 30000"));
    }
    if !CLOCK_DIFFERENCE_MS.contains(&config.clock_difference_ms_max) {
        let text =
            "must be 100 to 60000: NTP keeps clocks closer than the one, and days of limits need better than the other";
        faults.push(Fault::new("clock_difference_ms_max", text));
    }
}

fn stores(config: &Config, faults: &mut Vec<Fault>) {
    let sql = &config.sql.url;
    if sql.is_empty() {
        faults.push(Fault::new("sql.url", "is missing; give mysql://user:password@host:port/database"));
    } else if !sql.starts_with("mysql://") && !sql.starts_with("sqlite:") {
        faults.push(Fault::new("sql.url", "must begin with mysql:// or sqlite:"));
    }
    if config.sql.connections_max == Some(0) {
        faults.push(Fault::new("sql.connections_max", "must be more than 0"));
    }
    if config.sql.processes_max == Some(0) {
        faults.push(Fault::new("sql.processes_max", "must be more than 0"));
    }
    if config.redis.as_ref().is_some_and(|redis| !redis.url.starts_with("redis://")) {
        faults.push(Fault::new("redis.url", "must begin with redis://"));
    }
}

fn sources(config: &Config, faults: &mut Vec<Fault>) {
    let embedded = !config.sources.is_empty() && config.sources.iter().all(|source| source.change_log.is_some());
    if !embedded && config.kafka.bootstrap.is_empty() {
        faults.push(Fault::new("kafka.bootstrap", "is missing; give host:port, or leave `ingest` out of roles"));
    }
    if config.sources.is_empty() {
        faults.push(Fault::new("sources", "is empty; name at least one, or leave `ingest` out of roles"));
    }
    let references = config.core.config().ok().map(|core| core.reference().clone());
    let mut seen = HashSet::new();
    for (index, source) in config.sources.iter().enumerate() {
        let at = |key: &str| format!("sources[{index}].{key}");
        if source.name.is_empty() || source.name.len() > 64 || !seen.insert(&source.name) {
            faults.push(Fault::new(at("name"), "must be 1 to 64 characters, and its own"));
        }
        if source.delivery_timeout_ms == 0 {
            let remedy = "is 0; give `producer.override.delivery.timeout.ms` of the Debezium connector";
            faults.push(Fault::new(at("delivery_timeout_ms"), remedy));
        }
        if source.topic_prefix.is_empty() && source.change_log.is_none() {
            faults.push(Fault::new(at("topic_prefix"), "is empty; give `topic.prefix` of the Debezium connector"));
        }
        mapping(source, &at("mapping"), references.as_ref(), faults);
    }
}

fn mapping(source: &Source, at: &str, references: Option<&ReferenceFormat>, faults: &mut Vec<Fault>) {
    match read(&source.mapping).map(|text| Mapping::from_yaml(&text)) {
        Ok(Ok(mapping)) => {
            agrees(source, &mapping, at, faults);
            if let (Some(sought), Some(written)) = (mapping.reference(), references) {
                finds_what_is_written(sought, written, at, faults);
            }
        }
        Ok(Err(errors)) => faults.push(Fault::new(at, format!("{}: {errors}", source.mapping.display()))),
        Err(text) => faults.push(Fault::new(at, text)),
    }
}

/// The mapping names its source and connector too; positions and metrics take the mapping's.
fn agrees(source: &Source, mapping: &Mapping, at: &str, faults: &mut Vec<Fault>) {
    let says = |what, own: &str, here: &str| format!("says {what} {own:?}, not {here:?} as here; make them the same");
    if mapping.source() != source.name {
        faults.push(Fault::new(at, says("source:", mapping.source(), &source.name)));
    }
    let own = mapping.connector().as_str();
    if let Some(here) = source.connector.as_deref().filter(|here| *here != own) {
        faults.push(Fault::new(at, says("connector:", own, here)));
    }
}

/// A mapping that looks for references of another form than the connector writes would find none, and confirm nothing.
fn finds_what_is_written(sought: &ReferenceFormat, written: &ReferenceFormat, at: &str, faults: &mut Vec<Fault>) {
    let form = |format: &ReferenceFormat| (format.alphabet, format.length(), format.prefix().to_owned());
    if form(sought) != form(written) {
        let text = format!(
            "looks for references of {} characters that begin with {:?}, and the core's connector writes {} that begin with {:?}, or \
             of another alphabet; make `reference` the same in both",
            sought.length(),
            sought.prefix(),
            written.length(),
            written.prefix()
        );
        faults.push(Fault::new(at, text));
    }
}

fn core(config: &Config, faults: &mut Vec<Fault>) {
    let core = match config.core.config() {
        Err(fault) => return faults.push(fault),
        Ok(core) => core,
    };
    times::relate(config, core.capabilities(), faults);
    // A process that only ingests sends nothing to the core: it needs no secrets, and had better not have them.
    let errors = if config.writes() { core.build().err().unwrap_or_default() } else { core.problems() };
    faults.extend(errors.into_iter().map(|e| Fault::new(format!("core.{}", e.at), e.what)));
}

impl Core {
    /// The connector's configuration, from its file or inline, with the address that holds here.
    pub fn config(&self) -> Result<CoreConfig, Fault> {
        let mut config = self.written()?;
        config.resolve(self.connector.as_deref().and_then(Path::parent).unwrap_or(&self.folder));
        if let Some(address) = &self.base_url {
            config.set_address(address);
        }
        Ok(config)
    }

    fn written(&self) -> Result<CoreConfig, Fault> {
        match (&self.connector, &self.http) {
            (Some(path), None) => connector(path).map_err(|text| Fault::new("core.connector", text)),
            (None, Some(inline)) => serde_path_to_error::deserialize(inline)
                .map(CoreConfig::Http)
                .map_err(|error| Fault::new(format!("core.http.{}", error.path()), error.inner().to_string())),
            _ => Err(Fault::new("core", "give exactly one of `connector` (a file) and `http` (inline)")),
        }
    }
}

/// A connector's file, of the kind that it says.
pub(crate) fn connector(path: &Path) -> Result<CoreConfig, String> {
    let text = read(path)?;
    // What this first reading cannot read, the second one tells with its place.
    let kind = serde_saphyr::from_str(&text).map(|tree| Kind::of(&tree)).unwrap_or_default();
    let config = match kind {
        Kind::Http => serde_saphyr::from_str(&text).map(CoreConfig::Http),
        Kind::Sql => serde_saphyr::from_str(&text).map(CoreConfig::Sql),
    };
    config.map_err(|error| format!("{}: {}", path.display(), error.without_snippet()))
}

fn tokens(config: &Config, faults: &mut Vec<Fault>) {
    let Some(path) = &config.tokens else {
        let text = "is missing: Locum does not start without authentication. Name a file of channels and operators \
                    (see locum.example.yaml)";
        return faults.push(Fault::new("tokens", text));
    };
    match Tokens::load(path) {
        Err(error) => faults.push(Fault::new("tokens", error.to_string())),
        Ok(tokens) => {
            let counts = tokens.counts();
            let channels = config.roles.iter().any(|role| matches!(role, Role::ReadApi | Role::Gateway));
            if channels && counts.channels == 0 {
                faults.push(Fault::new("tokens", "names no channel, so nobody could read or write; add one"));
            }
            if counts.operators == 0 {
                faults.push(Fault::new("tokens", "names no operator, so nobody could steer; add one"));
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
