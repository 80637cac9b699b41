//! `locum lane`: lanes that need a person.

use http::Method;
use serde_json::json;

use super::{Failure, approvals, client, table};
use crate::cli::{Admin, LaneCommand};

const PATH: &str = "/admin/v1/lanes";
const COLUMNS: [&str; 4] = ["account", "ordered", "held_minor", "contradicted"];
const AHEAD: [&str; 4] = ["account", "business_date", "used_minor", "used_count"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: LaneCommand) -> Result<(), Failure> {
    match command {
        LaneCommand::List { day_ahead } => {
            let (which, columns) = if day_ahead { ("&day_ahead=true", &AHEAD) } else { ("", &COLUMNS) };
            let answer = client::get(admin, &format!("{PATH}?limit=1000{which}")).await?;
            match answer["lanes"].as_array() {
                Some(lanes) if !admin.json => table::print_list(columns, lanes),
                _ => table::line(format_args!("{answer:#}")),
            }
        }
        LaneCommand::Clear { account, reason } => order(admin, &account, "clearance", &reason).await?,
        LaneCommand::ResetDay { account, reason } => order(admin, &account, "day-reset", &reason).await?,
    }
    Ok(())
}

async fn order(admin: &Admin, account: &str, what: &str, reason: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/{what}", client::encode(account));
    let answer = client::order(admin, Method::POST, &path, json!({ "reason": reason })).await?;
    if answer["approval"].is_object() {
        approvals::show(admin, &answer);
    } else {
        table::show(admin.json, &answer);
    }
    Ok(())
}
