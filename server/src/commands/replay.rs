//! `locum replay`: sending what was queued.

use http::Method;
use serde_json::json;

use super::{Failure, client, table};
use crate::cli::{Admin, ReplayCommand};

const PATH: &str = "/admin/v1/replay";

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: ReplayCommand) -> Result<(), Failure> {
    let steer = |action: &str, reason: String| json!({ "action": action, "reason": reason });
    let answer = match command {
        ReplayCommand::Status { ended: false } => client::get(admin, PATH).await?,
        ReplayCommand::Status { ended: true } => client::get(admin, &format!("{PATH}?ended=true")).await?,
        ReplayCommand::Start { reason } => client::order(admin, Method::POST, PATH, steer("start", reason)).await?,
        ReplayCommand::Pause { reason } => client::order(admin, Method::POST, PATH, steer("pause", reason)).await?,
    };
    table::show(admin.json, &answer);
    Ok(())
}
