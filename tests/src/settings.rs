//! The files that a `locum` process of a world is started with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::bank::Class;
use crate::locum::{Locum, OPERATOR, SECOND_OPERATOR};
use crate::process::free_port;
use crate::stack::{Stack, root};

/// Sees and debits every customer's accounts.
pub const CHANNEL: &str = "channel-of-all-customers";
/// Sees and debits only those of the first customer.
pub const FIRST_CUSTOMER: &str = "channel-of-the-first-customer";
/// Within this a request to the core has had its effect or never has one; what the connector's file declares is longer.
pub(crate) const REQUEST_LIFETIME_MS: u64 = 2_500;
const REQUEST_LIFETIME_DECLARED_MS: u64 = 4_000;
/// A core that nobody can ask leaves what is unknown to people; from any other core an answer comes before that.
const PARKED_SOON_MS: u64 = 11_000;
const PARKED_LATE_MS: u64 = 600_000;
/// Told to end, an instance serves on for so long.
const DRAIN_NOTICE_MS: u64 = 500;
/// More than a world runs.
const INSTANCES_MAX: usize = 4;
/// Connections to the core that each of them has.
const CONNECTIONS_EACH: usize = 64;
const OPERATORS: [&str; 2] = [OPERATOR, SECOND_OPERATOR];

/// What the instances of one world have in common.
pub(crate) struct Settings<'w> {
    pub(crate) stack: &'w Stack,
    /// `host:port` of the core.
    pub(crate) core: String,
    pub(crate) class: Class,
    /// Orders that want a second person.
    pub(crate) four_eyes: &'static [&'static str],
    /// What queued transfers wait for.
    pub(crate) order: &'static str,
    /// Address of the database of journal and read model.
    pub(crate) journal: String,
    /// Of topics, connector and keys in Redis.
    pub(crate) name: &'w str,
    /// What the core's tables mean.
    pub(crate) mapping: PathBuf,
}

impl Settings<'_> {
    /// Writes the files of one instance into this folder.
    pub(crate) fn locum(&self, index: usize, folder: &Path) -> Locum {
        let config = json!({
            "instances_max": INSTANCES_MAX,
            "sql": {"url": self.journal, "record_statements_to": std::env::var("LOCUM_TEST_RECORD_TO").ok()},
            "redis": {"url": self.stack.address("REDIS_URL"), "prefix": self.name},
            "kafka": {"bootstrap": self.stack.address("KAFKA_BOOTSTRAP")},
            "sources": [{
                "name": "corebank",
                "mapping": self.mapping,
                "topic_prefix": self.name,
                "connector": "mariadb",
            }],
            "core": {"http": self.connector()},
            "limits": {
                "currencies": {"EUR": {"per_transfer_minor": 1_000_000, "per_day_minor": 1_000_000_000_000_i64}},
                "per_day_count": 1_000_000,
                "age_bands": [{"age_s_max": 3_600, "percent": 100}],
            },
            "rules": {"transfer": {"order": self.order}},
            "operators": {"four_eyes": self.four_eyes},
            "replay": {"park_after_ms": if self.class == Class::Neither { PARKED_SOON_MS } else { PARKED_LATE_MS }},
        });
        files_of(index, folder, config)
    }

    /// The shipped connector's configuration, with this core's address and promises.
    fn connector(&self) -> Json {
        let path = root().join("connectors/cores/core-sim.yaml");
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let mut config: Json = serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        config["base-url"] = json!(format!("http://{}", self.core));
        config["limits"]["connections-max"] = json!(INSTANCES_MAX * CONNECTIONS_EACH);
        let capabilities = &mut config["capabilities"];
        capabilities["request-lifetime-ms-max"] = json!(REQUEST_LIFETIME_DECLARED_MS);
        capabilities["enquiry"] = json!(self.class != Class::Neither);
        if self.class != Class::Idempotent
            && let Some(capabilities) = capabilities.as_object_mut()
        {
            capabilities.remove("reference-memory-ms");
        }
        config
    }
}

/// Writes the files of one instance into this folder. `config` is all but its listeners, state and tokens.
pub(crate) fn files_of(index: usize, folder: &Path, mut config: Json) -> Locum {
    let (listen, admin) = (free_port(), free_port());
    config["listen"] = json!({"address": format!("127.0.0.1:{listen}"), "drain_notice_ms": DRAIN_NOTICE_MS});
    config["admin"] = json!({"address": format!("127.0.0.1:{admin}")});
    config["state_dir"] = json!("state");
    config["tokens"] = json!("tokens.yaml");
    let channel = |token: &str, customers: Json| json!({"principal": token, "token": token, "customers": customers, "scopes": ["read", "write"]});
    let tokens = json!({
        "channels": [channel(CHANNEL, json!(["*"])), channel(FIRST_CUSTOMER, json!(["C000001"]))],
        "operators": OPERATORS.map(|token| json!({"principal": token, "token": token})),
    });
    fs::create_dir_all(folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let files = [("locum.yaml".to_owned(), config.to_string()), ("tokens.yaml".to_owned(), tokens.to_string())];
    for (name, content) in files.into_iter().chain(OPERATORS.map(|token| (format!("{token}.token"), token.to_owned())))
    {
        let path = folder.join(name);
        fs::write(&path, content).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }
    Locum::new(index, folder.to_owned(), (listen, admin))
}
