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
    coverage.finish();
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = include_str!("../../../../schemas/fixtures/cores/blnk/mapping.yaml");
    const EVENTS: &str = include_str!("../../../../schemas/fixtures/cores/blnk/captured.jsonl");

    /// Writes both into files of this test's own, and runs the command.
    async fn checked(name: &str, mapping: &str, events: &str) -> Result<(), Failure> {
        let file = |ending: &str, text: &str| {
            let path = std::env::temp_dir().join(format!("locum-check-{}-{name}.{ending}", std::process::id()));
            fs::write(&path, text).unwrap();
            path
        };
        let records = Records { from: Some(file("jsonl", events)), topics: None, bootstrap: None };
        run(&file("yaml", mapping), &records, false).await
    }

    #[tokio::test]
    async fn a_mapping_that_takes_every_record_is_good_and_one_refused_record_fails_it() {
        checked("good", MAPPING, EVENTS).await.unwrap();
        let other_form = MAPPING.replace("type: decimal_variable, unit: minor", "type: minor_units");
        match checked("refused", &other_form, EVENTS).await {
            Err(Failure::Failed(why)) => assert!(why.to_string().contains("would be refused"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_draft_that_nobody_finished_is_a_wrong_one_and_names_its_lines() {
        let open = MAPPING.replace("state: {constant: active}", "state: FILL-IN");
        match checked("open", &open, EVENTS).await {
            Err(Failure::Usage(why)) => assert!(why.contains("line") && why.contains("left open"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
