//! What is allowed and seldom meant. It keeps no process from starting.

use std::fs;
use std::path::Path;

use schemas::mapping::Mapping;

use super::sections::Config;
use super::{Fault, Faults};

impl Config {
    /// What a checked configuration will do that nobody may have meant, each with its remedy.
    pub fn warnings(&self) -> Faults {
        Faults(nothing_confirms(self).into_iter().collect())
    }
}

/// Writes go to a core whose change data end none of them. A process that names no source, or cannot read a mapping, cannot tell.
fn nothing_confirms(config: &Config) -> Option<Fault> {
    let read = |path: &Path| fs::read_to_string(path).ok().and_then(|text| Mapping::from_yaml(&text).ok());
    let mappings: Option<Vec<Mapping>> = config.sources.iter().map(|source| read(&source.mapping)).collect();
    let mappings = mappings.filter(|all| config.writes() && !all.is_empty())?;
    (!mappings.iter().any(Mapping::confirms)).then(|| {
        Fault::new(
            "sources",
            "no mapping says which postings confirm, and this process sends writes to the core: no entry would end, each hold \
             would count for ever, and each entry be reported as unconfirmed. Give the table of postings \
             `confirms: {operations: [transfer]}` and `transaction.core_ref`; a core that numbers no postings needs \
             `last_posting: {by: source-transaction}`, too (\"Attaching another core\" in docs/configuration.md). To read \
             only, leave `gateway` and `replayer` out of roles",
        )
    })
}
