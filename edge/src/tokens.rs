//! The tokens file: which bearer token is whom. Only digests are kept, and nothing here can be printed.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use schemas::grant::Grant;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::principal::{Audience, Principal, Scopes};

/// A token written out in the file has at least this many bytes; shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

type Sha = [u8; 32];

/// Every credential of one file, swapped as a whole on reload.
pub struct Tokens {
    path: PathBuf,
    table: ArcSwap<Table>,
}

/// Why a tokens file was refused; never quotes the file.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Missing or not readable.
    #[error("cannot read the tokens file {path}; create it, or check its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not the expected YAML. The parser's own text is left out: it may quote a token.
    #[error("the tokens file {path} is not valid YAML of the expected shape{place}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// ` near line L, column C`, or nothing.
        place: String,
    },
    /// Well-formed, but wrong; every fault is listed.
    #[error("the tokens file {path} is wrong: {}", .faults.join("; "))]
    Faults {
        /// The file.
        path: PathBuf,
        /// One line each, with its remedy.
        faults: Vec<String>,
    },
}

/// The customer that stands for every customer in the tokens file.
const EVERY_CUSTOMER: &str = "*";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    channels: Vec<Line>,
    #[serde(default)]
    operators: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    principal: String,
    token: Option<String>,
    token_sha256: Option<String>,
    #[serde(default)]
    customers: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

struct Known {
    audience: Audience,
    digest: Sha,
    principal: Arc<Principal>,
}

/// Bucketed by two bytes of the digest, so that a look-up stays cheap with thousands of tokens; compared in constant time.
#[derive(Default)]
struct Table {
    stamp: Option<(SystemTime, u64)>,
    buckets: HashMap<[u8; 2], Vec<Known>>,
    counts: Counts,
}

/// How many credentials are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// For the channels' listener.
    pub channels: usize,
    /// For the operators' listener.
    pub operators: usize,
}

impl Tokens {
    /// Reads and checks the file; all faults at once.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, TokensError> {
        let path = path.into();
        let table = read(&path)?;
        Ok(Self { path, table: ArcSwap::from_pointee(table) })
    }

    /// Reads the file again (SIGHUP). On an error the credentials loaded before stay in force.
    pub fn reload(&self) -> Result<Counts, TokensError> {
        let table = read(&self.path)?;
        let counts = table.counts;
        self.table.store(Arc::new(table));
        Ok(counts)
    }

    /// Reads the file again when its time or size changed; `Ok(None)` when not.
    pub fn reload_if_changed(&self) -> Result<Option<Counts>, TokensError> {
        if stamp(&self.path) == self.table.load().stamp { Ok(None) } else { self.reload().map(Some) }
    }

    /// How many credentials are loaded.
    pub fn counts(&self) -> Counts {
        self.table.load().counts
    }

    /// Whom a token proves to one audience.
    pub fn find(&self, audience: Audience, token: &[u8]) -> Option<Arc<Principal>> {
        let digest = sha(token);
        let table = self.table.load();
        let bucket = table.buckets.get(&digest[..2])?;
        let mut found = None;
        for known in bucket {
            if bool::from(known.digest.ct_eq(&digest)) && known.audience == audience {
                found = Some(known.principal.clone());
            }
        }
        found
    }
}

