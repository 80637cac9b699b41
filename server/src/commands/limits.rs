//! `locum limits`: what stand-in may accept.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, LimitsCommand};

const PATH: &str = "/admin/v1/limits";

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: LimitsCommand) -> Result<(), Failure> {
    let mut now = client::get(admin, PATH).await?;
    if let LimitsCommand::Set { per_transfer_minor, per_day_minor, per_day_count, reason } = command {
        let changes = [
            ("per_transfer_minor", per_transfer_minor),
            ("per_day_minor", per_day_minor),
            ("per_day_count", per_day_count),
        ];
        if changes.iter().all(|(_, value)| value.is_none()) {
            return Err(Failure::Usage("name at least one limit to change, e.g. --per-day-count 50".into()));
        }
        for (name, value) in changes {
            if let Some(value) = value {
                now["limits"][name] = Value::from(value);
            }
        }
        // Refused when another operator was faster.
        let order = json!({ "limits": now["limits"], "version": now["version"], "reason": reason });
        now = client::order(admin, Method::PUT, PATH, order).await?;
    }
    table::show(admin.json, if admin.json { &now } else { &now["limits"] });
    Ok(())
}
