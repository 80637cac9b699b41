//! Reader's errors as problems, in one place.

use edge::Problem;
use read_model::ReadError;

use crate::balance::NoBalance;
use crate::seams::HoldsError;

/// `Retry-After` while a first load runs, in seconds.
const LOADING_RETRY_S: u32 = 5;

/// Why a read has no answer.
pub(crate) enum NoAnswer {
    /// The reader has none.
    Read(ReadError),
    /// It was not asked.
    Refused(Problem),
}

impl From<ReadError> for NoAnswer {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Problem> for NoAnswer {
    fn from(refused: Problem) -> Self {
        Self::Refused(refused)
    }
}

impl From<NoAnswer> for Problem {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Read(error) => of_read(error),
            NoAnswer::Refused(problem) => problem,
        }
    }
}

/// What a client is told when the reader has no answer.
pub(crate) fn of_read(error: ReadError) -> Problem {
    match error {
        ReadError::NotFound => Problem::not_found(),
        ReadError::NotLoaded { progress, .. } => {
            let behind = progress.events_behind.map(|n| format!(", {n} wait")).unwrap_or_default();
            not_loaded(format!("the first load is running: {} events applied{behind}", progress.events_applied))
        }
        ReadError::Doubtful { .. } => {
            not_loaded("a change that may be about it could not be applied and waits for an operator".into())
        }
        ReadError::TooMany { max } => {
            Problem::new(422, "too-many-accounts", "The customer has more accounts than one list holds")
                .detail(format!("a list has at most {max} accounts; read them by their ids"))
                .retryable(false)
        }
        ReadError::Behind { .. } => position_not_reached(),
        ReadError::Store(error) => Problem::unavailable("store-unavailable", "The store cannot be asked now", error),
        ReadError::Row(error) => Problem::internal(error),
    }
}

/// 503 `store-unavailable`: without the holds no `available` is shown.
pub(crate) fn of_holds(error: HoldsError) -> Problem {
    Problem::unavailable("store-unavailable", "The store cannot be asked now", error)
}

/// What a client is told of an account whose balance cannot be shown.
pub(crate) fn of_balance(missing: NoBalance) -> Problem {
    match missing {
        NoBalance::NotArrived => not_loaded("the balance of this account has not arrived yet".into()),
        NoBalance::OutOfRange => Problem::internal("a balance leaves 64 bits of minor units"),
    }
}

fn not_loaded(detail: String) -> Problem {
    Problem::new(503, "not-loaded", "The data is still being loaded")
        .detail(detail)
        .retryable(true)
        .retry_after_s(LOADING_RETRY_S)
}

/// 503 `position-not-reached`.
pub(crate) fn position_not_reached() -> Problem {
    Problem::new(503, "position-not-reached", "The data does not contain the position asked for yet")
        .retryable(true)
        .retry_after_s(1)
}

/// 410 `position-superseded`.
pub(crate) fn position_superseded() -> Problem {
    Problem::new(410, "position-superseded", "The data was rebuilt since this position was handed out")
        .detail("read again without Min-Position, and go on from the Data-Position of that answer")
        .retryable(false)
}
