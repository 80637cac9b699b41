//! `locum limits`: what stand-in may accept.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, LimitsChange, LimitsCommand};

const PATH: &str = "/admin/v1/limits";

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: LimitsCommand) -> Result<(), Failure> {
    let mut now = client::get(admin, PATH).await?;
    let reason = match command {
        LimitsCommand::Get => None,
        LimitsCommand::Set { change, reason } => {
            apply(&mut now["limits"], &change)?;
            Some(reason)
        }
        LimitsCommand::Remove { currency, reason } => {
            let currencies = now["limits"]["currencies"].as_object_mut();
            if currencies.and_then(|currencies| currencies.remove(&currency)).is_none() {
                return Err(Failure::Usage(format!("there is no limit for {currency}")));
            }
            Some(reason)
        }
    };
    if let Some(reason) = reason {
        // Refused when another operator was faster.
        let order = json!({ "limits": now["limits"], "version": now["version"], "reason": reason });
        now = client::order(admin, Method::PUT, PATH, order).await?;
    }
    match admin.json {
        true => table::show(true, &now),
        false => print(&now["limits"]),
    }
    Ok(())
}

/// Changes the limits that are named; a currency that is new needs both of its own.
fn apply(limits: &mut Value, change: &LimitsChange) -> Result<(), Failure> {
    let amounts = [("per_transfer_minor", change.per_transfer_minor), ("per_day_minor", change.per_day_minor)];
    let named: Vec<(&str, i64)> = amounts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    match &change.currency {
        Some(currency) if named.is_empty() => {
            let text = format!("say which limit of {currency} to change: --per-transfer-minor or --per-day-minor");
            return Err(Failure::Usage(text));
        }
        Some(currency) => {
            if limits["currencies"].get(currency).is_none() && named.len() < amounts.len() {
                let text = format!("{currency} has no limits yet: give --per-transfer-minor and --per-day-minor");
                return Err(Failure::Usage(text));
            }
            for (name, value) in named {
                limits["currencies"][currency][name] = value.into();
            }
        }
        None if named.is_empty() && change.per_day_count.is_some() => {}
        None => {
            let text = "name at least one limit to change: --per-day-count 50, or --currency EUR with an amount";
            return Err(Failure::Usage(text.into()));
        }
    }
    if let Some(count) = change.per_day_count {
        limits["per_day_count"] = count.into();
    }
    Ok(())
}

/// A line for each limit.
fn print(limits: &Value) {
    let mut lines = serde_json::Map::new();
    for (currency, amounts) in limits["currencies"].as_object().into_iter().flatten() {
        for (name, amount) in amounts.as_object().into_iter().flatten() {
            lines.insert(format!("{currency} {name}"), amount.clone());
        }
    }
    for (name, value) in limits.as_object().into_iter().flatten().filter(|(name, _)| *name != "currencies") {
        lines.insert(name.clone(), value.clone());
    }
    table::print_object(&Value::Object(lines));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Value {
        json!({ "currencies": { "EUR": { "per_transfer_minor": 1, "per_day_minor": 2 } }, "per_day_count": 3 })
    }

    fn changed(change: LimitsChange) -> Option<Value> {
        let mut limits = limits();
        apply(&mut limits, &change).ok().map(|()| limits)
    }

    #[test]
    fn an_amount_is_of_a_currency_and_a_new_currency_has_both() {
        let none = LimitsChange { currency: None, per_transfer_minor: None, per_day_minor: None, per_day_count: None };
        let of = |code: &str| LimitsChange { currency: Some(code.into()), ..none.clone() };
        assert_eq!(changed(none.clone()), None);
        assert_eq!(changed(of("EUR")), None);
        assert_eq!(changed(LimitsChange { per_day_count: Some(9), ..of("EUR") }), None);
        assert_eq!(changed(LimitsChange { per_day_minor: Some(5), ..none.clone() }), None);
        assert_eq!(changed(LimitsChange { per_day_minor: Some(5), ..of("JPY") }), None);
        let euros = changed(LimitsChange { per_day_minor: Some(5), ..of("EUR") }).unwrap();
        assert_eq!(euros["currencies"]["EUR"], json!({ "per_transfer_minor": 1, "per_day_minor": 5 }));
        let yen = changed(LimitsChange { per_day_minor: Some(5), per_transfer_minor: Some(4), ..of("JPY") }).unwrap();
        assert_eq!(yen["currencies"]["JPY"], json!({ "per_transfer_minor": 4, "per_day_minor": 5 }));
        let count = changed(LimitsChange { per_day_count: Some(9), ..none }).unwrap();
        assert_eq!(count["per_day_count"], 9);
    }
}
