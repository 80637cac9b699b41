//! The freshness contract: every answer names its place, its age and its condition.

use std::collections::BTreeMap;

use axum::response::Response;
use edge::Problem;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use read_model::{Freshness, Quality};
use schemas::data_position::DataPosition;

use standin::mode::Mode;

/// Place, age and condition of one answer: the worst of its sources.
#[derive(Debug, Clone)]
pub(crate) struct AnswerAge {
    position: DataPosition,
    /// Versions of the lanes that were read; 0 where there is none.
    lanes: BTreeMap<String, i64>,
    as_of_ms: Option<i64>,
    quality: Quality,
    now_ms: i64,
}

impl AnswerAge {
    /// From what the reader says of each source, the oldest counts.
    pub(crate) fn of(freshness: &[Freshness], now_ms: i64) -> Self {
        let ages: Option<Vec<i64>> = freshness.iter().map(|f| f.as_of_ms).collect();
        let sources = freshness.iter().map(|f| {
            let place = (f.position.generation, f.position.sequence.to_be_bytes().to_vec());
            (f.source.clone(), place)
        });
        Self {
            position: DataPosition { sources: sources.collect(), lanes: Default::default() },
            lanes: BTreeMap::new(),
            as_of_ms: ages.and_then(|ages| ages.into_iter().min()),
            quality: freshness.iter().map(|f| f.quality).max().unwrap_or(Quality::Unknown),
            now_ms,
        }
    }

    /// Adds the lanes that were read.
    pub(crate) fn with_lanes(mut self, lanes: impl IntoIterator<Item = (String, i64)>) -> Self {
        self.lanes.extend(lanes);
        self.position.lanes = self.lanes.clone().into_iter().filter(|(_, version)| *version > 0).collect();
        self
    }

    /// Is one of the lanes that were read behind the version asked for? A lane that is not there has version 0, so a client that
    /// knows a later one was sent to a store that is behind.
    pub(crate) fn behind(&self, lanes: &BTreeMap<String, i64>) -> bool {
        lanes.iter().any(|(account, wanted)| self.lanes.get(account).is_some_and(|have| have < wanted))
    }

    /// Seconds since the watermark's source time, rounded up: data is never called younger than it is.
    pub(crate) fn age_s(&self) -> Option<i64> {
        self.age_ms().map(|ms| ms.saturating_add(999) / 1_000)
    }

    fn age_ms(&self) -> Option<i64> {
        self.as_of_ms.map(|at| self.now_ms.saturating_sub(at).max(0))
    }

    /// Source time of the watermark.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        self.as_of_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok())
    }

    /// The worst condition of the sources.
    pub(crate) fn quality(&self) -> Quality {
        self.quality
    }

    /// 503 `stale-data` when older than asked for, or of unknown age.
    pub(crate) fn bounded(&self, staleness_ms_max: Option<i64>) -> Result<(), Problem> {
        let Some(max) = staleness_ms_max else { return Ok(()) };
        if self.age_ms().is_some_and(|age| age <= max) {
            return Ok(());
        }
        metrics::counter!(crate::metrics::STALE_REFUSALS_TOTAL).increment(1);
        let age = self.age_s().map_or_else(|| "of unknown age".to_owned(), |age| format!("{age} s old"));
        let problem = Problem::new(503, "stale-data", "The data is older than the request allows");
        Err(problem.detail(format!("the data is {age}")).retryable(true).retry_after_s(1))
    }

    /// Writes the headers of the contract.
    pub(crate) fn write(&self, mode: Mode, response: &mut Response) {
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        set("data-position", self.position.to_string());
        set("data-quality", self.quality.as_str().to_owned());
        set("service-mode", mode.as_str().to_owned());
        set("cache-control", "no-store".to_owned());
        if let (Some(at), Some(age)) = (self.as_of(), self.age_s()) {
            set("data-as-of", at.to_string());
            set("data-age", age.to_string());
        }
    }
}
