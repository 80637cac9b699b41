//! `locum mapping check`

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ingest::coverage::Coverage;
use schemas::mapping::Mapping;

use super::input::Input;
use super::report;
use crate::cli::Records;
use crate::commands::{Failure, table};

/// Tries a mapping on records, and prints what comes of them.
pub async fn run(path: &Path, records: &Records, json: bool) -> Result<(), Failure> {
    let mapping = Arc::new(read(path)?);
    let mut input = Input::open(records, Some(mapping.tables().collect()))?;
    let mut coverage = Coverage::new(Arc::clone(&mapping));
    while let Some(batch) = input.next().await? {
        batch.iter().for_each(|record| coverage.read(record));
    }
    input.finish()?;
    let told = report::of(&mapping, &coverage, input.note());
    match json {
        true => table::line(format_args!("{told:#}")),
        false => report::print(&told),
    }
    let counts = coverage.counts();
    match counts.refused {
        0 => Ok(()),
        refused => Err(Failure::Failed(anyhow::anyhow!(
            "{refused} of {} records would be refused; mend the mapping, or the connector's settings, at the reasons above",
            counts.records
        ))),
    }
}

fn read(path: &Path) -> Result<Mapping, Failure> {
    let text = fs::read_to_string(path).map_err(|err| {
        Failure::Usage(format!("cannot read the mapping {}: {err}; `locum mapping draft` proposes one", path.display()))
    })?;
    Mapping::from_yaml(&text).map_err(|issues| Failure::Usage(format!("{}: {issues}", path.display())))
}
