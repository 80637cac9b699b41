//! One file: a line for each entry, and a last line that seals them and names the file before. It is compressed with gzip.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use failpoints::{ARCHIVE_PUBLISHED, ARCHIVE_WRITTEN, reached};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use schemas::entry::EntryState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::month::Month;
use crate::entry::EntryId;

/// Longest line that is read; an entry takes a few thousand bytes.
const LINE_MAX: u64 = 64 << 20;
/// How every file of ours begins: no time and no name in the header, so that no byte of it can change unseen.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Why a file is not what it must be.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The disk.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What it said.
        error: io::Error,
    },
    /// The content.
    #[error("{path}: {what}")]
    Content {
        /// Which file.
        path: String,
        /// What is wrong, and where.
        what: String,
    },
}

impl FileFault {
    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.display().to_string(), what: what.into() }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Io { path, error }
    }
}

/// A file, and the SHA-256 of its whole text: what `zcat FILE | sha256sum` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub file: String,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// The file's own name.
    file: String,
    /// Lines before this one.
    entries: u64,
    /// Of all bytes before this line.
    sha256: String,
    /// The file before; none in the first one.
    before: Option<Link>,
}

/// What a whole file says of itself, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its place in the chain.
    pub link: Link,
    /// The file before it.
    pub before: Option<Link>,
    /// How many entries it holds.
    pub entries: u64,
    /// The first one.
    pub first: Option<EntryId>,
    /// The last one.
    pub last: Option<EntryId>,
}

/// One entry as a file has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Which entry.
    pub id: EntryId,
    /// The whole line, without its end.
    pub text: Vec<u8>,
}

/// The name of the file with this number of a month.
pub fn file_name(month: Month, n: i64) -> String {
    format!("journal-{month}-{n:03}.jsonl.gz")
}

/// Writes one file under a name of its own, and gives it its final name when it is whole and durable.
pub struct Writer {
    out: GzEncoder<BufWriter<File>>,
    hash: Sha256,
    entries: u64,
    folder: PathBuf,
    part: Part,
}

/// A writer's own name for its file. It goes with the writer, so that a disk that was full has room again.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // What stays is removed by the next pass.
        let _ = fs::remove_file(&self.0);
    }
}

impl Writer {
    /// Begins a file in `folder`. `token` tells apart those who may write it at the same time.
    pub fn begin(folder: &Path, name: &str, token: i64) -> Result<Self, FileFault> {
        let part = folder.join(format!(".{name}.{token}.part"));
        // It holds personal data. Nobody else may write to it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(FileFault::io(&part))?;
        let out = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Self { out, hash: Sha256::new(), entries: 0, folder: folder.to_owned(), part: Part(part) })
    }

    /// Adds one entry.
    pub fn push(&mut self, line: &[u8]) -> Result<(), FileFault> {
        self.entries += 1;
        for bytes in [line, b"\n"] {
            self.hash.update(bytes);
            self.out.write_all(bytes).map_err(FileFault::io(&self.part.0))?;
        }
        Ok(())
    }

    /// How many entries were added.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Seals the file and gives it its name, durably. A file that has the name already stays: its content is whole, too.
    pub fn publish(self, name: &str, before: Option<Link>) -> Result<(), FileFault> {
        let Self { mut out, hash, entries, folder, part } = self;
        let end = End { file: name.to_owned(), entries, sha256: hex(&hash.finalize()), before };
        let seal = || -> io::Result<()> {
            serde_json::to_writer(&mut out, &serde_json::json!({ "end": end }))?;
            out.write_all(b"\n")?;
            let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            reached(ARCHIVE_WRITTEN);
            // A second name, not another one: it never takes the place of a file that somebody else has published.
            match fs::hard_link(&part.0, folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            drop(part);
            File::open(&folder)?.sync_all()?;
            reached(ARCHIVE_PUBLISHED);
            Ok(())
        };
        seal().map_err(FileFault::io(&folder.join(name)))
    }

    /// Removes what dead writers left in `folder`.
    pub fn clear(folder: &Path) -> Result<(), FileFault> {
        for file in fs::read_dir(folder).map_err(FileFault::io(folder))? {
            let path = file.map_err(FileFault::io(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(".journal-") && name.ends_with(".part") {
                fs::remove_file(&path).map_err(FileFault::io(&path))?;
            }
        }
        Ok(())
    }
}

/// Makes a file and its name durable: who wrote it may have died before it had done so.
pub(crate) fn make_durable(path: &Path) -> Result<(), FileFault> {
    let folder = path.parent().unwrap_or(path);
    let sync = |path: &Path| -> io::Result<()> { File::open(path)?.sync_all() };
    sync(path).and_then(|()| sync(folder)).map_err(FileFault::io(path))
}

/// Why no reader takes this line, if none does.
pub(crate) fn fault_of(line: &[u8]) -> Option<&'static str> {
    if line.len() as u64 >= LINE_MAX {
        return Some("it is too long for a line");
    }
    match serde_json::from_slice::<Shape>(line) {
        Ok(shape) => shape.check().err(),
        Err(_) => Some("it is not an entry"),
    }
}

/// The parts of a line that every reader relies on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    entry: Map<String, Value>,
    legs: Vec<Map<String, Value>>,
    attempts: Vec<Map<String, Value>>,
    transitions: Vec<Map<String, Value>>,
    audit: Vec<Map<String, Value>>,
}

