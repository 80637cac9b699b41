//! `locum source`: where the core's data come from.

use http::Method;
use serde_json::json;

use super::{Failure, client, table};
use crate::cli::{Admin, SourceCommand};

const PATH: &str = "/admin/v1/sources";
const COLUMNS: [&str; 5] = ["source", "loaded", "halted", "events_applied", "events_behind"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: SourceCommand) -> Result<(), Failure> {
    let order = async |name: &str, action: &str, reason: String| {
        let body = json!({ "action": action, "reason": reason });
        client::order(admin, Method::POST, &format!("{PATH}/{}/actions", client::encode(name)), body).await
    };
    let answer = match command {
        SourceCommand::List => {
            let answer = client::get(admin, PATH).await?;
            match answer["sources"].as_array() {
                Some(sources) if !admin.json => table::print_list(&COLUMNS, sources),
                _ => println!("{answer:#}"),
            }
            return Ok(());
        }
        SourceCommand::Resume { name, reason } => order(&name, "resume", reason).await?,
        SourceCommand::Trust { name, reason } => order(&name, "trust", reason).await?,
    };
    table::show(admin.json, &answer);
    Ok(())
}
