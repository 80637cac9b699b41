//! What a check of a configuration found.

use std::path::PathBuf;

/// One thing wrong with the configuration of a core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct ConfigError {
    /// Where: `operations.transfer.post.request.path`.
    pub at: String,
    /// What is wrong, and what to do where that is not plain.
    pub what: String,
}

/// A file, and where the configuration names it.
pub(super) struct FilePlan {
    pub(super) at: String,
    pub(super) path: PathBuf,
}

/// The errors found so far, at a place.
#[derive(Default)]
pub(super) struct Findings(Vec<ConfigError>);

impl Findings {
    pub(super) fn add(&mut self, at: &str, what: impl Into<String>) {
        self.0.push(ConfigError { at: at.to_owned(), what: what.into() });
    }

    pub(super) fn must(&mut self, holds: bool, at: &str, what: &str) {
        if !holds {
            self.add(at, what);
        }
    }

    pub(super) fn take<T>(&mut self, at: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.add(at, what)).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(self) -> Vec<ConfigError> {
        self.0
    }
}
