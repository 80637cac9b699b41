//! What a request demands besides its resource: who asks, how old the data may be, what it must contain.

use axum::extract::FromRequestParts;
use edge::{Caller, Problem, Scope};
use http::HeaderMap;
use http::request::Parts;
use read_model::{Floor, Position};
use schemas::data_position::DataPosition;
use schemas::grant::Grant;

/// Largest `Max-Staleness`, in seconds: a day.
const STALENESS_S_MAX: u64 = 86_400;

/// A caller with the scope `read`, and the conditions it sent.
pub(crate) struct Conditions {
    /// Who asks.
    pub(crate) caller: Caller,
    /// What it may see.
    pub(crate) grant: Grant,
    /// `Max-Staleness`, in milliseconds.
    pub(crate) staleness_ms_max: Option<i64>,
    /// `Min-Position`.
    pub(crate) position_min: DataPosition,
    /// `Min-Position` as the reader takes it.
    pub(crate) floor: Floor,
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require(Scope::Read)?;
        let grant = caller.grant.clone();
        // A principal without customers has nothing to see; the reader need not be asked.
        if grant.is_empty() {
            return Err(Problem::not_found());
        }
        let position_min = position_min(&parts.headers)?;
        let floor = floor(&position_min)?;
        Ok(Self { caller, grant, staleness_ms_max: staleness(&parts.headers)?, position_min, floor })
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(invalid(name, "must occur once, in visible ASCII")),
    }
}

fn invalid(name: &'static str, detail: &'static str) -> Problem {
    Problem::bad_request("a header is not valid").error(name, "invalid-header", detail)
}

fn staleness(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(text) = header(headers, "max-staleness")? else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds: Option<u64> = text.parse().ok().filter(|s| digits && *s <= STALENESS_S_MAX);
    match seconds.and_then(|s| i64::try_from(s * 1_000).ok()) {
        Some(ms) => Ok(Some(ms)),
        None => Err(invalid("Max-Staleness", "must be whole seconds, 0 to 86400")),
    }
}

fn position_min(headers: &HeaderMap) -> Result<DataPosition, Problem> {
    match header(headers, "min-position")? {
        None => Ok(DataPosition::default()),
        Some(token) => token.parse().ok().filter(plausible).ok_or_else(malformed_position),
    }
}

/// Lanes count up from zero. The read itself finds out that a version has not come yet.
fn plausible(position: &DataPosition) -> bool {
    position.lanes.values().all(|version| *version >= 0)
}

fn malformed_position() -> Problem {
    invalid("Min-Position", "must be a Data-Position that this service handed out")
}

fn floor(position: &DataPosition) -> Result<Floor, Problem> {
    let place = |(source, (generation, bytes)): (&String, &(u32, Vec<u8>))| {
        let sequence =
            <[u8; 8]>::try_from(bytes.as_slice()).map(i64::from_be_bytes).ok().filter(|sequence| *sequence >= 0)?;
        Some((source.clone(), Position { generation: *generation, sequence }))
    };
    let places: Option<Vec<_>> = position.sources.iter().map(place).collect();
    places.map(Floor).ok_or_else(malformed_position)
}
