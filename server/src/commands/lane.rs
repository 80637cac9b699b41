//! `locum lane`: lanes that a contradiction stopped.

use http::Method;
use serde_json::json;

use super::{Failure, approvals, client, table};
use crate::cli::{Admin, LaneCommand};

const PATH: &str = "/admin/v1/lanes";
const COLUMNS: [&str; 4] = ["account", "ordered", "held_minor", "contradicted"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: LaneCommand) -> Result<(), Failure> {
    match command {
        LaneCommand::List => {
            let answer = client::get(admin, &format!("{PATH}?limit=1000")).await?;
            match answer["lanes"].as_array() {
                Some(lanes) if !admin.json => table::print_list(&COLUMNS, lanes),
                _ => println!("{answer:#}"),
            }
        }
        LaneCommand::Clear { account, reason } => {
            let path = format!("{PATH}/{}/clearance", client::encode(&account));
            let answer = client::order(admin, Method::POST, &path, json!({ "reason": reason })).await?;
            if answer["approval"].is_object() {
                approvals::show(admin, &answer);
            } else {
                table::show(admin.json, &answer);
            }
        }
    }
    Ok(())
}
