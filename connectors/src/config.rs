//! A core's configuration, whatever kind of core it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemas::core::{Capabilities, ReferenceFormat};
use serde::Deserialize;

use crate::connector::CoreConnector;
use crate::findings::ConfigError;
use crate::heard::Listener;
use crate::http::{FieldKind, HttpCore, HttpCoreConfig};
use crate::sql::{SqlCore, SqlCoreConfig};

/// The way of talking to a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// HTTP and JSON, the default.
    #[default]
    Http,
    /// SQL procedures.
    Sql,
}

impl Kind {
    /// What a connector's file says, whatever else is in it.
    pub fn of(tree: &serde_json::Value) -> Self {
        tree.get("kind").and_then(|kind| Self::deserialize(kind).ok()).unwrap_or_default()
    }
}

/// The configuration of one core.
#[derive(Clone)]
pub enum CoreConfig {
    /// Attached over HTTP.
    Http(Box<HttpCoreConfig>),
    /// Attached over SQL.
    Sql(Box<SqlCoreConfig>),
}

impl CoreConfig {
    /// The core's name in the journal.
    pub fn name(&self) -> &str {
        match self {
            Self::Http(config) => &config.name,
            Self::Sql(config) => &config.name,
        }
    }

    /// What the core promises about references.
    pub fn capabilities(&self) -> &Capabilities {
        match self {
            Self::Http(config) => &config.capabilities,
            Self::Sql(config) => &config.capabilities,
        }
    }

    /// How it stores references.
    pub fn reference(&self) -> &ReferenceFormat {
        match self {
            Self::Http(config) => &config.reference,
            Self::Sql(config) => &config.reference,
        }
    }

    /// Where the core is.
    pub fn address(&self) -> &str {
        match self {
            Self::Http(config) => &config.base_url,
            Self::Sql(config) => &config.url,
        }
    }

    /// Puts another address in the place of the one that the file has.
    pub fn set_address(&mut self, address: &str) {
        match self {
            Self::Http(config) => address.clone_into(&mut config.base_url),
            Self::Sql(config) => address.clone_into(&mut config.url),
        }
    }

    /// Connections of all instances, probes included.
    pub fn connections_max(&self) -> usize {
        match self {
            Self::Http(config) => config.limits.connections_max,
            Self::Sql(config) => config.limits.connections_max,
        }
    }

    /// The share of one instance, probes aside.
    pub fn set_connections_max(&mut self, connections_max: usize) {
        match self {
            Self::Http(config) => config.limits.connections_max = connections_max,
            Self::Sql(config) => config.limits.connections_max = connections_max,
        }
    }

    /// Makes every path in it absolute to this folder.
    pub fn resolve(&mut self, folder: &Path) {
        match self {
            Self::Http(config) => config.resolve(folder),
            Self::Sql(config) => config.resolve(folder),
        }
    }

    /// Everything that is wrong with it, in a process that does not talk to the core and so has none of its secrets.
    pub fn problems(&self) -> Vec<ConfigError> {
        match self {
            Self::Http(config) => HttpCore::problems(config),
            Self::Sql(config) => SqlCore::problems(config),
        }
    }

    /// The operations that it declares.
    pub fn operations(&self) -> Vec<&str> {
        match self {
            Self::Http(config) => config.operations.keys().map(String::as_str).collect(),
            Self::Sql(config) => config.operations.keys().map(String::as_str).collect(),
        }
    }

    /// The fields of an operation's request.
    pub fn fields(&self, operation: &str) -> Option<&BTreeMap<String, FieldKind>> {
        match self {
            Self::Http(config) => config.operations.get(operation).map(|operation| &operation.fields),
            Self::Sql(config) => config.operations.get(operation).map(|operation| &operation.fields),
        }
    }

    /// True where it says how to ask what became of a reference.
    pub fn can_ask(&self, operation: &str) -> bool {
        match self {
            Self::Http(config) => config.operations.get(operation).is_some_and(|operation| operation.enquiry.is_some()),
            Self::Sql(config) => config.operations.get(operation).is_some_and(|operation| operation.enquiry.is_some()),
        }
    }

    /// As [`CoreConfig::build`], with somebody who is told every answer.
    pub fn build_heard(self, listener: Listener) -> Result<Arc<dyn CoreConnector>, Vec<ConfigError>> {
        let core: Arc<dyn CoreConnector> = match self {
            Self::Http(config) => Arc::new(HttpCore::build(*config)?.heard_by(listener)),
            Self::Sql(config) => Arc::new(SqlCore::build(*config)?.heard_by(listener)),
        };
        Ok(core)
    }

    /// Checks the whole configuration and reads the files it names; opens no connection.
    pub fn build(self) -> Result<Arc<dyn CoreConnector>, Vec<ConfigError>> {
        let core: Arc<dyn CoreConnector> = match self {
            Self::Http(config) => Arc::new(HttpCore::build(*config)?),
            Self::Sql(config) => Arc::new(SqlCore::build(*config)?),
        };
        Ok(core)
    }
}
