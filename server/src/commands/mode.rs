//! `locum mode`: who takes writes.

use http::Method;
use serde_json::json;

use super::{Failure, client, table};
use crate::cli::{Admin, ModeCommand};

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: ModeCommand) -> Result<(), Failure> {
    let answer = match command {
        ModeCommand::Get => client::get(admin, "/admin/v1/mode").await?,
        ModeCommand::Set { order, reason } => {
            client::order(admin, Method::PUT, "/admin/v1/mode", json!({ "order": order, "reason": reason })).await?
        }
    };
    table::show(admin.json, &answer);
    Ok(())
}
