//! Keeps each distinct statement sent to a MySQL-protocol engine in a file, so that TiDB's own parser can check them all.

use crate::error::Error;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Recorder {
    folder: PathBuf,
    seen: Mutex<HashSet<u64>>,
}

impl Recorder {
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)
            .map_err(|err| Error::Configuration(format!("cannot create the folder for statements: {}", err.kind())))?;
        Ok(Recorder { folder: folder.to_owned(), seen: Mutex::default() })
    }

    /// Writes the statement's collapsed text to `HASH.sql` once. Other processes may record to the same folder.
    pub(crate) fn record(&self, sql: &str) {
        // Most statements were seen to the letter.
        if !self.is_new(fnv1a(sql.as_bytes())) {
            return;
        }
        let text = collapsed(sql);
        let hash = fnv1a(text.as_bytes());
        if text != sql && !self.is_new(hash) {
            return;
        }
        if let Err(err) = std::fs::write(self.folder.join(format!("{hash:016x}.sql")), text + "\n") {
            tracing::warn!(error = %err, "statement not recorded");
        }
    }

    fn is_new(&self, hash: u64) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(hash)
    }
}

/// The statement with repeated rows, repeated UNION members and IN lists reduced to one.
fn collapsed(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let mut text = words.join(" ");
    text = in_lists(&text);
    text = repeats(&text, ", (", ")");
    repeats(&text, " UNION ALL SELECT ", "")
}

/// `IN (?, ?, ?)` → `IN (?)`.
fn in_lists(text: &str) -> String {
    let mut parts = text.split("IN (?");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("IN (?");
        out.push_str(part.trim_start_matches(", ?"));
    }
    out
}

/// Drops a group (`opening` + placeholders + `closing`) that follows an equal one.
fn repeats(text: &str, opening: &str, closing: &str) -> String {
    let mut parts = text.split(opening);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = group_end(part, closing).map_or(0, |end| end + closing.len());
        let (group, rest) = part.split_at(end);
        let repeated = out.strip_suffix(group).is_some_and(|before| before.ends_with(opening.trim_start_matches(", ")));
        if end > 0 && repeated {
            out.push_str(rest);
        } else {
            out.push_str(opening);
            out.push_str(part);
        }
    }
    out
}

/// Length of the leading run that consists of placeholders, casts of placeholders and commas, if `closing` follows.
fn group_end(part: &str, closing: &str) -> Option<usize> {
    const MEMBERS: [&str; 5] = ["CAST(? AS SIGNED)", "CAST(? AS BINARY)", "CAST(? AS CHAR)", "?", ", "];
    let mut end = 0;
    while let Some(member) = MEMBERS.iter().find(|m| part[end..].starts_with(**m)) {
        end += member.len();
    }
    (end > 0 && part[end..].starts_with(closing)).then_some(end)
}

/// FNV-1a: names files, protects nothing.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::collapsed;

    #[test]
    fn batches_of_any_size_collapse_to_one_text() {
        let text = |n| format!("INSERT INTO t (a, b) VALUES {} ON DUPLICATE KEY UPDATE a = a", crate::rows(n, 2));
        assert_eq!(collapsed(&text(3)), collapsed(&text(9)));
        assert_eq!(collapsed(&text(1)), text(1));
        assert_eq!(collapsed(&text(2)), text(1));
        let text = |n| {
            format!("SELECT a FROM t WHERE a IN ({}) AND b IN ({})", crate::placeholders(n), crate::placeholders(2))
        };
        assert_eq!(collapsed(&text(1)), collapsed(&text(5)));
        let text = |n: usize| {
            let more = " UNION ALL SELECT CAST(? AS CHAR), ?".repeat(n);
            format!("UPDATE t JOIN (SELECT CAST(? AS CHAR) AS k, ? AS a{more}) v ON t.k = v.k SET t.a = v.a")
        };
        assert_eq!(collapsed(&text(2)), collapsed(&text(7)));
        assert_eq!(collapsed(&text(1)), collapsed(&text(7)));
        assert_eq!(collapsed("SELECT a\n  FROM t"), "SELECT a FROM t");
    }

    #[test]
    fn keyset_pairs_stay() {
        assert_eq!(collapsed("SELECT 1 FROM t WHERE (a, b) > (?, ?)"), "SELECT 1 FROM t WHERE (a, b) > (?, ?)");
    }
}
