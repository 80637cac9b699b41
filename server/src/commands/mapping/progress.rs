//! How far a long reading is: a bar in a terminal, otherwise a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Display of a reading, on standard error.
pub struct Progress {
    bar: ProgressBar,
    records: u64,
    told: Instant,
}

impl Progress {
    /// Nothing was read yet.
    pub fn new() -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => {
                let style = ProgressStyle::with_template("{bar:40} {percent}%  {msg}  {elapsed}, {eta} to go");
                ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            }
            false => ProgressBar::hidden(),
        };
        Self { bar, records: 0, told: Instant::now() }
    }

    /// So much of all was read, with so many more records.
    pub fn at(&mut self, done: u64, all: u64, more: usize) {
        self.records += more as u64;
        if self.bar.is_hidden() {
            if self.told.elapsed() >= LINE_EVERY {
                self.told = Instant::now();
                let percent = (done * 100).checked_div(all).unwrap_or(0);
                eprintln!("{} records read, {percent}%", self.records);
            }
            return;
        }
        self.bar.set_length(all);
        self.bar.set_position(done);
        self.bar.set_message(format!("{} records", self.records));
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
