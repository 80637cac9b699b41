//! The configuration: one YAML file, overridden by the environment, checked as a whole.

mod check;
mod environment;
mod principals;
mod reading;
mod retention;
mod sections;
mod shares;
#[cfg(test)]
mod tests;
mod times;
mod warnings;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use check::{connector, read_cursor_key};
pub use environment::overrides;
pub use sections::{Config, Source};
pub use shares::CoreShare;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `sources[0].mapping`.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl Fault {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// Everything wrong with a configuration, in the order of the file's sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads a file and the overrides, and checks everything it names; opens no connection. All faults at once.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let text = fs::read_to_string(path).map_err(|error| {
            let text = format!("cannot read {}: {error}; start from locum.example.yaml", path.display());
            Faults(vec![Fault::new("", text)])
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, &folder, environment)
    }

    /// The same from a text; paths in it are relative to `folder`.
    fn parse(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let mut tree: Value = serde_saphyr::from_str(text).map_err(|error| {
            // Without the parser's excerpt: the file may hold a password.
            Faults(vec![Fault::new("", format!("not valid YAML: {}", error.without_snippet()))])
        })?;
        if tree.is_null() {
            tree = Value::Object(Default::default());
        }
        let mut faults = environment::overlay(&mut tree, environment);
        let (mut config, unread) = reading::read(tree);
        faults.extend(unread);
        config.resolve(folder);
        faults.extend(check::check(&config));
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }

    /// Makes every path absolute to the folder of the file.
    fn resolve(&mut self, folder: &Path) {
        folder.clone_into(&mut self.core.folder);
        let mut paths: Vec<&mut PathBuf> = vec![&mut self.state_dir];
        paths.extend(&mut self.tokens);
        paths.extend(&mut self.cursor_key);
        paths.extend(&mut self.core.connector);
        paths.extend(&mut self.retention.directory);
        paths.extend(self.sources.iter_mut().map(|source| &mut source.mapping));
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}
