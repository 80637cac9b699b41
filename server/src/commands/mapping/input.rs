//! The records that a command reads: lines of a file, or topics from their beginning.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ingest::{FeedError, KafkaOptions, RawRecord, Whole, capture};

use super::progress::Progress;
use crate::cli::Records;
use crate::commands::Failure;

/// Records in hand at once.
const BATCH_MAX: usize = 1_000;
/// Bytes of lines in hand at once; the line that crosses it is the last.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Longest line: a key and a value of the largest records.
const LINE_BYTES_MAX: u64 = 2 * schemas::debezium::RECORD_BYTES_MAX as u64;
/// For so long the brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two questions to brokers that are silent.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Where records come from, and how far they were read.
pub struct Input {
    from: Origin,
    progress: Progress,
}

enum Origin {
    File(Lines),
    Topics { whole: Whole, prefix: String, bootstrap: String },
}

/// The lines of a file.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: i64,
    bytes: u64,
    all_bytes: u64,
}

impl Input {
    /// Opens the file, or begins to read topics: of these tables, or of all.
    pub fn open(records: &Records, tables: Option<Vec<String>>) -> Result<Self, Failure> {
        let from = match records {
            Records { from: Some(path), .. } => Origin::File(Lines::open(path)?),
            Records { topics: Some(prefix), bootstrap: Some(bootstrap), .. } => {
                let whole = Whole::of_kafka(&KafkaOptions::new(bootstrap, prefix), tables);
                let whole = whole.map_err(|err| Failure::Usage(format!("--bootstrap {bootstrap}: {err}")))?;
                Origin::Topics { whole, prefix: prefix.clone(), bootstrap: bootstrap.clone() }
            }
            _ => return Err(Failure::Usage("give --from FILE, or --topics PREFIX with --bootstrap HOST:PORT".into())),
        };
        Ok(Self { from, progress: Progress::new() })
    }

    /// The next records; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<RawRecord>>, Failure> {
        let records = match &mut self.from {
            Origin::File(lines) => lines.next()?,
            Origin::Topics { whole, bootstrap, .. } => topics(whole, bootstrap).await?,
        };
        let (done, all) = match &self.from {
            Origin::File(lines) => (lines.bytes, lines.all_bytes),
            Origin::Topics { whole, .. } => whole.progress().unwrap_or_default(),
        };
        self.progress.at(done, all, records.as_ref().map_or(0, Vec::len));
        Ok(records)
    }

    /// Ends the display. An input without a single record is a wrong one.
    pub fn finish(&self) -> Result<(), Failure> {
        self.progress.finish();
        let why = match &self.from {
            Origin::Topics { whole, prefix, bootstrap } if whole.is_empty() => format!(
                "{bootstrap} has no topic {prefix}.DATABASE.TABLE of the tables that are meant; give the connector's topic.prefix as \
                 --topics, and see in the connector's table.include.list that it sends them"
            ),
            Origin::Topics { prefix, .. } if self.progress.records() == 0 => {
                format!("the topics of {prefix} hold no record")
            }
            Origin::File(lines) if self.progress.records() == 0 => {
                format!("{} holds no record; expected one JSON object a line", lines.path.display())
            }
            _ => return Ok(()),
        };
        Err(Failure::Usage(why))
    }

    /// What a source would say of this input before its first record.
    pub fn note(&self) -> Option<String> {
        match &self.from {
            Origin::Topics { whole, .. } => whole.incomplete().map(|halt| halt.reason().to_owned()),
            Origin::File(_) => None,
        }
    }
}

/// Brokers that do not answer are asked again for a while.
async fn topics(whole: &mut Whole, bootstrap: &str) -> Result<Option<Vec<RawRecord>>, Failure> {
    let since = Instant::now();
    loop {
        match whole.next().await {
            Ok(records) => return Ok(records),
            Err(FeedError::Unavailable(_)) if since.elapsed() < PATIENCE => tokio::time::sleep(AGAIN_AFTER).await,
            Err(FeedError::Unavailable(reason)) => {
                let remedy = "give an address of the brokers that is reachable from here as --bootstrap";
                return Err(Failure::Unreachable(format!("{bootstrap} does not answer: {reason}; {remedy}")));
            }
            Err(err) => return Err(Failure::Failed(err.into())),
        }
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Failure> {
        let unread = |err: std::io::Error| Failure::Usage(format!("cannot read {}: {err}", path.display()));
        let file = File::open(path).map_err(unread)?;
        let all_bytes = file.metadata().map_err(unread)?.len();
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), number: 0, bytes: 0, all_bytes })
    }

    fn next(&mut self) -> Result<Option<Vec<RawRecord>>, Failure> {
        let (mut records, begin) = (Vec::new(), self.bytes);
        while records.len() < BATCH_MAX && self.bytes - begin < BATCH_BYTES_MAX as u64 {
            let mut line = Vec::new();
            let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.map_err(|err| self.wrong(&err.to_string()))?;
            if read == 0 {
                break;
            }
            self.bytes += read as u64;
            self.number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let text = str::from_utf8(&line).map_err(|_| self.wrong("not UTF-8"))?;
            records.push(capture::record(text, self.number - 1).map_err(|err| self.wrong(&err.to_string()))?);
        }
        Ok((!records.is_empty()).then_some(records))
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Usage(format!("{} line {}: {what}", self.path.display(), self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Records {
        let path = std::env::temp_dir().join(format!("locum-input-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Records { from: Some(path), topics: None, bootstrap: None }
    }

    #[tokio::test]
    async fn lines_are_records_and_blank_ones_are_none() {
        let records = file(
            "good",
            "{\"topic\":\"c.b.t\",\"key\":{\"id\":1},\"value\":null}\n\n{\"topic\":\"c.b.t\",\"value\":{}}",
        );
        let mut input = Input::open(&records, None).unwrap();
        let batch = input.next().await.unwrap().unwrap();
        assert_eq!(batch.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 2]);
        assert!(input.next().await.unwrap().is_none() && input.finish().is_ok());
    }

    #[tokio::test]
    async fn a_line_that_is_no_record_is_told_with_its_number_and_an_empty_file_is_wrong() {
        let mut input = Input::open(&file("bad", "\n{\"topic\":3}\n"), None).unwrap();
        match input.next().await {
            Err(Failure::Usage(text)) => assert!(text.contains("line 2"), "{text}"),
            other => panic!("{other:?}"),
        }
        let mut input = Input::open(&file("empty", "\n"), None).unwrap();
        assert!(input.next().await.unwrap().is_none());
        assert!(matches!(input.finish(), Err(Failure::Usage(_))));
    }
}
