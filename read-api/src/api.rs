//! What every route does: wait for the position, judge the age, name both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use edge::{Caller, Problem, Work};
use metrics::counter;
use read_model::{AccountDocument, Floor, Read, ReadError, Reader};
use serde::Serialize;

use crate::conditions::Conditions;
use crate::cursor::CursorKey;
use crate::freshness::AnswerAge;
use crate::metrics::POSITION_WAITS_TOTAL;
use crate::refusal::{self, NoAnswer};
use crate::seams::{AccountHolds, Arrivals, Asked, Clock, Holds, ModeView};
use crate::waiting::WaitingRoom;

/// How the read API behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Longest wait for a `Min-Position`, in milliseconds.
    pub position_wait_ms_max: u64,
    /// Requests that may wait for a position at once, half of them of one principal; further ones get 503 at once.
    pub position_waiters_max: usize,
    /// Age from which data is `stale`, in milliseconds; the reader's own bound.
    pub stale_after_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { position_wait_ms_max: 1_500, position_waiters_max: 256, stale_after_ms: 10_000 }
    }
}

/// What the routes read through. Cheap to clone.
#[derive(Clone)]
pub struct ReadApi {
    pub(crate) reader: Reader,
    pub(crate) mode: Arc<dyn ModeView>,
    pub(crate) cursor_key: CursorKey,
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    holds: Arc<dyn Holds>,
    arrivals: Arc<dyn Arrivals>,
    room: Arc<WaitingRoom>,
}

impl ReadApi {
    /// Puts the parts together; `clock` must be the reader's.
    pub fn new(
        reader: Reader,
        holds: Arc<dyn Holds>,
        mode: Arc<dyn ModeView>,
        arrivals: Arc<dyn Arrivals>,
        cursor_key: CursorKey,
        clock: Clock,
        options: Options,
    ) -> Self {
        let room = Arc::new(WaitingRoom::new(options.position_waiters_max));
        Self { reader, holds, mode, arrivals, cursor_key, clock, options, room }
    }

    /// One account: from memory or Redis, or in a turn from the store. So a tier that is lost sends the store no more than it
    /// can take.
    pub(crate) async fn account(&self, asked: &Conditions, id: &str) -> Result<Read<Arc<AccountDocument>>, Problem> {
        let read = || async {
            match self.reader.account_kept(&asked.grant, id, &asked.floor).await {
                Some(read) => Ok(read),
                None => {
                    let stored = || self.reader.account_from_sql(&asked.grant, id, &asked.floor);
                    in_turn(asked, Work::Read, stored).await
                }
            }
        };
        self.reached(asked, read).await
    }

    /// Reads the store in turns until the floor is reached or the time is up.
    pub(crate) async fn stored<T, F>(
        &self,
        asked: &Conditions,
        work: Work,
        read: impl Fn() -> F,
    ) -> Result<Read<T>, Problem>
    where
        F: Future<Output = Result<Read<T>, ReadError>>,
    {
        self.reached(asked, || in_turn(asked, work, &read)).await
    }

    /// Reads, and reads again as data arrives, until the floor is reached or the time is up.
    async fn reached<T, F>(&self, asked: &Conditions, read: impl Fn() -> F) -> Result<Read<T>, Problem>
    where
        F: Future<Output = Result<Read<T>, NoAnswer>>,
    {
        match read().await {
            Err(NoAnswer::Read(ReadError::Behind { source_name, at })) => {
                refuse_superseded(&asked.floor, &source_name, at.generation)?;
                self.wait(asked, read).await
            }
            other => other.map_err(Problem::from),
        }
    }

    /// Waits without a turn at the store.
    async fn wait<T, F>(&self, asked: &Conditions, read: impl Fn() -> F) -> Result<Read<T>, Problem>
    where
        F: Future<Output = Result<Read<T>, NoAnswer>>,
    {
        let floor = &asked.floor;
        let Some(_place) = self.room.enter(&asked.caller.id) else {
            counter!(POSITION_WAITS_TOTAL, "outcome" => "no-room").increment(1);
            return Err(refusal::position_not_reached());
        };
        let until_reached = async {
            self.arrivals.reached(floor).await;
            // Once: a source that has reached the floor stays there, so a second refusal is another matter.
            match read().await {
                Err(NoAnswer::Read(ReadError::Behind { source_name, at })) => {
                    refuse_superseded(floor, &source_name, at.generation)?;
                    Err(refusal::position_not_reached())
                }
                other => other.map_err(Problem::from),
            }
        };
        let deadline = Duration::from_millis(self.options.position_wait_ms_max);
        let waited = tokio::time::timeout(deadline, until_reached).await;
        let outcome = if waited.is_ok() { "reached" } else { "given-up" };
        counter!(POSITION_WAITS_TOTAL, "outcome" => outcome).increment(1);
        waited.unwrap_or_else(|_| Err(refusal::position_not_reached()))
    }

    /// The holds on these accounts. Call it after their balances were read.
    pub(crate) async fn holds(
        &self,
        caller: &Caller,
        asked: &[Asked],
    ) -> Result<HashMap<String, AccountHolds>, Problem> {
        let _turn = caller.turn(Work::Read).await?;
        self.holds.of(asked).await.map_err(refusal::of_holds)
    }

    /// Place and age of a read, now.
    pub(crate) fn answer_age<T>(&self, read: &Read<T>) -> AnswerAge {
        AnswerAge::of(&read.freshness, (self.clock)())
    }

    /// 200 with the freshness headers, unless the data is too old or misses a lane's version.
    pub(crate) fn answer(
        &self,
        asked: &Conditions,
        age: &AnswerAge,
        body: &impl Serialize,
    ) -> Result<Response, Problem> {
        self.admit(asked, age)?;
        let mut response = axum::Json(body).into_response();
        age.write(self.mode.mode(), &mut response);
        Ok(response)
    }

    /// May an answer of this age be given?
    pub(crate) fn admit(&self, asked: &Conditions, age: &AnswerAge) -> Result<(), Problem> {
        age.bounded(asked.staleness_ms_max)?;
        if age.behind(&asked.position_min.lanes) { Err(refusal::position_not_reached()) } else { Ok(()) }
    }
}

/// Asks the store in a turn of the caller.
async fn in_turn<T, F>(asked: &Conditions, work: Work, read: impl Fn() -> F) -> Result<T, NoAnswer>
where
    F: Future<Output = Result<T, ReadError>>,
{
    let _turn = asked.caller.turn(work).await?;
    Ok(read().await?)
}

/// A position of an older generation is never reached by waiting.
fn refuse_superseded(floor: &Floor, source: &str, served: u32) -> Result<(), Problem> {
    let superseded = floor.0.iter().any(|(name, place)| name == source && place.generation < served);
    if superseded { Err(refusal::position_superseded()) } else { Ok(()) }
}
