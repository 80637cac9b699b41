//! The few places where SQLite's SQL differs from what TiDB, OceanBase, MySQL and MariaDB share. Statements are
//! written once, for the latter; [`Dialect::render`] does the rest.
//!
//! | in a statement | MySQL protocol | SQLite |
//! |---|---|---|
//! | `{text:64}` | `VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin` | `TEXT` |
//! | `{text}` | `LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin` | `TEXT` |
//! | `{bytes:64}` | `VARBINARY(64)` | `BLOB` |
//! | `{blob}` | `LONGBLOB` | `BLOB` |
//! | `{int}` | `BIGINT` | `INTEGER` |
//! | `{int:4}` | `INT` | `INTEGER` |
//! | `{now_ms}` | the server's clock, ms since 1970, as an integer expression; TiDB: when the transaction began | the same |
//! | trailing `FOR UPDATE` | kept | removed: the one writer holds the whole database |
//!
//! `{blob}`, not JSON, for rendered documents: TiDB and OceanBase re-format JSON, and a read must return the bytes stored.
//! Not translated, so not to be used: `ON DUPLICATE KEY UPDATE` and `UPDATE … JOIN` by hand (use
//! [`Upsert`](crate::Upsert), [`BatchUpdate`](crate::BatchUpdate)), `KEY …` inside CREATE TABLE (use CREATE INDEX),
//! `GREATEST`/`IF` (use CASE), `||`, `/` on integers, DELETE or UPDATE with LIMIT, AUTO_INCREMENT.

use crate::error::Error;
use std::borrow::Cow;

/// The two families of SQL behind one statement text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MariaDB, MySQL, TiDB, OceanBase.
    MySql,
    /// Embedded SQLite.
    Sqlite,
}

impl Dialect {
    /// The statement as this engine wants it: placeholders in braces filled in, FOR UPDATE removed where it is void.
    /// An unknown placeholder is [`Error::Configuration`].
    pub fn render(self, sql: &str) -> Result<Cow<'_, str>, Error> {
        self.render_with(sql, self.now_ms())
    }

    /// The engine's clock, as an integer expression. Servers of the MySQL protocol may have one of their own.
    pub(crate) fn now_ms(self) -> &'static str {
        match self {
            Dialect::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            Dialect::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
        }
    }

    /// The same, with this expression for the clock.
    pub(crate) fn render_with<'s>(self, sql: &'s str, now_ms: &str) -> Result<Cow<'s, str>, Error> {
        let sql = match self {
            Dialect::MySql => sql,
            Dialect::Sqlite => sql.trim_end().strip_suffix("FOR UPDATE").unwrap_or(sql),
        };
        if !sql.contains('{') {
            return Ok(Cow::Borrowed(sql));
        }
        let mut out = String::with_capacity(sql.len() + 64);
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or_else(|| unknown(after))?;
            out.push_str(before);
            out.push_str(&self.placeholder(name, now_ms)?);
            rest = tail;
        }
        out.push_str(rest);
        Ok(Cow::Owned(out))
    }

    fn placeholder<'n>(self, name: &str, now_ms: &'n str) -> Result<Cow<'n, str>, Error> {
        let (word, length) = match name.split_once(':') {
            Some((word, length)) => (word, Some(length.parse::<u32>().map_err(|_| unknown(name))?)),
            None => (name, None),
        };
        Ok(match (self, word, length) {
            (Dialect::MySql, "text", Some(n)) => {
                format!("VARCHAR({n}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").into()
            }
            (Dialect::MySql, "text", None) => "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin".into(),
            (Dialect::MySql, "bytes", Some(n)) => format!("VARBINARY({n})").into(),
            (Dialect::MySql, "blob", None) => "LONGBLOB".into(),
            (Dialect::MySql, "int", None) => "BIGINT".into(),
            (Dialect::MySql, "int", Some(4)) => "INT".into(),
            (_, "now_ms", None) => now_ms.into(),
            (Dialect::Sqlite, "text", _) => "TEXT".into(),
            (Dialect::Sqlite, "bytes", Some(_)) | (Dialect::Sqlite, "blob", None) => "BLOB".into(),
            (Dialect::Sqlite, "int", None | Some(4)) => "INTEGER".into(),
            _ => return Err(unknown(name)),
        })
    }
}

/// True if the statement asks for the server's time.
pub(crate) fn reads_clock(sql: &str) -> bool {
    sql.contains("{now_ms}")
}

fn unknown(name: &str) -> Error {
    Error::Configuration(format!("unknown placeholder {{{name}}} in a statement"))
}

/// `?, ?, ?` for an IN list of `n` values; `n` = 0 gives `NULL`, which matches nothing.
pub fn placeholders(n: usize) -> String {
    if n == 0 { "NULL".into() } else { vec!["?"; n].join(", ") }
}

/// `(?, ?), (?, ?)`: `rows` groups of `columns` values, for VALUES or for `(a, b) IN (…)`.
pub fn rows(rows: usize, columns: usize) -> String {
    vec![format!("({})", placeholders(columns)); rows].join(", ")
}