fn sha(token: &[u8]) -> Sha {
    Sha256::digest(token).into()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// The stamp is taken before the content, so that a change in between is seen by the next look.
fn read(path: &Path) -> Result<Table, TokensError> {
    let stamp = stamp(path);
    let text = fs::read_to_string(path).map_err(|source| TokensError::Read { path: path.into(), source })?;
    let file: File = serde_saphyr::from_str(&text).map_err(|error| TokensError::Shape {
        path: path.into(),
        place: error.location().map(|l| format!(" near line {}, column {}", l.line(), l.column())).unwrap_or_default(),
    })?;
    let mut reading = Reading::default();
    reading.table.stamp = stamp;
    for (audience, lines) in [(Audience::Channels, file.channels), (Audience::Operators, file.operators)] {
        for (index, line) in lines.into_iter().enumerate() {
            reading.line(audience, index, line);
        }
    }
    let Reading { table, faults, .. } = reading;
    if faults.is_empty() { Ok(table) } else { Err(TokensError::Faults { path: path.into(), faults }) }
}

#[derive(Default)]
struct Reading {
    table: Table,
    seen: HashSet<Sha>,
    faults: Vec<String>,
}

impl Reading {
    fn line(&mut self, audience: Audience, index: usize, line: Line) {
        let place = match audience {
            Audience::Channels => format!("channels[{index}]"),
            Audience::Operators => format!("operators[{index}]"),
        };
        let checked = (digest(&line), scopes(audience, &line.scopes), name(&line.principal));
        let (digest, scopes) = match checked {
            (Ok(digest), Ok(scopes), Ok(())) => (digest, scopes),
            (digest, scopes, name) => {
                let faults = [digest.err(), scopes.err(), name.err()].into_iter().flatten();
                return self.faults.extend(faults.map(|fault| format!("{place}: {fault}")));
            }
        };
        if audience == Audience::Channels && line.customers.is_empty() {
            self.faults.push(format!("{place}: customers is empty; list them, or write [\"*\"] for all"));
        }
        if line.customers.iter().any(String::is_empty) {
            // Accounts that nobody holds have an empty one.
            self.faults.push(format!("{place}: a customer is an empty text; drop it"));
        }
        if !self.seen.insert(digest) {
            self.faults.push(format!("{place}: this token is listed before; give every principal its own"));
        }
        match audience {
            Audience::Channels => self.table.counts.channels += 1,
            Audience::Operators => self.table.counts.operators += 1,
        }
        let principal = Arc::new(Principal { id: line.principal, grant: grant(line.customers), scopes });
        let bucket = self.table.buckets.entry([digest[0], digest[1]]).or_default();
        bucket.push(Known { audience, digest, principal });
    }
}

/// `"*"` among the customers stands for all of them.
fn grant(customers: Vec<String>) -> Grant {
    if customers.iter().any(|customer| customer == EVERY_CUSTOMER) { Grant::Any } else { Grant::customers(customers) }
}

fn name(principal: &str) -> Result<(), String> {
    let sane = !principal.is_empty() && principal.len() <= 64 && principal.bytes().all(|b| b.is_ascii_graphic());
    if sane { Ok(()) } else { Err("principal must be 1 to 64 visible ASCII characters".into()) }
}

fn digest(line: &Line) -> Result<Sha, String> {
    match (&line.token, &line.token_sha256) {
        (Some(token), None) if token.len() >= TOKEN_BYTES_MIN => Ok(sha(token.as_bytes())),
        (Some(_), None) => {
            Err(format!("token is shorter than {TOKEN_BYTES_MIN} bytes; `openssl rand -hex 32` makes one"))
        }
        (None, Some(hex)) => {
            from_hex(hex).ok_or_else(|| "token_sha256 is not 64 hex digits; `printf %s TOKEN | sha256sum`".into())
        }
        _ => Err("give exactly one of token and token_sha256".into()),
    }
}

fn from_hex(hex: &str) -> Option<Sha> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn scopes(audience: Audience, words: &[String]) -> Result<Scopes, String> {
    let mut scopes = Scopes { operate: audience == Audience::Operators && words.is_empty(), ..Scopes::default() };
    for word in words {
        match (audience, word.as_str()) {
            (_, "read") => scopes.read = true,
            (Audience::Channels, "write") => scopes.write = true,
            (Audience::Operators, "operate") => scopes.operate = true,
            (Audience::Channels, _) => return Err("scopes of a channel are read and write".into()),
            (Audience::Operators, _) => return Err("scopes of an operator are read and operate".into()),
        }
    }
    if scopes == Scopes::default() {
        Err("scopes is empty; a channel has read, write or both".into())
    } else {
        Ok(scopes)
    }
}
