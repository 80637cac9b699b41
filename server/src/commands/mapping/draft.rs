//! `locum mapping draft`

use std::fs;
use std::path::Path;

use schemas::debezium::{Decoder, Record};
use schemas::draft::{Observed, Tables, propose, tables_of_ddl};

use super::input::Input;
use crate::cli::Records;
use crate::commands::{Failure, table};

/// Largest file of definitions.
const DDL_BYTES_MAX: u64 = 64 << 20;
/// Where neither a prefix nor a file has a name.
const SOURCE: &str = "core";

/// Prints a mapping for a person to finish.
pub async fn run(records: &Records, source: Option<String>) -> Result<(), Failure> {
    let tables = match &records.from {
        Some(path) if is_ddl(path) => defined(path)?,
        _ => observed(records).await?,
    };
    if tables.tables.is_empty() {
        return Err(Failure::Usage(
            "no table was found; give a .sql file with CREATE TABLE, or records of a Debezium connector".to_owned(),
        ));
    }
    let source = source.unwrap_or_else(|| name(records));
    table::line(propose(&source, &tables).trim_end());
    Ok(())
}

fn is_ddl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

/// The prefix of the topics, or what the file is called.
fn name(records: &Records) -> String {
    let stem = records.from.as_deref().and_then(Path::file_stem).and_then(|stem| stem.to_str());
    records.topics.as_deref().or(stem).unwrap_or(SOURCE).to_owned()
}

fn defined(path: &Path) -> Result<Tables, Failure> {
    let unread = |what: &str| Failure::Usage(format!("cannot read {}: {what}", path.display()));
    let bytes = fs::metadata(path).map_err(|err| unread(&err.to_string()))?.len();
    if bytes > DDL_BYTES_MAX {
        return Err(unread("larger than 64 MiB; write the definitions without the data (pg_dump --schema-only)"));
    }
    let sql = fs::read(path).map_err(|err| unread(&err.to_string()))?;
    Ok(tables_of_ddl(&String::from_utf8_lossy(&sql)))
}

async fn observed(records: &Records) -> Result<Tables, Failure> {
    let mut input = Input::open(records, None)?;
    let (mut seen, mut decoder) = (Observed::default(), Decoder::new());
    while let Some(batch) = input.next().await? {
        for record in &batch {
            // What cannot be read says nothing of a table; `check` tells it.
            let decoded = decoder.decode(&record.topic, record.key.as_deref(), record.value.as_deref());
            if let Ok(Record::Change(event)) = decoded {
                seen.see(&event);
            }
        }
    }
    input.finish()?;
    Ok(seen.tables())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_called_after_its_prefix_or_its_file() {
        let records = |from: Option<&str>, topics: Option<&str>| Records {
            from: from.map(Into::into),
            topics: topics.map(str::to_owned),
            bootstrap: None,
        };
        assert_eq!(name(&records(Some("a/core-sim.sql"), None)), "core-sim");
        assert_eq!(name(&records(None, Some("fin"))), "fin");
        assert_eq!(name(&records(None, None)), "core");
        assert!(is_ddl(Path::new("x/CORE.SQL")) && !is_ddl(Path::new("x.jsonl")));
    }
}
