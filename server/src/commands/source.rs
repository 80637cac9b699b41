//! `locum source`: where the core's data come from.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, SourceCommand};

const PATH: &str = "/admin/v1/sources";
const COLUMNS: [&str; 9] = [
    "source",
    "generation",
    "rebuilding",
    "loaded",
    "core_heartbeats",
    "events_applied",
    "events_behind",
    "never_seen",
    "halted",
];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: SourceCommand) -> Result<(), Failure> {
    let order = async |name: &str, mut body: Value, reason: String| {
        body["reason"] = reason.into();
        client::order(admin, Method::POST, &format!("{PATH}/{}/actions", client::encode(name)), body).await
    };
    let answer = match command {
        SourceCommand::List => {
            let answer = client::get(admin, PATH).await?;
            match answer["sources"].as_array() {
                Some(sources) if !admin.json => table::print_list(&COLUMNS, sources),
                _ => table::line(format_args!("{answer:#}")),
            }
            return Ok(());
        }
        SourceCommand::Resume { name, reason } => order(&name, json!({ "action": "resume" }), reason).await?,
        SourceCommand::Trust { name, reason } => order(&name, json!({ "action": "trust" }), reason).await?,
        SourceCommand::Rebuild { name, topic_prefix, reason } => {
            let body = match topic_prefix {
                Some(prefix) => json!({ "action": "rebuild", "topic_prefix": prefix }),
                None => json!({ "action": "rebuild" }),
            };
            order(&name, body, reason).await?
        }
    };
    table::show(admin.json, &answer);
    Ok(())
}
