//! What an answer contains, as clients hold it: `Data-Position` out, `Min-Position` in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest token taken from a client, in characters; far below the limit of a request's head.
pub const TOKEN_LEN_MAX: usize = 8 * 1024;
/// Layout of the binary form; a token of another layout is malformed, never guessed at.
const LAYOUT: u8 = 1;
/// Longest name of a source or account and longest position inside a token, in bytes.
const FIELD_BYTES_MAX: usize = u8::MAX as usize;

/// How far each source was applied, and which versions of which lanes were read.
///
/// Positions of one source and generation are compared bytewise, so they are written big-endian in a fixed width.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DataPosition {
    /// Per source: its generation, and the position in it.
    pub sources: BTreeMap<String, (u32, Vec<u8>)>,
    /// Per account: the version of its lane.
    pub lanes: BTreeMap<String, i64>,
}

/// A token that we did not make, or not in this layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position that Locum handed out")]
pub struct MalformedPosition;

impl DataPosition {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT];
        count(&mut bytes, self.sources.len());
        for (source, (generation, position)) in &self.sources {
            field(&mut bytes, source.as_bytes());
            bytes.extend(generation.to_be_bytes());
            field(&mut bytes, position);
        }
        count(&mut bytes, self.lanes.len());
        for (account, version) in &self.lanes {
            field(&mut bytes, account.as_bytes());
            bytes.extend(version.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reading = Reading(bytes);
        let mut found = Self::default();
        if reading.array::<1>()? != [LAYOUT] {
            return None;
        }
        for _ in 0..reading.count()? {
            let source = reading.text()?;
            let generation = u32::from_be_bytes(reading.array()?);
            let position = reading.field()?.to_vec();
            found.sources.insert(source, (generation, position)).is_none().then_some(())?;
        }
        for _ in 0..reading.count()? {
            let account = reading.text()?;
            found.lanes.insert(account, i64::from_be_bytes(reading.array()?)).is_none().then_some(())?;
        }
        reading.0.is_empty().then_some(found)
    }
}

/// Counts and lengths saturate; what does not fit was never handed out by a bounded answer, and reads back as malformed.
fn count(bytes: &mut Vec<u8>, entries: usize) {
    bytes.extend(u16::try_from(entries).unwrap_or(u16::MAX).to_be_bytes());
}

fn field(bytes: &mut Vec<u8>, field: &[u8]) {
    let cut = &field[..field.len().min(FIELD_BYTES_MAX)];
    bytes.push(cut.len() as u8);
    bytes.extend(cut);
}

struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn count(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let [len] = self.array()?;
        let (field, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        self.field().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
    }
}

impl fmt::Display for DataPosition {
    /// The token: URL-safe base64 without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl FromStr for DataPosition {
    type Err = MalformedPosition;

    fn from_str(token: &str) -> Result<Self, MalformedPosition> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(MalformedPosition);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| MalformedPosition)?;
        Self::from_bytes(&bytes).ok_or(MalformedPosition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(generation: u32, sequence: i64, lanes: &[(&str, i64)]) -> DataPosition {
        DataPosition {
            sources: [("core".to_owned(), (generation, sequence.to_be_bytes().to_vec()))].into(),
            lanes: lanes.iter().map(|(account, version)| ((*account).to_owned(), *version)).collect(),
        }
    }

    #[test]
    fn a_token_reads_back_as_what_it_was_made_of() {
        for position in [DataPosition::default(), at(3, 77, &[("acc-1", 5), ("é", i64::MAX)])] {
            assert_eq!(position.to_string().parse(), Ok(position.clone()));
            assert!(position.to_string().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }

    #[test]
    fn any_other_text_is_malformed() {
        let token = at(3, 77, &[("acc-1", 5)]).to_string();
        for cut in 0..token.len() {
            assert_eq!(token[..cut].parse::<DataPosition>(), Err(MalformedPosition), "{cut}");
        }
        for text in [format!("{token}AA"), format!("{token}=="), "%%%".into(), "A".repeat(TOKEN_LEN_MAX + 4)] {
            assert_eq!(text.parse::<DataPosition>(), Err(MalformedPosition));
        }
        assert_eq!(URL_SAFE_NO_PAD.encode([2, 0, 0, 0, 0]).parse::<DataPosition>(), Err(MalformedPosition));
    }
}
