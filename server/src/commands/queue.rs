//! `locum queue`: the journal's entries.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, QueueCommand};

/// Entries asked for at once by an export.
const EXPORT_PAGE: u32 = 1_000;
/// What waits: for the core, for an answer, for a person.
const OPEN: &str = "queued,submitting,outcome_unknown,parked";
const COLUMNS: [&str; 8] =
    ["id", "state", "from_account", "to_account", "amount_minor", "currency", "accepted_at", "reason"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: QueueCommand) -> Result<(), Failure> {
    match command {
        QueueCommand::List { state, all, account, after, limit } => {
            let state = state.as_deref().or((!all).then_some(OPEN));
            let path = path(state, account.as_deref(), after.as_deref(), limit);
            list(admin, &client::get(admin, &path).await?, limit);
        }
        QueueCommand::Show { id } => show(admin, client::get(admin, &entry(&id)).await?),
        QueueCommand::Cancel { id, reason } => act(admin, &id, "cancel", &reason).await?,
        QueueCommand::Retry { id, reason } => act(admin, &id, "retry", &reason).await?,
        QueueCommand::WriteOff { id, reason } => act(admin, &id, "write-off", &reason).await?,
        QueueCommand::Export { state } => export(admin, state.as_deref()).await?,
    }
    Ok(())
}

async fn act(admin: &Admin, id: &str, action: &str, reason: &str) -> Result<(), Failure> {
    let body = json!({ "action": action, "reason": reason });
    show(admin, client::order(admin, Method::POST, &format!("{}/actions", entry(id)), body).await?);
    Ok(())
}

fn entry(id: &str) -> String {
    format!("/admin/v1/entries/{}", client::encode(id))
}

fn path(state: Option<&str>, account: Option<&str>, after: Option<&str>, limit: u32) -> String {
    let filters = [("state", state), ("account", account), ("after", after)];
    let filters = filters.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", client::encode(value?))));
    format!("/admin/v1/entries?limit={limit}{}", filters.collect::<String>())
}

fn entries(answer: &Value) -> &[Value] {
    answer["entries"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn list(admin: &Admin, answer: &Value, limit: u32) {
    if admin.json {
        return println!("{answer:#}");
    }
    let entries = entries(answer);
    table::print_list(&COLUMNS, entries);
    if let Some(last) = entries.last().filter(|_| entries.len() as u64 >= u64::from(limit)) {
        eprintln!("there may be more: --after {}", table::cell(&last["id"]));
    }
}

fn show(admin: &Admin, mut entry: Value) {
    if admin.json {
        return println!("{entry:#}");
    }
    let transitions = entry.as_object_mut().and_then(|entry| entry.remove("transitions"));
    table::print_object(&entry);
    for transition in transitions.as_ref().and_then(Value::as_array).into_iter().flatten() {
        println!("  {transition}");
    }
}

async fn export(admin: &Admin, state: Option<&str>) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let answer = client::get(admin, &path(state, None, after.as_deref(), EXPORT_PAGE)).await?;
        for entry in entries(&answer) {
            println!("{entry}");
        }
        match entries(&answer).last().and_then(|entry| entry["id"].as_str()) {
            Some(last) if after.as_deref() != Some(last) => after = Some(last.to_owned()),
            _ => return Ok(()),
        }
    }
}
