//! The files of a pass: written, noted in the order of their chain, and read again to empty the tables.

use std::path::Path;

use failpoints::{ARCHIVE_AFTER_COMMIT, ARCHIVE_NOTED, reached};
use sql::{Row, params};

use super::due::Search;
use super::load::{Loaded, load};
use super::rows::Leaving;
use super::{ArchiveError, ArchiveJournal, FENCE, Lease, TOGETHER_MAX};
use crate::archive::{
    FileFault, Line, Link, Month, Reader, Sealed, Writer, fault_of, file_name, inspect, make_durable, stays,
};
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::fence::check_fence;

/// A file that was noted, and whose entries may still be in the tables.
const WRITTEN: &str = "written";
/// A file whose entries have left, but for those that have changed since.
const EMPTIED: &str = "emptied";
/// The last file of the chain.
const LAST: &str = "SELECT file, sha256, seq FROM archives WHERE seq = (SELECT MAX(seq) FROM archives)";

impl ArchiveJournal {
    /// Files that were noted and not emptied, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<String>, ArchiveError> {
        let sql = "SELECT file FROM archives WHERE state = ? ORDER BY seq";
        let rows = self.0.db.query(sql, params![WRITTEN]).await?;
        Ok(rows.iter().map(|row| row.get("file")).collect::<Result<_, sql::Error>>()?)
    }

    /// Writes the next file of a month, unless nothing of it may leave; answers its name. A file of that name that is there already is
    /// the next one: somebody died before it was noted.
    pub async fn write(&self, lease: &mut Lease, month: Month) -> Result<Option<String>, ArchiveError> {
        let (name, before) = self.next(month).await?;
        let folder = lease.retention.directory.clone();
        if folder.join(&name).exists() {
            return Ok(Some(name));
        }
        let (mut search, mut writer): (Search, Option<Writer>) = (Search::of(month), None);
        loop {
            let ids = self.candidates(&mut search).await?;
            if ids.is_empty() {
                break;
            }
            let mut lines = self.lines(lease, ids).await?;
            let written = writer.as_ref().map_or(0, Writer::entries);
            let room = lease.retention.entries_per_file.saturating_sub(written);
            lines.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            self.renew(lease).await?;
            if lines.is_empty() {
                continue;
            }
            let (folder, name, token) = (folder.clone(), name.clone(), lease.fence.token);
            let begun: Writer = apart(move || {
                let mut writer = match writer {
                    Some(writer) => writer,
                    None => Writer::begin(&folder, &name, token)?,
                };
                lines.iter().try_for_each(|line| writer.push(line))?;
                Ok(writer)
            })
            .await?;
            let full = begun.entries() >= lease.retention.entries_per_file;
            writer = Some(begun);
            if full {
                break;
            }
        }
        let Some(writer) = writer else { return Ok(None) };
        self.renew_now(lease).await?;
        let named = name.clone();
        apart(move || writer.publish(&named, before)).await?;
        Ok(Some(name))
    }

    /// Notes a file as the next of the chain, once it is durable, was read back and is whole.
    pub async fn note(&self, lease: &mut Lease, file: &str, month: Month) -> Result<(), ArchiveError> {
        let (name, before) = self.next(month).await?;
        let path = lease.retention.directory.join(file);
        let sealed = apart(move || {
            make_durable(&path)?;
            inspect(&path)
        });
        let sealed = sealed.await?;
        if sealed.link.file != name || sealed.before != before {
            return Err(ArchiveError::Stray(file.to_owned()));
        }
        self.renew_now(lease).await?;
        let (fence, month) = (lease.fence.clone(), month.number());
        self.0
            .run(move |tx| {
                let (fence, sealed) = (fence.clone(), sealed.clone());
                Box::pin(async move {
                    check_fence(tx, &fence).await?;
                    let Sealed { link, before, entries, first, last } = sealed;
                    // Its own trace, should the COMMIT before have landed.
                    let noted = "SELECT seq FROM archives WHERE file = ?";
                    if tx.query_opt(noted, params![&link.file]).await?.is_some() {
                        return Ok(());
                    }
                    let newest = tx.query_opt(LAST, Vec::new()).await?;
                    if newest.as_ref().map(link_of).transpose()? != before {
                        // Only the holder of a newer fence can have noted another one.
                        return Err(JournalError::Fenced(FENCE.to_owned()));
                    }
                    // Unique: of two that saw the same one as the last, one goes on.
                    let seq = newest.map_or(Ok(0), |row| row.get::<i64>("seq"))? + 1;
                    let entries = i64::try_from(entries).map_err(|_| JournalError::Corrupt("entries of a file"))?;
                    let id = |id: Option<EntryId>| id.map_or(String::new(), |id| id.as_str().to_owned());
                    let now_us = tx.host().now_us();
                    tx.exec(
                        "INSERT INTO archives (file, seq, ended_month, entries, first_id, last_id, sha256, state, at_us) \
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        params![link.file, seq, month, entries, id(first), id(last), link.sha256, WRITTEN, now_us],
                    )
                    .await?;
                    Ok(())
                })
            })
            .await?;
        reached(ARCHIVE_NOTED);
        Ok(())
    }

    /// Deletes the rows of a file that was noted, those that are still what the file says; answers how many entries left.
    pub async fn empty(&self, lease: &mut Lease, file: &str) -> Result<u64, ArchiveError> {
        let path = lease.retention.directory.join(file);
        let sealed = {
            let path = path.clone();
            apart(move || inspect(&path)).await?
        };
        let noted = self.0.db.query("SELECT sha256 FROM archives WHERE file = ?", params![file]).await?;
        let noted: Option<String> = noted.first().map(|row| row.get("sha256")).transpose()?;
        if noted.as_ref() != Some(&sealed.link.sha256) {
            return Err(ArchiveError::Exchanged(file.to_owned()));
        }
        let mut reader = apart(move || Reader::open(&path)).await?;
        let mut left = 0;
        loop {
            let lines: Vec<Line>;
            (reader, lines) = apart(move || {
                let lines = reader.next_lines(TOGETHER_MAX)?;
                Ok((reader, lines))
            })
            .await?;
            if lines.is_empty() {
                break;
            }
            self.renew(lease).await?;
            left += self.leave(lease, file, lines).await?;
            reached(ARCHIVE_AFTER_COMMIT);
        }
        let (fence, name) = (lease.fence.clone(), file.to_owned());
        self.0
            .run(move |tx| {
                let (fence, name) = (fence.clone(), name.clone());
                Box::pin(async move {
                    check_fence(tx, &fence).await?;
                    tx.exec("UPDATE archives SET state = ? WHERE file = ?", params![EMPTIED, name]).await?;
                    Ok(())
                })
            })
            .await?;
        tracing::info!(
            file,
            entries = sealed.entries,
            left,
            "archived; what did not leave had left before, or has changed"
        );
        Ok(left)
    }

    /// The lines of those of these entries that may leave.
    async fn lines(&self, lease: &Lease, ids: Vec<EntryId>) -> Result<Vec<Vec<u8>>, JournalError> {
        let (facts, due) = (self.0.facts.clone(), lease.due);
        self.0
            .run(move |tx| {
                let (facts, ids) = (facts.clone(), ids.clone());
                Box::pin(async move {
                    let loaded = load(tx, &*facts, &ids, false).await?;
                    let may_leave = |loaded: &Loaded| stays(&loaded.standing, due).is_none() && can_be_read(loaded);
                    Ok(loaded.into_iter().filter(may_leave).map(|loaded| loaded.line).collect())
                })
            })
            .await
    }

    /// The name of the next file of a month, and the last one of the chain.
    async fn next(&self, month: Month) -> Result<(String, Option<Link>), JournalError> {
        let rows = self.0.db.query(LAST, Vec::new()).await?;
        let before = rows.first().map(link_of).transpose()?;
        let sql = "SELECT COUNT(*) AS n FROM archives WHERE ended_month = ?";
        let rows = self.0.db.query(sql, params![month.number()]).await?;
        let n: i64 = rows.first().map_or(Ok(0), |row| row.get("n"))?;
        Ok((file_name(month, n + 1), before))
    }

    async fn leave(&self, lease: &Lease, file: &str, lines: Vec<Line>) -> Result<u64, JournalError> {
        let leaving = Leaving {
            lines: lines.into_iter().map(|line| (line.id, line.text)).collect(),
            file: file.to_owned(),
            fence: lease.fence.clone(),
            due: lease.due,
            keys_days: lease.retention.keys_days,
        };
        let (facts, leaving) = (self.0.facts.clone(), std::sync::Arc::new(leaving));
        self.0
            .run(move |tx| {
                let (facts, leaving) = (facts.clone(), leaving.clone());
                Box::pin(async move { leaving.leave(tx, &*facts).await })
            })
            .await
    }
}

fn link_of(row: &Row) -> Result<Link, sql::Error> {
    Ok(Link { file: row.get("file")?, sha256: row.get("sha256")? })
}

/// Will a reader take its line? A file with another line would never be noted, and no other entry would leave any more.
fn can_be_read(Loaded { entry, line, .. }: &Loaded) -> bool {
    let fault = fault_of(line);
    if let Some(fault) = fault {
        tracing::error!(entry = %entry.id, fault, "an entry cannot be archived; it stays in the tables");
    }
    fault.is_none()
}

/// Removes what dead writers left.
pub(super) async fn clear(folder: &Path) -> Result<(), ArchiveError> {
    let folder = folder.to_owned();
    apart(move || Writer::clear(&folder)).await
}

/// On a thread where it may wait for the disk.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileFault> + Send + 'static,
) -> Result<T, ArchiveError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| ArchiveError::Panicked)??)
}
