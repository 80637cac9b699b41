//! Instances: their signs of life, and the order that one will not come back.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Scope, Segment};
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Act, Fenced, Grounds, InstanceRecord, Order};

use super::{Answer, order_from, orders, page_of, time_of_ms, unavailable, understood};
use crate::gateway::Gateway;
use crate::silence::{SILENT_AFTER, Silence};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListInstances {
    after: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListInstances>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    let ListInstances { after, limit } = understood(query)?;
    let limit = page_of(limit);
    let instances = gateway.operators().instances(&after.unwrap_or_default(), limit).await.map_err(unavailable)?;
    let view = |instance: &InstanceRecord| {
        // Only those that somebody may want to declare gone are worth the memory.
        if instance.open_attempts > 0 && !instance.is_gone() {
            gateway.silences().look(instance);
        }
        json!({
            "id": instance.id,
            "boot": instance.boot,
            "started_at": time_of_ms(instance.started_us / 1_000),
            "seen_s_ago": instance.seen_ago_ms.map(|ms| ms / 1_000),
            "open_attempts": instance.open_attempts,
            "gone": instance.is_gone(),
        })
    };
    Ok(Json(json!({ "instances": instances.iter().map(view).collect::<Vec<Value>>() })).into_response())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    DeclareGone,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceOrder {
    action: Action,
    reason: String,
    /// How its host was kept from sending.
    fenced: Fenced,
    /// What shows that.
    proof: String,
    risk_accepted_by: Option<String>,
}

pub(super) async fn act(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(id): Segment,
    request: Request,
) -> Answer {
    let body: InstanceOrder = order_from(&caller, request, |body: &InstanceOrder| &body.reason).await?;
    let InstanceOrder { action: Action::DeclareGone, reason, fenced, proof, risk_accepted_by } = body;
    let InstanceRecord { id: instance, boot, beats, .. } = silent(&gateway, &id).await?;
    let act = Act::DeclareGone { instance, boot, beats, fenced };
    let grounds = Grounds { reason, absence_proof: Some(proof), risk_accepted_by, posted_proof: None };
    orders::give(gateway, &caller, Order { act, grounds }).await
}

/// The instance, if this process has watched it give no sign of life for long enough. Its own clock counts, from its own first
/// look: neither another host's clock nor the SQL server's can make a living instance look dead.
pub(super) async fn silent(gateway: &Gateway, id: &str) -> Result<InstanceRecord, Problem> {
    let found = gateway.operators().instance(id).await.map_err(unavailable)?.ok_or_else(Problem::not_found)?;
    if found.is_gone() {
        return Err(Problem::new(409, "gone-already", "This instance was declared gone before"));
    }
    let wait = match gateway.silences().look(&found) {
        Silence::LongEnough => return Ok(found),
        Silence::Since(silence) => SILENT_AFTER.saturating_sub(silence),
    };
    let wait_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    let detail = format!(
        "It must give no sign of life for {} s while this process watches; order it again in {wait_s} s. A living sender whose \
         attempts are ended posts twice.",
        SILENT_AFTER.as_secs()
    );
    Err(Problem::new(409, "not-silent", "The instance may be alive")
        .detail(detail)
        .retryable(true)
        .retry_after_s(wait_s))
}
