//! `locum source`: where the core's data come from.

use http::Method;
use serde_json::{Value, json};

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
        SourceCommand::List => return list(admin, &client::get(admin, PATH).await?),
        SourceCommand::Resume { name, reason } => order(&name, "resume", reason).await?,
        SourceCommand::Trust { name, reason } => order(&name, "trust", reason).await?,
    };
    if admin.json {
        println!("{answer:#}")
    } else {
        table::print_object(&answer)
    }
    Ok(())
}

fn list(admin: &Admin, answer: &Value) -> Result<(), Failure> {
    if admin.json {
        println!("{answer:#}");
        return Ok(());
    }
    let sources = answer["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |source: &Value| COLUMNS.iter().map(|column| table::cell(&source[*column])).collect();
    let rows: Vec<Vec<String>> = sources.iter().map(row).collect();
    table::print(&COLUMNS, &rows);
    Ok(())
}
