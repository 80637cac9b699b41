//! What stand-in may accept.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Scope};
use schemas::money::Currency;
use serde::Deserialize;
use serde_json::json;
use standin::journal::JournalError;
use standin::rules::{AgeBand, CurrencyLimits, Limits};

use super::{Answer, order_from, unavailable};
use crate::gateway::Gateway;
use crate::request::TRANSFER;

pub(super) async fn show(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let (limits, version) = gateway.operators().limits().await.map_err(unavailable)?;
    let rules = gateway.operators().rules().await.map_err(unavailable)?;
    let rules = json!({ TRANSFER: rules.of(TRANSFER) });
    Ok(Json(json!({ "limits": limits, "version": version, "rules": rules })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLimits {
    limits: WholeLimits,
    /// Of the limits that this replaces, as last shown.
    version: i64,
    reason: String,
}

/// A limit left out must not become a default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeLimits {
    currencies: BTreeMap<Currency, WholeCurrency>,
    per_day_count: i64,
    age_bands: Vec<WholeBand>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeCurrency {
    per_transfer_minor: i64,
    per_day_minor: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeBand {
    age_s_max: i64,
    percent: i64,
}

impl From<WholeLimits> for Limits {
    fn from(WholeLimits { currencies, per_day_count, age_bands }: WholeLimits) -> Self {
        let band = |WholeBand { age_s_max, percent }| AgeBand { age_s_max, percent };
        let of =
            |WholeCurrency { per_transfer_minor, per_day_minor }| CurrencyLimits { per_transfer_minor, per_day_minor };
        Limits {
            currencies: currencies.into_iter().map(|(currency, whole)| (currency, of(whole))).collect(),
            per_day_count,
            age_bands: age_bands.into_iter().map(band).collect(),
        }
    }
}

pub(super) async fn set(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let SetLimits { limits, version, reason } = order_from(&caller, request, |body: &SetLimits| &body.reason).await?;
    let limits = Limits::from(limits);
    let problems = limits.problems();
    if !problems.is_empty() {
        return Err(Problem::bad_request(problems.join("; ")));
    }
    match gateway.operators().set_limits(&caller.id, &limits, Some(version), &reason).await {
        Ok(()) => show(State(gateway), caller).await,
        Err(JournalError::Changed) => {
            let problem = Problem::new(409, "limits-changed", "Somebody changed the limits meanwhile");
            Err(problem.detail("Look at what is in force now, and send its version."))
        }
        Err(err) => Err(unavailable(err)),
    }
}
