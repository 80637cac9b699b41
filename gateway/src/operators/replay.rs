//! The replay: what waits, and its pause.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Scope};
use schemas::entry::EntryState;
use serde::{Deserialize, Serialize};
use standin::journal::Backlog;

use super::{Answer, action_from, unavailable, understood};
use crate::gateway::Gateway;

#[derive(Serialize)]
struct ReplayView {
    paused: bool,
    open: i64,
    oldest_open_s: u64,
    contradicted: i64,
    breaks: i64,
    by_state: BTreeMap<EntryState, i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowReplay {
    /// Count the entries that have ended, too.
    #[serde(default)]
    ended: bool,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ShowReplay>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    replay_view(&gateway, &understood(query)?).await
}

async fn replay_view(gateway: &Gateway, query: &ShowReplay) -> Answer {
    let journal = gateway.operators();
    let paused = journal.replay_paused().await.map_err(unavailable)?;
    let mut backlog = journal.backlog().await.map_err(unavailable)?;
    let (open, oldest_open_s) = (backlog.open(), backlog.oldest_open.as_secs());
    if query.ended {
        backlog.by_state.extend(journal.ended().await.map_err(unavailable)?);
    }
    let Backlog { by_state, contradicted, breaks, .. } = backlog;
    Ok(Json(ReplayView { paused, open, oldest_open_s, contradicted, breaks, by_state }).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReplayAction {
    Start,
    Pause,
}

pub(super) async fn steer(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let (action, reason): (ReplayAction, _) = action_from(&caller, request).await?;
    let paused = action == ReplayAction::Pause;
    gateway.operators().pause_replay(&caller.id, paused, &reason).await.map_err(unavailable)?;
    replay_view(&gateway, &ShowReplay::default()).await
}