impl Shape {
    /// The entry's id, or what is wrong with the line.
    fn check(&self) -> Result<EntryId, &'static str> {
        let text = |name: &str| self.entry.get(name).and_then(Value::as_str);
        let id = text("id").and_then(EntryId::parse).ok_or("it has no id")?;
        let state = text("state").and_then(EntryState::parse).filter(|state| state.is_terminal());
        let state = state.ok_or("its state is not a final one")?;
        let newest = self.transitions.last().ok_or("it has no transitions")?;
        if newest.get("state").and_then(Value::as_str) != Some(state.as_str()) {
            return Err("its transitions do not lead to its state");
        }
        if self.transitions.iter().any(|step| !step.get("version").is_some_and(Value::is_i64)) {
            return Err("a transition has no version");
        }
        let whole = |leg: &Map<String, Value>| {
            ["account", "kind", "currency"].iter().all(|name| leg.get(*name).is_some_and(Value::is_string))
                && leg.get("amount_minor").is_some_and(Value::is_i64)
        };
        if !self.legs.iter().all(whole) {
            return Err("a leg is not whole");
        }
        if !self.attempts.iter().chain(&self.audit).all(|row| !row.is_empty()) {
            return Err("an attempt or an audit line is empty");
        }
        Ok(id)
    }
}

/// Reads a file from its beginning, and verifies it on the way.
pub struct Reader {
    path: PathBuf,
    input: BufReader<GzDecoder<BufReader<File>>>,
    hash: Sha256,
    sealed: Option<Sealed>,
    entries: u64,
    first: Option<EntryId>,
    last: Option<EntryId>,
}

impl Reader {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, FileFault> {
        let mut file = File::open(path).map_err(FileFault::io(path))?;
        let mut header = [0; GZIP.len()];
        file.read_exact(&mut header).map_err(FileFault::io(path))?;
        if header != GZIP {
            return Err(FileFault::content(path, "it does not begin as a file of ours does"));
        }
        io::Seek::rewind(&mut file).map_err(FileFault::io(path))?;
        let input = BufReader::new(GzDecoder::new(BufReader::new(file)));
        let path = path.to_owned();
        Ok(Self { path, input, hash: Sha256::new(), sealed: None, entries: 0, first: None, last: None })
    }

    /// The next entry; `None` once the last line was reached and was right.
    pub fn next_line(&mut self) -> Result<Option<Line>, FileFault> {
        if self.sealed.is_some() {
            return Ok(None);
        }
        let mut text = Vec::new();
        self.input.by_ref().take(LINE_MAX).read_until(b'\n', &mut text).map_err(FileFault::io(&self.path))?;
        let number = self.entries + 1;
        let wrong = |what: &str| FileFault::content(&self.path, format!("line {number}: {what}"));
        if text.pop() != Some(b'\n') {
            return Err(wrong("the file ends before its last line"));
        }
        let value: Value = serde_json::from_slice(&text).map_err(|_| wrong("not JSON"))?;
        if let Some(end) = value.get("end") {
            let end = End::deserialize(end).map_err(|_| wrong("the last line is not one of ours"))?;
            self.end(end, &text)?;
            return Ok(None);
        }
        let shape = Shape::deserialize(value).map_err(|_| wrong("not an entry"))?;
        let id = shape.check().map_err(wrong)?;
        self.hash.update(&text);
        self.hash.update(b"\n");
        self.entries = number;
        self.first.get_or_insert_with(|| id.clone());
        self.last = Some(id.clone());
        Ok(Some(Line { id, text }))
    }

    fn end(&mut self, end: End, text: &[u8]) -> Result<(), FileFault> {
        let wrong = |what: String| Err(FileFault::content(&self.path, what));
        if self.path.file_name().and_then(|name| name.to_str()) != Some(&end.file) {
            return wrong(format!("it is the file {}", end.file));
        }
        if end.entries != self.entries {
            return wrong(format!("it holds {} entries, and its last line says {}", self.entries, end.entries));
        }
        let mut hash = self.hash.clone();
        if hex(&hash.clone().finalize()) != end.sha256 {
            return wrong("its entries are not those that its last line seals".into());
        }
        hash.update(text);
        hash.update(b"\n");
        let more = self.input.fill_buf().map_err(FileFault::io(&self.path))?;
        let at_its_end = more.is_empty() && self.input.get_mut().get_mut().fill_buf().is_ok_and(<[u8]>::is_empty);
        if !at_its_end {
            return wrong("something stands behind its last line".into());
        }
        let link = Link { file: end.file, sha256: hex(&hash.finalize()) };
        let (first, last) = (self.first.clone(), self.last.clone());
        self.sealed = Some(Sealed { link, before: end.before, entries: self.entries, first, last });
        Ok(())
    }

    /// At most so many further entries.
    pub fn next_lines(&mut self, max: usize) -> Result<Vec<Line>, FileFault> {
        let mut lines = Vec::new();
        while lines.len() < max
            && let Some(line) = self.next_line()?
        {
            lines.push(line);
        }
        Ok(lines)
    }

    /// What the file says of itself, once it was read to its end.
    pub fn sealed(&self) -> Option<&Sealed> {
        self.sealed.as_ref()
    }
}

/// Reads a whole file and verifies it by itself.
pub fn inspect(path: &Path) -> Result<Sealed, FileFault> {
    let mut reader = Reader::open(path)?;
    while reader.next_line()?.is_some() {}
    reader.sealed.ok_or_else(|| FileFault::content(path, "it has no last line"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
