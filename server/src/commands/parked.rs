//! `locum parked-events`: change events that could not be applied.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, ParkedCommand, WhichParked};

const PATH: &str = "/admin/v1/parked-events";
const COLUMNS: [&str; 6] = ["source", "event", "touches", "reason", "parked_at", "ordered"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: ParkedCommand) -> Result<(), Failure> {
    let answer = match command {
        ParkedCommand::List { source } => {
            let filter = source.map(|source| format!("?source={}", client::encode(&source))).unwrap_or_default();
            let answer = client::get(admin, &format!("{PATH}{filter}")).await?;
            match answer["parked_events"].as_array() {
                Some(events) if !admin.json => table::print_list(&COLUMNS, events),
                _ => table::line(format_args!("{answer:#}")),
            }
            return Ok(());
        }
        ParkedCommand::Show { source, event, content } => {
            let asked = if content { "?content=true" } else { "" };
            let path = format!("{PATH}/{}/{}{asked}", client::encode(&source), client::encode(&event));
            client::get(admin, &path).await?
        }
        ParkedCommand::Retry { which, reason } => order(admin, "retry", which, &reason).await?,
        ParkedCommand::Discard { which, reason } => order(admin, "discard", which, &reason).await?,
    };
    table::show(admin.json, &answer);
    Ok(())
}

async fn order(admin: &Admin, action: &str, which: WhichParked, reason: &str) -> Result<Value, Failure> {
    let WhichParked { source, event, with_reason, all } = which;
    let body = json!({
        "action": action, "reason": reason, "source": source, "event": event, "with_reason": with_reason, "all": all,
    });
    client::order(admin, Method::POST, &format!("{PATH}/actions"), body).await
}
