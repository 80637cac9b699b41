//! `locum archive`: the files by themselves.

use std::path::Path;

use standin::archive::{Line, Reader, verify};
use standin::journal::EntryId;

use super::{Failure, table};
use crate::cli::ArchiveCommand;

/// Carries it out.
pub fn run(command: ArchiveCommand) -> Result<(), Failure> {
    match command {
        ArchiveCommand::Verify { files } => {
            for sealed in verify(&files).map_err(anyhow::Error::from)? {
                let before = sealed.before.map_or("the first".to_owned(), |before| format!("after {}", before.file));
                table::line(format_args!(
                    "{} is good: {} entries, sha256 {}, {before}",
                    sealed.link.file, sealed.entries, sealed.link.sha256
                ));
            }
            Ok(())
        }
        ArchiveCommand::Show { file, id } => {
            let id = EntryId::parse(&id).ok_or_else(|| Failure::Usage(format!("{id} is not an entry's id")))?;
            let line = find(&file, &id)?;
            let line = line.ok_or_else(|| anyhow::anyhow!("{} does not hold the entry {id}", file.display()))?;
            table::line(String::from_utf8_lossy(&line.text));
            Ok(())
        }
    }
}

/// The entry's line, of a file that is right to its end.
fn find(file: &Path, id: &EntryId) -> anyhow::Result<Option<Line>> {
    let (mut reader, mut found) = (Reader::open(file)?, None);
    while let Some(line) = reader.next_line()? {
        if line.id == *id {
            found = Some(line);
        }
    }
    Ok(found)
}
