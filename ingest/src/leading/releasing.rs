//! Events that waited for the row of an account, once nothing keeps them any more.

use std::ops::ControlFlow::{self, Break, Continue};

use read_model::WaitingEvent;

use super::{Ended, Flow, Leading, Piece, refused};
use crate::apply::REFUSALS_MAX;
use crate::beginning::now_ms;
use crate::halt::Halt;
use crate::prepare::PARKED_IN_A_ROW_MAX;
use crate::state::State;

/// Why a source halts whose events wait for nothing any more.
const LEFT_BEHIND: &str =
    "events wait for accounts, and the mapping does not take currencies from accounts any more: they are in no row";

impl Leading<'_> {
    /// Under a mapping that asks for no accounts nobody would apply what waited under another one.
    pub(super) async fn none_left_behind(&self, state: &State) -> Flow {
        if state.applier.asks_accounts {
            return Continue(());
        }
        match state.applier.writer.any_event_waits(&self.ingester.db).await {
            Ok(false) => Continue(()),
            Ok(true) => Break(self.halt(state, &Halt::rebuild(LEFT_BEHIND)).await),
            Err(err) => Break(self.cannot_begin(&err)),
        }
    }

    /// Lets events go whose accounts have come, and parks those whose accounts do not come; each step in an apply transaction of its own.
    /// A step that fails is tried again in halves, and an event that is refused by itself is parked.
    pub(super) async fn release(&self, state: &mut State) -> Flow {
        if !state.applier.asks_accounts {
            return Continue(());
        }
        loop {
            if *self.shutdown.borrow() {
                return Break(Ended::Shutdown);
            }
            if *self.lost.borrow() {
                return Break(Ended::LeaseLost);
            }
            let (events, overdue) = match state.due(&self.ingester.db).await {
                Ok(due) => due,
                Err(err) => {
                    tracing::warn!(error = %err, source = %self.lease.source, "cannot read which events wait");
                    return Break(Ended::Failed);
                }
            };
            if events.is_empty() {
                return Continue(());
            }
            let (mut rest, mut size) = (&events[..], events.len());
            while !rest.is_empty() {
                let (step, later) = rest.split_at(size.min(rest.len()));
                match self.let_go(state, step, overdue, None).await? {
                    Ok(Piece::Done) => rest = later,
                    Ok(Piece::TooMuch | Piece::Crowded) => size = (step.len() / 2).max(1),
                    Err(why) => {
                        self.refuse(state, step, &why).await?;
                        rest = later;
                    }
                }
            }
        }
    }

    /// Parks an event that waited and that the store does not take by itself.
    async fn refuse(&self, state: &mut State, event: &[WaitingEvent], why: &str) -> Flow {
        let reason = format!("refused {REFUSALS_MAX} times: {why}");
        match self.let_go(state, event, false, Some(&reason)).await? {
            Ok(_) => Continue(()),
            Err(why) => Break(self.halt(state, &refused(&[], &why)).await),
        }
    }

    /// One apply transaction with what becomes of events that waited; `parking`: why they are parked, whatever else they would become.
    async fn let_go(
        &self,
        state: &mut State,
        events: &[WaitingEvent],
        overdue: bool,
        parking: Option<&str>,
    ) -> ControlFlow<Ended, Result<Piece, String>> {
        self.know(state, events.iter().map(|event| (event.topic.as_str(), event.key.as_deref()))).await?;
        let whole = events.iter().map(|event| (event.topic.as_str(), event.key.as_deref(), event.value.as_deref()));
        self.know_accounts(state, whole).await?;
        let mut prepared = match parking {
            Some(reason) => state.preparer.refuse(events.to_vec(), reason),
            None => state.preparer.release(events.to_vec(), overdue),
        };
        if let Some(reason) = parking
            && prepared.lessons.parked_in_a_row > PARKED_IN_A_ROW_MAX
        {
            let reason = format!("{PARKED_IN_A_ROW_MAX} events in a row parked, last: {reason}");
            return Break(self.halt(state, &Halt::resumable(reason)).await);
        }
        let mut attestation = state.attestation.clone();
        let advance = state.advance(&mut prepared, None, &mut attestation, now_ms());
        self.commit(state, prepared, advance, attestation).await
    }
}
